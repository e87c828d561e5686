//! The reconciler against a plain model: whatever happens, once faults end the kernel has the wanted items, and no item was deleted that
//! was not ours.
//!
//! Two kinds of item: one of which a key has a single value and an addition replaces it (as for addresses), one of which a key may have
//! several (as for IPv4 routes). The mirror is fed in the kernel's order, as one netlink socket does it.

use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

const GONE: Errno = Errno::EADDRNOTAVAIL;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Single(u8);
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Several(u8);

trait Kind: Item<Owner = u8> + Copy + core::fmt::Debug {
    fn of(n: u8) -> Self;
}

impl Kind for Single {
    fn of(n: u8) -> Self {
        Single(n)
    }
}
impl Kind for Several {
    fn of(n: u8) -> Self {
        Several(n)
    }
}
impl Item for Single {
    type Owner = u8;
    const SERIES: u8 = 1;
    const IN_PLACE: bool = false;
    fn is_there(errno: Errno) -> bool {
        errno == Errno::EEXIST
    }
    fn is_gone(errno: Errno) -> bool {
        errno == GONE
    }
}
impl Item for Several {
    type Owner = u8;
    const SERIES: u8 = 2;
    const IN_PLACE: bool = true;
    fn is_there(errno: Errno) -> bool {
        errno == Errno::EEXIST
    }
    fn is_gone(errno: Errno) -> bool {
        errno == GONE
    }
}

/// Keys from this one on are the operator's when they exist first.
const OPERATORS: u8 = 6;
const KEYS: u8 = 8;

#[derive(Clone, Copy, Debug)]
enum Op {
    Want { owner: u8, key: u8, value: u8 },
    GiveUp(u8),
    Release(u8),
    Keep { owner: u8, keep: u8 },
    Remove(u8),
    LetGo,
    Hold,
    // The kernel executes so many requests.
    Answer(u8),
    Refuse(Errno),
    // Answers are lost; the kernel executed the requests whose bit is set.
    Lose(u32),
    // Another process deletes, or adds.
    ForeignDelete(u8),
    ForeignAdd(u8),
    Vanish(u8),
    Pass(u16),
    RetryNow,
}

fn op() -> impl Strategy<Value = Op> {
    let owner = 0..3u8;
    let key = 0..KEYS;
    prop_oneof![
        6 => (owner.clone(), key.clone(), 0..3u8).prop_map(|(owner, key, value)| Op::Want { owner, key, value }),
        2 => key.clone().prop_map(Op::GiveUp),
        1 => owner.clone().prop_map(Op::Release),
        1 => (owner, any::<u8>()).prop_map(|(owner, keep)| Op::Keep { owner, keep }),
        1 => (0..OPERATORS).prop_map(Op::Remove),
        1 => Just(Op::Hold),
        1 => Just(Op::LetGo),
        6 => (1..4u8).prop_map(Op::Answer),
        2 => prop_oneof![Just(Errno(12)), Just(Errno::ENOBUFS), Just(Errno::EPERM)].prop_map(Op::Refuse),
        2 => any::<u32>().prop_map(Op::Lose),
        3 => key.clone().prop_map(Op::ForeignDelete),
        1 => key.clone().prop_map(Op::ForeignAdd),
        1 => key.prop_map(Op::Vanish),
        4 => (0..3000u16).prop_map(Op::Pass),
        1 => Just(Op::RetryNow),
    ]
}

struct Bench<V: Kind> {
    now: Instant,
    r: Reconciler<u8, V>,
    // The kernel's items: the value, and whether it is ours.
    kernel: BTreeMap<u8, Vec<(V, bool)>>,
    pending: VecDeque<(ReqId, u8, Ask<V>)>,
    wanted: BTreeMap<u8, (u8, V)>,
    // When another process deleted each, and when each was requested.
    adds: BTreeMap<u8, Vec<Instant>>,
    removed: BTreeSet<u8>,
    told: Vec<Outcome<u8, u8>>,
    losses: Vec<Loss<u8, u8>>,
}

impl<V: Kind> Bench<V> {
    fn new() -> Self {
        let mut b = Bench {
            now: Instant(1_000_000_000),
            r: Reconciler::default(),
            kernel: BTreeMap::new(),
            pending: VecDeque::new(),
            wanted: BTreeMap::new(),
            adds: BTreeMap::new(),
            removed: BTreeSet::new(),
            told: Vec::new(),
            losses: Vec::new(),
        };
        b.kernel.insert(OPERATORS, vec![(V::of(9), false)]);
        b
    }
    fn there(kernel: &BTreeMap<u8, Vec<(V, bool)>>, key: u8, held: &V) -> Vec<V> {
        let all = kernel.get(&key).into_iter().flatten();
        if V::IN_PLACE {
            // Only our own items are in the mirror: they carry a tag.
            all.filter(|(_, ours)| *ours).map(|(v, _)| *v).collect()
        } else {
            // The mirror knows that an address exists, not its settings.
            all.take(1).map(|_| *held).collect()
        }
    }
    fn pump(&mut self) {
        let (pending, adds, now) = (&mut self.pending, &mut self.adds, self.now);
        let mut asked = Vec::new();
        self.r.ask(|req, ask| asked.push((req, ask.clone())));
        for (req, ask) in asked {
            let key = self.r.inflight[&req];
            assert!(!self.r.entries[&key].theirs, "what is the operator's is never asked about");
            if !matches!(ask, Ask::Add(_)) {
                let known = self.removed.contains(&key) || adds.contains_key(&key) || key < OPERATORS;
                assert!(known, "deletes what it never had: {key}");
            }
            if !matches!(ask, Ask::Del(_)) {
                adds.entry(key).or_default().push(now);
            }
            pending.push_back((req, key, ask));
        }
        assert!(self.pending.len() <= WINDOW);
        self.check();
    }
    fn check(&self) {
        let n = self.r.entries.len();
        let [entries, queue, inflight, later, owned, going, aside] = self.r.sizes();
        assert!(entries == n && queue <= KEYS.into() && inflight <= n && later <= 2 * n && aside <= n);
        assert_eq!(owned, self.r.entries.values().filter(|e| e.owner.is_some()).count());
        assert!(going <= 2 * n);
        for (key, e) in &self.r.entries {
            assert!(!e.is_over(), "{key}: an entry that is over is forgotten");
            let waits = e.asked().is_some() || e.retry().is_some() || self.r.aside.contains(key);
            let queued = self.r.queue.len() > 0;
            assert!(e.next().is_none() || waits || queued, "{key}: work that nothing will do: {e:?}");
        }
    }
    fn apply(kernel: &mut BTreeMap<u8, Vec<(V, bool)>>, key: u8, ask: &Ask<V>) -> Result<(), Errno> {
        let list = kernel.entry(key).or_default();
        match ask {
            Ask::Add(v) if V::IN_PLACE && list.contains(&(*v, true)) => return Err(Errno::EEXIST),
            Ask::Add(v) if V::IN_PLACE => list.insert(0, (*v, true)),
            Ask::Add(v) => *list = vec![(*v, true)],
            Ask::Del(v) => match list.iter().position(|(x, ours)| !V::IN_PLACE || x == v && *ours) {
                Some(at) => {
                    let (_, ours) = list.remove(at);
                    assert!(ours || key < OPERATORS, "the operator's was deleted");
                }
                None => return Err(GONE),
            },
            Ask::Change(old, new) => {
                let _ = Self::apply(kernel, key, &Ask::Del(*old));
                return Self::apply(kernel, key, &Ask::Add(*new));
            }
        }
        Ok(())
    }
    fn answer(&mut self, result: Option<Errno>) {
        if let Some((req, key, ask)) = self.pending.pop_front() {
            let result = match result {
                Some(e) => Err(e),
                None => Self::apply(&mut self.kernel, key, &ask),
            };
            // As the World does it: what is reported before the answer is handled before it.
            self.told.extend(self.r.answer(self.now, req, result));
        }
    }
    fn due(&mut self) {
        let kernel = &self.kernel;
        self.losses.extend(self.r.due(self.now, |key, v| Self::there(kernel, key, v)));
    }
    fn compare(&mut self) {
        let kernel = &self.kernel;
        self.r.compare(|key, v| Self::there(kernel, key, v));
    }
    fn pass(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some(at) = self.r.next_due().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.due();
            self.pump();
        }
        self.now = end;
    }
    fn step(&mut self, op: Op) {
        match op {
            Op::Want { owner, key, value } => {
                let there = self.kernel.get(&key).is_some_and(|l| !l.is_empty());
                let theirs = key >= OPERATORS && (self.r.knows(key) || there);
                self.r.want(owner, key, V::of(value), theirs);
                self.wanted.insert(key, (owner, V::of(value)));
            }
            Op::GiveUp(key) => {
                self.r.give_up(key);
                self.wanted.remove(&key);
            }
            Op::Release(owner) => {
                self.r.release(owner);
                self.wanted.retain(|_, (o, _)| *o != owner);
            }
            Op::Keep { owner, keep } => {
                let keep: BTreeSet<u8> = (0..KEYS).filter(|k| keep & 1 << k != 0).collect();
                self.r.keep_only(owner, &keep);
                self.wanted.retain(|k, (o, _)| *o != owner || keep.contains(k));
            }
            Op::Remove(key) => {
                let there = self.kernel.get(&key).and_then(|l| l.iter().find(|(_, ours)| *ours));
                if let Some((v, _)) = there {
                    self.removed.insert(key);
                    self.r.remove(key, *v);
                }
            }
            Op::Hold => self.r.hold(),
            Op::LetGo => self.r.let_go(),
            Op::Answer(n) => (0..n).for_each(|_| self.answer(None)),
            // The request was not executed: an error of the kernel is reliable; a lost answer is not.
            Op::Refuse(errno) => self.answer(Some(errno)),
            Op::Lose(done) => {
                for (i, (req, key, ask)) in core::mem::take(&mut self.pending).into_iter().enumerate() {
                    if done & 1 << (i % 32) != 0 {
                        let _ = Self::apply(&mut self.kernel, key, &ask);
                    }
                    self.told.extend(self.r.answer(self.now, req, Err(Errno::ENOBUFS)));
                }
                self.compare();
            }
            Op::ForeignDelete(key) => {
                let list = self.kernel.entry(key).or_default();
                if !list.is_empty() {
                    list.remove(0);
                    self.r.doubt(self.now, key, None);
                }
            }
            Op::ForeignAdd(key) => {
                // Where we are about to delete a single value that may exist, a value that another process adds meanwhile is deleted too.
                let about = !V::IN_PLACE && self.r.knows(key);
                let list = self.kernel.entry(key).or_default();
                if list.is_empty() && !about {
                    list.push((V::of(9), false));
                }
            }
            Op::Vanish(key) => {
                self.kernel.remove(&key);
                self.r.vanished(key..=key);
                self.wanted.remove(&key);
            }
            Op::Pass(ms) => self.pass(Duration::from_millis(ms.into())),
            Op::RetryNow => self.r.retry_now(),
        }
        self.pump();
    }
    // No further faults: all requests are executed.
    fn calm(&mut self) {
        self.r.let_go();
        self.pump();
        for _ in 0..400 {
            while !self.pending.is_empty() {
                self.answer(None);
                self.pump();
            }
            let Some(at) = self.r.next_due() else { break };
            self.pass(at.since(self.now) + Duration::from_nanos(1));
        }
        assert!(self.r.idle() && self.r.next_due().is_none(), "{:?}", self.r);
        let has = |key: &u8| self.kernel.get(key).into_iter().flatten().map(|(v, _)| *v);
        for (key, (owner, v)) in &self.wanted {
            let theirs = self.r.entries[key].theirs;
            // A value that another process added first, with other settings, cannot be distinguished from ours.
            let like = |x: V| theirs || x == *v || !V::IN_PLACE && x == V::of(9);
            assert!(has(key).any(like), "{key}: wanted and not there");
            assert!(self.r.held(*owner).any(|k| k == *key));
        }
        for (key, list) in &self.kernel {
            let ours: Vec<V> = list.iter().filter(|(_, ours)| *ours).map(|(v, _)| *v).collect();
            let want: Vec<V> = self.wanted.get(key).map(|w| w.1).into_iter().collect();
            // A left-over that was not reported is not ours to delete.
            let theirs = self.r.entries.get(key).is_some_and(|e| e.theirs);
            let unseen = !V::IN_PLACE && list.iter().any(|(_, ours)| !ours);
            assert!(ours == want || theirs || unseen, "{key}: {list:?}");
        }
        assert_eq!(self.r.sizes()[1..4], [0, 0, 0]);
        assert_eq!(self.r.entries.len(), self.wanted.len());
    }
}

fn converges<V: Kind>(ops: Vec<Op>) {
    let mut b = Bench::<V>::new();
    ops.into_iter().for_each(|op| b.step(op));
    b.calm();
    for owner in 0..3 {
        b.step(Op::Release(owner));
    }
    b.calm();
    let ours = b.kernel.values().flatten().filter(|(_, ours)| *ours).count();
    assert_eq!((ours, b.r.entries.len()), (0, 0), "nothing of ours is left");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_value_each_converges(ops in proptest::collection::vec(op(), 0..60)) {
        converges::<Single>(ops);
    }
    #[test]
    fn several_values_converge(ops in proptest::collection::vec(op(), 0..60)) {
        converges::<Several>(ops);
    }
}

/// No check of the mirror in between: a deletion by another process is repaired within the doubt, the next ones at a growing distance,
/// and only the first is logged.
#[test]
fn who_keeps_deleting_meets_a_growing_pause() {
    let mut b = Bench::<Single>::new();
    b.step(Op::Want { owner: 0, key: 1, value: 0 });
    b.step(Op::Answer(1));
    let start = b.now;
    // Deleted whenever it exists, for 30 seconds.
    while b.now < start + Duration::from_secs(30) {
        b.step(Op::ForeignDelete(1));
        b.step(Op::Pass(6));
        b.step(Op::Answer(1));
    }
    assert_eq!(b.losses.iter().filter(|l| l.first).count(), 1, "reported once");
    assert_eq!(b.r.restored(), b.losses.len() as u64, "counted");
    let adds = &b.adds[&1];
    assert!(adds[1].since(start) <= DOUBT, "at once the first time: {:?}", adds[1].since(start));
    let gaps: Vec<Duration> = adds[1..].windows(2).map(|w| w[1].since(w[0])).collect();
    assert!(gaps.windows(2).all(|w| w[1] + Duration::from_millis(12) >= w[0]), "grows: {gaps:?}");
    assert!((25..60).contains(&adds.len()), "at most about one a second in the end: {}", adds.len());
    // A time without a loss, then a loss: a first one again.
    b.step(Op::Pass(11_000));
    b.step(Op::Answer(1));
    b.step(Op::Pass(11_000));
    let at = b.now;
    b.step(Op::ForeignDelete(1));
    b.step(Op::Pass(6));
    assert!(b.losses.last().is_some_and(|l| l.first));
    assert!(b.adds[&1].last().is_some_and(|t| t.since(at) <= DOUBT));
}

/// A flood of reports causes one check.
#[test]
fn a_flood_of_reports_is_one_look() {
    let mut b = Bench::<Single>::new();
    b.step(Op::Want { owner: 0, key: 1, value: 0 });
    b.step(Op::Answer(1));
    for _ in 0..10_000 {
        b.r.doubt(b.now, 1, None);
        b.now += Duration::from_nanos(100);
    }
    assert_eq!(b.r.sizes()[3], 1);
    b.pass(DOUBT);
    assert_eq!((b.r.sizes()[3], b.losses.len()), (0, 0));
}

#[test]
fn the_first_of_each_owner_is_asked_for_before_the_second_of_any() {
    let mut r: Reconciler<u8, Single> = Reconciler::default();
    for owner in 0..4u8 {
        for n in 0..5u8 {
            r.want(owner, owner * 10 + n, Single(owner), false);
        }
    }
    let mut order = Vec::new();
    r.ask(|_, ask| {
        if let Ask::Add(v) = ask {
            order.push(v.0);
        }
    });
    assert_eq!(order, [0, 1, 2, 3].repeat(5));
}

/// A change is one request where the kind supports it, and two where it does not; what a lost answer leaves in doubt is deleted.
#[test]
fn a_change_and_its_lost_answer() {
    let mut b = Bench::<Several>::new();
    b.step(Op::Want { owner: 0, key: 1, value: 0 });
    b.step(Op::Answer(1));
    b.step(Op::Want { owner: 0, key: 1, value: 1 });
    assert_eq!(b.pending.front().map(|p| p.2.clone()), Some(Ask::Change(Several(0), Several(1))));
    // Executed, and the answer lost; given up before the next comparison.
    let (req, key, ask) = b.pending.pop_front().expect("asked");
    assert_eq!(Bench::apply(&mut b.kernel, key, &ask), Ok(()));
    b.r.answer(b.now, req, Err(Errno::ENOBUFS));
    b.step(Op::GiveUp(1));
    b.calm();
    assert!(b.kernel[&1].is_empty());

    let mut b = Bench::<Single>::new();
    b.step(Op::Want { owner: 0, key: 1, value: 0 });
    b.step(Op::Answer(1));
    b.step(Op::Want { owner: 0, key: 1, value: 1 });
    assert_eq!(b.pending.front().map(|p| p.2.clone()), Some(Ask::Del(Single(0))));
    b.calm();
}

/// The answer of a change was lost, and the item is deleted by another process: one request finds that out, and one adds it.
#[test]
fn a_lost_answer_and_an_item_that_is_gone() {
    let mut b = Bench::<Several>::new();
    b.step(Op::Want { owner: 0, key: 1, value: 0 });
    b.step(Op::Answer(1));
    b.step(Op::Want { owner: 0, key: 1, value: 1 });
    let (req, ..) = b.pending.pop_front().expect("asked");
    b.r.answer(b.now, req, Err(Errno::ENOBUFS));
    b.kernel.remove(&1);
    b.step(Op::Want { owner: 0, key: 1, value: 2 });
    b.step(Op::RetryNow);
    let (req, _, ask) = b.pending.pop_front().expect("asked");
    assert!(matches!(ask, Ask::Change(..)), "{ask:?}");
    b.r.answer(b.now, req, Err(GONE));
    b.r.absent(1);
    b.step(Op::RetryNow);
    assert_eq!(b.pending.front().map(|p| p.2.clone()), Some(Ask::Add(Several(2))));
    b.calm();
    assert_eq!(b.kernel[&1], [(Several(2), true)]);
}

/// The value changed while its addition was in flight: the kernel's value is not the wanted one.
#[test]
fn a_value_that_changes_under_way() {
    let mut b = Bench::<Single>::new();
    b.step(Op::Want { owner: 0, key: 1, value: 0 });
    b.step(Op::Want { owner: 0, key: 1, value: 1 });
    b.calm();
    assert_eq!(b.kernel[&1], [(Single(1), true)]);
}

/// An item that the kernel refuses to delete is reported once and not waited for, but the deletion is still tried.
#[test]
fn a_stuck_one_is_not_waited_for() {
    let mut b = Bench::<Single>::new();
    b.step(Op::Want { owner: 0, key: 1, value: 0 });
    b.step(Op::Answer(1));
    b.step(Op::GiveUp(1));
    for _ in 0..20 {
        b.step(Op::Refuse(Errno::EPERM));
        b.step(Op::Pass(1_100));
    }
    b.step(Op::Refuse(Errno::EPERM));
    assert!(b.r.idle());
    let stuck = b.told.iter().filter(|o| matches!(o, Outcome::Stuck { .. })).count();
    assert_eq!(stuck, 1);
    b.step(Op::Pass(1_100));
    b.step(Op::Answer(1));
    assert_eq!(b.r.sizes(), [0; 7]);
}
