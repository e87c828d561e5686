//! The effect of each fault on the simulation at its begin and its end, and the end of all faults.
//!
//! Read first: `faults.rs` (the classes), `run.rs` (the simulation). The end of a fault that has no effect any more does nothing, so a
//! fault that ends after a crash, or the end of all faults, needs no record of what is under way.

use crate::faults::Class;
use crate::ground::Fact;
use crate::kernel::Msg;
use crate::node::Completion;
use crate::run::{Sim, Work};
use core::net::IpAddr;
use core::time::Duration;
use kalived::event::{FilterEv, Signal};
use kalived::id::SockKey;

impl Sim {
    pub fn unit(&self) -> u64 {
        let intervals = self.ground.opts.groups.iter().flat_map(|g| &g.members).map(|m| m.interval);
        intervals.min().unwrap_or_default().as_nanos() as u64
    }

    pub fn schedule(&mut self, class: Class, node: usize) {
        let rate = self.ground.opts.rates[class as usize];
        if rate.present && self.chaos {
            let gap = rate.gap.as_nanos() as u64;
            let wait = Duration::from_nanos(self.fault_rng(class, node).exp(gap));
            self.after(wait, Work::Fault { class, node, begins: true });
        }
    }

    pub fn fault(&mut self, class: Class, node: usize, begins: bool) {
        if !self.chaos {
            return;
        }
        if begins {
            let stay = self.ground.opts.rates[class as usize].stay;
            let more = self.fault_rng(class, node).exp(2 * stay.as_nanos() as u64);
            self.after(stay + Duration::from_nanos(more), Work::Fault { class, node, begins: false });
            self.figures.faults[class as usize] += 1;
        } else {
            self.schedule(class, node);
        }
        self.trace.fault(self.ground.now, node, class, begins);
        self.change(class, node, begins);
        self.fact(Fact::Touched);
    }

    /// Begins or ends a fault. The end of a fault without effect does nothing.
    pub fn change(&mut self, class: Class, node: usize, begins: bool) {
        let now = self.ground.now;
        match class {
            Class::Loss | Class::Delay | Class::Duplicate | Class::Reorder | Class::Corrupt | Class::Forge => {}
            Class::Isolate => {
                if core::mem::replace(&mut self.isolated[node], begins) != begins {
                    for other in (0..self.nodes.len()).filter(|o| *o != node) {
                        self.cut(node, other, begins);
                        self.cut(other, node, begins);
                    }
                }
            }
            Class::OneWay => {
                if let Some(to) = self.one_way[node].take() {
                    self.cut(node, to, false);
                }
                if begins {
                    let others = self.nodes.len() as u64 - 1;
                    if others > 0 {
                        let to = (node + 1 + self.fault_rng(class, node).below(others) as usize) % self.nodes.len();
                        self.one_way[node] = Some(to);
                        self.cut(node, to, true);
                    }
                }
            }
            Class::Crash if begins => self.end(node),
            Class::Stop if begins => {
                self.nodes[node].asked_to_stop = self.complete(node, Completion::Signal(Signal::Term));
                self.touch(node);
            }
            Class::Crash | Class::Stop => {
                // A process that was asked to stop and could not, for example because it is paused, is killed first.
                if class == Class::Stop {
                    self.end(node);
                }
                self.boot(node);
            }
            Class::CrashResume if begins => self.crash(node),
            Class::CrashResume => self.boot_again(node),
            Class::HandOver if begins => self.freeze(node, 0),
            Class::HandOver => self.go(node),
            Class::Pause => self.pause(node, begins),
            Class::Stall => {
                if let Some(p) = self.nodes[node].process.as_mut() {
                    p.stalled = begins;
                    self.ground.nodes[node].stalled = begins;
                    self.clock_touched(node, begins);
                    if begins {
                        self.nodes[node].turn_at = None;
                    }
                    self.touch(node);
                    self.wakes_up(node);
                }
            }
            Class::LinkFlap => {
                let admin = begins && self.fault_rng(class, node).permille(500);
                let k = &mut self.nodes[node].kernel;
                let told = match (begins, admin) {
                    (true, true) => k.set_admin(false),
                    (true, false) => k.set_carrier(false),
                    (false, _) => {
                        let mut told = k.set_carrier(true);
                        told.extend(k.set_admin(true));
                        told
                    }
                };
                self.kernel_changed(node, told);
                if self.nodes[node].kernel.dad_runs() {
                    // A second in Linux; in step with the seed's time scale here.
                    let dad = Duration::from_nanos(self.unit());
                    self.after(dad, Work::DadOver { node });
                }
            }
            Class::LinkRecreate => {
                let k = &mut self.nodes[node].kernel;
                let told = if begins { k.delete() } else { k.create() };
                self.kernel_changed(node, told);
            }
            Class::AddrLoss => {
                let k = &mut self.nodes[node].kernel;
                let told = if begins { k.drop_own() } else { k.restore_own() };
                self.kernel_changed(node, told);
            }
            Class::VipLoss => {
                if begins {
                    let vips: Vec<IpAddr> = self.ground.opts.groups.iter().flat_map(|g| g.vips.clone()).collect();
                    let vip = self.fault_rng(class, node).pick(&vips);
                    let nth = self.fault_rng(class, node).below(8) as usize;
                    let kernel = &mut self.nodes[node].kernel;
                    let mut told: Vec<Msg> = kernel.take(vip).into_iter().collect();
                    told.extend(kernel.routes.take(nth));
                    if nth < 4 {
                        told.extend(kernel.meddle(nth));
                    }
                    let flushed = if nth < 2 { kernel.rules.flush() } else { None };
                    self.ground.nodes[node].netlink_touched = now;
                    self.kernel_changed(node, told);
                    if let Some(table) = flushed {
                        self.complete(node, Completion::Filter(FilterEv::Deleted { table }));
                    }
                }
            }
            Class::NetlinkError => {
                self.nodes[node].netlink_errors = begins;
                self.ground.nodes[node].netlink_sick = begins;
                self.ground.nodes[node].netlink_touched = now;
                self.touch(node);
            }
            Class::Overrun => {
                self.nodes[node].overrun = begins;
                self.touch(node);
            }
            Class::WallStep => {
                if begins {
                    let day = 86_400_000_000_000;
                    let any = self.fault_rng(class, node).below(2 * day);
                    let step = self.wall_step(node, any);
                    let n = &mut self.nodes[node];
                    (n.set, n.wall) = (n.set + step, n.wall.wrapping_add_signed(step));
                }
            }
            Class::SockLoss => {
                self.nodes[node].socket_errors = begins;
                self.ground.nodes[node].sockless = begins;
                self.touch(node);
                if begins && let Some(p) = self.nodes[node].process.as_mut() {
                    let open: Vec<SockKey> = p.socks.keys().copied().collect();
                    if !open.is_empty() {
                        let sock = self.fault_rng(class, node).pick(&open);
                        self.lose_socket(node, sock);
                    }
                }
            }
            Class::Reload => {
                if begins {
                    self.draw_reload(node);
                }
            }
            Class::Script => self.change_check(node, begins),
            Class::SendError => {
                self.nodes[node].send_errors = begins;
                self.ground.nodes[node].mute = begins;
                self.touch(node);
            }
        }
    }

    pub fn clock_touched(&mut self, node: usize, begins: bool) {
        let g = &mut self.ground.nodes[node];
        if !begins && g.netlink_touched > self.nodes[node].last_turn {
            // The process receives the changes of its addresses of the meantime now.
            g.netlink_touched = self.ground.now;
        }
        g.clock_touched = self.ground.now;
    }

    pub fn pause(&mut self, node: usize, begins: bool) {
        let Some(p) = self.nodes[node].process.as_mut() else { return };
        if p.paused == begins {
            return;
        }
        p.paused = begins;
        self.ground.nodes[node].paused = begins;
        self.clock_touched(node, begins);
        self.touch(node);
        if begins {
            self.nodes[node].turn_at = None;
        } else {
            self.fact(Fact::Resumed { node });
            // The kernel sends the armed adverts before the process reads anything.
            self.armed_due(node);
            self.wakes_up(node);
        }
    }

    pub fn cut(&mut self, from: usize, to: usize, on: bool) {
        let c = &mut self.ground.cut[from][to];
        *c = if on { *c + 1 } else { c.saturating_sub(1) };
        let now = self.ground.now;
        self.ground.cut_touched[from][to] = now;
        self.ground.cut_touched[to][from] = now;
    }

    pub fn kernel_changed(&mut self, node: usize, told: impl IntoIterator<Item = Msg>) {
        self.touch(node);
        self.notify(node, told);
        self.look_at_kernel(node);
    }

    pub fn touch(&mut self, node: usize) {
        self.ground.nodes[node].touched = self.ground.now;
    }

    /// All faults end, and every process runs.
    pub fn heal(&mut self) {
        if self.violation.is_some() {
            return;
        }
        for node in 0..self.nodes.len() {
            // Its file is as drawn again; a process that is started below reads it so.
            let line = self.variations[node].line;
            let drawn = crate::reload::Variation { line, ..self.drawn[node].clone() };
            self.vary(node, drawn);
            for class in Class::ALL.into_iter().filter(|c| !c.per_packet()) {
                if !matches!(class, Class::Crash | Class::Stop | Class::CrashResume) {
                    self.change(class, node, false);
                }
            }
            let told = self.nodes[node].kernel.finish_dad();
            self.kernel_changed(node, told);
            if self.nodes[node].process.is_none() || self.nodes[node].asked_to_stop {
                self.end(node);
                self.boot(node);
            }
            self.touch(node);
        }
        self.chaos = false;
        self.trace.line(self.ground.now, 0, "healed".to_owned());
        self.fact(Fact::Touched);
    }
}
