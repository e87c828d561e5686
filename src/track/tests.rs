//! All trackers together: another configuration, a hand-over, an end.

use super::*;
use crate::config::model::InstanceConfig;
use crate::config::model::setting::{Ready, Script as Program};
use crate::effect::{Effect, GuardFx, HelperFx};
use crate::time::Duration;
use crate::timers::Due;

fn script(name: &str, program: &str) -> VrrpScript {
    let ready = Ready::As { uid: 1, gid: 1 };
    let program = Program { argv: vec![program.into()], user: None, group: None, ready };
    VrrpScript { name: name.into(), script: Some(Box::new(program)), fall: 2, ..VrrpScript::default() }
}

// One instance that tracks all of it.
fn config(scripts: Vec<VrrpScript>, files: Vec<TrackFile>) -> Config {
    let mut i = InstanceConfig::new("VI_1", "eth0", 1, crate::config::model::Family::V4);
    let line = |name: &str| Track { name: name.into(), weight: None, reverse: None };
    i.more.tracks.scripts = scripts.iter().map(|d| line(&d.name)).collect();
    i.more.tracks.files = files.iter().map(|d| line(&d.name)).collect();
    Config { instances: vec![i], scripts, track_files: files, ..Config::default() }
}

#[derive(Default)]
struct Bench {
    tracks: Tracks,
    now: Now,
    timers: Timers,
    children: Children,
    conns: Conns,
    watches: Watches,
}

impl Bench {
    fn new(config: &Config) -> Bench {
        Bench { tracks: Tracks::new(config), ..Bench::default() }
    }
    fn with<T>(&mut self, f: impl FnOnce(&mut Tracks, &mut Cx<'_>) -> T) -> (T, Vec<Effect>) {
        let mut fx = Effects::default();
        let cx = &mut Cx {
            now: self.now,
            timers: &mut self.timers,
            fx: &mut fx,
            children: &mut self.children,
            conns: &mut self.conns,
            watches: &mut self.watches,
        };
        let out = f(&mut self.tracks, cx);
        (out, fx.drain().filter(|e| !matches!(e, Effect::Note(_))).collect())
    }
    fn start(&mut self) -> Vec<Effect> {
        let (_, mut fx) = self.with(|t, cx| t.start(cx));
        fx.extend(self.fire());
        fx
    }
    // What is due now.
    fn fire(&mut self) -> Vec<Effect> {
        let mut all = Vec::new();
        while let Some((_, due)) = self.timers.pop(self.now.mono) {
            all.extend(match due {
                Due::TrackRun(key) => self.with(|t, cx| t.on_run(key, cx)).1,
                Due::TrackTimeout(key) => self.with(|t, cx| t.on_timeout(key, cx)).1,
                other => panic!("{other:?}"),
            });
        }
        all
    }
    fn pass(&mut self, d: Duration) -> Vec<Effect> {
        self.now.mono += d;
        self.fire()
    }
    fn alter(&mut self, config: &Config) -> (usize, Vec<Effect>) {
        let (touched, mut fx) = self.with(|t, cx| t.alter(config, cx));
        fx.extend(self.fire());
        (touched.len(), fx)
    }
    fn exit(&mut self, spawn: &Effect, status: u8) -> bool {
        let Effect::Guard(GuardFx::Spawn { child, .. }) = spawn else { panic!("{spawn:?}") };
        let Some(crate::child::For::Track(key)) = self.children.end(*child) else { panic!("whose?") };
        self.with(|t, cx| t.on_exit(key, ChildEnd::Exited(status), cx)).0
    }
    fn verdict(&self, name: &str) -> Option<Verdict> {
        self.tracks.verdict(Kind::Script, name).map(|v| v.0)
    }
    fn nothing_is_left(&self) {
        assert!(self.tracks.all.iter().all(|(k, t)| self.tracks.find(t.kind, &t.name) == Some(k)), "no ghosts");
        assert!(self.children.is_empty() && self.watches.is_empty() && self.conns.is_empty());
    }
}

const S: Duration = Duration::from_secs(1);

#[test]
fn an_unchanged_tracker_keeps_its_run_and_an_altered_one_begins_anew_with_its_last_verdict() {
    let mut b = Bench::new(&config(vec![script("same", "/a"), script("other", "/b")], vec![]));
    let first = b.start();
    assert_eq!(first.len(), 2);
    // By name: "other" before "same".
    assert!(b.exit(&first[0], 0) && b.exit(&first[1], 0));
    let second = b.pass(S);
    let (touched, fx) = b.alter(&config(vec![script("same", "/a"), script("other", "/new")], vec![]));
    assert_eq!(touched, 1);
    let [Effect::Guard(GuardFx::Kill { child, hard: false }), Effect::Guard(GuardFx::Spawn { spec, .. })] = &fx[..]
    else {
        panic!("{fx:?}")
    };
    assert!(matches!(&second[0], Effect::Guard(GuardFx::Spawn { child: c, .. }) if c == child));
    assert_eq!((&spec.argv[..], b.verdict("other")), (&["/new".to_owned()][..], Some(Verdict::Up(true))));
    assert!(!b.exit(&second[0], 1), "the old one's end is no result");
    assert_eq!(b.verdict("other"), Some(Verdict::Up(true)));
    assert!(b.exit(&fx[1], 1), "the new one's first is decisive, although `fall` is 2");
    assert!(!b.exit(&second[1], 1), "the run of the other one went on, and is the first of two failures");
    assert_eq!((b.verdict("same"), b.tracks.len()), (Some(Verdict::Up(true)), 2));
    b.nothing_is_left();
}

#[test]
fn another_weight_or_interval_is_no_other_script() {
    let mut b = Bench::new(&config(vec![script("chk", "/a")], vec![]));
    let first = b.start();
    assert!(b.exit(&first[0], 0));
    let mut d = script("chk", "/a");
    (d.weight.weight, d.interval) = (-20, S / 2);
    let (touched, fx) = b.alter(&config(vec![d.clone()], vec![]));
    assert_eq!((touched, fx.len()), (1, 0), "its virtual routers hear of it, nothing is run for it");
    assert_eq!(b.tracks.verdict(Kind::Script, "chk").map(|v| (v.0, v.1.weight)), Some((Verdict::Up(true), -20)));
    assert_eq!(b.alter(&config(vec![d], vec![])).0, 0);
    assert_eq!((b.pass(S).len(), b.timers.len()), (1, 2));
}

#[test]
fn a_removed_one_is_ended_and_nothing_of_it_is_left() {
    let file = TrackFile { name: "f".into(), file: Some("/f".into()), ..TrackFile::default() };
    let mut b = Bench::new(&config(vec![script("chk", "/a")], vec![file]));
    let fx = b.start();
    assert!(matches!(&fx[0], Effect::Helper(HelperFx::WatchFile { .. })));
    let spawn = fx.iter().find(|e| matches!(e, Effect::Guard(GuardFx::Spawn { .. }))).cloned().expect("a run");
    let (_, fx) = b.alter(&config(vec![], vec![]));
    assert!(fx.iter().any(|e| matches!(e, Effect::Helper(HelperFx::Unwatch { .. }))), "{fx:?}");
    assert!(fx.iter().any(|e| matches!(e, Effect::Guard(GuardFx::Kill { hard: false, .. }))), "{fx:?}");
    assert_eq!((b.verdict("chk"), b.tracks.views().count(), b.tracks.len()), (None, 0, 1));
    assert!(matches!(&b.pass(S * 2)[..], [Effect::Guard(GuardFx::Kill { hard: true, .. })]));
    // Back again while the old one still lives: a slot of its own.
    let (_, fx) = b.alter(&config(vec![script("chk", "/a")], vec![]));
    assert!(matches!(&fx[..], [Effect::Guard(GuardFx::Spawn { .. })]), "{fx:?}");
    assert!(!b.exit(&spawn, 0));
    assert_eq!((b.verdict("chk"), b.tracks.len()), (Some(Verdict::Waiting), 1));
    assert!(b.exit(&fx[0], 0));
    b.alter(&config(vec![], vec![]));
    b.nothing_is_left();
    assert!(b.tracks.is_empty() && b.timers.is_empty());
}

#[test]
fn a_thousand_reloads_leave_nothing_behind() {
    let of = |n: u32| {
        let scripts = (0..n % 7).map(|i| script(&format!("s{i}"), if n % 3 == i % 3 { "/a" } else { "/b" })).collect();
        let file =
            |i| TrackFile { name: format!("f{i}").into(), file: Some(format!("/{i}").into()), ..TrackFile::default() };
        config(scripts, (0..n % 5).map(file).collect())
    };
    let mut b = Bench::new(&of(3));
    let mut running = b.start();
    for n in 0..1000 {
        running.extend(b.alter(&of(n)).1);
        running.extend(b.pass(S / 10));
        // Most end soon, some late.
        let (ends, rest): (Vec<Effect>, Vec<Effect>) = running
            .into_iter()
            .filter(|e| matches!(e, Effect::Guard(GuardFx::Spawn { .. })))
            .enumerate()
            .map(|(i, e)| (i % 4 != 0, e))
            .fold((Vec::new(), Vec::new()), |(mut a, mut z), (ends, e)| {
                if ends {
                    a.push(e)
                } else {
                    z.push(e)
                };
                (a, z)
            });
        for e in &ends {
            b.exit(e, (n % 2) as u8);
        }
        running = rest;
        assert!(b.tracks.len() <= 20 && b.children.len() == running.len() && b.timers.len() <= 2 * b.tracks.len());
    }
    b.alter(&config(vec![], vec![]));
    for e in &running {
        b.exit(e, 0);
    }
    b.nothing_is_left();
    assert!(b.timers.is_empty() && b.tracks.is_empty());
}

#[test]
fn what_one_process_knew_the_next_one_goes_on_with() {
    let all = config(
        vec![script("up", "/a"), script("new", "/b")],
        vec![TrackFile { name: "f".into(), file: Some("/f".into()), ..TrackFile::default() }],
    );
    let mut a = Bench::new(&all);
    a.start();
    a.tracks.resume(&[TrackShot { kind: "file".into(), name: "f".into(), value: Some(-30) }]);
    let mut shots = a.tracks.shots();
    assert_eq!(shots.iter().map(|s| s.value).collect::<Vec<_>>(), [None, None, Some(-30)], "by kind and name");
    shots[1].value = Some(1);
    // What no kalived wrote: ignored, or the nearest.
    shots.push(TrackShot { kind: "moon".into(), name: "up".into(), value: Some(0) });
    shots.push(TrackShot { kind: "script".into(), name: "gone".into(), value: Some(0) });
    let mut b = Bench::new(&all);
    b.tracks.resume(&shots);
    let fx = b.start();
    assert_eq!((b.verdict("up"), b.verdict("new")), (Some(Verdict::Up(true)), Some(Verdict::Waiting)));
    assert_eq!(b.tracks.verdict(Kind::File, "f").map(|v| v.0), Some(Verdict::Value(-30)));
    let spawns: Vec<&Effect> = fx.iter().filter(|e| matches!(e, Effect::Guard(GuardFx::Spawn { .. }))).collect();
    assert!(!b.exit(spawns[1], 1), "one of two failures: as if nothing had happened");

    b.tracks.resume(&[TrackShot { kind: "file".into(), name: "f".into(), value: Some(i64::MIN) }]);
    assert_eq!(b.tracks.verdict(Kind::File, "f").map(|v| v.0), Some(Verdict::Value(i32::MIN)));
}
