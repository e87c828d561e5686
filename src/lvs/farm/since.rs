//! Since when virtual servers and real servers have their states, from one process to the next. Read first: `snapshot/`.

use super::{Farm, Virtual};
use crate::snapshot::SinceShot;
use crate::time::{Instant, Now, Wall};
use crate::wire::netlink::ipvs::DestinationKey;

/// Characters of a reason that is taken over from another process.
const LONGEST_WHY: usize = 300;

impl Farm {
    /// Since when virtual servers and real servers have their states, and why: at most so many records, those that are down first.
    pub fn shots_of_since(&self, most: usize) -> Vec<SinceShot> {
        if !self.since_before.is_empty() {
            // A configuration is not read yet: what the previous process knew.
            return self.since_before.iter().take(most).cloned().collect();
        }
        let at = |now: Now| (now.mono.0, now.wall.0);
        let of_virtual = |(id, vs): (&str, &Virtual)| SinceShot {
            of: id.into(),
            server: None,
            up: vs.pool.is_up(),
            at: at(vs.since),
            born: at(vs.born),
            why: Box::default(),
        };
        let virtuals = || self.by_id.iter().filter_map(|(id, vs)| Some((&**id, self.virtuals.get(*vs)?)));
        let servers = |up: bool| {
            virtuals().flat_map(move |(id, vs)| {
                vs.changed.iter().filter_map(move |(server, (since, why))| {
                    let s = vs.pool.servers().get(self.whose(*server)?.1).filter(|s| s.verdict.serves() == up)?;
                    let server = Some((s.key.addr, s.key.port));
                    Some(SinceShot { server, up, at: at(*since), why: why.clone(), ..of_virtual((id, vs)) })
                })
            })
        };
        virtuals().map(of_virtual).chain(servers(false)).chain(servers(true)).take(most).collect()
    }
    /// The same of the previous process: see [`Farm::resume_quorum`].
    pub fn inherit_since(&mut self, shots: Vec<SinceShot>) {
        self.since_before = shots;
    }
    // What has the state that it had in the previous process has it since then.
    pub(super) fn resume_since(&mut self) {
        let now = self.now;
        let time = |(mono, wall): (u64, u64)| Now { mono: Instant(mono).min(now.mono), wall: Wall(wall).min(now.wall) };
        for shot in core::mem::take(&mut self.since_before) {
            let Some(vs) = self.by_id.get(&shot.of).and_then(|of| self.virtuals.get_mut(*of)) else { continue };
            vs.born = time(shot.born);
            match shot.server {
                None if vs.pool.is_up() == shot.up => vs.since = time(shot.at),
                None => {}
                Some((addr, port)) => {
                    let place = vs.pool.place(&DestinationKey { addr, port });
                    let server = place.and_then(|place| vs.pool.servers().get(place).zip(vs.reals.get(place)));
                    if let Some((_, rs)) = server.filter(|(s, _)| s.verdict.serves() == shot.up) {
                        vs.changed.insert(*rs, (time(shot.at), shot.why.chars().take(LONGEST_WHY).collect()));
                    }
                }
            }
        }
    }
}
