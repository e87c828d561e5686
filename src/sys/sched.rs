//! Real-time priority, locked memory, niceness, CPUs: requested at the start without configuration. For each refusal one line names the
//! limit that refused. A refusal never stops the daemon: the daemon only loses protection against load.

use super::daemonize::effective_capabilities;
use super::sections;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// SCHED_RR priority when the configuration names none. A low one is above every ordinary process, which is all the protection that is
/// needed, and below any process that an operator gave a priority on purpose; the guard has the priority below it.
pub const DEFAULT_RT_PRIORITY: u8 = 2;

/// Niceness of a process that has precedence over the other ordinary processes.
const BEST_NICE: i32 = -20;

const CAP_IPC_LOCK: u64 = 1 << 14;
const CAP_SYS_NICE: u64 = 1 << 23;

/// The settings that are requested.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// SCHED_RR priority, 1..=99; `None`: [`DEFAULT_RT_PRIORITY`].
    pub rt_priority: Option<u8>,
    /// Nice value; `None`: leave it.
    pub nice: Option<i8>,
    /// `RLIMIT_RTTIME`, microseconds; `None`: unlimited, as far as we may raise it, so that a long operation never kills the daemon.
    pub rttime: Option<u64>,
    /// Numbers of the CPUs to run on; empty: all.
    pub cpus: Vec<u16>,
}

/// The results: lines for the log. Those in `refused` are warnings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The settings that hold now.
    pub done: Vec<String>,
    /// The settings that were refused, by which limit, and the consequence.
    pub refused: Vec<String>,
    /// The real-time priority that was set.
    pub rt_priority: Option<u8>,
}

/// Applies all settings. Called once, after all large allocations and before the loop.
pub fn apply(wanted: &Wanted) -> Outcome {
    let mut out = Outcome::default();
    // Waits of ordinary tasks may end 50 µs late to save wake-ups. Real-time tasks have no slack; this setting is for the others.
    // SAFETY: no pointers.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1, 0, 0, 0) };
    cpus(wanted, &mut out);
    nice(wanted, &mut out);
    rttime(wanted, &mut out);
    memory(&mut out);
    // Last: locking memory reads every page in, and during an upgrade the previous core has the same priority, so its adverts would wait.
    real_time(wanted, &mut out);
    out
}

/// Priority of the guard: one below the core's. It is above every ordinary process, so that a core that ended is restarted quickly on a
/// busy machine, and below the core, so that on a shared processor a fork waits for an advert and not an advert for a fork. `None`: there
/// is no real-time priority below the core's, so the guard is an ordinary process.
pub fn guard_priority(core: Option<u8>) -> Option<u8> {
    core.unwrap_or(DEFAULT_RT_PRIORITY).checked_sub(1).filter(|p| *p > 0)
}

/// For the guard: see [`guard_priority`]. Its children do not inherit the priority. The core logs refusals.
pub fn apply_to_guard(rt_priority: Option<u8>) {
    lift_rttime();
    let Some(priority) = guard_priority(rt_priority) else { return };
    if limit(libc::RLIMIT_RTTIME) != libc::RLIM_INFINITY {
        return;
    }
    // SAFETY: all-zero is a valid sched_param; it outlives the call.
    unsafe {
        let mut p: libc::sched_param = core::mem::zeroed();
        p.sched_priority = i32::from(priority);
        libc::sched_setscheduler(0, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, &p);
    }
}

/// Does this in the ordinary class, where it is in the real-time class otherwise: long work of a process beside the core, which counts
/// towards the time that the kernel allows all real-time processes together.
pub fn in_ordinary_class<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: all-zero is a valid sched_param, and each call has one that outlives it.
    let before = unsafe {
        let mut p: libc::sched_param = core::mem::zeroed();
        let policy = libc::sched_getscheduler(0);
        let known = policy >= 0 && libc::sched_getparam(0, &mut p) == 0;
        let ordinary: libc::sched_param = core::mem::zeroed();
        let changed = known && p.sched_priority > 0 && libc::sched_setscheduler(0, libc::SCHED_OTHER, &ordinary) == 0;
        changed.then_some((policy, p))
    };
    let done = work();
    if let Some((policy, p)) = before {
        // SAFETY: as above. Where it is refused, the process goes on in the ordinary class.
        unsafe { libc::sched_setscheduler(0, policy, &p) };
    }
    done
}

/// Changes to that real-time priority, or to the best ordinary one.
pub fn change_class(rt_priority: Option<u8>) -> io::Result<()> {
    let policy = if rt_priority.is_some() { libc::SCHED_RR } else { libc::SCHED_OTHER };
    // SAFETY: all-zero is a valid sched_param; it outlives the call. The niceness is of use in the ordinary class only, and is
    // refused without a right to it.
    let r = unsafe {
        let mut p: libc::sched_param = core::mem::zeroed();
        p.sched_priority = i32::from(rt_priority.unwrap_or(0));
        if rt_priority.is_none() {
            libc::setpriority(libc::PRIO_PROCESS, 0, BEST_NICE);
        }
        libc::sched_setscheduler(0, policy, &p)
    };
    if r == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether this process was started without huge pages.
static WITHOUT: AtomicBool = AtomicBool::new(false);

/// Disables pages of 2 MiB for this process and those of ours that it starts. A kernel that clears pages when it
/// allocates them, as Debian's does, takes 2 ms without interruption for one (at 1,000 MIPS), and as long to collect one in the
/// background; on a single processor an advert waits for that, whichever process uses the memory. Locked memory would be filled up to
/// whole ones, too.
pub fn small_pages() {
    // SAFETY: no pointers.
    unsafe {
        WITHOUT.store(libc::prctl(libc::PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1, Ordering::Relaxed);
        libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0);
    }
}

/// A program that is not ours gets what this process was started with. Only system calls: for a forked child.
pub(super) fn huge_pages_as_before() {
    if !WITHOUT.load(Ordering::Relaxed) {
        // SAFETY: no pointers.
        unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 0, 0, 0, 0) };
    }
}

fn cpus(wanted: &Wanted, out: &mut Outcome) {
    if wanted.cpus.is_empty() {
        return;
    }
    // SAFETY: all-zero is the empty set; CPU_SET ignores numbers beyond the set; `set` outlives the call.
    let r = unsafe {
        let mut set: libc::cpu_set_t = core::mem::zeroed();
        for cpu in wanted.cpus.iter().filter(|c| (**c as usize) < libc::CPU_SETSIZE as usize) {
            libc::CPU_SET(usize::from(*cpu), &mut set);
        }
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set)
    };
    match r {
        0 => out.done.push(format!("runs on CPUs {:?}", wanted.cpus)),
        _ => out.refused.push(format!("CPUs {:?} refused: {}", wanted.cpus, io::Error::last_os_error())),
    }
}

fn nice(wanted: &Wanted, out: &mut Outcome) {
    let Some(nice) = wanted.nice else { return };
    // SAFETY: no pointers.
    match unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, i32::from(nice)) } {
        0 => out.done.push(format!("nice {nice}")),
        _ => out.refused.push(format!(
            "nice {nice} refused: {}; RLIMIT_NICE allows {}, CAP_SYS_NICE {}",
            io::Error::last_os_error(),
            20i64.saturating_sub(limit(libc::RLIMIT_NICE).min(40) as i64),
            has(CAP_SYS_NICE),
        )),
    }
}

fn rttime(wanted: &Wanted, out: &mut Outcome) {
    let Some(us) = wanted.rttime else { return lift_rttime() };
    let l = libc::rlimit { rlim_cur: us, rlim_max: us };
    // SAFETY: `l` outlives the call.
    match unsafe { libc::setrlimit(libc::RLIMIT_RTTIME, &l) } {
        0 => out.done.push(format!("RLIMIT_RTTIME {us} us")),
        _ => out.refused.push(format!("RLIMIT_RTTIME {us} us refused: {}", io::Error::last_os_error())),
    }
}

/// The process that started us may have set a limit, whose signal would end a core that takes over a long configuration. With
/// CAP_SYS_RESOURCE the limit is removed, otherwise it is raised as far as permitted.
fn lift_rttime() {
    let none = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    let mut has = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both outlive the calls.
    unsafe {
        if libc::setrlimit(libc::RLIMIT_RTTIME, &none) < 0 && libc::getrlimit(libc::RLIMIT_RTTIME, &mut has) == 0 {
            has.rlim_cur = has.rlim_max;
            libc::setrlimit(libc::RLIMIT_RTTIME, &has);
        }
    }
}

fn real_time(wanted: &Wanted, out: &mut Outcome) {
    let priority = i32::from(wanted.rt_priority.unwrap_or(DEFAULT_RT_PRIORITY));
    // The kernel kills a real-time process that exceeds the limit. It does not apply to an ordinary process.
    let rttime = limit(libc::RLIMIT_RTTIME);
    if rttime < wanted.rttime.unwrap_or(libc::RLIM_INFINITY) {
        out.refused.push(format!(
            "real-time priority {priority} not taken: RLIMIT_RTTIME is {rttime} us, cannot be lifted, and would end us after so much \
             work without a pause; adverts may be late when the machine is busy"
        ));
        return;
    }
    // SAFETY: all-zero is a valid sched_param; it outlives the call.
    let r = unsafe {
        let mut p: libc::sched_param = core::mem::zeroed();
        p.sched_priority = priority;
        libc::sched_setscheduler(0, libc::SCHED_RR, &p)
    };
    if r == 0 {
        out.rt_priority = u8::try_from(priority).ok();
        out.done.push(format!("real-time priority {priority} (SCHED_RR)"));
        return;
    }
    let e = io::Error::last_os_error();
    let why = match (e.raw_os_error(), has_bit(CAP_SYS_NICE), limit(libc::RLIMIT_RTPRIO)) {
        (Some(libc::EPERM), Some(true), _) => {
            "the control group has no real-time budget (cpu.rt_runtime_us is 0)".to_owned()
        }
        (Some(libc::EPERM), _, max) if max < priority as u64 => {
            format!("RLIMIT_RTPRIO is {max} and CAP_SYS_NICE is missing")
        }
        (Some(libc::EPERM), _, max) => {
            format!("RLIMIT_RTPRIO is {max}, so it is the control group's real-time budget (cpu.rt_runtime_us)")
        }
        _ => e.to_string(),
    };
    out.refused
        .push(format!("real-time priority {priority} refused: {why}; adverts may be late when the machine is busy"));
}

fn memory(out: &mut Outcome) {
    let max = limit(libc::RLIMIT_MEMLOCK);
    // With a finite limit and no capability, MCL_FUTURE would make a later allocation fail, and a failed allocation ends the process: in
    // that case memory is not locked.
    let allowed = max == libc::RLIM_INFINITY || has_bit(CAP_IPC_LOCK) == Some(true);
    // What is mapped from now on is locked page by page, as it is used: locked at once, a heap that grows by 1 MB held the loop, and an
    // advert, for 1.4 ms (measured at 1,000 MIPS). A page that is used once stays.
    // SAFETY: no pointers.
    let locked = |flags| unsafe { libc::mlockall(flags) } == 0;
    if allowed && locked(libc::MCL_CURRENT | libc::MCL_FUTURE) {
        // A kernel before 4.4 knows no MCL_ONFAULT: the setting above stays.
        let _ = locked(libc::MCL_FUTURE | libc::MCL_ONFAULT);
        sections::give_back();
        out.done.push("memory locked".to_owned());
        return;
    }
    let why = if allowed {
        io::Error::last_os_error().to_string()
    } else {
        format!("RLIMIT_MEMLOCK is {} KiB and CAP_IPC_LOCK is missing", max / 1024)
    };
    out.refused.push(format!("locking memory refused: {why}; adverts may be late when the machine swaps"));
}

fn limit(which: libc::__rlimit_resource_t) -> u64 {
    let mut l = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `l` outlives the call; were it to fail, zero stays.
    unsafe { libc::getrlimit(which, &mut l) };
    l.rlim_cur
}

fn has_bit(bit: u64) -> Option<bool> {
    effective_capabilities().map(|c| c & bit != 0)
}

fn has(bit: u64) -> &'static str {
    match has_bit(bit) {
        Some(true) => "is there",
        Some(false) => "is missing",
        None => "cannot be told",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guard_is_below_the_core_and_above_ordinary_processes() {
        assert!(guard_priority(None).is_some_and(|p| 0 < p && p < DEFAULT_RT_PRIORITY));
        assert_eq!((guard_priority(Some(99)), guard_priority(Some(1))), (Some(98), None));
    }
}
