//! `lvs_timeouts`: the timeouts of IPVS connections. What the kernel had before is put back at the end, as keepalived does.
//!
//! Read first: `director.rs`. A value is read from the kernel before it is changed for the first time, and is changed only when the
//! snapshot has had the time to be written with it: the process that follows an upgrade or a crash would otherwise take the changed value
//! for the kernel's own. A value that leaves the file goes back to what it was; one that was never in the file is not touched.

use super::text;
use crate::effect::{Effect, Effects, LvsFx, LvsOp};
use crate::event::{Errno, ReqId};
use crate::note::Note;
use crate::time::{Duration, Instant};
use crate::wire::netlink::ipvs::Timeouts;

/// Time before a refused request is repeated.
const AGAIN: Duration = Duration::from_secs(30);
/// From the read to the change: several times the pause between two snapshots (`daemon/handover.rs`).
pub const KEPT: Duration = Duration::from_millis(100);

/// A request under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
enum Asked {
    Read(Option<Timeouts>),
    Write(Timeouts),
}

/// See the module. In each [`Timeouts`] 0 means: none.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Keeper {
    wanted: Timeouts,
    // What the kernel had before it was changed here, or by a process before this one.
    before: Timeouts,
    // What was sent last by this process.
    told: Option<Timeouts>,
    asked: Option<Asked>,
    // Nothing is requested before.
    again: Option<Instant>,
    complained: bool,
    stopping: bool,
    // `before` is another one since the last snapshot.
    dirty: bool,
}

fn each(a: &Timeouts, b: &Timeouts, f: impl Fn(u32, u32) -> u32) -> Timeouts {
    Timeouts { tcp: f(a.tcp, b.tcp), tcp_fin: f(a.tcp_fin, b.tcp_fin), udp: f(a.udp, b.udp) }
}

const NONE: Timeouts = Timeouts { tcp: 0, tcp_fin: 0, udp: 0 };

impl Keeper {
    /// Those of the file.
    pub fn set(&mut self, wanted: Timeouts) {
        if self.wanted != wanted {
            (self.wanted, self.again) = (wanted, None);
        }
    }
    /// A process before this one changed them from these.
    pub fn inherit(&mut self, before: Timeouts) {
        self.before = before;
    }
    /// What is put back at the end: for the next process.
    pub fn before(&self) -> Timeouts {
        self.before
    }
    /// Whether [`Keeper::before`] is another one since this was last asked.
    pub fn take_dirty(&mut self) -> bool {
        core::mem::take(&mut self.dirty)
    }
    /// Whether the kernel has values of kalived that are not wanted any more.
    pub fn is_to_restore(&self) -> bool {
        self.goal() != self.wanted && self.told != Some(self.goal())
    }
    /// The process ends: what was before is put back.
    pub fn stop(&mut self) {
        (self.stopping, self.again) = (true, None);
    }
    /// Whether no request is under way, and at the end nothing is left to be put back. What the kernel refuses is not waited for.
    pub fn idle(&self) -> bool {
        self.asked.is_none() && (!self.stopping || self.again.is_some() || self.settled())
    }
    /// When a request is repeated or follows.
    pub fn next_due(&self) -> Option<Instant> {
        self.again
    }

    fn wanted(&self) -> Timeouts {
        if self.stopping { NONE } else { self.wanted }
    }
    // What the kernel is to have; 0: whatever it has.
    fn goal(&self) -> Timeouts {
        each(&self.wanted(), &self.before, |wanted, before| if wanted != 0 { wanted } else { before })
    }
    // A value is to be changed, and what it is now is not known.
    fn unread(&self) -> bool {
        each(&self.wanted(), &self.before, |wanted, before| u32::from(wanted != 0 && before == 0)) != NONE
    }
    fn settled(&self) -> bool {
        !self.unread() && (self.goal() == NONE || self.told == Some(self.goal()))
    }

    /// Asks for the next step.
    pub fn pump(&mut self, now: Instant, req: ReqId, fx: &mut Effects) {
        if self.asked.is_some() || self.again.is_some_and(|at| at > now) || self.settled() {
            return;
        }
        self.again = None;
        let (asked, op) = if self.unread() {
            (Asked::Read(None), LvsOp::AskTimeouts)
        } else {
            (Asked::Write(self.goal()), LvsOp::Timeouts(self.goal()))
        };
        self.asked = Some(asked);
        fx.push(Effect::Lvs(LvsFx::Change { req, op }));
    }

    /// The kernel has these.
    pub fn on_found(&mut self, found: Timeouts) {
        if let Some(Asked::Read(read)) = &mut self.asked {
            *read = Some(found);
        }
    }

    /// The kernel answered.
    pub fn on_reply(&mut self, now: Instant, result: Result<(), Errno>) -> Option<Note> {
        let asked = self.asked.take()?;
        let result = match (asked, result) {
            (Asked::Read(Some(found)), Ok(())) => {
                // The kernel has no 0: such a value would be read again and again.
                let found = each(&found, &NONE, |found, _| found.max(1));
                let fresh = each(&self.wanted(), &found, |wanted, found| if wanted != 0 { found } else { 0 });
                self.before = each(&self.before, &fresh, |before, fresh| if before != 0 { before } else { fresh });
                // A value that leaves the file at this moment was changed before.
                self.told = None;
                (self.dirty, self.again) = (true, Some(now + KEPT));
                Ok(())
            }
            (Asked::Read(None), Ok(())) => Err(Errno::ENOBUFS),
            (Asked::Write(told), Ok(())) => {
                self.told = Some(told);
                let left = each(&self.wanted(), &self.before, |wanted, before| if wanted != 0 { before } else { 0 });
                if told == self.goal() && left != self.before {
                    // These are the kernel's own again.
                    (self.before, self.dirty) = (left, true);
                    self.told = Some(self.goal());
                }
                Ok(())
            }
            (_, Err(errno)) => Err(errno),
        };
        match result {
            Ok(()) => {
                self.complained = false;
                None
            }
            Err(errno) => {
                self.again = Some(now + AGAIN);
                let new = !core::mem::replace(&mut self.complained, true);
                new.then(|| text::no_timeouts(errno))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Timeouts = Timeouts { tcp: 900, tcp_fin: 120, udp: 300 };

    struct Kernel {
        has: Timeouts,
        now: Instant,
        asked: Vec<&'static str>,
    }

    impl Kernel {
        fn new() -> Kernel {
            Kernel { has: OWN, now: Instant(1_000_000_000), asked: Vec::new() }
        }
        // Executes one request; whether there was one.
        fn step(&mut self, k: &mut Keeper) -> bool {
            let mut fx = Effects::default();
            k.pump(self.now, ReqId(0), &mut fx);
            let Some(Effect::Lvs(LvsFx::Change { op, .. })) = fx.drain().next() else { return false };
            match op {
                LvsOp::AskTimeouts => {
                    self.asked.push("read");
                    k.on_found(self.has);
                }
                LvsOp::Timeouts(t) => {
                    self.asked.push("write");
                    self.has = each(&t, &self.has, |t, has| if t != 0 { t } else { has });
                }
                other => panic!("{other:?}"),
            }
            assert!(k.on_reply(self.now, Ok(())).is_none());
            true
        }
        fn settle(&mut self, k: &mut Keeper) {
            for _ in 0..10 {
                while self.step(k) {}
                let Some(at) = k.next_due().filter(|at| *at > self.now) else { return };
                self.now = at;
            }
            panic!("it never rests: {:?}", self.asked);
        }
    }

    fn tcp(tcp: u32) -> Timeouts {
        Timeouts { tcp, ..NONE }
    }

    #[test]
    fn what_was_before_is_known_to_the_next_process_before_it_is_changed() {
        let (mut kernel, mut k) = (Kernel::new(), Keeper::default());
        k.set(tcp(7));
        assert!(kernel.step(&mut k) && !kernel.step(&mut k));
        assert_eq!((k.before(), k.take_dirty(), kernel.has), (tcp(900), true, OWN), "not yet");
        kernel.now += KEPT;
        kernel.settle(&mut k);
        assert_eq!(kernel.has, Timeouts { tcp: 7, ..OWN });
        assert!(!k.take_dirty() && k.idle());
        k.stop();
        assert!(!k.idle());
        kernel.settle(&mut k);
        assert_eq!((kernel.has, k.idle()), (OWN, true));
    }

    #[test]
    fn a_value_that_leaves_the_file_goes_back_and_is_read_anew_when_it_returns() {
        let (mut kernel, mut k) = (Kernel::new(), Keeper::default());
        k.set(Timeouts { tcp: 7, tcp_fin: 0, udp: 15 });
        kernel.settle(&mut k);
        k.set(Timeouts { tcp: 0, tcp_fin: 0, udp: 16 });
        kernel.settle(&mut k);
        assert_eq!(kernel.has, Timeouts { udp: 16, ..OWN });
        assert_eq!((k.before(), k.take_dirty()), (Timeouts { udp: 300, ..NONE }, true));
        // An operator sets it meanwhile.
        kernel.has.tcp = 100;
        k.set(tcp(8));
        kernel.settle(&mut k);
        assert_eq!(kernel.has, Timeouts { tcp: 8, ..OWN });
        k.stop();
        kernel.settle(&mut k);
        assert_eq!(kernel.has, Timeouts { tcp: 100, ..OWN });
    }

    #[test]
    fn the_next_process_puts_back_what_the_one_before_found() {
        let (mut kernel, mut k) = (Kernel::new(), Keeper::default());
        k.set(tcp(7));
        kernel.settle(&mut k);
        let mut next = Keeper::default();
        next.inherit(k.before());
        next.set(tcp(7));
        kernel.settle(&mut next);
        let mut last = Keeper::default();
        last.inherit(next.before());
        assert!(last.is_to_restore(), "its file has none");
        kernel.settle(&mut last);
        assert_eq!((kernel.has, last.is_to_restore()), (OWN, false));
    }

    #[test]
    fn without_the_keyword_nothing_is_asked_and_what_is_refused_is_said_once() {
        let (mut kernel, mut k) = (Kernel::new(), Keeper::default());
        kernel.settle(&mut k);
        k.stop();
        assert!(k.idle() && !kernel.step(&mut k));
        let mut k = Keeper::default();
        k.set(tcp(7));
        let mut fx = Effects::default();
        for n in 0..3 {
            k.pump(kernel.now, ReqId(0), &mut fx);
            assert_eq!(k.on_reply(kernel.now, Err(Errno(1))).is_some(), n == 0);
            kernel.now = k.next_due().expect("again");
        }
        k.stop();
        assert!(k.idle(), "nothing was changed");
    }
}
