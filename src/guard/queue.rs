//! Reloads one after another: one runs, and all requests meanwhile make one more. Pure.
//!
//! A reload that began before a request may have read the file before it was changed, so it is no answer to that request; ten requests
//! during one reload are answered by the next one.

/// The state of reloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Queue {
    /// None is running.
    #[default]
    Idle,
    /// One reload is running.
    Running,
    /// One is running, and one more follows.
    Again,
}

impl Queue {
    /// A reload is requested; returns whether to begin now.
    #[must_use]
    pub fn ask(&mut self) -> bool {
        let now = *self == Queue::Idle;
        *self = if now { Queue::Running } else { Queue::Again };
        now
    }
    /// The running reload has ended, successfully or not; returns whether to begin the next.
    #[must_use]
    pub fn done(&mut self) -> bool {
        let again = *self == Queue::Again;
        *self = if again { Queue::Running } else { Queue::Idle };
        again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_requests_during_one_are_one_more() {
        let mut q = Queue::default();
        assert!(q.ask());
        for _ in 0..10 {
            assert!(!q.ask());
        }
        assert!(q.done(), "what was changed during the first is read by the second");
        assert!(!q.done());
        assert_eq!(q, Queue::Idle);
        assert!(q.ask() && !q.done());
    }
}
