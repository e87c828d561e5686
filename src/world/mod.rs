//! The whole daemon as a value: `(Now, Event)` in, [`Effect`]s out. It owns every machine and routes every event; the machines make all
//! decisions that they can make.
//!
//! Read first: `event.rs`, `effect.rs`, `vrrp/instance/`; then `sockets` (received packets), `kernel` with `debounce` (interfaces and
//! addresses), `own` (own interfaces), `routes`, `fixed` (static addresses), `filter`, `groups` (sync groups), `tracks`, `bfd`, `lvs`, `hooks`
//! (notification), `reload`, `schedule`, `life` (signals, the end), `resume` (from one process to the next), `custody` (the addresses of a
//! frozen world), `report`, `view`, `record`.
//!
//! Start: the kernel is asked for its interfaces and addresses (`Resync`). When the dump is complete, left-overs of a killed daemon are
//! removed; no virtual router starts before they are gone, so none of them is ever the source of an advert.

use crate::bfd::Bfd;
use crate::child::{Children, For};
use crate::config::model::{Config, Family};
use crate::conn::{self, Conns};
use crate::effect::{ADDR_PROTO, AddrSpec, Effect, Effects, NetFx, SockSpec};
use crate::event::{
    AddrInfo, AdvertEv, Errno, Event, GuardEv, HelperEv, LONGEST_AGE, NetEv, RxMeta, Signal, SockEv, Stream,
};
use crate::exit::ExitCode;
use crate::filter::Filter;
use crate::filter::marking::Marking;
use crate::id::{Arena, SockKey, SockMark, TrackKey, VrKey, VrMark};
use crate::links::{AddrId, Links};
use crate::lvs::check::Checks;
use crate::lvs::director::Director;
use crate::note::Note;
use crate::notify::{Change, Notifier};
use crate::routes::Routes;
use crate::rules::Rules;
use crate::time::{Duration, Instant, Now};
use crate::timers::{Due, Timers};
use crate::track::{TrackView, Tracks};
use crate::vmac::Vmacs;
use crate::vrrp::State;
use crate::vrrp::address::{Addresses, Outcome};
use crate::vrrp::advert;
use crate::vrrp::announce::Announcer;
use crate::vrrp::instance::{Cx, Instance, SockState};
use crate::vrrp::text::{self, Limit};
use crate::vrrp::timing::Grid;
use crate::watch::Watches;
use core::net::{IpAddr, Ipv4Addr};
use reload::Reloads;
use sockets::Sock;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Between two tries to open a socket, and at most between two tries to get an undisturbed dump. The usual cause, a device that was just
/// removed, is reported by netlink sooner; the timer is for causes that netlink does not report.
const RETRY: Duration = Duration::from_secs(1);
/// Takeovers of one turn. Their adverts leave at its end, so the first one waits for the work on the others: about 10 µs each.
const TAKEOVERS: usize = 8;
/// A takeover that is due within this time precedes work of that duration: a slice of announcements, or the following adverts of routers
/// that took over just before. On a processor of 500 MIPS either takes some 0.35 ms.
const TAKEOVER_NEAR: Duration = Duration::from_micros(400);
/// How long a stop waits for the kernel to confirm the deletion of the addresses.
const STOP_LIMIT: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
enum Phase {
    // The kernel's state is not known yet.
    Reading,
    // Another process is in charge: see `resume`.
    Standby,
    // Left-overs are being deleted.
    Cleaning,
    Running,
    // Another process takes over: see `custody`.
    Frozen,
    Stopping,
    Gone,
}

/// All machines of the daemon and their timers. [`World::handle`] takes each input and appends its effects.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct World {
    phase: Phase,
    instances: Arena<VrMark, Instance>,
    groups: groups::Groups,
    // Every interface name that a virtual router uses.
    watchers: BTreeMap<String, Vec<VrKey>>,
    // Every VIP of the configuration that is not its owner's: never a source, never one of our own addresses.
    vips: BTreeSet<IpAddr>,
    socks: Arena<SockMark, Sock>,
    sock_by_spec: BTreeMap<SockSpec, SockKey>,
    sock_of: BTreeMap<VrKey, SockKey>,
    // Sockets without users that stay open until the last priority-0 advert has left by them.
    #[serde(default)]
    lingering: BTreeSet<SockKey>,
    links: Links,
    #[serde(default)]
    settling: debounce::Settling,
    addrs: Addresses,
    #[serde(default)]
    vmacs: Vmacs,
    routes: Routes,
    rules: Rules,
    #[serde(default)]
    filter: Filter,
    #[serde(default)]
    marking: Marking,
    // Routes and rules are reported.
    routes_watched: bool,
    lvs: Director,
    // The health checks of real servers, and whether they are carried out.
    checks: Checks,
    checking: bool,
    // What the tracked quorums were worked out from last: changes, and whether the configuration was read to its end.
    #[serde(default)]
    quorums: Option<(u64, bool)>,
    // It continues from a previous process: what that process put into the kernel is ours.
    went_on: bool,
    announcer: Announcer,
    grid: Grid,
    timers: Timers,
    children: Children,
    schedule: schedule::Schedule,
    conns: Conns,
    notifier: Notifier,
    // Changes for the notifier at the end of the turn.
    changes: Vec<Change>,
    // The states that the previous process reported: to hooks, then to pipes.
    inherited: Vec<(VrKey, Option<State>, Option<State>)>,
    // The same of sync groups.
    inherited_groups: Vec<crate::snapshot::GroupShot>,
    // The last number given to a program of the notifier.
    numbers: u64,
    // The addresses are removed; hooks, pipes and mail have their remaining time.
    leaving: bool,
    // Virtual routers do not start earlier.
    begins: Option<Instant>,
    #[serde(default)]
    local_igmp: own::LocalIgmp,
    // A stop was requested twice: no program is waited for.
    hurried: bool,
    // A stop was requested before the first dump was complete.
    unread: bool,
    watches: Watches,
    tracks: Tracks,
    bfd: Bfd,
    // The virtual routers that use a tracker.
    track_users: BTreeMap<TrackKey, Vec<VrKey>>,
    // Notes to be logged when the trackers start.
    remarks: Vec<Note>,
    // A dump is running; messages were lost meanwhile.
    dumping: bool,
    dump_again: bool,
    // Dumps in a row that were interrupted.
    dumps_failed: u32,
    // The configuration without its instances: each instance has its own.
    base: Config,
    reloads: Reloads,
    // Until `Go`.
    standby: Option<resume::Standby>,
    frozen_at: Option<Instant>,
    custody: custody::Custody,
    // The users of a socket or their addresses changed: `Sock::local` may have to change.
    regrouped: bool,
    // Addresses that were deleted a short time ago, for `swept`.
    removed: VecDeque<(Instant, AddrId)>,
    written: resume::Written,
    // The notifier was given something since its timer was last set.
    notified: bool,
    #[serde(skip)]
    tape: Option<Box<crate::record::Tape>>,
}

// A machine with everything that it uses; the borrow checker needs the fields separately. Whether the snapshot or the sync group is
// affected is checked here for this one machine: a check of all machines would make every advert more expensive with their number.
macro_rules! with {
    ($world:ident, $vr:expr, $now:expr, $fx:expr, |$vi:ident, $cx:ident| $body:expr) => {
        if let Some($vi) = $world.instances.get_mut($vr) {
            let (before, stood, routed) = ($vi.mark(), $vi.standing(), $vi.wants_routes());
            let $cx = &mut Cx {
                now: $now,
                timers: &mut $world.timers,
                fx: $fx,
                links: &$world.links,
                addrs: &mut $world.addrs,
                vmacs: &mut $world.vmacs,
                announcer: &mut $world.announcer,
                grid: &mut $world.grid,
                vips: &$world.vips,
                changes: &mut $world.changes,
                tracks: &$world.tracks,
            };
            $body;
            $world.written.differs($vr, $vi.mark() != before);
            let (stands, routes) = ($vi.standing(), $vi.wants_routes());
            if routes != routed {
                $world.routed($now, $vr, $fx);
            }
            if stands != stood {
                $world.stood($now, $vr, stood, stands, $fx);
            }
        }
    };
}

// The notifier with everything that it uses.
macro_rules! notify {
    ($world:ident, $now:expr, $fx:expr, |$n:ident, $cx:ident| $body:expr) => {{
        $world.notified = true;
        let $n = &mut $world.notifier;
        let $cx = &mut crate::notify::Cx {
            now: $now,
            children: &mut $world.children,
            conns: &mut $world.conns,
            fx: $fx,
            numbers: &mut $world.numbers,
        };
        $body
    }};
}

mod bfd;
mod custody;
mod debounce;
mod filter;
mod fixed;
mod groups;
mod hooks;
mod kernel;
mod life;
mod lvs;
mod own;
mod record;
mod reload;
mod report;
mod resume;
mod routes;
mod schedule;
mod sockets;
mod tracks;
mod view;

pub use groups::GroupView;
pub use report::Cursor;
pub use view::{View, VipView};

impl World {
    /// A world that has not started: its first input is [`Event::Start`].
    pub fn new(mut config: Config) -> World {
        config.share_group_tracks();
        let (tracks, remarks) = (Tracks::new(&config), crate::track::remarks(&config));
        let instances = core::mem::take(&mut config.instances);
        let mut w = World {
            phase: Phase::Reading,
            instances: Arena::default(),
            groups: groups::Groups::default(),
            watchers: BTreeMap::new(),
            vips: BTreeSet::new(),
            socks: Arena::default(),
            sock_by_spec: BTreeMap::new(),
            sock_of: BTreeMap::new(),
            lingering: BTreeSet::new(),
            links: Links::default(),
            settling: debounce::Settling::default(),
            addrs: Addresses::default(),
            vmacs: Vmacs::default(),
            routes: Routes::default(),
            rules: Rules::default(),
            filter: Filter::default(),
            marking: Marking::default(),
            routes_watched: false,
            lvs: Director::default(),
            checks: Checks::default(),
            checking: false,
            quorums: None,
            went_on: false,
            announcer: Announcer::default(),
            grid: Grid::default(),
            timers: Timers::default(),
            children: Children::default(),
            schedule: schedule::Schedule::new(&config.global.more),
            conns: Conns::default(),
            notifier: Notifier::default(),
            changes: Vec::new(),
            inherited: Vec::new(),
            inherited_groups: Vec::new(),
            numbers: 0,
            leaving: false,
            begins: None,
            local_igmp: own::LocalIgmp::default(),
            hurried: false,
            unread: false,
            watches: Watches::default(),
            tracks,
            bfd: Bfd::default(),
            track_users: BTreeMap::new(),
            remarks,
            dumping: false,
            dump_again: false,
            dumps_failed: 0,
            base: config,
            reloads: Reloads::default(),
            standby: None,
            frozen_at: None,
            custody: custody::Custody::default(),
            regrouped: false,
            removed: VecDeque::new(),
            written: resume::Written::default(),
            notified: true,
            tape: None,
        };
        for mut cfg in instances {
            cfg.forget_places();
            w.vips.extend(reload::vips_of(&cfg));
            let names = reload::interfaces_of(&cfg);
            let vr = w.instances.insert_with(|key| Instance::new(cfg, key));
            for name in names {
                w.watchers.entry(name).or_default().push(vr);
            }
        }
        w.link_tracks();
        let groups = core::mem::take(&mut w.base.sync_groups);
        w.regroup(&groups);
        w.base.sync_groups = groups;
        w
    }

    // `handle` without the recording.
    fn take_in(&mut self, now: Now, event: Event<'_>, fx: &mut Effects) {
        if self.custody.has_begun() {
            return self.on_frozen(now, event, fx);
        }
        match event {
            Event::Start => {
                self.dumping = true;
                self.watch_routes(fx);
                fx.push(Effect::Net(NetFx::Resync));
                self.schedule_start(fx);
            }
            Event::Sock(SockEv::Datagram { sock, meta, age, bytes }) => {
                // Timers that an advert sets count from its arrival.
                let arrived = Now { mono: now.mono - age.min(LONGEST_AGE), wall: now.wall };
                match self.phase {
                    Phase::Standby => self.overhear(arrived, sock, &meta, bytes),
                    _ => self.on_datagram(arrived, sock, &meta, bytes, fx),
                }
            }
            // Only packets that the raw socket does not deliver.
            Event::Sock(SockEv::LocalDatagram { meta, .. }) if !self.links.is_local(meta.src) => {}
            Event::Sock(SockEv::LocalDatagram { sock, meta, age, bytes }) => {
                let arrived = Now { mono: now.mono - age.min(LONGEST_AGE), wall: now.wall };
                match self.phase {
                    Phase::Standby => self.overhear(arrived, sock, &meta, bytes),
                    _ => self.on_datagram(arrived, sock, &meta, bytes, fx),
                }
            }
            Event::Sock(SockEv::Ready { sock, result }) => self.on_sock(now, sock, result, fx),
            Event::Sock(SockEv::Lost { sock, errno }) => self.on_sock(now, sock, Err(errno), fx),
            Event::Advert(AdvertEv::Sent { vr, epoch, due, result, missed }) => {
                self.may_be_reported(vr, result, fx);
                with!(self, vr, now, fx, |vi, cx| vi.on_advert_sent(epoch, due, result, missed, cx));
                // A sent advert affects no other machine; twenty come in one turn, and `fire` settles at its end. The end waits for some.
                if self.phase != Phase::Stopping {
                    return;
                }
            }
            Event::Advert(AdvertEv::SendFailed { vr, errno }) => {
                self.may_be_reported(vr, Err(errno), fx);
                with!(self, vr, now, fx, |vi, cx| vi.on_send_failed(errno, cx))
            }
            Event::Frames { ifindex, batch, sent, errno } => {
                self.announcer.on_sent(now.mono, ifindex, batch, sent, errno);
            }
            Event::Advert(AdvertEv::FarewellFailed { vr, errno }) => {
                with!(self, vr, now, fx, |vi, cx| vi.on_farewell_failed(errno, cx));
            }
            Event::Net(NetEv::LinkNew(link)) => {
                let link = self.debounced(now, link);
                self.on_link(now, link, fx);
            }
            Event::Net(NetEv::LinkDel { ifindex }) => {
                self.settled(ifindex);
                if let Some(name) = self.links.link_del(ifindex) {
                    self.link_gone(now, ifindex, &name, fx);
                }
            }
            Event::Net(NetEv::AddrNew(a)) => {
                if !self.on_addr(now, a, fx) {
                    return;
                }
            }
            Event::Net(NetEv::AddrDel { ifindex, addr, prefix, by }) => {
                self.on_addr_gone(now, (ifindex, addr, prefix), by, fx)
            }
            Event::Net(NetEv::RouteNew { route, replaced }) => {
                self.routes.on_new(now.mono, *route, replaced, &mut self.timers);
            }
            Event::Net(NetEv::RouteDel(route, by)) => self.routes.on_deleted(now.mono, &route, by, &mut self.timers),
            Event::Net(NetEv::RuleNew(rule)) => self.rules.on_new(*rule),
            Event::Net(NetEv::RuleDel(rule, by)) => self.rules.on_deleted(now.mono, *rule, by, &mut self.timers),
            Event::Net(NetEv::Lost) => self.on_netlink_lost(fx),
            Event::Net(NetEv::DumpBegin) => {
                self.links.begin();
                self.routes.begin_dump();
                self.rules.begin_dump();
            }
            Event::Net(NetEv::Synced { complete }) => self.on_synced(now, complete, fx),
            Event::Net(NetEv::Reply { req, result }) => {
                if let Some(outcome) = self.addrs.on_reply(now.mono, req, result, &mut self.timers) {
                    self.on_outcome(now, outcome, fx);
                }
                self.own_reply(now, req, result, fx);
                let routes = self.routes.on_reply(now.mono, req, result, &mut self.timers);
                let rules = self.rules.on_reply(now.mono, req, result, &mut self.timers);
                routes.into_iter().chain(rules).for_each(|n| fx.note(n));
            }
            Event::Signal(signal) => self.on_signal(now, signal, fx),
            Event::Guard(GuardEv::Config(config)) => self.on_config(config, fx),
            Event::Guard(GuardEv::ChildExit { child, end }) => match self.children.end(child) {
                Some(For::Track(track)) => self.on_track_exit(now, track, end, fx),
                Some(For::Hook(hook)) => self.on_hook_exit(now, hook, end, fx),
                Some(For::Module) => self.on_module(now, end, fx),
                Some(For::Lvs(check)) => self.on_lvs_exit(now, check, end, fx),
                Some(For::Nobody) | None => {}
            },
            Event::Helper(HelperEv::FileRead { watch, result }) => self.on_file(now, watch, result, fx),
            Event::Helper(HelperEv::Processes { watch, result }) => self.on_processes(now, watch, result, fx),
            Event::Helper(HelperEv::FifoReady { fifo, result }) => self.on_fifo_ready(now, fifo, result, fx),
            Event::Helper(HelperEv::FifoWritten { fifo, result }) => self.on_fifo_written(now, fifo, result, fx),
            Event::Helper(HelperEv::Knobs { job, before, failed }) => self.own_knobs(now, job, &before, failed, fx),
            Event::Helper(HelperEv::Resolved { conn, result }) => self.on_resolved(now, conn, result, fx),
            Event::Conn { conn, what } => {
                let whom = self.conns.whose(conn);
                if matches!(what, Stream::Failed(_) | Stream::Broken(_)) {
                    // Closed already; no further event comes.
                    self.conns.forget(conn);
                }
                match whom {
                    Some(conn::For::Check(track)) => self.on_check_stream(now, track, conn, what, fx),
                    Some(conn::For::Lvs(check)) => self.on_lvs_stream(now, check, conn, what, fx),
                    Some(conn::For::Mail) => self.on_mail_stream(now, conn, what, fx),
                    None => {}
                }
            }
            Event::Lvs(event) => self.on_lvs(now, event, fx),
            Event::Filter(event) => self.on_filter(now, event, fx),
            Event::Bfd(event) => {
                if !self.on_bfd(now, &event, fx) {
                    return;
                }
            }
            Event::Guard(GuardEv::Freeze) => self.on_freeze(now, fx),
            // Requested by a frozen world only.
            Event::Guard(GuardEv::Successor { .. }) => {}
            Event::Guard(GuardEv::Go { snapshot, dead_since }) => self.on_go(snapshot, dead_since),
        }
        self.settle(now, fx);
    }

    // `fire` without the recording.
    fn fire_due(&mut self, now: Now, limit: usize, fx: &mut Effects) -> bool {
        if self.custody.has_begun() {
            self.fire_frozen(now, fx);
            return false;
        }
        // The adverts of all routers that take over now leave before any other work for them or for others: addresses, timers, logs.
        let (mut looked, mut claimed) = (0, 0);
        while looked < limit
            && claimed < TAKEOVERS
            && let Some(vr) = self.timers.pop_takeover(now.mono)
        {
            looked += 1;
            with!(self, vr, now, fx, |vi, cx| vi.on_master_down(cx));
            claimed += usize::from(self.instances.get(vr).is_some_and(|vi| vi.state() == State::Master));
        }
        let mut room = if claimed > 0 { 0 } else { limit };
        while room > 0 {
            let mut next = self.timers.pop(now.mono);
            if next.is_none() {
                // Settling may make a timer due at once: the first announcement of an address that was just confirmed.
                self.settle(now, fx);
                next = self.timers.pop(now.mono);
            }
            let Some((_, due)) = next else { return false };
            room = room.saturating_sub(weight(due));
            if self.put_off(now, due) {
                continue;
            }
            match due {
                Due::MasterDown(vr) => with!(self, vr, now, fx, |vi, cx| vi.on_master_down(cx)),
                Due::ClaimMore(vr) => with!(self, vr, now, fx, |vi, cx| vi.on_claim_more(cx)),
                Due::Claim(vr) => with!(self, vr, now, fx, |vi, cx| vi.on_claim(cx)),
                Due::PreemptDelay(vr) => with!(self, vr, now, fx, |vi, _cx| vi.on_preempt_delay()),
                Due::Reannounce(vr) => with!(self, vr, now, fx, |vi, cx| vi.on_reannounce(cx)),
                Due::Rearm(vr) => with!(self, vr, now, fx, |vi, cx| vi.on_rearm(cx)),
                Due::AdvertRetry(vr) => with!(self, vr, now, fx, |vi, cx| vi.on_advert_retry(cx)),
                Due::Inherited(vr) => with!(self, vr, now, fx, |vi, cx| vi.on_inherited(cx)),
                Due::GarpSecond(vr) => with!(self, vr, now, fx, |vi, cx| vi.on_garp_second(cx)),
                Due::GarpLower(vr) => with!(self, vr, now, fx, |vi, cx| vi.on_garp_lower(cx)),
                Due::GarpRefresh(vr) => with!(self, vr, now, fx, |vi, cx| vi.on_garp_refresh(cx)),
                Due::GarpExtra(vr) => with!(self, vr, now, fx, |vi, cx| vi.on_garp_extra(cx)),
                Due::GarpLast(vr) => with!(self, vr, now, fx, |vi, cx| vi.on_garp_last(cx)),
                Due::DualMaster(vr) => with!(self, vr, now, fx, |vi, cx| vi.on_dual_master_due(cx)),
                Due::GroupSay(group) => self.say_group(now, group),
                Due::GarpQueue => self.announcer.pump(now.mono, &self.links, &mut self.timers, fx),
                Due::AddrRetry => {
                    for loss in self.addrs.on_retry(now.mono, &self.links, &mut self.timers) {
                        let ((ifindex, addr, prefix), vr) = (loss.key, loss.owner);
                        let dev = self.dev(ifindex);
                        if vr == crate::vrrp::address::FILE {
                            if loss.first {
                                fx.note(text::fixed_taken(addr, prefix, &dev, loss.by));
                            }
                            continue;
                        }
                        match self.swept(now.mono, (ifindex, addr, prefix)) {
                            Some(first) => {
                                with!(self, vr, now, fx, |vi, cx| vi.on_address_swept((addr, prefix), &dev, first, cx));
                            }
                            None => {
                                let told = loss.first.then_some((dev.as_str(), loss.by));
                                with!(self, vr, now, fx, |vi, cx| vi.on_address_taken(addr, prefix, told, cx));
                            }
                        }
                    }
                }
                Due::HeardMore(vr) => with!(self, vr, now, fx, |vi, cx| vi.on_heard_more(cx)),
                Due::KeepMore(vr) => with!(self, vr, now, fx, |vi, cx| vi.on_keep_more(cx)),
                Due::OwnLinks => self.own_due(now, fx),
                Due::Routes | Due::Rules => self.on_routes_due(now, fx),
                Due::LinkSettled(ifindex) => self.on_link_settled(now, ifindex, fx),
                Due::Filter => self.filter.on_due(now.mono, &mut self.timers, fx),
                Due::Marking => self.marking.on_due(now.mono, &mut self.timers, fx),
                Due::Lvs => self.on_lvs_due(now, fx),
                Due::SockRetry(sock) => self.reopen(sock, fx),
                Due::Resync => self.resync(fx),
                Due::ReloadTime => self.schedule_due(now, fx),
                Due::Notify => self.on_notify_due(now, fx),
                Due::TrackRun(track) => self.on_track_run(now, track, fx),
                Due::TrackTimeout(track) => self.on_track_timeout(now, track, fx),
                Due::Checks => self.on_checks_due(now, fx),
                Due::Reload => self.on_reload(now, fx),
                Due::Exit => self.on_exit_due(now, fx),
                Due::Bfd => self.on_bfd_due(now, fx),
                // Set by a frozen world only.
                Due::Custody => {}
                // `settle` continues.
                Due::Startup => self.wait_for_local_igmp(now),
            }
        }
        self.settle(now, fx);
        self.timers.next().is_some_and(|(at, _)| at <= now.mono)
    }

    // Whether this waits until the next takeover is over.
    fn put_off(&mut self, now: Now, due: Due) -> bool {
        let near = self.timers.next_takeover().filter(|at| *at <= now.mono + TAKEOVER_NEAR);
        let Some(then) = near.map(|at| at + Duration::from_nanos(1)) else { return false };
        match due {
            Due::GarpQueue => {
                self.announcer.rest(then);
                self.announcer.wake(now.mono, &mut self.timers);
            }
            Due::Claim(vr) | Due::ClaimMore(vr)
                if self.instances.get(vr).is_some_and(|vi| vi.claim_can_wait(now.mono)) =>
            {
                self.timers.set(due, then);
            }
            _ => return false,
        }
        true
    }

    /// The next deadline and its reason.
    pub fn next_deadline(&self) -> Option<(Instant, Due)> {
        self.timers.next()
    }

    /// When the next Master_Down_Timer runs out.
    pub fn next_takeover(&self) -> Option<Instant> {
        self.timers.next_takeover().filter(|_| self.phase != Phase::Frozen)
    }

    /// Every deadline, earliest first.
    pub fn deadlines(&self) -> impl Iterator<Item = (Instant, Due)> + '_ {
        self.timers.iter()
    }

    /// The number of entries of each kind, for tests that no entry is left behind: virtual routers, timers, sockets with their users,
    /// watched interfaces with their watchers, virtual addresses, programs, announcements; then [`Addresses::sizes`].
    pub fn sizes(&self) -> Vec<usize> {
        let users =
            self.socks.iter().flat_map(|(_, s)| s.users.values()).map(Vec::len).sum::<usize>() + self.sock_of.len();
        let watchers = self.watchers.values().map(Vec::len).sum();
        let socks = self.socks.len() + self.sock_by_spec.len();
        let mut all = vec![self.instances.len(), self.timers.len(), socks, users];
        all.extend([self.watchers.len(), watchers, self.vips.len(), self.children.len()]);
        all.push(self.announcer.len());
        all.extend(self.addrs.sizes());
        all.extend(self.groups.sizes());
        all.extend(self.routes.sizes());
        all.extend(self.rules.sizes());
        all.extend(self.vmacs.sizes());
        all.extend(self.filter.sizes());
        all.extend(self.marking.sizes());
        all.extend(self.bfd.sizes());
        all
    }

    /// The number of virtual routers that passes over all of them have examined so far. Nothing on the path of an advert or a timer adds
    /// to it.
    pub fn looked_at(&self) -> u64 {
        self.instances.looked_at()
    }

    /// Every tracker in use, by kind and name.
    pub fn tracks(&self) -> Vec<TrackView> {
        self.tracks.views().collect()
    }

    /// Panics when an invariant is violated.
    pub fn check_invariants(&self) {
        if self.custody.has_begun() {
            return; // no virtual router of a frozen world has timers
        }
        for (vr, vi) in self.instances.iter() {
            vi.check_invariants(&self.timers, &self.addrs);
            if vi.state() != State::Master {
                assert!(!self.vmacs.wants_up(vr), "({}) only a Master has its own interface up", vi.cfg().name);
                let (routes, rules) = (self.routes.wanted(vr), self.rules.wanted(vr));
                assert_eq!((routes, rules), (0, 0), "({}) only a Master wants routes and rules", vi.cfg().name);
            }
        }
        for (_, s) in self.socks.iter() {
            assert!(!s.users.is_empty(), "a socket nobody uses is closed");
        }
        self.check_groups();
        self.tracks.check_invariants(&self.timers);
        self.bfd.check_invariants(&self.timers);
    }

    // Handles the consequences of the last event.
    fn settle(&mut self, now: Now, fx: &mut Effects) {
        if self.custody.has_begun() {
            return;
        }
        if self.phase == Phase::Standby {
            self.stand_by(now, fx);
        }
        self.pump_all(now, fx);
        if core::mem::take(&mut self.regrouped) {
            self.hear_local(fx);
        }
        // `fire` announces, after every packet of the turn was read: a Master that is about to yield must not announce after the better
        // one did, or hosts would keep the wrong one.
        self.announcer.wake(now.mono, &mut self.timers);
        if self.phase == Phase::Cleaning
            && self.addrs.idle()
            && self.vmacs.idle()
            && self.begins.is_none_or(|at| at <= now.mono)
            && !self.local_igmp_is_on(now)
        {
            self.phase = Phase::Running;
            self.begin_notifying(now, fx);
            self.start_tracks(now, fx);
            self.start_bfd(now, fx);
            for vr in self.instances.keys() {
                self.evaluate(now, vr, fx);
            }
            self.addrs.pump(&self.filter, fx);
        }
        self.begin_reload(now, fx);
        self.settle_lvs(now, fx);
        self.tell_changes(now, fx);
        self.settle_filter(fx);
        // Once the time for the kernel's answers is over, only programs are waited for.
        if self.phase == Phase::Stopping
            && (self.leaving || !self.unread && self.all_idle() && self.local_igmp_is_back(now, fx))
        {
            match self.hurried {
                true => self.on_exit_due(now, fx),
                false => self.leave(now, fx),
            }
        }
    }
}

// The cost of a timer in a turn, as a number of ordinary ones, which take some microseconds each. Arming the adverts of a new Master that
// advertises ten times a second takes as long as sixteen.
fn weight(due: Due) -> usize {
    match due {
        Due::Claim(_) => 16,
        Due::ClaimMore(_) | Due::KeepMore(_) | Due::HeardMore(_) => 8,
        // Two connections that are opened, or some tens of checks that begin to wait.
        Due::Checks => 32,
        // Sixteen packets, or peers that are lost.
        Due::Bfd => 16,
        _ => 1,
    }
}

impl core::fmt::Debug for World {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("World").field("phase", &self.phase).field("instances", &self.views()).finish_non_exhaustive()
    }
}
