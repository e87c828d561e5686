//! Starting and reaping processes. `std::process::Command` is not used: its spawn waits until the program was executed, and on a file
//! server that does not answer that wait may never end. Here the parent continues after the fork; the result of the exec is reported
//! through one pipe that all children share.
//!
//! Read first: nothing. Deliberately absent: which program runs, and why (`guard/`).

use super::socket::errno_or;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Most descriptors that a child is given, 0, 1 and 2 among them.
pub const MAX_FDS: usize = 12;
/// A child keeps descriptors above this number until it has moved them to their places.
const HIGH: RawFd = 64;
/// The limit of open files below which no program can be started: what is moved, a null and a report.
pub const LEAST_FILES: u64 = HIGH as u64 + MAX_FDS as u64 + 2;
/// The value in a [`Report`] for a program without a `#!` line that /bin/sh runs.
const BY_SHELL: i32 = -1;

/// What is executed: the first of `paths` that can be executed. Made before the fork, so that the child allocates nothing.
#[derive(Clone, Debug)]
pub struct Program {
    /// Absolute paths, best first.
    pub paths: Vec<CString>,
    /// Arguments, the program's name first.
    pub argv: Vec<CString>,
    /// The environment, as `NAME=value`.
    pub env: Vec<CString>,
}

/// The conditions under which a program is started.
#[derive(Clone, Debug, Default)]
pub struct How<'a> {
    /// User and group; the group is also the only supplementary group. `None`: those of this process.
    pub user: Option<(u32, u32)>,
    /// The child's descriptors from 0 on; `None`: /dev/null. All others are closed.
    pub fds: &'a [Option<BorrowedFd<'a>>],
    /// /bin/sh runs a program without `#!`.
    pub shell: bool,
    /// The program runs only if, at the time of the start, no user but root can replace it or a component of its path; otherwise the
    /// start fails with `EPERM`.
    pub secure: bool,
    /// The signals that [`signal::install`](super::signal::install) takes stay blocked until the child calls it: SIGTERM at the end of
    /// this process does not end the child before the child can handle it.
    pub held: bool,
    /// The child continues when this process ends, also before the exec. All other children end with this process.
    pub outlives: bool,
}

/// What a child reported about its start. A successful start is not reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The program could not start: process, errno.
    Failed(u32, i32),
    /// /bin/sh runs the program.
    ByShell(u32),
}

/// The pipe on which children report their start.
#[derive(Debug)]
pub struct Reports {
    rx: OwnedFd,
    tx: OwnedFd,
}

impl Reports {
    /// A record has 8 bytes and a pipe holds 64 KiB, so the pipe is never full with the few hundred children of a guard.
    pub fn new() -> io::Result<Reports> {
        let mut ends = [0i32; 2];
        // SAFETY: two ints to write to.
        errno_or(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
        // SAFETY: two new file descriptors that have no other owner.
        Ok(unsafe { Reports { rx: OwnedFd::from_raw_fd(ends[0]), tx: OwnedFd::from_raw_fd(ends[1]) } })
    }

    /// The read end and the write end, for an execve.
    pub fn fds(&self) -> (BorrowedFd<'_>, BorrowedFd<'_>) {
        (self.rx.as_fd(), self.tx.as_fd())
    }

    /// Makes the pipe again from [`Reports::fds`].
    pub fn from_fds(rx: OwnedFd, tx: OwnedFd) -> Reports {
        Reports { rx, tx }
    }

    /// All reports so far. A child reports before it ends: read the reports before reaping.
    pub fn read(&self) -> Vec<Report> {
        let mut all = Vec::new();
        let mut buf = [0u8; 8 * 64];
        loop {
            // SAFETY: the buffer outlives the call, and its own length is passed.
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

/// Pointers to C strings, with the null pointer that execve expects at the end.
fn pointers(list: &[CString]) -> Vec<*const libc::c_char> {
    list.iter().map(|s| s.as_ptr()).chain([core::ptr::null()]).collect()
}

/// Forks and returns the process id. The child has a session of its own (and so no terminal), default signals, an empty signal mask,
/// umask 022, directory /, ordinary scheduling at nice 0, and receives SIGTERM when this process ends. A child with a user of its own
/// keeps no privilege of this process beyond that user's rights: see `strip`.
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
        // Until the child has removed our handlers, a signal to the child would be written into our pipe, as if it were for this process.
        libc::sigprocmask(libc::SIG_SETMASK, &all, &mut old);
        old
    };
    // SAFETY: no pointers.
    let parent = unsafe { libc::getpid() };
    // SAFETY: single-threaded, and the child only makes system calls on memory that was prepared before.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: we are the child, and all memory that is used was allocated before the fork.
        unsafe { child(program, how, reports, parent, &argv, &env, &mut by_shell) }
    }
    let error = io::Error::last_os_error();
    // The child's setsid makes its process group: if we made it a group leader, its setsid would fail.
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
                // By its path, not by the descriptor that was checked: `$0` and the name in `ps` stay as configured. Where only root can
                // replace a component of the path, the path still leads to the file that was checked.
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
                // As execvp does: continue where the file is missing, and keep the error of a file that exists and may not be executed.
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

/// Moves every descriptor to its place and closes the rest. Returns where the report pipe is now.
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
        // First move them away from the places, because a descriptor may have the number of another one's place.
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

/// Sets signals, scheduling and user, and the signal at the parent's end.
unsafe fn become_it(how: &How<'_>, parent: i32) -> Result<(), i32> {
    // SAFETY: plain calls; their pointers are to locals.
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
            // The change is not permitted, and there is nothing to change.
            if failed && !same {
                return Err(*libc::__errno_location());
            }
            super::privilege::clear_handed_on();
            // A session keyring of its own, in place of the one that this service was started with.
            libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, core::ptr::null::<libc::c_char>());
        }
        // After the change of user, which clears this setting.
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

/// `KEYCTL_JOIN_SESSION_KEYRING` (linux/keyctl.h): the process gets a session keyring of its own.
const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
/// `ioprio_set` (linux/ioprio.h): this process; class and level follow from the nice value.
const IOPRIO_WHO_PROCESS: libc::c_int = 1;
/// The kernel's default slack of timers, in ns.
const TIMER_SLACK: libc::c_ulong = 50_000;
/// Bytes that may be locked in memory: the kernel's own default (MLOCK_LIMIT).
const MEMLOCK: libc::rlim_t = 8 << 20;

/// Removes what a program of another user would inherit of our privileges: real-time priority, niceness and locked memory beyond the
/// defaults, core files, protection from the OOM killer, I/O priority, exact timers, and flags that weaken a process (no address
/// randomisation). CPUs, control group, namespaces and the other limits are the operator's choice for the whole service and stay.
///
/// Called before the change of user: lowering a hard limit needs no privilege, but lowering the minimum of the OOM score does.
unsafe fn strip() {
    // SAFETY: plain calls; their pointers are to locals and constants.
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
        super::sched::huge_pages_as_before();
        // Clears the personality's flags; the execution domain (the low byte) stays.
        let now = libc::personality(0xffff_ffff);
        if now > 0 {
            libc::personality((now & 0xff) as libc::c_ulong);
        }
        let open = || libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        let mut fd = open();
        if fd < 0 {
            // This process is not dumpable, so its files in /proc belong to root, and a process of another user could not write them.
            // Only for this call.
            libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0);
            fd = open();
            libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
        }
        if fd >= 0 {
            let mut sign = 0u8;
            // A process that is more likely to be killed than others stays so.
            if libc::read(fd, (&raw mut sign).cast(), 1) == 1 && sign == b'-' {
                libc::pwrite(fd, c"0".as_ptr().cast(), 1, 0);
            }
            libc::close(fd);
        }
    }
}

/// Executes another program; returns only when that failed. Signals stay blocked until that program has installed
/// [handlers](super::signal::install_with_children): by default most of them would end it.
pub fn execute(path: &CStr, argv: &[CString], env: &[CString]) -> io::Error {
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: all-zero is a valid set; strings and pointers outlive the calls.
    unsafe {
        let mut all: libc::sigset_t = core::mem::zeroed();
        let mut old: libc::sigset_t = core::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &all, &mut old);
        // Ours disables them again, and knows how it was.
        super::sched::huge_pages_as_before();
        libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr());
        let e = io::Error::last_os_error();
        libc::sigprocmask(libc::SIG_SETMASK, &old, core::ptr::null_mut());
        e
    }
}

/// How a process ended, as waitpid(2) reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Exit status, 0..=255.
    Exited(u8),
    /// By a signal.
    Signaled(u8),
}

/// A child that has ended and keeps its number: no other process gets that number before [`reap`].
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

/// Whether this child stopped itself (SIGSTOP) since the last call.
pub fn stopped(pid: u32) -> bool {
    // SAFETY: all-zero is a valid siginfo_t, which outlives the call; its pid is zero when the child has not stopped.
    unsafe {
        let mut info: libc::siginfo_t = core::mem::zeroed();
        libc::waitid(libc::P_PID, pid, &mut info, libc::WSTOPPED | libc::WNOHANG) == 0 && info.si_pid() != 0
    }
}

/// Releases the number of a child that [`ended`].
pub fn reap(pid: u32) {
    // SAFETY: no status is asked for; the child has ended, so nothing waits.
    unsafe { libc::waitpid(pid as i32, core::ptr::null_mut(), libc::WNOHANG) };
}

/// Sends SIGTERM, or SIGKILL, to one process, or to its whole group. A process that has ended already is no error.
pub fn kill(pid: u32, group: bool, hard: bool) {
    let Some(pid) = i32::try_from(pid).ok().filter(|p| *p > 1) else { return };
    let signal = if hard { libc::SIGKILL } else { libc::SIGTERM };
    // A child that was forked a moment ago has no group yet: the signal then goes to that child alone.
    // SAFETY: no pointers; neither 0, -1 nor 1 can be meant.
    unsafe {
        if !group || libc::kill(-pid, signal) < 0 {
            libc::kill(pid, signal);
        }
    }
}

/// From now on an orphaned descendant becomes a child of this process instead of a child of init.
pub fn adopt_orphans() {
    // SAFETY: no pointers. Where it is refused, orphans go to init as ever.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
}

/// Sets the name that `ps` and `killall` show, at most 15 bytes: after an exec of /proc/self/exe it would be "exe".
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
    // SAFETY: they are open, and this process has opened no descriptor before: the parent passed them, and they are taken once.
    Ok(core::array::from_fn(|i| unsafe { OwnedFd::from_raw_fd(3 + i as RawFd) }))
}
