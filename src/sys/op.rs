//! Operations in flight and the memory they use.
//!
//! The rule that everything here serves: **memory that the kernel was given a pointer to stays in place until the final completion.** A
//! submitted operation therefore owns its bytes, address, timespec, message header *and a count on its descriptor*. The count is needed
//! for two reasons. A linked SEND looks up its descriptor number only when it is issued, seconds after it was submitted: if the number
//! was closed and reused meanwhile, our advert would be sent on an unrelated socket. And a closed descriptor with a receive in flight
//! keeps receiving. With a shared [`Fd`] in the operation, "cancel before close" cannot be forgotten: dropping the daemon's handle closes
//! nothing while the kernel still uses the descriptor.
//!
//! Read first: `id.rs` (generational names: a completion for an operation that has ended finds no entry).

use super::socket::SockAddr;
use crate::id::Key;
use bytes::Bytes;
use io_uring::types::Timespec;
use std::os::fd::OwnedFd;
use std::rc::Rc;

/// What an [`OpKey`] names: one operation of the ring.
pub enum OpMark {}
/// Name of an operation in flight; its bits are the operation's `user_data`.
pub type OpKey = Key<OpMark>;

/// A descriptor that closes when the last operation and the last holder release it.
pub type Fd = Rc<OwnedFd>;

/// Memory that the kernel may read or write until the final completion. It is kept, and not accessed (except `Read`).
pub(super) enum Mem {
    Nothing,
    Send { _bytes: Bytes, _to: Option<Rc<SockAddr>> },
    Time { _ts: Box<Timespec> },
    Header { _msg: Rc<Header> },
    Read { buf: Box<[u8]> },
}

/// The `msghdr` a multishot receive is described by: only its name and control lengths are used.
pub struct Header(pub(super) libc::msghdr);

impl Header {
    /// Room for a sender address of `name` and ancillary data of `control` bytes in each buffer.
    pub fn new(name: u32, control: usize) -> Rc<Header> {
        // SAFETY: an all-zero msghdr is valid: null pointers with zero lengths.
        let mut h: libc::msghdr = unsafe { core::mem::zeroed() };
        h.msg_namelen = name;
        h.msg_controllen = control;
        Rc::new(Header(h))
    }
}

pub(super) struct Op<T> {
    pub tag: T,
    pub mem: Mem,
    pub _fd: Option<Fd>,
}

/// How an operation is linked to the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Not at all.
    Last,
    /// The next one starts after this one succeeded; if this one fails or is cancelled, all behind it are cancelled.
    Soft,
    /// The next one starts after this one, whatever its result.
    Hard,
}

/// The completion of an operation.
pub struct Done<T> {
    /// The tag that the submitter gave.
    pub tag: T,
    /// The operation that completed.
    pub op: OpKey,
    /// Zero or more, or a negated errno.
    pub result: i32,
    /// The provided buffer that was filled.
    pub buffer: Option<u16>,
    /// More completions of this operation will follow; `false`: its memory is free again.
    pub more: bool,
    /// A finished read's bytes.
    pub read: Option<Box<[u8]>>,
}
