//! The sessions in a report. Read first: `mod.rs`, `report/bfd.rs`.

use super::{Bfd, Discard, One, Sock};
use crate::report::{BfdSession, Moment, seconds};
use crate::time::Now;
use crate::wire::bfd::diag;
use crate::words::errno;
use std::collections::BTreeMap;

impl Bfd {
    /// Some sessions by name, without the first ones.
    pub fn report_from(&self, from: usize, now: Now) -> impl Iterator<Item = BfdSession> + '_ {
        let of = self.by_name.values().skip(from).filter_map(|key| self.all.get(*key));
        of.map(move |one| self.report(one, now))
    }

    fn report(&self, one: &One, now: Now) -> BfdSession {
        let (s, r) = (&one.session, one.session.remote());
        let receives = self.ports.get(&one.port()).copied().unwrap_or_default();
        let error = [one.sock, receives].into_iter().find_map(|s| match s {
            Sock::Failed(e) => Some(errno(e)),
            Sock::Closed | Sock::Opening | Sock::Ready => None,
        });
        BfdSession {
            name: one.cfg.name.to_string(),
            neighbor: one.peer.to_string(),
            source: one.cfg.source_ip.map(|a| a.to_string()),
            multihop: one.cfg.multihop,
            up: one.up,
            state: s.state().word().to_owned(),
            since: Moment::of(one.since, now),
            local_diagnostic: diag::word(s.diag()).to_owned(),
            remote_state: (r.discr != 0).then(|| r.state.word().to_owned()),
            remote_diagnostic: (r.discr != 0).then(|| diag::word(r.diag).to_owned()),
            local_discriminator: s.discr(),
            remote_discriminator: r.discr,
            transmit_interval_seconds: s.interval().map(seconds),
            detection_time_seconds: (r.discr != 0).then(|| seconds(s.detection_time())),
            packets_sent: one.sent,
            packets_not_sent: one.not_sent,
            packets_received: one.received,
            times_up: one.ups,
            times_lost: one.downs,
            error,
        }
    }

    /// Packets discarded, by reason.
    pub fn discards(&self) -> BTreeMap<String, u64> {
        Discard::all().map(|d| (d.name().to_owned(), self.discarded[d.place()])).collect()
    }

    /// Sets all counters to zero.
    pub fn clear_counters(&mut self) {
        self.discarded = [0; Discard::COUNT];
        for key in self.all.keys() {
            if let Some(one) = self.all.get_mut(key) {
                (one.sent, one.not_sent, one.received, one.ups, one.downs) = (0, 0, 0, 0, 0);
            }
        }
    }
}
