//! Trackers and their effect on a virtual router: scripts, files and processes. Native checks are in `track_check.rs`.

use crate::bench::*;
use kalived::config::model::setting::{Ready, Script, Weight};
use kalived::config::model::vrrp::{Track, TrackFile, TrackProcess, VrrpScript};
use kalived::config::model::{Config, InstanceConfig, TrackInterface};
use kalived::effect::{Effect, Effects, GuardFx, HelperFx};
use kalived::event::{ChildEnd, Errno, Event, GuardEv, HelperEv, NetEv};
use kalived::id::{ChildKey, WatchKey};
use kalived::time::Duration;
use kalived::timers::Due;
use kalived::track::Verdict;
use kalived::vrrp::State;
use kalived::world::World;

const S: Duration = Duration::from_secs(1);
const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub fn line(name: &str) -> Track {
    Track { name: name.into(), weight: None, reverse: None }
}

pub fn script(name: &str) -> VrrpScript {
    let ready = Ready::As { uid: 65534, gid: 65534 };
    let script = Script { argv: vec!["/check".into(), name.into()], user: None, group: None, ready };
    VrrpScript { name: name.into(), script: Some(Box::new(script)), ..VrrpScript::default() }
}

pub fn file(name: &str) -> TrackFile {
    TrackFile { name: name.into(), file: Some(format!("/run/{name}").into()), ..TrackFile::default() }
}

fn process(name: &str) -> TrackProcess {
    TrackProcess { name: name.into(), process: vec![name.into()], ..TrackProcess::default() }
}

pub fn weight(weight: i32, reverse: bool) -> Weight {
    Weight { weight, reverse }
}

/// A started world with VI_1, which tracks everything in `config`.
pub fn tracking(mut instance: InstanceConfig, mut config: Config) -> Bench {
    let t = &mut instance.more.tracks;
    t.scripts.extend(config.scripts.iter().map(|d| line(&d.name)));
    t.files.extend(config.track_files.iter().map(|d| line(&d.name)));
    t.processes.extend(config.track_processes.iter().map(|d| line(&d.name)));
    t.checks.extend(config.checks.iter().map(|d| line(&d.name)));
    config.instances = vec![instance];
    let mut b = Bench::of(World::new(config));
    b.start();
    b.fire();
    b
}
pub fn scripts(instance: InstanceConfig, scripts: Vec<VrrpScript>) -> Bench {
    tracking(instance, Config { scripts, ..Config::default() })
}
pub fn files(instance: InstanceConfig, track_files: Vec<TrackFile>) -> Bench {
    tracking(instance, Config { track_files, ..Config::default() })
}

impl Bench {
    /// The programs that were started since the last look.
    fn spawned(&mut self) -> Vec<ChildKey> {
        let (spawns, rest): (Vec<Effect>, _) = std::mem::take(&mut self.asked)
            .into_iter()
            .partition(|e| matches!(e, Effect::Guard(GuardFx::Spawn { .. })));
        self.asked = rest;
        let key = |e: &Effect| if let Effect::Guard(GuardFx::Spawn { child, .. }) = e { Some(*child) } else { None };
        spawns.iter().filter_map(key).collect()
    }
    fn child(&mut self) -> ChildKey {
        let all = self.spawned();
        assert_eq!(all.len(), 1, "one program is started");
        all[0]
    }
    fn exit(&mut self, child: ChildKey, status: u8) {
        self.event(Event::Guard(GuardEv::ChildExit { child, end: ChildEnd::Exited(status) }));
    }
    /// The run that is due now ends with this status.
    fn ends(&mut self, status: u8) {
        let child = self.child();
        self.exit(child, status);
    }
    /// Signals requested since the last call: hard or not.
    fn kills(&mut self) -> Vec<bool> {
        let (kills, rest): (Vec<Effect>, _) =
            std::mem::take(&mut self.asked).into_iter().partition(|e| matches!(e, Effect::Guard(GuardFx::Kill { .. })));
        self.asked = rest;
        kills
            .iter()
            .filter_map(|e| if let Effect::Guard(GuardFx::Kill { hard, .. }) = e { Some(*hard) } else { None })
            .collect()
    }
    /// What is watched, in order.
    pub fn watched(&self) -> Vec<WatchKey> {
        let key = |e: &Effect| match e {
            Effect::Helper(HelperFx::WatchFile { watch, .. })
            | Effect::Helper(HelperFx::WatchProcesses { watch, .. }) => Some(*watch),
            _ => None,
        };
        self.asked.iter().filter_map(key).collect()
    }
    pub fn reads(&mut self, nth: usize, content: &str) {
        let watch = self.watched()[nth];
        self.event(Event::Helper(HelperEv::FileRead { watch, result: Ok(content.as_bytes()) }));
    }
    fn counts(&mut self, nth: usize, n: u32) {
        let watch = self.watched()[nth];
        self.event(Event::Helper(HelperEv::Processes { watch, result: Ok(n) }));
    }
    pub fn priority(&self) -> u8 {
        self.view().effective_priority
    }
}

#[test]
fn an_unweighted_script_decides_between_backup_and_fault() {
    let mut b = scripts(v2(), vec![script("chk")]);
    assert_eq!(b.state(), State::Init, "nobody knows yet");
    assert_eq!(b.logged("(VI_1) not started: no result of script chk yet"), 1);
    assert!(
        matches!(&b.asked[0], Effect::Guard(GuardFx::Spawn { spec, .. }) if spec.argv == ["/check", "chk"] && spec.uid == 65534)
    );
    b.ends(0);
    assert_eq!(b.state(), State::Backup);
    assert_eq!(b.logged("VRRP_Script(chk) succeeded"), 1);
    assert_eq!(b.logged("(VI_1) Entering BACKUP STATE (init)"), 1);
    b.run(S);
    b.ends(3);
    assert_eq!(b.state(), State::Fault);
    assert_eq!(b.logged("Script `chk` now returning 3"), 1);
    assert_eq!(b.logged("VRRP_Script(chk) failed (exited with status 3)"), 1);
    assert_eq!(b.logged("(VI_1) Entering FAULT STATE: due to script chk"), 1);
    b.run(S);
    b.ends(3);
    assert_eq!(b.logged("returning") + b.logged("VRRP_Script"), 3, "the same again is not told again");
    b.run(S);
    b.ends(0);
    assert_eq!(b.state(), State::Backup);
    assert_eq!(b.logged("Script `chk` now returning 0"), 1);
    b.run(S);
    let child = b.child();
    b.event(Event::Guard(GuardEv::ChildExit { child, end: ChildEnd::Signaled(11) }));
    assert_eq!((b.state(), b.logged("VRRP_Script(chk) failed (due to signal 11)")), (State::Fault, 1));
}

#[test]
fn a_first_result_that_fails_is_a_fault_at_once_and_other_faults_do_not_wait() {
    let mut b = scripts(v2(), vec![VrrpScript { rise: 2, fall: 3, ..script("chk") }]);
    b.ends(1);
    assert_eq!((b.state(), b.logged("Entering FAULT STATE (init): due to script chk")), (State::Fault, 1));
    // One of two trackers has a result: the virtual router still waits.
    let mut b = scripts(v2(), vec![script("a"), script("z")]);
    let all = b.spawned();
    b.exit(all[0], 0);
    assert_eq!((b.state(), b.logged("not started")), (State::Init, 1), "said once");
    b.exit(all[1], 0);
    assert_eq!(b.state(), State::Backup);
    // The interface is down: FAULT. When it is up again there is still no result.
    let mut b = scripts(v2(), vec![script("chk")]);
    b.event(Event::Net(NetEv::LinkNew(link(ETH0, "eth0", false))));
    assert_eq!((b.state(), b.logged("FAULT STATE (init): interface eth0 down")), (State::Fault, 1));
    b.event(Event::Net(NetEv::LinkNew(link(ETH0, "eth0", true))));
    assert_eq!((b.state(), b.logged("still in FAULT state: no result of script chk yet")), (State::Fault, 1));
    b.ends(0);
    assert_eq!(b.state(), State::Backup);
}

#[test]
fn weights_are_added_while_up_and_subtracted_while_down_and_reverse_negates() {
    for (of_script, of_line, reverse, before, up, down) in [
        (20, None, None, 100, 120, 100),
        (-20, None, None, 100, 100, 80),
        (20, None, Some(true), 100, 80, 100),
        (-20, None, Some(true), 100, 100, 120),
        (20, Some(-50), Some(false), 100, 100, 50),
        (253, None, None, 100, 254, 100),
        (-253, None, None, 100, 100, 1),
    ] {
        let mut cfg = v2();
        cfg.more.tracks.scripts = vec![Track { name: "chk".into(), weight: of_line, reverse }];
        let scripts = vec![VrrpScript { weight: weight(of_script, false), ..script("chk") }];
        let mut b = Bench::of(World::new(Config { instances: vec![cfg], scripts, ..Config::default() }));
        b.start();
        b.fire();
        assert_eq!((b.state(), b.priority()), (State::Backup, before), "no result yet: on neither side");
        b.ends(0);
        assert_eq!(b.priority(), up, "{of_script} {of_line:?} {reverse:?} up");
        b.run(S);
        b.ends(1);
        assert_eq!((b.state(), b.priority()), (State::Backup, down), "{of_script} {of_line:?} {reverse:?} down");
    }
    // Reversed without weight: success is the fault. `noreverse` in the line overrides it.
    let mut b = scripts(v2(), vec![VrrpScript { weight: weight(0, true), ..script("chk") }]);
    b.ends(0);
    assert_eq!((b.state(), b.logged("due to script chk")), (State::Fault, 1));
    let mut cfg = v2();
    cfg.track_interfaces = vec![TrackInterface { name: "eth0".into(), weight: 20, reverse: true }];
    assert_eq!(Bench::new(cfg).priority(), 80, "interfaces alike");
}

#[test]
fn every_reason_counts_by_itself() {
    let mut cfg = v2();
    cfg.track_interfaces =
        ["eth1", "eth2"].map(|n| TrackInterface { name: n.into(), weight: 0, reverse: false }).to_vec();
    let mut b = scripts(cfg, vec![script("chk")]);
    b.ends(1);
    assert_eq!(b.state(), State::Fault);
    for (n, name) in [(4, "eth1"), (5, "eth2")] {
        b.event(Event::Net(NetEv::LinkNew(link(n, name, true))));
        assert_eq!(b.state(), State::Fault, "{name}");
    }
    b.run(S);
    b.ends(0);
    assert_eq!(b.state(), State::Backup, "the last one");
    b.event(Event::Net(NetEv::LinkNew(link(4, "eth1", false))));
    b.event(Event::Net(NetEv::LinkNew(link(5, "eth2", false))));
    b.event(Event::Net(NetEv::LinkNew(link(4, "eth1", true))));
    assert_eq!(b.state(), State::Fault, "the first one up clears nothing");
    b.event(Event::Net(NetEv::LinkNew(link(5, "eth2", true))));
    assert_eq!(b.state(), State::Backup);
}

#[test]
fn rise_and_fall_are_results_in_a_row() {
    let mut b = scripts(v2(), vec![VrrpScript { rise: 2, fall: 3, ..script("chk") }]);
    let mut seen = String::new();
    for status in [0, 1, 1, 0, 1, 1, 1, 0, 1, 0, 0] {
        b.ends(status);
        seen.push(if b.state() == State::Fault { 'F' } else { 'b' });
        b.run(S);
    }
    assert_eq!(seen, "bbbbbbFFFFb");
    let mut b = scripts(v2(), vec![VrrpScript { rise: 2, init_fail: true, ..script("chk") }]);
    assert_eq!(b.state(), State::Fault, "begun as failed, nothing is waited for");
    b.ends(0);
    assert_eq!(b.state(), State::Fault);
    b.run(S);
    b.ends(0);
    assert_eq!(b.state(), State::Backup);
}

// Traps 71 and 72.
#[test]
fn a_script_that_ends_neither_in_time_nor_on_sigterm_is_a_failure_and_its_slot_recovers() {
    let mut b = scripts(v2(), vec![VrrpScript { timeout: ms(400), fall: 2, ..script("chk") }]);
    b.ends(0);
    b.run(S);
    let stuck = b.child();
    b.run(ms(399));
    assert_eq!(b.kills(), Vec::<bool>::new());
    b.run(ms(1));
    assert_eq!((b.kills(), b.state()), (vec![false], State::Backup), "SIGTERM, and one of two failures");
    b.run(ms(599));
    assert_eq!((b.state(), b.logged("already running")), (State::Backup, 0));
    b.run(ms(1));
    assert_eq!(b.state(), State::Fault, "a run that cannot be made counts as well");
    assert_eq!(b.logged("VRRP_Script(chk) timed_out"), 1);
    b.run(ms(1400));
    assert_eq!(b.kills(), [true], "SIGKILL two seconds after SIGTERM");
    b.run(S * 20);
    assert_eq!(b.kills(), [true, true], "and every ten seconds");
    assert_eq!(b.logged("Track script chk is already running, expect idle - skipping run"), 1, "one line, not 22");
    assert_eq!(b.spawned(), [], "one slot");
    b.event(Event::Guard(GuardEv::ChildExit { child: stuck, end: ChildEnd::Signaled(9) }));
    assert_eq!((b.state(), b.logged("is idle again, its last run took 22.40 s")), (State::Fault, 1));
    b.run(ms(600));
    b.ends(0);
    assert_eq!(b.state(), State::Backup, "the slot recovered");
}

#[test]
fn a_script_that_lasts_as_long_as_its_interval_does_not_fill_the_log() {
    let mut b = scripts(v2(), vec![VrrpScript { timeout: S * 10, ..script("chk") }]);
    b.ends(0);
    b.run(S);
    let last = |b: &mut Bench, late: bool| {
        let child = b.child();
        b.run(if late { S } else { ms(500) });
        b.event(Event::Guard(GuardEv::ChildExit { child, end: ChildEnd::Exited(0) }));
        b.run(if late { S } else { ms(500) });
    };
    for _ in 0..20 {
        last(&mut b, true);
    }
    let told = |b: &Bench| (b.logged("is already running, expect idle"), b.logged("is idle again"));
    assert_eq!(told(&b), (1, 1));
    // After some that ended in time it is reported again.
    for _ in 0..10 {
        last(&mut b, false);
    }
    last(&mut b, true);
    assert_eq!(told(&b), (2, 2));
}

#[test]
fn a_timeout_of_one_interval_is_one_failure_an_interval() {
    let mut b = scripts(v2(), vec![VrrpScript { fall: 3, ..script("chk") }]);
    b.ends(0);
    b.run(S);
    b.child();
    b.run(S);
    assert_eq!((b.kills(), b.state()), (vec![false], State::Backup), "the first");
    b.run(S);
    assert_eq!(b.state(), State::Backup, "the second");
    b.run(S);
    assert_eq!(b.state(), State::Fault, "the third");
}

#[test]
fn a_script_that_ignores_sigterm_each_time_is_told_once() {
    let mut b = scripts(v2(), vec![script("chk")]);
    b.ends(0);
    for _ in 0..5 {
        b.run(S);
        let deaf = b.child();
        b.run(ms(3200));
        b.exit(deaf, 0);
    }
    for line in ["is already running", "has not ended on SIGTERM", "is idle again", "timed_out"] {
        assert_eq!(b.logged(line), 1, "{line}: {:?}", b.log);
    }
    b.run(S);
    b.ends(0);
    b.run(S);
    let deaf = b.child();
    b.run(ms(3200));
    b.exit(deaf, 0);
    assert_eq!(b.logged("has not ended on SIGTERM"), 2, "it had ended well in between");
}

#[test]
fn a_long_timeout_skips_runs_and_the_result_counts() {
    let mut b = scripts(v2(), vec![VrrpScript { timeout: S * 5, ..script("chk") }]);
    let slow = b.child();
    b.run(ms(3500));
    assert_eq!((b.spawned(), b.kills(), b.state()), (vec![], vec![], State::Init));
    b.exit(slow, 0);
    assert_eq!((b.state(), b.logged("idle again, its last run took 3.50 s")), (State::Backup, 1));
    b.run(ms(500));
    b.ends(0);
}

// Trap 74.
#[test]
fn a_script_that_must_not_run_counts_as_failed_and_says_so() {
    for (ready, why) in
        [(Ready::Refused("no user `nobody`".into()), "no user `nobody`"), (Ready::Unknown, "nobody has looked")]
    {
        let mut s = script("chk");
        s.script.as_mut().expect("a script").ready = ready;
        let mut b = scripts(v2(), vec![s]);
        assert_eq!((b.state(), b.spawned()), (State::Fault, vec![]));
        assert_eq!((b.logged(&format!("VRRP_Script(chk) cannot run: {why}")), b.logged("cannot run")), (1, 1));
        b.run(S * 60);
        assert_eq!((b.state(), b.logged("cannot run")), (State::Fault, 1));
    }
    let b = scripts(v2(), vec![VrrpScript { script: None, weight: weight(-20, false), ..script("chk") }]);
    assert_eq!((b.state(), b.priority()), (State::Backup, 80));
}

#[test]
fn what_could_not_be_started_is_a_failure_unless_there_is_no_process_for_it() {
    let not = |b: &mut Bench, e| {
        let child = b.child();
        b.event(Event::Guard(GuardEv::ChildExit { child, end: ChildEnd::NotStarted(e) }));
    };
    let mut b = scripts(v2(), vec![script("chk")]);
    b.ends(0);
    b.run(S);
    not(&mut b, Errno::ENOENT);
    assert_eq!(
        (b.state(), b.logged("failed (could not be started: no such file or directory (2))")),
        (State::Fault, 1)
    );
    b.run(S);
    b.ends(0);
    assert_eq!(b.state(), State::Backup);
    b.run(S);
    for _ in 0..9 {
        not(&mut b, Errno::EAGAIN);
        b.run(ms(100));
    }
    assert_eq!(
        (b.state(), b.logged("Track script chk could not be started: no process can be had")),
        (State::Backup, 1)
    );
    b.ends(0);
    assert_eq!(b.state(), State::Backup, "it never was a failure");
    b.run(ms(100));
    for _ in 0..10 {
        assert_eq!(b.state(), State::Backup);
        not(&mut b, Errno::EAGAIN);
        b.run(ms(100));
    }
    assert_eq!(b.state(), State::Fault, "an answer does not last for ever");
}

#[test]
fn a_file_multiplies_and_what_it_says_now_is_all_that_counts() {
    let mut b = files(v2(), vec![file("load")]);
    assert_eq!((b.state(), b.priority()), (State::Backup, 100));
    // Trap 42: FAULT, then another value than before.
    for (content, state, priority) in [
        ("30\n", State::Backup, 130),
        ("-254", State::Fault, 100),
        ("-20", State::Backup, 80),
        ("-253", State::Backup, 1),
        ("-2147483648", State::Fault, 100),
        ("2147483647", State::Backup, 254),
        ("-20 and more", State::Backup, 80),
        ("junk", State::Backup, 100),
    ] {
        b.reads(0, content);
        assert_eq!((b.state(), b.priority()), (state, priority), "{content}");
    }
    assert_eq!(b.logged("Entering FAULT STATE: tracked file load has status -254"), 1);
    b.reads(0, "-30");
    b.reads(0, "9999999999");
    assert_eq!((b.priority(), b.logged("Invalid number 9999999999")), (70, 1), "keepalived keeps the last one");
    let watch = b.watched()[0];
    b.event(Event::Helper(HelperEv::FileRead { watch, result: Err(Errno::ENOENT) }));
    assert_eq!((b.priority(), b.logged("cannot be read")), (100, 0));
    for _ in 0..3 {
        b.event(Event::Helper(HelperEv::FileRead { watch, result: Err(Errno(13)) }));
    }
    assert_eq!((b.priority(), b.logged("Tracked file load cannot be read: permission denied (13)")), (100, 1));
}

#[test]
fn files_without_weight_and_files_of_any_size() {
    let mut b = files(v2(), vec![TrackFile { weight: weight(0, false), ..file("stop") }]);
    assert_eq!(b.state(), State::Init);
    b.reads(0, "");
    assert_eq!(b.state(), State::Backup);
    b.reads(0, "1");
    assert_eq!((b.state(), b.logged("tracked file stop has status 1")), (State::Fault, 1));
    let mut b = files(v2(), vec![TrackFile { weight: weight(0, true), ..file("go") }]);
    b.reads(0, "0");
    assert_eq!(b.state(), State::Fault, "reversed: 0 is the fault");
    b.reads(0, "1");
    assert_eq!(b.state(), State::Backup);
    let huge = |name, w| TrackFile { weight: weight(w, false), ..file(name) };
    let mut b = files(v2(), vec![huge("a", 254), huge("b", 254), huge("c", -254)]);
    for n in 0..2 {
        b.reads(n, "2147483647");
    }
    assert_eq!((b.state(), b.priority()), (State::Backup, 254));
    b.reads(2, "2147483647");
    assert_eq!(b.state(), State::Fault);
    b.reads(2, "-2147483648");
    assert_eq!((b.state(), b.priority()), (State::Backup, 254));
}

#[test]
fn processes_have_a_quorum_and_its_loss_and_gain_have_delays() {
    let with = |p| tracking(v2(), Config { track_processes: vec![p], ..Config::default() });
    let mut b = with(TrackProcess { quorum: 2, quorum_max: Some(3), ..process("nginx") });
    assert_eq!(b.state(), State::Init);
    for (n, state) in [(2, State::Backup), (1, State::Fault), (3, State::Backup), (4, State::Fault), (2, State::Backup)]
    {
        b.counts(0, n);
        assert_eq!(b.state(), state, "{n} processes");
    }
    assert_eq!(b.logged("Entering FAULT STATE: tracked process nginx quorum not achieved"), 2);
    assert_eq!((b.logged("Quorum lost for tracked process nginx"), b.logged("Quorum gained for tracked")), (2, 3));
    let watch = b.watched()[0];
    b.event(Event::Helper(HelperEv::Processes { watch, result: Err(Errno(1)) }));
    assert_eq!((b.state(), b.logged("processes cannot be counted")), (State::Fault, 1), "never up unseen");

    let mut b = with(TrackProcess { terminate_delay: ms(300), fork_delay: ms(500), ..process("nginx") });
    b.counts(0, 1);
    assert_eq!(b.state(), State::Backup, "the first count waits for nothing");
    b.counts(0, 0);
    b.run(ms(299));
    b.counts(0, 1);
    b.run(ms(500));
    assert_eq!((b.state(), b.logged("Quorum lost")), (State::Backup, 0), "back before the delay was over");
    b.counts(0, 0);
    b.run(ms(299));
    assert_eq!(b.state(), State::Backup);
    b.run(ms(1));
    assert_eq!(b.state(), State::Fault);
    b.counts(0, 1);
    b.run(ms(250));
    b.counts(0, 2);
    b.run(ms(249));
    assert_eq!(b.state(), State::Fault);
    b.run(ms(1));
    assert_eq!(b.state(), State::Backup, "from the first that came");
}

#[test]
fn an_owners_trackers_fault_and_never_move_its_priority() {
    let owner = InstanceConfig { priority: 255, ..v2() };
    let mut b = scripts(owner.clone(), vec![VrrpScript { weight: weight(-20, false), ..script("chk") }]);
    let said = "(VI_1) Cannot have weighted track script 'chk' with priority 255: it is not tracked";
    assert_eq!((b.logged(said), b.logged("is a fault")), (1, 0));
    b.run(ms(1));
    assert_eq!(b.state(), State::Master, "what has a weight is not waited for");
    b.ends(1);
    assert_eq!((b.state(), b.priority()), (State::Master, 255), "nor does it fault");
    let tracks = |weight| TrackInterface { name: "eth1".into(), weight, reverse: false };
    let mut cfg = owner.clone();
    cfg.track_interfaces = vec![tracks(-30)];
    let mut b = Bench::new(cfg.clone());
    b.run(ms(1));
    assert_eq!(b.state(), State::Master, "an interface alike");
    cfg.track_interfaces = vec![tracks(0)];
    assert_eq!(Bench::new(cfg).state(), State::Fault);
    // Without weight it leads to FAULT as before.
    let mut b = scripts(owner, vec![script("chk")]);
    assert_eq!(b.state(), State::Init);
    b.ends(0);
    assert_eq!((b.state(), b.priority()), (State::Master, 255));
    b.run(S);
    b.ends(1);
    assert_eq!((b.state(), b.priority()), (State::Fault, 255));
}

#[test]
fn a_weight_moves_the_running_timer_of_a_backup_and_the_adverts_of_a_master() {
    let mut b = scripts(v2(), vec![VrrpScript { timeout: S * 60, weight: weight(-100, false), ..script("chk") }]);
    b.ends(0);
    // 3 s + 156/256 s; with priority 1 it is 3 s + 255/256 s.
    b.run(S);
    b.ends(1);
    assert_eq!(
        (b.priority(), b.logged("(VI_1) Changing effective priority from 100 to 1: priority 100, script chk -100")),
        (1, 1)
    );
    b.run(Duration::from_nanos(2_996_093_749));
    assert_eq!(b.state(), State::Backup);
    b.run(Duration::from_nanos(1));
    assert_eq!(b.state(), State::Master);
    b.run(ms(1));
    b.out.clear();
    b.ends(0);
    assert_eq!((b.state(), b.priority()), (State::Master, 100));
    let armed: Vec<_> =
        b.out.iter().filter_map(|o| if let Out::Armed(_, p) = o { Some(p[20 + 2]) } else { None }).collect();
    assert!(!armed.is_empty() && armed.iter().all(|p| *p == 100), "{armed:?}");
}

#[test]
fn scripts_that_go_together_keep_their_schedule_however_late_each_turn_is() {
    // A Backup that waits for hours, so that nothing but scripts is ever due.
    let cfg = InstanceConfig { advert_int: S * 255, down_timer_adverts: 100, ..v2() };
    let mut b = scripts(cfg, (0..8).map(|n| script(&format!("s{n}"))).collect());
    let began = b.now.mono;
    for second in 0..100u64 {
        let children = b.spawned();
        assert_eq!(children.len(), 8, "second {second}");
        for child in children {
            b.exit(child, 0);
        }
        let due = began + S * (second as u32 + 1);
        let next = b.world.next_deadline();
        assert!(matches!(next, Some((at, Due::TrackRun(_))) if at == due), "{next:?}");
        // The turns are late by different times, as on a busy machine.
        b.now.mono = due + ms(second * 13 % 40);
        b.fire();
    }
    // After a pause of the loop each script runs once, without the missed runs, and then at its former times.
    for child in b.spawned() {
        b.exit(child, 0);
    }
    b.now.mono += ms(7500);
    b.fire();
    assert_eq!(b.spawned().len(), 8);
    let Some((at, Due::TrackRun(_))) = b.world.next_deadline() else { panic!("a run is due") };
    assert_eq!(at.since(began).as_nanos() % S.as_nanos(), 0);
}

#[test]
fn a_turn_starts_at_most_so_many_programs() {
    let config = Config {
        instances: vec![{
            let mut cfg = v2();
            cfg.more.tracks.scripts = (0..200).map(|n| line(&format!("s{n}"))).collect();
            cfg
        }],
        scripts: (0..200).map(|n| script(&format!("s{n}"))).collect(),
        ..Config::default()
    };
    let mut b = Bench::of(World::new(config));
    b.start();
    let mut turns = Vec::new();
    loop {
        let mut fx = Effects::default();
        let more = b.world.fire(b.now, 64, &mut fx);
        turns.push(fx.iter().filter(|e| matches!(e, Effect::Guard(GuardFx::Spawn { .. }))).count());
        if !more {
            break;
        }
    }
    assert!(turns.iter().all(|n| *n <= 64) && turns.iter().sum::<usize>() == 200, "{turns:?}");
}

#[test]
fn a_script_that_flaps_every_10_ms_leaves_nothing_behind() {
    let flapping = VrrpScript { interval: ms(10), weight: weight(-20, false), ..script("chk") };
    let mut b = Bench::of(World::new(Config {
        instances: vec![{
            let mut cfg = v3();
            cfg.advert_int = ms(10);
            cfg.more.tracks.scripts = vec![line("chk")];
            cfg
        }],
        scripts: vec![flapping],
        ..Config::default()
    }));
    b.start();
    b.fire();
    let mut most = 0;
    for n in 0..5000u32 {
        for child in b.spawned() {
            b.exit(child, (n % 2) as u8);
        }
        b.run(ms(10));
        most = most.max(b.armed.len());
        assert!(b.asked.len() <= 1, "{:?}", b.asked);
    }
    assert_eq!(b.state(), State::Master);
    assert!(most <= 8, "{most} adverts armed");
    assert_eq!(b.logged("Changing effective priority"), 25, "of 4,999 changes, five in ten seconds");
    assert_eq!(b.world.tracks().len(), 1);
}

#[test]
fn a_stop_ends_what_runs_and_a_script_nobody_tracks_does_not_run() {
    let mut config = Config { scripts: vec![script("used"), script("idle")], ..Config::default() };
    let mut cfg = v2();
    cfg.more.tracks.scripts = vec![line("used"), line("unknown")];
    config.instances = vec![cfg];
    let mut b = Bench::of(World::new(config));
    b.start();
    b.fire();
    assert_eq!(b.logged("Warning - script idle is not used"), 1);
    let child = b.child();
    b.exit(child, 0);
    assert_eq!(b.state(), State::Backup, "a name that nothing has is not there");
    let now = b.now;
    let report = b.world.report(now).trackers;
    assert_eq!((report[0].kind.as_str(), report[0].name.as_str(), report[0].up), ("script", "used", Some(true)));
    assert_eq!(b.world.tracks()[0].verdict, Verdict::Up(true));
    b.run(S);
    let child = b.child();
    b.term();
    assert_eq!(b.kills(), [false]);
    b.event(Event::Guard(GuardEv::ChildExit { child, end: ChildEnd::Signaled(15) }));
    b.run(S * 5);
    assert_eq!((b.spawned(), b.logged("failed")), (vec![], 0));
}

#[test]
fn a_reload_brings_changes_and_takes_trackers_and_a_running_router_waits_for_no_first_result() {
    let of = |names: &[&str], w| {
        let mut cfg = v2();
        cfg.more.tracks.scripts = names.iter().map(|n| line(n)).collect();
        let scripts = names.iter().map(|n| VrrpScript { weight: weight(w, false), ..script(n) }).collect();
        Box::new(Config { instances: vec![cfg], scripts, ..Config::default() })
    };
    let mut b = Bench::of(World::new(*of(&[], 0)));
    b.start();
    b.run(S * 10);
    assert_eq!(b.state(), State::Master);
    let reload = |b: &mut Bench, config| {
        b.event(Event::Guard(GuardEv::Config(config)));
        b.run(ms(1));
        assert!(!b.world.reloading());
    };
    reload(&mut b, of(&["chk"], 0));
    assert_eq!((b.state(), b.logged("not started")), (State::Master, 0), "a Master that goes on");
    b.ends(1);
    assert_eq!((b.state(), b.logged("due to script chk")), (State::Fault, 1));
    reload(&mut b, of(&["chk"], -20));
    assert_eq!((b.state(), b.priority()), (State::Backup, 80), "the same failure weighs now");
    reload(&mut b, of(&["chk", "two"], -20));
    b.ends(1);
    assert_eq!(b.priority(), 60);
    b.run(S);
    assert_eq!(b.spawned().len(), 2, "the first kept its schedule");
    reload(&mut b, of(&["two"], -20));
    assert_eq!((b.priority(), b.kills()), (80, vec![false]));
    reload(&mut b, of(&[], 0));
    assert_eq!((b.priority(), b.kills(), b.world.tracks().len()), (100, vec![false], 0));
}
