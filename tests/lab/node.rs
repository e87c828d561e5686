//! A host with its own processes, besides its own network, so that `killall -0 nginx` finds the nginx of this node and no other; and with
//! its own files where a test mounts some over the system's.
//!
//! Read first: `mod.rs`, `daemon.rs`.

use super::daemon::{Daemon, under_test};
use super::{Host, Lab, Owned, until, until_true};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// See the module.
pub struct Node {
    /// Its network.
    pub host: Host,
    /// Where its files lie; the daemons of two nodes share nothing below it.
    pub dir: PathBuf,
    init: Owned,
}

impl std::ops::Deref for Node {
    type Target = Host;
    fn deref(&self) -> &Host {
        &self.host
    }
}

impl Lab {
    /// A host with process and mount namespaces of its own. `over`: directories of the system that the node sees its own, empty
    /// version of, below [`Node::dir`]; not one that the lab's own directory lies in.
    pub fn node(&self, host: Host, over: &[&str]) -> Node {
        let dir = self.path(&host.name);
        std::fs::create_dir(&dir).expect("the lab's directory is writable");
        let mounts: String = over
            .iter()
            .map(|o| {
                let own = dir.join(o.trim_start_matches('/'));
                std::fs::create_dir_all(&own).expect("the lab's directory is writable");
                format!("mkdir -p {o} && mount --bind {} {o} && ", own.display())
            })
            .collect();
        let ready = dir.join("ready");
        let init = host
            .command("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c"])
            // The first process of a node reaps orphans, as an init does: `ps` and `killall` find zombies.
            .arg(format!("{mounts} touch {} && while :; do sleep 1; done", ready.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("unshare was found by missing()");
        let node = Node { host, dir, init: Owned(init) };
        until_true("the node's first process", || ready.exists());
        node
    }

    /// The daemon under test on a node.
    pub fn start_on(&self, node: &Node, text: &str) -> Daemon {
        let target = node.first().expect("the node lives").to_string();
        self.start_under(&["nsenter", "-t", &target, "-m", "-p"], under_test(), &node.host, text)
    }
}

impl Node {
    fn first(&self) -> Option<u32> {
        children(self.init.0.id()).first().copied()
    }

    /// A command inside, with the node's processes, files and network.
    pub fn inside(&self, program: &str) -> Command {
        let target = self.first().expect("the node lives").to_string();
        let mut c = self.host.command("nsenter");
        c.args(["-t", &target, "-m", "-p", program]);
        c
    }

    /// A shell script inside; it must succeed.
    pub fn sh(&self, text: &str) -> String {
        let out = self.inside("sh").args(["-ec", text]).output().expect("sh exists");
        assert!(out.status.success(), "`{text}`: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// A file of the node, by the path the node's programs know it by (below one of `over`).
    pub fn write(&self, path: &str, text: &str, mode: u32) {
        use std::os::unix::fs::PermissionsExt;
        let real = self.real(path);
        std::fs::write(&real, text).expect("the lab's directory is writable");
        std::fs::set_permissions(&real, std::fs::Permissions::from_mode(mode)).expect("it is ours");
    }

    /// What such a file holds; empty when it is not there.
    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.real(path)).unwrap_or_default()
    }

    fn real(&self, path: &str) -> PathBuf {
        self.dir.join(Path::new(path).strip_prefix("/").expect("an absolute path"))
    }
}

/// Stops a daemon that runs on a node: `nsenter` stands before it and passes no signal on.
pub fn stop(mut daemon: Daemon) -> (Option<i32>, String) {
    let inner = until("the daemon behind nsenter", || children(daemon.pid()).first().copied());
    let _ = Command::new("kill").args(["-TERM", &inner.to_string()]).status();
    let code = daemon.await_exit().code();
    (code, daemon.log())
}

fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|w| w.parse().ok()).collect()
}
