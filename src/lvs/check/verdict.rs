//! The state of one check, from successive results: keepalived's `retry`, and the pages of a web server that are requested in turn.
//!
//! Read first: nothing. While up, `retry` successive failures do not count; the next one makes it down. While down, `rise` successive
//! successes make it up; of several pages each must have succeeded since the last failure. The first result decides alone. A failure
//! with a cause on this host is no result about the server: it is tried again a few times before it counts as any other. One for want of
//! descriptors or memory never counts.

use super::talk::Cause;

/// Successive failures with a cause on this host, the last of which counts.
pub(super) const LOCAL_TRIES: u32 = 3;

/// When the check is carried out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// After its interval.
    Interval,
    /// After `delay_before_retry`, because the result does not count yet.
    Retry,
    /// Soon: this host is the cause.
    Local,
    /// At once (`fast_recovery`).
    AtOnce,
}

/// The numbers of the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    pub(super) retries: u32,
    /// Successes in a row that bring back what is down, at least 1.
    pub(super) rise: u32,
    /// The number of pages, at least 1.
    pub(super) pages: usize,
    pub(super) fast_recovery: bool,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Verdict {
    up: Option<bool>,
    // The next result decides alone.
    decisive: bool,
    failures: u32,
    local: u32,
    page: usize,
    // Pages in a row that succeeded.
    proven: usize,
    // Of one that is down: how often in a row all of them did.
    #[serde(default)]
    risen: u32,
}

impl Default for Verdict {
    fn default() -> Verdict {
        Verdict { up: None, decisive: true, failures: 0, local: 0, page: 0, proven: 0, risen: 0 }
    }
}

impl Verdict {
    /// `None`: nothing is known.
    pub(super) fn up(&self) -> Option<bool> {
        self.up
    }
    /// It is known, and one result does not decide alone.
    pub(super) fn is_settled(&self) -> bool {
        self.up.is_some() && !self.decisive
    }
    /// Successive failures that do not count so far.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }
    /// The page that is asked for next.
    pub(super) fn page(&self) -> usize {
        self.page
    }
    /// A result of the same kind as the last one may change it.
    pub(super) fn is_changing(&self, rule: Rule) -> bool {
        self.failures > 0 || self.risen > 0 || self.proven > 0 && self.proven < rule.pages && self.up != Some(true)
    }
    /// Takes over the verdict of an earlier process and continues from it.
    pub(super) fn resume(&mut self, up: bool, failures: u32) {
        *self = Verdict { up: Some(up), decisive: false, failures, ..Verdict::default() };
    }
    /// The same with another number of failures that do not count.
    pub(super) fn with(mut self, retries: u32) -> Verdict {
        self.failures = self.failures.min(retries);
        self
    }
    /// Takes over the verdict of the check that this one replaces; the next result decides alone.
    pub(super) fn hold(&mut self, up: bool) {
        *self = Verdict { up: Some(up), ..Verdict::default() };
    }

    /// One more result. True: the verdict changed.
    pub(super) fn success(&mut self, rule: Rule) -> (bool, Next) {
        (self.failures, self.local) = (0, 0);
        self.proven = (self.proven + 1).min(rule.pages);
        self.page = (self.page + 1) % rule.pages.max(1);
        if self.proven < rule.pages && (self.decisive || self.up != Some(true)) {
            return (false, if rule.fast_recovery { Next::AtOnce } else { Next::Interval });
        }
        if self.up == Some(false) && !self.decisive {
            self.risen += 1;
            if self.risen < rule.rise {
                self.proven = 0;
                return (false, if rule.fast_recovery { Next::AtOnce } else { Next::Retry });
            }
        }
        (self.decisive, self.risen) = (false, 0);
        (self.up.replace(true) != Some(true), Next::Interval)
    }

    /// Takes in one more failure. True: the verdict changed. A failure with a cause on this host does not count at first.
    pub(super) fn failure(&mut self, cause: Cause, rule: Rule) -> (bool, Next) {
        if cause == Cause::Room {
            return (false, Next::Local);
        }
        let local = cause == Cause::Host;
        self.local = if local { self.local.saturating_add(1) } else { 0 };
        if local && self.local < LOCAL_TRIES {
            return (false, Next::Local);
        }
        (self.proven, self.risen) = (0, 0);
        if self.up == Some(true) && !self.decisive && self.failures < rule.retries {
            self.failures += 1;
            return (false, Next::Retry);
        }
        (self.failures, self.decisive) = (0, false);
        (self.up.replace(false) != Some(false), Next::Interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(v: &mut Verdict, results: &str, rule: Rule) -> String {
        results
            .chars()
            .map(|r| {
                match r {
                    '+' => v.success(rule),
                    '-' => v.failure(Cause::Server, rule),
                    'r' => v.failure(Cause::Room, rule),
                    _ => v.failure(Cause::Host, rule),
                };
                match v.up() {
                    None => '?',
                    Some(true) => 'U',
                    Some(false) => 'd',
                }
            })
            .collect()
    }
    const ONE: Rule = Rule { retries: 1, rise: 1, pages: 1, fast_recovery: false };

    #[test]
    fn retry_forgives_and_one_success_restores() {
        let v = || Verdict::default();
        assert_eq!(run(&mut v(), "-+-+--+", ONE), "dUUUUdU");
        assert_eq!(run(&mut v(), "+-+-+--", Rule { retries: 0, ..ONE }), "UdUdUdd");
        assert_eq!(run(&mut v(), "+----", Rule { retries: 3, ..ONE }), "UUUUd");
        let mut held = v();
        held.hold(true);
        assert_eq!(run(&mut held, "-", ONE), "d", "another check's verdict lasts until the first result");
        let mut resumed = v();
        resumed.resume(true, 1);
        assert_eq!(run(&mut resumed, "-", ONE), "d", "an earlier process had forgiven one");
    }

    #[test]
    fn rise_asks_for_successes_in_a_row_and_only_of_what_was_down() {
        let three = Rule { rise: 3, ..ONE };
        assert_eq!(run(&mut Verdict::default(), "+--++-+++-+", three), "UUddddddUUU");
        let mut v = Verdict::default();
        run(&mut v, "-", three);
        assert_eq!(v.success(three), (false, Next::Retry), "soon again");
        assert_eq!(v.success(three), (false, Next::Retry));
        assert_eq!(v.success(three), (true, Next::Interval));
    }

    #[test]
    fn every_page_must_have_succeeded_since_the_last_failure() {
        let three = Rule { pages: 3, ..ONE };
        let mut v = Verdict::default();
        assert_eq!(run(&mut v, "+++", three), "??U");
        assert_eq!((run(&mut v, "+-", three), v.page()), ("UU".into(), 1));
        assert_eq!((run(&mut v, "-", three), v.page()), ("d".into(), 1), "the page that failed is asked again");
        assert_eq!(run(&mut v, "++-+++", three), "dddddU");
        assert_eq!(v.failure(Cause::Server, three).1, Next::Retry);
        let fast = Rule { fast_recovery: true, ..three };
        run(&mut v, "-", fast);
        assert_eq!(v.success(fast), (false, Next::AtOnce));
        v.success(fast);
        assert_eq!(v.success(fast), (true, Next::Interval));
        assert_eq!(v.success(fast), (false, Next::Interval));
    }

    #[test]
    fn a_local_failure_counts_after_its_own_tries() {
        let mut v = Verdict::default();
        assert_eq!(run(&mut v, "+ll+ll+", ONE), "UUUUUUU");
        assert_eq!(run(&mut v, "lllll", ONE), "UUUdd", "the third is as any other, and one is forgiven");
        assert_eq!(run(&mut Verdict::default(), "lll", ONE), "??d");
        assert_eq!(run(&mut Verdict::default(), "rrrrlrl+rrrr-r-", ONE), "???????UUUUUUUd", "want of room never does");
    }
}
