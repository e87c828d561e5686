//! The IPVS codec: round trips, exact bytes, and malformed messages: one that is cut short is not read as a whole one, and no input panics.

use super::hex;
use bytes::BytesMut;
use kalived::wire::Bad;
use kalived::wire::netlink::generic::{self, get_family, read_family};
use kalived::wire::netlink::ipvs::*;
use proptest::prelude::*;
use std::net::IpAddr;

const FAMILY_ID: u16 = 0x20;

// The message without its `struct nlmsghdr` (16 bytes), as `read` takes it.
fn body(put: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
    let mut out = BytesMut::new();
    put(&mut out);
    out[16..].to_vec()
}

fn any_key() -> impl Strategy<Value = ServiceKey> {
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Sctp)];
    prop_oneof![
        (protocol, any::<IpAddr>(), any::<u16>()).prop_map(|(p, a, port)| ServiceKey::Address(p, a, port)),
        (1u32.., any::<bool>()).prop_map(|(m, v6)| ServiceKey::Mark(m, v6)),
    ]
}

fn any_destination() -> impl Strategy<Value = Destination> {
    let forward = prop_oneof![
        Just(Forward::Nat),
        Just(Forward::Direct),
        Just(Forward::Tunnel(Tunnel::Ipip)),
        (any::<u16>(), 0u16..4).prop_map(|(p, f)| Forward::Tunnel(Tunnel::Gue(p, f))),
        (0u16..4).prop_map(|f| Forward::Tunnel(Tunnel::Gre(f))),
    ];
    (forward, any::<u32>(), any::<u32>(), any::<u32>()).prop_map(|(forward, weight, upper, lower)| Destination {
        forward,
        weight,
        upper,
        lower,
    })
}

proptest! {
    #[test]
    fn a_service_is_read_as_it_was_written(
        key in any_key(), scheduler in "[a-z]{1,15}", flags in 0u32..64, timeout in 1u32.., netmask: u32, engine in "[a-z]{0,15}",
    ) {
        let flags = flags & !2;
        let timeout = if flags & PERSISTENT == 0 { 0 } else { timeout };
        let svc = Service { scheduler, flags, timeout, netmask, engine };
        let bytes = body(|o| service(o, FAMILY_ID, 7, Act::New, &key, &svc));
        prop_assert_eq!(read(&bytes, None), Ok(Message::Service(key, svc)));
    }

    #[test]
    fn a_destination_is_read_as_it_was_written(of in any_key(), addr: IpAddr, port: u16, d in any_destination()) {
        let key = DestinationKey { addr, port };
        let bytes = body(|o| destination(o, FAMILY_ID, 7, Act::New, &of, &key, &d));
        prop_assert_eq!(read(&bytes, Some(&of)), Ok(Message::Destination(key, d, Connections::default())));
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        let _ = read(&bytes, None);
        let _ = read_family(&bytes);
    }
}

#[test]
fn a_message_cut_or_changed_anywhere_is_survived() {
    let of = ServiceKey::Address(Protocol::Tcp, "10.77.1.1".parse().unwrap(), 80);
    let d = Destination { forward: Forward::Tunnel(Tunnel::Gue(6080, 1)), weight: 1, upper: 0, lower: 0 };
    let key = DestinationKey { addr: "10.77.0.11".parse().unwrap(), port: 80 };
    let bytes = body(|o| destination(o, FAMILY_ID, 7, Act::New, &of, &key, &d));
    for cut in 0..bytes.len() {
        assert_ne!(
            read(&bytes[..cut], Some(&of)),
            Ok(Message::Destination(key, d, Connections::default())),
            "cut at {cut}"
        );
        for bit in 0..8 {
            let mut other = bytes.clone();
            other[cut] ^= 1 << bit;
            let _ = read(&other, Some(&of));
        }
    }
}

#[test]
#[cfg(target_endian = "little")]
fn requests_byte_for_byte() {
    let mut out = BytesMut::new();
    get_family(&mut out, 1, FAMILY);
    // nlmsghdr, genlmsghdr GETFAMILY version 1, CTRL_ATTR_FAMILY_NAME "IPVS\0"
    assert_eq!(out[..], hex("20000000100005000100000000000000 03010000 0900020049505653 00000000")[..]);

    let mut out = BytesMut::new();
    let key = ServiceKey::Address(Protocol::Tcp, "10.77.1.1".parse().unwrap(), 80);
    let svc = Service { scheduler: "rr".into(), flags: 0, timeout: 0, netmask: u32::MAX, engine: String::new() };
    service(&mut out, FAMILY_ID, 2, Act::Delete, &key, &svc);
    // Address family 2, protocol 6, address in 16 bytes, port 80 in network order. A deletion needs no other attribute.
    let want = "44000000200005000200000000000000 03010000 30000180 0600010002000000 0600020006000000 \
                140003000a4d0101000000000000000000000000 0600040000500000";
    assert_eq!(out[..], hex(want)[..]);
}

#[test]
fn a_netmask_is_a_mask_for_ipv4_and_a_length_for_ipv6() {
    let svc =
        |netmask| Service { scheduler: "wlc".into(), flags: PERSISTENT, timeout: 50, netmask, engine: String::new() };
    let v4 = ServiceKey::Address(Protocol::Tcp, "192.0.2.1".parse().unwrap(), 80);
    let bytes = body(|o| service(o, FAMILY_ID, 1, Act::New, &v4, &svc(0xffff_ff00)));
    assert!(bytes.windows(8).any(|w| w == [8, 0, 9, 0, 255, 255, 255, 0]), "network order");
    let v6 = ServiceKey::Mark(9, true);
    let bytes = body(|o| service(o, FAMILY_ID, 1, Act::New, &v6, &svc(64)));
    assert!(bytes.windows(8).any(|w| w[..4] == [8, 0, 9, 0] && w[4..] == 64u32.to_ne_bytes()), "host order");
}

#[test]
fn what_is_missing_is_an_error() {
    let key = ServiceKey::Mark(7, false);
    assert_eq!(read(&[], None), Err(Bad::Length));
    assert_eq!(read(&[1, 1, 0, 0], None), Err(Bad::Missing));
    assert_eq!(read(&[99, 1, 0, 0], None), Ok(Message::Other(99)));
    let mut none = BytesMut::new();
    get_services(&mut none, FAMILY_ID, 1);
    get_destinations(&mut none, FAMILY_ID, 2, &key);
    assert_eq!(read_family(&body(|o| get_family(o, 1, "IPVS"))), Ok(None), "a request is not an answer");
    assert_eq!(generic::CONTROLLER, 0x10);
}

#[test]
fn a_thread_of_synchronisation_is_read_as_it_was_written() {
    for group in [None, Some("224.0.0.81".parse().unwrap()), Some("ff02::51".parse::<IpAddr>().unwrap())] {
        for master in [true, false] {
            let one =
                SyncDaemon { master, interface: "eth1".into(), id: 255, max_len: 1472, group, port: 8848, ttl: 7 };
            let bytes = body(|o| sync_daemon(o, FAMILY_ID, 7, true, &one));
            assert_eq!(read(&bytes, None), Ok(Message::Daemon(one)));
            assert!((5..bytes.len()).all(|n| !matches!(read(&bytes[..n], None), Ok(Message::Daemon(_)))));
        }
    }
    // NLM_F_REQUEST | NLM_F_DUMP, IPVS_CMD_GET_DAEMON.
    let mut out = BytesMut::new();
    get_sync_daemons(&mut out, FAMILY_ID, 7);
    assert_eq!(out[..], hex("14000000 20000103 07000000 00000000 0b010000")[..]);
}
