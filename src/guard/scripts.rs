//! The programs that run for the core: each in a process group of its own, at most [`MOST`].
//!
//! Read first: `sys/child.rs`, `effect.rs` (`SpawnSpec`).

use super::allowed::{Allowed, Leave};
use super::leftovers::MARK;
use super::state::Script;
use super::text;
use crate::config::model::lvs::Part;
use crate::effect::SpawnSpec;
use crate::event::{ChildEnd, Errno};
use crate::note::Note;
use crate::process::image::image_with_header;
use crate::process::parts::Parts;
use crate::sys::child::{self, End, How, Program, Report, Reports};
use crate::sys::{host, processes, signal};
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::fs::File;

/// Programs at one time. A hook for each of 255 routers and a check beside each; beyond that number some programs do not end, and one
/// more process does not help.
pub const MOST: usize = 512;
/// How long programs of a core that has ended may still run where they are not ended with it: notification scripts are not repeated.
const HOOKS_LIMIT: Duration = Duration::from_secs(60);
/// From SIGTERM to SIGKILL for programs of a core that has ended.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most descendants of a script that are ended with it.
const BELOW: usize = 256;
/// Most scripts that are logged for their missing `#!` line.
const NAMED: usize = 64;

struct Running {
    /// The core that requested the program, and its name there; `None`: that core has ended, and no core is notified.
    owner: Option<(u32, u64)>,
    path: String,
    /// The error of its start.
    failed: Option<i32>,
    /// When the program is killed.
    deadline: Option<Instant>,
    /// The program's arguments, if no other program with the same ones may run beside it.
    alone: Vec<String>,
    /// The core has sent it SIGTERM.
    asked: bool,
    /// The program runs only if no user but root can replace it.
    secure: bool,
    /// A notification script: what it starts stays when it ends, and no core repeats it.
    hook: bool,
}

/// The running programs of all cores, by process id and by core and name, and the starts that wait for the end of another program.
#[derive(Default)]
pub struct Scripts {
    by_pid: BTreeMap<u32, Running>,
    by_name: BTreeMap<(u32, u64), u32>,
    /// Programs that start after another one has ended.
    waiting: Vec<(u32, u64, SpawnSpec)>,
    named: BTreeSet<String>,
    /// Scripts that were refused at their start and logged; their number has the same limit.
    exchanged: BTreeSet<String>,
    /// The programs that may be started.
    allowed: Allowed,
}

/// The result of a program: the core that is notified, the name, and the end.
pub type Ended = Option<(u32, u64, ChildEnd)>;

impl Scripts {
    /// From now on the commands of the configuration in `image` may be started, too. An image that cannot be read has no commands; no
    /// core runs with it either.
    pub fn allow(&mut self, image: &File) {
        let Ok((config, header)) = image_with_header(image) else { return };
        self.allowed.add(&config);
        let Ok(file) = image.try_clone() else { return };
        let mut parts = Parts::new(file, &header);
        // Only the commands of the virtual servers are kept.
        while let Ok(some) = parts.read() {
            some.iter().for_each(|part| self.allowed.add_part(&config, part));
            if some.contains(&Part::End) {
                break;
            }
        }
    }

    /// Starts a program for core number `core`, perhaps later. The error is reported to the core.
    pub fn spawn(&mut self, core: u32, name: u64, spec: &SpawnSpec, reports: &Reports) -> Result<(), ChildEnd> {
        let failed = |e: std::io::Error| ChildEnd::NotStarted(Errno(e.raw_os_error().unwrap_or(Errno::EAGAIN.0)));
        let known = self.by_name.contains_key(&(core, name)) || self.waiting.iter().any(|w| (w.0, w.1) == (core, name));
        if self.by_pid.len() + self.waiting.len() >= MOST || known {
            return Err(ChildEnd::NotStarted(Errno::EAGAIN));
        }
        if self.is_beside(spec) {
            self.waiting.push((core, name, spec.clone()));
            return Ok(());
        }
        let leave = self.allowed.find(spec).ok_or(ChildEnd::NotStarted(Errno::EPERM))?;
        let program = program(spec, leave).ok_or(ChildEnd::NotStarted(Errno::ENOENT))?;
        let us = (host::user(), host::group());
        let user = Some(leave.user.unwrap_or(us));
        let hook = spec.env.iter().any(|(name, _)| name == MARK);
        // A notification script runs to its end, also after a hand-over, when this process is gone.
        let how = How { user, shell: true, secure: leave.secure, outlives: hook, ..How::default() };
        let pid = child::spawn(&program, &how, reports).map_err(failed)?;
        let secure = how.secure;
        let path = spec.argv.first().cloned().unwrap_or_default();
        let alone = if spec.alone { spec.argv.clone() } else { Vec::new() };
        let owner = Some((core, name));
        self.by_pid
            .insert(pid, Running { owner, path, failed: None, deadline: None, alone, asked: false, secure, hook });
        self.by_name.insert((core, name), pid);
        Ok(())
    }

    /// Whether the program must wait for another one.
    fn is_beside(&self, spec: &SpawnSpec) -> bool {
        spec.alone && self.by_pid.values().any(|r| r.alone == spec.argv)
    }

    /// Starts programs that need not wait any more; returns the notifications for those whose start failed.
    pub fn start_waiting(&mut self, reports: &Reports) -> Vec<(u32, u64, ChildEnd)> {
        let mut failed = Vec::new();
        for (core, name, spec) in core::mem::take(&mut self.waiting) {
            if let Err(end) = self.spawn(core, name, &spec, reports) {
                failed.push((core, name, end));
            }
        }
        failed
    }

    /// Signals a program of core number `core`. A program that was not started yet is dropped: its end is returned.
    #[must_use]
    pub fn kill(&mut self, core: u32, name: u64, hard: bool) -> Option<ChildEnd> {
        if let Some(at) = self.waiting.iter().position(|w| (w.0, w.1) == (core, name)) {
            self.waiting.remove(at);
            return Some(ChildEnd::Signaled(signal::TERM));
        }
        let pid = self.by_name.get(&(core, name))?;
        // First the descendants in sessions of their own, while their parent still exists.
        for below in processes::below(*pid, BELOW) {
            processes::signal_descendant(below, hard);
        }
        child::kill(*pid, true, hard);
        self.by_pid.get_mut(pid)?.asked = true;
        None
    }

    /// A child reported its start.
    pub fn on_report(&mut self, report: Report) -> Option<Note> {
        match report {
            Report::Failed(pid, errno) => {
                let running = self.by_pid.get_mut(&pid)?;
                running.failed = Some(errno);
                let (refused, path) = (running.secure && errno == Errno::EPERM.0, running.path.clone());
                (refused && self.exchanged.len() < NAMED && self.exchanged.insert(path.clone()))
                    .then(|| text::exchanged(&path))
            }
            Report::ByShell(pid) => {
                let path = &self.by_pid.get(&pid)?.path;
                let new = self.named.len() < NAMED && self.named.insert(path.clone());
                new.then(|| text::shebang(path))
            }
        }
    }

    /// Process `pid` has ended and is not reaped yet. `None`: it is not one of these.
    pub fn on_end(&mut self, pid: u32, end: End) -> Option<Ended> {
        let running = self.by_pid.remove(&pid)?;
        if !running.hook {
            // Kills what is left of its group. The number names the group until the process is reaped, so no other group is hit.
            child::kill(pid, true, true);
        }
        let Some((core, name)) = running.owner else { return Some(None) };
        self.by_name.remove(&(core, name));
        let end = match (running.failed, end) {
            (Some(errno), _) => ChildEnd::NotStarted(Errno(errno)),
            (None, End::Exited(code)) => ChildEnd::Exited(code),
            (None, End::Signaled(signal)) => ChildEnd::Signaled(signal),
        };
        Some(Some((core, name, end)))
    }

    /// Core number `core` has ended. Its notification scripts get `HOOKS_LIMIT`, and if it was `replaced` in order its checks too. All
    /// others are ended now, and those that the core had asked to end.
    pub fn orphan(&mut self, core: u32, now: Instant, replaced: bool) {
        for (pid, running) in &mut self.by_pid {
            if running.owner.is_some_and(|(c, _)| c == core) {
                running.owner = None;
                let stays = (running.hook || replaced && running.alone.is_empty()) && !running.asked;
                if !stays && !running.asked {
                    child::kill(*pid, true, false);
                }
                running.deadline = Some(now + if stays { HOOKS_LIMIT } else { PATIENCE });
            }
        }
        self.waiting.retain(|(c, ..)| *c != core);
        self.by_name.retain(|(c, _), _| *c != core);
    }

    /// Kills programs whose time is over.
    pub fn tick(&mut self, now: Instant) {
        for (pid, running) in &mut self.by_pid {
            if running.deadline.is_some_and(|at| now >= at) {
                child::kill(*pid, true, true);
                // Killed again later, in case a system call in the kernel does not end.
                running.deadline = Some(now + PATIENCE);
            }
        }
    }

    /// Kills all programs but notification scripts: they run to their end, unless the core has asked them to end.
    pub fn kill_all(&self) {
        let goes = |r: &Running| !r.hook || r.asked;
        self.by_pid.iter().filter(|(_, r)| goes(r)).for_each(|(pid, _)| child::kill(*pid, true, true));
    }

    /// The state for the guard that this process executes.
    pub(super) fn state(&self) -> Vec<Script> {
        let script = |(pid, r): (&u32, &Running)| Script {
            pid: *pid,
            owner: r.owner,
            path: r.path.clone(),
            deadline: r.deadline.map(|at| at.0),
            alone: r.alone.clone(),
            hook: r.hook,
        };
        self.by_pid.iter().map(script).collect()
    }

    /// Restores the result of [`Scripts::state`].
    pub(super) fn from_state(scripts: Vec<Script>) -> Scripts {
        let mut all = Scripts::default();
        for s in scripts {
            all.by_name.extend(s.owner.map(|name| (name, s.pid)));
            let deadline = s.deadline.map(Instant);
            let Script { pid, owner, path, alone, hook, .. } = s;
            let running = Running { owner, path, failed: None, deadline, alone, asked: false, secure: false, hook };
            all.by_pid.insert(pid, running);
        }
        all
    }

    /// Whether no program waits to be started: the state for another guard contains only running ones.
    pub fn is_settled(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The number of running programs.
    pub fn len(&self) -> usize {
        self.by_pid.len()
    }
    /// Whether no program runs.
    pub fn is_empty(&self) -> bool {
        self.by_pid.is_empty()
    }
}

/// The search path for a program without a slash in its name, when the guard's environment has none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Variables that are passed on. All others are not: LD_*, IFS and the like change what a script does, and NOTIFY_SOCKET would let it
/// send to systemd in the guard's name.
const KEPT: [&str; 8] = ["HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TZ", "USER"];

/// Those of them that describe the user: another user gets its own.
const OURS: [&str; 5] = ["HOME", "LOGNAME", "PATH", "SHELL", "USER"];

/// `None`: a word contains a NUL.
fn program(spec: &SpawnSpec, leave: &Leave) -> Option<Program> {
    let c = |s: &str| CString::new(s).ok();
    let other = leave.user.is_some_and(|(uid, _)| uid != host::user());
    let path = std::env::var("PATH").ok().filter(|p| !p.is_empty() && !other).unwrap_or_else(|| PATH.to_owned());
    let name = spec.argv.first()?;
    let paths = match name.contains('/') {
        true => vec![c(name)?],
        // An empty element would mean the current directory, which is not searched.
        false => path.split(':').filter(|d| d.starts_with('/')).filter_map(|d| c(&format!("{d}/{name}"))).collect(),
    };
    let kept = KEPT.iter().filter(|n| !other || !OURS.contains(n));
    let mut env: BTreeMap<String, String> =
        kept.filter_map(|n| Some(((*n).to_owned(), std::env::var(n).ok()?))).collect();
    env.extend(std::env::vars_os().filter_map(|(n, v)| {
        let (n, v) = (n.into_string().ok()?, v.into_string().ok()?);
        n.starts_with("LC_").then_some((n, v))
    }));
    env.entry("PATH".to_owned()).or_insert(path);
    if let Some(login) = &leave.login {
        for (name, value) in
            [("USER", &login.name), ("LOGNAME", &login.name), ("HOME", &login.home), ("SHELL", &login.shell)]
        {
            env.entry(name.to_owned()).or_insert_with(|| value.to_string());
        }
    }
    env.extend(spec.env.iter().cloned());
    Some(Program {
        paths,
        argv: spec.argv.iter().map(|a| c(a)).collect::<Option<_>>()?,
        env: env.iter().filter_map(|(n, v)| c(&format!("{n}={v}"))).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Config;
    use crate::config::model::setting::{Ready, Script as Command};
    use crate::sys::poll;

    /// Children are reaped by the first test that calls, and these tests share a process: one test, step by step.
    struct Bench {
        scripts: Scripts,
        reports: Reports,
        notes: Vec<String>,
    }

    impl Bench {
        fn allow(&mut self, argv: &[&str], uid: u32, gid: u32) {
            let argv = argv.iter().map(|a| (*a).into()).collect();
            let script = Command { argv, ready: Ready::As { uid, gid }, ..Command::default() };
            let mut config = Config::default();
            config.global.more.notify_fifo_script = Some(Box::new(script));
            self.scripts.allowed.add(&config);
        }
        fn run(&mut self, name: u64, argv: &[&str], env: &[(&str, &str)]) -> Result<(), ChildEnd> {
            use std::os::unix::fs::MetadataExt;
            let me = std::fs::metadata("/proc/self").unwrap();
            let spec = SpawnSpec {
                argv: argv.iter().map(|a| (*a).to_owned()).collect(),
                env: env.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
                uid: me.uid(),
                gid: me.gid(),
                alone: false,
            };
            self.allow(argv, me.uid(), me.gid());
            self.scripts.spawn(1, name, &spec, &self.reports)
        }
        fn alone(&mut self, core: u32, name: u64, argv: &[&str]) {
            use std::os::unix::fs::MetadataExt;
            let me = std::fs::metadata("/proc/self").unwrap();
            self.allow(argv, me.uid(), me.gid());
            let argv = argv.iter().map(|a| (*a).to_owned()).collect();
            let spec = SpawnSpec { argv, env: Vec::new(), uid: me.uid(), gid: me.gid(), alone: true };
            self.scripts.spawn(core, name, &spec, &self.reports).unwrap();
        }
        fn end(&mut self) -> Ended {
            loop {
                if let Some((pid, end)) = child::ended() {
                    for r in self.reports.read() {
                        self.notes.extend(self.scripts.on_report(r).map(|n| n.text));
                    }
                    let ended = self.scripts.on_end(pid, end);
                    child::reap(pid);
                    if let Some(ended) = ended {
                        return ended;
                    }
                }
                let _ = poll::readable(&[], 1);
            }
        }
        fn ends(&mut self, name: u64, argv: &[&str]) -> ChildEnd {
            self.run(name, argv, &[]).unwrap();
            let ended = self.end().unwrap();
            assert_eq!((ended.0, ended.1), (1, name));
            ended.2
        }
    }

    #[test]
    fn programs_run_end_and_are_ended() {
        let reports = Reports::new().unwrap();
        let mut b = Bench { scripts: Scripts::default(), reports, notes: Vec::new() };
        let dir = std::env::temp_dir().join(format!("kalived-scripts-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = |n: &str| dir.join(n).to_str().unwrap().to_owned();
        let script = |n: &str, text: &str| {
            use std::os::unix::fs::PermissionsExt;
            std::fs::write(path(n), text).unwrap();
            std::fs::set_permissions(path(n), std::fs::Permissions::from_mode(0o755)).unwrap();
            path(n)
        };
        assert_eq!(b.ends(1, &["sh", "-c", "exit 7"]), ChildEnd::Exited(7));
        assert_eq!(b.ends(2, &["/bin/sh", "-c", "kill -9 $$"]), ChildEnd::Signaled(9));
        assert_eq!(b.ends(3, &["/nonexistent/x"]), ChildEnd::NotStarted(Errno::ENOENT));
        assert_eq!(b.ends(4, &["no-such-program-anywhere"]), ChildEnd::NotStarted(Errno::ENOENT));
        assert_eq!(b.ends(5, &[dir.to_str().unwrap()]), ChildEnd::NotStarted(Errno(13)), "a directory");
        // A script without #! is run by sh with its arguments unchanged, and logged once.
        let odd = script("odd", &format!("echo \"$1|$2|$3\" > {}\nexit 3\n", path("out")));
        assert_eq!(b.ends(6, &[&odd, "a b", "$(x)'", ""]), ChildEnd::Exited(3));
        assert_eq!(b.ends(7, &[&odd]), ChildEnd::Exited(3));
        assert_eq!(b.notes, [format!("Please add a #! shebang to script {odd}")]);
        // A script is started with fds 0 to 2, a process group, no signal blocked or ignored, directory /, a clean environment. Its
        // children inherit the signals and read their own: the shell blocks some for a moment around each fork.
        let look = script(
            "look",
            &format!(
                "#!/bin/sh\n{{ echo fds $(ls /proc/$$/fd | head -3); echo dir $(pwd); umask; echo group $(($(cut -d' ' -f5 /proc/$$/stat) == $$)); \
                 grep -E '^Sig(Blk|Ign)' /proc/self/status; cut -d' ' -f6,7 /proc/self/stat; echo sid $$; \
                 grep -E 'realtime|nice|locked|core' /proc/self/limits; cat /proc/self/oom_score_adj; echo st $STATE.$IFSX; env | grep -cE '^(LD_|NOTIFY)'; \
                 readlink /proc/self/fd/0; }} > {}\n",
                path("out")
            ),
        );
        b.run(8, &[&look], &[("STATE", "MASTER")]).unwrap();
        assert_eq!(b.end().map(|e| e.2), Some(ChildEnd::Exited(0)));
        let seen = std::fs::read_to_string(path("out")).unwrap();
        for want in ["dir /\n", "0022\n", "group 1\n", "SigBlk:\t0000000000000000", "st MASTER.\n", "\n0\n"] {
            assert!(seen.contains(want), "{want:?} in {seen}");
        }
        assert!(seen.ends_with("/dev/null\n"), "{seen}");
        let ignored = seen.lines().find_map(|l| l.strip_prefix("SigIgn:\t")).unwrap();
        // Signals 32 and 33 belong to the C library, which does not let a program change them.
        assert_eq!(u64::from_str_radix(ignored, 16).unwrap() & !(3 << 31), 0, "{seen}");
        // A session of its own without a terminal, and limits that this user cannot raise.
        let session = seen.lines().find_map(|l| l.strip_suffix(" 0")).unwrap();
        assert!(seen.contains(&format!("sid {session}\n")), "{seen}");
        let limit = |name: &str| {
            let line = seen.lines().find_map(|l| l.strip_prefix(name)).unwrap();
            line.split_whitespace().map(str::to_owned).take(2).collect::<Vec<_>>()
        };
        assert_eq!(
            (limit("Max realtime priority"), limit("Max nice priority")),
            (vec!["0".into(); 2], vec!["0".into(); 2])
        );
        assert_eq!(limit("Max core file size")[0], "0");
        let locked = limit("Max locked memory");
        assert!(locked.iter().all(|l| l.parse::<u64>().is_ok_and(|n| n <= 8 << 20)), "{locked:?}");
        // A program that no configuration names is not started.
        let stranger = SpawnSpec { argv: vec!["/bin/true".to_owned()], ..SpawnSpec::default() };
        assert_eq!(b.scripts.spawn(1, 80, &stranger, &b.reports), Err(ChildEnd::NotStarted(Errno::EPERM)));
        // A script that ignores TERM, with a child of its own that would stay.
        let stay = script(
            "stay",
            &format!(
                "#!/bin/sh\ntrap '' TERM\nsleep 1000 &\necho $! > {}.new\nmv {0}.new {0}\nwhile :; do wait; done\n",
                path("pid")
            ),
        );
        b.run(9, &[&stay], &[]).unwrap();
        assert_eq!(b.run(9, &[&stay], &[]), Err(ChildEnd::NotStarted(Errno::EAGAIN)), "the name is taken");
        let sleeper = loop {
            match std::fs::read_to_string(path("pid")) {
                Ok(p) if p.ends_with('\n') => break p.trim().to_owned(),
                _ => drop(poll::readable(&[], 1)),
            }
        };
        assert_eq!(b.scripts.kill(2, 9, true), None, "another core's");
        assert_eq!(b.scripts.kill(1, 9, false), None);
        assert_eq!(b.scripts.kill(1, 9, true), None);
        assert_eq!(b.end(), Some((1, 9, ChildEnd::Signaled(9))));
        let gone = || std::fs::read_to_string(format!("/proc/{sleeper}/stat")).map_or(true, |s| s.contains(") Z "));
        while !gone() {
            let _ = poll::readable(&[], 1);
        }
        // A core that has ended is not notified, and its programs end.
        b.run(10, &["sleep", "1000"], &[]).unwrap();
        b.scripts.orphan(1, Instant(0), false);
        assert_eq!(b.end(), None);
        // Programs that may continue end when their time is over.
        b.run(11, &["sleep", "1000"], &[]).unwrap();
        b.scripts.orphan(1, Instant(0), true);
        let last = Instant(HOOKS_LIMIT.as_nanos() as u64);
        b.scripts.tick(Instant(last.0 - 1));
        b.scripts.tick(last);
        assert_eq!(b.end(), None);
        // A notification script outlives its core, and what it started outlives the script.
        let hook = script(
            "hook",
            &format!(
                "#!/bin/sh\nsleep 1000 &\necho $! > {0}.new\nmv {0}.new {0}\nread x < {1}\nexit 4\n",
                path("left"),
                path("go")
            ),
        );
        assert!(std::process::Command::new("mkfifo").arg(path("go")).status().unwrap().success());
        b.run(14, &[&hook], &[("KALIVED_EVENT", "MASTER")]).unwrap();
        b.scripts.orphan(1, Instant(0), false);
        b.scripts.kill_all();
        b.scripts = Scripts { allowed: Allowed::default(), ..Scripts::from_state(b.scripts.state()) };
        std::fs::write(path("go"), "go\n").unwrap();
        let ended = loop {
            match child::ended() {
                Some(ended) => break ended,
                None => drop(poll::readable(&[], 1)),
            }
        };
        assert_eq!(ended.1, End::Exited(4), "it ran to its end");
        assert_eq!(b.scripts.on_end(ended.0, ended.1), Some(None));
        child::reap(ended.0);
        let left: u32 = std::fs::read_to_string(path("left")).unwrap().trim().parse().unwrap();
        let state = std::fs::read_to_string(format!("/proc/{left}/stat")).unwrap();
        assert!(!state.contains(") Z "), "{state}");
        child::kill(left, false, true);
        // Unless it was asked to end.
        b.run(15, &["sleep", "1000"], &[("KALIVED_EVENT", "STOP")]).unwrap();
        assert_eq!(b.scripts.kill(1, 15, false), None);
        b.scripts.kill_all();
        assert!(b.end().is_some());
        // A reader that ignores SIGTERM: the next core's reader waits for its end, which comes in two seconds even where hooks get a
        // minute; and its end is not taken for that of the next reader.
        let reader: &[&str] = &[&stay, "the pipe"];
        b.alone(1, 12, reader);
        assert_eq!(b.scripts.kill(1, 12, false), None);
        b.scripts.orphan(1, Instant(0), true);
        b.alone(2, 12, reader);
        b.alone(2, 13, reader);
        assert_eq!((b.scripts.len(), b.scripts.is_settled()), (1, false));
        assert_eq!(b.scripts.kill(2, 13, false), Some(ChildEnd::Signaled(15)), "it was not started");
        b.scripts.tick(Instant(0) + PATIENCE);
        assert_eq!(b.end(), None, "the old one's end is told to nobody");
        assert!(b.scripts.is_empty());
        assert_eq!(b.scripts.start_waiting(&b.reports), []);
        assert_eq!((b.scripts.len(), b.scripts.is_settled()), (1, true));
        // One more core: none of its programs remain to be started after its end.
        b.scripts.orphan(2, Instant(0), true);
        b.alone(3, 12, reader);
        b.scripts.orphan(3, Instant(0), false);
        b.scripts.tick(Instant(0) + PATIENCE);
        assert_eq!(b.end(), None);
        assert_eq!(b.scripts.start_waiting(&b.reports), []);
        assert!(b.scripts.is_empty() && b.scripts.by_name.is_empty());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
