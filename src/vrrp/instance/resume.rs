//! From one process to the next: the state that a virtual router passes on, and how it continues from that.
//!
//! Read first: `master.rs`, `snapshot/`. A snapshot's values come from another process, perhaps of another version, and are not
//! trusted: every value that affects a decision is checked against its range, and with a value out of range nothing is resumed.
//!
//! A silent Master may continue as long as no peer can have taken over: a peer does so `down_timer_adverts` intervals after our last
//! advert, plus its Skew_Time and plus the packet's travel time. These last two are a margin that is not used.

use super::master::ANSWER_PAUSE;
use super::{Cause, Cx, Instance, Moved, SockState};
use crate::config::model::{Family, InstanceConfig, Version};
use crate::effect::{AddrSpec, AdvertFx, Effect, Packet};
use crate::event::LONGEST_AGE;
use crate::links::AddrId;
use crate::snapshot::InstanceShot;
use crate::time::{Duration, Instant, Now, Wall, nanos};
use crate::timers::{Due, Timers};
use crate::vrrp::advert::Heard;
use crate::vrrp::fsm::{Input, State};
use crate::vrrp::{text, timing};

/// Shortest and longest interval that an advert can have.
const INTERVALS: (u64, u64) = (10_000_000, 255_000_000_000);
/// How long after the last advert of another process ours leaves: a busy processor does not order the timers of two processes more
/// precisely, and an interval is ten times as long.
pub const BEHIND: Duration = Duration::from_millis(1);
/// A counter above this value is not genuine.
const COUNTER: u64 = u64::MAX / 2;

/// The end of the previous process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Since {
    /// The process froze: its armed adverts leave, up to the last.
    Frozen,
    /// The process died: it was known to be alive at this time.
    Dead(Instant),
}

/// The values whose change requires a snapshot. Cheap to compare: it is compared in every turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mark {
    state: State,
    priority: u8,
    master_interval: Duration,
    master: Option<core::net::IpAddr>,
    armed: bool,
    preempt_over: bool,
    joins: bool,
}

// The action for a snapshot.
#[derive(serde::Serialize, serde::Deserialize)]
enum Plan {
    // Adverts are armed until `last`, in steps of the other interval.
    Join { last: Instant, old: Duration },
    // Silent for this time, and no peer can have taken over.
    Resume { silent: Duration, last: Option<Instant> },
    Cold(Option<String>),
}

/// How long a Master may be silent before a peer can have taken over. `interval`: the one that peers have learned; an interval that was
/// just made longer does not extend the time.
fn silence_allowed(interval: Duration, cfg: &InstanceConfig) -> Duration {
    interval.min(cfg.advert_int) * cfg.down_timer_adverts
}

fn state_of(n: u8) -> Option<State> {
    State::ALL.get(usize::from(n)).copied()
}

impl Instance {
    /// The state for the next process; `ifindex`: its interface now, or 0; `addrs`: the addresses that it holds or has requested;
    /// `announce`: some announcements are outstanding.
    pub fn shot(&self, timers: &Timers, ifindex: u32, addrs: Vec<AddrId>, announce: bool) -> InstanceShot {
        let s = &self.stats;
        let mut stats = vec![
            s.advert_rcvd,
            s.advert_sent,
            s.send_failed,
            s.become_master,
            s.release_master,
            s.pri_zero_rcvd,
            s.pri_zero_sent,
            s.restored,
        ];
        stats.extend(s.rejected);
        let (sequence, armed_sequence, marks) = self.seal.shot();
        let timer = |due| timers.get(due).map(|at: Instant| at.0);
        InstanceShot {
            name: self.cfg.name.clone(),
            vrid: self.cfg.vrid,
            interface: self.cfg.interface.clone(),
            v6: self.cfg.family == Family::V6,
            ifindex,
            state: self.state as u8,
            since: (self.since.mono.0, self.since.wall.0),
            priority: self.priority,
            master_interval: nanos(self.master_interval),
            master: self.master,
            master_down: timer(Due::MasterDown(self.key)),
            preempt_at: timer(Due::PreemptDelay(self.key)),
            preempt_over: self.preempt_delay_over,
            last_armed: self.armed.back().map(|at| at.0),
            announce: self.is_master() && (announce || timers.get(Due::GarpSecond(self.key)).is_some()),
            addrs,
            stats,
            notified: None,
            piped: None,
            willing: self.is_willing(),
            joining: self.joins(),
            farewell: None,
            sequence,
            armed_sequence,
            marks,
        }
    }

    /// The values whose change requires a snapshot, for a comparison in every turn ([`Mark`]).
    pub fn mark(&self) -> Mark {
        Mark {
            state: self.state,
            priority: self.priority,
            master_interval: self.master_interval,
            master: self.master,
            armed: self.phase.is_some(),
            preempt_over: self.preempt_delay_over,
            joins: self.joins(),
        }
    }

    /// Another process takes over: completes a takeover that has begun, and arms as many adverts as possible.
    pub fn on_freeze(&mut self, cx: &mut Cx<'_>) {
        if core::mem::take(&mut self.parting) {
            self.disarm(None, cx);
        }
        while cx.timers.stop(Due::ClaimMore(self.key)) {
            self.on_claim_more(cx);
        }
        if cx.timers.stop(Due::Claim(self.key)) {
            self.on_claim(cx);
        }
        if self.is_master() {
            if cx.timers.get(Due::Rearm(self.key)).is_some() {
                self.rearm_now(cx);
            }
            self.top_up(cx);
        }
    }

    /// Until when a successor may resume as Master, if this process sends only its armed adverts: no peer can have taken over before.
    pub fn silent_limit(&self, now: Instant) -> Instant {
        let last = self.armed.back().copied().unwrap_or(now).max(now);
        last + silence_allowed(self.master_interval, &self.cfg)
    }

    /// [`Due::Inherited`]: the last advert of the previous process has left; this process arms the next ones.
    pub fn on_inherited(&mut self, cx: &mut Cx<'_>) {
        if self.is_master() {
            self.armed.retain(|at| *at > cx.now.mono);
            self.top_up(cx);
        }
    }

    /// Whether the snapshot is of this virtual router.
    pub fn is_of(&self, shot: &InstanceShot) -> bool {
        let v6 = self.cfg.family == Family::V6;
        (shot.vrid, &shot.interface, shot.v6) == (self.cfg.vrid, &self.cfg.interface, v6)
    }

    /// Continues from the state of another process, if possible. Otherwise it is unchanged and starts like any other.
    pub fn resume(&mut self, shot: &InstanceShot, at: Instant, before: Since, sock: SockState, cx: &mut Cx<'_>) {
        if self.state != State::Init {
            return;
        }
        // Also where it starts anew: peers remember the sequences that they have accepted.
        let sequences = (shot.sequence, shot.armed_sequence);
        self.seal.resume(sequences, shot.last_armed.map(Instant), &shot.marks, cx.now.mono);
        match state_of(shot.state) {
            Some(State::Master) if self.link(cx.links).is_none_or(|l| l.ifindex != shot.ifindex) => {
                cx.fx.note(text::cold(&self.cfg.name, text::ANOTHER_INTERFACE));
            }
            Some(State::Master) => match self.plan(shot, at, before, cx.now.mono) {
                Plan::Join { last, old } => self.join_in(shot, last, old, sock, cx),
                Plan::Resume { silent, last } => self.speak_again(shot, silent, last, sock, cx),
                Plan::Cold(Some(why)) => cx.fx.note(text::cold(&self.cfg.name, &why)),
                Plan::Cold(None) => cx.fx.note(text::cold(&self.cfg.name, text::SNAPSHOT_SENSELESS)),
            },
            Some(State::Backup) if self.sound(shot, cx.now.mono) => self.listen_on(shot, before, sock, cx),
            Some(State::Backup) | None => cx.fx.note(text::cold(&self.cfg.name, text::SNAPSHOT_SENSELESS)),
            // It enters FAULT again by itself, if the reason is still there.
            Some(State::Fault) => {
                let since = self.since_of(shot, cx.now);
                self.take_counts(shot);
                self.remember(Moved {
                    at: since,
                    from: State::Fault,
                    to: State::Fault,
                    cause: text::TAKEN_OVER.to_owned(),
                });
            }
            Some(State::Init) => {}
        }
    }

    /// An advert that arrived while no process read: the previous process handled none after `at`. An earlier one has no effect.
    pub fn on_overheard(&mut self, heard: &Heard, arrived: Now, at: Instant, cx: &mut Cx<'_>) {
        let counts = arrived.mono + LONGEST_AGE >= at && arrived.mono >= self.since.mono;
        if counts && self.take_sequence(heard, arrived.wall).is_ok() {
            let late = core::mem::replace(&mut cx.now, arrived);
            let open = self.answer_open;
            self.on_advert(heard, cx);
            cx.now = late;
            // An answer leaves now, whenever the advert arrived: one answer stands for all of them.
            if self.answer_open != open {
                self.answer_open = late.mono + ANSWER_PAUSE;
            }
        }
    }

    // Checks of values that apply in every state.
    fn sound(&self, shot: &InstanceShot, now: Instant) -> bool {
        shot.priority > 0 && (INTERVALS.0..=INTERVALS.1).contains(&shot.master_interval) && shot.since.0 <= now.0
    }

    fn plan(&self, shot: &InstanceShot, at: Instant, before: Since, now: Instant) -> Plan {
        if !self.sound(shot, now) {
            return Plan::Cold(None);
        }
        let old = Duration::from_nanos(shot.master_interval);
        let limit = silence_allowed(old, &self.cfg);
        let last = shot.last_armed.map(Instant);
        let silent = match (before, last) {
            // More than any process arms.
            (_, Some(last)) if last > now + old * (timing::depth(old) as u32 + 1) => return Plan::Cold(None),
            (Since::Frozen, Some(last)) if now < last + old => return Plan::Join { last, old },
            (Since::Frozen, last) => now.since(last.unwrap_or(at)),
            // The process was alive then, but its last advert may have been sent up to an interval before.
            (Since::Dead(since), _) => now.since(since) + old,
        };
        if silent < limit {
            Plan::Resume { silent, last }
        } else {
            Plan::Cold(Some(text::silent_too_long(silent, limit)))
        }
    }

    // The values that a Master and a Backup take over alike.
    fn take_over(&mut self, shot: &InstanceShot, input: Input, cx: &mut Cx<'_>) {
        let now = cx.now;
        self.go(self.decide(input), Cause::None, None, cx);
        self.since = self.since_of(shot, now);
        if !self.owner() {
            self.priority = shot.priority.min(254);
        }
        let cause = text::TAKEN_OVER.to_owned();
        self.remember(Moved { at: self.since, from: self.state, to: self.state, cause });
        self.take_counts(shot);
    }

    fn since_of(&self, shot: &InstanceShot, now: Now) -> Now {
        Now { mono: Instant(shot.since.0).min(now.mono), wall: Wall(shot.since.1) }
    }

    fn take_counts(&mut self, shot: &InstanceShot) {
        let counts = shot.stats.iter().map(|n| if *n <= COUNTER { *n } else { 0 }).collect::<Vec<_>>();
        let s = &mut self.stats;
        // An older process may have fewer reasons for a rejection: later ones were appended.
        if let Some((fixed, rejected)) = counts.split_at_checked(8)
            && rejected.len() <= s.rejected.len()
        {
            let into = [
                &mut s.advert_rcvd,
                &mut s.advert_sent,
                &mut s.send_failed,
                &mut s.become_master,
                &mut s.release_master,
                &mut s.pri_zero_rcvd,
                &mut s.pri_zero_sent,
                &mut s.restored,
            ];
            into.into_iter().zip(fixed).for_each(|(to, n)| *to = *n);
            s.rejected.iter_mut().zip(rejected).for_each(|(to, n)| *to = *n);
        }
    }

    // Master again, without a report; `false`: something is missing now, and the router left Master with a priority-0 advert.
    fn be_master(&mut self, shot: &InstanceShot, last: Option<Instant>, sock: SockState, cx: &mut Cx<'_>) -> bool {
        self.take_over(shot, Input::GoOnMaster, cx);
        // Existing addresses are ours already: neither added nor announced.
        let owner = self.owner();
        cx.vmacs.raise(self.key, true, cx.links);
        let specs: Vec<AddrSpec> = self.specs(cx.links).collect();
        for spec in specs {
            cx.addrs.adopt(self.key, spec, owner, cx.links);
        }
        // The evaluation arms nothing, because there is no phase yet.
        self.evaluate(sock, cx);
        if self.is_master() {
            self.phase = Some(match last {
                Some(last) => cx.grid.rejoin(self.cfg.advert_int, self.weight(), last),
                None => cx.grid.join(self.cfg.advert_int, self.weight()),
            });
        }
        self.wants_routes = self.is_master();
        self.wants_routes
    }

    // The armed adverts of the previous process still leave: ours begin after them.
    fn join_in(&mut self, shot: &InstanceShot, last: Instant, old: Duration, sock: SockState, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        cx.fx.note(text::goes_on(&self.cfg.name, State::Master, last.since(now)));
        self.inherited = last;
        if !self.be_master(shot, Some(last), sock, cx) {
            return;
        }
        let next = self.phase.map_or(last + old, |phase| cx.grid.after(phase, last));
        if next.min(last + old) <= now {
            self.advertise_now(cx);
        } else if next > last + old {
            // The interval is longer now: peers learn it before they miss an advert of the old one.
            self.arm_at(last + old, cx);
        } else {
            // Kept like an armed advert of ours; but no completion reports it.
            self.armed.push_back(last);
            cx.timers.set(Due::Inherited(self.key), last);
        }
        self.top_up(cx);
        if shot.announce {
            self.announce_anew(self.cfg.garp.repeat, cx);
        }
        self.set_refresh(now, cx);
        self.set_extra(cx);
    }

    // Silent for less time than a peer needs to take over; if a peer did all the same, our announcement is the last one.
    fn speak_again(
        &mut self,
        shot: &InstanceShot,
        silent: Duration,
        last: Option<Instant>,
        sock: SockState,
        cx: &mut Cx<'_>,
    ) {
        cx.fx.note(text::resumes(&self.cfg.name, silent));
        if self.be_master(shot, last, sock, cx) {
            self.top_up(cx);
            // At once, but after received packets: a router that has to yield sends nothing.
            cx.timers.set(Due::Reannounce(self.key), cx.now.mono);
            self.set_second_burst(cx);
            self.set_refresh(cx.now.mono + self.cfg.garp.delay, cx);
            self.set_extra(cx);
        }
    }

    // Adverts of the previous process, which cannot be cancelled, would follow the priority-0 advert: it is sent once more after the last
    // of them.
    pub(super) fn part_after_inherited(&mut self, cx: &mut Cx<'_>) {
        if let (Some(sock), Some(packets), true) = (self.sock_key(), self.build(0), self.inherited > cx.now.mono) {
            self.parting = true;
            let at = self.inherited + BEHIND;
            let packets = self.sealed_for(at, &packets, cx);
            cx.fx.push(Effect::Advert(AdvertFx::At { vr: self.key, sock, epoch: self.epoch, at, packets }));
        }
    }

    /// The priority-0 advert that is to follow its armed adverts, if it is Master.
    pub fn last_words(&self, now: Now) -> Option<Vec<Packet>> {
        let packets = if self.is_master() { self.build(0)? } else { return None };
        let at = self.armed.back().copied().unwrap_or(now.mono).max(now.mono) + BEHIND;
        let packets = self.seal.clone().arm(&self.cfg, self.source?, &packets, at, now);
        Some(packets.iter().cloned().collect())
    }

    /// When its last priority-0 advert leaves, if that is still to leave: until then its socket stays open.
    pub fn parts_at(&self) -> Option<Instant> {
        self.parting.then(|| self.inherited + BEHIND)
    }

    fn listen_on(&mut self, shot: &InstanceShot, before: Since, sock: SockState, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        self.take_over(shot, Input::GoOnBackup, cx);
        if self.cfg.version == Version::V3 {
            self.master_interval = Duration::from_nanos(shot.master_interval);
        }
        self.master = shot.master;
        (self.known, self.said_master) = (shot.master, shot.master);
        self.silence.since = Some(now);
        let most = now + self.master_down_interval().max(self.first_wait());
        let down = match (before, shot.master_down) {
            (Since::Frozen, Some(at)) => Instant(at).clamp(now, most),
            _ => now + self.master_down_interval(),
        };
        cx.timers.set(Due::MasterDown(self.key), down);
        self.preempt_delay_over = shot.preempt_over;
        self.resume_member(shot.willing, shot.joining);
        if let Some(at) = shot.preempt_at {
            cx.timers.set(Due::PreemptDelay(self.key), Instant(at).clamp(now, now + self.cfg.preempt_delay));
        }
        cx.fx.note(text::goes_on(&self.cfg.name, State::Backup, down.since(now)));
        self.evaluate(sock, cx);
    }
}
