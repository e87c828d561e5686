//! The laboratory: hosts in network namespaces on one bridge, real daemons in them, captures and injected frames.
//!
//! Shared by the test targets `kernel` and `interop` (`#[path = "../lab/mod.rs"] mod lab;`). Read in this order: this file
//! (namespaces, waiting), `daemon.rs` (configuration text, start, signals, log), `capture.rs` (frames into a pcap file, and a small reader), `advert.rs`
//! (an advert builder that shares no code with the one under test), `inject.rs` (frames out of a packet socket).
//!
//! A namespace here has no name: a sleeping process holds it, and every process of a lab dies with the test thread
//! (`setpriv --pdeathsig`). So nothing is left behind even when the test run itself is killed, and any number of labs run side by
//! side. What cannot run here (no root, a missing program) prints `skipped: …` past the test harness's capture.
//! `KALIVED_TEST_DAEMON=keepalived` runs the tests with Debian's keepalived in place of kalived, to test the laboratory.
//!
//! Deliberately absent: asserted wall-clock times. [`until`] has a bound, which only ends a test that hangs.

// Two targets share this module and neither uses all of it.
#![allow(dead_code)]

pub mod advert;
pub mod capture;
pub mod daemon;
pub mod inject;
pub mod node;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Interface name inside every host.
pub const IFACE: &str = "eth0";

/// How long [`until`] waits before it calls a test hung. Longer than any Master_Down_Interval in use times the
/// slowness of a loaded machine.
const HANG: Duration = Duration::from_secs(60);

/// Sleeps. The tests do so only between two polls, or to check for a while that something does not happen.
#[allow(clippy::disallowed_methods)] // a test watches a real process; nothing here is on the loop
pub fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// Polls `look` until it answers; panics when it never does.
#[allow(clippy::disallowed_methods)] // a hang guard needs a clock; no test asserts its reading
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + HANG;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < give_up, "gave up waiting for: {what}");
        pause(20);
    }
}

/// [`until`] for conditions.
pub fn until_true(what: &str, mut look: impl FnMut() -> bool) {
    until(what, || look().then_some(()));
}

static SKIPPED: AtomicUsize = AtomicUsize::new(0);

/// Reports that a test did not run, on the real stderr: the harness hides the output of a test that passes.
pub fn skip(test: &str, reason: &str) {
    let n = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
    // An error of stderr itself cannot be reported.
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {reason} ({n} skipped so far)");
}

/// Whether a program can be started at all.
pub fn have(program: &str) -> bool {
    Command::new("sh")
        .args(["-c", "command -v \"$0\" >/dev/null", program])
        .env("PATH", PATH)
        .status()
        .is_ok_and(|s| s.success())
}

/// `ip`, `nft` and keepalived live in sbin, which an ordinary user's PATH leaves out.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why the laboratory cannot be built here, if so.
fn missing() -> Option<String> {
    for program in ["ip", "nsenter", "unshare", "setpriv", "tcpdump", "python3"] {
        if !have(program) {
            return Some(format!("{program} is not installed"));
        }
    }
    let probe = Command::new("unshare")
        .args(["--net", "sh", "-c", "ip link add name br0 type bridge && ip link add name v0 type veth peer name v1"])
        .env("PATH", PATH)
        .stdin(Stdio::null())
        .output();
    match probe {
        Ok(o) if o.status.success() => None,
        Ok(o) => Some(format!(
            "no network namespace with bridge and veth: {} (run as root, or under `unshare --user --map-root-user`)",
            String::from_utf8_lossy(&o.stderr).trim()
        )),
        Err(e) => Some(format!("unshare: {e}")),
    }
}

/// A child that is killed when its owner goes, and that dies with the thread that made it.
pub struct Owned(pub Child);

impl Drop for Owned {
    fn drop(&mut self) {
        // Both fail only when it is gone already, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A network namespace without a name: `/proc/<pid>/ns/net` of a sleeping process.
pub struct Netns {
    holder: Owned,
}

impl Netns {
    fn new() -> Netns {
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity"])
            .env("PATH", PATH)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("setpriv was found by missing()");
        let holder = Owned(child);
        let comm = format!("/proc/{}/comm", holder.0.id());
        // setpriv, then unshare, then sleep, all in one process: once it is sleep the namespace exists.
        until_true("a network namespace", || std::fs::read_to_string(&comm).is_ok_and(|c| c.trim() == "sleep"));
        let ns = Netns { holder };
        ns.run("ip link set lo up");
        ns
    }

    /// The process that holds it; `ip link set X netns PID` takes this.
    pub fn pid(&self) -> u32 {
        self.holder.0.id()
    }

    /// A command that will run inside, and die with the calling thread.
    pub fn command(&self, program: &str) -> Command {
        let mut c = Command::new("setpriv");
        c.args(["--pdeathsig", "KILL", "nsenter", &format!("--net=/proc/{}/ns/net", self.pid()), program])
            .env("PATH", PATH)
            .stdin(Stdio::null());
        c
    }

    /// Runs a line (split at blanks, no shell) and gives its output, whatever its exit code.
    pub fn output(&self, line: &str) -> Output {
        let mut words = line.split_whitespace();
        let program = words.next().expect("a command line has a first word");
        self.command(program).args(words).output().expect("setpriv was found by missing()")
    }

    /// Runs a line that must succeed; its stdout.
    pub fn run(&self, line: &str) -> String {
        let out = self.output(line);
        assert!(out.status.success(), "`{line}`: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// Runs a shell script inside; it must succeed.
    pub fn script(&self, text: &str) -> String {
        let out = self.command("sh").args(["-ec", text]).output().expect("sh exists");
        assert!(out.status.success(), "`{text}`: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }
}

/// A host: a namespace whose [`IFACE`] is plugged into the lab's bridge.
pub struct Host {
    /// For messages and file names.
    pub name: String,
    /// Last part of every address: 198.18.0.N/16, fe80::N/64, 2001:db8:12::N/64.
    pub n: u8,
    ns: Netns,
}

impl std::ops::Deref for Host {
    type Target = Netns;
    fn deref(&self) -> &Netns {
        &self.ns
    }
}

impl Host {
    /// Its IPv4 address.
    pub fn v4(&self) -> String {
        format!("198.18.0.{}", self.n)
    }

    /// Its link-local address. The number is written in decimal, as `fe80::20` for host 20.
    pub fn v6(&self) -> String {
        format!("fe80::{}", self.n)
    }

    /// Its global IPv6 address.
    pub fn global(&self) -> String {
        format!("2001:db8:12::{}", self.n)
    }

    /// MAC address of [`IFACE`].
    pub fn mac(&self) -> [u8; 6] {
        [2, 0, 0, 0, 0, self.n]
    }

    /// Gives [`IFACE`] its addresses, as an administrator would.
    pub fn add_addresses(&self) {
        let n = self.n;
        self.run(&format!("ip addr add 198.18.0.{n}/16 dev {IFACE}"));
        self.run(&format!("ip addr add 2001:db8:12::{n}/64 dev {IFACE} nodad"));
        self.run(&format!("ip addr add fe80::{n}/64 dev {IFACE} nodad"));
    }

    /// Whether any interface holds this address.
    pub fn holds(&self, addr: &str) -> bool {
        self.run("ip -o addr show").contains(&format!(" {addr}/"))
    }

    /// The entry of this host's neighbour table for an address.
    pub fn neighbour(&self, addr: &str) -> String {
        self.run(&format!("ip neigh show {addr} dev {IFACE}"))
    }

    /// Whether the neighbour table maps `addr` to `owner`'s MAC.
    pub fn sees(&self, addr: &str, owner: &Host) -> bool {
        self.neighbour(addr).contains(&format!("lladdr 02:00:00:00:00:{:02x}", owner.n))
    }

    /// Whether a TCP connection attempt to `addr` is answered within a second, be it with a refusal: needs no ping(8).
    pub fn reaches(&self, addr: &str) -> bool {
        let attempt = format!("exec 3<>/dev/tcp/{addr}/9");
        let out = self.command("timeout").args(["1", "bash", "-c", &attempt]).output().expect("timeout exists");
        out.status.success() || String::from_utf8_lossy(&out.stderr).contains("refused")
    }
}

/// The directory of labs: not one that any user may write to, because a script there is not secure.
fn base() -> PathBuf {
    use std::os::unix::fs::MetadataExt;
    let temporary = std::env::temp_dir();
    let run = PathBuf::from("/run");
    let shared = std::fs::metadata(&temporary).is_ok_and(|m| m.mode() & 0o002 != 0);
    let ours = |p: &PathBuf| std::fs::metadata(p).is_ok_and(|m| m.uid() == 0 && m.mode() & 0o022 == 0);
    let writable = |p: &PathBuf| std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0) && ours(p);
    if shared && writable(&run) { run } else { temporary }
}

/// A LAN (a namespace with a bridge) and a directory for logs, captures and configuration files.
pub struct Lab {
    /// For messages.
    pub test: String,
    dir: PathBuf,
    lan: Netns,
    serial: AtomicUsize,
}

static LABS: AtomicUsize = AtomicUsize::new(0);

impl Lab {
    /// A lab without hosts, or `None` after saying why this machine cannot have one.
    pub fn new(test: &str) -> Option<Lab> {
        static MISSING: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
        let why = MISSING.get_or_init(|| missing().or_else(daemon::missing));
        if let Some(why) = why {
            skip(test, why);
            return None;
        }
        // A process number is unique in its own process namespace only, and the directory may be shared with others.
        let dir = until("a directory of our own", || {
            let n = LABS.fetch_add(1, Ordering::Relaxed);
            let dir = base().join(format!("kalived-lab-{}-{n}", std::process::id()));
            std::fs::create_dir(&dir).is_ok().then_some(dir)
        });
        let lan = Netns::new();
        // No spanning tree, no snooping: a bridge that forwards from the first frame on.
        lan.script(
            "ip link add name br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0
             sysctl -qw net.ipv6.conf.br0.disable_ipv6=1
             ip link set br0 up",
        );
        Some(Lab { test: test.to_owned(), dir, lan, serial: AtomicUsize::new(0) })
    }

    /// A host whose interface is up but has no address of any kind.
    pub fn bare_host(&self, name: &str, n: u8) -> Host {
        let ns = Netns::new();
        let port = format!("p{n}");
        self.lan.script(&format!(
            "ip link add name {port} type veth peer name {IFACE} netns {pid}
             sysctl -qw net.ipv6.conf.{port}.disable_ipv6=1
             ip link set {port} master br0 up",
            pid = ns.pid()
        ));
        ns.script(&format!(
            "sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 \
               net.ipv6.conf.{IFACE}.accept_dad=0 net.ipv6.conf.{IFACE}.accept_ra=0
             ip link set {IFACE} address 02:00:00:00:00:{n:02x} addrgenmode none
             ip link set {IFACE} up"
        ));
        Host { name: name.to_owned(), n, ns }
    }

    /// A host with [`Host::add_addresses`].
    pub fn host(&self, name: &str, n: u8) -> Host {
        let host = self.bare_host(name, n);
        host.add_addresses();
        host
    }

    /// A host whose cable leads to no other host. Several such hosts may have the same addresses.
    pub fn island(&self, name: &str) -> Host {
        let n = 20;
        let ns = Netns::new();
        ns.script(&format!(
            "sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
             ip link add name far type veth peer name {IFACE}
             ip link set far addrgenmode none up
             ip link set {IFACE} address 02:00:00:00:00:{n:02x} addrgenmode none up"
        ));
        let host = Host { name: name.to_owned(), n, ns };
        host.add_addresses();
        host
    }

    /// Plugs in a host's interface again after it was deleted, as a new device of the same name.
    pub fn replug(&self, host: &Host) {
        let (port, n) = (format!("p{}", host.n), host.n);
        self.lan.script(&format!(
            "ip link add name {port} type veth peer name {IFACE} netns {pid}
             sysctl -qw net.ipv6.conf.{port}.disable_ipv6=1
             ip link set {port} master br0 up",
            pid = host.pid()
        ));
        host.script(&format!(
            "ip link set {IFACE} address 02:00:00:00:00:{n:02x} addrgenmode none; ip link set {IFACE} up"
        ));
    }

    /// The bridge side of a host's cable.
    pub fn port(&self, host: &Host, state: &str) {
        self.lan.run(&format!("ip link set p{} {state}", host.n));
    }

    /// The namespace of the bridge, for firewall rules between hosts.
    pub fn lan(&self) -> &Netns {
        &self.lan
    }

    /// A file of this lab that no other call was given.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{}-{name}", self.serial.fetch_add(1, Ordering::Relaxed)))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Hosts and daemons of the test have ended by now; their logs help most.
            let mut logs: Vec<_> = std::fs::read_dir(&self.dir)
                .into_iter()
                .flatten()
                .flatten()
                .map(|e| e.path())
                .filter(|p| p.extension().is_some_and(|x| x == "log"))
                .collect();
            logs.sort();
            for log in logs {
                let text = std::fs::read(&log).unwrap_or_default();
                let text = String::from_utf8_lossy(&text);
                let lines: Vec<&str> = text.lines().collect();
                let from = lines.len().saturating_sub(60);
                eprintln!("--- {} ({} lines)\n{}", log.display(), lines.len(), lines[from..].join("\n"));
            }
        }
        if std::env::var_os("KALIVED_TEST_KEEP").is_none() {
            // Left-over files in the temporary directory do no harm.
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}
