//! `slow_start`: the weight of a real server that comes back grows from 1. And `track_virtual_server`: the quorums that virtual routers follow.
//!
//! Read first: `farm.rs`. The weight is a share of the server's own, worked out anew from the time that has passed; the quorum counts all of
//! it. Since when a server is back is left to the next process.

use super::farm::Farm;
use super::farm::Usable;
use super::pool::{Change, Verdict};
use super::shape::{id_of, track_prefix};
use super::table::Table;
use crate::id::{RsKey, VsKey};
use crate::snapshot::RampShot;
use crate::time::{Duration, Instant};
use crate::wire::netlink::ipvs::DestinationKey;
use core::ops::Bound;

/// A weight that grows (`slow_start`) is worked out anew so often until it is reached, and no more often than this.
const RAMP_STEPS: u32 = 20;
const RAMP_LEAST: Duration = Duration::from_millis(100);
/// Weights that grow in one turn: each is a request to the kernel.
const RAMPS: usize = 64;

impl Farm {
    // It is back since then: its weight grows from 1. What that changes in the table now.
    pub(super) fn begin_ramp(&mut self, server: RsKey, since: Instant) -> Vec<Change> {
        // It is down: it has no weight in the table yet.
        let _ = self.end_ramp(server);
        self.ramps.insert(server, (since, since));
        self.ramp(server)
    }
    // Its weight is the whole one from now on. What that changes in the table: a server that is down may stay there (`panic_threshold`).
    pub(super) fn end_ramp(&mut self, server: RsKey) -> Vec<Change> {
        if let Some((_, at)) = self.ramps.remove(&server) {
            self.ramp_at.remove(&(at, server));
        }
        if let Some((of, place)) = self.whose(server)
            && let Some(vs) = self.virtuals.get_mut(of)
        {
            return vs.pool.on_share(place, None);
        }
        Vec::new()
    }
    // Its share of its weight by now; all of it when the time is over.
    fn ramp(&mut self, server: RsKey) -> Vec<Change> {
        let now = self.now.mono;
        let Some((since, _)) = self.ramps.get(&server).copied() else { return Vec::new() };
        let of = self.whose(server);
        let Some((vs, place)) = of.and_then(|(of, place)| Some((self.virtuals.get_mut(of)?, place))) else {
            self.ramps.remove(&server);
            return Vec::new();
        };
        let (span, passed) = (vs.cfg.slow_start, now.since(since));
        if passed >= span {
            self.ramps.remove(&server);
            return vs.pool.on_share(place, None);
        }
        let share = u16::try_from(passed.as_nanos() * 1000 / span.as_nanos().max(1)).unwrap_or(1000);
        let next = now + (span / RAMP_STEPS).max(RAMP_LEAST);
        self.ramps.insert(server, (since, next));
        self.ramp_at.insert((next, server));
        vs.pool.on_share(place, Some(share))
    }
    /// When [`Farm::on_ramps`] has something to do.
    pub fn next_ramp(&self) -> Option<Instant> {
        self.ramp_at.first().map(|(at, _)| *at)
    }
    /// Those whose weight is to grow now, some in each turn.
    pub fn on_ramps(&mut self, table: &mut Table) {
        for _ in 0..RAMPS {
            let Some((at, server)) = self.ramp_at.first().copied().filter(|(at, _)| *at <= self.now.mono) else {
                return;
            };
            self.ramp_at.remove(&(at, server));
            let changes = self.ramp(server);
            if let Some((of, _)) = self.whose(server) {
                // Only weights change, which are not notified.
                let _ = self.apply(of, changes, "", table);
            }
        }
    }
    /// Real servers whose weight grows, at most so many: for the next process.
    pub fn ramps(&self, most: usize) -> Vec<RampShot> {
        let shot = |(server, (since, _)): (&RsKey, &(Instant, Instant))| {
            let (of, place) = self.whose(*server)?;
            let vs = self.virtuals.get(of)?;
            let key = vs.pool.servers().get(place)?.key;
            Some(RampShot { of: id_of(&vs.cfg), addr: key.addr, port: key.port, since: since.0 })
        };
        // Before a configuration is read: those of the previous process.
        self.ramps.iter().filter_map(shot).chain(self.ramps_before.iter().cloned()).take(most).collect()
    }
    /// These grew in the process before. Before a configuration is read.
    pub fn resume_ramps(&mut self, ramps: Vec<RampShot>) {
        self.ramps_before = ramps;
    }
    // Those of a virtual server that came just now.
    pub(super) fn resume_ramps_of(&mut self, of: VsKey) {
        if self.ramps_before.is_empty() {
            return;
        }
        let Some(vs) = self.virtuals.get(of) else { return };
        let id = id_of(&vs.cfg);
        let (own, others) = core::mem::take(&mut self.ramps_before).into_iter().partition(|r| r.of == id);
        self.ramps_before = others;
        let own: Vec<RampShot> = own;
        let server = |r: &RampShot| {
            let place = vs.pool.place(&DestinationKey { addr: r.addr, port: r.port })?;
            Some((*vs.reals.get(place)?, Instant(r.since).min(self.now.mono)))
        };
        for (server, since) in own.iter().filter_map(server).collect::<Vec<_>>() {
            // Before anything is asked of the kernel.
            self.begin_ramp(server, since);
        }
    }

    /// A number that changes whenever [`Farm::quorum`] may.
    pub fn changes(&self) -> u64 {
        self.changes
    }
    /// Whether the virtual servers of this name (`VirtualServer::track_name`) have their quorum; `None`: there is none, or one waits for
    /// the first results of its checks or for the kernel's table. Without that there is no quorum.
    pub fn quorum(&self, name: &str) -> Option<bool> {
        match self.usable() {
            Usable::Yes => {}
            Usable::Unknown => return None,
            Usable::No => return self.has(name).then_some(false),
        }
        let mut up = None;
        for vs in self.tracked_as(name) {
            let pool = &self.virtuals.get(vs)?.pool;
            if !pool.is_up() && pool.servers().iter().any(|s| s.verdict == Verdict::Awaited) {
                return None;
            }
            up = Some(up.unwrap_or(true) && pool.is_up());
        }
        up
    }
    /// Whether there is one of this name.
    pub fn has(&self, name: &str) -> bool {
        self.tracked_as(name).next().is_some()
    }
    fn tracked_as(&self, name: &str) -> impl Iterator<Item = VsKey> {
        let prefix = track_prefix(name);
        let all = self.by_id.range::<str, _>((Bound::Included(&*prefix), Bound::Unbounded));
        let whole = !prefix.ends_with(' ');
        let own: Vec<VsKey> = all
            .take_while(|(id, _)| id.starts_with(&*prefix))
            .filter(|(id, _)| !whole || id.len() == prefix.len())
            .map(|(_, vs)| *vs)
            .collect();
        own.into_iter()
    }
}
