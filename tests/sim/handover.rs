//! From one process to the next: a process that freezes while its successor stands by, and one that is killed and goes on
//! from the last snapshot. Both happen as faults at any time, and also without another fault, when no state may change.
//!
//! Read first: `src/world/resume.rs`, `run.rs`. The successor's dump is made at the time of the freeze, which makes no difference to an
//! earlier one. From then on it is the node's process; the adverts of the frozen one are in `Node::leaving`.

use crate::ground::Fact;
use crate::node::Completion;
use crate::run::{Sabotage, Sim, Work};
use core::time::Duration;
use kalived::effect::{Effect, GuardFx, NetFx, NetOp, SockFx};
use kalived::event::{Errno, Event, GuardEv, NetEv, SockEv};
use kalived::snapshot::{InstanceShot, Snapshot};
use kalived::time::Now;
use kalived::world::World;

impl Sim {
    /// What is written again of a virtual router that did not change is what it would be now, but for what needs no snapshot: times of
    /// adverts, counters, sequences, announcements.
    pub(crate) fn check_snapshot(&mut self, written: &Snapshot, world: &World, now: Now) {
        let lasting = |s: &Snapshot| -> Vec<InstanceShot> {
            let of = |i: &InstanceShot| InstanceShot {
                master_down: None,
                preempt_at: None,
                last_armed: None,
                announce: false,
                stats: Vec::new(),
                sequence: None,
                armed_sequence: None,
                marks: Vec::new(),
                willing: false,
                ..i.clone()
            };
            s.instances.iter().map(|i| of(i)).collect()
        };
        let (written, is) = (lasting(written), lasting(&world.last_snapshot(now)));
        if written != is {
            self.violate("snapshot".into(), format!("{written:?} was written of {is:?}"));
        }
    }

    /// kill -9; what is needed to go on is kept.
    pub fn crash(&mut self, node: usize) {
        let dead = self.nodes[node].clock.at(self.ground.now);
        let running = self.nodes[node].process.is_some();
        self.end(node);
        if running {
            let snapshot = self.nodes[node].snapshot.take().map(Box::new);
            self.nodes[node].orders = Some((snapshot, Some(dead)));
        }
    }

    /// Another process after a crash: it gets `Go` before it has read anything.
    pub fn boot_again(&mut self, node: usize) {
        if self.nodes[node].process.is_some() {
            return;
        }
        let orders = self.nodes[node].orders.take();
        let Some((snapshot, mut dead)) = orders else { return self.boot(node) };
        if snapshot.is_none() {
            // Killed again before it saved a snapshot: the guard removes the addresses that no configuration has (`guard/vips.rs`).
            self.clear_strangers(node);
        }
        if self.sabotage == Some(Sabotage::LateHeir) {
            dead = Some(self.nodes[node].clock.at(self.ground.now));
        }
        let world = self.born(self.variations[node].config(&self.ground.opts, node), true);
        self.start(node, world);
        self.complete(node, Completion::Go(snapshot, dead));
    }

    /// Another process takes over: the old one freezes, and `Go` follows after `gap` or with `Sim::go`.
    pub fn freeze(&mut self, node: usize, gap: u64) {
        let ready = self.nodes[node].runs() && !self.nodes[node].asked_to_stop;
        // The guard does not hand over a core that has not reported that it is ready.
        if !ready || self.nodes[node].process.as_ref().is_none_or(|p| !p.started || p.waiting || !p.world.running()) {
            return;
        }
        // It handles received messages first.
        self.turn(node);
        let now = self.nodes[node].clocks(self.ground.now);
        let Some(mut p) = self.nodes[node].process.take() else { return };
        p.world.handle(now, Event::Guard(GuardEv::Freeze), &mut p.fx);
        let effects: Vec<Effect> = p.fx.drain().collect();
        let frozen = effects.iter().any(|e| matches!(e, Effect::Guard(GuardFx::Frozen)));
        // One that holds nothing ends at once.
        let ended = effects.iter().any(|e| matches!(e, Effect::Exit(_)));
        let effects: Vec<Effect> = effects.into_iter().filter(|e| !matches!(e, Effect::Exit(_))).collect();
        self.nodes[node].process = Some(p);
        self.apply(node, effects);
        if !frozen {
            // A received message has changed its state.
            return;
        }
        let Some(p) = self.nodes[node].process.take() else { return };
        let mut snapshot = p.world.last_snapshot(now);
        if self.sabotage == Some(Sabotage::EarlyHeir) {
            for i in &mut snapshot.instances {
                i.last_armed = i.last_armed.map(|at| at - i.master_interval);
            }
        }
        let read = Snapshot::decode(&snapshot.encode());
        if read.as_ref() != Ok(&snapshot) {
            self.violate("snapshot".into(), format!("{snapshot:?} came back as {read:?}"));
        }
        self.check_recording(&p.world);
        let heir = self.born(self.variations[node].config(&self.ground.opts, node), true);
        let n = &mut self.nodes[node];
        let heir_of = n.heir_of;
        // It may have just taken over itself.
        n.leaving.extend(p.armed.into_iter().map(|((at, _), a)| (at, p.socks.get(&a.sock).copied(), a.packets)));
        n.leaving.sort_by_key(|l| l.0);
        n.custodian = Some(Box::new(p.world)).filter(|_| !ended);
        n.start(heir);
        n.heir_of = heir_of;
        n.born = self.ground.now;
        n.orders = Some((Some(Box::new(snapshot)), None));
        self.stand_by(node, now);
        let g = &mut self.ground.nodes[node];
        (g.handing, g.stale) = (true, false);
        self.fact(Fact::Frozen { node });
        self.clock_touched(node, true);
        self.touch(node);
        self.custody_wakes(node);
        if gap > 0 {
            self.after(Duration::from_nanos(gap), Work::Go { node });
        }
    }

    /// The successor reads the kernel and opens its sockets.
    fn stand_by(&mut self, node: usize, now: Now) {
        let Some(mut p) = self.nodes[node].process.take() else { return };
        (p.started, p.waiting) = (true, true);
        let k = &self.nodes[node].kernel;
        let (links, addrs) = (k.dump_links(), k.dump_addrs(true));
        let interface = k.ifindex.filter(|_| !self.nodes[node].socket_errors);
        p.world.handle(now, Event::Start, &mut p.fx);
        p.world.handle(now, Event::Net(NetEv::DumpBegin), &mut p.fx);
        for msg in links.into_iter().chain(addrs) {
            p.world.handle(now, msg.event(), &mut p.fx);
        }
        let mut said = 0;
        loop {
            let effects: Vec<Effect> = p.fx.drain().collect();
            if effects.is_empty() {
                break;
            }
            for effect in effects {
                match effect {
                    Effect::Sock(SockFx::Open { sock, spec }) => {
                        let known = interface.is_some_and(|here| spec.ifindex().is_none_or(|i| i == here));
                        if known {
                            p.socks.insert(sock, spec);
                        }
                        let result = if known { Ok(()) } else { Err(Errno::ENODEV) };
                        p.world.handle(now, Event::Sock(SockEv::Ready { sock, result }), &mut p.fx);
                    }
                    Effect::Guard(GuardFx::StandingBy) => said += 1,
                    Effect::Net(NetFx::Resync)
                    | Effect::Net(NetFx::WatchRoutes)
                    | Effect::Note(_)
                    | Effect::Sock(SockFx::HearLocal { .. }) => {}
                    other => self.violate("standby".into(), format!("node {node} in standby wants {other:?}")),
                }
            }
        }
        if said != 1 {
            self.violate("standby".into(), format!("node {node} stands by, said {said} times"));
        }
        self.nodes[node].process = Some(p);
    }

    /// Its turn.
    pub fn go(&mut self, node: usize) {
        if self.nodes[node].process.as_ref().is_some_and(|p| p.waiting)
            && let Some((snapshot, dead)) = self.nodes[node].orders.take()
        {
            self.complete(node, Completion::Go(snapshot, dead));
        }
    }

    /// `Go` was acted on.
    pub fn takes_over(&mut self, node: usize, waiting: &mut bool) {
        *waiting = false;
        self.ground.nodes[node].handing = false;
        self.clock_touched(node, false);
        self.touch(node);
        self.fact(Fact::Touched);
    }

    /// The kernel executes requests of a process that does not exist any more.
    pub fn netlink_of_another(&mut self, node: usize, op: &NetOp) {
        let (told, _) = self.nodes[node].kernel.apply(op);
        if self.nodes[node].process.is_some() {
            // To a successor that begins after the frozen process gave it up, this is the work of another program.
            self.ground.nodes[node].netlink_touched = self.ground.now;
        }
        self.notify(node, told);
        self.look_at_kernel(node);
    }

    /// Without another fault: some processes are handed over and one crashes, in time, and no state may change.
    pub fn pass_on(&mut self, longest: Duration) {
        let unit = self.unit();
        let groups = 0..self.ground.opts.groups.len();
        let wait = groups.map(|i| self.ground.longest_mdi(0, i)).max().unwrap_or_default().max(longest * 4) + longest;
        let first = self.script.below(self.nodes.len() as u64) as usize;
        let handed = [first, (first + 1) % self.nodes.len()];
        for node in handed {
            // The last armed advert leaves after the freeze, and the next is due an interval after that.
            let gap = 1 + self.script.below(unit * 8 / 10);
            self.fact(Fact::PassedOn { node, crash: false });
            self.freeze(node, gap);
            self.until(self.ground.now + wait, 100_000);
            self.fact(Fact::PassedOnLongAgo);
        }
        // Two intervals are left after a death, and the dump takes its time.
        let late = self.sabotage == Some(Sabotage::LateHeir);
        let gap = if late { 8 * unit } else { 1 + self.script.below(unit / 2) };
        self.fact(Fact::PassedOn { node: first, crash: true });
        self.crash(first);
        self.until(self.ground.now + Duration::from_nanos(gap), 100_000);
        self.boot_again(first);
        self.until(self.ground.now + wait, 100_000);
        self.fact(Fact::PassedOnLongAgo);
    }
}
