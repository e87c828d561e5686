//! Faults of a run and their end, and the rules for the time after all faults.
//!
//! Read first: `play.rs`.

use super::draw::{File, Kind};
use super::play::{Completion, Lie, NetMsg, Sim, Work, link};
use kalived::effect::{Effects, SockSpec};
use kalived::event::{Event, GuardEv};
use kalived::snapshot::Snapshot;
use kalived::vrrp::State;
use kalived::world::World;

impl Sim {
    pub(super) fn next_fault(&mut self, kind: Kind, n: usize) {
        let gap = self.drawn.interval * 40;
        let at = self.now + self.upto(gap);
        self.at(at, Work::Fault(kind, n));
    }

    pub(super) fn fault(&mut self, kind: Kind, n: usize) {
        if !self.chaos {
            return;
        }
        let stay = self.upto(self.drawn.interval * 20);
        let what = self.rng.below(self.drawn.links as u64) as usize;
        self.say(format!("fault {kind:?} on node {n}, link {what}"));
        match kind {
            Kind::Link => self.set_link(n, what, false),
            Kind::Tracker => {
                let name = if what == 0 { "own" } else { "group" };
                let value = self.rng.pick(&[1, -1, 0]);
                self.write(n, name, value);
            }
            Kind::Cut => {
                let other = (n + 1) % self.drawn.nodes;
                self.cut.insert((what, n.min(other), n.max(other)));
            }
            Kind::Reload => {
                let mut file = self.drawn.file();
                for m in &mut file.members {
                    match self.rng.below(8) {
                        0 => m.0 = false,
                        1 => m.1 = None,
                        2 => m.1 = Some(1 - m.1.unwrap_or(0)),
                        _ => {}
                    }
                }
                self.reload(n, file);
            }
            Kind::Upgrade => self.upgrade(n),
            Kind::Crash => self.crash(n, true),
            Kind::Restart => self.crash(n, false),
            Kind::Pause => self.nodes[n].asleep = true,
        }
        self.at(self.now + stay, Work::Mend(kind, n, what));
    }

    pub(super) fn mend(&mut self, kind: Kind, n: usize, what: usize) {
        match kind {
            Kind::Link => self.set_link(n, what, true),
            Kind::Tracker => {
                self.write(n, "own", 0);
                self.write(n, "group", 0);
            }
            Kind::Cut => self.cut.retain(|c| c.0 != what),
            Kind::Reload => {
                let file = self.drawn.file();
                self.reload(n, file);
            }
            Kind::Pause => {
                self.nodes[n].asleep = false;
                self.nodes[n].turn_at = None;
                self.wake(n, self.now);
            }
            Kind::Upgrade | Kind::Crash | Kind::Restart => {}
        }
        if self.chaos {
            let next = self.rng.below(self.drawn.nodes as u64) as usize;
            self.next_fault(kind, next);
        }
    }

    pub(super) fn heal(&mut self) {
        self.say("healed".into());
        self.chaos = false;
        self.cut.clear();
        for n in 0..self.drawn.nodes {
            for l in 0..self.drawn.links {
                self.set_link(n, l, true);
            }
            self.mend(Kind::Tracker, n, 0);
            self.mend(Kind::Pause, n, 0);
            self.mend(Kind::Reload, n, 0);
        }
    }

    pub(super) fn set_link(&mut self, n: usize, l: usize, up: bool) {
        if std::mem::replace(&mut self.nodes[n].up[l], up) != up {
            self.complete(n, Completion::Net(NetMsg::Link(link(l, up))));
        }
    }
    pub(super) fn write(&mut self, n: usize, name: &'static str, value: i32) {
        self.nodes[n].files.insert(name, value);
        let watching = self.nodes[n].watches.iter().filter(|(_, w)| **w == name).map(|(k, _)| *k);
        for watch in watching.collect::<Vec<_>>() {
            self.complete(n, Completion::File(watch, format!("{value}\n").into_bytes()));
        }
    }
    pub(super) fn reload(&mut self, n: usize, file: File) {
        if self.nodes[n].file == file {
            return;
        }
        let mut config = self.config(n, &file);
        if self.lie == Some(Lie::Forgetful) {
            config.sync_groups.iter_mut().for_each(|g| drop(g.members.pop()));
            config.sync_groups.retain(|g| !g.members.is_empty());
        }
        for name in ["G0", "G1"].into_iter().filter(|name| !config.sync_groups.iter().any(|g| *g.name == **name)) {
            self.nodes[n].gone.insert(format!("GROUP \"{name}"));
        }
        self.nodes[n].file = file;
        self.nodes[n].came = self.now;
        self.complete(n, Completion::Config(Box::new(config)));
    }

    // Armed adverts still leave, from another process.
    pub(super) fn bequeath(&mut self, n: usize) {
        let armed = std::mem::take(&mut self.nodes[n].armed);
        for (key, (_, sock, _, packets)) in armed {
            let spec = self.nodes[n].socks.get(&sock);
            if let Some(link) = spec.and_then(SockSpec::ifindex).map(|i| i as usize - 2) {
                self.nodes[n].left.insert(key, (link, packets));
            }
        }
    }

    pub(super) fn upgrade(&mut self, n: usize) {
        // Neither while it starts nor during a reload: the guard waits for the end of either.
        if !self.nodes[n].world.running() || self.nodes[n].world.reloading() || !self.nodes[n].inbox.is_empty() {
            return;
        }
        let (now, mut fx) = (self.clock(), Effects::default());
        self.nodes[n].world.handle(now, Event::Guard(GuardEv::Freeze), &mut fx);
        self.apply(n, fx);
        let snapshot = self.nodes[n].world.last_snapshot(now);
        self.bequeath(n);
        let config = self.config(n, &self.nodes[n].file.clone());
        self.nodes[n].world = World::standby(config);
        self.begin(n);
        let snapshot = Snapshot::decode(&snapshot.encode()).expect("what was written is read");
        self.complete(n, Completion::Go(Some(Box::new(snapshot)), None));
    }

    pub(super) fn crash(&mut self, n: usize, resumes: bool) {
        self.nodes[n].armed.clear();
        let config = self.config(n, &self.nodes[n].file.clone());
        match self.nodes[n].snapshot.take().filter(|_| resumes) {
            Some(s) => {
                self.nodes[n].world = World::standby(config);
                self.begin(n);
                let s = Snapshot::decode(&s.encode()).expect("what was written is read");
                self.complete(n, Completion::Go(Some(Box::new(s)), Some(self.now)));
            }
            None => {
                self.nodes[n].lines.clear();
                self.nodes[n].world = World::new(config);
                self.begin(n);
            }
        }
    }

    // ---- after the faults ----

    // L-6, and the last line of the pipe is the state.
    pub(super) fn calm(&mut self) {
        let drawn = self.drawn.clone();
        let file = drawn.file();
        for g in 0..2 {
            let of = |m: &usize| file.members[*m].1 == Some(g);
            let members: Vec<usize> = (0..drawn.members()).filter(of).collect();
            if members.is_empty() {
                continue;
            }
            let masters = |n: usize| {
                let state = |m: &&usize| self.nodes[n].states.get(&format!("V{m}")) == Some(&State::Master);
                members.iter().filter(state).count()
            };
            let counts: Vec<usize> = (0..drawn.nodes).map(masters).collect();
            if counts.iter().filter(|c| **c == members.len()).count() != 1
                || counts.iter().sum::<usize>() != members.len()
            {
                self.violate(format!("L-6: G{g} of {}: members that are Master, by node: {counts:?}", members.len()));
                return;
            }
            // The node with the better priority on every link is Master, if no member has nopreempt.
            let better = |a: usize, b: usize| members.iter().all(|m| drawn.priorities[a][*m] > drawn.priorities[b][*m]);
            let best = (0..drawn.nodes).find(|a| (0..drawn.nodes).all(|b| *a == b || better(*a, b)));
            if let Some(best) = best.filter(|b| counts[*b] == 0 && drawn.preempt.iter().all(|p| *p)) {
                self.violate(format!("L-6: G{g}: node {best} is the best everywhere: {counts:?}"));
            }
            for (n, count) in counts.iter().copied().enumerate() {
                let word = if count > 0 { "MASTER" } else { "BACKUP" };
                let told = self.nodes[n].lines.get(&format!("GROUP \"G{g}")).map(String::as_str);
                if told != Some(word) {
                    self.violate(format!("node {n}: the pipe says G{g} is {told:?}, it is {word}"));
                }
            }
        }
    }
}
