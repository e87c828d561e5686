//! The bench: a kernel's IPVS table as a map, and the director; every effect is executed, every answer delivered.

use crate::table::{self, Entries};
use kalived::child::Children;
use kalived::config::model::Config;
use kalived::config::model::global::GlobalMore;
use kalived::config::model::lvs::{Part, ServerGroup, VirtualServer, parts};
use kalived::effect::{Effect, Effects, GuardFx, LvsFx, LvsOp};
use kalived::event::{ChildEnd, Errno, LvsEv};
use kalived::lvs::check::Standing;
use kalived::lvs::director::NEXT_TURN;
use kalived::lvs::director::{Cx, Director};
use kalived::lvs::farm::Happened;
use kalived::time::{Duration, Instant, Now, Wall};
use kalived::timers::{Due, Timers};
use kalived::wire::netlink::ipvs::*;
use std::collections::VecDeque;

/// Faults.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The module is missing; and `modprobe` does not load it.
    pub no_module: bool,
    pub no_modprobe: bool,
    /// Schedulers that the kernel has not.
    pub no_scheduler: bool,
    /// Every n-th request is answered with ENOBUFS although it was done.
    pub lose: Option<u64>,
    /// Every n-th dump is interrupted.
    pub interrupt: Option<u64>,
}

pub struct Bench {
    pub director: Director,
    pub table: Entries,
    /// `ipvsadm --set`.
    pub timeouts: Timeouts,
    /// `ipvsadm -L --daemon`.
    pub syncs: Vec<SyncDaemon>,
    pub faults: Faults,
    pub now: Now,
    pub more: GlobalMore,
    timers: Timers,
    children: Children,
    fx: Effects,
    config: VecDeque<Part>,
    answers: VecDeque<LvsEv>,
    /// Requests so far, as text.
    pub asked: Vec<String>,
    pub said: Vec<String>,
    /// What the checks of each real server come to when they are set.
    pub standing: Standing,
    pub happened: Vec<Happened>,
    /// Requests of one turn at most.
    pub most: usize,
    /// Real servers that were given their checks in one turn, at most.
    pub most_checks: usize,
    dumps: u64,
}

impl Bench {
    pub fn new() -> Bench {
        let mono = Instant(1_000_000_000);
        Bench {
            director: Director::default(),
            table: Entries::new(),
            timeouts: Timeouts { tcp: 900, tcp_fin: 120, udp: 300 },
            syncs: Vec::new(),
            faults: Faults::default(),
            now: Now { mono, wall: Wall(0) },
            more: GlobalMore::default(),
            timers: Timers::default(),
            children: Children::default(),
            fx: Effects::default(),
            config: VecDeque::new(),
            answers: VecDeque::new(),
            asked: Vec::new(),
            said: Vec::new(),
            standing: Standing::default(),
            happened: Vec::new(),
            most: 0,
            most_checks: 0,
            dumps: 0,
        }
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Director, &mut Cx<'_>) -> T) -> T {
        let cx = &mut Cx { now: self.now, timers: &mut self.timers, fx: &mut self.fx, children: &mut self.children };
        act(&mut self.director, cx)
    }

    /// Another configuration, and everything that follows at once.
    pub fn load(&mut self, groups: &[ServerGroup], servers: &[VirtualServer]) {
        self.offer(groups, servers);
        self.settle();
    }

    pub fn offer(&mut self, groups: &[ServerGroup], servers: &[VirtualServer]) {
        self.config = parts(&None, groups, servers).collect();
        let happened = self.with(|d, cx| d.on_event(LvsEv::Offered, &Config::default(), cx));
        self.note(happened);
        let more = self.more.clone();
        self.with(|d, cx| d.begin(&more, true, cx));
    }

    pub fn verdict(&mut self, vs: usize, place: usize, up: bool) {
        self.result(vs, place, Standing { up: Some(up), ..Standing::default() });
    }

    pub fn result(&mut self, vs: usize, place: usize, standing: Standing) {
        let key = self.director.farm().keys()[vs];
        let server = self.director.farm().get(key).expect("there").reals[place];
        let happened = self.with(|d, cx| d.on_result(server, standing, "a test", cx));
        self.note(happened);
        self.settle();
    }

    /// When it has something to do next.
    pub fn due_at(&self) -> Option<Instant> {
        self.timers.next().map(|(at, _)| at)
    }

    /// Only this event, and no answers.
    pub fn hear(&mut self, event: LvsEv) {
        let happened = self.with(|d, cx| d.on_event(event, &Config::default(), cx));
        self.note(happened);
    }

    /// What another process left, where the file has no virtual servers.
    pub fn clean(&mut self) {
        self.with(|d, cx| d.clean(cx));
        self.settle();
    }

    /// All checks were taken: what the previous process knew holds.
    pub fn resume(&mut self) {
        self.with(|d, cx| d.resume_quorum(cx));
        self.settle();
    }

    pub fn stop(&mut self) {
        let more = self.more.clone();
        let happened = self.with(|d, cx| d.stop(&more, cx));
        self.note(happened);
        self.settle();
    }

    /// So much later.
    pub fn later(&mut self, by: Duration) {
        let until = self.now.mono + by;
        while let Some((at, due)) = self.timers.next().filter(|(at, _)| *at <= until) {
            assert_eq!(due, Due::Lvs);
            self.now.mono = self.now.mono.max(at);
            self.timers.pop(self.now.mono);
            self.due();
            self.settle();
        }
        self.now.mono = until;
    }

    /// Until nothing more is due now, including work that waits for a turn of its own.
    pub fn settle(&mut self) {
        for turn in 0.. {
            assert!(turn < 100_000, "it has a bound");
            self.director.pump(self.now.mono, &mut self.fx);
            let before = self.asked.len();
            let effects: Vec<Effect> = self.fx.drain().collect();
            effects.into_iter().for_each(|e| self.effect(e));
            self.most = self.most.max(self.asked.len() - before);
            if let Some(event) = self.answers.pop_front() {
                let happened = self.with(|d, cx| d.on_event(event, &Config::default(), cx));
                self.note(happened);
                self.take_checks();
                continue;
            }
            let soon = self.now.mono + NEXT_TURN;
            match self.timers.next().filter(|(at, _)| *at <= soon) {
                Some((at, _)) => {
                    self.now.mono = self.now.mono.max(at);
                    self.timers.pop(self.now.mono);
                    self.due();
                }
                None if self.fx.is_empty() => {
                    self.director.pump(self.now.mono, &mut self.fx);
                    if self.fx.is_empty() {
                        return;
                    }
                }
                None => {}
            }
        }
    }

    fn due(&mut self) {
        if self.with(|d, cx| d.on_due(cx)) {
            let told = self.director.take_told();
            self.note(told);
            self.take_checks();
            self.with(|d, cx| d.go_on(cx));
        }
    }

    // As the World does: each real server gets the combined state of its checks, which is `standing` here.
    fn take_checks(&mut self) {
        let some = self.director.take_checks();
        self.most_checks = self.most_checks.max(some.len());
        for (server, _) in some {
            let standing = self.standing;
            let happened = self.with(|d, cx| d.on_standing(server, standing, cx));
            self.note(happened);
        }
    }

    fn note(&mut self, happened: Vec<Happened>) {
        for h in happened {
            match h {
                Happened::Note(n) => self.said.push(n.text),
                h => self.happened.push(h),
            }
        }
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Note(n) => self.said.push(n.text),
            Effect::Guard(GuardFx::Spawn { child, spec }) => {
                assert_eq!(spec.argv, ["modprobe", "-q", "ip_vs"]);
                assert_eq!(self.children.end(child), Some(kalived::child::For::Module));
                self.faults.no_module &= self.faults.no_modprobe;
                let end = ChildEnd::Exited(u8::from(self.faults.no_modprobe));
                self.with(|d, cx| d.on_loaded(end, cx));
            }
            Effect::Lvs(LvsFx::Read) => {
                let some = self.config.drain(..self.config.len().min(3)).collect();
                self.answers.push_back(LvsEv::Config(Ok(some)));
            }
            Effect::Lvs(LvsFx::Open) => {
                let result = if self.faults.no_module { Err(Errno::ENOENT) } else { Ok(()) };
                self.answers.push_back(LvsEv::Opened(result));
            }
            Effect::Lvs(LvsFx::Dump(of)) => self.dump(of),
            Effect::Lvs(LvsFx::DumpWithSync) => {
                self.answers.extend(self.syncs.iter().map(|d| LvsEv::Found(vec![Message::Daemon(d.clone())])));
                self.dump(None);
            }
            Effect::Lvs(LvsFx::Change { req, op }) => {
                self.asked.push(words(&op));
                let mut result = self.change(op);
                if self.faults.lose.is_some_and(|n| (self.asked.len() as u64).is_multiple_of(n)) {
                    result = Err(Errno::ENOBUFS);
                }
                self.answers.push_back(LvsEv::Reply { req, result });
            }
            other => panic!("{other:?}"),
        }
    }

    fn dump(&mut self, of: Option<ServiceKey>) {
        self.dumps += 1;
        let messages = table::dump(&self.table, of);
        let complete = !self.faults.interrupt.is_some_and(|n| self.dumps.is_multiple_of(n));
        let some = if complete { messages.len() } else { messages.len() / 2 };
        for part in messages[..some].chunks(2) {
            self.answers.push_back(LvsEv::Found(part.to_vec()));
        }
        self.answers.push_back(LvsEv::Synced { complete });
    }

    fn change(&mut self, op: LvsOp) -> Result<(), Errno> {
        match op.clone() {
            LvsOp::AskTimeouts => self.answers.push_back(LvsEv::Found(vec![Message::Timeouts(self.timeouts)])),
            LvsOp::Timeouts(t) => {
                let set = |to: &mut u32, n| *to = if n > 0 { n } else { *to };
                set(&mut self.timeouts.tcp, t.tcp);
                set(&mut self.timeouts.tcp_fin, t.tcp_fin);
                set(&mut self.timeouts.udp, t.udp);
            }
            LvsOp::Sync(true, daemon) => {
                self.syncs.push(*daemon);
                return Ok(());
            }
            LvsOp::Sync(false, daemon) => {
                let before = self.syncs.len();
                self.syncs.retain(|d| d.master != daemon.master);
                return if self.syncs.len() < before { Ok(()) } else { Err(Errno::ESRCH) };
            }
            _ => {}
        }
        if self.faults.no_scheduler && matches!(&op, LvsOp::Service(Act::New | Act::Set, ..)) {
            return Err(Errno::ENOENT);
        }
        table::change(&mut self.table, op)
    }

    /// The table as `ipvsadm -Ln` has it, a line for each entry.
    pub fn lines(&self) -> Vec<String> {
        let mut out = Vec::new();
        for (key, (s, all)) in &self.table {
            let timeout = if s.timeout > 0 { format!(" persistent {}", s.timeout) } else { String::new() };
            out.push(format!("{} {}{timeout}", service_name(key), s.scheduler));
            for (k, d) in all {
                let how = match d.forward {
                    Forward::Nat => "Masq".to_owned(),
                    Forward::Direct => "Route".to_owned(),
                    other => format!("{other:?}"),
                };
                out.push(format!("-> {}:{} {how} {}", k.addr, k.port, d.weight));
            }
        }
        out
    }
}

fn service_name(key: &ServiceKey) -> String {
    match key {
        ServiceKey::Address(p, addr, port) => format!("{p:?} {addr}:{port}"),
        ServiceKey::Mark(m, v6) => format!("FWM {m}{}", if *v6 { " IPv6" } else { "" }),
    }
}

fn words(op: &LvsOp) -> String {
    match op {
        LvsOp::Service(act, key, _) => format!("{act:?} {}", service_name(key)),
        LvsOp::Destination(act, of, key, d) => {
            format!("{act:?} {} -> {}:{} w{}", service_name(of), key.addr, key.port, d.weight)
        }
        LvsOp::Flush => "flush".to_owned(),
        other => format!("{other:?}"),
    }
}
