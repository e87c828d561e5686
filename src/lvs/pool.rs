//! One virtual server: its real servers, the quorum, the sorry server, and the destinations that follow from them.
//!
//! Verdicts and weights are the input ([`Pool::on_result`]); the output is a list of changes, in the order in which they are to
//! be made and reported. The wanted destinations are worked out anew from verdicts and weights each time ([`Pool::wanted`]), never by a
//! change to the previous ones, so a lost or repeated verdict has no lasting effect.
//!
//! With a panic threshold, servers that fail stay in the table when too few others serve: when a check fails for nearly all servers, the
//! check is probably at fault. They do not count for the quorum.
//!
//! The quorum is gained when the weights of the servers that are up reach `quorum + hysteresis`, and lost when they fall below
//! `quorum - hysteresis`. Without it the sorry server, where there is one, takes the place of all others. A swap adds
//! before it removes, so the service is never empty for a moment.

use crate::wire::netlink::ipvs::{Destination, DestinationKey, Forward};
use core::net::IpAddr;
use std::collections::BTreeMap;

/// What is known of a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Verdict {
    /// No check has ended yet; it takes part.
    Unchecked,
    /// No check has ended yet; it does not take part (`alpha`).
    Awaited,
    /// All its checks succeed; it takes part.
    Up,
    /// A check fails.
    Down,
}

impl Verdict {
    /// Whether the server takes connections.
    pub fn serves(self) -> bool {
        matches!(self, Verdict::Unchecked | Verdict::Up)
    }
}

/// A real server of the pool.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Server {
    /// Address and port, by which the kernel distinguishes destinations of a service.
    pub key: DestinationKey,
    /// Forwarding and connection limits; the weight in it is not used.
    pub shape: Destination,
    /// Weight now: what is configured and what its checks add, worked out by the caller. Negative counts as 0.
    pub weight: i64,
    /// `inhibit_on_failure`: a server that is down stays in the table with weight 0.
    pub inhibit: bool,
    /// What is known of it.
    pub verdict: Verdict,
}

/// The server that takes the place of all others without a quorum.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sorry {
    /// Its address and port.
    pub key: DestinationKey,
    /// How packets are forwarded to it.
    pub forward: Forward,
    /// `sorry_server_inhibit`: it stays in the table with weight 0 while it is not needed.
    pub inhibit: bool,
}

/// Weight of a sorry server that is in charge.
const SORRY_WEIGHT: u32 = 1;
/// The kernel's schedulers count with 16 bits.
const LARGEST_WEIGHT: u32 = 65_535;

/// A change that follows from an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The table has to have this destination with these values.
    Want(DestinationKey, Destination),
    /// The table must not have it.
    Unwant(DestinationKey),
    /// A server (its place in the file) serves or does not from now on: hooks, FIFO, mail; and whether it therefore comes into the pool or
    /// leaves it: one that `panic_threshold` keeps, or that never was there (`alpha`), does not.
    Server(usize, bool, bool),
    /// The quorum was gained or lost; sum of the weights.
    Quorum(bool, i64),
    /// Too few serve from now on, or enough again: so many of so many.
    Panic(bool, usize, usize),
}

/// The real servers of one virtual server with their verdicts, its quorum and its sorry server.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Pool {
    servers: Vec<Server>,
    // Places in `servers`, by key; of equal keys the last.
    index: Box<[u32]>,
    sorry: Option<Sorry>,
    quorum: i64,
    hysteresis: i64,
    up: bool,
    // `panic_threshold` in percent; 0: none.
    #[serde(default)]
    panic: u8,
    // The panic threshold applies: servers that fail stay in the table.
    #[serde(default)]
    panics: bool,
    // For servers in `slow_start` the thousandths of their weight that they have in the table; the quorum counts the whole weight.
    #[serde(default)]
    shares: BTreeMap<DestinationKey, u16>,
}

impl Pool {
    /// A pool whose quorum is decided by the verdicts that its servers have. `quorum`: at least 1; `hysteresis`: below `quorum`, else it
    /// counts as `quorum - 1`, so that the last server can always be lost.
    pub fn new(servers: Vec<Server>, sorry: Option<Sorry>, quorum: u32, hysteresis: u32) -> Pool {
        let index = index_of(&servers);
        let mut pool = Pool {
            servers,
            index,
            sorry,
            quorum: 1,
            hysteresis: 0,
            up: false,
            panic: 0,
            panics: false,
            shares: BTreeMap::new(),
        };
        pool.set_quorum(quorum, hysteresis);
        // It is gained at a start as later.
        pool.up = pool.sum() >= pool.threshold();
        pool
    }

    /// While fewer than this percentage of its servers serve, those that fail stay in the table too. 0: never.
    pub fn set_panic(&mut self, percent: u8) {
        self.panic = percent.min(100);
        self.panics = self.is_below();
    }
    /// Servers that serve, and all.
    fn serving(&self) -> (usize, usize) {
        (self.servers.iter().filter(|s| s.verdict.serves()).count(), self.servers.len())
    }
    fn is_below(&self) -> bool {
        let (serving, all) = self.serving();
        self.panic > 0 && serving * 100 < usize::from(self.panic) * all
    }

    fn set_quorum(&mut self, quorum: u32, hysteresis: u32) {
        self.quorum = i64::from(quorum.max(1));
        self.hysteresis = i64::from(hysteresis).min(self.quorum - 1);
    }

    /// Weights of the servers that take connections.
    pub fn sum(&self) -> i64 {
        self.servers.iter().filter(|s| s.verdict.serves()).map(|s| s.weight.max(0)).sum()
    }

    /// Whether there is a quorum.
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// Quorum and hysteresis, as they count.
    pub fn quorum(&self) -> (i64, i64) {
        (self.quorum, self.hysteresis)
    }

    /// What the sum of the weights is compared with next: above the one the quorum is gained, below the other it is lost.
    pub fn threshold(&self) -> i64 {
        if self.up { self.quorum - self.hysteresis } else { self.quorum + self.hysteresis }
    }

    /// Its servers, in file order.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The sorry server of the virtual server; `None`: it has none.
    pub fn sorry(&self) -> Option<&Sorry> {
        self.sorry.as_ref()
    }

    /// Whether the sorry server is in charge.
    pub fn is_sorry(&self) -> bool {
        self.sorry.is_some() && !self.up
    }

    /// The place of a server.
    pub fn place(&self, key: &DestinationKey) -> Option<usize> {
        let found = self.index.binary_search_by_key(&Some(*key), key_of(&self.servers)).ok()?;
        self.index.get(found).map(|place| *place as usize)
    }

    /// Keys of servers with this address, and of the sorry server.
    pub fn with_address(&self, addr: IpAddr) -> impl Iterator<Item = DestinationKey> + '_ {
        let key = key_of(&self.servers);
        let first = self.index.partition_point(|place| key(place).is_some_and(|k| k.addr < addr));
        let all = self.index.iter().skip(first).filter_map(key).take_while(move |k| k.addr == addr);
        let sorry = self.sorry.iter().map(|s| s.key).filter(move |k| k.addr == addr);
        all.chain(sorry)
    }

    /// Sets the verdict (`None`: unchanged) and the weight of a server, by its place in the file, in one step, so that no state between the
    /// two is reported. The same values again change nothing. The first verdict on an awaited server is always reported, `down` too.
    pub fn on_result(&mut self, place: usize, up: Option<bool>, weight: i64) -> Vec<Change> {
        let Some(server) = self.servers.get_mut(place) else { return Vec::new() };
        let before = server.verdict;
        let verdict = up.map_or(before, |up| if up { Verdict::Up } else { Verdict::Down });
        // One that is unchecked takes part already.
        let told = verdict != before && !(before == Verdict::Unchecked && verdict == Verdict::Up);
        if !told && server.weight == weight {
            server.verdict = verdict;
            return Vec::new();
        }
        let said = told.then_some(verdict == Verdict::Up);
        self.settle(place, |server| (server.verdict, server.weight) = (verdict, weight), said)
    }

    /// From now on the table has so many thousandths of a server's weight, at least 1; `None`: all of it.
    pub fn on_share(&mut self, place: usize, thousandths: Option<u16>) -> Vec<Change> {
        let Some(key) = self.servers.get(place).map(|s| s.key) else { return Vec::new() };
        let at = |pool: &Pool| pool.wanted_at(&key).map(|d| (key, d)).into_iter().collect();
        let before = at(self);
        match thousandths {
            Some(n) => drop(self.shares.insert(key, n)),
            None => drop(self.shares.remove(&key)),
        }
        difference(&before, &at(self))
    }

    /// Another configuration. A server that was there keeps its verdict, whatever `servers` says of it, and the quorum is what it
    /// was unless the weights pass a threshold.
    pub fn alter(
        &mut self,
        mut servers: Vec<Server>,
        sorry: Option<Sorry>,
        quorum: u32,
        hysteresis: u32,
        panic: u8,
    ) -> Vec<Change> {
        for s in &mut servers {
            if let Some(before) = self.place(&s.key).and_then(|place| self.servers.get(place)) {
                s.verdict = before.verdict;
            }
        }
        let before = self.wanted();
        self.index = index_of(&servers);
        self.shares.retain(|key, _| servers.iter().any(|s| s.key == *key));
        (self.servers, self.sorry) = (servers, sorry);
        self.set_panic(panic);
        self.set_quorum(quorum, hysteresis);
        let mut out = Vec::new();
        out.extend(self.recount());
        out.extend(difference(&before, &self.wanted()));
        out
    }

    /// Whether there is a quorum follows from the weights alone; else it is what it was before.
    pub fn is_decided(&self) -> bool {
        let sum = self.sum();
        sum >= self.quorum + self.hysteresis || sum < self.quorum - self.hysteresis
    }

    /// Takes over whether the previous process had a quorum, unless the weights decide. Returns the changes of the table.
    pub fn resume(&mut self, up: bool) -> Vec<Change> {
        if self.up == up || self.is_decided() {
            return Vec::new();
        }
        let before = self.wanted();
        self.up = up;
        difference(&before, &self.wanted())
    }

    fn recount(&mut self) -> Option<Change> {
        let sum = self.sum();
        let up = sum >= self.threshold();
        (core::mem::replace(&mut self.up, up) != up).then_some(Change::Quorum(up, sum))
    }

    // Whether a server is in the pool, apart from what the sorry server replaces.
    fn is_in(&self, place: usize) -> bool {
        self.servers.get(place).is_some_and(|s| s.verdict.serves() || s.verdict == Verdict::Down && self.panics)
    }

    // One server changes. All others are looked at only when that changes the quorum. `said`: it is reported, up or down.
    fn settle(&mut self, place: usize, change: impl FnOnce(&mut Server), said: Option<bool>) -> Vec<Change> {
        let Some(key) = self.servers.get(place).map(|s| s.key) else { return Vec::new() };
        let was_in = self.is_in(place);
        if self.panic > 0 {
            return self.settle_all(place, change, said);
        }
        let before = self.wanted_at(&key);
        if let Some(server) = self.servers.get_mut(place) {
            change(server);
        }
        let mut out = Vec::new();
        out.extend(said.map(|up| Change::Server(place, up, was_in != self.is_in(place))));
        let quorum = self.recount();
        let changed = quorum.is_some();
        out.extend(quorum);
        // Without a sorry server the other destinations do not change.
        let others =
            if changed && self.sorry.is_some() { self.swapped(&key) } else { (BTreeMap::new(), BTreeMap::new()) };
        let (mut from, mut to) = others;
        from.extend(before.map(|d| (key, d)));
        to.extend(self.wanted_at(&key).map(|d| (key, d)));
        out.extend(difference(&from, &to));
        out
    }

    // The same where one server may decide over all others.
    fn settle_all(&mut self, place: usize, change: impl FnOnce(&mut Server), said: Option<bool>) -> Vec<Change> {
        let (before, was, was_in) = (self.wanted(), self.panics, self.is_in(place));
        if let Some(server) = self.servers.get_mut(place) {
            change(server);
        }
        let (serving, all) = self.serving();
        let is = self.is_below();
        self.panics = is;
        let mut out = Vec::new();
        out.extend(said.map(|up| Change::Server(place, up, was_in != self.is_in(place))));
        out.extend(self.recount());
        out.extend((was != is).then_some(Change::Panic(is, serving, all)));
        out.extend(difference(&before, &self.wanted()));
        out
    }

    // What the table holds of all but `key` with the quorum as it was before it changed, and as it is now.
    fn swapped(
        &mut self,
        key: &DestinationKey,
    ) -> (BTreeMap<DestinationKey, Destination>, BTreeMap<DestinationKey, Destination>) {
        let to = self.wanted();
        self.up = !self.up;
        let from = self.wanted();
        self.up = !self.up;
        let others = |mut all: BTreeMap<DestinationKey, Destination>| {
            all.remove(key);
            all
        };
        (others(from), others(to))
    }

    /// What the table is to hold under a key.
    pub fn wanted_at(&self, key: &DestinationKey) -> Option<Destination> {
        let replaced = self.is_sorry();
        let sorry = self.sorry.as_ref().filter(|s| s.key == *key);
        let here = |s: &Sorry, weight| Destination { forward: s.forward, weight, upper: 0, lower: 0 };
        if let (Some(sorry), true) = (sorry, replaced) {
            return Some(here(sorry, SORRY_WEIGHT));
        }
        let server = self.place(key).and_then(|place| self.servers.get(place)).and_then(|s| {
            let stays = s.verdict.serves() || s.verdict == Verdict::Down && self.panics;
            let weight = match stays && !replaced {
                true => Some(self.shown(s)),
                false => s.inhibit.then_some(0),
            };
            Some(Destination { weight: weight?, ..s.shape })
        });
        // A real server with this address is what counts.
        server.or_else(|| sorry.filter(|s| s.inhibit).map(|s| here(s, 0)))
    }

    // Its weight in the table.
    fn shown(&self, s: &Server) -> u32 {
        let whole = u32::try_from(s.weight.max(0)).unwrap_or(u32::MAX).min(LARGEST_WEIGHT);
        self.shares.get(&s.key).map_or(whole, |share| (whole * u32::from(*share) / 1000).max(whole.min(1)))
    }

    /// What the table is to hold under the n-th key of this pool, or that it is not to hold it; `None`: there are no more keys.
    pub fn nth(&self, n: usize) -> Option<(DestinationKey, Option<Destination>)> {
        let key = match self.servers.get(n) {
            Some(server) => server.key,
            None => self.sorry.as_ref().filter(|_| n == self.servers.len())?.key,
        };
        Some((key, self.wanted_at(&key)))
    }

    /// What the table is to hold.
    pub fn wanted(&self) -> BTreeMap<DestinationKey, Destination> {
        (0..).map_while(|n| self.nth(n)).filter_map(|(key, d)| Some((key, d?))).collect()
    }
}

fn key_of(servers: &[Server]) -> impl Fn(&u32) -> Option<DestinationKey> + '_ {
    |place| servers.get(*place as usize).map(|s| s.key)
}

fn index_of(servers: &[Server]) -> Box<[u32]> {
    let key = key_of(servers);
    let mut index: Vec<u32> = (0..u32::try_from(servers.len()).unwrap_or(u32::MAX)).collect();
    // The last of equal ones comes first, and stays.
    index.sort_by_key(|place| (key(place), core::cmp::Reverse(*place)));
    index.dedup_by_key(|place| key(place));
    index.into()
}

/// What leads from one table to the other: first what comes or changes, then what goes.
pub fn difference(
    from: &BTreeMap<DestinationKey, Destination>,
    to: &BTreeMap<DestinationKey, Destination>,
) -> Vec<Change> {
    let come = to.iter().filter(|(k, d)| from.get(k) != Some(d)).map(|(k, d)| Change::Want(*k, *d));
    let go = from.keys().filter(|k| !to.contains_key(k)).map(|k| Change::Unwant(*k));
    come.chain(go).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(host: u8) -> DestinationKey {
        DestinationKey { addr: [10, 77, 0, host].into(), port: 80 }
    }
    const SHAPE: Destination = Destination { forward: Forward::Direct, weight: 0, upper: 0, lower: 0 };
    fn server(host: u8, verdict: Verdict) -> Server {
        Server { key: key(host), shape: SHAPE, weight: 1, inhibit: false, verdict }
    }
    fn sorry(host: u8) -> Option<Sorry> {
        Some(Sorry { key: key(host), forward: Forward::Direct, inhibit: false })
    }
    fn hosts(pool: &Pool) -> Vec<(u8, u32)> {
        let host = |k: &DestinationKey| match k.addr {
            core::net::IpAddr::V4(a) => a.octets()[3],
            core::net::IpAddr::V6(_) => 0,
        };
        pool.wanted().iter().map(|(k, d)| (host(k), d.weight)).collect()
    }
    impl Pool {
        fn on_verdict(&mut self, place: usize, up: bool) -> Vec<Change> {
            let weight = self.servers.get(place).map_or(0, |s| s.weight);
            self.on_result(place, Some(up), weight)
        }
        fn on_weight(&mut self, place: usize, weight: i64) -> Vec<Change> {
            self.on_result(place, None, weight)
        }
    }
    fn quorum(changes: &[Change]) -> Option<bool> {
        changes.iter().find_map(|c| if let Change::Quorum(up, _) = c { Some(*up) } else { None })
    }

    #[test]
    fn gained_at_quorum_plus_and_lost_below_quorum_minus_hysteresis() {
        let three = (11..=13).map(|h| server(h, Verdict::Unchecked)).collect();
        let mut p = Pool::new(three, sorry(16), 2, 1);
        assert!(p.is_up());
        assert_eq!((quorum(&p.on_verdict(0, false)), hosts(&p)), (None, vec![(12, 1), (13, 1)]));
        assert_eq!((quorum(&p.on_verdict(1, false)), hosts(&p)), (None, vec![(13, 1)]));
        assert_eq!((quorum(&p.on_verdict(2, false)), hosts(&p)), (Some(false), vec![(16, 1)]));
        assert_eq!((quorum(&p.on_verdict(1, true)), hosts(&p)), (None, vec![(16, 1)]));
        assert_eq!((quorum(&p.on_verdict(2, true)), hosts(&p)), (None, vec![(16, 1)]));
        let all_back = p.on_verdict(0, true);
        assert_eq!((quorum(&all_back), hosts(&p)), (Some(true), vec![(11, 1), (12, 1), (13, 1)]));
        // The service is never empty: additions come before removals.
        assert_eq!(all_back.last(), Some(&Change::Unwant(key(16))));
    }

    #[test]
    fn at_a_start_the_quorum_is_gained_as_later() {
        let start = |n: u8| Pool::new((11..11 + n).map(|h| server(h, Verdict::Unchecked)).collect(), sorry(16), 3, 1);
        assert_eq!((start(3).is_up(), hosts(&start(3))), (false, vec![(16, 1)]));
        assert!(start(4).is_up());
    }

    #[test]
    fn a_verdict_and_a_weight_together_pass_no_state_between_them() {
        let mut p = Pool::new(vec![Server { weight: 10, ..server(11, Verdict::Down) }], sorry(16), 4, 0);
        assert_eq!(p.on_result(0, Some(true), 0), [Change::Server(0, true, true)], "it is up, and drained");
        assert_eq!(quorum(&p.on_result(0, Some(true), 10)), Some(true));
        let down = p.on_result(0, Some(false), 0);
        assert_eq!((down[0].clone(), quorum(&down)), (Change::Server(0, false, true), Some(false)));
    }

    #[test]
    fn alpha_waits_and_reports_its_first_verdict_either_way() {
        let mut p = Pool::new(vec![server(11, Verdict::Awaited), server(12, Verdict::Awaited)], None, 1, 0);
        assert!(!p.is_up() && p.wanted().is_empty());
        let up = p.on_verdict(0, true);
        assert_eq!(up[..2], [Change::Server(0, true, true), Change::Quorum(true, 1)]);
        assert_eq!(p.on_verdict(1, false), [Change::Server(1, false, false)], "it was never in the table");
        assert_eq!(p.on_verdict(1, false), [], "once");
        assert_eq!(hosts(&p), [(11, 1)]);
    }

    #[test]
    fn inhibited_servers_stay_with_weight_zero() {
        let with = |h, weight| Server { inhibit: true, weight, ..server(h, Verdict::Unchecked) };
        let s = Sorry { inhibit: true, ..sorry(16).unwrap() };
        let mut p = Pool::new(vec![with(11, 1), with(12, 2)], Some(s), 1, 0);
        assert_eq!(hosts(&p), [(11, 1), (12, 2), (16, 0)]);
        p.on_verdict(0, false);
        assert_eq!(hosts(&p), [(11, 0), (12, 2), (16, 0)]);
        p.on_verdict(1, false);
        assert_eq!(hosts(&p), [(11, 0), (12, 0), (16, 1)]);
        p.on_verdict(0, true);
        assert_eq!(hosts(&p), [(11, 1), (12, 0), (16, 0)]);
    }

    #[test]
    fn trap_82_a_sorry_server_that_is_a_real_server_too() {
        let mut p = Pool::new(vec![server(11, Verdict::Unchecked), server(12, Verdict::Unchecked)], sorry(11), 2, 0);
        p.on_verdict(0, false);
        assert_eq!(hosts(&p), [(11, 1)], "in charge as sorry server");
        let back = p.on_verdict(0, true);
        assert_eq!(hosts(&p), [(11, 1), (12, 1)]);
        assert!(!back.contains(&Change::Unwant(key(11))));
    }

    #[test]
    fn without_a_sorry_server_the_loss_of_the_quorum_takes_nobody_away() {
        let mut p = Pool::new(vec![server(11, Verdict::Unchecked), server(12, Verdict::Unchecked)], None, 2, 0);
        assert_eq!(quorum(&p.on_verdict(0, false)), Some(false));
        assert_eq!(hosts(&p), [(12, 1)]);
    }

    #[test]
    fn trap_80_a_weight_of_zero_is_a_weight_of_zero() {
        let mut p = Pool::new(vec![server(11, Verdict::Unchecked)], None, 1, 0);
        assert_eq!(quorum(&p.on_weight(0, 0)), Some(false));
        assert_eq!(hosts(&p), [(11, 0)]);
        p.on_weight(0, -5);
        assert_eq!(hosts(&p), [(11, 0)]);
        p.on_weight(0, 1 << 40);
        assert_eq!(hosts(&p), [(11, LARGEST_WEIGHT)]);
    }

    #[test]
    fn with_a_panic_threshold_the_last_servers_stay() {
        let all = (11..15).map(|h| server(h, Verdict::Unchecked)).collect();
        let mut p = Pool::new(all, None, 1, 0);
        p.set_panic(50);
        p.on_verdict(0, false);
        p.on_verdict(1, false);
        assert_eq!(hosts(&p), [(13, 1), (14, 1)], "half of them is enough");
        let out = p.on_verdict(2, false);
        assert!(
            out.contains(&Change::Panic(true, 1, 4)) && !out.iter().any(|c| matches!(c, Change::Unwant(_))),
            "{out:?}"
        );
        assert_eq!(hosts(&p), [(11, 1), (12, 1), (13, 1), (14, 1)]);
        let out = p.on_verdict(3, false);
        assert_eq!(quorum(&out), Some(false), "what stays counts for no quorum");
        assert!(out.contains(&Change::Server(3, false, false)), "it stays: {out:?}");
        assert_eq!(hosts(&p).len(), 4);
        assert!(p.on_verdict(0, true).contains(&Change::Server(0, true, false)), "it was there");
        let out = p.on_verdict(1, true);
        assert!(out.contains(&Change::Server(1, true, false)), "{out:?}");
        assert!(out.contains(&Change::Panic(false, 2, 4)));
        assert_eq!(hosts(&p), [(11, 1), (12, 1)]);
        // A sorry server is there for that.
        let mut p = Pool::new(vec![server(11, Verdict::Unchecked)], sorry(16), 1, 0);
        p.set_panic(50);
        p.on_verdict(0, false);
        assert_eq!(hosts(&p), [(16, 1)]);
    }

    proptest! {
        // Compares the pool with a second implementation of the rules, whose only memory is the quorum: table and quorum are equal
        // after each input, the changes lead from one table to the next, and quorum changes alternate.
        #[test]
        fn any_sequence_agrees_with_the_plain_rules(
            n in 1usize..6, quorum in 1u32..5, hysteresis in 0u32..4, with_sorry: bool, alpha: bool,
            inputs in prop::collection::vec((0usize..6, prop_oneof![Just(None), (-3i64..6).prop_map(Some)], any::<bool>()), 0..60),
        ) {
            let first = if alpha { Verdict::Awaited } else { Verdict::Unchecked };
            let servers: Vec<Server> = (0..n).map(|i| server(11 + i as u8, first)).collect();
            let mut p = Pool::new(servers, with_sorry.then(|| sorry(99).unwrap()), quorum, hysteresis);
            let mut table = p.wanted();
            let (mut serving, mut weights, mut up) = (vec![!alpha; n], vec![1i64; n], p.is_up());
            let h = i64::from(hysteresis.min(quorum - 1));
            for (place, weight, verdict) in inputs {
                let changes = match weight {
                    Some(w) => p.on_weight(place, w),
                    None => p.on_verdict(place, verdict),
                };
                if place < n {
                    match weight {
                        Some(w) => weights[place] = w,
                        None => serving[place] = verdict,
                    }
                }
                let sum: i64 = (0..n).filter(|i| serving[*i]).map(|i| weights[i].max(0)).sum();
                let now = if up { sum >= i64::from(quorum) - h } else { sum >= i64::from(quorum) + h };
                // A pool that no input has touched keeps what it was built with.
                let now = if changes.is_empty() { up } else { now };
                let said: Vec<bool> =
                    changes.iter().filter_map(|c| if let Change::Quorum(u, _) = c { Some(*u) } else { None }).collect();
                prop_assert_eq!(said, if now == up { vec![] } else { vec![now] });
                up = now;
                prop_assert_eq!(p.is_up(), up);
                for c in changes {
                    match c {
                        Change::Want(k, d) => { table.insert(k, d); }
                        Change::Unwant(k) => prop_assert!(table.remove(&k).is_some()),
                        _ => {}
                    }
                }
                prop_assert_eq!(&table, &p.wanted());
                for i in 0..n {
                    let there = table.get(&key(11 + i as u8)).map(|d| i64::from(d.weight));
                    let want = (serving[i] && (up || !with_sorry)).then(|| weights[i].max(0));
                    prop_assert_eq!(there, want);
                }
                prop_assert_eq!(table.contains_key(&key(99)), with_sorry && !up);
            }
        }
    }
}
