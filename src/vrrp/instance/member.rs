//! A member of a sync group: its reports to the group, and the group's orders.
//!
//! Read first: `vrrp/group.rs`. A member decides nothing that concerns the others: it reports that it can start, or that it may become
//! Master, and waits. When a member leaves a state by itself (a better Master, a fault), the others leave it in the same turn.

use super::{Cause, Cx, Instance};
use crate::time::Duration;
use crate::timers::Due;
use crate::vrrp::fsm::{self, Input, State};
use crate::vrrp::group::{Order, Standing};
use std::sync::Arc;

/// The membership of a virtual router.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Member {
    group: Arc<str>,
    // Evaluated, and nothing of its own is missing. Used while it does not run.
    ready: bool,
    // Master_Down_Timer ran out since the last advert of a Master.
    willing: bool,
    // The member was added while the others were Master, and follows no Master.
    joining: bool,
}

impl Member {
    fn new(group: Arc<str>) -> Member {
        Member { group, ready: false, willing: false, joining: false }
    }
    /// The same membership for another virtual router under its key.
    pub(super) fn renewed(self) -> Member {
        Member::new(self.group)
    }
}

impl Instance {
    /// Name of its sync group; `None`: it is in none.
    pub fn group(&self) -> Option<&str> {
        self.member.as_ref().map(|m| &*m.group)
    }

    /// Its standing in its group; `None`: it is in no group.
    pub fn standing(&self) -> Option<Standing> {
        let m = self.member.as_ref()?;
        Some(match self.state {
            _ if !self.faults.is_empty() => Standing::Faulty,
            State::Init | State::Fault if !m.ready => Standing::Absent,
            State::Init => Standing::Ready,
            State::Fault => Standing::Held,
            State::Backup if m.joining => Standing::Joining { willing: m.willing },
            State::Backup => Standing::Backup { willing: m.willing },
            State::Master => Standing::Master,
        })
    }

    /// From now on it is a member. A running router stays in its state until the group decides otherwise.
    pub fn enter_group(&mut self, group: Arc<str>) {
        let joining = self.state == State::Backup && self.master.is_none();
        self.member = Some(Member { joining, ..Member::new(group) });
    }

    /// From now on it is in no group. The caller evaluates: it may be able to run.
    pub fn leave_group(&mut self) {
        self.member = None;
    }

    /// Executes the group's decision; `why`: the cause as text.
    pub fn commit(&mut self, order: Order, why: &str, owners: bool, cx: &mut Cx<'_>) {
        let input = match order {
            Order::Fault => Input::Fail,
            // All members own their addresses: none waits.
            Order::Start if owners => Input::StartOwner,
            Order::Start | Order::StartJoining => Input::Start,
            Order::Claim => Input::MasterDown,
            Order::Resign => Input::Resign,
            Order::Settle => return self.follows_group(),
        };
        let cause = match order {
            Order::Claim => Cause::Silence,
            Order::Start | Order::StartJoining if self.state == State::Init => Cause::None,
            _ => Cause::Text(why.to_owned()),
        };
        if let Some(m) = &mut self.member {
            m.ready = order == Order::Fault;
            m.willing = false;
            m.joining = order == Order::StartJoining;
        }
        self.go(fsm::step(self.state, input), cause, None, cx);
    }

    /// Extends the time until it may become Master: see [`patience`](crate::vrrp::group::patience).
    pub fn wait_longer(&mut self, more: Duration, cx: &mut Cx<'_>) {
        if let Some(at) = cx.timers.get(Due::MasterDown(self.key)) {
            cx.timers.set(Due::MasterDown(self.key), at + more);
        }
    }

    /// In a dispute: whether its address is the lower one, and the interval that its wait is counted in.
    pub fn rival(&self) -> (bool, Duration) {
        (self.source < self.master, self.master_interval)
    }

    /// Why it is in FAULT.
    pub(super) fn why_fault(&self) -> String {
        match (&self.member, self.faults.is_empty()) {
            (Some(m), true) => format!("another member of vrrp_sync_group {} cannot run", m.group),
            _ => self.fault_list(),
        }
    }

    /// Whether it is in FAULT because of other members.
    pub fn is_held(&self) -> bool {
        self.state == State::Fault && self.faults.is_empty() && self.member.is_some()
    }
    pub(super) fn is_willing(&self) -> bool {
        self.member.as_ref().is_some_and(|m| m.willing)
    }
    /// Restores the values of the previous process.
    pub(super) fn resume_member(&mut self, willing: bool, joining: bool) {
        if let Some(m) = &mut self.member {
            (m.willing, m.joining) = (willing, joining);
        }
    }
    pub(super) fn joins(&self) -> bool {
        self.member.as_ref().is_some_and(|m| m.joining)
    }
    pub(super) fn set_ready(&mut self, ready: bool) {
        if let Some(m) = &mut self.member {
            m.ready = ready;
        }
    }
    /// An advert of a Master that it follows was received, or it became Master.
    pub(super) fn follows(&mut self) {
        if let Some(m) = &mut self.member {
            (m.willing, m.joining) = (false, false);
        }
    }
    fn follows_group(&mut self) {
        if let Some(m) = &mut self.member {
            m.joining = false;
        }
    }
    pub(super) fn wish(&mut self, cx: &mut Cx<'_>) {
        if let Some(m) = &mut self.member {
            m.willing = true;
        }
        self.arm_master_down(cx);
    }
    pub(super) fn forget_faults(&mut self) {
        self.faults.clear();
        if let Some(m) = &mut self.member {
            *m = Member::new(m.group.clone());
        }
    }
}
