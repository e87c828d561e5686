//! A real daemon in a host of the lab: its configuration, its log, its signals.
//!
//! Read first: `mod.rs`. The log is a plain file with the daemon's stderr; a test reads all of it. The state is that of the last such line
//! in the log, which has keepalived's text, so the same tests run with both daemons.

use super::{Host, IFACE, Lab, Owned, PATH, have, until, until_true};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

/// Which program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The one this crate builds.
    Kalived,
    /// Debian's.
    Keepalived,
}

/// The program of "the daemon under test".
pub fn under_test() -> Program {
    match std::env::var("KALIVED_TEST_DAEMON").as_deref() {
        Ok("keepalived") => Program::Keepalived,
        _ => Program::Kalived,
    }
}

/// Whether keepalived runs in its place: tests of functions that only kalived has are skipped then.
pub fn stand_in() -> bool {
    under_test() == Program::Keepalived
}

/// Why the daemon under test cannot run here; `None`: it can.
pub fn missing() -> Option<String> {
    if stand_in() {
        return (!have("keepalived")).then(|| "keepalived is not installed".to_owned());
    }
    let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    match disabled.trim() {
        "2" => Some("kernel.io_uring_disabled=2".to_owned()),
        _ => None,
    }
}

/// A VRRP instance called VI_1 on [`IFACE`], written as a keepalived configuration file.
#[derive(Clone, Debug)]
pub struct Conf {
    /// 2 or 3.
    pub version: u8,
    /// 1 to 255.
    pub vrid: u8,
    /// 1 to 255.
    pub priority: u8,
    /// Seconds.
    pub advert_int: String,
    /// One line of `virtual_ipaddress` each; the first decides the family.
    pub vips: Vec<String>,
    /// More lines inside the instance.
    pub extra: String,
    /// Lines inside `global_defs`.
    pub global: String,
}

/// The VIP of [`Conf::v2`] and [`Conf::v3`].
pub const VIP: &str = "198.18.0.100";
/// The VIPs of [`Conf::v6`].
pub const VIP6: [&str; 2] = ["fe80::64", "2001:db8:12::64"];

impl Conf {
    /// Version 2, IPv4, one second.
    pub fn v2(priority: u8) -> Conf {
        Conf {
            version: 2,
            vrid: 51,
            priority,
            advert_int: "1".to_owned(),
            vips: vec![VIP.to_owned()],
            extra: String::new(),
            global: String::new(),
        }
    }

    /// Version 3, IPv4, 0.2 s: tests that wait for the protocol wait less.
    pub fn v3(priority: u8) -> Conf {
        Conf { version: 3, advert_int: "0.2".to_owned(), ..Conf::v2(priority) }
    }

    /// Version 3, IPv6, 0.2 s.
    pub fn v6(priority: u8) -> Conf {
        Conf { vips: VIP6.map(str::to_owned).to_vec(), ..Conf::v3(priority) }
    }

    /// With another interval, in seconds.
    pub fn every(mut self, advert_int: &str) -> Conf {
        self.advert_int = advert_int.to_owned();
        self
    }

    /// With one more line inside the instance.
    pub fn with(mut self, line: &str) -> Conf {
        self.extra.push_str("    ");
        self.extra.push_str(line);
        self.extra.push('\n');
        self
    }

    /// The file.
    pub fn text(&self) -> String {
        let vips: String = self.vips.iter().map(|v| format!("        {v}\n")).collect();
        format!(
            "global_defs {{\n    router_id lab\n{}}}\n\nvrrp_instance VI_1 {{\n    state BACKUP\n    interface {IFACE}\n    \
             virtual_router_id {}\n    priority {}\n    advert_int {}\n    version {}\n{}    virtual_ipaddress {{\n{vips}    \
             }}\n}}\n",
            self.global, self.vrid, self.priority, self.advert_int, self.version, self.extra
        )
    }
}

/// VRRP states as the log names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// "Entering MASTER STATE".
    Master,
    /// "Entering BACKUP STATE", also with "(init)".
    Backup,
    /// "Entering FAULT STATE", and keepalived's lower-case form.
    Fault,
}

fn state_of(line: &str) -> Option<State> {
    let lower = line.to_ascii_lowercase();
    [
        ("entering master state", State::Master),
        ("entering backup state", State::Backup),
        ("entering fault state", State::Fault),
    ]
    .into_iter()
    .find_map(|(text, state)| lower.contains(text).then_some(state))
}

/// A running daemon.
pub struct Daemon {
    child: Owned,
    log: PathBuf,
    conf: PathBuf,
    pid_file: PathBuf,
    /// What runs.
    pub program: Program,
    name: String,
}

/// The arguments that make a program run in the foreground and log to stderr.
pub fn arguments(program: Program, conf: &std::path::Path, pid: &std::path::Path) -> Vec<String> {
    let (conf, pid) = (conf.display().to_string(), pid.display().to_string());
    let words: Vec<&str> = match program {
        Program::Kalived => vec!["--config", &conf, "-n", "-l", "-D", "-p", &pid],
        // keepalived keeps one more pid file for each of its children.
        Program::Keepalived => vec!["-f", &conf, "-n", "-l", "-D", "-P", "-p", &pid],
    };
    let mut words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    if program == Program::Keepalived {
        words.extend(["-r".to_owned(), format!("{pid}.vrrp"), "-b".to_owned(), format!("{pid}.bfd")]);
    }
    words
}

/// Path or name of the executable.
pub fn executable(program: Program) -> &'static str {
    match program {
        Program::Kalived => env!("CARGO_BIN_EXE_kalived"),
        Program::Keepalived => "keepalived",
    }
}

impl Lab {
    /// Starts the daemon under test on `host`.
    pub fn start(&self, host: &Host, conf: &Conf) -> Daemon {
        self.start_program(under_test(), host, &conf.text())
    }

    /// Starts a given program on `host` with a given file.
    pub fn start_program(&self, program: Program, host: &Host, text: &str) -> Daemon {
        self.start_under(&[], program, host, text)
    }

    /// The same through a wrapper: the words of `prefix` are a command that executes what follows it.
    pub fn start_under(&self, prefix: &[&str], program: Program, host: &Host, text: &str) -> Daemon {
        let log = self.path(&format!("{}.log", host.name));
        let file = std::fs::File::create(&log).expect("the lab's directory is writable");
        let out = file.try_clone().expect("a file handle can be cloned");
        self.spawn(prefix, program, host, text, log, out.into(), file.into())
    }

    /// The same with any stdout and stderr; the log is then empty.
    pub fn start_logging_to(&self, host: &Host, text: &str, out: Stdio, err: Stdio) -> Daemon {
        self.spawn(&[], under_test(), host, text, self.path("none.log"), out, err)
    }

    fn spawn(
        &self,
        prefix: &[&str],
        program: Program,
        host: &Host,
        text: &str,
        log: PathBuf,
        out: Stdio,
        err: Stdio,
    ) -> Daemon {
        let conf = self.path(&format!("{}.conf", host.name));
        std::fs::write(&conf, text).expect("the lab's directory is writable");
        let pid = self.path(&format!("{}.pid", host.name));
        let words: Vec<&str> = prefix.iter().copied().chain([executable(program)]).collect();
        let child = host
            .command(words[0])
            .args(&words[1..])
            .args(arguments(program, &conf, &pid))
            .stdout(out)
            .stderr(err)
            .spawn()
            .expect("setpriv was found by missing()");
        Daemon { child: Owned(child), log, conf, pid_file: pid, program, name: host.name.clone() }
    }

    /// Runs `--config-test` on a file with this content; exit code and everything printed.
    pub fn config_test(&self, host: &Host, text: &str) -> (Option<i32>, String) {
        let conf = self.path("test.conf");
        std::fs::write(&conf, text).expect("the lab's directory is writable");
        self.config_test_file(host, &conf)
    }

    /// The same for a file that is there already, or not.
    pub fn config_test_file(&self, host: &Host, conf: &std::path::Path) -> (Option<i32>, String) {
        let flag = if stand_in() { "-f" } else { "--config" };
        let child = host
            .command(executable(under_test()))
            .args(["-t", "-l", flag])
            .arg(conf)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("setpriv was found by missing()");
        let mut child = Owned(child);
        let code = until("--config-test to end", || child.0.try_wait().expect("it is our child"));
        let mut text = String::new();
        for pipe in [
            child.0.stdout.take().map(Box::new).map(|p| p as Box<dyn std::io::Read>),
            child.0.stderr.take().map(|p| Box::new(p) as _),
        ] {
            let mut bytes = Vec::new();
            if let Some(mut pipe) = pipe {
                pipe.read_to_end(&mut bytes).expect("a pipe whose writer is gone can be read");
            }
            text.push_str(&String::from_utf8_lossy(&bytes));
        }
        (code.code(), text)
    }
}

impl Daemon {
    /// Everything logged so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The path of its configuration.
    pub fn conf(&self) -> &std::path::Path {
        &self.conf
    }

    /// Its pid file; the socket that commands talk to lies beside it.
    pub fn pid_file(&self) -> &std::path::Path {
        &self.pid_file
    }

    /// Log lines that contain `text`.
    pub fn lines_with(&self, text: &str) -> Vec<String> {
        self.log().lines().filter(|l| l.contains(text)).map(str::to_owned).collect()
    }

    /// Every state entered so far, in order.
    pub fn states(&self) -> Vec<State> {
        self.log().lines().filter_map(state_of).collect()
    }

    /// How often a state was entered.
    pub fn times(&self, state: State) -> usize {
        self.states().into_iter().filter(|s| *s == state).count()
    }

    /// Waits until the last state entered is `state`.
    pub fn await_state(&self, state: State) {
        until_true(&format!("{} ({:?}) in {state:?}; log:\n{}", self.name, self.program, self.tail()), || {
            self.states().last() == Some(&state)
        });
    }

    /// Waits until `state` has been entered `n` times.
    pub fn await_times(&self, state: State, n: usize) {
        until_true(&format!("{} in {state:?} for the {n}th time", self.name), || self.times(state) >= n);
    }

    /// Waits for a log line with `text`.
    pub fn await_line(&self, text: &str) -> String {
        until(&format!("{} to log {text:?}", self.name), || {
            self.log().lines().find(|l| l.contains(text)).map(str::to_owned)
        })
    }

    fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }

    /// Process id of the program itself: every wrapper in front of it ends in an `exec`.
    pub fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// The process and its descendants, parents first.
    pub fn pids(&self) -> Vec<u32> {
        let mut all = vec![self.pid()];
        let mut i = 0;
        while i < all.len() {
            let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", all[i])).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|w| w.parse::<u32>().ok()));
            i += 1;
        }
        all
    }

    fn kill(signal: &str, pids: &[u32]) {
        // A process that is gone already is no failure of the test.
        let _ = Command::new("kill")
            .arg(format!("-{signal}"))
            .args(pids.iter().map(u32::to_string))
            .env("PATH", PATH)
            .stderr(Stdio::null())
            .status();
    }

    /// Sends a signal to the process that was started.
    pub fn signal(&self, signal: &str) {
        Self::kill(signal, &[self.pid()]);
    }

    /// Sends a signal to it and to all its descendants.
    pub fn signal_all(&self, signal: &str) {
        Self::kill(signal, &self.pids());
    }

    /// SIGKILL to all of its processes, before any of them can send a farewell.
    pub fn kill9(mut self) {
        // A stopped parent cannot start a new child when the old one dies. SIGSTOP takes effect when the process runs next, which
        // on one processor may be after the next kill: so its effect is waited for, parents first.
        let mut stopped = Vec::new();
        while let Some(pid) = self.pids().into_iter().find(|p| !stopped.contains(p)) {
            Self::kill("STOP", &[pid]);
            until_true(&format!("process {pid} to stop"), || matches!(state(pid), None | Some('T' | 'Z')));
            stopped.push(pid);
        }
        // Children before parents: none can send a farewell after the death of its parent.
        stopped.reverse();
        Self::kill("KILL", &stopped);
        self.child.0.wait().expect("it is our child");
    }

    /// Waits for the end; the exit code.
    pub fn await_exit(&mut self) -> ExitStatus {
        until(&format!("{} to end", self.name), || self.child.0.try_wait().expect("it is our child"))
    }

    /// The exit code, once it has ended by itself.
    pub fn exit_code(&mut self) -> Option<i32> {
        self.child.0.try_wait().expect("it is our child").map(|s| s.code().unwrap_or(-1))
    }

    /// SIGTERM; the exit code and the whole log.
    pub fn stop(mut self) -> (Option<i32>, String) {
        self.signal("TERM");
        let code = self.await_exit().code();
        (code, self.log())
    }

    /// Resident memory of all its processes, KiB.
    pub fn memory_kib(&self) -> u64 {
        self.pids()
            .iter()
            .filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/status")).ok())
            .filter_map(|s| s.lines().find_map(|l| l.strip_prefix("VmRSS:")).map(str::to_owned))
            .filter_map(|l| l.split_whitespace().next().and_then(|w| w.parse::<u64>().ok()))
            .sum()
    }
}

/// The state letter of `/proc/PID/stat`; `None` when there is no such process.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.child.0.try_wait(), Ok(None)) {
            Self::kill("KILL", &self.pids());
        }
    }
}
