//! The helper as the core uses it: the built command on one end of a socket pair, the test on the other.
//!
//! No test asserts how long anything took; the limit below only ends a test that hangs.

// An unwrap that fails is a failed test.
#![allow(clippy::unwrap_used)]

mod fifos;
mod files;
mod line;
mod processes;

use kalived::helper::proto::{Ask, LONGEST, Tell};
use kalived::sys::{clock, poll, seqpacket};
use kalived::time::Duration;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// After this a test that waits for something gives up.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The command, and the core's end of its line.
pub struct Helper {
    /// The core's end.
    pub line: OwnedFd,
    /// The command.
    pub child: Child,
}

impl Helper {
    /// As the guard begins it.
    pub fn start() -> Helper {
        Helper::under(&[])
    }

    /// Run by another command that is given it as its last arguments.
    pub fn under(wrapper: &[&str]) -> Helper {
        let (line, theirs) = seqpacket::pair().unwrap();
        let mut words = wrapper.to_vec();
        words.extend([env!("CARGO_BIN_EXE_kalived"), "--helper"]);
        let script = "exec 3<&0 </dev/null; exec \"$@\"";
        let mut c = Command::new("sh");
        c.args(["-c", script, "sh"]).args(words).stdin(Stdio::from(theirs));
        Helper { line, child: c.spawn().unwrap() }
    }

    /// Sends it a message.
    pub fn ask(&self, ask: Ask) {
        seqpacket::send(&self.line, &ask.encode().unwrap(), &[]).unwrap();
    }

    /// Its next message, with its descriptors.
    pub fn heard(&self) -> (Tell, Vec<OwnedFd>) {
        let until = clock::mono() + PATIENCE;
        let mut buffer = vec![0; LONGEST];
        loop {
            if let Some((n, fds)) = seqpacket::recv(&self.line, &mut buffer).unwrap() {
                assert!(n > 0, "the helper ended");
                return (Tell::decode(&buffer[..n]).unwrap(), fds);
            }
            let left = until.since(clock::mono());
            assert!(!left.is_zero(), "nothing more is said");
            poll::readable(&[self.line.as_fd()], left.as_millis() as i32).unwrap();
        }
    }

    /// Its next message that is not for the log.
    pub fn says(&self) -> Tell {
        loop {
            match self.heard().0 {
                Tell::Note { text, .. } => println!("{text}"),
                tell => return tell,
            }
        }
    }

    /// Waits for this message; earlier ones are ignored.
    pub fn until(&self, want: &Tell) {
        loop {
            let said = self.says();
            if said == *want {
                return;
            }
            println!("{said:?} before {want:?}");
        }
    }

    /// Closes the line; returns how the helper ended.
    pub fn end(mut self) -> Option<i32> {
        drop(std::mem::replace(&mut self.line, seqpacket::pair().unwrap().0));
        self.child.wait().unwrap().code()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory that is removed.
pub struct Dir(pub PathBuf);

impl Dir {
    /// With a unique name.
    pub fn make() -> Dir {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("kalived-helper-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Dir(dir)
    }
    /// Something in it.
    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl AsRef<Path> for Dir {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether the test runs as root, as a test that changes owners needs.
pub fn root() -> bool {
    let root = kalived::sys::host::user() == 0;
    if !root {
        println!("skipped: wants root");
    }
    root
}
