//! How many files a process may have open.
//!
//! Read first: nothing.

/// Raises the limit of open files to `wanted`, as far as possible without privilege. Returns the new limit; a higher one is kept.
pub fn raise_files(wanted: u64) -> u64 {
    let mut has = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `has` outlives the calls.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut has) != 0 || has.rlim_cur >= wanted {
            return has.rlim_cur;
        }
        let more = libc::rlimit { rlim_cur: wanted.min(has.rlim_max), rlim_max: has.rlim_max };
        match libc::setrlimit(libc::RLIMIT_NOFILE, &more) {
            0 => more.rlim_cur,
            _ => has.rlim_cur,
        }
    }
}
