//! What follows from a change of one virtual server: requests to the table, lines of the log, notifications. Read first: `pool.rs`.

use super::{Farm, Happened, Virtual};
use crate::id::{SvcKey, VsKey};
use crate::lvs::pool::Change;
use crate::lvs::shape::in_service;
use crate::lvs::table::Table;
use crate::lvs::text;
use crate::wire::netlink::ipvs::DestinationKey;

impl Farm {
    // Passes the changes of a pool to the table, the log and the notifications.
    pub(in crate::lvs) fn apply(
        &mut self,
        of: VsKey,
        changes: Vec<Change>,
        why: &str,
        table: &mut Table,
    ) -> Vec<Happened> {
        let now = self.now;
        self.changes += u64::from(!changes.is_empty());
        let Some(vs) = self.virtuals.get_mut(of) else { return Vec::new() };
        for change in &changes {
            match change {
                Change::Server(place, ..) => {
                    if let Some(rs) = vs.reals.get(*place) {
                        vs.changed.insert(*rs, (now, why.into()));
                    }
                }
                Change::Quorum(..) => vs.since = now,
                Change::Want(..) | Change::Unwant(_) | Change::Panic(..) => {}
            }
        }
        let (vs, untold) = (&*vs, &mut self.untold);
        let mut happened = Vec::new();
        for change in changes {
            match change {
                Change::Want(key, d) => vs.each(key, table, |table, svc, key| table.change(svc, of, key, Some(d))),
                Change::Unwant(key) => vs.each(key, table, |table, svc, key| table.change(svc, of, key, None)),
                Change::Server(place, up, moves) => {
                    let Some(server) = vs.pool.servers().get(place) else { continue };
                    let name = vs.destination_name(&server.key);
                    if moves {
                        happened.push(Happened::Note(text::server(up, server.inhibit, &name, &vs.name)));
                    }
                    happened.push(vs.told_server(&server.key, Some(place), up, why));
                }
                Change::Panic(is, serving, all) => {
                    happened.push(Happened::Note(text::panic(is, serving, all, vs.cfg.panic_threshold, &vs.name)));
                }
                Change::Quorum(up, _) if untold.quorum(of, up) => {}
                Change::Quorum(up, sum) => {
                    let (quorum, hysteresis) = vs.pool.quorum();
                    let note = text::quorum(up, quorum, hysteresis, sum, &vs.name);
                    let cause = text::cause(&note);
                    happened.push(Happened::Note(note));
                    if let Some(sorry) = vs.pool.sorry() {
                        let name = vs.destination_name(&sorry.key);
                        happened.push(Happened::Note(text::sorry(!up, sorry.inhibit, &name, &vs.name)));
                        happened.push(Happened::Note(text::alive(up, &vs.name)));
                    }
                    happened.push(vs.told_quorum(up, &cause));
                }
            }
        }
        happened
    }
}

impl Virtual {
    fn each(&self, key: DestinationKey, table: &mut Table, mut act: impl FnMut(&mut Table, SvcKey, DestinationKey)) {
        let forward = self.forward(&key);
        for svc in &self.services {
            if let Some(key) = table.service(*svc).and_then(|service| in_service(&service, key, forward)) {
                act(table, *svc, key);
            }
        }
    }
}
