//! Replaces the `World`: makes all requests to the services of the loop, at random, and checks that they do what `effect.rs` and
//! `event.rs` state. For each rule there is a count of how often it was checked.

use crate::rng::Rng;
use bytes::Bytes;
use kalived::daemon::Machine;
use kalived::effect::{
    AddrSpec, AdvertFx, ConnFx, Effect, Effects, NetFx, NetOp, Packet, Packets, Peer, SockFx, SockSpec,
};
use kalived::event::{AdvertEv, Errno, Event, NetEv, ReqId, SockEv, Stream};
use kalived::exit::ExitCode;
use kalived::id::{Arena, ConnKey, ConnMark, SockKey, SockMark, VrKey, VrMark};
use kalived::note::{Level, Note};
use kalived::time::{Duration, Instant, Now};
use kalived::timers::Due;
use std::collections::{BTreeMap, VecDeque};

use super::route::IFINDEX;

const MS: Duration = Duration::from_millis(1);
/// Time within which a request is answered: longer than all delays together.
const PATIENCE: Duration = Duration::from_millis(400);

/// The rules. The order is that of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// An armed advert is reported once, in time, and the report matches the packets that left.
    Reported,
    /// No packet leaves before its time, or twice.
    OnTime,
    /// After a farewell the last packet of its router is the farewell.
    Farewell,
    /// An advert that is sent at once is reported exactly when none of its packets left.
    Immediate,
    /// A slice of frames is answered once, with how many left, in order.
    Frames,
    /// A request of netlink is answered once, in time.
    Netlink,
    /// A dump ends, in time.
    Dump,
    /// A socket is reported as ready or failed once; no event of a closed one is reported.
    Socket,
    /// A datagram is delivered once, in order, in time.
    Datagram,
    /// A connection opens or fails once; written bytes arrive, and received bytes are read, in order and once.
    Stream,
    /// Log lines are written in order, all of them.
    Log,
    /// A buffer is returned once.
    Buffers,
    /// At the end no operation, buffer or descriptor is left.
    Leaks,
}

impl Rule {
    /// All of them.
    pub const ALL: [Rule; 13] = [
        Rule::Reported,
        Rule::OnTime,
        Rule::Farewell,
        Rule::Immediate,
        Rule::Frames,
        Rule::Netlink,
        Rule::Dump,
        Rule::Socket,
        Rule::Datagram,
        Rule::Stream,
        Rule::Log,
        Rule::Buffers,
        Rule::Leaks,
    ];
}

struct Armed {
    vr: usize,
    epoch: u32,
    sock: SockKey,
    at: Instant,
    left: Vec<bool>,
    taken_back: bool,
    answered: bool,
}

struct Now2 {
    left: usize,
    failed: bool,
    since: Instant,
}

#[derive(Default)]
struct Router {
    epoch: u32,
    sock: Option<SockKey>,
    /// The farewell that is its last packet.
    farewell: Option<Farewell>,
    farewells: u32,
}

struct Farewell {
    id: u32,
    since: Instant,
    packets: usize,
    /// How many packets of it left last.
    left: usize,
    failed: bool,
    stale: bool,
}

struct Slice {
    frames: usize,
    left: usize,
    since: Instant,
}

#[derive(Default)]
struct Conn {
    written: Vec<u8>,
    pub sent: Vec<u8>,
    heard: Vec<u8>,
    connected: bool,
    over: bool,
    ended: bool,
}

/// See the module.
pub struct Exerciser {
    rng: Rng,
    next: Instant,
    end: Instant,
    vrs: Vec<VrKey>,
    routers: Vec<Router>,
    sock_names: Arena<SockMark, ()>,
    socks: BTreeMap<SockKey, Option<bool>>,
    pub injected: BTreeMap<SockKey, VecDeque<(u32, Instant)>>,
    armed: BTreeMap<u32, Armed>,
    sends: BTreeMap<u32, (usize, Now2)>,
    slices: BTreeMap<u64, Slice>,
    answers: Vec<(u64, usize, Option<Errno>)>,
    requests: BTreeMap<u64, Instant>,
    dumping: Option<Instant>,
    conn_names: Arena<ConnMark, ()>,
    conns: BTreeMap<ConnKey, Conn>,
    ids: u32,
    pub lines: u32,
    stage: u8,
    /// The first violation.
    pub wrong: Option<(Rule, String)>,
    /// How often each rule was checked.
    pub demanded: BTreeMap<Rule, u64>,
}

fn packet(kind: u8, id: u32, nth: usize) -> Packet {
    let mut bytes = vec![kind, nth as u8];
    bytes.extend(id.to_be_bytes());
    Packet { to: [192, 0, 2, nth as u8 + 1].into(), bytes: bytes.into(), from: None }
}

impl Exerciser {
    pub fn new(mut rng: Rng, now: Instant, length: Duration) -> Exerciser {
        let mut names: Arena<VrMark, ()> = Arena::default();
        let count = rng.range(1, 30) as usize;
        Exerciser {
            rng,
            next: now,
            end: now + length,
            vrs: (0..count).map(|_| names.insert(())).collect(),
            routers: (0..count).map(|_| Router::default()).collect(),
            sock_names: Arena::default(),
            socks: BTreeMap::new(),
            injected: BTreeMap::new(),
            armed: BTreeMap::new(),
            sends: BTreeMap::new(),
            slices: BTreeMap::new(),
            answers: Vec::new(),
            requests: BTreeMap::new(),
            dumping: None,
            conn_names: Arena::default(),
            conns: BTreeMap::new(),
            ids: 0,
            lines: 0,
            stage: 0,
            wrong: None,
            demanded: BTreeMap::new(),
        }
    }

    /// Notes the first violation.
    pub fn violate(&mut self, rule: Rule, text: String) {
        self.wrong.get_or_insert((rule, text));
    }

    /// Checks a rule.
    pub fn demand(&mut self, rule: Rule, holds: bool, text: impl FnOnce() -> String) {
        *self.demanded.entry(rule).or_default() += 1;
        if !holds {
            self.violate(rule, text());
        }
    }

    /// Sockets that receive.
    pub fn ready_socks(&self) -> Vec<SockKey> {
        self.socks.iter().filter(|(_, s)| **s == Some(true)).map(|(k, _)| *k).collect()
    }
    /// Connections that are open, and not ended by their peer.
    pub fn open_conns(&self) -> Vec<ConnKey> {
        self.conns.iter().filter(|(_, c)| c.connected && !c.over && !c.ended).map(|(k, _)| *k).collect()
    }
    /// A number of its own.
    pub fn id(&mut self) -> u32 {
        self.ids += 1;
        self.ids
    }
    /// The peer of a connection sends.
    pub fn peer_sent(&mut self, conn: ConnKey, bytes: &[u8]) {
        if let Some(c) = self.conns.get_mut(&conn) {
            c.sent.extend(bytes);
        }
    }
    /// The bytes that the peer of a connection has received so far.
    pub fn peer_got(&mut self, conn: ConnKey, bytes: &[u8]) {
        let Some(c) = self.conns.get(&conn) else { return };
        let fine = c.written.starts_with(bytes);
        self.demand(Rule::Stream, fine, || format!("{conn:?}: its peer got what was not written, or in another order"));
    }

    /// A packet of an advert left.
    pub fn packet_left(&mut self, at: Instant, bytes: &[u8]) {
        let (kind, nth) = (bytes[0], usize::from(bytes[1]));
        let id = u32::from_be_bytes([bytes[2], bytes[3], bytes[4], bytes[5]]);
        match kind {
            b'A' => {
                let Some(a) = self.armed.get_mut(&id) else {
                    return self.violate(Rule::OnTime, format!("advert {id} left after it was reported"));
                };
                let twice = core::mem::replace(&mut a.left[nth], true);
                let (due, vr, stale) = (a.at, a.vr, a.taken_back);
                self.demand(Rule::OnTime, !twice, || format!("packet {nth} of advert {id} left twice"));
                self.demand(Rule::OnTime, at >= due, || format!("advert {id} left at {at:?}, due {due:?}"));
                if let Some(f) = self.routers[vr].farewell.as_mut().filter(|_| stale) {
                    f.stale = true;
                }
            }
            b'S' => {
                if let Some((_, s)) = self.sends.get_mut(&id) {
                    s.left += 1;
                }
            }
            b'F' => {
                for r in &mut self.routers {
                    if let Some(f) = r.farewell.as_mut().filter(|f| f.id == id) {
                        (f.stale, f.left) = (false, f.left + 1);
                    }
                }
            }
            other => self.violate(Rule::OnTime, format!("a packet of kind {other}")),
        }
    }

    /// A frame left.
    pub fn frame_left(&mut self, bytes: &[u8]) {
        let batch = u64::from(u32::from_be_bytes([bytes[2], bytes[3], bytes[4], bytes[5]]));
        let Some(s) = self.slices.get_mut(&batch) else {
            return self.violate(Rule::Frames, format!("a frame of slice {batch} left after it was answered"));
        };
        let (nth, left) = (usize::from(bytes[1]), s.left);
        s.left += 1;
        self.demand(Rule::Frames, nth == left, || format!("frame {nth} of slice {batch} left after {left} others"));
    }

    /// Checks what is overdue; `send_faults`: sends fail, so a farewell may be lost.
    pub fn look(&mut self, now: Instant, send_faults: bool) {
        let late = |since: Instant| now > since + PATIENCE;
        if let Some((id, a)) = self.armed.iter().find(|(_, a)| !a.answered && !a.taken_back && late(a.at)) {
            let text = format!("advert {id}, due {:?}, is not reported at {now:?}", a.at);
            self.violate(Rule::Reported, text);
        }
        if let Some((id, _)) = self.sends.iter().find(|(_, (_, s))| s.left == 0 && !s.failed && late(s.since)) {
            let text = format!("no packet of advert {id} left, and that is not reported");
            self.violate(Rule::Immediate, text);
        }
        self.sends.retain(|_, (_, s)| !late(s.since));
        if let Some((batch, _)) = self.slices.iter().find(|(_, s)| late(s.since)) {
            let text = format!("slice {batch} is not answered");
            self.violate(Rule::Frames, text);
        }
        if let Some((req, _)) = self.requests.iter().find(|(_, since)| late(**since)) {
            let text = format!("request {req} is not answered");
            self.violate(Rule::Netlink, text);
        }
        if self.dumping.is_some_and(late) {
            self.violate(Rule::Dump, "a dump does not end".into());
        }
        for (sock, queue) in &self.injected {
            if queue.front().is_some_and(|(_, since)| late(*since)) {
                let text = format!("a datagram on {sock:?} is not delivered");
                self.wrong.get_or_insert((Rule::Datagram, text));
            }
        }
        for i in 0..self.routers.len() {
            let Some(f) = self.routers[i].farewell.take_if(|f| late(f.since)) else { continue };
            let whole = f.left >= f.packets || f.failed || send_faults;
            self.demand(Rule::Farewell, whole, || {
                format!("a farewell of router {i}: {} of {} left", f.left, f.packets)
            });
            self.demand(Rule::Farewell, !f.stale || send_faults, || {
                format!("router {i}: an advert is its last packet")
            });
        }
        // Cancelled ones are kept until no packet of them can leave.
        self.armed.retain(|_, a| !(late(a.at) && (a.answered || a.taken_back)));
    }

    fn take_back(&mut self, which: impl Fn(&Armed) -> bool) {
        self.armed.values_mut().filter(|a| which(a)).for_each(|a| a.taken_back = true);
    }

    fn close(&mut self, sock: SockKey, fx: &mut Effects) {
        self.socks.remove(&sock);
        self.injected.remove(&sock);
        self.take_back(|a| a.sock == sock);
        fx.push(Effect::Sock(SockFx::Close { sock }));
    }

    fn act(&mut self, now: Instant, fx: &mut Effects) {
        let vr = self.rng.below(self.vrs.len() as u64) as usize;
        let ready = self.ready_socks();
        match self.rng.below(24) {
            0..=6 => {
                let Some(sock) = ready.first().copied() else { return };
                // On a grid, so that several share a chain.
                let at = Instant((now.0 / 1_000_000 + self.rng.range(1, 40)) * 1_000_000);
                if self.armed.values().any(|a| a.vr == vr && a.at == at) {
                    return;
                }
                let (id, count) = (self.id(), self.rng.range(1, 3) as usize);
                let r = &mut self.routers[vr];
                (r.sock, r.farewell) = (Some(sock), None);
                let epoch = r.epoch;
                let left = vec![false; count];
                self.armed.insert(id, Armed { vr, epoch, sock, at, left, taken_back: false, answered: false });
                let packets = Packets::of((0..count).map(|n| packet(b'A', id, n)).collect()).expect("one or more");
                fx.push(Effect::Advert(AdvertFx::At { vr: self.vrs[vr], sock, epoch, at, packets }));
            }
            7 | 8 => {
                let Some(sock) = ready.first().copied() else { return };
                let (id, count) = (self.id(), self.rng.range(1, 3) as usize);
                self.routers[vr].farewell = None;
                self.sends.insert(id, (vr, Now2 { left: 0, failed: false, since: now }));
                let packets = Packets::of((0..count).map(|n| packet(b'S', id, n)).collect()).expect("one or more");
                fx.push(Effect::Advert(AdvertFx::Send { vr: self.vrs[vr], sock, packets }));
            }
            9 | 10 => self.stop(vr, now, fx),
            11 => {
                if self.socks.len() < 3 {
                    let sock = self.sock_names.insert(());
                    self.socks.insert(sock, None);
                    let spec = match self.rng.permille(500) {
                        true => SockSpec::Multicast { ifindex: IFINDEX, group: [224, 0, 0, 18].into(), ah: false },
                        false => SockSpec::Unicast { local: [192, 0, 2, 1].into(), ifindex: 0, ah: false },
                    };
                    fx.push(Effect::Sock(SockFx::Open { sock, spec }));
                }
            }
            12 => {
                if let Some(sock) = ready.first().copied().filter(|_| self.rng.permille(200)) {
                    self.close(sock, fx);
                }
            }
            13 | 14 => {
                if self.slices.is_empty() {
                    let (id, count) = (self.id(), self.rng.range(1, 12) as usize);
                    self.slices.insert(u64::from(id), Slice { frames: count, left: 0, since: now });
                    let frames: Vec<Bytes> = (0..count).map(|n| packet(b'G', id, n).bytes).collect();
                    fx.push(Effect::Frames { ifindex: IFINDEX, batch: u64::from(id), frames });
                }
            }
            15 | 16 => {
                for _ in 0..self.rng.range(1, 3) {
                    let spec = AddrSpec {
                        ifindex: IFINDEX,
                        addr: [10, 0, 0, self.rng.range(1, 20) as u8].into(),
                        prefix: 32,
                        brd: None,
                        scope: 0,
                        label: None,
                        deprecated: false,
                        noprefixroute: false,
                        flags: 0,
                        peer: None,
                        tag: kalived::effect::ADDR_PROTO,
                        metric: 0,
                    };
                    let op = if self.rng.permille(500) { NetOp::AddrAdd(spec) } else { NetOp::AddrDel(spec) };
                    let req = u64::from(self.id());
                    self.requests.insert(req, now);
                    fx.push(Effect::Net(NetFx::Change { req: ReqId(req), op }));
                }
            }
            17 => {
                if self.dumping.is_none() || self.rng.permille(200) {
                    self.dumping = Some(now);
                    fx.push(Effect::Net(NetFx::Resync));
                }
            }
            18 => {
                if self.conns.len() < 4 {
                    let conn = self.conn_names.insert(());
                    self.conns.insert(conn, Conn::default());
                    fx.push(Effect::Conn(ConnFx::Connect {
                        conn,
                        to: Peer::Tcp(([192, 0, 2, 9], 80).into()),
                        way: None,
                    }));
                }
            }
            19 | 20 => {
                let open: Vec<ConnKey> = self.conns.iter().filter(|(_, c)| !c.over).map(|(k, _)| *k).collect();
                if let Some(conn) = open.first().copied() {
                    let bytes: Vec<u8> = (0..self.rng.range(1, 300)).map(|_| self.rng.bits() as u8).collect();
                    if let Some(c) = self.conns.get_mut(&conn) {
                        c.written.extend(&bytes);
                    }
                    fx.push(Effect::Conn(ConnFx::Write { conn, bytes: bytes.into() }));
                }
            }
            21 => {
                let all: Vec<ConnKey> = self.conns.keys().copied().collect();
                if let Some(conn) = all.first().copied().filter(|_| self.rng.permille(400)) {
                    self.conns.remove(&conn);
                    fx.push(Effect::Conn(ConnFx::Close { conn }));
                }
            }
            _ => {
                self.lines += 1;
                fx.note(Note { level: Level::Info, text: format!("line {}", self.lines) });
            }
        }
    }

    fn stop(&mut self, vr: usize, now: Instant, fx: &mut Effects) {
        let Some(sock) = self.routers[vr].sock.filter(|s| self.socks.get(s) == Some(&Some(true))) else { return };
        self.take_back(|a| a.vr == vr);
        self.routers[vr].epoch += 1;
        let farewell = self.rng.permille(700).then(|| {
            let (id, packets) = (self.id(), self.rng.range(1, 3) as usize);
            self.routers[vr].farewell =
                Some(Farewell { id, since: now, packets, left: 0, failed: false, stale: false });
            self.routers[vr].farewells += 1;
            Packets::of((0..packets).map(|n| packet(b'F', id, n)).collect()).expect("one or more")
        });
        fx.push(Effect::Advert(AdvertFx::Stop { vr: self.vrs[vr], sock, farewell }));
    }

    fn advert(&mut self, e: AdvertEv<'_>) {
        match e {
            AdvertEv::Sent { vr, epoch, due, result, missed } => {
                let hit = |a: &Armed| self.vrs[a.vr] == vr && a.epoch == epoch && a.at == due;
                let Some(id) = self.armed.iter().find(|(_, a)| hit(a)).map(|(id, _)| *id) else {
                    return self
                        .violate(Rule::Reported, format!("an advert due {due:?} is reported that was not armed"));
                };
                let Some(a) = self.armed.get_mut(&id) else { return };
                let again = core::mem::replace(&mut a.answered, true);
                let (left, all) = (a.left.iter().filter(|l| **l).count(), a.left.len());
                self.demand(Rule::Reported, !again, || format!("advert {id} is reported twice"));
                let right = match result {
                    Ok(()) => left > 0 && left + missed.len() == all,
                    Err(_) => left == 0,
                };
                self.demand(Rule::Reported, right, || {
                    format!("advert {id}: {left} of {all} left, reported {result:?} without {missed:?}")
                });
            }
            AdvertEv::SendFailed { vr, .. } => {
                let hit = self.sends.values_mut().find(|(i, s)| self.vrs[*i] == vr && s.left == 0 && !s.failed);
                let found = hit.map(|(_, s)| s.failed = true).is_some();
                // A farewell that is sent once more is reported so, too.
                let repeated = self.routers.iter().zip(&self.vrs).any(|(r, v)| *v == vr && r.farewells > 0);
                self.demand(Rule::Immediate, found || repeated, || {
                    "an advert is said to have failed, and none did".into()
                });
            }
            AdvertEv::FarewellFailed { vr, .. } => {
                if let Some(i) = self.vrs.iter().position(|v| *v == vr)
                    && let Some(f) = &mut self.routers[i].farewell
                {
                    f.failed = true;
                }
            }
        }
    }

    fn sock(&mut self, e: SockEv<'_>) {
        match e {
            SockEv::Ready { sock, result } => {
                let state = self.socks.get_mut(&sock);
                let fine = state.as_deref() == Some(&None);
                if let Some(s) = state {
                    *s = Some(result.is_ok());
                }
                self.demand(Rule::Socket, fine, || format!("{sock:?} is ready, and was not being opened"));
                if result.is_err() {
                    self.socks.remove(&sock);
                }
            }
            SockEv::Lost { sock, .. } => {
                let open = self.socks.remove(&sock).is_some();
                self.injected.remove(&sock);
                self.take_back(|a| a.sock == sock);
                self.demand(Rule::Socket, open, || format!("{sock:?} is lost, and was not open"));
            }
            SockEv::Datagram { sock, bytes, .. } => {
                let open = self.socks.contains_key(&sock);
                self.demand(Rule::Socket, open, || format!("a datagram on {sock:?}, which is closed"));
                let id = bytes.try_into().map(u32::from_be_bytes).unwrap_or_default();
                let next = self.injected.get_mut(&sock).and_then(VecDeque::pop_front).map(|(id, _)| id);
                self.demand(Rule::Datagram, next == Some(id), || format!("datagram {id} on {sock:?}, not {next:?}"));
            }
            SockEv::LocalDatagram { .. } => self.violate(Rule::Socket, "nobody hears local adverts".into()),
        }
    }

    fn net(&mut self, e: NetEv) {
        match e {
            NetEv::Reply { req, .. } => {
                let open = self.requests.remove(&req.0).is_some();
                self.demand(Rule::Netlink, open, || format!("{req:?} is answered twice, or was not made"));
            }
            NetEv::Synced { .. } => {
                let open = self.dumping.take().is_some();
                self.demand(Rule::Dump, open, || "a dump ends that was not asked for".into());
            }
            NetEv::Lost
            | NetEv::DumpBegin
            | NetEv::LinkNew(_)
            | NetEv::LinkDel { .. }
            | NetEv::AddrNew(_)
            | NetEv::AddrDel { .. }
            | NetEv::RouteNew { .. }
            | NetEv::RouteDel(..)
            | NetEv::RuleNew(_)
            | NetEv::RuleDel(..) => {}
        }
    }

    fn stream(&mut self, conn: ConnKey, what: Stream<'_>) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return self.violate(Rule::Stream, format!("{conn:?} is closed and heard of: {what:?}"));
        };
        let fine = match what {
            Stream::Connected => !core::mem::replace(&mut c.connected, true) && !c.over,
            Stream::Data(b) => {
                c.heard.extend(b);
                c.connected && !c.over && c.sent.starts_with(&c.heard)
            }
            Stream::End => c.connected && !c.over && !core::mem::replace(&mut c.ended, true) && c.heard == c.sent,
            Stream::Failed(_) | Stream::Broken(_) => !core::mem::replace(&mut c.over, true),
        };
        self.demand(Rule::Stream, fine, || format!("{conn:?}: {what:?} is not what its peer did"));
    }

    /// Compares the answers of the last turn with the packets that left in it.
    pub fn frames_answered(&mut self) {
        for (batch, sent, errno) in core::mem::take(&mut self.answers) {
            let Some(s) = self.slices.remove(&batch) else {
                return self.violate(Rule::Frames, format!("slice {batch} is answered twice"));
            };
            let right = sent == s.left && (sent < s.frames || errno.is_none());
            self.demand(Rule::Frames, right, || format!("slice {batch}: {} of {} left, {sent} said", s.left, s.frames));
        }
    }
}

impl Machine for Exerciser {
    fn handle(&mut self, now: Now, event: Event<'_>, _fx: &mut Effects) {
        self.look(now.mono, true);
        match event {
            Event::Start => {}
            Event::Advert(e) => self.advert(e),
            Event::Sock(e) => self.sock(e),
            Event::Net(e) => self.net(e),
            Event::Conn { conn, what } => self.stream(conn, what),
            Event::Frames { batch, sent, errno, .. } => self.answers.push((batch, sent, errno)),
            Event::Signal(_)
            | Event::Guard(_)
            | Event::Helper(_)
            | Event::Lvs(_)
            | Event::Filter(_)
            | Event::Bfd(_) => {
                self.violate(Rule::Socket, format!("{event:?} was not asked for"));
            }
        }
    }

    fn fire(&mut self, now: Now, _limit: usize, fx: &mut Effects) -> bool {
        if now.mono < self.next {
            return false;
        }
        let burst = self.rng.range(1, 8);
        self.next = now.mono + Duration::from_micros(self.rng.range(1, 4_000));
        match self.stage {
            0 if now.mono >= self.end => {
                self.stage = 1;
                for vr in 0..self.vrs.len() {
                    self.stop(vr, now.mono, fx);
                }
                self.next = now.mono + PATIENCE + MS * 20;
            }
            0 => (0..burst).for_each(|_| self.act(now.mono, fx)),
            1 => {
                self.stage = 2;
                for sock in self.socks.keys().copied().collect::<Vec<_>>() {
                    self.close(sock, fx);
                }
                for conn in core::mem::take(&mut self.conns).into_keys() {
                    fx.push(Effect::Conn(ConnFx::Close { conn }));
                }
                self.next = now.mono + PATIENCE + MS * 20;
            }
            _ => {
                self.next = now.mono + PATIENCE;
                fx.push(Effect::Exit(ExitCode::Ok));
            }
        }
        false
    }

    fn next_deadline(&self) -> Option<(Instant, Due)> {
        Some((self.next, Due::Resync))
    }
}
