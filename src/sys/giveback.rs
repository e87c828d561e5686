//! The end of a process that took much memory, in small pieces.
//!
//! On a single processor a kernel before 6.7 collects freed pages in a list of up to some thousand pages, and empties the list with
//! interrupts disabled: 6 ms were measured on a processor of 500 MIPS at the end of a process of 200 MB, and an advert waits for that
//! time. The number of pages that are freed together doubles while pages are only freed, and halves whenever a page is allocated. So
//! memory is given back a few pages at a time, with an allocation in between.
//!
//! The list itself stays full, and the kernel empties it at once when it frees two adjoining pages, such as the page table's root at the
//! end of a process. So a compiler of a guard does not end: it stops itself (SIGSTOP), and the guard ends it at a moment when no advert
//! is due (`daemon/lull.rs`).

use std::fs;

/// Bytes given back at once: 128 pages.
const PIECE: usize = 128 * PAGE;
const PAGE: usize = 4096;
/// Most mappings that are given back; the rest is freed when the process ends.
const MAPPINGS: usize = 64;
/// Smaller mappings are not given back.
const SMALL: usize = 1 << 20;

/// The number of the guard that ends this process itself.
pub const VARIABLE: &str = "KALIVED_REST";

/// Ends the process with `code`. Its memory is given back before: no destructor runs, and no buffered output is written. Where
/// [`VARIABLE`] names the parent, a successful process stops instead, and the parent ends it.
pub fn exit(code: u8) -> ! {
    let rest = code == 0
        && std::env::var(VARIABLE).ok().and_then(|n| n.parse().ok()) == Some(std::os::unix::process::parent_id());
    let mut mappings = [(0usize, 0usize); MAPPINGS];
    if let Ok(text) = fs::read_to_string("/proc/self/maps") {
        let large = text.lines().filter_map(private).filter(|(from, to)| to - from >= SMALL);
        for (slot, mapping) in mappings.iter_mut().zip(large) {
            *slot = mapping;
        }
    }
    // SAFETY: from here on nothing but this frame, in the stack's own mapping, and system calls are used; the pieces about the thread's
    // own variables are not released, nor is memory that is not private. The pages read as zeros afterwards; no code reads them.
    unsafe {
        let own = libc::__errno_location() as usize;
        let spare = libc::mmap(
            core::ptr::null_mut(),
            PAGE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        for (from, to) in mappings {
            let mut at = from;
            while at < to {
                let end = to.min(at.saturating_add(PIECE));
                if own.saturating_add(PIECE) < at || own > end.saturating_add(PIECE) {
                    libc::madvise(at as *mut libc::c_void, end - at, libc::MADV_DONTNEED);
                    if spare != libc::MAP_FAILED {
                        spare.cast::<u8>().write_volatile(1);
                        libc::madvise(spare, PAGE, libc::MADV_DONTNEED);
                    }
                }
                at = end;
            }
        }
        // A stopped process acts on no other signal. The signal set until now ended this process already if its parent has ended before.
        if rest && libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0 {
            libc::kill(libc::getpid(), libc::SIGSTOP);
        }
        libc::_exit(i32::from(code))
    }
}

// The range of a line of /proc/PID/maps that is private, writable and not backed by a file; not a stack.
fn private(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split_ascii_whitespace();
    let (from, to) = words.next()?.split_once('-')?;
    let mine = words.next()? == "rw-p" && words.nth(2)? == "0" && matches!(words.next(), None | Some("[heap]"));
    mine.then_some(())?;
    Some((usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_private_memory_is_given_back() {
        let heap = "55d0c7a00000-55d0c7b00000 rw-p 00000000 00:00 0                          [heap]";
        assert_eq!(private(heap), Some((0x55d0_c7a0_0000, 0x55d0_c7b0_0000)));
        assert_eq!(private("7f00-7f01 rw-p 00000000 00:00 0 "), Some((0x7f00, 0x7f01)));
        for other in [
            "7f00-7f01 r--p 00000000 00:00 0",
            "7f00-7f01 rw-s 00000000 00:00 0",
            "7f00-7f01 rw-p 00002000 fe:00 1234 /usr/lib/x86_64-linux-gnu/libc.so.6",
            "7ffd-7ffe rw-p 00000000 00:00 0 [stack]",
            "7ffd rw-p",
            "",
        ] {
            assert_eq!(private(other), None, "{other}");
        }
    }
}
