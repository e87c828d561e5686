//! The transition table, cell by cell, written a second time by hand from RFC 9568 §6.4 and `docs/protocol.md` (State machine). A change of
//! a cell must be made here, too, after a look at the rule.

use kalived::vrrp::State::{self, Backup, Fault, Init, Master};
use kalived::vrrp::fsm::Act::{
    self, Answer, Claim, Complain, Farewell, Follow, GoOn, Hurry, Ignore, Listen, PreemptOrFollow, Quit, Reassert,
    Report, Wish, Yield,
};
use kalived::vrrp::fsm::Input::{
    self, Fail, GoOnBackup, GoOnMaster, MasterDown, RxEqualGreater, RxEqualLess, RxEqualSame, RxHigher, RxLower,
    RxZero, Shutdown, Start, StartOwner,
};
use kalived::vrrp::fsm::{TABLE, step, step_of_member};

#[rustfmt::skip]
const EXPECTED: [(State, Input, State, Act); 56] = [
    (Init, Start, Backup, Listen), (Init, StartOwner, Master, Claim), (Init, Fail, Fault, Ignore), (Init, Shutdown, Init, Ignore),
    (Init, MasterDown, Init, Ignore), (Init, RxZero, Init, Ignore), (Init, RxLower, Init, Ignore), (Init, RxEqualLess, Init, Ignore),
    (Init, RxEqualSame, Init, Ignore), (Init, RxEqualGreater, Init, Ignore), (Init, RxHigher, Init, Ignore),

    (Backup, Start, Backup, Ignore), (Backup, StartOwner, Backup, Ignore), (Backup, Fail, Fault, Quit), (Backup, Shutdown, Init, Quit),
    (Backup, MasterDown, Master, Claim), (Backup, RxZero, Backup, Hurry), (Backup, RxLower, Backup, PreemptOrFollow),
    (Backup, RxEqualLess, Backup, Follow), (Backup, RxEqualSame, Backup, Follow), (Backup, RxEqualGreater, Backup, Follow),
    (Backup, RxHigher, Backup, Follow),

    (Master, Start, Master, Ignore), (Master, StartOwner, Master, Ignore), (Master, Fail, Fault, Farewell), (Master, Shutdown, Init, Farewell),
    (Master, MasterDown, Master, Ignore), (Master, RxZero, Master, Reassert), (Master, RxLower, Master, Answer),
    (Master, RxEqualLess, Master, Answer), (Master, RxEqualSame, Master, Complain), (Master, RxEqualGreater, Backup, Yield),
    (Master, RxHigher, Backup, Yield),

    (Fault, Start, Backup, Listen), (Fault, StartOwner, Master, Claim), (Fault, Fail, Fault, Ignore), (Fault, Shutdown, Init, Ignore),
    (Fault, MasterDown, Fault, Ignore), (Fault, RxZero, Fault, Ignore), (Fault, RxLower, Fault, Ignore), (Fault, RxEqualLess, Fault, Ignore),
    (Fault, RxEqualSame, Fault, Ignore), (Fault, RxEqualGreater, Fault, Ignore), (Fault, RxHigher, Fault, Ignore),

    (Init, Input::Resign, Init, Ignore), (Init, GoOnBackup, Backup, GoOn), (Init, GoOnMaster, Master, GoOn),
    (Backup, Input::Resign, Backup, Ignore), (Backup, GoOnBackup, Backup, Ignore), (Backup, GoOnMaster, Backup, Ignore),
    (Master, Input::Resign, Backup, Act::Resign), (Master, GoOnBackup, Master, Ignore), (Master, GoOnMaster, Master, Ignore),
    (Fault, Input::Resign, Fault, Ignore), (Fault, GoOnBackup, Fault, Ignore), (Fault, GoOnMaster, Fault, Ignore),
];

#[test]
fn every_state_with_every_input() {
    let mut seen = std::collections::BTreeSet::new();
    for (state, input, next, act) in EXPECTED {
        let got = step(state, input);
        assert_eq!((got.next, got.act), (next, act), "{state:?} × {input:?}");
        assert!(seen.insert((state, input)), "{state:?} × {input:?} twice");
    }
    for state in State::ALL {
        for input in Input::ALL {
            assert!(seen.contains(&(state, input)), "{state:?} × {input:?} is not pinned");
        }
    }
}

#[test]
fn every_cell_names_its_rule() {
    for row in TABLE {
        for cell in row {
            assert!(!cell.rule.is_empty());
        }
    }
}

#[test]
fn who_becomes_or_leaves_master_acts_like_it() {
    for state in State::ALL {
        for input in Input::ALL {
            let s = step(state, input);
            let claims = s.act == Claim || (s.act == GoOn && input == GoOnMaster);
            assert_eq!(s.next == Master && state != Master, claims, "{state:?} × {input:?}");
            let leaves = matches!(s.act, Yield | Farewell | Act::Resign);
            assert_eq!(s.next != Master && state == Master, leaves, "{state:?} × {input:?}");
        }
    }
}

// To start and to become Master a member needs its group. In all other cells it acts as any virtual router.
#[test]
fn a_member_of_a_group_enters_nothing_by_itself() {
    for state in State::ALL {
        for input in Input::ALL {
            let (alone, member) = (step(state, input), step_of_member(state, input));
            let enters = alone.next != state
                && matches!(alone.next, Backup | Master)
                && !matches!(input, GoOnBackup | GoOnMaster)
                && state != Master;
            if enters {
                let says = if state == Backup { Wish } else { Report };
                assert_eq!((member.next, member.act), (state, says), "{state:?} × {input:?}");
            } else {
                assert_eq!(member, alone, "{state:?} × {input:?}");
            }
        }
    }
}
