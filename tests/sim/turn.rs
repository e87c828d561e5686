//! One turn of one node's loop, in the order of the daemon's: completions that were queued, then timers, then effects.
//!
//! Read first: `run.rs`, and `src/daemon/mod.rs` for the original.

use crate::auth::Auth;
use crate::ground::Fact;
use crate::kernel::Msg;
use crate::node::Completion;
use crate::packet::Advert;
use crate::run::{Sabotage, Sim, Work};
use core::time::Duration;
use kalived::daemon::FIRE;
use kalived::effect::{Effect, SockFx};
use kalived::event::{AdvertEv, Errno, Event, GuardEv, HelperEv, NetEv, SockEv};
use kalived::time::Now;
use kalived::vrrp::State;

/// Time from one turn to the next while timers are left over.
pub const TURN: Duration = Duration::from_micros(1);

impl Sim {
    /// One turn of one loop.
    pub fn turn(&mut self, node: usize) {
        if !self.nodes[node].runs() {
            return;
        }
        let true_now = self.ground.now;
        let eager = if self.sabotage == Some(Sabotage::EagerTimers) { self.unit() / 2 } else { 0 };
        let n = &mut self.nodes[node];
        let mut now = n.clocks(true_now);
        let Some(mut p) = n.process.take() else { return };
        let completions = p.inbox.take(&mut n.rng);
        n.last_turn = true_now;
        if core::mem::take(&mut n.lost) {
            n.overrun = false;
            self.ground.nodes[node].netlink_touched = true_now;
        }
        self.trace.mix(true_now.0 ^ (node as u64) << 56 ^ (completions.len() as u64) << 48);
        if !p.started {
            p.started = true;
            p.world.handle(now, Event::Start, &mut p.fx);
        }
        if self.sabotage == Some(Sabotage::TimersFirst) {
            p.world.fire(now, FIRE, &mut p.fx);
        }
        for c in completions {
            let mut look = true;
            match c {
                Completion::Datagram { sock, meta, bytes, truth, forged } => {
                    // Its interface went in this very turn, and the socket with it.
                    let noise = truth.is_none().then(|| Sim::hold_still(&p.world, &p.fx));
                    let closed =
                        p.fx.iter().any(|e| matches!(e, Effect::Sock(SockFx::Close { sock: s }) if *s == sock));
                    let heard = truth.filter(|_| !(closed && p.waiting));
                    let auth = |t: &(usize, usize, Advert)| self.ground.opts.groups[t.0].auth;
                    let judged = heard.filter(|t| auth(t) != Auth::None && !closed);
                    let before = judged.map(|t| t.0).or(forged).map(|group| self.refusals(&p.world, group));
                    if let Some((group, from, advert)) = heard.filter(|_| judged.is_none()) {
                        self.fact(match p.waiting {
                            true => Fact::Overheard { node, group, advert, from },
                            false => Fact::Heard { node, group, advert, from },
                        });
                    }
                    p.world.handle(
                        now,
                        Event::Sock(SockEv::Datagram { sock, meta, age: Duration::ZERO, bytes: &bytes }),
                        &mut p.fx,
                    );
                    match (judged, forged, before) {
                        (Some(truth), _, Some(before)) => self.judge(node, &p, now, truth, &bytes, before),
                        (None, Some(group), Some(before)) if !closed => {
                            self.judge_forged(node, &p.world, group, before);
                        }
                        _ => {}
                    }
                    if let Some(before) = noise {
                        self.stood_still(node, &mut p.world, now, before, &mut p.fx);
                    }
                    look = false;
                }
                Completion::AdvertSent { vr, epoch, due, result, missed } => {
                    if result.is_ok()
                        && let Some(group) = p
                            .world
                            .views()
                            .iter()
                            .find(|v| v.vr == vr)
                            .and_then(|v| self.ground.opts.group(v.vrid, v.family))
                    {
                        let due = self.nodes[node].clock.true_time(due);
                        self.fact(Fact::HeardLate { node, group, due });
                    }
                    p.world.handle(
                        now,
                        Event::Advert(AdvertEv::Sent { vr, epoch, due, result, missed: &missed }),
                        &mut p.fx,
                    );
                    look = false;
                }
                Completion::SendFailed { vr, errno } => {
                    p.world.handle(now, Event::Advert(AdvertEv::SendFailed { vr, errno }), &mut p.fx);
                }
                Completion::FramesSent { ifindex, batch, sent, errno } => {
                    p.world.handle(now, Event::Frames { ifindex, batch, sent, errno }, &mut p.fx);
                }
                Completion::SockLost { sock, errno } => {
                    p.world.handle(now, Event::Sock(SockEv::Lost { sock, errno }), &mut p.fx);
                }
                Completion::SockReady { sock, result } => {
                    p.world.handle(now, Event::Sock(SockEv::Ready { sock, result }), &mut p.fx);
                }
                Completion::Net(msg) => {
                    if let Msg::Synced(complete) = msg {
                        self.synced(node, complete);
                    }
                    let open = &mut self.nodes[node].open;
                    match msg {
                        // A late answer to a request that was given up.
                        Msg::Reply(req, _) if !open.remove(&req) => continue,
                        // Answers may be lost, too: every request that was sent is given up.
                        Msg::Lost => {
                            for req in core::mem::take(open) {
                                p.world.handle(
                                    now,
                                    Event::Net(NetEv::Reply { req, result: Err(Errno::ENOBUFS) }),
                                    &mut p.fx,
                                );
                            }
                        }
                        Msg::LinkNew(l) if l.up && l.running && self.sabotage == Some(Sabotage::DeafToLinks) => {
                            continue;
                        }
                        _ => {}
                    }
                    p.world.handle(now, msg.event(), &mut p.fx);
                }
                Completion::Config { config, same } => now = self.take_config(node, &mut p, now, config, same),
                Completion::Go(snapshot, dead_since) => {
                    if dead_since.is_some() {
                        self.fact(Fact::Inherits { node });
                    }
                    p.world.handle(now, Event::Guard(GuardEv::Go { snapshot, dead_since }), &mut p.fx);
                }
                Completion::ChildExit { child, end } => {
                    p.world.handle(now, Event::Guard(GuardEv::ChildExit { child, end }), &mut p.fx)
                }
                Completion::FifoReady { fifo, result } => {
                    p.world.handle(now, Event::Helper(HelperEv::FifoReady { fifo, result }), &mut p.fx);
                }
                Completion::FifoWritten { fifo, result } => {
                    p.world.handle(now, Event::Helper(HelperEv::FifoWritten { fifo, result }), &mut p.fx);
                    look = false;
                }
                Completion::Knobs { job, before } => {
                    p.world.handle(now, Event::Helper(HelperEv::Knobs { job, before, failed: None }), &mut p.fx);
                }
                Completion::Filter(event) => p.world.handle(now, Event::Filter(event), &mut p.fx),
                Completion::Signal(s) => p.world.handle(now, Event::Signal(s), &mut p.fx),
            }
            if p.waiting && !p.world.stands_by() {
                self.takes_over(node, &mut p.waiting);
            }
            if look && !p.waiting {
                self.observe(node, &p.world);
            }
        }
        let then = Now { mono: now.mono + Duration::from_nanos(eager), ..now };
        let more = p.world.fire(then, FIRE, &mut p.fx);
        p.world.check_invariants();
        let waiting = p.waiting;
        if !waiting {
            self.observe(node, &p.world);
            self.check_reload(node, &p.world);
            self.check_verdicts(node, &p.world);
            // As in the daemon, only when it has changed.
            if let Some(s) = p.world.snapshot(now) {
                self.check_snapshot(&s, &p.world, now);
                self.nodes[node].snapshot = Some(s);
            }
        }
        p.world.checkpoint();
        let effects: Vec<Effect> = p.fx.drain().collect();
        let deadline = p.world.next_deadline().map(|(at, _)| self.nodes[node].clock.true_time(at));
        self.nodes[node].process = Some(p);
        self.apply(node, effects);
        if !waiting {
            self.fact(Fact::TurnEnd { node, more });
        }
        if more {
            // The loop does not wait.
            let at = true_now + TURN;
            self.nodes[node].turn_at = Some(at);
            self.at(at, Work::Turn { node });
        } else if let Some(at) = deadline {
            self.wake(node, (at - Duration::from_nanos(eager)).max(true_now));
        }
    }

    /// A dump was handled: the mirror of the process is right again, if nothing was lost since the dump was made.
    fn synced(&mut self, node: usize, complete: bool) {
        let n = &self.nodes[node];
        if complete && n.dump_losses == n.losses && self.ground.nodes[node].stale {
            self.ground.nodes[node].stale = false;
            self.touch(node);
        }
    }

    /// Compares the World's states with the ground's.
    fn observe(&mut self, node: usize, world: &kalived::world::World) {
        self.follow_config(node, world);
        self.follow_checks(node, world);
        let views = world.views();
        for group in 0..self.ground.opts.groups.len() {
            let spec = &self.ground.opts.groups[group];
            // One that is not in the configuration does not exist.
            let view = views.iter().find(|v| (v.vrid, v.family) == (spec.vrid, spec.family));
            let state = view.map_or(State::Init, |v| v.state);
            let now = self.ground.now;
            let vr = &mut self.ground.nodes[node].vr[group];
            let unlisted = core::mem::replace(&mut vr.listed, view.is_some()) && view.is_none();
            if vr.state == state {
                if unlisted {
                    self.fact(Fact::Unlisted { node, group });
                }
                continue;
            }
            vr.from = core::mem::replace(&mut vr.state, state);
            vr.since = now;
            if vr.from == State::Master {
                vr.left_master = Some(now);
            }
            let from = vr.from;
            self.figures.transitions += 1;
            self.figures.edges[from as usize][state as usize] += 1;
            self.trace.state(now, node, group, from, state);
            self.fact(Fact::Moved { node, group });
            if unlisted {
                self.fact(Fact::Unlisted { node, group });
            }
        }
    }
}
