//! The VRRP state machine as data: the action of each state for each input, with the RFC's section beside it.
//!
//! Read first: RFC 9568 §6.4 (figure in §6.3), `docs/protocol.md` (State machine). [`step`] is a look-up in [`TABLE`], which defines
//! every transition, and `Instance::go` is the only place that writes the state. `tests/vrrp/table.rs` pins every cell. A member of a
//! sync group leaves a decision that needs the consent of the others to its group: [`step_of_member`], `group.rs`.
//!
//! ```text
//!                 Start (p < 255)                    MasterDown
//!   Initialize ----------------------> Backup ----------------------> Master
//!      |   \___________ StartOwner ______________________________________^ |
//!      |                                 ^  RxHigher, RxEqualGreater       |
//!      |                                 '---------------------------------'
//!      '-- Fail --> Fault <-- Fail -- (Backup, Master);   Fault -- Start --> Backup
//! ```
//!
//! Fault is keepalived's name for Initialize while something required is missing; RFC 9568 has no such state.

use serde::{Deserialize, Serialize};

/// State of a virtual router. "Master" is RFC 9568's "Active".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// Not started, or stopped.
    #[default]
    Init,
    /// Listens for the Master.
    Backup,
    /// Forwards, and advertises.
    Master,
    /// Something required is missing: link, source address, socket, tracked interface.
    Fault,
}

impl State {
    /// Every state, in the order of the table's rows.
    pub const ALL: [State; 4] = [State::Init, State::Backup, State::Master, State::Fault];

    /// The word in log lines: "Entering MASTER STATE".
    pub fn word(self) -> &'static str {
        match self {
            State::Init => "INIT",
            State::Backup => "BACKUP",
            State::Master => "MASTER",
            State::Fault => "FAULT",
        }
    }
}

/// An input of a virtual router. Adverts are already verified and compared with our own priority and address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Input {
    /// Everything required is present; priority below 255.
    Start,
    /// Everything required is present; priority 255.
    StartOwner,
    /// Something required is missing.
    Fail,
    /// The daemon stops.
    Shutdown,
    /// Master_Down_Timer expired.
    MasterDown,
    /// Advert with priority 0: its sender stops being Master.
    RxZero,
    /// Priority below ours.
    RxLower,
    /// Our priority, sender's address smaller than ours.
    RxEqualLess,
    /// Our priority and our address: two routers with one address, or our own packet reflected.
    RxEqualSame,
    /// Our priority, sender's address greater than ours (unsigned, network order: RFC 9568 §6.4.3).
    RxEqualGreater,
    /// Priority above ours.
    RxHigher,
    /// Another member of the sync group is no longer Master.
    Resign,
    /// The router was Backup in the previous process.
    GoOnBackup,
    /// The router was Master in the previous process, and no peer can have taken over since that process ended.
    GoOnMaster,
}

impl Input {
    /// Every input, in the order of the table's columns.
    pub const ALL: [Input; 14] = [
        Input::Start,
        Input::StartOwner,
        Input::Fail,
        Input::Shutdown,
        Input::MasterDown,
        Input::RxZero,
        Input::RxLower,
        Input::RxEqualLess,
        Input::RxEqualSame,
        Input::RxEqualGreater,
        Input::RxHigher,
        Input::Resign,
        Input::GoOnBackup,
        Input::GoOnMaster,
    ];
}

/// The action beside the change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Act {
    /// No action beside the change of state, if there is one.
    Ignore,
    /// The own interval applies again; Master_Down_Timer := Master_Down_Interval.
    Listen,
    /// Advert, VIPs, GARP/NA, Adver_Timer.
    Claim,
    /// Master_Down_Timer := Skew_Time.
    Hurry,
    /// Learn the sender's interval (v3); Master_Down_Timer := Master_Down_Interval.
    Follow,
    /// Preempting: nothing, the timer keeps running. With `nopreempt` or a running `preempt_delay`: as [`Act::Follow`].
    PreemptOrFollow,
    /// Advert at once, with GARP/NA because hosts may have learned the other router's address; no advert with `lower_prio_no_advert`.
    Answer,
    /// Advert at once.
    Reassert,
    /// Log only: answering would never end (R-074).
    Complain,
    /// Cancel adverts, remove VIPs, learn, Master_Down_Timer := Master_Down_Interval. No priority 0.
    Yield,
    /// Cancel adverts, priority-0 advert, remove VIPs.
    Farewell,
    /// Cancel timers; nothing is sent.
    Quit,
    /// Cancel adverts, priority-0 advert, remove VIPs, Master_Down_Timer := Master_Down_Interval.
    Resign,
    /// The state of the previous process is taken over.
    GoOn,
    /// A member of a sync group can run: the group decides when it starts.
    Report,
    /// A member of a sync group may become Master: the group decides whether; Master_Down_Timer := Master_Down_Interval.
    Wish,
}

/// One cell of the table: what a state does with an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Step {
    /// The state afterwards.
    pub next: State,
    /// The action that goes with the change of state.
    pub act: Act,
    /// The section of RFC 9568, or our rule.
    pub rule: &'static str,
}

const fn s(next: State, act: Act, rule: &'static str) -> Step {
    Step { next, act, rule }
}

use Act::*;
use State::{Backup, Fault, Init, Master};

/// `TABLE[state][input]`, rows in the order of [`State::ALL`], columns in that of [`Input::ALL`].
#[rustfmt::skip]
pub const TABLE: [[Step; 14]; 4] = [
    // Initialize, §6.4.1
    [
        s(Backup, Listen,   "§6.4.1 (130)-(145)"),       // Start
        s(Master, Claim,    "§6.4.1 (105)-(120)"),       // StartOwner
        s(Fault,  Ignore,   "R-059"),                    // Fail
        s(Init,   Ignore,   "§6.4.1"),                   // Shutdown
        s(Init,   Ignore,   "no such timer"),            // MasterDown
        s(Init,   Ignore,   "R-055"),                    // RxZero
        s(Init,   Ignore,   "R-055"),                    // RxLower
        s(Init,   Ignore,   "R-055"),                    // RxEqualLess
        s(Init,   Ignore,   "R-055"),                    // RxEqualSame
        s(Init,   Ignore,   "R-055"),                    // RxEqualGreater
        s(Init,   Ignore,   "R-055"),                    // RxHigher
        s(Init,   Ignore,   "not Master"),               // Resign
        s(Backup, GoOn,     "R-079, resume"),            // GoOnBackup
        s(Master, GoOn,     "R-079, resume"),            // GoOnMaster
    ],
    // Backup, §6.4.2
    [
        s(Backup, Ignore,   "already started"),          // Start
        s(Backup, Ignore,   "already started"),          // StartOwner
        s(Fault,  Quit,     "R-078"),                    // Fail
        s(Init,   Quit,     "§6.4.2 (340), R-060"),      // Shutdown
        s(Master, Claim,    "§6.4.2 (365), R-061"),      // MasterDown
        s(Backup, Hurry,    "§6.4.2 (425), R-062"),      // RxZero
        s(Backup, PreemptOrFollow, "§6.4.2 (430), R-064, R-138"), // RxLower
        s(Backup, Follow,   "§6.4.2 (430), R-065"),      // RxEqualLess: a Backup never compares addresses
        s(Backup, Follow,   "§6.4.2 (430), R-065"),      // RxEqualSame
        s(Backup, Follow,   "§6.4.2 (430), R-065"),      // RxEqualGreater
        s(Backup, Follow,   "§6.4.2 (430), R-063"),      // RxHigher
        s(Backup, Ignore,   "not Master"),               // Resign
        s(Backup, Ignore,   "runs already"),             // GoOnBackup
        s(Backup, Ignore,   "runs already"),             // GoOnMaster
    ],
    // Master (Active), §6.4.3
    [
        s(Master, Ignore,   "already started"),          // Start
        s(Master, Ignore,   "already started"),          // StartOwner
        s(Fault,  Farewell, "R-078"),                    // Fail
        s(Init,   Farewell, "§6.4.3 (605), R-077"),      // Shutdown
        s(Master, Ignore,   "no such timer"),            // MasterDown
        s(Master, Reassert, "§6.4.3 (705), R-069"),      // RxZero
        s(Master, Answer,   "§6.4.3 (760), R-073"),      // RxLower
        s(Master, Answer,   "§6.4.3 (760), R-073"),      // RxEqualLess
        s(Master, Complain, "R-074"),                    // RxEqualSame
        s(Backup, Yield,    "§6.4.3 (725), R-071"),      // RxEqualGreater
        s(Backup, Yield,    "§6.4.3 (725), R-070, R-076"), // RxHigher
        s(Backup, Resign,   "R-080"),                    // Resign
        s(Master, Ignore,   "runs already"),             // GoOnBackup
        s(Master, Ignore,   "runs already"),             // GoOnMaster
    ],
    // Fault: Initialize with a reason, R-055, R-059
    [
        s(Backup, Listen,   "R-059, §6.4.1"),            // Start
        s(Master, Claim,    "R-057, §6.4.1"),            // StartOwner
        s(Fault,  Ignore,   "one more reason"),          // Fail
        s(Init,   Ignore,   "§6.4.1"),                   // Shutdown
        s(Fault,  Ignore,   "no such timer"),            // MasterDown
        s(Fault,  Ignore,   "R-055"),                    // RxZero
        s(Fault,  Ignore,   "R-055"),                    // RxLower
        s(Fault,  Ignore,   "R-055"),                    // RxEqualLess
        s(Fault,  Ignore,   "R-055"),                    // RxEqualSame
        s(Fault,  Ignore,   "R-055"),                    // RxEqualGreater
        s(Fault,  Ignore,   "R-055"),                    // RxHigher
        s(Fault,  Ignore,   "not Master"),               // Resign
        s(Fault,  Ignore,   "something is missing"),     // GoOnBackup
        s(Fault,  Ignore,   "something is missing"),     // GoOnMaster
    ],
];

/// The step of `state` for `input`.
pub fn step(state: State, input: Input) -> Step {
    TABLE[state as usize][input as usize]
}

/// The same for a member of a sync group. It leaves a state without consent: the others follow. To start, and to become Master, it needs
/// all of them (R-080): it reports that it can, and the group decides.
pub fn step_of_member(state: State, input: Input) -> Step {
    match (state, input) {
        (State::Init | State::Fault, Input::Start | Input::StartOwner) => s(state, Act::Report, "R-080"),
        (State::Backup, Input::MasterDown) => s(state, Act::Wish, "R-080"),
        _ => step(state, input),
    }
}
