//! The rtnetlink messages that make, set and delete interfaces of our own: macvlan and ipvlan. Read first: `mod.rs`, `route.rs`.

use super::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, attrs, put_attr, put_message, u16_at, u32_at};
use crate::net::{LINK_ALIAS, LINK_GROUP, OwnLink, UponKind};
use crate::wire::Bad;
use bytes::{BufMut, BytesMut};

// <linux/rtnetlink.h>
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_SETLINK: u16 = 19;

// <linux/if.h>
const IFF_UP: u32 = 0x1;

// <linux/if_link.h>
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_GROUP: u16 = 27;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_VRF_TABLE: u16 = 1;
const IFLA_MACVLAN_MODE: u16 = 1;
const IFLA_IPVLAN_MODE: u16 = 1;
const IFLA_IPVLAN_FLAGS: u16 = 2;
/// `IPVLAN_MODE_L2`: the ipvlan shares the Ethernet address of the interface below.
const IPVLAN_L2: u16 = 0;

/// Appends a request to make an interface; refused with EEXIST where one of that name is there. Answered by an ack with `seq`.
pub fn new_link(out: &mut BytesMut, seq: u32, link: &OwnLink) {
    let flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    put_message(out, RTM_NEWLINK, flags, seq, |out| {
        put_info(out, 0, 0, 0);
        put_attr(out, IFLA_IFNAME, &[link.name.as_bytes(), b"\0"].concat());
        put_attr(out, IFLA_LINK, &link.upon.parent.to_ne_bytes());
        if let Some(mac) = link.mac {
            put_attr(out, IFLA_ADDRESS, &mac);
        }
        if link.master != 0 {
            put_attr(out, IFLA_MASTER, &link.master.to_ne_bytes());
        }
        put_attr(out, IFLA_GROUP, &LINK_GROUP.to_ne_bytes());
        let mut data = BytesMut::new();
        let kind: &[u8] = match link.upon.kind {
            UponKind::Macvlan => {
                put_attr(&mut data, IFLA_MACVLAN_MODE, &link.upon.mode.to_ne_bytes());
                b"macvlan"
            }
            UponKind::Ipvlan => {
                put_attr(&mut data, IFLA_IPVLAN_MODE, &IPVLAN_L2.to_ne_bytes());
                put_attr(&mut data, IFLA_IPVLAN_FLAGS, &(link.upon.mode as u16).to_ne_bytes());
                b"ipvlan"
            }
        };
        let mut info = BytesMut::new();
        put_attr(&mut info, IFLA_INFO_KIND, kind);
        put_attr(&mut info, IFLA_INFO_DATA, &data);
        put_attr(out, IFLA_LINKINFO, &info);
    });
}

/// Appends a request to take an interface up or down; `tag`: and to give it our alias and this group. Answered by an ack with `seq`.
pub fn set_link(out: &mut BytesMut, seq: u32, ifindex: u32, up: bool, tag: Option<u32>) {
    put_message(out, RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK, seq, |out| {
        put_info(out, ifindex, if up { IFF_UP } else { 0 }, IFF_UP);
        if let Some(group) = tag {
            put_attr(out, IFLA_IFALIAS, LINK_ALIAS.as_bytes());
            put_attr(out, IFLA_GROUP, &group.to_ne_bytes());
        }
    });
}

/// Appends a request to delete an interface. Answered by an ack with `seq`.
pub fn del_link(out: &mut BytesMut, seq: u32, ifindex: u32) {
    put_message(out, RTM_DELLINK, NLM_F_REQUEST | NLM_F_ACK, seq, |out| put_info(out, ifindex, 0, 0));
}

/// Appends a `struct ifinfomsg`.
fn put_info(out: &mut BytesMut, ifindex: u32, flags: u32, change: u32) {
    out.put_u8(0); // AF_UNSPEC
    out.put_u8(0);
    out.put_u16_ne(0);
    out.put_u32_ne(ifindex);
    out.put_u32_ne(flags);
    out.put_u32_ne(change);
}

/// The content of an `IFLA_LINKINFO`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Info {
    /// Of a kind that kalived makes, with its mode.
    Upon(UponKind, u32),
    /// With its table.
    Vrf(u32),
    Other,
}

/// Reads an `IFLA_LINKINFO`.
pub(super) fn read_info(bytes: &[u8]) -> Result<Info, Bad> {
    let (mut kind, mut data) = (String::new(), &[][..]);
    for attr in attrs(bytes) {
        match attr? {
            (IFLA_INFO_KIND, v) => kind = super::route::text(v),
            (IFLA_INFO_DATA, v) => data = v,
            _ => {}
        }
    }
    let value = |wanted: u16, wide: bool| -> Result<u32, Bad> {
        for attr in attrs(data) {
            let (kind, v) = attr?;
            if kind == wanted {
                return if wide { u32_at(v, 0) } else { u16_at(v, 0).map(u32::from) };
            }
        }
        Ok(0)
    };
    Ok(match kind.as_str() {
        "macvlan" => Info::Upon(UponKind::Macvlan, value(IFLA_MACVLAN_MODE, true)?),
        "vrf" => Info::Vrf(value(IFLA_VRF_TABLE, true)?),
        // In another mode than L2 it is none of ours.
        "ipvlan" if value(IFLA_IPVLAN_MODE, false)? == u32::from(IPVLAN_L2) => {
            Info::Upon(UponKind::Ipvlan, value(IFLA_IPVLAN_FLAGS, false)?)
        }
        _ => Info::Other,
    })
}
