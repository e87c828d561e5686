//! A sync group: virtual routers that are Master together or not at all.
//!
//! Read first: `fsm.rs`, `instance/member.rs`. A group has no state beside its members: each reports its standing ([`Standing`]),
//! [`decide`] returns the aim of the group, and [`order`] the action of each member; the world executes all of them in one turn, adverts
//! first. Both functions are pure, and no earlier decision is stored: a group whose members are in an unexpected combination of states,
//! after a hand-over or a reload, moves to one in which all members agree.
//!
//! The rules, in this order:
//! 1. A member that cannot run keeps the others from running: all are in FAULT.
//! 2. A member received an advert of a better Master while the others are Master: all are Backup. The others send a priority-0 advert,
//!    because on their links no other router may be Master yet.
//! 3. All are Backup, and Master_Down_Timer of each has run out since the last advert of a Master: all become Master.
//! 4. No member runs: all start, as soon as all can.
//!
//! A member that is added to a group that is Master (by a reload, or because it could not be handed over) joins: it listens for its
//! Master_Down_Interval, then becomes Master. Until then it is Backup while the others are Master; in no other case do members differ at
//! the end of a turn. If it receives an advert of a Master with the same or a higher priority, rule 2 applies.

use super::fsm::State;

/// The standing of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Not started, and it is not known whether it can start.
    Absent,
    /// Not started, and can start.
    Ready,
    /// In FAULT because of other members: it could run.
    Held,
    /// Something that this member requires is missing.
    Faulty,
    /// Backup. `willing`: Master_Down_Timer ran out since the last advert of a Master.
    Backup {
        /// Master_Down_Timer expired since the last advert of a Master.
        willing: bool,
    },
    /// Backup that follows no Master, in a group that is Master. `willing`: as above.
    Joining {
        /// Master_Down_Timer expired since the last advert of a Master.
        willing: bool,
    },
    /// In state Master.
    Master,
}

/// The number of members with each standing. Updated member by member: nothing on the path of an advert reads a whole group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tally {
    absent: usize,
    ready: usize,
    held: usize,
    faulty: usize,
    reluctant: usize,
    willing: usize,
    joining: usize,
    joined: usize,
    master: usize,
}

impl Tally {
    fn of(&mut self, s: Standing) -> &mut usize {
        match s {
            Standing::Absent => &mut self.absent,
            Standing::Ready => &mut self.ready,
            Standing::Held => &mut self.held,
            Standing::Faulty => &mut self.faulty,
            Standing::Backup { willing: false } => &mut self.reluctant,
            Standing::Backup { willing: true } => &mut self.willing,
            Standing::Joining { willing: false } => &mut self.joining,
            Standing::Joining { willing: true } => &mut self.joined,
            Standing::Master => &mut self.master,
        }
    }
    /// Adds a member.
    pub fn add(&mut self, s: Standing) {
        *self.of(s) += 1;
    }
    /// Removes a member.
    pub fn remove(&mut self, s: Standing) {
        let n = self.of(s);
        *n = n.saturating_sub(1);
    }
    fn backup(&self) -> usize {
        self.reluctant + self.willing
    }
    /// The state of the group.
    pub fn state(&self) -> State {
        match self {
            t if t.faulty > 0 => State::Fault,
            t if t.backup() > 0 => State::Backup,
            t if t.master > 0 => State::Master,
            t if t.joining + t.joined > 0 => State::Backup,
            t if t.held > 0 => State::Fault,
            _ => State::Init,
        }
    }
    /// Whether the group is Master, and so is every member that is not joining.
    pub fn is_master(&self) -> bool {
        self.state() == State::Master
    }
}

/// The aim of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// All members enter FAULT.
    Fault,
    /// All members are Backup.
    Backup,
    /// All members become Master.
    Master,
    /// All are Master; members that were added since join them.
    Join,
    /// Every member starts; none runs yet.
    Start,
}

/// The aim, if the group has to change.
pub fn decide(t: &Tally) -> Option<Aim> {
    let joiners = t.joining + t.joined;
    let waiting = t.ready + t.held;
    if t.faulty > 0 {
        return (t.ready + t.backup() + joiners + t.master > 0).then_some(Aim::Fault);
    }
    if t.master > 0 {
        return match t.backup() {
            0 => (waiting + t.joined > 0).then_some(Aim::Join),
            _ => Some(Aim::Backup),
        };
    }
    if t.backup() + joiners > 0 {
        if waiting + joiners > 0 {
            return Some(Aim::Backup);
        }
        return (t.reluctant + t.absent == 0).then_some(Aim::Master);
    }
    (waiting > 0 && t.absent == 0).then_some(Aim::Start)
}

/// The action of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Enter FAULT because of another member.
    Fault,
    /// Leave Initialize or FAULT as Backup; if all members own their addresses, as Master.
    Start,
    /// Start, while the others are Master.
    StartJoining,
    /// Become Master and advertise at once.
    Claim,
    /// Leave Master and become Backup.
    Resign,
    /// Stop joining: no member is Master.
    Settle,
}

/// The action for `aim` of a member with this standing.
pub fn order(aim: Aim, s: Standing) -> Option<Order> {
    use Standing::*;
    match (aim, s) {
        (_, Absent | Faulty) => None,
        (Aim::Fault, Held) => None,
        (Aim::Fault, _) => Some(Order::Fault),
        (Aim::Backup | Aim::Start, Ready | Held) => Some(Order::Start),
        (Aim::Backup, Joining { .. }) => Some(Order::Settle),
        (Aim::Backup, Master) => Some(Order::Resign),
        (Aim::Backup, Backup { .. }) => None,
        (Aim::Master, Backup { .. }) => Some(Order::Claim),
        (Aim::Join, Ready | Held) => Some(Order::StartJoining),
        (Aim::Join, Joining { willing: true }) => Some(Order::Claim),
        (Aim::Master | Aim::Join | Aim::Start, _) => None,
    }
}

/// A group that yields within its members' Master_Down_Interval after becoming Master is in a dispute with another group: each has the
/// better priority on one link and the worse on another, so both would become Master and yield at the same time, repeatedly. So the group
/// waits longer by a number of advert intervals that grows each time; the one with the lower address waits twice as long.
pub fn patience(disputes: u32, lower_address: bool) -> u32 {
    disputes.min(MOST_PATIENT) * if lower_address { 2 } else { 1 }
}

/// See [`patience`]: against a router without this rule one interval is enough, and the waits of two kalived groups differ by one.
const MOST_PATIENT: u32 = 4;

#[cfg(test)]
mod tests {
    use super::Standing::*;
    use super::*;

    const ALL: [Standing; 9] = [
        Absent,
        Ready,
        Held,
        Faulty,
        Backup { willing: false },
        Backup { willing: true },
        Joining { willing: false },
        Joining { willing: true },
        Master,
    ];

    fn tally(members: &[Standing]) -> Tally {
        let mut t = Tally::default();
        members.iter().for_each(|s| t.add(*s));
        t
    }

    // A member's standing after an order, as `Instance::commit` executes it.
    fn done(s: Standing, order: Option<Order>) -> Standing {
        match order {
            None => s,
            Some(Order::Fault) => Held,
            Some(Order::Start | Order::Resign) => Backup { willing: false },
            Some(Order::StartJoining) => Joining { willing: false },
            Some(Order::Claim) => Master,
            Some(Order::Settle) => match s {
                Joining { willing } => Backup { willing },
                other => other,
            },
        }
    }

    // Every group of four, in any states: after at most three rounds there is no further order, and the members agree.
    #[test]
    fn whatever_a_group_finds_itself_in_it_agrees() {
        for n in 0..ALL.len().pow(4) {
            let mut members: Vec<Standing> = (0..4).map(|i| ALL[n / ALL.len().pow(i) % ALL.len()]).collect();
            let first = members.clone();
            let mut rounds = 0;
            while let Some(aim) = decide(&tally(&members)) {
                members = members.iter().map(|s| done(*s, order(aim, *s))).collect();
                rounds += 1;
                assert!(rounds <= 3, "{first:?} is {members:?} and still wants {aim:?}");
            }
            let has = |s: Standing| members.contains(&s);
            let backup = has(Backup { willing: false }) || has(Backup { willing: true });
            let runs = backup || has(Master);
            assert!(!(backup && has(Master)), "{first:?} ends split: {members:?}");
            assert!(!(runs && (has(Faulty) || has(Held))), "{first:?}: {members:?}");
            assert!(!has(Joining { willing: true }), "{first:?}: {members:?}");
            assert!(
                !has(Joining { willing: false }) || has(Master),
                "nobody joins a group that is not Master: {members:?}"
            );
            // A member that waits to start waits for another member.
            assert!(!has(Ready) || has(Absent), "{first:?}: {members:?}");
        }
    }

    #[test]
    fn one_that_is_reluctant_keeps_all_from_becoming_master() {
        let (no, yes) = (Backup { willing: false }, Backup { willing: true });
        assert_eq!(decide(&tally(&[yes, no, yes])), None);
        assert_eq!(decide(&tally(&[yes, yes, yes])), Some(Aim::Master));
        // So does one that starts anew: what it will hear is not known. It changes nothing for those that are Master.
        assert_eq!(decide(&tally(&[yes, Absent])), None);
        assert_eq!(decide(&tally(&[Master, Absent])), None);
        assert_eq!(decide(&tally(&[Ready, Absent])), None);
        assert_eq!(decide(&tally(&[Ready, Held])), Some(Aim::Start));
    }

    #[test]
    fn patience_tells_two_groups_apart() {
        for disputes in 1..20 {
            assert!(patience(disputes, true) > patience(disputes, false) && patience(disputes, false) > 0);
            assert!(patience(disputes, true) <= 8);
        }
        assert_eq!(patience(0, true), 0);
    }
}
