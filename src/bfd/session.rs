//! One BFD session in asynchronous mode (RFC 5880 §6): a machine of four states and two times.
//!
//! Read first: `wire/bfd.rs`. Time, packets and randomness come in as arguments, packets and changes go out as an [`Out`]. When it wants to
//! be called again is [`Session::next`]. The machine knows no address and no socket: `mod.rs` has those.
//!
//! Times on the wire are microseconds. Deliberately absent: echo packets (RFC 5880 §6.4; Required Min Echo RX is 0, so no peer sends any),
//! authentication, and demand mode of this system. The peer's demand mode is honoured (§6.6).

use crate::time::{Duration, Instant, earliest, nanos};
use crate::wire::bfd::{LEN, Packet, State, diag};

/// Least DesiredMinTxInterval while a session is not Up (RFC 5880 §6.8.3), microseconds.
pub const SLOW: u32 = 1_000_000;

/// The configuration of a session. Intervals are microseconds, at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Params {
    /// Desired Min TX Interval while Up.
    pub min_tx: u32,
    /// Required Min RX Interval.
    pub min_rx: u32,
    /// Desired Min TX Interval while not Up: [`SLOW`] or more.
    pub idle_tx: u32,
    /// Detect Mult, at least 1.
    pub multiplier: u8,
    /// The passive role: nothing is sent before a packet of the peer was received (RFC 5880 §6.1).
    pub passive: bool,
}

/// The content of the last packet of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Remote {
    /// bfd.RemoteDiscr; 0: not known.
    pub discr: u32,
    /// bfd.RemoteSessionState: the state in the last packet of the peer.
    pub state: State,
    /// The diagnostic code in the last packet of the peer.
    pub diag: u8,
    /// bfd.RemoteMinRxInterval, microseconds: the shortest interval between packets that the peer accepts.
    pub min_rx: u32,
    /// Its Desired Min TX Interval.
    pub min_tx: u32,
    /// Detect Mult in the last packet of the peer.
    pub multiplier: u8,
    /// bfd.RemoteDemandMode: the peer requests no periodic packets while both ends are Up.
    pub demand: bool,
}

impl Default for Remote {
    // The initial values of RFC 5880 §6.8.1.
    fn default() -> Remote {
        Remote { discr: 0, state: State::Down, diag: 0, min_rx: 1, min_tx: 0, multiplier: 0, demand: false }
    }
}

/// The outputs for an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Out {
    /// A packet to be sent at once.
    pub send: Option<[u8; LEN]>,
    /// The previous state, if the state changed.
    pub left: Option<State>,
    /// The peer's last diagnostic code.
    pub heard_diag: u8,
}

/// One BFD session in asynchronous mode: its state, the values that the peer sends, and the times of its two timers.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Session {
    params: Params,
    // bfd.LocalDiscr.
    discr: u32,
    state: State,
    diag: u8,
    remote: Remote,
    // bfd.DesiredMinTxInterval as it is sent, and the value that the own packets are paced by: an increase holds only when the peer has
    // confirmed it.
    desired_tx: u32,
    paced_tx: u32,
    // bfd.RequiredMinRxInterval likewise: a decrease counts for the detection time only when it is confirmed.
    required_rx: u32,
    detect_rx: u32,
    // A Poll Sequence is under way; another one follows, because something changed meanwhile.
    poll: bool,
    poll_again: bool,
    sent: Option<Instant>,
    // The interval that `send_at` was computed with.
    pace: Option<u32>,
    send_at: Option<Instant>,
    detect_at: Option<Instant>,
}

impl Session {
    /// A session that is Down. `discr`: its discriminator, not 0 and no other session's. Its first packet is due at `now`.
    pub fn new(params: Params, discr: u32, now: Instant) -> Session {
        let idle = params.idle_tx.max(SLOW);
        let mut s = Session {
            params,
            discr,
            state: State::Down,
            diag: diag::NONE,
            remote: Remote::default(),
            desired_tx: idle,
            paced_tx: idle,
            required_rx: params.min_rx,
            detect_rx: params.min_rx,
            poll: false,
            poll_again: false,
            sent: None,
            pace: None,
            send_at: None,
            detect_at: None,
        };
        s.retime(now, 0);
        s
    }

    /// Continues from the state of an earlier process: a packet is due at `now`, and a whole detection time begins for the peer.
    pub fn resume(params: Params, discr: u32, state: State, diag: u8, remote: Remote, now: Instant) -> Session {
        let mut s = Session::new(params, discr, now);
        (s.state, s.diag, s.remote) = (state, diag, remote);
        if state == State::Up {
            (s.desired_tx, s.paced_tx) = (params.min_tx, params.min_tx);
            // The intervals may have been others before.
            s.poll = true;
        }
        s.detect_at = (remote.discr != 0).then(|| now + s.detection_time());
        s.pace = None;
        s.retime(now, 0);
        s
    }

    /// bfd.SessionState: AdminDown, Down, Init or Up.
    pub fn state(&self) -> State {
        self.state
    }
    /// bfd.LocalDiag: why this session last left Up.
    pub fn diag(&self) -> u8 {
        self.diag
    }
    /// bfd.LocalDiscr: the number by which the peer names this session.
    pub fn discr(&self) -> u32 {
        self.discr
    }
    /// The content of the last packet of the peer.
    pub fn remote(&self) -> &Remote {
        &self.remote
    }
    /// The parameters in use, as configured or altered by a reload.
    pub fn params(&self) -> &Params {
        &self.params
    }
    /// Whether a Poll Sequence is under way.
    pub fn polls(&self) -> bool {
        self.poll
    }
    /// When [`Session::on_time`] is to be called; `None`: only a packet changes something.
    pub fn next(&self) -> Option<Instant> {
        earliest(self.send_at, self.detect_at)
    }

    /// Interval between two packets, before jitter (RFC 5880 §6.8.7); `None`: none are sent periodically.
    pub fn interval(&self) -> Option<Duration> {
        self.period().map(|us| Duration::from_micros(us.into()))
    }

    /// Detection Time (RFC 5880 §6.8.4); zero before the peer was heard.
    pub fn detection_time(&self) -> Duration {
        let interval = u64::from(self.detect_rx.max(self.remote.min_tx));
        Duration::from_micros(u64::from(self.remote.multiplier) * interval)
    }

    /// Packets can be sent from now on, and could not before: the next one is due at once.
    pub fn wake(&mut self, now: Instant) {
        self.send_at = self.pace.map(|_| now);
    }

    /// Another process receives the packets of this session: here it is not lost any more, and packets are sent as before.
    pub fn deafen(&mut self) {
        self.detect_at = None;
    }

    /// A packet of the peer that arrived at `now`.
    pub fn on_packet(&mut self, now: Instant, p: &Packet, random: u32) -> Out {
        // RFC 5880 §6.8.6, from "Set bfd.RemoteDiscr" on.
        self.remote = Remote {
            discr: p.mine,
            state: p.state,
            diag: p.diag,
            min_rx: p.min_rx,
            min_tx: p.min_tx,
            multiplier: p.multiplier,
            demand: p.demand,
        };
        if self.poll && p.fin {
            self.confirmed();
        }
        if self.state == State::AdminDown {
            // "If bfd.SessionState is AdminDown, discard the packet."
            return Out::default();
        }
        let before = self.state;
        match (self.state, p.state) {
            (State::Down, State::AdminDown) => {}
            (_, State::AdminDown) | (State::Up, State::Down) => self.enter(State::Down, diag::NEIGHBOR),
            (State::Down, State::Down) => self.enter(State::Init, self.diag),
            (State::Down, State::Init) | (State::Init, State::Init | State::Up) => self.enter(State::Up, diag::NONE),
            (State::Down, State::Up) | (State::Init, State::Down) | (State::Up, State::Init | State::Up) => {}
            (State::AdminDown, _) => {}
        }
        // It "has been received" for the Detection Time.
        self.detect_at = Some(now + self.detection_time());
        let left = (self.state != before).then_some(before);
        // P is answered at once and outside of the timer (§6.5). A change is sent at once, too: the handshake does not wait for the slow
        // timer, and the peer learns that the session is lost before its detection time is over.
        let send = (p.poll || left.is_some()).then(|| self.packet(now, p.poll));
        match send {
            Some(_) => self.paced(now, now, random),
            None => self.retime(now, random),
        }
        Out { send, left, heard_diag: p.diag }
    }

    /// A time of [`Session::next`] has come.
    pub fn on_time(&mut self, now: Instant, random: u32) -> Out {
        if self.detect_at.is_some_and(|at| at <= now) {
            return self.on_silence(now, random);
        }
        let Some(due) = self.send_at.filter(|at| *at <= now) else { return Out::default() };
        let send = Some(self.packet(now, false));
        // From when it was due, so that lateness does not add up; not where a whole interval was missed.
        let late = self.period().is_none_or(|us| now.since(due) > Duration::from_micros(u64::from(us) / 4));
        self.paced(now, if late { now } else { due }, random);
        Out { send, ..Out::default() }
    }

    // Nothing was received for a Detection Time.
    fn on_silence(&mut self, now: Instant, random: u32) -> Out {
        self.detect_at = None;
        let before = self.state;
        if !matches!(before, State::Init | State::Up) {
            // §6.8.1: bfd.RemoteDiscr is set to zero.
            self.remote = Remote::default();
            self.retime(now, random);
            return Out::default();
        }
        self.enter(State::Down, diag::EXPIRED);
        let heard_diag = self.remote.diag;
        // With the peer's discriminator: if only the peer's packets are lost, the peer learns of that at once.
        let send = Some(self.packet(now, false));
        self.remote = Remote::default();
        self.paced(now, now, random);
        Out { send, left: Some(before), heard_diag }
    }

    /// The session goes to AdminDown; the returned packet reports that to the peer.
    pub fn shut(&mut self, now: Instant) -> Out {
        let before = self.state;
        self.enter(State::AdminDown, diag::ADMIN);
        (self.send_at, self.pace, self.detect_at) = (None, None, None);
        let speaks = !(self.params.passive && self.remote.discr == 0);
        let send = speaks.then(|| self.packet(now, false));
        Out { send, left: (before != State::AdminDown).then_some(before), heard_diag: self.remote.diag }
    }

    /// Other parameters for the same session. While Up they are announced to the peer by a Poll Sequence (RFC 5880 §6.8.3).
    pub fn alter(&mut self, params: Params, now: Instant, random: u32) {
        let before = core::mem::replace(&mut self.params, params);
        if self.state != State::Up {
            self.idle();
        } else if (before.min_tx, before.min_rx) != (params.min_tx, params.min_rx) {
            self.desired_tx = params.min_tx;
            self.required_rx = params.min_rx;
            // Less often only when the peer knows; more often at once.
            self.paced_tx = self.paced_tx.min(self.desired_tx);
            // Sooner lost only when the peer sends more often; later at once.
            self.detect_rx = self.detect_rx.max(self.required_rx);
            self.poll_again = self.poll;
            self.poll = true;
        }
        self.retime(now, random);
    }

    // F of a Poll Sequence was received: the peer has the present intervals, unless they changed during the sequence.
    fn confirmed(&mut self) {
        self.poll = core::mem::take(&mut self.poll_again);
        if !self.poll {
            (self.paced_tx, self.detect_rx) = (self.desired_tx, self.required_rx);
        }
    }

    fn enter(&mut self, state: State, why: u8) {
        (self.state, self.diag) = (state, why);
        match state {
            State::Up => {
                // Less than while Down, as a rule, so it holds at once (§6.8.3).
                (self.desired_tx, self.paced_tx) = (self.params.min_tx, self.params.min_tx);
                (self.poll, self.poll_again) = (true, false);
            }
            State::AdminDown | State::Down | State::Init => self.idle(),
        }
    }

    // Not Up: every interval holds at once, and the next handshake tells the peer of it.
    fn idle(&mut self) {
        let idle = self.params.idle_tx.max(SLOW);
        (self.desired_tx, self.paced_tx) = (idle, idle);
        (self.required_rx, self.detect_rx) = (self.params.min_rx, self.params.min_rx);
        (self.poll, self.poll_again) = (false, false);
    }

    // §6.8.7: whether packets are sent periodically, and at which interval.
    fn period(&self) -> Option<u32> {
        let r = &self.remote;
        let asked_not_to = r.demand && self.state == State::Up && r.state == State::Up && !self.poll;
        let silent = self.params.passive && r.discr == 0;
        (!silent && r.min_rx != 0 && !asked_not_to).then(|| self.paced_tx.max(r.min_rx))
    }

    fn packet(&mut self, now: Instant, fin: bool) -> [u8; LEN] {
        self.sent = Some(now);
        let p = Packet {
            diag: self.diag,
            state: self.state,
            // Never both (§6.5); the next packet continues the Poll Sequence.
            poll: self.poll && !fin,
            fin,
            independent: false,
            demand: false,
            multiplier: self.params.multiplier,
            mine: self.discr,
            yours: self.remote.discr,
            min_tx: self.desired_tx,
            min_rx: self.required_rx,
            min_echo_rx: 0,
        };
        p.encode()
    }

    // A packet was sent: the next one follows an interval after `from`.
    fn paced(&mut self, now: Instant, from: Instant, random: u32) {
        self.pace = self.period();
        self.send_at = self.pace.map(|us| (from + self.jittered(us, random)).max(now));
    }

    // The interval may be another one: the next packet keeps to it from the last one on.
    fn retime(&mut self, now: Instant, random: u32) {
        let period = self.period();
        if period == self.pace && self.send_at.is_some() == period.is_some() {
            return;
        }
        self.pace = period;
        self.send_at = period.map(|us| self.sent.map_or(now, |sent| (sent + self.jittered(us, random)).max(now)));
    }

    // §6.8.7: reduced by 0 to 25 %, with a Detect Mult of 1 by 10 to 25 %.
    fn jittered(&self, us: u32, random: u32) -> Duration {
        let whole = nanos(Duration::from_micros(us.into()));
        let (least, most) = (if self.params.multiplier == 1 { whole / 10 } else { 0 }, whole / 4);
        // At most 2^32 µs: the product with 32 bits more fits in 128.
        let share = (u128::from(most - least) * u128::from(random)) >> 32;
        Duration::from_nanos(whole - least - u64::try_from(share).unwrap_or(0))
    }

    /// Panics when an invariant is violated.
    pub fn check_invariants(&self) {
        assert!(self.discr != 0 && self.params.multiplier != 0);
        if self.state != State::Up {
            assert!(self.desired_tx >= SLOW && !self.poll, "slow while not Up");
        }
        assert!(self.state != State::Up || self.detect_at.is_some(), "a session that is Up can be lost");
        assert_eq!(self.send_at.is_some(), self.pace.is_some());
    }
}
