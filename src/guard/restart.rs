//! What follows when the core ends. Pure.
//!
//! After the first death a core is started at once, with the snapshot: no peer notices. For a core that dies again within seconds of its
//! start, something in its state or environment causes the death: then the addresses are removed first, so that a host that does not
//! answer for them does not keep them, and the core starts cold, later each time. Of the snapshot it takes over the virtual servers only:
//! a real server that is down must not get clients because the core died. After some more deaths it gets nothing at all.
//!
//! A core that says that it cannot run is believed only while none has run yet. Once one has, the system has what a core needs, and what
//! the next one lacks is lacking for a time: memory, or the locked memory that the kernel still counts for a core that was killed.

use crate::exit::ExitCode;
use crate::sys::child::End;
use crate::time::{Duration, Instant};

/// A core that ran for so long has started well.
const LIVED: Duration = Duration::from_secs(10);
/// Deaths in a row after which the virtual servers of the snapshot are not taken over any more: they may be what the cores die of.
const KEPT: u32 = 4;
/// keepalived's delays: 1, 2, 4 … seconds.
const LONGEST: Duration = Duration::from_secs(60);

/// The action after the end of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Start a core at once; it continues from the state of the dead one.
    Resume,
    /// Remove the addresses, wait, start a core without the virtual routers of the snapshot.
    Cold {
        /// Time from the removal of the addresses to the start of the next core.
        wait: Duration,
    },
    /// Remove the addresses and exit with this code.
    End(u8),
}

/// Counts early deaths of cores in a row, and decides what follows each end ([`Next`]).
#[derive(Clone, Copy, Debug, Default)]
pub struct Restart {
    // Deaths in a row, each soon after a start.
    deaths: u32,
    never: bool,
    // A core has been ready.
    ran: bool,
}

impl Restart {
    /// `never`: keepalived's `-R`.
    pub fn new(never: bool) -> Restart {
        Restart { deaths: 0, never, ran: false }
    }
    /// A core is ready, or was in the guard that this one continues for.
    pub fn on_ready(&mut self) {
        self.ran = true;
    }
    /// Whether the next core, which starts cold, takes over the state of virtual servers.
    pub fn keeps_servers(&self) -> bool {
        (1..=KEPT).contains(&self.deaths)
    }
    /// The core ended by itself, without a request.
    pub fn on_end(&mut self, started: Instant, now: Instant, end: End) -> Next {
        if let End::Exited(code) = end
            && permanent(code)
            && !self.ran
        {
            return Next::End(code);
        }
        if self.never {
            return Next::End(if let End::Exited(code @ 1..) = end { code } else { ExitCode::Internal as u8 });
        }
        self.deaths = if now.since(started) < LIVED { self.deaths.saturating_add(1) } else { 1 };
        match self.deaths {
            0 | 1 => Next::Resume,
            n => Next::Cold { wait: Duration::from_secs(1u64 << (n - 2).min(6)).min(LONGEST) },
        }
    }
}

/// Exit codes after which another start would end the same way.
pub fn permanent(code: u8) -> bool {
    let permanent = [ExitCode::Fatal, ExitCode::Config, ExitCode::Permission, ExitCode::NoConfig, ExitCode::NoUring];
    permanent.iter().any(|c| *c as u8 == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Instant {
        Instant(s * 1_000_000_000)
    }
    fn cold(s: u64) -> Next {
        Next::Cold { wait: Duration::from_secs(s) }
    }

    #[test]
    fn the_first_death_resumes_and_the_next_ones_wait_longer_each_time() {
        let mut r = Restart::default();
        let killed = End::Signaled(9);
        assert_eq!(r.on_end(at(0), at(1), killed), Next::Resume);
        let waits = [1, 2, 4, 8, 16, 32, 60, 60];
        for (n, s) in waits.into_iter().enumerate() {
            assert_eq!(r.on_end(at(5), at(14), killed), cold(s));
            assert_eq!(r.keeps_servers(), n < 3, "what they may die of is left out in the end");
        }
        assert_eq!(r.on_end(at(20), at(30), End::Exited(101)), Next::Resume, "it had lived long enough");
        assert!(r.keeps_servers() && !Restart::default().keeps_servers());
        assert_eq!(r.on_end(at(30), at(30), End::Exited(0)), cold(1), "an end nobody asked for is a death");
        for _ in 0..1000 {
            r.on_end(at(30), at(30), killed);
        }
        assert_eq!(r.on_end(at(30), at(30), killed), cold(60));
    }

    #[test]
    fn permanent_errors_and_dont_respawn_end_it() {
        for code in [1, 2, 4, 6, 7] {
            assert_eq!(Restart::default().on_end(at(0), at(100), End::Exited(code)), Next::End(code));
        }
        let mut r = Restart::new(true);
        assert_eq!(r.on_end(at(0), at(100), End::Signaled(11)), Next::End(70));
        assert_eq!(r.on_end(at(0), at(100), End::Exited(101)), Next::End(101));
        assert_eq!(r.on_end(at(0), at(100), End::Exited(0)), Next::End(70));
    }

    #[test]
    fn once_a_core_has_run_no_error_is_permanent() {
        let mut r = Restart::default();
        r.on_ready();
        assert_eq!(r.on_end(at(0), at(100), End::Signaled(9)), Next::Resume);
        for (code, wait) in [(7, 1), (1, 2), (4, 4), (7, 8)] {
            assert_eq!(r.on_end(at(100), at(100), End::Exited(code)), cold(wait), "{code}");
        }
        let mut r = Restart::new(true);
        r.on_ready();
        assert_eq!(r.on_end(at(0), at(100), End::Exited(7)), Next::End(7), "unless nothing is to be started again");
    }
}
