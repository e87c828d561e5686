//! What is notified of virtual servers and their real servers, and when: quorums only while the kernel's table can be used. Read first:
//! `changes.rs`.

use super::{Farm, Happened, Told, Virtual};
use crate::id::VsKey;
use crate::lvs::text;
use crate::vrrp::change::Subject;
use crate::wire::netlink::ipvs::DestinationKey;
use std::collections::BTreeSet;

/// Whether the kernel's table can be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Usable {
    /// It was not asked yet.
    #[default]
    Unknown,
    /// There is none.
    No,
    /// It can be used: services and destinations take effect.
    Yes,
}

/// Quorums that are not notified yet. They are notified when the kernel's table can be used: before that no packet reaches a real server,
/// and a `quorum_up` script may announce a route.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Untold {
    pub(super) usable: Usable,
    // The same in the previous process: what it had was not told.
    pub(super) before: bool,
    // What happens now was told by the previous process.
    #[serde(default)]
    pub(super) quiet: bool,
    pub(super) of: BTreeSet<VsKey>,
}

impl Untold {
    // It is gained or lost. True: that is not to be told.
    pub(super) fn quorum(&mut self, vs: VsKey, up: bool) -> bool {
        if self.quiet && !self.before {
            return false;
        }
        if up && self.usable != Usable::Yes {
            self.of.insert(vs);
            return true;
        }
        !up && self.of.remove(&vs)
    }
}

impl Virtual {
    pub(super) fn told_server(&self, key: &DestinationKey, place: Option<usize>, up: bool, cause: &str) -> Happened {
        let extra = place.and_then(|place| self.extra.get(&place)).cloned().unwrap_or_default();
        let who = Subject::RealServer { server: self.destination_name(key), of: self.name.to_string() };
        let mailed = extra.smtp_alert;
        Happened::Told(Box::new(Told { who, up, scripts: extra.scripts, mailed, cause: cause.to_owned() }))
    }
    pub(super) fn told_quorum(&self, up: bool, cause: &str) -> Happened {
        let who = Subject::VirtualServer(self.name.to_string());
        let scripts = [self.cfg.quorum_up.clone(), self.cfg.quorum_down.clone()];
        Happened::Told(Box::new(Told { who, up, scripts, mailed: self.cfg.smtp_alert, cause: cause.to_owned() }))
    }
    // Notifications of a new one; of its servers only where the file asks for them (`rs_init_notifies`).
    pub(super) fn told_at_start(&self, servers_too: bool, quorum_too: bool) -> Vec<Happened> {
        let mut happened = Vec::new();
        if servers_too {
            let serving = self.pool.servers().iter().enumerate().filter(|(_, s)| s.verdict.serves());
            happened.extend(
                serving.map(|(place, s)| self.told_server(&s.key, Some(place), true, "it is in the configuration")),
            );
        }
        let (quorum, hysteresis) = self.pool.quorum();
        let sum = self.pool.sum();
        let note = if self.pool.is_up() {
            if !quorum_too {
                return happened;
            }
            text::quorum(true, quorum, hysteresis, sum, &self.name)
        } else if self.pool.is_sorry() {
            text::starts_down(quorum, hysteresis, sum, &self.name)
        } else {
            // Until the first result, nothing is known.
            return happened;
        };
        let cause = text::cause(&note);
        happened.push(Happened::Note(note));
        happened.push(self.told_quorum(self.pool.is_up(), &cause));
        happened
    }
    // Notifications of one that is removed.
    pub(super) fn told_at_end(&self, why: &str, quorum_too: bool) -> Vec<Happened> {
        let serving = self.pool.servers().iter().enumerate().filter(|(_, s)| s.verdict.serves());
        let mut happened: Vec<Happened> =
            serving.map(|(place, s)| self.told_server(&s.key, Some(place), false, why)).collect();
        if self.pool.is_up() && quorum_too {
            happened.push(self.told_quorum(false, why));
        }
        happened
    }
}

impl Farm {
    /// Whether the kernel's table can be used, from now on.
    pub fn set_usable(&mut self, usable: bool) {
        self.untold.usable = if usable { Usable::Yes } else { Usable::No };
        self.changes += 1;
    }
    /// What happens from now on was told by the previous process, or was not.
    pub fn set_quiet(&mut self, quiet: bool) {
        self.untold.quiet = quiet;
    }
    /// Whether the kernel's table can be used, as last set.
    pub fn usable(&self) -> Usable {
        self.untold.usable
    }
    /// The table of the previous process could not be used, and what it knew of quorums was not told.
    pub fn inherit_untold(&mut self) {
        self.untold.before = true;
    }
    /// The table cannot be used, or this is not known yet and the previous process could not use it.
    pub fn is_untold(&self) -> bool {
        match self.untold.usable {
            Usable::Yes => false,
            Usable::Unknown => self.untold.before,
            Usable::No => true,
        }
    }
    /// Whether quorums wait to be told.
    pub fn has_untold(&self) -> bool {
        self.untold.usable == Usable::Yes && !self.untold.of.is_empty()
    }
    /// The table can be used: the quorums that were gained before are told, at most so many of them.
    pub fn tell(&mut self, most: usize) -> Vec<Happened> {
        let mut happened = Vec::new();
        if self.untold.usable != Usable::Yes {
            return happened;
        }
        for _ in 0..most {
            let Some(of) = self.untold.of.pop_first() else { break };
            if let Some(vs) = self.virtuals.get_mut(of).filter(|vs| vs.pool.is_up()) {
                vs.since = self.now;
                happened.extend(vs.told_at_start(false, true));
            }
        }
        happened
    }
}
