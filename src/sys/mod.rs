//! The only place with `unsafe`, libc and io_uring. Knows fds, bytes and tokens, not VRRP.
//!
//! Read in this order: `ring` (submission, waiting, completions), `op` (ownership of memory, and its end), `bufring` (where received
//! bytes are stored), `os` (what the simulator replaces), `socket` and `netlink` (how each socket is set up, and why), then the small
//! files. Results are the kernel's: zero or more is success, below zero is a negated errno. Deliberately absent: threads, an async
//! runtime, and any decision about a protocol.

pub mod acl;
pub mod bfd;
pub mod bufring;
pub mod child;
pub mod clock;
pub mod connector;
pub mod daemonize;
pub mod fifo;
pub mod files;
pub mod giveback;
pub mod host;
pub mod inotify;
pub mod knob;
pub mod limits;
pub mod lockfile;
pub mod logfd;
pub mod memfd;
pub mod namespace;
pub mod netlink;
pub mod op;
pub mod os;
pub mod pidfile;
pub mod poll;
pub mod privilege;
pub mod processes;
pub mod ring;
pub mod rtsync;
pub mod sched;
pub mod sections;
pub mod seqpacket;
pub mod signal;
pub mod socket;
pub mod unixsock;
pub mod users;
pub mod walk;

/// The negated errnos that the daemon distinguishes.
pub mod errno {
    /// The operation was cancelled.
    pub const ECANCELED: i32 = -libc::ECANCELED;
    /// Out of provided buffers, or netlink messages were lost.
    pub const ENOBUFS: i32 = -libc::ENOBUFS;
    /// No such device: an effect named a socket that is not open.
    pub const ENODEV: i32 = -libc::ENODEV;
    /// Too many descriptors are on their way.
    pub const ETOOMANYREFS: i32 = -libc::ETOOMANYREFS;
    /// Network is down: reported once by a packet socket when its interface goes down.
    pub const ENETDOWN: i32 = -libc::ENETDOWN;
    /// Operation not permitted.
    pub const EPERM: i32 = -libc::EPERM;
    /// Permission denied: the user may not do this to the file.
    pub const EACCES: i32 = -libc::EACCES;
    /// Try again: the buffer is full.
    pub const EAGAIN: i32 = -libc::EAGAIN;
    /// Invalid argument, also of a kernel that does not know the request.
    pub const EINVAL: i32 = -libc::EINVAL;
    /// Interrupted by a signal.
    pub const EINTR: i32 = -libc::EINTR;
}
