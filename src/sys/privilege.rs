//! What a process of kalived gives up once it no longer needs it: capabilities, new privileges through set-user-ID programs, access of
//! other processes to its memory, files (Landlock).
//!
//! Every step is useful without the others, so a step that the system refuses is skipped. Deliberately absent: a filter of system calls.
//! The core works through io_uring, whose operations such a filter does not see.

use std::ffi::CStr;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Capabilities by number (linux/capability.h).
pub mod cap {
    /// Change the owners of files.
    pub const CHOWN: u32 = 0;
    /// Bypass the permissions of files.
    pub const DAC_OVERRIDE: u32 = 1;
    /// Act as the owner of a file.
    pub const FOWNER: u32 = 3;
    /// Interfaces, addresses, routes, process events.
    pub const NET_ADMIN: u32 = 12;
    /// Raw and packet sockets.
    pub const NET_RAW: u32 = 13;
    /// Lock memory beyond `RLIMIT_MEMLOCK`.
    pub const IPC_LOCK: u32 = 14;
    /// Read hidden processes (`/proc` with `hidepid`).
    pub const SYS_PTRACE: u32 = 19;
    /// Take a real-time priority.
    pub const SYS_NICE: u32 = 23;
}

/// `_LINUX_CAPABILITY_VERSION_3`: sets of 64 bits.
const VERSION: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

fn get() -> Option<[Sets; 2]> {
    let (mut header, mut sets) = (Header { version: VERSION, pid: 0 }, [Sets::default(); 2]);
    // SAFETY: version 3 fills in two of these; both outlive the call.
    let r = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()) };
    (r == 0).then_some(sets)
}

fn set(sets: &[Sets; 2]) {
    let header = Header { version: VERSION, pid: 0 };
    // SAFETY: version 3 reads two of these; both outlive the call.
    unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) };
}

/// Clears the ambient and inheritable capabilities, so that an executed program gets none of them. Runs between fork and exec: makes no
/// allocation.
pub(super) fn clear_handed_on() {
    // SAFETY: no pointers.
    unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
    if let Some(mut sets) = get() {
        sets.iter_mut().for_each(|s| s.inheritable = 0);
        set(&sets);
    }
}

/// Keeps at most the capabilities in `kept`, for good, also across an exec; an executed program gets no new ones.
pub fn keep_only(kept: &[u32]) {
    let mask = kept.iter().fold(0u64, |m, c| m | 1 << c);
    for number in 0..64u32 {
        if mask & 1 << number == 0 {
            // SAFETY: no pointers. Refused without CAP_SETPCAP, where there is little to lose; a number that does not exist is an error.
            unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) };
        }
    }
    clear_handed_on();
    if let Some(mut sets) = get() {
        for (s, half) in sets.iter_mut().zip([mask as u32, (mask >> 32) as u32]) {
            s.permitted &= half;
            s.effective &= half;
        }
        set(&sets);
    }
    // SAFETY: no pointers.
    unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
}

/// No process of the same user may read this process's memory or attach to it, and it leaves no core file: its memory holds secrets.
pub fn hide() {
    // SAFETY: no pointers.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
}

/// Rights of Landlock (linux/landlock.h), and the version that introduced each.
mod fs {
    pub(super) const EXECUTE: u64 = 1 << 0;
    pub(super) const WRITE_FILE: u64 = 1 << 1;
    pub(super) const READ_FILE: u64 = 1 << 2;
    pub(super) const READ_DIR: u64 = 1 << 3;
    /// Removing and making everything but pipes, version 1: bits 4 (REMOVE_DIR), 6 to 9 (MAKE_CHAR, DIR, REG, SOCK), 11, 12
    /// (MAKE_BLOCK, MAKE_SYM).
    pub(super) const MAKE: u64 = 1 << 4 | 0xf << 6 | 1 << 11 | 1 << 12;
    /// Removing a file and making a pipe: bits 5 and 10.
    pub(super) const PIPES: u64 = 1 << 5 | 1 << 10;
    /// To link or rename into another directory, from ABI version 2 of Landlock on.
    pub(super) const REFER: u64 = 1 << 13;
    /// To truncate a file, from ABI version 3 of Landlock on.
    pub(super) const TRUNCATE: u64 = 1 << 14;
}

/// What a process keeps of the file system. Descriptors that are open already, sockets included, are not affected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    /// Reading everywhere; making, opening and removing pipes. No program is executed, no other file made or truncated.
    Pipes,
    /// Reading the kernel's information and its network settings.
    Kernel,
}

/// Gives up the file system except `files`, for good. False: this kernel has no Landlock, or Landlock is disabled.
pub fn leave_files(files: Files) -> bool {
    let Some(version) = landlock_version() else { return false };
    let late = if version >= 2 { fs::REFER } else { 0 } | if version >= 3 { fs::TRUNCATE } else { 0 };
    let read = fs::READ_FILE | fs::READ_DIR;
    let (handled, rules): (u64, &[(&CStr, u64)]) = match files {
        Files::Pipes => (fs::EXECUTE | fs::MAKE | late, &[]),
        Files::Kernel => (
            fs::EXECUTE | fs::WRITE_FILE | read | fs::MAKE | fs::PIPES | late,
            &[(c"/proc", read), (c"/proc/sys/net", read | fs::WRITE_FILE | (late & fs::TRUNCATE)), (c"/sys", read)],
        ),
    };
    // SAFETY: the attribute is one number with its size; the result is a new file descriptor that has no other owner.
    let set = unsafe {
        let fd = libc::syscall(libc::SYS_landlock_create_ruleset, &raw const handled, size_of::<u64>(), 0);
        let Ok(fd @ 0..) = i32::try_from(fd) else { return false };
        OwnedFd::from_raw_fd(fd)
    };
    for (path, allowed) in rules {
        allow(&set, path, *allowed);
    }
    // SAFETY: no pointers. It asks for no_new_privs, which is set by [`keep_only`] and again here.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::syscall(libc::SYS_landlock_restrict_self, set.as_raw_fd(), 0) == 0
    }
}

/// A missing directory needs no rule.
fn allow(set: &OwnedFd, path: &CStr, allowed: u64) {
    // `struct landlock_path_beneath_attr`, which is packed: a number of 64 bits and one of 32.
    const BENEATH: libc::c_int = 1;
    let mut rule = [0u8; 12];
    // SAFETY: C strings and a rule that outlive the calls; the file descriptor is new and has no other owner.
    unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_PATH | libc::O_CLOEXEC);
        if fd < 0 {
            return;
        }
        let fd = OwnedFd::from_raw_fd(fd);
        rule[..8].copy_from_slice(&allowed.to_ne_bytes());
        rule[8..].copy_from_slice(&fd.as_raw_fd().to_ne_bytes());
        libc::syscall(libc::SYS_landlock_add_rule, set.as_raw_fd(), BENEATH, rule.as_ptr(), 0);
    }
}

fn landlock_version() -> Option<u32> {
    const ASK: libc::c_int = 1;
    // SAFETY: no attribute is given when the version is asked for.
    let r = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, core::ptr::null::<u64>(), 0usize, ASK) };
    u32::try_from(r).ok().filter(|v| *v > 0)
}

/// Whether this kernel has Landlock.
pub fn has_landlock() -> bool {
    landlock_version().is_some()
}
