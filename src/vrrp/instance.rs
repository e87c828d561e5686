//! One virtual router: the state machine of `fsm.rs` with its timers, packets and addresses.
//!
//! Read first: `fsm.rs`, `timing.rs`; RFC 9568 §6.4. [`Instance::go`] is the only place that writes the state. Adverts are
//! armed ahead in the kernel on a time grid (DESIGN: pre-armed adverts), so there is no Adver_Timer here: each
//! [`Event::AdvertSent`](crate::event::Event::AdvertSent) arms one more. An extra advert sent at once does not move
//! the grid; RFC 9568 would restart the timer, here the next advert comes a little early, never late.

use super::address::Addresses;
use super::advert::{Heard, Profile, Reject};
use super::announce::Announcer;
use super::fsm::{self, Act, Input, State};
use super::text::{self, Limit};
use super::timing::{self, Grid, Phase};
use crate::config::model::{Family, InstanceConfig, Version, Vip};
use crate::effect::{AddrSpec, Effect, Effects};
use crate::event::Errno;
use crate::id::{SockKey, VrKey};
use crate::links::Links;
use crate::time::{Duration, Instant, Now};
use crate::timers::{Due, Timers};
use crate::wire;
use bytes::Bytes;
use core::net::IpAddr;
use std::collections::{BTreeSet, VecDeque};

/// Adverts sent at once in answer to somebody: at most one in so long, or a flood would make us one too.
const ANSWER_PAUSE: Duration = Duration::from_millis(10);
/// An advert whose send failed is tried again after a quarter of the interval, within these bounds: soon enough that one
/// lost interval does not become three, rarely enough that a closed firewall is not hammered.
const RETRY: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));
/// a learned interval above this multiple of our own is worth a warning.
const SLOW: u32 = 3;

/// What a machine may touch while it handles one input.
pub struct Cx<'a> {
    /// The turn's time.
    pub now: Now,
    /// The one timer table.
    pub timers: &'a mut Timers,
    /// Output.
    pub fx: &'a mut Effects,
    /// The kernel's interfaces and addresses.
    pub links: &'a Links,
    /// Wanted and held addresses.
    pub addrs: &'a mut Addresses,
    /// GARP and NA.
    pub announcer: &'a mut Announcer,
    /// Phases of adverts.
    pub grid: &'a mut Grid,
    /// Every VIP of the configuration: never a source address. An owner's are not among them: they are addresses of its
    /// interface, and proper sources (RFC 9568 §5.1.1.1).
    pub vips: &'a BTreeSet<IpAddr>,
}

/// Why an instance is in FAULT. Each interface counts by itself (keepalived shares one bit among all).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The interface does not exist.
    Missing(String),
    /// The interface is down.
    Down(String),
    /// The interface cannot do multicast.
    NoMulticast(String),
    /// No usable address to send from.
    NoSource(String, Family),
    /// The socket could not be opened.
    NoSocket(Errno),
    /// A tracked interface without weight is down (or, reversed, up).
    Tracked(String),
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Fault::Missing(i) => write!(f, "interface {i} does not exist"),
            Fault::Down(i) => write!(f, "interface {i} down"),
            Fault::NoMulticast(i) => write!(f, "interface {i} has no multicast"),
            Fault::NoSource(i, Family::V4) => write!(f, "no IPv4 address for interface {i}"),
            Fault::NoSource(i, Family::V6) => write!(f, "no IPv6 link-local address for interface {i}"),
            Fault::NoSocket(e) => write!(f, "no VRRP socket: {}", text::errno(*e)),
            Fault::Tracked(i) => write!(f, "tracked interface {i} down"),
        }
    }
}

/// State of the socket an instance uses, as the world sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SockState {
    /// None: its interface does not exist.
    None,
    /// Asked for.
    Opening(SockKey),
    /// Receives and sends.
    Ready(SockKey),
    /// Could not be opened; will be tried again.
    Failed(Errno),
}

/// Counters; names as in keepalived's statistics where it has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Adverts accepted.
    pub advert_rcvd: u64,
    /// Adverts that left.
    pub advert_sent: u64,
    /// Adverts that could not be sent.
    pub send_failed: u64,
    /// Times we became Master.
    pub become_master: u64,
    /// Times we stopped being Master.
    pub release_master: u64,
    /// Priority-0 adverts accepted.
    pub pri_zero_rcvd: u64,
    /// Priority-0 adverts sent.
    pub pri_zero_sent: u64,
    /// Dropped packets by reason, in the order of [`Reject::ALL`].
    pub rejected: [u64; Reject::ALL.len()],
    /// Virtual addresses put back after somebody else removed them.
    pub restored: u64,
}

// Why a state is entered, for the log. Put into words only after what is urgent has been done.
enum Cause {
    None,
    Text(String),
    // Master_Down_Timer: what was and was not heard.
    Silence,
}

// Since when and why we hear nothing: the cause of a takeover.
#[derive(Clone, Debug, Default)]
struct Silence {
    since: Option<Instant>,
    zero_from: Option<IpAddr>,
    preempting: Option<(IpAddr, u8)>,
    rejected: u64,
    last_reject: Option<(Reject, IpAddr)>,
}

#[derive(Clone, Debug, Default)]
struct Limits {
    rejected: Vec<Limit>,
    lower: Limit,
    discarding: Limit,
    same: Limit,
    owners: Limit,
    interval: Limit,
    vips: Limit,
    zero: Limit,
}

/// See the module.
#[derive(Debug)]
pub struct Instance {
    cfg: InstanceConfig,
    key: VrKey,
    state: State,
    since: Now,
    faults: BTreeSet<Fault>,
    priority: u8,
    // Master_Adver_Interval: learned from the Master we follow (v3), else our own.
    master_interval: Duration,
    master: Option<IpAddr>,
    // Whom we took over from, while we are Master.
    predecessor: Option<IpAddr>,
    source: Option<IpAddr>,
    sock: SockState,
    packet: Option<Bytes>,
    // Adverts in the kernel, oldest first; at most `timing::depth`.
    armed: VecDeque<Instant>,
    epoch: u32,
    phase: Option<Phase>,
    // `cfg.vips` as an advert carries them: those that fit the MTU.
    listed: Vec<IpAddr>,
    answer_open: Instant,
    // Sends that failed in a row.
    failing: u64,
    preempt_delay_over: bool,
    second_burst: u32,
    silence: Silence,
    limits: Limits,
    stats: Stats,
}

impl Instance {
    /// A virtual router that has not started.
    pub fn new(cfg: InstanceConfig, key: VrKey) -> Instance {
        Instance {
            key,
            state: State::Init,
            since: Now::default(),
            faults: BTreeSet::new(),
            priority: cfg.priority,
            master_interval: cfg.advert_int,
            master: None,
            predecessor: None,
            source: None,
            sock: SockState::None,
            packet: None,
            armed: VecDeque::new(),
            epoch: 0,
            phase: None,
            listed: cfg.vips.iter().map(|v| v.addr).collect(),
            answer_open: Instant::default(),
            failing: 0,
            preempt_delay_over: false,
            second_burst: 0,
            silence: Silence::default(),
            limits: Limits { rejected: vec![Limit::default(); Reject::ALL.len()], ..Limits::default() },
            stats: Stats::default(),
            cfg,
        }
    }
    /// Its configuration.
    pub fn cfg(&self) -> &InstanceConfig {
        &self.cfg
    }
    /// Its state.
    pub fn state(&self) -> State {
        self.state
    }
    /// When it entered that state.
    pub fn since(&self) -> Now {
        self.since
    }
    /// Base priority with tracking weights, 1..=254, or 255 for an owner.
    pub fn priority(&self) -> u8 {
        self.priority
    }
    /// Who is Master as far as we know; `None` while that is us or nobody.
    pub fn master(&self) -> Option<IpAddr> {
        self.master
    }
    /// Where adverts leave from.
    pub fn source(&self) -> Option<IpAddr> {
        self.source
    }
    /// Why it is in FAULT.
    pub fn faults(&self) -> &BTreeSet<Fault> {
        &self.faults
    }
    /// Counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }
    /// Adverts armed in the kernel.
    pub fn armed(&self) -> usize {
        self.armed.len()
    }
    /// Master_Down_Interval as it would be armed now.
    pub fn master_down_interval(&self) -> Duration {
        timing::master_down(self.cfg.version, self.priority, self.master_interval, self.cfg.down_timer_adverts)
    }
    /// What a received advert is held against; `own`: the addresses of the receiving interface.
    pub fn profile<'a>(&'a self, own: &'a [IpAddr]) -> Profile<'a> {
        Profile {
            family: self.cfg.family,
            version: self.cfg.version,
            vrid: self.cfg.vrid,
            auth: &self.cfg.auth,
            advert_int: self.cfg.advert_int,
            checksum: self.cfg.checksum,
            group: self.cfg.mcast_group,
            vips: &self.listed,
            own,
            skip_check_adv_addr: self.cfg.skip_check_adv_addr,
        }
    }
    fn owner(&self) -> bool {
        self.cfg.priority == 255
    }
    fn is_master(&self) -> bool {
        self.state == State::Master
    }

    // ---- inputs ----

    /// Something outside changed (link, address, socket): are we fit to run, from which address, with which priority?
    pub fn evaluate(&mut self, sock: SockState, cx: &mut Cx<'_>) {
        self.sock = sock;
        let link = cx.links.by_name(&self.cfg.interface);
        let source = self.cfg.mcast_src.or_else(|| {
            let ifindex = link?.ifindex;
            cx.links.source(ifindex, self.cfg.family, cx.vips)
        });
        let mut faults = BTreeSet::new();
        let name = || self.cfg.interface.clone();
        match link {
            None => drop(faults.insert(Fault::Missing(name()))),
            Some(l) => {
                if self.cfg.track_primary && !(l.up && l.running) {
                    faults.insert(Fault::Down(name()));
                }
                if !l.multicast {
                    faults.insert(Fault::NoMulticast(name()));
                }
                if source.is_none() {
                    faults.insert(Fault::NoSource(name(), self.cfg.family));
                }
            }
        }
        match sock {
            SockState::Failed(e) => drop(faults.insert(Fault::NoSocket(e))),
            // Wait for the answer before saying what we are, unless there is a fault already.
            SockState::Opening(_) | SockState::None
                if faults.is_empty() && !matches!(self.state, State::Backup | State::Master) =>
            {
                return;
            }
            SockState::Opening(_) | SockState::None | SockState::Ready(_) => {}
        }
        let mut weight = 0i32;
        for t in &self.cfg.track_interfaces {
            let up = cx.links.is_up(&t.name) != t.reverse;
            match (t.weight, up) {
                (0, false) => drop(faults.insert(Fault::Tracked(t.name.clone()))),
                (w, true) if w > 0 => weight += i32::from(w),
                (w, false) if w < 0 => weight += i32::from(w),
                _ => {}
            }
        }
        self.set_priority(weight, cx);
        if let Some(mtu) = link.map(|l| l.mtu) {
            self.set_listed(mtu, cx);
        }
        if source.is_some() {
            self.set_source(source, cx);
            self.set_faults(faults, cx);
        } else {
            // The fault's farewell still leaves from the address we had: the peers take over in Skew_Time.
            self.set_faults(faults, cx);
            self.set_source(source, cx);
        }
    }

    fn set_priority(&mut self, weight: i32, cx: &mut Cx<'_>) {
        if self.owner() {
            return;
        }
        // weights stay within 1..=254, whatever they add up to.
        let new = (i32::from(self.cfg.priority) + weight).clamp(1, 254) as u8;
        let old = core::mem::replace(&mut self.priority, new);
        if old == new {
            return;
        }
        if self.state != State::Init {
            cx.fx.note(text::priority(&self.cfg.name, old, new));
        }
        self.packet = None;
        match self.state {
            State::Master => self.rearm(cx),
            State::Backup => {
                // The running timer moves by the difference of the Skew_Times.
                let skew = |p| timing::skew(self.cfg.version, p, self.master_interval);
                if let Some(at) = cx.timers.get(Due::MasterDown(self.key)) {
                    cx.timers.set(Due::MasterDown(self.key), (at + skew(new)) - skew(old));
                }
            }
            State::Init | State::Fault => {}
        }
    }

    // an advert never fragments. What does not fit is held all the same, as if it were excluded.
    fn set_listed(&mut self, mtu: u32, cx: &mut Cx<'_>) {
        let fits = wire::vrrp::fits(self.cfg.family, self.cfg.version, mtu).min(self.cfg.vips.len());
        if self.listed.len() == fits {
            return;
        }
        if fits < self.cfg.vips.len() {
            cx.fx.note(text::spilled(&self.cfg.name, self.cfg.vips.len() - fits, &self.cfg.interface, mtu));
        }
        self.listed = self.cfg.vips.iter().take(fits).map(|v| v.addr).collect();
        self.packet = None;
        if self.is_master() {
            self.rearm(cx);
        }
    }

    fn set_source(&mut self, source: Option<IpAddr>, cx: &mut Cx<'_>) {
        if self.source == source {
            return;
        }
        self.source = source;
        self.packet = None;
        // Built now, not in the moment of the takeover.
        let _ = self.packet();
        if self.is_master() {
            self.rearm(cx);
        }
    }

    fn set_faults(&mut self, faults: BTreeSet<Fault>, cx: &mut Cx<'_>) {
        let changed = self.faults != faults;
        self.faults = faults;
        let input = match (self.faults.is_empty(), self.owner()) {
            (false, _) => Input::Fail,
            (true, true) => Input::StartOwner,
            (true, false) => Input::Start,
        };
        if self.state == State::Fault && input == Input::Fail {
            if changed {
                cx.fx.note(text::still_fault(&self.cfg.name, &self.fault_list()));
            }
            return;
        }
        if fsm::step(self.state, input).next != self.state {
            let cause = match input {
                Input::Fail => Cause::Text(self.fault_list()),
                _ if self.state == State::Fault => Cause::Text("all faults are cleared".to_owned()),
                _ => Cause::None,
            };
            self.go(input, cause, None, cx);
        }
    }

    fn fault_list(&self) -> String {
        self.faults.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    /// A verified advert.
    pub fn on_advert(&mut self, heard: &Heard, cx: &mut Cx<'_>) {
        if matches!(self.state, State::Init | State::Fault) {
            return;
        }
        self.stats.advert_rcvd += 1;
        let now = cx.now.mono;
        let name = self.cfg.name.clone();
        if heard.other_interval && self.limits.interval.pass(now).is_some() {
            cx.fx.note(text::other_interval(&name, heard.src, self.cfg.advert_int, heard.interval));
        }
        if heard.other_vips && self.limits.vips.pass(now).is_some() {
            cx.fx.note(text::other_vips(&name, heard.src));
        }
        if heard.priority == 255 && self.owner() && self.limits.owners.pass(now).is_some() {
            cx.fx.note(text::two_owners(&name, heard.src));
        }
        let input = if heard.priority == 0 {
            self.stats.pri_zero_rcvd += 1;
            if self.limits.zero.pass(now).is_some() {
                cx.fx.note(text::got_zero(&name, self.state, heard.src));
            }
            Input::RxZero
        } else {
            // Addresses as unsigned numbers in network order, 128 bits for IPv6: what Ord of Ipv4Addr and Ipv6Addr does.
            match (heard.priority.cmp(&self.priority), self.source.map(|own| heard.src.cmp(&own))) {
                (core::cmp::Ordering::Less, _) => Input::RxLower,
                (core::cmp::Ordering::Greater, _) => Input::RxHigher,
                (_, Some(core::cmp::Ordering::Greater) | None) => Input::RxEqualGreater,
                (_, Some(core::cmp::Ordering::Equal)) => Input::RxEqualSame,
                (_, Some(core::cmp::Ordering::Less)) => Input::RxEqualLess,
            }
        };
        let cause = match (self.state, input) {
            (State::Master, Input::RxHigher) => {
                cx.fx.note(text::higher(&name, heard.src, heard.priority, self.priority));
                Cause::Text(format!("{} has priority {} > {}", heard.src, heard.priority, self.priority))
            }
            (State::Master, Input::RxEqualGreater) => {
                cx.fx.note(text::equal_greater(&name, heard.src, heard.priority));
                Cause::Text(format!("{} has the same priority {} and a higher address", heard.src, heard.priority))
            }
            _ => Cause::None,
        };
        self.go(input, cause, Some(heard), cx);
    }

    /// A packet for our VRID that was dropped. Nothing but counters changes.
    pub fn on_reject(&mut self, reject: Reject, from: IpAddr, cx: &mut Cx<'_>) {
        let n = reject.index();
        self.stats.rejected[n] += 1;
        if matches!(self.state, State::Init | State::Fault) {
            return;
        }
        self.silence.rejected += 1;
        self.silence.last_reject = Some((reject, from));
        if let Some(more) = self.limits.rejected[n].pass(cx.now.mono) {
            cx.fx.note(text::rejected(&self.cfg.name, reject.name(), from, self.stats.rejected[n], more));
        }
    }

    /// Master_Down_Timer fired.
    pub fn on_master_down(&mut self, cx: &mut Cx<'_>) {
        self.go(Input::MasterDown, Cause::Silence, None, cx);
    }

    fn silence_cause(&self, now: Instant) -> String {
        let s = &self.silence;
        let quiet = s.since.map_or_else(String::new, |t| format!(" for {}", text::span(now.since(t))));
        let mut cause = match (s.zero_from, s.preempting) {
            (Some(from), _) => format!("{from} stopped (priority 0)"),
            (None, Some((from, p))) if self.preempt_delay_over => {
                let delay = text::span(self.cfg.preempt_delay);
                format!("preempting {from}: priority {} > {p}, preempt_delay {delay} elapsed", self.priority)
            }
            (None, Some((from, p))) => format!("preempting {from}: priority {} > {p}", self.priority),
            // Asked by one who is Master by now.
            (None, None) => match self.master.or(self.predecessor) {
                Some(m) => format!("no advert{quiet}, last from {m}"),
                None => format!("no advert{quiet}"),
            },
        };
        if let Some((reject, from)) = s.last_reject {
            cause += &format!("; {} dropped, last from {from}: {}", s.rejected, reject.name());
        }
        cause
    }

    /// `preempt_delay` is over: from now on lower adverts no longer count.
    pub fn on_preempt_delay(&mut self) {
        self.preempt_delay_over = true;
    }

    /// A pre-armed advert left, or failed to.
    pub fn on_advert_sent(&mut self, epoch: u32, due: Instant, result: Result<(), Errno>, cx: &mut Cx<'_>) {
        if result.is_ok() {
            self.stats.advert_sent += 1;
        }
        // Armed before the last stop and gone before it could be taken back: counted, and that is all.
        if epoch != self.epoch || !self.is_master() {
            return;
        }
        self.armed.retain(|at| *at != due);
        match result {
            Ok(()) => {
                if self.failing > 0 {
                    cx.fx.note(text::send_recovered(&self.cfg.name, core::mem::take(&mut self.failing)));
                    cx.timers.stop(Due::AdvertRetry(self.key));
                }
            }
            Err(e) => self.on_send_failed(e, cx),
        }
        // Handled so late that a peer may have taken over meanwhile: the earliest one does after three silent intervals.
        // What arrived is handled in this very turn, before any timer; if we are still Master then, hosts must learn it
        // again (user-demand rank 3).
        let late = cx.now.mono.since(due);
        if late >= self.cfg.advert_int * self.cfg.down_timer_adverts
            && cx.timers.get(Due::Reannounce(self.key)).is_none()
        {
            cx.fx.note(text::was_late(&self.cfg.name, late));
            cx.timers.set(Due::Reannounce(self.key), cx.now.mono);
        }
        self.top_up(cx);
    }

    /// An advert could not be sent: once more within the interval.
    pub fn on_send_failed(&mut self, e: Errno, cx: &mut Cx<'_>) {
        self.stats.send_failed += 1;
        if !self.is_master() {
            return;
        }
        self.failing += 1;
        if self.failing == 1 {
            cx.fx.note(text::send_failed(&self.cfg.name, e));
        }
        if cx.timers.get(Due::AdvertRetry(self.key)).is_none() {
            cx.timers.set(Due::AdvertRetry(self.key), cx.now.mono + (self.cfg.advert_int / 4).clamp(RETRY.0, RETRY.1));
        }
    }

    /// `Due::AdvertRetry`.
    pub fn on_advert_retry(&mut self, cx: &mut Cx<'_>) {
        if self.is_master() && self.failing > 0 {
            self.send_now(cx);
        }
    }

    /// `Due::Reannounce`: still Master after a standstill, so say so.
    pub fn on_reannounce(&mut self, cx: &mut Cx<'_>) {
        if self.is_master() {
            self.send_now(cx);
            self.announce(self.cfg.garp.repeat, cx);
        }
    }

    /// The kernel holds one of our addresses now.
    pub fn on_address_held(&mut self, ifindex: u32, addr: IpAddr, cx: &mut Cx<'_>) {
        if self.is_master() {
            let (times, gap) = (self.cfg.garp.repeat, self.gap(addr));
            cx.announcer.add(self.key, ifindex, addr, times, gap);
        }
    }

    /// Somebody else removed one of our addresses; it is on its way back.
    pub fn on_address_taken(&mut self, addr: IpAddr, prefix: u8, dev: &str, cx: &mut Cx<'_>) {
        self.stats.restored += 1;
        cx.fx.note(text::address_taken(&self.cfg.name, addr, prefix, dev));
    }

    /// `Due::GarpSecond`.
    pub fn on_garp_second(&mut self, cx: &mut Cx<'_>) {
        if self.is_master() {
            self.announce(self.second_burst, cx);
        }
    }

    /// `Due::GarpRefresh`.
    pub fn on_garp_refresh(&mut self, cx: &mut Cx<'_>) {
        if self.is_master() {
            self.announce(self.cfg.garp.refresh_repeat, cx);
            self.set_refresh(cx.now.mono, cx);
        }
    }

    /// A hardware address changed under us (a bond's new slave): hosts must hear the new one.
    pub fn on_new_mac(&mut self, cx: &mut Cx<'_>) {
        if self.is_master() {
            self.announce(self.cfg.garp.repeat, cx);
        }
    }

    /// An interface that one of our addresses names may be there now.
    pub fn on_interface(&mut self, cx: &mut Cx<'_>) {
        if self.is_master() {
            self.want_addresses(cx);
        }
    }

    /// The daemon stops.
    pub fn on_shutdown(&mut self, cx: &mut Cx<'_>) {
        let was = self.state;
        self.go(Input::Shutdown, Cause::None, None, cx);
        self.faults.clear();
        if was != State::Init {
            cx.fx.note(text::stopped(&self.cfg.name, was));
        }
    }

    // ---- the state machine ----

    fn go(&mut self, input: Input, cause: Cause, heard: Option<&Heard>, cx: &mut Cx<'_>) {
        let step = fsm::step(self.state, input);
        let old = self.state;
        if matches!(step.act, Act::Yield | Act::Farewell) {
            // While still Master by state: the priority-0 advert must be on the wire before the addresses go.
            self.leave_master(step.act, heard, cx);
        }
        self.state = step.next;
        if step.act == Act::Claim {
            // The advert is not to wait for words.
            self.claim(cx);
        }
        if step.next != old {
            self.since = cx.now;
            if step.next != State::Init {
                let cause = match cause {
                    Cause::None => String::new(),
                    Cause::Text(text) => text,
                    Cause::Silence => self.silence_cause(cx.now.mono),
                };
                let init = old == State::Init && step.next != State::Master;
                cx.fx.note(text::entering(&self.cfg.name, step.next, init, &cause));
            }
        }
        match step.act {
            Act::Ignore | Act::Farewell | Act::Claim => {}
            Act::Listen => {
                self.enter_backup(cx);
                self.master_interval = self.cfg.advert_int;
                self.arm_master_down(cx);
            }
            Act::Hurry => {
                let skew = timing::skew(self.cfg.version, self.priority, self.master_interval);
                cx.timers.set(Due::MasterDown(self.key), cx.now.mono + skew);
                self.silence.zero_from = heard.map(|h| h.src);
            }
            Act::Follow => self.heard_equal_or_higher(heard, cx),
            Act::PreemptOrFollow => self.heard_lower(heard, cx),
            Act::Answer => self.answer(heard, cx),
            Act::Reassert => self.answer_now(cx),
            Act::Complain => {
                if let Some(h) = heard
                    && self.limits.same.pass(cx.now.mono).is_some()
                {
                    cx.fx.note(text::same_address(&self.cfg.name, h.src));
                }
            }
            Act::Yield => {
                self.enter_backup(cx);
                self.follow(heard, cx);
            }
            Act::Quit => self.quit(cx),
        }
    }

    fn enter_backup(&mut self, cx: &mut Cx<'_>) {
        self.preempt_delay_over = false;
        cx.timers.stop(Due::PreemptDelay(self.key));
        self.silence = Silence { since: Some(cx.now.mono), ..Silence::default() };
        self.master = None;
    }

    fn arm_master_down(&mut self, cx: &mut Cx<'_>) {
        cx.timers.set(Due::MasterDown(self.key), cx.now.mono + self.master_down_interval());
    }

    // RFC 9568 §6.4.2 (435)-(455): learn, recompute, restart.
    fn follow(&mut self, heard: Option<&Heard>, cx: &mut Cx<'_>) {
        if let Some(h) = heard {
            if self.cfg.version == Version::V3 && self.master_interval != h.interval {
                self.master_interval = h.interval;
                if h.interval > self.cfg.advert_int * SLOW {
                    cx.fx.note(text::slow_takeover(&self.cfg.name, h.src, self.master_down_interval()));
                }
            }
            if self.master != Some(h.src) {
                let old = self.master.replace(h.src);
                cx.fx.note(text::master_is(&self.cfg.name, old, h.src, h.priority));
                if h.priority == self.priority {
                    cx.fx.note(text::same_priority(&self.cfg.name, h.src, h.priority));
                }
            }
            self.silence = Silence { since: Some(cx.now.mono), ..Silence::default() };
        }
        self.arm_master_down(cx);
    }

    fn heard_equal_or_higher(&mut self, heard: Option<&Heard>, cx: &mut Cx<'_>) {
        if cx.timers.stop(Due::PreemptDelay(self.key)) {
            cx.fx.note(text::preempt_delay_stopped(&self.cfg.name));
        }
        self.preempt_delay_over = false;
        self.follow(heard, cx);
    }

    fn heard_lower(&mut self, heard: Option<&Heard>, cx: &mut Cx<'_>) {
        let Some(h) = heard else { return };
        // the owner preempts whatever Preempt_Mode says.
        let preempt = self.cfg.preempt || self.owner();
        let delaying = !self.cfg.preempt_delay.is_zero() && !self.preempt_delay_over && !self.owner();
        if preempt && delaying && cx.timers.get(Due::PreemptDelay(self.key)).is_none() {
            // the delay counts from the first lower-priority advert; a silent network is not waited for.
            cx.timers.set(Due::PreemptDelay(self.key), cx.now.mono + self.cfg.preempt_delay);
            cx.fx.note(text::preempt_delay(&self.cfg.name, self.cfg.preempt_delay));
        }
        if !preempt || delaying {
            self.follow(heard, cx);
        } else {
            // the timer keeps running and nothing is learned.
            self.silence.preempting = Some((h.src, h.priority));
            self.silence.since = Some(cx.now.mono);
            if self.limits.discarding.pass(cx.now.mono).is_some() {
                cx.fx.note(text::discarding_lower(&self.cfg.name, h.src, h.priority));
            }
        }
    }

    // ---- Master ----

    fn claim(&mut self, cx: &mut Cx<'_>) {
        cx.timers.stop(Due::MasterDown(self.key));
        cx.timers.stop(Due::PreemptDelay(self.key));
        self.predecessor = self.master.take();
        self.master_interval = self.cfg.advert_int;
        self.failing = 0;
        self.answer_open = Instant::default();
        self.stats.become_master += 1;
        // Advert first, so that the old Master drops the addresses before our GARP. Everything else waits for the
        // next turn, a few microseconds later: preparing 500 addresses must not hold up the advert (trap 66).
        self.send_now(cx);
        cx.timers.set(Due::Claim(self.key), cx.now.mono);
    }

    /// `Due::Claim`: the first advert is on its way; now the following ones, the addresses, and later their announcements.
    pub fn on_claim(&mut self, cx: &mut Cx<'_>) {
        if !self.is_master() {
            return;
        }
        // Addresses first: the kernel adds them while we go on.
        self.want_addresses(cx);
        self.phase = Some(cx.grid.join(self.cfg.advert_int));
        self.top_up(cx);
        self.set_second_burst(self.cfg.garp.repeat, self.cfg.garp.delay, cx);
        self.set_refresh(cx.now.mono + self.cfg.garp.delay, cx);
    }

    fn leave_master(&mut self, act: Act, heard: Option<&Heard>, cx: &mut Cx<'_>) {
        let farewell = (act == Act::Farewell && self.sock_key().is_some()).then(|| self.build(0)).flatten();
        // R-092 (RFC 9568 §2.5): it was alive all the time, its adverts were queued or lost on the way.
        if let Some(h) = heard.filter(|h| self.predecessor == Some(h.src)) {
            let held = cx.now.mono.since(self.since.mono);
            if held < self.master_down_interval() {
                cx.fx.note(text::flapping(&self.cfg.name, h.src, held));
            }
        }
        if act == Act::Yield && self.cfg.higher_prio_send_advert && heard.is_some() {
            self.send_now(cx);
        }
        if farewell.is_some() {
            self.stats.pri_zero_sent += 1;
            cx.fx.note(text::sent_zero(&self.cfg.name));
        }
        self.disarm(farewell, cx);
        if let Some(phase) = self.phase.take() {
            cx.grid.leave(phase);
        }
        self.stats.release_master += 1;
        self.quit(cx);
    }

    fn quit(&mut self, cx: &mut Cx<'_>) {
        cx.timers.stop_all(self.key);
        cx.announcer.cancel(self.key);
        cx.addrs.release(self.key);
        self.master = None;
        self.preempt_delay_over = false;
    }

    fn answer(&mut self, heard: Option<&Heard>, cx: &mut Cx<'_>) {
        let Some(h) = heard else { return };
        let now = cx.now.mono;
        let advert = !self.cfg.lower_prio_no_advert;
        if self.limits.lower.pass(now).is_some() {
            cx.fx.note(if h.priority == self.priority {
                text::equal_less(&self.cfg.name, h.src, h.priority)
            } else {
                text::lower(&self.cfg.name, h.src, h.priority, self.priority, advert)
            });
        }
        if now < self.answer_open {
            return;
        }
        if advert {
            self.answer_now(cx);
        } else {
            self.answer_open = now + ANSWER_PAUSE;
        }
        // Hosts may have believed the other one.
        let (times, delay) = (self.cfg.garp.lower_prio_repeat, self.cfg.garp.lower_prio_delay);
        if times > 0 {
            self.announce(times, cx);
            self.set_second_burst(times, delay, cx);
        }
    }

    fn answer_now(&mut self, cx: &mut Cx<'_>) {
        if cx.now.mono >= self.answer_open {
            self.answer_open = cx.now.mono + ANSWER_PAUSE;
            self.send_now(cx);
        }
    }

    fn set_second_burst(&mut self, times: u32, delay: Duration, cx: &mut Cx<'_>) {
        if !delay.is_zero() {
            self.second_burst = times;
            cx.timers.set(Due::GarpSecond(self.key), cx.now.mono + delay);
        }
    }

    fn set_refresh(&mut self, from: Instant, cx: &mut Cx<'_>) {
        if !self.cfg.garp.refresh.is_zero() {
            cx.timers.set(Due::GarpRefresh(self.key), from + self.cfg.garp.refresh);
        }
    }

    fn announce(&mut self, times: u32, cx: &mut Cx<'_>) {
        let mut n = 0;
        for (ifindex, addr, _) in cx.addrs.held(self.key) {
            cx.announcer.add(self.key, ifindex, addr, times, self.gap(addr));
            n += 1;
        }
        if n > 0 {
            cx.fx.note(text::announcing(&self.cfg.name, n, times));
        }
    }

    fn gap(&self, addr: IpAddr) -> Duration {
        if addr.is_ipv4() { self.cfg.garp.garp_interval } else { self.cfg.garp.gna_interval }
    }

    fn want_addresses(&mut self, cx: &mut Cx<'_>) {
        let owner = self.owner();
        let specs: Vec<AddrSpec> = self.specs(cx.links).collect();
        for spec in specs {
            // Asked for again after an interface came back: what is held already was announced already.
            let known = cx.addrs.is_wanted((spec.ifindex, spec.addr, spec.prefix));
            if let Some((ifindex, addr, _)) = cx.addrs.want(self.key, spec, owner, cx.links)
                && !known
            {
                self.on_address_held(ifindex, addr, cx);
            }
        }
    }

    /// The addresses this virtual router would hold, on those interfaces that exist now.
    pub fn specs<'a>(&'a self, links: &'a Links) -> impl Iterator<Item = AddrSpec> + 'a {
        self.vips().filter_map(|v| {
            let dev = v.dev.as_deref().unwrap_or(&self.cfg.interface);
            let ifindex = links.by_name(dev)?.ifindex;
            Some(AddrSpec {
                ifindex,
                addr: v.addr,
                prefix: v.prefix,
                brd: v.brd,
                scope: v.scope,
                label: v.label.clone(),
                deprecated: v.deprecated,
                noprefixroute: v.noprefixroute,
                peer: v.peer,
            })
        })
    }

    /// All its addresses, advertised and excluded.
    pub fn vips(&self) -> impl Iterator<Item = &Vip> {
        self.cfg.vips.iter().chain(&self.cfg.excluded)
    }

    // ---- adverts ----

    fn top_up(&mut self, cx: &mut Cx<'_>) {
        let (Some(phase), Some(sock), Some(packet)) = (self.phase, self.sock_key(), self.packet()) else { return };
        let depth = timing::depth(self.cfg.advert_int);
        while self.armed.len() < depth {
            // From the last armed one: no drift. After a standstill from now: one advert, not a burst.
            let at = phase.after(self.armed.back().copied().unwrap_or(cx.now.mono).max(cx.now.mono));
            self.armed.push_back(at);
            cx.fx.push(Effect::AdvertAt { vr: self.key, sock, epoch: self.epoch, at, packet: packet.clone() });
        }
    }

    fn rearm(&mut self, cx: &mut Cx<'_>) {
        self.disarm(None, cx);
        self.top_up(cx);
    }

    fn disarm(&mut self, farewell: Option<Bytes>, cx: &mut Cx<'_>) {
        self.armed.clear();
        self.epoch = self.epoch.wrapping_add(1);
        if let Some(sock) = self.sock_key() {
            cx.fx.push(Effect::AdvertsStop { vr: self.key, sock, farewell });
        }
    }

    fn send_now(&mut self, cx: &mut Cx<'_>) {
        if let (Some(sock), Some(packet)) = (self.sock_key(), self.packet()) {
            self.stats.advert_sent += 1;
            cx.fx.push(Effect::Send { vr: self.key, sock, packet });
        }
    }

    fn sock_key(&self) -> Option<SockKey> {
        match self.sock {
            SockState::Ready(k) | SockState::Opening(k) => Some(k),
            SockState::None | SockState::Failed(_) => None,
        }
    }

    fn packet(&mut self) -> Option<Bytes> {
        if self.packet.is_none() {
            self.packet = self.build(self.priority);
        }
        self.packet.clone()
    }

    fn build(&self, priority: u8) -> Option<Bytes> {
        Some(wire::vrrp::packet(&wire::vrrp::AdvertSpec {
            family: self.cfg.family,
            version: self.cfg.version,
            vrid: self.cfg.vrid,
            priority,
            interval: self.cfg.advert_int,
            auth: &self.cfg.auth,
            checksum: self.cfg.checksum,
            src: self.source?,
            dst: self.cfg.mcast_group,
            addrs: &self.listed,
        }))
    }

    /// Panics when a rule that must always hold does not.
    pub fn check_invariants(&self, timers: &Timers, addrs: &Addresses) {
        let name = &self.cfg.name;
        let down = timers.get(Due::MasterDown(self.key)).is_some();
        assert_eq!(down, self.state == State::Backup, "({name}) Master_Down_Timer runs in Backup and only there");
        let claiming = timers.get(Due::Claim(self.key)).is_some();
        assert_eq!(
            self.phase.is_some() || claiming,
            self.is_master(),
            "({name}) a Master has a phase, and only a Master"
        );
        assert_eq!(
            self.faults.is_empty(),
            self.state != State::Fault,
            "({name}) FAULT has a reason: {:?}",
            self.faults
        );
        assert!(self.armed.len() <= timing::depth(self.cfg.advert_int), "({name}) armed too many");
        if self.is_master() {
            assert!(
                claiming || !self.armed.is_empty() || self.packet.is_none(),
                "({name}) a Master has an advert armed"
            );
        } else {
            assert!(self.armed.is_empty(), "({name}) only a Master arms adverts");
            assert_eq!(addrs.wanted(self.key), 0, "({name}) only a Master wants addresses");
        }
    }
}
