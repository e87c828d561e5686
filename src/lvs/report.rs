//! The part of the report (`src/report/`) about virtual servers.
//!
//! Read first: `farm.rs`.

use super::check::{CheckView, Checks};
use super::director::Director;
use super::farm::Usable;
use super::pool::Verdict;
use crate::id::VsKey;
use crate::report::{HealthCheck, Moment, RealServer, ServerState, VirtualServer, seconds};
use crate::time::{Instant, Now, Wall, nanos};

fn count(n: i64) -> u64 {
    u64::try_from(n.max(0)).unwrap_or(0)
}

fn check(c: &CheckView<'_>, now: Now) -> HealthCheck {
    // A time of the monotonic clock as a time of the wall clock as that is set now.
    let wall = |at: Instant| Wall(now.wall.0.saturating_sub(nanos(now.mono.since(at))));
    let since = c.up.map(|_| Moment::of(Now { mono: c.since, wall: wall(c.since) }, now));
    HealthCheck {
        kind: c.kind.to_owned(),
        up: c.up,
        since,
        last_age_seconds: c.ended.map(|at| seconds(now.mono.since(at))),
        result: c.words.to_owned(),
        failures: u64::from(c.failures),
    }
}

impl Director {
    /// One of them, without its real servers.
    pub fn report(&self, key: VsKey, now: Now) -> Option<VirtualServer> {
        let vs = self.farm().get(key)?;
        let (quorum, hysteresis) = vs.pool.quorum();
        // Nothing is served without the table.
        let usable = self.farm().usable() != Usable::No;
        let (sum, up) = (vs.pool.sum(), vs.pool.is_up() && usable);
        let held = vs.services.iter().filter(|svc| self.table().is_held(**svc)).count();
        let reason = match up {
            true => String::new(),
            false if !usable => "the kernel's IPVS table cannot be used".to_owned(),
            false => format!("weight {sum} of {} that it needs", vs.pool.threshold()),
        };
        Some(VirtualServer {
            name: vs.name.to_string(),
            scheduler: vs.cfg.scheduler.word().to_owned(),
            up,
            since: Moment::of(vs.since, now),
            reason,
            weight: count(sum),
            quorum: count(quorum),
            hysteresis: count(hysteresis),
            sorry_server: vs.pool.sorry().map(|s| vs.destination_name(&s.key)),
            sorry_active: vs.pool.is_sorry(),
            suspended: vs.is_suspended(),
            fwmark: self.farm().mark(key),
            services: vs.services.len() as u64,
            services_held: held as u64,
            real_servers: Vec::new(),
        })
    }

    /// Real servers of it, from this place on.
    pub fn report_servers(&self, checks: &Checks, key: VsKey, from: usize, most: usize, now: Now) -> Vec<RealServer> {
        let Some(vs) = self.farm().get(key) else { return Vec::new() };
        let all = vs.pool.servers().iter().zip(&vs.reals).skip(from).take(most);
        all.map(|(s, rs)| {
            let (since, reason) = vs.changed(*rs);
            RealServer {
                name: vs.destination_name(&s.key),
                state: match s.verdict {
                    Verdict::Unchecked => ServerState::Unchecked,
                    Verdict::Awaited => ServerState::Awaited,
                    Verdict::Up => ServerState::Up,
                    Verdict::Down => ServerState::Down,
                },
                since: Moment::of(since, now),
                reason: reason.to_owned(),
                weight: count(s.weight),
                inhibit_on_failure: s.inhibit,
                checks: checks.views(*rs).into_iter().map(|(_, c)| check(&c, now)).collect(),
            }
        })
        .collect()
    }
}
