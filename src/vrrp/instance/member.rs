//! A member of a sync group: what it says about itself, and what the group has it do.
//!
//! Read first: `vrrp/group.rs`. A member decides nothing that concerns the others: it says that it can start, or that it may become
//! Master, and waits. What it leaves by itself (a better Master, a fault) the others leave in the same turn.

use super::{Cause, Cx, Instance};
use crate::time::Duration;
use crate::timers::Due;
use crate::vrrp::fsm::{self, Input, State};
use crate::vrrp::group::{Order, Standing};
use std::sync::Arc;

/// Its part in a group.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Member {
    group: Arc<str>,
    // Looked at, and nothing of its own is missing. Counts while it does not run.
    ready: bool,
    // Master_Down_Timer ran out since it heard a Master.
    willing: bool,
    // It came while the others were Master, and follows nobody.
    joining: bool,
}

impl Member {
    fn new(group: Arc<str>) -> Member {
        Member { group, ready: false, willing: false, joining: false }
    }
    /// The same part for another virtual router under its key.
    pub(super) fn renewed(self) -> Member {
        Member::new(self.group)
    }
}

impl Instance {
    /// Its sync group.
    pub fn group(&self) -> Option<&str> {
        self.member.as_ref().map(|m| &*m.group)
    }

    /// Where it stands, for its group; `None`: it is in none.
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

    /// From now on it is a member. One that runs goes on as it is until the group decides otherwise.
    pub fn enter_group(&mut self, group: Arc<str>) {
        let joining = self.state == State::Backup && self.master.is_none();
        self.member = Some(Member { joining, ..Member::new(group) });
    }

    /// It stands for itself again. The caller evaluates: it may be able to run.
    pub fn leave_group(&mut self) {
        self.member = None;
    }

    /// What the group decided; `why`: for people.
    pub fn commit(&mut self, order: Order, why: &str, owners: bool, cx: &mut Cx<'_>) {
        let input = match order {
            Order::Fault => Input::Fail,
            // All of them own their addresses: nobody waits.
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

    /// So much longer until it may become Master: see [`patience`](crate::vrrp::group::patience).
    pub fn wait_longer(&mut self, more: Duration, cx: &mut Cx<'_>) {
        if let Some(at) = cx.timers.get(Due::MasterDown(self.key)) {
            cx.timers.set(Due::MasterDown(self.key), at + more);
        }
    }

    /// In a dispute: whether its address is the lower one, and the interval that it waits by.
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

    /// Whether it is in FAULT for the sake of others.
    pub fn is_held(&self) -> bool {
        self.state == State::Fault && self.faults.is_empty() && self.member.is_some()
    }
    pub(super) fn is_willing(&self) -> bool {
        self.member.as_ref().is_some_and(|m| m.willing)
    }
    /// As it was in the process before.
    pub(super) fn resume_willing(&mut self, willing: bool) {
        if let Some(m) = &mut self.member {
            m.willing = willing;
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
    /// A Master was heard that it follows, or it became Master.
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
