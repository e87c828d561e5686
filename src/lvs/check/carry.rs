//! How checks are carried out: starts, events, results, and the changes for the real servers.
//!
//! Read first: `mod.rs`, `plan.rs`, `one.rs`.

use super::one::{One, State};
use super::plan::{Lane, MATCH_PAUSE, ROUSE_PAUSE, ROUSED, SLICE, STEPS, TOGETHER, Tag};
use super::spec::What;
use super::talk::{Cause, Failure, Outcome, Step, Talk, Words, failed};
use super::verdict::Next;
use super::{CheckOut, Checks, Cx, text};
use crate::child;
use crate::conn;
use crate::effect::{ConnFx, Effect, GuardFx, Tls, Way};
use crate::event::{ChildEnd, Errno, Stream};
use crate::id::{CheckId, ConnKey, WatchKey};
use crate::time::{Duration, Instant};
use crate::track::file::parse;
use crate::watch;

/// From SIGTERM to the first SIGKILL, as keepalived waits.
const GRACE: Duration = Duration::from_secs(2);
/// Time between two SIGKILLs to a program that does not end. Each counts as a failure of the check.
const AGAIN: Duration = Duration::from_secs(10);
/// Between two tries of what fails on this host, at most.
const SOON: Duration = Duration::from_secs(1);
/// A file whose number times its weight is as low as this has failed, as keepalived has it.
const FAULT: i64 = -2_147_483_647;

impl Checks {
    /// The timer [`Due::Checks`](crate::timers::Due::Checks): starts what is due and ends looks whose time is over. Returns the changes.
    pub fn on_due(&mut self, cx: &mut Cx<'_>) -> Vec<CheckOut> {
        let (mut out, mut starts) = (core::mem::take(&mut self.unsaid), SLICE);
        let now = cx.now.mono;
        if self.rouse_at <= now {
            for _ in 0..ROUSED {
                let Some(check) = self.rousing.pop_front() else { break };
                self.rouse(check, cx);
                self.rouse_at = now + ROUSE_PAUSE;
            }
        }
        self.match_slice(cx, &mut out);
        out.append(&mut self.unsaid);
        for _ in 0..STEPS {
            if !self.plan.is_open(now) {
                break;
            }
            // Checks that are due soon begin together with one that is due now.
            let until = if starts < SLICE && self.plan.is_roomy() { now + TOGETHER } else { now };
            let Some((at, tag, check)) = self.plan.first(until) else { break };
            if at > now && !(tag == Tag::Step && self.all.get(check).is_some_and(|one| one.may_begin(at, now))) {
                break;
            }
            self.plan.unset(at, tag, check);
            let Some(one) = self.all.get_mut(check) else { continue };
            match tag {
                Tag::Overdue => self.on_overdue(check, cx),
                Tag::Step => {
                    one.step = None;
                    match one.state {
                        State::Idle => {
                            let hurry = one.verdict.is_changing(one.rule());
                            if self.launch(check, cx) {
                                starts -= 1;
                            }
                            if starts == 0 {
                                self.plan.pause(now, hurry);
                            }
                        }
                        _ => self.on_time_over(check, cx, &mut out),
                    }
                }
            }
        }
        self.arm(cx);
        out
    }

    /// An event of a connection for this check.
    pub fn on_stream(&mut self, check: CheckId, conn: ConnKey, what: Stream<'_>, cx: &mut Cx<'_>) -> Vec<CheckOut> {
        let mut out = Vec::new();
        let Some(one) = self.all.get_mut(check) else { return out };
        let page = one.verdict.page();
        let step = match &mut one.state {
            State::Talking { conn: c, talk } if *c == conn => talk.on(&one.spec.what, page, what),
            _ => return out,
        };
        match step {
            Step::Wait => {}
            Step::Say(bytes) => cx.fx.push(Effect::Conn(ConnFx::Write { conn, bytes })),
            Step::More => {
                cx.conns.close(conn, cx.fx);
                if !self.matching.contains(&check) {
                    self.matching.push_back(check);
                }
                self.arm(cx);
            }
            Step::Done(outcome) => {
                match one.spec.what {
                    // It was closed when it was open.
                    What::Tcp(_) => cx.conns.forget(conn),
                    _ => cx.conns.close(conn, cx.fx),
                }
                self.ended(check, outcome, cx, &mut out);
                self.arm(cx);
            }
        }
        out
    }

    // The check that waits longest gets one slice.
    fn match_slice(&mut self, cx: &mut Cx<'_>, out: &mut Vec<CheckOut>) {
        if self.match_at > cx.now.mono {
            return;
        }
        // One whose time was over meanwhile has nothing left to match.
        while let Some(check) = self.matching.pop_front() {
            let Some(one) = self.all.get_mut(check) else { continue };
            let page = one.verdict.page();
            let State::Talking { talk, .. } = &mut one.state else { continue };
            match talk.go_on(&one.spec.what, page) {
                Step::Wait | Step::Say(_) => continue,
                Step::More => self.matching.push_back(check),
                Step::Done(outcome) => self.ended(check, outcome, cx, out),
            }
            self.match_at = cx.now.mono + MATCH_PAUSE;
            break;
        }
    }

    /// The program of this check ended.
    pub fn on_exit(&mut self, check: CheckId, end: ChildEnd, cx: &mut Cx<'_>) -> Vec<CheckOut> {
        let mut out = Vec::new();
        let Some(one) = self.all.get_mut(check) else { return out };
        let State::Running { kills, .. } = one.state else { return out };
        let dynamic = matches!(one.spec.what, What::Misc { dynamic: true, .. });
        let (value, outcome) = match end {
            ChildEnd::Exited(0) => (Some(0), Ok(Words::Borrowed("exited with status 0"))),
            ChildEnd::Exited(n @ 2..) if dynamic => {
                (Some(i32::from(n)), Ok(Words::Owned(format!("exited with status {n}"))))
            }
            ChildEnd::Exited(n) => (one.value, Err(failed(format!("exited with status {n}")))),
            ChildEnd::Signaled(n) => (one.value, Err(failed(format!("due to signal {n}")))),
            ChildEnd::NotStarted(e) => {
                let words = format!("could not be started: {}", crate::words::errno(e));
                (
                    one.value,
                    Err(Failure {
                        words: words.into(),
                        cause: if e == Errno::EAGAIN { Cause::Host } else { Cause::Server },
                    }),
                )
            }
        };
        match kills {
            0 => {
                let before = core::mem::replace(&mut one.value, value);
                self.ended(check, outcome, cx, &mut out);
                if dynamic && before.unwrap_or(0) != value.unwrap_or(0) {
                    self.tell_weight(check, &mut out);
                }
            }
            // Its failure was counted when its time was over.
            _ => self.free(check, Lane::Programs, cx),
        }
        self.arm(cx);
        out
    }

    /// The file of this check was read.
    pub fn on_read(
        &mut self,
        check: CheckId,
        watch: WatchKey,
        result: Result<&[u8], Errno>,
        cx: &mut Cx<'_>,
    ) -> Vec<CheckOut> {
        let mut out = Vec::new();
        let Some(one) = self.all.get_mut(check) else { return out };
        if !matches!(one.state, State::Watching { watch: w } if w == watch) {
            return out;
        }
        match parse(result.unwrap_or_default()) {
            Ok(n) => self.read(check, n, cx, &mut out),
            Err(shown) => {
                if let (What::File { name, .. }, stays) = (&one.spec.what, one.value.unwrap_or(0)) {
                    cx.fx.note(crate::track::text::file_invalid(name, &shown, stays));
                }
                if one.value.is_none() {
                    self.read(check, 0, cx, &mut out);
                }
            }
        }
        out
    }

    // The number of a file.
    fn read(&mut self, check: CheckId, n: i32, cx: &mut Cx<'_>, out: &mut Vec<CheckOut>) {
        let Some(one) = self.all.get_mut(check) else { return };
        let What::File { weight, .. } = &one.spec.what else { return };
        let plain = weight.weight == 0;
        let before = one.value.replace(n);
        let fault = if plain { n != 0 } else { one.adds(0) <= FAULT };
        let outcome = match fault {
            true => Err(failed(format!("its number is {n}"))),
            false => Ok(Words::Owned(format!("its number is {n}"))),
        };
        self.judge(check, outcome, cx, out);
        if before != Some(n) && !plain {
            self.tell_weight(check, out);
        }
    }

    /// The real servers of a check have changed: it continues, begins or ends.
    pub(super) fn rouse(&mut self, check: CheckId, cx: &mut Cx<'_>) {
        let Some(one) = self.all.get_mut(check) else { return };
        let wanted = self.running && one.users.iter().any(|u| !self.suspended.contains(&u.server));
        match (&one.state, wanted) {
            (State::Off, true) => self.begin(check, cx),
            (State::Following, true) => self.follow(check, cx),
            (State::Off | State::Known, _) => {}
            (_, true) => {}
            (_, false) => self.halt(check, cx),
        }
        if let Some(one) = self.all.get(check)
            && one.users.is_empty()
        {
            // One that is being ended may have a successor by now.
            if self.by_spec.get(&one.digest) == Some(&check) {
                self.by_spec.remove(&one.digest);
            }
            if let What::Bfd(name) = &one.spec.what
                && let Some(followers) = self.followers.get_mut(name)
            {
                followers.remove(&check);
                if followers.is_empty() {
                    self.followers.remove(&name.clone());
                }
            }
            if !matches!(one.state, State::Running { .. }) {
                self.plan.count(one.spec.pace.interval, false);
                self.all.remove(check);
            }
        }
    }

    fn begin(&mut self, check: CheckId, cx: &mut Cx<'_>) {
        let Some(one) = self.all.get_mut(check) else { return };
        let now = cx.now.mono;
        one.wanted = now;
        one.ended = None;
        if let What::File { path, .. } = &one.spec.what {
            match path {
                Some(path) => {
                    let watch = cx.watches.file(watch::For::Lvs(check), path.to_string(), cx.fx);
                    one.state = State::Watching { watch };
                }
                None => {
                    // Nothing will be read.
                    one.state = State::Known;
                    let mut out = core::mem::take(&mut self.unsaid);
                    self.read(check, 0, cx, &mut out);
                    self.unsaid = out;
                }
            }
            return;
        }
        if let What::Bfd(_) = &one.spec.what {
            one.state = State::Following;
            return self.follow(check, cx);
        }
        let at = one.first_start(now);
        one.state = State::Idle;
        self.step_at(check, at);
        self.await_end(check);
    }

    /// A BFD session is up or down from now on. The checks that follow it get the result in the next turns, some in each: a session may have
    /// thousands of real servers.
    pub fn on_bfd(&mut self, name: &str, up: bool, cx: &mut Cx<'_>) {
        if self.sessions.insert(name.into(), up) != Some(up)
            && let Some(followers) = self.followers.get(name)
        {
            self.rousing.extend(followers);
            self.arm(cx);
        }
    }

    /// Sets the list of all BFD sessions.
    pub fn keep_sessions(&mut self, keeps: impl Fn(&str) -> bool) {
        self.sessions.retain(|name, _| keeps(name));
    }

    // What its session says, if that is new.
    fn follow(&mut self, check: CheckId, cx: &mut Cx<'_>) {
        let Some(one) = self.all.get(check) else { return };
        let What::Bfd(name) = &one.spec.what else { return };
        let Some(up) =
            self.sessions.get(name).copied().filter(|up| one.verdict.up() != Some(*up) || one.ended.is_none())
        else {
            return;
        };
        let word = Words::Owned(format!("session {name} is {}", if up { "up" } else { "down" }));
        let outcome = if up { Ok(word) } else { Err(Failure { words: word, cause: Cause::Server }) };
        let mut out = core::mem::take(&mut self.unsaid);
        self.judge(check, outcome, cx, &mut out);
        self.unsaid = out;
    }

    fn halt(&mut self, check: CheckId, cx: &mut Cx<'_>) {
        let Some(one) = self.all.get_mut(check) else { return };
        if let Some(at) = one.overdue.take() {
            self.plan.unset(at, Tag::Overdue, check);
        }
        let lane = Lane::of(&one.spec.what);
        match core::mem::take(&mut one.state) {
            State::Running { child, kills } => {
                if kills == 0 {
                    cx.fx.push(Effect::Guard(GuardFx::Kill { child, hard: false }));
                    one.state = State::Running { child, kills: 1 };
                    self.step_at(check, cx.now.mono + GRACE);
                } else {
                    one.state = State::Running { child, kills };
                }
                return;
            }
            State::Talking { conn, .. } => {
                cx.conns.close(conn, cx.fx);
                self.no_step(check);
                if let Some(lane) = lane {
                    self.plan.leave(lane);
                    self.next_in(lane, cx);
                }
            }
            State::Queued => {
                if let Some(lane) = lane {
                    self.plan.give_up(lane, check);
                }
            }
            State::Watching { watch } => cx.watches.stop(watch, cx.fx),
            State::Idle | State::Off | State::Known | State::Following => {}
        }
        self.no_step(check);
    }

    fn step_at(&mut self, check: CheckId, at: Instant) {
        self.no_step(check);
        if let Some(one) = self.all.get_mut(check) {
            one.step = Some(at);
            self.plan.set(at, Tag::Step, check);
            if matches!(one.state, State::Idle) {
                one.due = at;
            }
        }
    }
    fn no_step(&mut self, check: CheckId) {
        if let Some(at) = self.all.get_mut(check).and_then(|one| one.step.take()) {
            self.plan.unset(at, Tag::Step, check);
        }
    }
    fn await_end(&mut self, check: CheckId) {
        if let Some(one) = self.all.get_mut(check) {
            let at = one.overdue_at();
            if let Some(old) = one.overdue.replace(at) {
                self.plan.unset(old, Tag::Overdue, check);
            }
            self.plan.set(at, Tag::Overdue, check);
        }
    }

    // An end of a look does not move this time: it is moved here, about once in three intervals, if the check has ended since.
    fn on_overdue(&mut self, check: CheckId, cx: &mut Cx<'_>) {
        let Some(one) = self.all.get_mut(check) else { return };
        let now = cx.now.mono;
        one.overdue = None;
        let mut at = one.overdue_at();
        if at <= now {
            let begin = one.ended.unwrap_or(one.wanted);
            if let (Some(user), Some(others)) = (one.users.first(), self.plan.not_ended(now)) {
                cx.fx.note(text::overdue(&one.spec, user, now.since(begin), others));
            }
            at = now + now.since(begin).max(Duration::from_millis(1));
        }
        one.overdue = Some(at);
        self.plan.set(at, Tag::Overdue, check);
    }

    // It is due. True: something was begun; false: it waits for a place.
    fn launch(&mut self, check: CheckId, cx: &mut Cx<'_>) -> bool {
        let checks = self.all.len();
        let Some(one) = self.all.get_mut(check) else { return false };
        let Some(lane) = Lane::of(&one.spec.what) else { return false };
        if !self.plan.enter(lane, check) {
            one.state = State::Queued;
            return false;
        }
        let now = cx.now.mono;
        let (anew, said) = self.plan.begun(now, now.since(one.due), one.spec.pace.interval);
        if anew {
            one.due = now;
        }
        if let Some((late, worst)) = said {
            cx.fx.note(text::late(late, worst, checks, self.plan.taken(lane)));
        }
        self.looks = self.looks.wrapping_add(1);
        let [a, b, c, d, ..] = one.digest;
        // Depends on the check, the look and the time, so that a host that does not see the packets cannot guess it.
        let salt = u32::from_le_bytes([a, b, c, d]) ^ self.looks.wrapping_mul(0x9e37_79b9) ^ now.0 as u32;
        match (Talk::begin(&one.spec.what, salt), &one.spec.what) {
            (Some((to, talk)), what) => {
                let only = matches!(what, What::Tcp(_));
                let source = &one.spec.source;
                let tls = match what {
                    What::Http(http) if http.tls => {
                        let page = http.pages.get(one.verdict.page());
                        Some(Tls {
                            name: page.and_then(|p| p.sni.clone()),
                            verify: http.verify,
                            says_end: page.is_some_and(|p| p.compliant),
                        })
                    }
                    _ => None,
                };
                let way = Way { source: source.addr, device: source.device.clone(), mark: source.mark, only, tls };
                let way = (way != Way::default()).then(|| Box::new(way));
                let conn = cx.conns.connect_by(conn::For::Lvs(check), to, way, cx.fx);
                one.state = State::Talking { conn, talk };
            }
            (None, What::Misc { program, .. }) => {
                let child = cx.children.spawn(child::For::Lvs(check), (**program).clone(), cx.fx);
                one.state = State::Running { child, kills: 0 };
            }
            (None, _) => return false,
        }
        let until = now + one.spec.pace.timeout;
        self.step_at(check, until);
        true
    }

    // Starts the check that waits for a place, if there is a place now.
    fn next_in(&mut self, lane: Lane, cx: &mut Cx<'_>) {
        if let Some(next) = self.plan.waiting(lane) {
            self.launch(next, cx);
        }
    }

    fn on_time_over(&mut self, check: CheckId, cx: &mut Cx<'_>, out: &mut Vec<CheckOut>) {
        let Some(one) = self.all.get_mut(check) else { return };
        let limit = one.spec.pace.timeout;
        match &mut one.state {
            State::Talking { conn, talk } => {
                let outcome = talk.on_timeout(&one.spec.what, limit);
                cx.conns.close(*conn, cx.fx);
                self.ended(check, outcome, cx, out);
            }
            State::Running { child, kills } => {
                let (hard, first) = (*kills > 0, *kills == 0);
                cx.fx.push(Effect::Guard(GuardFx::Kill { child: *child, hard }));
                *kills = kills.saturating_add(1);
                let wait = if first { GRACE } else { AGAIN };
                self.step_at(check, cx.now.mono + wait);
                self.judge(check, Err(failed(format!("{}{}", text::TIMED_OUT, crate::words::span(limit)))), cx, out);
            }
            _ => {}
        }
    }

    // A look is over: handles its result and frees its place.
    fn ended(&mut self, check: CheckId, outcome: Outcome, cx: &mut Cx<'_>, out: &mut Vec<CheckOut>) {
        let Some(one) = self.all.get_mut(check) else { return };
        let Some(lane) = Lane::of(&one.spec.what) else { return };
        let next = self.judge(check, outcome, cx, out);
        self.rest(check, next, cx);
        self.plan.leave(lane);
        self.next_in(lane, cx);
    }

    // A program whose time was over has ended.
    fn free(&mut self, check: CheckId, lane: Lane, cx: &mut Cx<'_>) {
        let Some(one) = self.all.get_mut(check) else { return };
        let next = if one.verdict.failures() > 0 { Next::Retry } else { Next::Interval };
        self.rest(check, next, cx);
        self.plan.leave(lane);
        match self.all.get(check) {
            Some(one) if one.users.is_empty() => {
                self.plan.count(one.spec.pace.interval, false);
                self.no_step(check);
                self.all.remove(check);
            }
            Some(one) if !self.running || one.users.iter().all(|u| self.suspended.contains(&u.server)) => {
                self.halt(check, cx);
            }
            _ => {}
        }
        self.next_in(lane, cx);
    }

    // Until its next start.
    fn rest(&mut self, check: CheckId, next: Next, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let Some(one) = self.all.get_mut(check) else { return };
        one.state = State::Idle;
        let fast = one.spec.pace.fast.filter(|_| one.verdict.is_changing(one.rule()));
        let at = match (next, fast) {
            (Next::Interval, Some(fast)) => one.next_start(now).min(now + fast),
            (Next::Retry, Some(fast)) => now + fast,
            (Next::Interval, None) => one.next_start(now),
            (Next::Retry, None) => now + one.spec.pace.retry_delay,
            (Next::Local, _) => now + one.spec.pace.retry_delay.clamp(Duration::from_millis(100), SOON),
            (Next::AtOnce, _) => now,
        };
        self.step_at(check, at);
    }

    // Handles a result.
    fn judge(&mut self, check: CheckId, outcome: Outcome, cx: &mut Cx<'_>, out: &mut Vec<CheckOut>) -> Next {
        let Some(one) = self.all.get_mut(check) else { return Next::Interval };
        let (rule, forgiven) = (one.rule(), one.verdict.failures());
        let (changed, next) = match &outcome {
            Ok(_) => one.verdict.success(rule),
            Err(f) => one.verdict.failure(f.cause, rule),
        };
        if next != Next::Local {
            one.ended = Some(cx.now.mono);
        }
        let ok = outcome.is_ok();
        one.words = match outcome {
            Ok(words) => {
                one.local_said = false;
                words
            }
            Err(Failure { words, cause: Cause::Server }) => words,
            Err(Failure { words, cause: Cause::Host | Cause::Room }) => {
                if !core::mem::replace(&mut one.local_said, true)
                    && let Some(user) = one.users.first()
                {
                    cx.fx.note(text::local(&one.spec, user, &words));
                }
                text::on_this_host(&words).into()
            }
        };
        if changed {
            one.since = cx.now.mono;
            tell(one, ok, forgiven, cx);
            let said = |server| CheckOut { server, check, up: Some(ok), weight: None, words: (&*one.words).into() };
            out.extend(one.users.iter().map(|u| said(u.server)));
        } else if !ok
            && one.spec.log_all
            && next == Next::Retry
            && let Some(user) = one.users.first()
        {
            cx.fx.note(text::forgiven(&one.spec, user, &one.words));
        }
        next
    }

    fn tell_weight(&self, check: CheckId, out: &mut Vec<CheckOut>) {
        let Some(one) = self.all.get(check) else { return };
        let said = |u: &super::User| CheckOut {
            server: u.server,
            check,
            up: None,
            weight: Some(one.adds(u.weight)),
            words: (&*one.words).into(),
        };
        out.extend(one.users.iter().map(said));
    }
}

// One line, also for a check that ten virtual servers share, unless the line names the virtual server.
fn tell(one: &One, up: bool, forgiven: u32, cx: &mut Cx<'_>) {
    let mut last = None;
    for user in &one.users {
        let note = match up {
            true => text::succeeded(&one.spec, user),
            false => text::failed(&one.spec, user, forgiven, &one.words),
        };
        if last.as_ref() != Some(&note) {
            cx.fx.note(note.clone());
            last = Some(note);
        }
    }
}
