//! How sessions begin and end: at a start, at a reload, from one process to the next.
//!
//! Read first: `mod.rs`. A reload leaves a session alone whose block did not change, and one with other intervals goes on with a Poll
//! Sequence. The next process continues each session with its discriminators, so that the peer notices nothing. While a process waits for
//! its successor its sessions send on, and receive nothing: the successor receives.

use super::*;
use std::collections::btree_map::Entry;

/// After the first AdminDown.
const LAST_WORD: Duration = Duration::from_secs(1);

// The same session: with the same peer, from the same address, on the same port.
fn identity(cfg: &BfdInstance) -> (Option<IpAddr>, Option<IpAddr>, bool) {
    (cfg.neighbor_ip, cfg.source_ip, cfg.multihop)
}

impl Bfd {
    /// Takes over the sessions of an earlier process; called before [`Bfd::start`].
    pub fn resume(&mut self, shots: &[BfdShot]) {
        self.memory = shots.iter().map(|s| (s.name.clone(), s.clone())).collect();
    }

    /// Every session begins, or continues. Returns those whose verdict is known already.
    pub fn start(&mut self, config: &[BfdInstance], cx: &mut Cx<'_>) -> Vec<Told> {
        self.running = true;
        // The nanoseconds of both clocks: a process on another host does not know them.
        self.random ^= cx.now.mono.0.rotate_left(32) ^ cx.now.wall.0;
        config.iter().for_each(|cfg| self.begin(cfg, cx));
        self.memory.clear();
        self.arm(cx);
        let known = |one: &One| Some(Told { name: one.cfg.name.clone(), up: one.up? });
        self.all.iter().filter_map(|(_, one)| known(one)).collect()
    }

    /// Another configuration. Trackers of a session that is replaced keep its verdict until the new one has a verdict.
    pub fn alter(&mut self, config: &[BfdInstance], cx: &mut Cx<'_>) {
        if !self.running {
            return;
        }
        let mut gone = core::mem::take(&mut self.by_name);
        for cfg in config {
            let same = |key: &BfdKey| self.all.get(*key).is_some_and(|one| identity(&one.cfg) == identity(cfg));
            match gone.get(&cfg.name).copied().filter(same) {
                Some(key) => {
                    gone.remove(&cfg.name);
                    self.by_name.insert(cfg.name.clone(), key);
                    self.go_on(key, cfg, cx);
                }
                None => {
                    if let Some(key) = gone.remove(&cfg.name) {
                        self.end(key, cx);
                    }
                    self.begin(cfg, cx);
                }
            }
        }
        gone.into_values().for_each(|key| self.end(key, cx));
        let used: Vec<BfdPort> = self.all.iter().map(|(_, one)| one.port()).collect();
        for port in self.ports.keys().copied().filter(|p| !used.contains(p)).collect::<Vec<_>>() {
            self.ports.remove(&port);
            self.queue.set(Tag::Port(port), None);
            cx.fx.push(Effect::Bfd(BfdFx::Quit(port)));
        }
        self.dirty = true;
        self.arm(cx);
    }

    fn go_on(&mut self, key: BfdKey, cfg: &BfdInstance, cx: &mut Cx<'_>) {
        let random = self.random();
        let Some(one) = self.all.get_mut(key) else { return };
        let before = core::mem::replace(&mut one.cfg, cfg.clone());
        if params(&before) != params(cfg) {
            one.session.alter(params(cfg), cx.now.mono, random);
            self.queue.set(Tag::Session(key), one.session.next());
        }
        if before.ttl != cfg.ttl {
            cx.fx.push(Effect::Bfd(BfdFx::Close { session: key }));
            self.open(key, cx);
        }
    }

    fn begin(&mut self, cfg: &BfdInstance, cx: &mut Cx<'_>) {
        let (Some(peer), now) = (cfg.neighbor_ip, cx.now.mono) else { return };
        let shot = self.memory.remove(&cfg.name).filter(|s| s.is_of(cfg) && !self.by_discr.contains_key(&s.discr));
        let (session, up) = match shot.as_ref().and_then(|s| Some((s, s.session(params(cfg), now)?))) {
            // One that never came up is waited for anew.
            Some((s, session)) => (session, s.up),
            None => (Session::new(params(cfg), self.draw(), now), None),
        };
        let discr = session.discr();
        let first = FIRST * Duration::from_micros(session.params().idle_tx.into());
        let one = One {
            cfg: cfg.clone(),
            peer,
            session,
            sock: Sock::Closed,
            up,
            since: cx.now,
            sent: 0,
            received: 0,
            not_sent: 0,
            ups: 0,
            downs: 0,
            state_limit: Limit::default(),
            limit: Limit::default(),
        };
        let (port, next) = (one.port(), one.session.next());
        let key = self.all.insert(one);
        self.by_name.insert(cfg.name.clone(), key);
        self.by_discr.insert(discr, key);
        self.by_peer.entry((peer, cfg.multihop)).or_default().push(key);
        self.queue.set(Tag::Session(key), next);
        if up.is_none() {
            self.queue.set(Tag::Verdict(key), Some(now + first));
        }
        if let Entry::Vacant(place) = self.ports.entry(port) {
            place.insert(Sock::Closed);
            self.listen(port, cx);
        }
        self.open(key, cx);
        self.dirty = true;
    }

    // It says AdminDown, and is no more.
    fn end(&mut self, key: BfdKey, cx: &mut Cx<'_>) {
        self.say_admin_down(key, cx);
        let Some(one) = self.all.remove(key) else { return };
        self.by_discr.remove(&one.session.discr());
        let of = (one.peer, one.cfg.multihop);
        if let Some(list) = self.by_peer.get_mut(&of) {
            list.retain(|k| *k != key);
            if list.is_empty() {
                self.by_peer.remove(&of);
            }
        }
        for tag in [Tag::Session(key), Tag::Verdict(key), Tag::Socket(key)] {
            self.queue.set(tag, None);
        }
        cx.fx.push(Effect::Bfd(BfdFx::Close { session: key }));
    }

    fn say_admin_down(&mut self, key: BfdKey, cx: &mut Cx<'_>) {
        let Some(one) = self.all.get_mut(key) else { return };
        let out = one.session.shut(cx.now.mono);
        self.queue.set(Tag::Session(key), one.session.next());
        if let Some(bytes) = out.send.filter(|_| one.sock == Sock::Ready) {
            one.sent += 1;
            cx.fx.push(Effect::Bfd(BfdFx::Send { session: key, bytes: Bytes::copy_from_slice(&bytes) }));
        }
    }

    /// The process ends: each session sends AdminDown (RFC 5880 §6.8.16) and receives no more packets. [`Bfd::farewell`] sends it again.
    pub fn stop(&mut self, cx: &mut Cx<'_>) {
        if !core::mem::replace(&mut self.running, false) {
            return;
        }
        self.stopped = Some(cx.now.mono);
        self.queue.clear();
        for key in self.all.keys() {
            self.say_admin_down(key, cx);
        }
        self.arm(cx);
    }

    /// Sends the last packets: AdminDown once more, for peers that did not receive the first one. Not long after it: another kalived may
    /// have sessions with these peers by then.
    pub fn farewell(&mut self, cx: &mut Cx<'_>) {
        if self.stopped.is_some_and(|at| cx.now.mono.since(at) > LAST_WORD) {
            return;
        }
        for key in self.all.keys() {
            if self.all.get(key).is_some_and(|one| one.session.state() == State::AdminDown) {
                self.say_admin_down(key, cx);
            }
        }
    }

    /// Sets the one timer again, after all timers were removed.
    pub fn rearm(&self, cx: &mut Cx<'_>) {
        self.arm(cx);
    }

    /// Another process takes over: it receives from now on. This one sends as before until it ends.
    pub fn freeze(&mut self, cx: &mut Cx<'_>) {
        self.running = false;
        for port in core::mem::take(&mut self.ports).into_keys() {
            cx.fx.push(Effect::Bfd(BfdFx::Quit(port)));
        }
        self.queue.clear();
        for key in self.all.keys() {
            let Some(one) = self.all.get_mut(key) else { continue };
            one.session.deafen();
            self.queue.set(Tag::Session(key), one.session.next());
        }
        self.arm(cx);
    }

    // A discriminator: not 0, no other session's, and with a source port of its own.
    fn draw(&mut self) -> u32 {
        let mut drawn = 0;
        for n in 0.. {
            drawn = self.random();
            let port = drawn % PORTS.1;
            let alone = n >= DRAWS || self.by_discr.keys().all(|d| d % PORTS.1 != port);
            if drawn != 0 && !self.by_discr.contains_key(&drawn) && alone {
                break;
            }
        }
        drawn
    }

    /// Whether [`Bfd::shots`] has changed since the last call.
    pub fn take_dirty(&mut self) -> bool {
        core::mem::take(&mut self.dirty)
    }

    /// The sessions for the snapshot.
    pub fn shots(&self) -> Vec<BfdShot> {
        let waiting = self.memory.values().cloned();
        self.all.iter().map(|(_, one)| BfdShot::of(one)).chain(waiting).collect()
    }
}

impl BfdShot {
    fn of(one: &One) -> BfdShot {
        let (s, r) = (&one.session, one.session.remote());
        BfdShot {
            name: one.cfg.name.clone(),
            peer: Some(one.peer),
            source: one.cfg.source_ip,
            multihop: one.cfg.multihop,
            discr: s.discr(),
            state: s.state() as u8,
            diag: s.diag(),
            remote_discr: r.discr,
            remote_state: r.state as u8,
            remote_min_rx: r.min_rx,
            remote_min_tx: r.min_tx,
            remote_multiplier: r.multiplier,
            remote_demand: r.demand,
            up: one.up,
        }
    }

    fn is_of(&self, cfg: &BfdInstance) -> bool {
        (self.peer, self.source, self.multihop) == identity(cfg)
    }

    // A snapshot is not trusted: what cannot be is not continued from.
    fn session(&self, params: Params, now: Instant) -> Option<Session> {
        let state = |n: u8| State::ALL.get(usize::from(n)).copied();
        let remote = session::Remote {
            discr: self.remote_discr,
            state: state(self.remote_state)?,
            diag: diag::NONE,
            min_rx: self.remote_min_rx,
            min_tx: self.remote_min_tx,
            multiplier: self.remote_multiplier,
            demand: self.remote_demand,
        };
        let own = state(self.state).filter(|s| *s != State::AdminDown)?;
        let heard = remote.discr != 0 && remote.multiplier != 0;
        let consistent = own != State::Up || (heard && self.up == Some(true));
        (self.discr != 0 && consistent && (own == State::Up || self.up != Some(true)))
            .then(|| Session::resume(params, self.discr, own, self.diag, remote, now))
    }
}
