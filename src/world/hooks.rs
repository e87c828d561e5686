//! Who is told of a change of state: hooks, named pipes, mail.
//!
//! Read first: `mod.rs`.

use super::*;
use crate::event::{ChildEnd, Stream};
use crate::id::{ConnKey, FifoKey};
use core::net::SocketAddr;

impl World {
    pub(super) fn on_hook_exit(&mut self, _now: Now, _hook: u64, _end: ChildEnd, _fx: &mut Effects) {}
    pub(super) fn on_fifo_ready(&mut self, _now: Now, _f: FifoKey, _result: Result<(), Errno>, _fx: &mut Effects) {}
    pub(super) fn on_fifo_written(&mut self, _now: Now, _f: FifoKey, _result: Result<(), Errno>, _fx: &mut Effects) {}
    pub(super) fn on_resolved(&mut self, _now: Now, _c: ConnKey, _r: Result<&[SocketAddr], Errno>, _fx: &mut Effects) {}
    pub(super) fn on_mail_stream(&mut self, _now: Now, _conn: ConnKey, _what: Stream<'_>, _fx: &mut Effects) {}
}
