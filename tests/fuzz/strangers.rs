//! A world with hostile partners: neighbours on the link, a kernel, a web server and a mail server send the bytes of an input. The world
//! must return and keep its invariants, and its log lines and effects are bounded by the length of the input.
//!
//! Read first: `targets.rs`. The configuration is text, so that it stays valid while the model changes.

use super::Memory;
use kalived::config::load;
use kalived::effect::{BfdFx, BfdPort, ConnFx, Effect, Effects, HelperFx, NetFx, NetOp, SockFx};
use kalived::event::{AddrInfo, BfdEv, Event, HelperEv, Link, NetEv, RxMeta, SockEv, Stream};
use kalived::id::{ConnKey, SockKey};
use kalived::time::{Duration, Instant, Now, Wall};
use kalived::wire::netlink::{Kind, messages};
use kalived::world::World;
use std::net::{IpAddr, SocketAddr};

const CONFIG: &str = "global_defs {\n router_id us\n notification_email {\n ops@example.net\n }\n notification_email_from us@example.net\n \
    smtp_server 192.0.2.25\n smtp_alert true\n}\n\
    vrrp_check web {\n http http://192.0.2.80:80/ status 200-299\n interval 1\n}\n\
    vrrp_instance two {\n interface eth0\n virtual_router_id 51\n version 2\n authentication {\n auth_type PASS\n auth_pass secret\n }\n \
    track_check {\n web weight 1\n }\n virtual_ipaddress {\n 198.18.0.100\n }\n}\n\
    bfd_instance peer {\n neighbor_ip 198.18.0.30\n }\n\
    bfd_instance far {\n neighbor_ip 2001:db8::30\n multihop\n }\n\
    vrrp_instance three {\n interface eth0\n virtual_router_id 52\n version 3\n track_bfd {\n peer weight 5\n }\n virtual_ipaddress {\n 198.18.0.101\n }\n}\n\
    vrrp_instance six {\n interface eth0\n virtual_router_id 53\n virtual_ipaddress {\n fe80::64\n 2001:db8::64\n }\n}\n";

/// A started world and what it has open.
pub struct Stage {
    world: World,
    now: Now,
    socks: Vec<SockKey>,
    conns: Vec<ConnKey>,
    bfd_sent: Vec<u8>,
    notes: usize,
    done: usize,
}

impl Stage {
    /// Started, with its interface up.
    pub fn new() -> Stage {
        let loaded = load(&Memory::new(CONFIG.as_bytes()), "f0");
        assert_eq!(loaded.config.instances.len(), 3, "{}", loaded.render(true));
        let now = Now { mono: Instant(1_000_000_000_000), wall: Wall(1_700_000_000_000_000_000) };
        let (socks, conns) = (Vec::new(), Vec::new());
        let world = World::new(loaded.config);
        let mut s = Stage { world, now, socks, conns, bfd_sent: Vec::new(), notes: 0, done: 0 };
        s.event(Event::Start);
        s.event(Event::Net(NetEv::DumpBegin));
        s.event(Event::Net(NetEv::LinkNew(Link {
            ifindex: 3,
            name: "eth0".into(),
            up: true,
            running: true,
            multicast: true,
            loopback: false,
            noarp: false,
            mtu: 1500,
            mac: Some([2, 0, 0, 0, 0, 3]),
            upon: None,
            ours: false,
            fresh: false,
            master: 0,
            vrf: false,
            table: 0,
        })));
        for (addr, prefix) in [("198.18.0.20", 16), ("fe80::20", 64)] {
            s.event(Event::Net(NetEv::AddrNew(address(addr.parse().expect("an address"), prefix))));
        }
        s.event(Event::Net(NetEv::Synced { complete: true }));
        s
    }

    fn event(&mut self, event: Event<'_>) {
        let mut fx = Effects::default();
        self.world.handle(self.now, event, &mut fx);
        self.apply(fx);
    }

    fn apply(&mut self, mut fx: Effects) {
        self.world.check_invariants();
        for effect in fx.drain().collect::<Vec<_>>() {
            self.done += 1;
            match effect {
                Effect::Sock(SockFx::Open { sock, .. }) => {
                    self.socks.push(sock);
                    self.event(Event::Sock(SockEv::Ready { sock, result: Ok(()) }));
                }
                Effect::Bfd(BfdFx::Listen(port)) => self.event(Event::Bfd(BfdEv::Listening { port, result: Ok(()) })),
                Effect::Bfd(BfdFx::Open { session, .. }) => {
                    self.event(Event::Bfd(BfdEv::Ready { session, result: Ok(()) }));
                }
                Effect::Bfd(BfdFx::Send { bytes, .. }) => self.bfd_sent = bytes.to_vec(),
                Effect::Sock(SockFx::Close { sock }) => self.socks.retain(|s| *s != sock),
                Effect::Net(NetFx::Change { req, op }) => {
                    if let NetOp::AddrAdd(s) = &op {
                        self.event(Event::Net(NetEv::AddrNew(AddrInfo {
                            ifindex: s.ifindex,
                            ..address(s.addr, s.prefix)
                        })));
                    }
                    self.event(Event::Net(NetEv::Reply { req, result: Ok(()) }));
                }
                Effect::Helper(HelperFx::Lookup { conn, .. }) => {
                    self.event(Event::Helper(HelperEv::Resolved {
                        conn,
                        result: Ok(&[SocketAddr::from(([192, 0, 2, 25], 25))]),
                    }));
                }
                Effect::Conn(ConnFx::Connect { conn, .. }) => {
                    self.conns.push(conn);
                    self.event(Event::Conn { conn, what: Stream::Connected });
                }
                Effect::Conn(ConnFx::Close { conn }) => self.conns.retain(|c| *c != conn),
                Effect::Note(_) => self.notes += 1,
                _ => {}
            }
        }
    }

    /// Time passes, at most a few timers' worth.
    pub fn pass(&mut self, d: Duration) {
        let end = self.now.mono + d;
        for _ in 0..200 {
            let Some((at, _)) = self.world.next_deadline().filter(|(at, _)| *at <= end) else { break };
            self.turn_to(at);
            let mut fx = Effects::default();
            self.world.fire(self.now, 64, &mut fx);
            self.apply(fx);
        }
        self.turn_to(end);
    }

    fn turn_to(&mut self, at: Instant) {
        let at = self.now.mono.max(at);
        self.now.wall.0 += at.0.saturating_sub(self.now.mono.0);
        self.now.mono = at;
    }

    /// Bytes for every socket, each as a datagram of IPv4 and of IPv6.
    pub fn datagram(&mut self, bytes: &[u8]) {
        for sock in self.socks.clone() {
            let four = RxMeta { src: IpAddr::from([198, 18, 0, 30]), dst: None, hop_limit: None };
            let group = "ff02::12".parse().expect("an address");
            let six = RxMeta { src: "fe80::30".parse().expect("an address"), dst: Some(group), hop_limit: Some(255) };
            for meta in [four, six] {
                self.event(Event::Sock(SockEv::Datagram { sock, meta, age: Duration::ZERO, bytes }));
            }
        }
    }

    /// A packet on a BFD port. Bits of `who`: IPv6, multihop, a stranger, Your Discriminator as it was sent last; the others are the TTL.
    pub fn bfd(&mut self, who: u8, packet: &[u8]) {
        let bit = |n: u8| who >> n & 1 == 1;
        let mut bytes = packet.to_vec();
        if bit(3)
            && let (Some(to), Some(mine)) = (bytes.get_mut(8..12), self.bfd_sent.get(4..8))
        {
            to.copy_from_slice(mine);
        }
        let port = BfdPort { v6: bit(0), multihop: bit(1) };
        let src: &str = match (bit(0), bit(2)) {
            (false, false) => "198.18.0.30",
            (true, false) => "2001:db8::30",
            (false, true) => "198.18.0.31",
            (true, true) => "2001:db8::31",
        };
        let (src, ttl, age) = (src.parse().expect("an address"), Some(who | 15), Duration::ZERO);
        self.event(Event::Bfd(BfdEv::Datagram { port, src, dst: None, ttl, age, bytes: &bytes }));
    }

    /// What the daemon makes of what a netlink socket received.
    pub fn netlink(&mut self, bytes: &[u8]) -> usize {
        let mut n = 0;
        for message in messages(bytes) {
            n += 1;
            match message.map(|m| m.kind) {
                Ok(Kind::Link(l)) => self.event(Event::Net(NetEv::LinkNew(l))),
                Ok(Kind::LinkDel(ifindex)) => self.event(Event::Net(NetEv::LinkDel { ifindex })),
                Ok(Kind::Addr(a)) => self.event(Event::Net(NetEv::AddrNew(a))),
                Ok(Kind::AddrDel { ifindex, addr, prefix }) => {
                    self.event(Event::Net(NetEv::AddrDel { ifindex, addr, prefix, by: None }))
                }
                _ => {}
            }
        }
        n
    }

    /// Bytes on every open connection: a web server's and a mail server's.
    pub fn reply(&mut self, bytes: &[u8]) {
        for conn in self.conns.clone() {
            self.event(Event::Conn { conn, what: Stream::Data(bytes) });
        }
    }

    /// The other sides send no more.
    pub fn end(&mut self) {
        for conn in self.conns.clone() {
            self.event(Event::Conn { conn, what: Stream::End });
        }
    }

    /// How many connections are open, notes were made, effects asked for.
    pub fn counts(&self) -> (usize, usize, usize) {
        (self.conns.len(), self.notes, self.done)
    }
}

fn address(addr: IpAddr, prefix: u8) -> AddrInfo {
    AddrInfo { ifindex: 3, addr, prefix, scope: 0, tentative: false, dad_failed: false, secondary: false, proto: 0 }
}
