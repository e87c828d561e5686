//! Who is told of a change of state: hooks, named pipes, mail.
//!
//! Read first: `mod.rs`.

use super::*;
use crate::event::{ChildEnd, Stream};
use crate::id::{ConnKey, FifoKey};
use core::net::SocketAddr;

impl World {
    // A reload begins: who is told, and how, as `config` has it.
    pub(super) fn alter_hooks(&mut self, _now: Now, _config: &Config, _fx: &mut Effects) {}
    // A reload removed this virtual router; it was in that state, and its key is dead after this.
    pub(super) fn instance_removed(&mut self, _now: Now, _vr: VrKey, _was: State, _fx: &mut Effects) {}
    pub(super) fn on_hook_exit(&mut self, _now: Now, _hook: u64, _end: ChildEnd, _fx: &mut Effects) {}
    pub(super) fn on_fifo_ready(&mut self, _now: Now, _f: FifoKey, _result: Result<(), Errno>, _fx: &mut Effects) {}
    pub(super) fn on_fifo_written(&mut self, _now: Now, _f: FifoKey, _result: Result<(), Errno>, _fx: &mut Effects) {}
    pub(super) fn on_resolved(&mut self, _now: Now, _c: ConnKey, _r: Result<&[SocketAddr], Errno>, _fx: &mut Effects) {}
    pub(super) fn on_mail_stream(&mut self, _now: Now, _conn: ConnKey, _what: Stream<'_>, _fx: &mut Effects) {}
}
