//! The order of all LVS work: reads the configuration part by part, opens, fills and compares the kernel's table, and passes verdicts to
//! the virtual servers.
//!
//! Read first: `farm.rs`, `table.rs`. Without virtual servers no socket is opened and no module loaded. On a kernel without IPVS the
//! virtual servers have no effect, one line in the log reports it, and the virtual routers run.

use super::check::{Standing, Wanted};
use super::farm::{Farm, Happened};
use super::pace::{self, Pace};
use super::sync::Sync;
use super::table::Table;
use super::text;
use super::timeouts::Keeper;
use crate::child::{Children, For};
use crate::config::model;
use crate::config::model::global::{GlobalMore, LvsFlush};
use crate::config::model::lvs::{PART_SERVERS, Part};
use crate::effect::{Effect, Effects, LvsFx, LvsOp, SpawnSpec};
use crate::event::{ChildEnd, Errno, LvsEv, ReqId};
use crate::id::{RsKey, VsKey};
use crate::snapshot::{RampShot, SinceShot};
use crate::time::{Duration, Instant, Now, earliest};
use crate::timers::{Due, Timers};
use crate::wire::netlink::ipvs::{Message, ServiceKey, Timeouts};
use crate::wire::netlink::nft::Marks;
use std::sync::Arc;

/// The command that loads the kernel's module where it is missing. It is kalived's own: no configuration names it.
pub const MODPROBE: [&str; 3] = ["modprobe", "-q", "ip_vs"];
/// Time before a kernel without IPVS is asked again: an operator may have loaded the module.
const ASK_AGAIN: Duration = Duration::from_secs(60);
/// Pause before the next part (`pace.rs`), which has a turn of its own: other work is more urgent.
pub const NEXT_TURN: Duration = pace::LEAST;
/// Number of the request to empty the table; no reconciler uses it.
const FLUSH: ReqId = ReqId(4 << 56);
/// Number of the requests of [`Keeper`].
const TIMEOUTS: ReqId = ReqId(4 << 56 | 1);
/// Number of the requests of [`Sync`].
const SYNC: ReqId = ReqId(4 << 56 | 2);

/// Quorums that are notified in one turn when the table can be used.
const TOLD: usize = 16;

/// What the director may touch.
pub struct Cx<'a> {
    /// The turn's time.
    pub now: Now,
    /// The one timer table.
    pub timers: &'a mut Timers,
    /// The effects of the turn.
    pub fx: &'a mut Effects,
    /// Programs of the core: `modprobe` is run for the modules of schedulers.
    pub children: &'a mut Children,
}

/// The state of the connection to the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
enum Kernel {
    #[default]
    Closed,
    // It was asked; `true`: after the attempt to load the module.
    Asked(bool),
    // The module is being loaded.
    Loading,
    Open,
    // Until the next try.
    Without,
}

/// The progress of reading the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
enum Config {
    #[default]
    Read,
    // Another one is there.
    Offered,
    // The next part is to be asked for in a turn of its own.
    Next,
    // It was asked for.
    Asked,
}

/// All virtual servers of the daemon and the state of the kernel's IPVS table. The world has one.
#[derive(Default, serde::Serialize, serde::Deserialize)]
pub struct Director {
    farm: Farm,
    table: Table,
    config: Config,
    kernel: Kernel,
    // When the next part, or the next checks, have their turn.
    #[serde(default)]
    pace: Pace,
    // When the kernel is asked again.
    again: Option<Instant>,
    // The result of loading the module.
    loading: Option<ChildEnd>,
    // It was reported that there is no IPVS.
    complained: bool,
    // The table is to be emptied before it is read.
    flush: bool,
    // The request to empty the table is not answered yet.
    flushing: bool,
    stopping: bool,
    // A configuration was read before.
    began: bool,
    // `lvs_timeouts`; and those of the configuration that is being read.
    #[serde(default)]
    timeouts: Keeper,
    #[serde(default)]
    new_timeouts: Timeouts,
    // `lvs_sync_daemon`.
    #[serde(default)]
    sync: Sync,
}

impl Director {
    /// The virtual servers and real servers, for reports and checks.
    pub fn farm(&self) -> &Farm {
        &self.farm
    }
    /// What is known of the kernel's IPVS table, for reports.
    pub fn table(&self) -> &Table {
        &self.table
    }
    /// Whether the kernel executes requests; `None`: none was made.
    pub fn is_open(&self) -> Option<bool> {
        match self.kernel {
            Kernel::Closed => None,
            kernel => Some(kernel == Kernel::Open),
        }
    }
    /// How often something in the kernel was put right that another program had changed.
    pub fn restored(&self) -> u64 {
        self.table.restored() + self.sync.restored()
    }
    /// Whether there is no virtual server, no entry of the table, and no work left.
    pub fn is_empty(&self) -> bool {
        self.farm.is_empty() && self.table.is_empty() && self.config == Config::Read
    }
    /// Whether all deletions from the table are done.
    pub fn idle(&self) -> bool {
        !self.flushing && self.table.idle() && self.sync.idle() && self.timeouts.idle()
    }
    /// The kernel's synchronisation threads (`lvs_sync_daemon`).
    pub fn sync(&mut self) -> &mut Sync {
        &mut self.sync
    }

    /// The kernel's connection timeouts (`lvs_timeouts`), and what they were before.
    pub fn timeouts(&mut self) -> &mut Keeper {
        &mut self.timeouts
    }
    /// What `lvs_timeouts` changed in the kernel, as it was before: for the next process.
    pub fn timeouts_before(&self) -> Timeouts {
        self.timeouts.before()
    }

    /// What is to be marked for IPVS, when a configuration was read to its end: once.
    pub fn take_marks(&mut self) -> Option<Arc<Marks>> {
        self.farm.marks.take_built()
    }
    /// The marks of virtual servers, at most so many, for the next process.
    pub fn mark_shots(&self, most: usize) -> Vec<(Box<str>, u32)> {
        self.farm.marks.shots(most)
    }
    /// Those of the previous process.
    pub fn inherit_marks(&mut self, marks: Vec<(Box<str>, u32)>) {
        self.farm.marks.inherit(marks);
    }

    /// The services of the previous process, and the quorum of virtual servers where the weights do not decide it.
    pub fn inherit(&mut self, services: Vec<ServiceKey>, undecided: Vec<(Box<str>, bool)>) {
        self.table.inherit(services);
        self.farm.inherit(undecided);
    }
    /// Since when things are as they are, at most so many records, for the next process; and whether quorums were not told so far, because
    /// the kernel has no IPVS.
    pub fn since_shots(&self, most: usize) -> (Vec<SinceShot>, bool) {
        (self.farm.shots_of_since(most), self.farm.is_untold())
    }
    /// The same of the previous process.
    pub fn inherit_since(&mut self, shots: Vec<SinceShot>, untold: bool) {
        self.farm.inherit_since(shots);
        if untold {
            self.farm.inherit_untold();
        }
    }
    /// Quorums that were gained before the table could be used, some in each turn.
    pub fn take_told(&mut self) -> Vec<Happened> {
        self.farm.tell(TOLD)
    }
    /// Real servers whose weight grew in the previous process (`slow_start`).
    pub fn resume_ramps(&mut self, ramps: Vec<RampShot>) {
        self.farm.resume_ramps(ramps);
    }
    /// A configuration was read, and its real servers have the verdicts that were known.
    pub fn resume_quorum(&mut self, cx: &mut Cx<'_>) {
        self.farm.resume_quorum(&mut self.table);
        self.rearm(cx);
    }
    /// Whether the table is to be opened although the configuration has no virtual servers, because the previous process had some.
    pub fn is_to_clean(&self) -> bool {
        (self.table.inherits() || self.timeouts.is_to_restore())
            && self.kernel == Kernel::Closed
            && self.config == Config::Read
    }
    /// Opens the table for that.
    pub fn clean(&mut self, cx: &mut Cx<'_>) {
        self.open(false, cx);
    }

    /// Whether a configuration waits to be read.
    pub fn is_offered(&self) -> bool {
        self.config == Config::Offered
    }
    /// The configuration that was offered is not to be read: it is not put in force.
    pub fn refuse(&mut self) {
        if self.config == Config::Offered {
            self.config = Config::Read;
        }
    }
    /// The configuration that was offered may be read. `first`: no process before this one filled the table, so that `lvs_flush` holds.
    pub fn begin(&mut self, more: &GlobalMore, first: bool, cx: &mut Cx<'_>) {
        self.flush = first && more.lvs_flush && self.kernel == Kernel::Closed;
        let t = more.lvs_timeouts;
        let [tcp, tcp_fin, udp] = [t.tcp, t.tcpfin, t.udp].map(|s| s.unwrap_or(0));
        self.new_timeouts = Timeouts { tcp, tcp_fin, udp };
        // A state that the previous process had is notified already.
        let marks = more.nftables_ipvs.is_some().then_some(more.nftables_ipvs_start_fwmark);
        self.farm.begin(first || self.began, more.rs_init_notifies, marks);
        self.began = true;
        self.ask(cx);
    }

    fn ask(&mut self, cx: &mut Cx<'_>) {
        self.config = Config::Asked;
        cx.fx.push(Effect::Lvs(LvsFx::Read));
    }

    /// Takes the new checks of some real servers of the last parts; [`Director::on_standing`] follows for each. The rest comes in turns of
    /// its own, before the next part is requested.
    pub fn take_checks(&mut self) -> Vec<(RsKey, Vec<Wanted>)> {
        self.farm.take_checks(PART_SERVERS)
    }
    /// `ha_suspend`: suspends its checks, or ends that. True: it is a change.
    pub fn suspend(&mut self, vs: VsKey, suspended: bool) -> bool {
        self.farm.suspend(vs, suspended)
    }
    /// Whether a configuration was read to its end, and all of its checks were taken.
    pub fn is_read(&self) -> bool {
        self.config == Config::Read && !self.farm.has_checks()
    }

    /// An event of the kernel or the daemon. `config`: the rest of the configuration in force.
    pub fn on_event(&mut self, event: LvsEv, config: &model::Config, cx: &mut Cx<'_>) -> Vec<Happened> {
        let now = cx.now.mono;
        self.farm.at(cx.now);
        let notes = match event {
            LvsEv::Offered => {
                if !self.stopping {
                    self.config = Config::Offered;
                }
                Vec::new()
            }
            LvsEv::Config(parts) => return self.on_config(parts, config, cx),
            LvsEv::Opened(result) => {
                self.on_opened(result, cx);
                Vec::new()
            }
            LvsEv::Found(messages) => {
                if let [Message::Timeouts(found)] = &*messages {
                    self.timeouts.on_found(*found);
                }
                for message in &messages {
                    if let Message::Daemon(daemon) = message {
                        self.sync.on_found(daemon.clone());
                    }
                }
                self.table.on_found(messages, &self.farm);
                Vec::new()
            }
            LvsEv::Synced { complete } => {
                self.table.on_synced(now, complete);
                self.sync.on_synced(complete)
            }
            LvsEv::Reply { req: FLUSH, result } => {
                self.flushing = false;
                result.err().map(text::not_flushed).into_iter().collect()
            }
            LvsEv::Reply { req: TIMEOUTS, result } => self.timeouts.on_reply(now, result).into_iter().collect(),
            LvsEv::Reply { req: SYNC, result } => self.sync.on_reply(now, result).into_iter().collect(),
            LvsEv::Reply { req, result } => self.table.on_reply(now, req, result, &self.farm),
            LvsEv::Room(_) => Vec::new(),
        };
        self.rearm(cx);
        notes.into_iter().map(Happened::Note).collect()
    }

    fn on_config(
        &mut self,
        parts: Result<Vec<Part>, Box<str>>,
        config: &model::Config,
        cx: &mut Cx<'_>,
    ) -> Vec<Happened> {
        // Another one was offered meanwhile, or none is being read any more.
        if !matches!(self.config, Config::Asked | Config::Next) {
            return Vec::new();
        }
        let mut happened = Vec::new();
        match parts {
            Ok(parts) => {
                self.config = Config::Next;
                for part in parts {
                    let last = part == Part::End;
                    happened.extend(self.farm.part(part, config, &mut self.table));
                    if last {
                        self.config = Config::Read;
                        self.read(cx);
                    }
                }
            }
            Err(why) => {
                self.config = Config::Read;
                happened.push(Happened::Note(text::unreadable(&why)));
            }
        }
        self.rearm(cx);
        happened
    }

    // All of a configuration is there. Without virtual servers its `lvs_timeouts` say nothing, as with keepalived.
    fn read(&mut self, cx: &mut Cx<'_>) {
        let none = self.farm.is_empty();
        self.timeouts.set(if none { Timeouts::default() } else { self.new_timeouts });
        match self.kernel {
            Kernel::Open => self.table.look_now(cx.now.mono),
            Kernel::Closed | Kernel::Without if !self.farm.is_empty() || self.sync.is_wanted() => self.open(false, cx),
            _ => {}
        }
    }

    fn open(&mut self, loaded: bool, cx: &mut Cx<'_>) {
        self.again = None;
        self.kernel = Kernel::Asked(loaded);
        cx.fx.push(Effect::Lvs(LvsFx::Open));
    }

    fn on_opened(&mut self, result: Result<(), Errno>, cx: &mut Cx<'_>) {
        let Kernel::Asked(loaded) = self.kernel else { return };
        if self.stopping {
            return;
        }
        match result {
            Ok(()) => {
                self.kernel = Kernel::Open;
                self.farm.set_usable(true);
                if core::mem::take(&mut self.complained) {
                    cx.fx.note(text::ipvs_there());
                }
                if core::mem::take(&mut self.flush) {
                    self.flushing = true;
                    cx.fx.push(Effect::Lvs(LvsFx::Change { req: FLUSH, op: LvsOp::Flush }));
                }
                self.table.look_now(cx.now.mono);
            }
            Err(Errno::ENOENT) if !loaded => {
                self.kernel = Kernel::Loading;
                let argv = MODPROBE.map(str::to_owned).into();
                cx.children.spawn(For::Module, SpawnSpec { argv, ..SpawnSpec::default() }, cx.fx);
            }
            Err(errno) => {
                self.kernel = Kernel::Without;
                self.farm.set_usable(false);
                self.again = Some(cx.now.mono + ASK_AGAIN);
                if !core::mem::replace(&mut self.complained, true) {
                    cx.fx.note(text::no_ipvs(errno, self.loading));
                }
            }
        }
    }

    /// The attempt to load the module has ended.
    pub fn on_loaded(&mut self, end: ChildEnd, cx: &mut Cx<'_>) {
        if self.kernel == Kernel::Loading {
            self.loading = Some(end);
            self.open(true, cx);
        }
    }

    /// The state of a real server and what its checks add to its weight, from now on. `why`: the result in words.
    pub fn on_result(&mut self, server: RsKey, standing: Standing, why: &str, cx: &mut Cx<'_>) -> Vec<Happened> {
        self.farm.at(cx.now);
        let happened = self.farm.on_standing(server, standing, why, &mut self.table);
        self.rearm(cx);
        happened
    }
    /// The same when its checks are set; a result of the previous process is not notified again.
    pub fn on_standing(&mut self, server: RsKey, standing: Standing, cx: &mut Cx<'_>) -> Vec<Happened> {
        self.farm.set_quiet(!self.farm.tells());
        let happened = self.on_result(server, standing, "its checks say so", cx);
        self.farm.set_quiet(false);
        if self.farm.tells() { happened } else { Vec::new() }
    }

    /// `Due::Lvs`. True: the next checks have their turn ([`Director::take_checks`]), and then [`Director::go_on`].
    pub fn on_due(&mut self, cx: &mut Cx<'_>) -> bool {
        let now = cx.now.mono;
        let turn = self.pace.take(now);
        if self.again.is_some_and(|at| at <= now) {
            self.open(false, cx);
        }
        self.farm.at(cx.now);
        self.farm.on_ramps(&mut self.table);
        if self.kernel == Kernel::Open {
            let sync = self.sync.is_wanted();
            if self.table.work(now, &self.farm, sync, cx.fx) {
                self.sync.begin_read();
            }
        }
        self.rearm(cx);
        turn
    }

    /// Asks for the next part where all checks of the last one were taken.
    pub fn go_on(&mut self, cx: &mut Cx<'_>) {
        if self.config == Config::Next && !self.farm.has_checks() {
            self.ask(cx);
            self.rearm(cx);
        }
    }

    /// The end: removes kalived's services, or empties the table where the file says so (`lvs_flush_on_stop`), and notifies where
    /// `omega` is set.
    pub fn stop(&mut self, more: &GlobalMore, cx: &mut Cx<'_>) -> Vec<Happened> {
        let happened = self.farm.omega();
        self.farm.forget_checks();
        self.stopping = true;
        self.config = Config::Read;
        self.again = None;
        self.sync.stop();
        self.timeouts.stop();
        if self.kernel == Kernel::Open {
            self.table.release();
            if more.lvs_flush_on_stop == LvsFlush::All {
                self.flushing = true;
                cx.fx.push(Effect::Lvs(LvsFx::Change { req: FLUSH, op: LvsOp::Flush }));
            }
        } else {
            (self.table, self.sync, self.timeouts) = (Table::default(), Sync::default(), Keeper::default());
        }
        self.rearm(cx);
        happened
    }

    /// Emits requests to the table, up to the limit of those under way.
    pub fn pump(&mut self, now: Instant, fx: &mut Effects) {
        if self.kernel == Kernel::Open {
            self.table.pump(now, fx);
            self.sync.pump(now, SYNC, fx);
            self.timeouts.pump(now, TIMEOUTS, fx);
        }
    }

    fn rearm(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let waits = self.config == Config::Next || self.farm.has_checks() || self.farm.has_untold();
        let next = if waits {
            Some(self.pace.want(now))
        } else {
            self.pace.rest();
            None
        };
        let table = match self.kernel {
            Kernel::Open => {
                earliest(self.table.next_due(now), earliest(self.sync.next_due(), self.timeouts.next_due()))
            }
            _ => None,
        };
        let table = earliest(table, self.farm.next_ramp().filter(|_| !self.stopping));
        match earliest(next, earliest(self.again, table)) {
            Some(at) if cx.timers.get(Due::Lvs) == Some(at) => {}
            Some(at) => cx.timers.set(Due::Lvs, at),
            None => drop(cx.timers.stop(Due::Lvs)),
        }
    }
}
