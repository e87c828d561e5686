//! The guard's socket with the command, and with clients that behave badly; the messages to systemd, received by a socket in its place. No
//! privilege is needed.
//!
//! The server runs without the rest of the guard: `serve` is a reduced form of its loop. Limits below only end a test that hangs.

// An unwrap that fails is a failed test; the names of the helpers are their documentation.
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

/// Answers until `done`. The wait between two rounds stands for the guard's poll.
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
