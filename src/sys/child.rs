//! Starting and reaping processes. Never `std::process::Command`: its spawn waits until the program was executed, and that may
//! take for ever on a file server that is gone. Here the parent goes on after the fork; what became of the exec is told through
//! one pipe that all children share.
//!
//! Read first: nothing. Deliberately absent: who runs what, and why (`guard/`).

use super::socket::errno_or;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Most fds a child gets, 0, 1 and 2 among them.
pub const MAX_FDS: usize = 12;
/// Above these numbers a child keeps what it has not moved to its place yet.
const HIGH: RawFd = 64;
/// Says in a [`Report`] that the program had no `#!` line, and /bin/sh runs it.
const BY_SHELL: i32 = -1;

/// What is executed: the first of `paths` that can be. Made before the fork, so that the child need not allocate.
#[derive(Clone, Debug)]
pub struct Program {
    /// Absolute paths, best first.
    pub paths: Vec<CString>,
    /// Arguments, the program's name first.
    pub argv: Vec<CString>,
    /// `NAME=value`.
    pub env: Vec<CString>,
}

/// How it starts.
#[derive(Clone, Debug, Default)]
pub struct How<'a> {
    /// User and group, which is the only supplementary group too. `None`: as we are.
    pub user: Option<(u32, u32)>,
    /// Its fds from 0 on; `None`: /dev/null. Everything else is closed.
    pub fds: &'a [Option<BorrowedFd<'a>>],
    /// A program without `#!` is run by /bin/sh.
    pub shell: bool,
    /// It runs only if nobody but root can exchange it or anything on the way to it, at this very moment; else it fails with `EPERM`.
    pub secure: bool,
    /// Signals that [`signal::install`](super::signal::install) takes wait until it does: our end does not end it before it can act on
    /// that.
    pub held: bool,
    /// It goes on when we end, also when that is before it runs. All others end with us.
    pub outlives: bool,
}

/// What a child told about its start. Success is told by silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// It could not start: process, errno.
    Failed(u32, i32),
    /// /bin/sh runs it.
    ByShell(u32),
}

/// The pipe on which children tell about their start.
#[derive(Debug)]
pub struct Reports {
    rx: OwnedFd,
    tx: OwnedFd,
}

impl Reports {
    /// A record has 8 bytes and a pipe takes 64 KiB, so it is never full with the few hundred children a guard has.
    pub fn new() -> io::Result<Reports> {
        let mut ends = [0i32; 2];
        // SAFETY: two ints to write to.
        errno_or(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
        // SAFETY: two fresh fds that nobody else has.
        Ok(unsafe { Reports { rx: OwnedFd::from_raw_fd(ends[0]), tx: OwnedFd::from_raw_fd(ends[1]) } })
    }

    /// For an execve: where it is read, where it is written.
    pub fn fds(&self) -> (BorrowedFd<'_>, BorrowedFd<'_>) {
        (self.rx.as_fd(), self.tx.as_fd())
    }

    /// Back from [`Reports::fds`].
    pub fn from_fds(rx: OwnedFd, tx: OwnedFd) -> Reports {
        Reports { rx, tx }
    }

    /// Everything told so far. A child tells before it ends: read this before reaping.
    pub fn read(&self) -> Vec<Report> {
        let mut all = Vec::new();
        let mut buf = [0u8; 8 * 64];
        loop {
            // SAFETY: the buffer outlives the call and says its own length.
            let n = unsafe { libc::read(self.rx.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len()) };
            let Some(bytes) = usize::try_from(n).ok().filter(|n| *n > 0).and_then(|n| buf.get(..n)) else { return all };
            all.extend(bytes.chunks_exact(8).map(|c| {
                let (pid, what) = c.split_at(4);
                let number = |b: &[u8]| i32::from_ne_bytes(b.try_into().unwrap_or_default());
                match number(what) {
                    BY_SHELL => Report::ByShell(number(pid) as u32),
                    errno => Report::Failed(number(pid) as u32, errno),
                }
            }));
        }
    }
}

/// Pointers to C strings with the null that execve wants behind them.
fn pointers(list: &[CString]) -> Vec<*const libc::c_char> {
    list.iter().map(|s| s.as_ptr()).chain([core::ptr::null()]).collect()
}

/// Forks; the process id. In a session of its own (so without a terminal), with default signals, an empty signal mask, umask 022,
/// directory /, ordinary scheduling at nice 0; ends with SIGTERM when we end. With a user of its own it keeps nothing of what
/// we are allowed beyond that user's rights: see `strip`.
pub fn spawn(program: &Program, how: &How<'_>, reports: &Reports) -> io::Result<u32> {
    if how.fds.len() > MAX_FDS || program.paths.is_empty() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let (argv, env) = (pointers(&program.argv), pointers(&program.env));
    // sh PATH ARGUMENTS…
    let mut by_shell = vec![c"/bin/sh".as_ptr(), core::ptr::null()];
    by_shell.extend(argv.iter().skip(1));
    // SAFETY: all-zero is a valid set; both outlive the calls.
    let old = unsafe {
        let mut all: libc::sigset_t = core::mem::zeroed();
        let mut old: libc::sigset_t = core::mem::zeroed();
        libc::sigfillset(&mut all);
        // Until the child has taken our handlers away a signal to it would be written into our pipe, as if it were ours.
        libc::sigprocmask(libc::SIG_SETMASK, &all, &mut old);
        old
    };
    // SAFETY: no pointers.
    let parent = unsafe { libc::getpid() };
    // SAFETY: single-threaded, and the child only makes system calls on memory that was prepared before.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: we are the child, and everything pointed at was made before the fork.
        unsafe { child(program, how, reports, parent, &argv, &env, &mut by_shell) }
    }
    let error = io::Error::last_os_error();
    // Its process group is made by its own setsid: a leader of a group, which we could make it, may not begin a session.
    // SAFETY: `old` is what sigprocmask filled in.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &old, core::ptr::null_mut()) };
    if pid < 0 { Err(error) } else { Ok(pid as u32) }
}

/// Between fork and exec.
///
/// # Safety
/// Called in a forked child only; the pointers end with null and their strings are alive.
unsafe fn child(
    program: &Program,
    how: &How<'_>,
    reports: &Reports,
    parent: i32,
    argv: &[*const libc::c_char],
    env: &[*const libc::c_char],
    by_shell: &mut [*const libc::c_char],
) -> ! {
    // SAFETY: as promised by the caller.
    unsafe {
        let report = match place(how.fds, reports.tx.as_raw_fd()) {
            Ok(fd) => fd,
            Err(_) => libc::_exit(127),
        };
        let mut errno = match become_it(how, parent) {
            Ok(()) => 0,
            Err(e) => e,
        };
        if errno == 0 {
            errno = libc::ENOENT;
            for path in &program.paths {
                // By its path, not by the descriptor that was looked at: `$0` and the name in `ps` stay what they are, and where
                // nobody but root can exchange a part of the path, it still leads to what was looked at.
                let e = match how.secure.then(|| super::walk::only_root(path)) {
                    Some(Err(e)) => e,
                    _ => {
                        libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr());
                        *libc::__errno_location()
                    }
                };
                if e == libc::ENOEXEC && how.shell {
                    tell(report, BY_SHELL);
                    if let Some(place) = by_shell.get_mut(1) {
                        *place = path.as_ptr();
                    }
                    libc::execve(c"/bin/sh".as_ptr(), by_shell.as_ptr(), env.as_ptr());
                }
                // As execvp does: go on where it is not, and remember where it is and may not be run.
                if e != libc::ENOENT && e != libc::ENOTDIR {
                    errno = e;
                }
                if ![libc::ENOENT, libc::ENOTDIR, libc::EACCES].contains(&e) {
                    break;
                }
            }
        }
        tell(report, errno);
        libc::_exit(127)
    }
}

unsafe fn tell(report: RawFd, what: i32) {
    // SAFETY: eight bytes from a local.
    unsafe {
        let mut record = [0u8; 8];
        record[..4].copy_from_slice(&libc::getpid().to_ne_bytes());
        record[4..].copy_from_slice(&what.to_ne_bytes());
        libc::write(report, record.as_ptr().cast(), record.len());
    }
}

/// Puts every fd at its place and closes the rest; where the report pipe is now.
unsafe fn place(fds: &[Option<BorrowedFd<'_>>], report: RawFd) -> Result<RawFd, ()> {
    // SAFETY: plain calls on fds, and a constant path.
    unsafe {
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        let high = |fd: RawFd| match libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, HIGH) {
            -1 => Err(()),
            fd => Ok(fd),
        };
        let null = high(null)?;
        let report = high(report)?;
        // First away from the places, for one may stand where another belongs.
        let mut from = [null; MAX_FDS];
        for (slot, fd) in from.iter_mut().zip(fds) {
            if let Some(fd) = fd {
                *slot = high(fd.as_raw_fd())?;
            }
        }
        let count = fds.len().max(3);
        for (i, fd) in from.iter().take(count).enumerate() {
            if libc::dup2(*fd, i as RawFd) < 0 {
                return Err(());
            }
        }
        let last = count as RawFd;
        if libc::dup3(report, last, libc::O_CLOEXEC) < 0 {
            return Err(());
        }
        if libc::syscall(libc::SYS_close_range, (last + 1) as libc::c_uint, libc::c_uint::MAX, 0) < 0 {
            return Err(());
        }
        Ok(last)
    }
}

/// Signals, scheduling, user, and the bond to the parent.
unsafe fn become_it(how: &How<'_>, parent: i32) -> Result<(), i32> {
    // SAFETY: plain calls; what they point at are locals.
    unsafe {
        libc::setsid();
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        let p: libc::sched_param = core::mem::zeroed();
        libc::sched_setscheduler(0, libc::SCHED_OTHER, &p);
        libc::setpriority(libc::PRIO_PROCESS, 0, 0);
        libc::umask(0o022);
        libc::chdir(c"/".as_ptr());
        if let Some((uid, gid)) = how.user {
            strip();
            let same = (uid, gid) == (libc::geteuid(), libc::getegid());
            let failed = libc::setgroups(1, &gid) < 0
                || libc::setresgid(gid, gid, gid) < 0
                || libc::setresuid(uid, uid, uid) < 0;
            // Without the right to change it, and nothing to change.
            if failed && !same {
                return Err(*libc::__errno_location());
            }
            super::privilege::clear_handed_on();
            // A keyring of its own in place of the one that this service was started with.
            libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, core::ptr::null::<libc::c_char>());
        }
        // After the change of user, which takes it back.
        if !how.outlives {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
            if libc::getppid() != parent {
                libc::_exit(127);
            }
        }
        let mut mask: libc::sigset_t = core::mem::zeroed();
        libc::sigemptyset(&mut mask);
        if how.held {
            super::signal::add_taken(&mut mask);
        }
        libc::sigprocmask(libc::SIG_SETMASK, &mask, core::ptr::null_mut());
        Ok(())
    }
}

/// `KEYCTL_JOIN_SESSION_KEYRING` (linux/keyctl.h).
const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
/// `ioprio_set` (linux/ioprio.h): this process; "as its niceness says".
const IOPRIO_WHO_PROCESS: libc::c_int = 1;
/// The kernel's default slack of timers, in ns.
const TIMER_SLACK: libc::c_ulong = 50_000;
/// Bytes that may be locked in memory: the kernel's own default (MLOCK_LIMIT).
const MEMLOCK: libc::rlim_t = 8 << 20;

/// Takes away what a program of another user would inherit of our standing: real-time priority, niceness and locked memory beyond
/// what everybody has, core files, our protection from the OOM killer, priority of input and output, exact timers, and flags that
/// weaken a process (no address randomisation). CPUs, control group, name spaces and the other limits are the operator's choice for
/// the whole service and stay.
///
/// Before the change of user: lowering a hard limit needs no right, but lowering the OOM score for good does.
unsafe fn strip() {
    // SAFETY: plain calls; what they point at are locals and constants.
    unsafe {
        let set = |which, most: libc::rlim_t| {
            let mut l: libc::rlimit = core::mem::zeroed();
            if libc::getrlimit(which, &mut l) == 0 {
                (l.rlim_cur, l.rlim_max) = (l.rlim_cur.min(most), l.rlim_max.min(most));
                libc::setrlimit(which, &l);
            }
        };
        set(libc::RLIMIT_RTPRIO, 0);
        set(libc::RLIMIT_NICE, 0);
        set(libc::RLIMIT_MEMLOCK, MEMLOCK);
        let mut core: libc::rlimit = core::mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_CORE, &mut core) == 0 {
            core.rlim_cur = 0;
            libc::setrlimit(libc::RLIMIT_CORE, &core);
        }
        libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, 0);
        libc::prctl(libc::PR_SET_TIMERSLACK, TIMER_SLACK, 0, 0, 0);
        // The personality's flags; what kind of system it is (its low byte) stays.
        let now = libc::personality(0xffff_ffff);
        if now > 0 {
            libc::personality((now & 0xff) as libc::c_ulong);
        }
        let open = || libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        let mut fd = open();
        if fd < 0 {
            // Hidden as we are, what lies in /proc is root's, and we are not root. For this one call.
            libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0);
            fd = open();
            libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
        }
        if fd >= 0 {
            let mut sign = 0u8;
            // One that is more likely to be chosen than others stays so.
            if libc::read(fd, (&raw mut sign).cast(), 1) == 1 && sign == b'-' {
                libc::pwrite(fd, c"0".as_ptr().cast(), 1, 0);
            }
            libc::close(fd);
        }
    }
}

/// Becomes another program; comes back only when that failed. Signals are held back until that program has
/// [handlers](super::signal::install_with_children): by default most of them would end it.
pub fn execute(path: &CStr, argv: &[CString], env: &[CString]) -> io::Error {
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: all-zero is a valid set; strings and pointers outlive the calls.
    unsafe {
        let mut all: libc::sigset_t = core::mem::zeroed();
        let mut old: libc::sigset_t = core::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &all, &mut old);
        libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr());
        let e = io::Error::last_os_error();
        libc::sigprocmask(libc::SIG_SETMASK, &old, core::ptr::null_mut());
        e
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Exit status.
    Exited(u8),
    /// By a signal.
    Signaled(u8),
}

/// A child that has ended and still has its number: nobody else can have it until [`reap`].
pub fn ended() -> Option<(u32, End)> {
    // SAFETY: all-zero is a valid siginfo_t, which outlives the call; its pid is zero when no child has ended.
    let (pid, code, status) = unsafe {
        let mut info: libc::siginfo_t = core::mem::zeroed();
        if libc::waitid(libc::P_ALL, 0, &mut info, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT) < 0 {
            return None;
        }
        (info.si_pid(), info.si_code, info.si_status())
    };
    let end = match code {
        libc::CLD_EXITED => End::Exited(status as u8),
        _ => End::Signaled(status as u8),
    };
    u32::try_from(pid).ok().filter(|p| *p > 0).map(|pid| (pid, end))
}

/// Forgets a child that [`ended`].
pub fn reap(pid: u32) {
    // SAFETY: no status is asked for; the child has ended, so nothing waits.
    unsafe { libc::waitpid(pid as i32, core::ptr::null_mut(), libc::WNOHANG) };
}

/// Sends SIGTERM, or SIGKILL, to one process, or to its whole group. Somebody who is gone already is no error.
pub fn kill(pid: u32, group: bool, hard: bool) {
    let Some(pid) = i32::try_from(pid).ok().filter(|p| *p > 1) else { return };
    let signal = if hard { libc::SIGKILL } else { libc::SIGTERM };
    // A child that has only just been forked has no group yet: then it alone is meant.
    // SAFETY: no pointers; neither 0, -1 nor 1 can be meant.
    unsafe {
        if !group || libc::kill(-pid, signal) < 0 {
            libc::kill(pid, signal);
        }
    }
}

/// From now on whatever a child leaves behind becomes a child of ours when its parent ends, instead of init's.
pub fn adopt_orphans() {
    // SAFETY: no pointers. Where it is refused, orphans go to init as ever.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
}

/// What `ps` and `killall` know this process by, at most 15 bytes: after an exec of /proc/self/exe it would be "exe".
pub fn set_name(name: &CStr) {
    // SAFETY: a C string that outlives the call; the kernel copies 16 bytes at most.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// As [`set_name`], of any text; cut at 15 bytes, and at a NUL.
pub fn set_name_to(text: &str) {
    let bytes: Vec<u8> = text.bytes().take_while(|b| *b != 0).take(15).collect();
    if let Ok(name) = std::ffi::CString::new(bytes) {
        set_name(&name);
    }
}

/// What [`set_name`] was told last, by us or by a process that became this one.
pub fn name() -> String {
    let mut name = [0u8; 16];
    // SAFETY: the kernel writes 16 bytes, with a NUL.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
    String::from_utf8_lossy(&name[..end]).into_owned()
}

/// The fds from 3 on that our parent gave us, as many as there should be. Only once, at the start.
pub fn inherited<const N: usize>() -> io::Result<[OwnedFd; N]> {
    static TAKEN: core::sync::atomic::AtomicBool = core::sync::atomic::AtomicBool::new(false);
    for fd in 3..3 + N as RawFd {
        // SAFETY: no pointers; an fd that is not there is an error.
        errno_or(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    }
    if TAKEN.swap(true, core::sync::atomic::Ordering::Relaxed) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    // SAFETY: they are open, and nobody here has opened anything before: they are our parent's gift, taken once.
    Ok(core::array::from_fn(|i| unsafe { OwnedFd::from_raw_fd(3 + i as RawFd) }))
}
