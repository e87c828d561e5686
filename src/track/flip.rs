//! Up or down from successive results: `rise` and `fall`.
//!
//! Read first: nothing. keepalived counts from 0 to rise + fall - 1; from rise on it is up, and a success while up (a failure while
//! down) sets the counter to its end. Counting the successive results that contradict the state is equivalent.

/// The state that follows from the results so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Flip {
    rise: u32,
    fall: u32,
    up: Option<bool>,
    // Successive results that contradict `up`.
    against: u32,
    // The next result decides alone.
    decisive: bool,
}

impl Flip {
    /// Nothing is known, and the first result is decisive; with `init_fail` it begins failed and `rise` successes are needed.
    pub fn new(rise: u32, fall: u32, init_fail: bool) -> Flip {
        let up = init_fail.then_some(false);
        Flip { rise: rise.max(1), fall: fall.max(1), up, against: 0, decisive: !init_fail }
    }
    /// What an earlier process, or the same check before a reload, knew; it counts as if nothing had happened since.
    pub fn resume(&mut self, up: bool) {
        (self.up, self.against, self.decisive) = (Some(up), 0, false);
    }
    /// Other numbers for the same check: what is known stays.
    pub fn alter(&mut self, rise: u32, fall: u32, init_fail: bool) {
        let up = self.up;
        *self = Flip::new(rise, fall, init_fail);
        if let Some(up) = up {
            self.resume(up);
        }
    }
    /// What another check of the same name knew: it holds until the first result, which is decisive.
    pub fn hold(&mut self, up: bool) {
        (self.up, self.against, self.decisive) = (Some(up), 0, true);
    }
    /// One more result; true: up became down, down up, or either is known for the first time.
    pub fn result(&mut self, ok: bool) -> bool {
        if core::mem::take(&mut self.decisive) {
            self.against = 0;
            return self.up.replace(ok) != Some(ok);
        }
        if self.up == Some(ok) {
            self.against = 0;
            return false;
        }
        self.against += 1;
        if self.against < if ok { self.rise } else { self.fall } {
            return false;
        }
        self.against = 0;
        self.up = Some(ok);
        true
    }
    /// `None`: nothing is known yet.
    pub fn up(&self) -> Option<bool> {
        self.up
    }
    /// Some results contradict the state, not yet enough of them.
    pub fn wavers(&self) -> bool {
        self.against > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(mut f: Flip, results: &str) -> String {
        let mut out = String::new();
        for r in results.chars() {
            f.result(r == '+');
            out.push(match f.up() {
                None => '?',
                Some(true) => 'U',
                Some(false) => 'd',
            });
        }
        out
    }

    #[test]
    fn the_first_result_is_decisive_and_then_results_in_a_row_count() {
        assert_eq!(run(Flip::new(2, 3, false), "+--+---+-++"), "UUUUUUddddU");
        assert_eq!(run(Flip::new(2, 3, false), "-+-++"), "ddddU");
        assert_eq!(run(Flip::new(1, 1, false), "+-+"), "UdU");
    }

    #[test]
    fn init_fail_begins_failed_and_needs_rise() {
        assert_eq!(Flip::new(2, 1, true).up(), Some(false));
        assert_eq!(run(Flip::new(2, 1, true), "+++"), "dUU");
        assert_eq!(Flip::new(2, 1, false).up(), None);
    }

    // The counter as keepalived has it, against ours, over every sequence of eight results.
    #[test]
    fn it_is_keepaliveds_counter() {
        for (rise, fall) in [(1, 1), (1, 3), (3, 1), (2, 2), (3, 4)] {
            for bits in 0..256u32 {
                let mut ours = Flip::new(rise, fall, true);
                let mut counter = 0;
                for n in 0..8 {
                    let ok = bits >> n & 1 == 1;
                    ours.result(ok);
                    counter = match ok {
                        true if counter + 1 < rise => counter + 1,
                        true => rise + fall - 1,
                        false if counter > rise => counter - 1,
                        false => 0,
                    };
                    assert_eq!(ours.up(), Some(counter >= rise), "rise {rise} fall {fall} {bits:08b} at {n}");
                }
            }
        }
    }

    #[test]
    fn what_was_known_before_holds() {
        let mut f = Flip::new(1, 2, false);
        f.resume(true);
        assert_eq!((f.result(false), f.up()), (false, Some(true)), "as if nothing had happened");
        assert_eq!((f.result(false), f.up()), (true, Some(false)));
        f.hold(true);
        assert_eq!((f.result(false), f.up()), (true, Some(false)), "another check's answer");
        f.hold(false);
        assert!(!f.result(false));
    }

    #[test]
    fn no_counter_overflows() {
        let mut f = Flip::new(0, u32::MAX, false);
        f.result(true);
        for _ in 0..1000 {
            assert!(!f.result(false));
        }
        assert!(f.wavers() && !f.result(true) && !f.wavers());
    }
}
