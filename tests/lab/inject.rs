//! Raw frames out of a host's interface: a small Python process with a packet socket, one command per line.
//!
//! Python, because a packet socket in safe Rust would need one more crate for the tests alone. Read first: `inject.py`.

use super::{Host, IFACE, Lab, Owned};
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Stdio};

/// A running injector.
pub struct Injector {
    _process: Owned,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

impl Lab {
    /// An injector on `host`.
    pub fn injector(&self, host: &Host) -> Injector {
        let mut child = host
            .command("python3")
            .args(["-u", "-c", include_str!("inject.py"), IFACE])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 was found by missing()");
        let to = child.stdin.take().expect("stdin is piped");
        let from = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Injector { _process: Owned(child), to, from }
    }
}

impl Injector {
    fn tell(&mut self, line: &str) {
        writeln!(self.to, "{line}").expect("the injector runs");
    }

    fn answer(&mut self) -> u64 {
        let mut line = String::new();
        self.from.read_line(&mut line).expect("the injector runs");
        line.trim().parse().unwrap_or_else(|_| panic!("the injector answered {line:?}"))
    }

    /// Sends one frame; when this returns the kernel has passed it on.
    pub fn send(&mut self, frame: &[u8]) {
        self.tell(&format!("send {}", hex(frame)));
        assert_eq!(self.answer(), 1);
    }

    /// Begins to send these frames in rotation, `count` in all, at `rate` a second. Ask [`Injector::flooded`] for the end.
    pub fn flood(&mut self, frames: &[Vec<u8>], rate: u32, count: u64) {
        for frame in frames {
            self.tell(&format!("load {}", hex(frame)));
        }
        self.tell(&format!("flood {rate} {count}"));
    }

    /// Waits for the end of the flood; how many were sent.
    pub fn flooded(&mut self) -> u64 {
        self.answer()
    }
}
