//! The kernel behind the simulated rtnetlink socket: bytes in, bytes out. One interface, and the addresses it was given.
//!
//! Numbers have the names of Linux headers. Read first: `src/wire/netlink`.

use kalived::effect::ADDR_PROTO;
use kalived::wire::netlink::{Kind, frames};
use std::collections::BTreeMap;
use std::net::IpAddr;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const RTM_GETROUTE: u16 = 26;
const EADDRNOTAVAIL: i32 = 99;
const EOPNOTSUPP: i32 = 95;

const NLM_F_ACK: u16 = 4;
/// The port of the one socket.
pub const PORT: u32 = 4711;

/// The only interface.
pub const IFINDEX: u32 = 7;

/// See the module.
#[derive(Debug, Default)]
pub struct Route {
    /// The addresses that kalived added.
    pub addrs: BTreeMap<(IpAddr, u8), ()>,
    /// The operator's addresses.
    pub own: Vec<(IpAddr, u8)>,
}

fn message(kind: u16, flags: u16, seq: u32, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + body.len());
    out.extend((16 + body.len() as u32).to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(flags.to_ne_bytes());
    out.extend(seq.to_ne_bytes());
    out.extend(0u32.to_ne_bytes());
    out.extend(body);
    out
}

fn attr(out: &mut Vec<u8>, kind: u16, data: &[u8]) {
    out.extend((4 + data.len() as u16).to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(data);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn link(seq: u32) -> Vec<u8> {
    // struct ifinfomsg: family, type, index, flags (IFF_UP | IFF_RUNNING | IFF_MULTICAST), change.
    let mut body = vec![0, 0, 1, 0];
    body.extend(IFINDEX.to_ne_bytes());
    body.extend(0x1041u32.to_ne_bytes());
    body.extend(0u32.to_ne_bytes());
    attr(&mut body, 3, format!("{}\0", crate::options::IFACE).as_bytes());
    attr(&mut body, 4, &1500u32.to_ne_bytes());
    attr(&mut body, 1, &[2, 0, 0, 0, 0, 1]);
    message(RTM_NEWLINK, 2, seq, &body)
}

fn addr(kind: u16, seq: u32, addr: IpAddr, prefix: u8, proto: u8) -> Vec<u8> {
    let (family, bytes) = match addr {
        IpAddr::V4(a) => (2, a.octets().to_vec()),
        IpAddr::V6(a) => (10, a.octets().to_vec()),
    };
    let mut body = vec![family, prefix, 0, 0];
    body.extend(IFINDEX.to_ne_bytes());
    attr(&mut body, 1, &bytes);
    attr(&mut body, 2, &bytes);
    attr(&mut body, 11, &[proto]);
    message(kind, 0, seq, &body)
}

/// The notification of a change. IPv4: with the number and the port of who asked for it; IPv6: from a worker, with neither.
fn notice(kind: u16, seq: u32, of: IpAddr, prefix: u8) -> Vec<u8> {
    let (port, seq) = if of.is_ipv4() { (PORT, seq) } else { (0, 0) };
    let mut out = addr(kind, seq, of, prefix, ADDR_PROTO);
    out[12..16].copy_from_slice(&port.to_ne_bytes());
    out
}

/// The notification that another program deleted an address.
pub fn deleted(of: IpAddr, prefix: u8) -> Vec<u8> {
    addr(RTM_DELADDR, 0, of, prefix, ADDR_PROTO)
}

/// Whether a message says that a request was done or refused: an acknowledgement, or a notification of a new address with the port of who
/// asked for it.
pub fn answers(message: &[u8]) -> bool {
    let is = |range: core::ops::Range<usize>, bytes: &[u8]| message.get(range) == Some(bytes);
    is(4..6, &NLMSG_ERROR.to_ne_bytes()) || (is(4..6, &RTM_NEWADDR.to_ne_bytes()) && is(12..16, &PORT.to_ne_bytes()))
}

fn ack(seq: u32, errno: i32) -> Vec<u8> {
    let mut body = (-errno).to_ne_bytes().to_vec();
    body.resize(20, 0);
    message(NLMSG_ERROR, 0, seq, &body)
}

impl Route {
    /// Executes the requests of a send; returns the messages that follow, in order, each as the socket delivers it.
    pub fn requests(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        for frame in frames(bytes) {
            let frame = frame.expect("our own framing");
            let seq = frame.seq;
            match frame.kind {
                RTM_GETLINK => out.extend([link(seq), message(NLMSG_DONE, 2, seq, &0i32.to_ne_bytes())]),
                RTM_GETADDR => {
                    out.extend(self.own.iter().map(|(a, p)| addr(RTM_NEWADDR, seq, *a, *p, 0)));
                    out.extend(self.addrs.keys().map(|(a, p)| addr(RTM_NEWADDR, seq, *a, *p, ADDR_PROTO)));
                    out.push(message(NLMSG_DONE, 2, seq, &0i32.to_ne_bytes()));
                }
                RTM_GETROUTE => out.push(message(NLMSG_DONE, 2, seq, &0i32.to_ne_bytes())),
                _ => match frame.rtnetlink().expect("our own encoding") {
                    Kind::Addr(a) => {
                        self.addrs.insert((a.addr, a.prefix), ());
                        out.push(notice(RTM_NEWADDR, seq, a.addr, a.prefix));
                        out.extend((frame.flags & NLM_F_ACK != 0).then(|| ack(seq, 0)));
                    }
                    Kind::AddrDel { addr: a, prefix, .. } => match self.addrs.remove(&(a, prefix)) {
                        Some(()) => out.extend([notice(RTM_DELADDR, seq, a, prefix), ack(seq, 0)]),
                        None => out.push(ack(seq, EADDRNOTAVAIL)),
                    },
                    _ => out.push(ack(seq, EOPNOTSUPP)),
                },
            }
        }
        out
    }
}

/// The raw address of the kernel: `struct sockaddr_nl` with port 0.
pub fn kernel_name() -> Vec<u8> {
    let mut name = vec![0; 12];
    name[..2].copy_from_slice(&16u16.to_ne_bytes());
    name
}
