//! Reloads one after another: one runs, and those asked for meanwhile are one more. Pure.
//!
//! A reload that began before it was asked for may have read the file before it was changed, so it is no answer to the asker;
//! ten requests during one are answered by the one after it.

/// What is going on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Queue {
    /// Nothing.
    #[default]
    Idle,
    /// One is under way.
    Running,
    /// One is under way, and one more will be.
    Again,
}

impl Queue {
    /// Asked for; whether to begin now.
    #[must_use]
    pub fn ask(&mut self) -> bool {
        let now = *self == Queue::Idle;
        *self = if now { Queue::Running } else { Queue::Again };
        now
    }
    /// The one under way is done, for good or ill; whether to begin the next.
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
