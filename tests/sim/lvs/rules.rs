//! The rules: V-1 to V-5 and V-7 of virtual servers in `docs/invariants.md`.
//!
//! Read first: `play.rs`.

use super::draw::{Drawn, Kind};
use super::play::{LOOK, Sim, other, ours};
use super::servers::Answer;
use core::time::Duration;
use kalived::wire::netlink::ipvs::DestinationKey;
use std::net::IpAddr;

/// A verdict is in the snapshot after so long.
const WRITTEN: Duration = Duration::from_secs(2);

/// A state of quorum, as far as it follows from the servers alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quorum {
    Up,
    Down,
    /// Within the hysteresis: it is what it was.
    Either,
}

impl Sim {
    // How long a server may have a weight that does not answer.
    fn within(&self) -> Duration {
        let disturbs = |k: &Kind| matches!(k, Kind::Loss | Kind::Meddle);
        let slack = if self.drawn.faults.iter().any(disturbs) { LOOK } else { Duration::from_secs(1) };
        self.drawn.down_within() + slack
    }

    // Before another process goes on: which servers this one has found to be down, and has written so.
    pub(super) fn know_down(&mut self) {
        let long = self.within() + WRITTEN;
        for server in 0..self.drawn.servers {
            let (answer, since) = self.answers[server];
            let known = self.now.since(since.max(self.disturbed)) > long && !self.lossy;
            if answer != Answer::Right && known && self.listed().iter().any(|(_, s, _)| *s == server) {
                self.known_down.insert(server);
            }
        }
    }

    // V-1: a server that has not answered for longer than its check takes has no weight. V-7: one of which this is known gets none because
    // the process dies.
    pub(super) fn look(&mut self) {
        let within = self.within();
        for (n, server, _) in self.listed() {
            let (answer, since) = self.answers[server];
            let long = self.now.since(since.max(self.disturbed)) > within;
            if self.known_down.contains(&server) && self.weight(n, Drawn::server(server)) > 0 {
                self.violate(format!("V-7: server {server} was known to be down and has a weight in service {n}"));
            }
            if answer != Answer::Right && long && self.weight(n, Drawn::server(server)) > 0 {
                self.violate(format!("V-1: server {server} does not answer and has a weight in service {n}"));
            }
        }
    }

    // Service, server and weight of each line of the file.
    fn listed(&self) -> Vec<(usize, usize, i32)> {
        let mut out = Vec::new();
        for (n, (service, weights)) in self.drawn.services.iter().zip(&self.file.0).enumerate() {
            let reals = service.reals.iter().zip(weights.iter().flatten());
            out.extend(reals.filter_map(|((server, _), weight)| Some((n, *server, (*weight)?))));
        }
        out
    }

    // 0: it has none, or is not in the table.
    fn weight(&self, n: usize, addr: IpAddr) -> i64 {
        let all = self.table.get(&ours(n)).map(|(_, all)| all);
        all.and_then(|all| all.get(&DestinationKey { addr, port: 80 })).map_or(0, |d| i64::from(d.weight))
    }

    // V-4: hooks of one virtual server alternate.
    pub(super) fn hook(&mut self, n: usize, word: &str) {
        self.say(format!("hook of service {n}: {word}"));
        if self.hooks.insert(n, word.to_owned()).as_deref() == Some(word) {
            self.violate(format!("V-4: the hook of service {n} is run with {word} twice in a row"));
        }
    }

    // V-5: entries of another program do not change.
    pub(super) fn others(&mut self) {
        if self.table.get(&other()).is_none_or(|(_, all)| all.len() != 1) {
            self.violate("V-5: an entry of another program was changed".into());
        }
    }

    // V-2, V-3, V-4: long after the last fault the table and the hooks follow from the file and the servers.
    pub(super) fn calm(&mut self) {
        let listed = self.listed();
        for (n, service) in self.drawn.services.clone().into_iter().enumerate() {
            let answers = |server: usize| self.answers[server].0 == Answer::Right;
            let of = || listed.iter().filter(|(of, ..)| *of == n);
            let sum: u32 = of().filter(|(_, s, _)| answers(*s)).map(|(_, _, w)| *w as u32).sum();
            let quorum = match sum {
                sum if sum >= service.quorum + service.hysteresis => Quorum::Up,
                sum if sum < service.quorum - service.hysteresis => Quorum::Down,
                _ => Quorum::Either,
            };
            let sorry = self.weight(n, Drawn::sorry(n)) > 0;
            let mut wrong = Vec::new();
            if (sorry && (quorum == Quorum::Up || !service.sorry))
                || (!sorry && quorum == Quorum::Down && service.sorry)
            {
                wrong.push(format!("V-3: service {n} with quorum {quorum:?}: sorry server {sorry}"));
            }
            for (_, server, weight) in of() {
                let want = if answers(*server) && !sorry { i64::from(*weight) } else { 0 };
                let is = self.weight(n, Drawn::server(*server));
                if is != want {
                    wrong.push(format!("V-2: server {server} of service {n} has weight {is} and not {want}"));
                }
            }
            let word = match quorum {
                Quorum::Up => "up",
                Quorum::Down => "down",
                Quorum::Either => continue,
            };
            if let Some(told) = self.hooks.get(&n).filter(|told| *told != word) {
                wrong.push(format!("V-4: service {n}: the last hook was {told}, and quorum is {word}"));
            }
            wrong.into_iter().for_each(|w| self.violate(w));
        }
    }

    // V-5: after a stop no entry of kalived is left.
    pub(super) fn gone(&mut self, ended: bool) {
        if !ended {
            self.violate("V-5: it did not end".into());
        }
        if self.table.keys().ne([&other()]) {
            let left: Vec<_> = self.table.keys().copied().collect();
            self.violate(format!("V-5: after the stop there is {left:?}"));
        }
    }
}
