//! The guard's socket against the command that asks it, and against clients that behave badly; what systemd is told against
//! a socket that plays systemd. No privilege is needed.
//!
//! The server stands alone here: `serve` is the guard's loop, reduced to this. Limits below only end a test that hangs.

// An unwrap that fails is a failed test; the helpers are documented by what they are called.
#![allow(clippy::unwrap_used, missing_docs)]

mod clients;
mod command;
mod dumps;
mod manager;

use kalived::guard::ctl::{ClientId, Server};
use kalived::process::request::{Request, socket_path};
use kalived::sys::clock;
use kalived::time::Duration;
use std::path::{Path, PathBuf};

/// After this a test that waits for something gives up.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A directory that goes with the test.
pub struct Dir(PathBuf);

impl Dir {
    pub fn new(name: &str) -> Dir {
        let dir = std::env::temp_dir().join(format!("kalived-ctl-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Dir(dir)
    }
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
    pub fn pid_file(&self) -> PathBuf {
        self.path("k.pid")
    }
    pub fn server(&self) -> Server {
        Server::listen(&socket_path(&self.pid_file())).unwrap()
    }
}
impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Answers until `done`. The waiting between two rounds is what the guard's poll is.
pub fn serve(
    server: &mut Server,
    mut answer: impl FnMut(&mut Server, ClientId, Request),
    mut done: impl FnMut() -> bool,
) {
    let end = clock::mono() + PATIENCE;
    while !done() {
        assert!(clock::mono() < end, "nothing more comes");
        for (client, request) in server.on_ready(clock::mono()) {
            answer(server, client, request);
        }
        pause();
    }
}

pub fn pause() {
    #[allow(clippy::disallowed_methods)] // Waits for another process; nothing is measured.
    std::thread::sleep(Duration::from_millis(2));
}

pub fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}
