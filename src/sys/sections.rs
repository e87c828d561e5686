//! Parts of the program that need not be in memory while the loop runs.
//!
//! The core locks its memory, so that no advert waits for a page. The loop does not need most of the program: that part reads files,
//! prints answers to commands, reads recordings, formats texts. `link/seldom.ld` places it in one section. After the memory was locked,
//! this file unlocks and releases these pages, and also the tables that only the unwinder and the dynamic linker read. Pages that are
//! needed later are read from the page cache again. What only some configurations use ([`Part`]) is locked when there is such a
//! configuration.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Once, OnceLock};

/// Code that the core runs at its start, for a command, at a reload or never.
const SELDOM: &str = ".text.seldom";
/// Code for the types of the configuration, of which the loop uses a little: each page is locked when it is used.
const MODEL: &str = ".text.model";

/// What only some configurations use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Libraries that some health checks use: TLS and regular expressions.
    Libraries,
    /// Virtual servers.
    Servers,
    /// Routes, rules, interfaces of virtual routers, packet filters, BFD.
    More,
}

impl Part {
    const ALL: [Part; 3] = [Part::Libraries, Part::Servers, Part::More];

    fn section(self) -> &'static str {
        match self {
            Part::Libraries => ".text.checks",
            Part::Servers => ".text.lvs",
            Part::More => ".text.more",
        }
    }
}
/// Read by the dynamic linker before `main`, and by the unwinder after a panic.
const TABLES: [&str; 10] = [
    ".dynsym",
    ".dynstr",
    ".gnu.hash",
    ".gnu.version",
    ".gnu.version_r",
    ".rela.dyn",
    ".rela.plt",
    ".gcc_except_table",
    ".eh_frame_hdr",
    ".eh_frame",
];

/// The size of the smallest page of every Linux.
const PAGE: u64 = 4096;
/// Most sections that are examined: a program has some forty.
const MOST: u16 = 256;
/// Of mlock2(2): each page when it is used.
const MLOCK_ONFAULT: libc::c_uint = 1;
const SHF_WRITE: u64 = 1;
const SHF_ALLOC: u64 = 2;

/// A part of this process's memory: whole pages, first and end.
type Range = (u64, u64);

/// The ranges for [`keep`], which may run when no file can be opened any more.
static PARTS: OnceLock<[Vec<Range>; Part::ALL.len()]> = OnceLock::new();

/// Unlocks and gives back what the loop does not need. Of a shared library, and of what only some configurations use, a page is locked
/// when it is used: most of the C library is never.
pub fn give_back() {
    PARTS.get_or_init(|| Part::ALL.map(|part| own(|name| name == part.section())));
    // Adjoining ranges are merged: two sections may share a page.
    for (at, length) in merged(own(|name| name == SELDOM || TABLES.contains(&name))).into_iter().flat_map(pieces) {
        // SAFETY: whole pages of the program's file that are never written: whoever reads them gets them from the file again.
        unsafe {
            libc::munlock(at, length);
            libc::madvise(at, length, libc::MADV_DONTNEED);
        }
    }
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let program = fs::read_link("/proc/self/exe").unwrap_or_default();
    let used = merged(own(|name| name == MODEL || Part::ALL.iter().any(|part| part.section() == name)));
    let libraries = maps.lines().filter_map(|line| library(line, &program));
    for (at, length) in used.into_iter().chain(libraries).flat_map(pieces) {
        // SAFETY: code, which is never written; as above.
        unsafe {
            libc::munlock(at, length);
            libc::madvise(at, length, libc::MADV_DONTNEED);
            libc::mlock2(at, length, MLOCK_ONFAULT);
        }
    }
}

// So many bytes at a time: a kernel that is not preemptible ends no system call early, and an advert on the same processor would wait for
// all of it.
const PIECE: u64 = 32 * PAGE;

fn pieces((from, to): Range) -> impl Iterator<Item = (*mut libc::c_void, usize)> {
    (from..to).step_by(PIECE as usize).map(move |at| (at as *mut libc::c_void, PIECE.min(to - at) as usize))
}

// The code of a shared library, of a line of /proc/PID/maps.
fn library(line: &str, program: &Path) -> Option<Range> {
    let mut words = line.split_ascii_whitespace();
    let whole = range(words.next()?)?;
    let code = words.next()? == "r-xp";
    let file = Path::new(words.nth(3).filter(|name| name.starts_with('/'))?);
    (code && file != program).then_some(whole)
}

// The first word of a line of /proc/PID/maps.
fn range(line: &str) -> Option<Range> {
    let (from, to) = line.split_ascii_whitespace().next()?.split_once('-')?;
    Some((u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?))
}

/// Locks all of a part, because the configuration uses it: once. Without effect before [`give_back`], and where memory may not be locked.
pub fn keep(part: Part) {
    static KEPT: [Once; Part::ALL.len()] = [const { Once::new() }; Part::ALL.len()];
    let Some(ranges) = PARTS.get().and_then(|all| all.get(part as usize)) else { return };
    let Some(once) = KEPT.get(part as usize) else { return };
    once.call_once(|| {
        for (at, length) in ranges.iter().copied().flat_map(pieces) {
            // SAFETY: a part of the program; locking changes nothing but where its pages are.
            unsafe { libc::mlock(at, length) };
        }
    });
}

/// Releases every page of the program that was not written to, and free memory: for a process that sleeps from now on.
pub fn give_back_all() {
    for (at, length) in merged(own(|_| true)).into_iter().flat_map(pieces) {
        // SAFETY: as in `give_back`. The code that runs here comes back with the next instruction.
        unsafe { libc::madvise(at, length, libc::MADV_DONTNEED) };
    }
    give_back_heap();
}

#[cfg(target_env = "gnu")]
fn give_back_heap() {
    // A page of 2 MiB would come back whole for the next byte that is used.
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for (at, end) in maps.lines().filter(|line| line.ends_with("[heap]")).filter_map(range) {
        // SAFETY: advice about this process's heap; what is in it stays.
        unsafe { libc::madvise(at as *mut libc::c_void, (end - at) as usize, libc::MADV_NOHUGEPAGE) };
    }
    // SAFETY: no pointers; only what is free is given back.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
fn give_back_heap() {}

// The sections of this process that `wanted` selects and that are never written to.
fn own(wanted: impl Fn(&str) -> bool) -> Vec<Range> {
    let Ok(file) = File::open("/proc/self/exe") else { return Vec::new() };
    let read = |at: u64, length: usize| {
        let mut out = vec![0; length];
        file.read_exact_at(&mut out, at).ok().map(|()| out)
    };
    // SAFETY: no pointers go in; the kernel's own value comes out.
    let table = unsafe { libc::getauxval(libc::AT_PHDR) };
    sections(read, table, wanted).unwrap_or_default()
}

// The ranges of sections in an ELF file of 64 bits whose program headers are at `table` in memory. `None`: the file is not such a file.
fn sections(
    read: impl Fn(u64, usize) -> Option<Vec<u8>>,
    table: u64,
    wanted: impl Fn(&str) -> bool,
) -> Option<Vec<Range>> {
    let head = read(0, 64)?;
    if head.get(..5)? != b"\x7fELF\x02" {
        return None;
    }
    // The program headers are in the first segment, which begins at 0 in the file and in memory.
    let base = table.checked_sub(u64_at(&head, 32)?)?;
    let (at, each) = (u64_at(&head, 40)?, usize::from(u16_at(&head, 58)?));
    let (count, names) = (u16_at(&head, 60)?.min(MOST), usize::from(u16_at(&head, 62)?));
    if each < 64 {
        return None;
    }
    let all = read(at, each * usize::from(count))?;
    let all: Vec<&[u8]> = all.chunks_exact(each).collect();
    let strings = all.get(names)?;
    let strings = read(u64_at(strings, 24)?, usize::try_from(u64_at(strings, 32)?).ok().filter(|n| *n <= 1 << 16)?)?;
    let mut out = Vec::new();
    for section in all {
        let name = strings.get(u32_at(section, 0)? as usize..)?.split(|b| *b == 0).next()?;
        let flags = u64_at(section, 8)?;
        if flags & (SHF_ALLOC | SHF_WRITE) == SHF_ALLOC && wanted(std::str::from_utf8(name).ok()?) {
            let from = base.checked_add(u64_at(section, 16)?)?;
            out.push((from, from.checked_add(u64_at(section, 32)?)?));
        }
    }
    Some(out)
}

// The whole pages of these ranges; adjoining ranges are merged.
fn merged(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable();
    let mut out: Vec<Range> = Vec::new();
    for (from, to) in ranges {
        match out.last_mut() {
            // Between two adjoining sections there are only bytes that align the second.
            Some((_, end)) if from.saturating_sub(*end) < 64 => *end = to.max(*end),
            _ => out.push((from, to)),
        }
    }
    out.iter_mut().for_each(|(from, to)| (*from, *to) = (from.next_multiple_of(PAGE), *to / PAGE * PAGE));
    out.retain(|(from, to)| from < to);
    out
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_finds_itself() {
        let here = the_program_finds_itself as *const () as u64;
        let text = own(|name| name == ".text");
        assert!(text.iter().any(|(from, to)| (*from..*to).contains(&here)), "{text:?}");
        assert!(own(|name| name == ".data").is_empty(), "what is written is never given back");
    }

    #[test]
    fn what_was_given_back_comes_again() {
        give_back();
        give_back_all();
        assert!(std::panic::catch_unwind(|| panic!("the unwinder's tables are read again")).is_err());
    }

    #[test]
    fn whole_pages_of_what_adjoins() {
        assert_eq!(merged(vec![(8000, 20_000), (100, 7990), (30_000, 30_100)]), [(4096, 16_384)]);
        assert_eq!(merged(vec![(4096, 8192), (8192 + 64, 16_384)]), [(4096, 8192), (12_288, 16_384)]);
    }

    #[test]
    fn the_code_of_libraries_alone() {
        let program = Path::new("/usr/sbin/kalived");
        let line = |what: &str| format!("7f00-7f80 {what}");
        let libc = line("r-xp 00026000 fe:00 1234                 /usr/lib/x86_64-linux-gnu/libc.so.6");
        assert_eq!(library(&libc, program), Some((0x7f00, 0x7f80)));
        for other in [
            "r-xp 00026000 fe:00 1234 /usr/sbin/kalived",
            "r--p 00026000 fe:00 1234 /usr/lib/x86_64-linux-gnu/libc.so.6",
            "rw-p 00026000 fe:00 1234 /usr/lib/x86_64-linux-gnu/libc.so.6",
            "r-xp 00000000 00:00 0 [vdso]",
            "r-xp 00000000 00:00 0",
        ] {
            assert_eq!(library(&line(other), program), None, "{other}");
        }
    }

    #[test]
    fn what_is_no_program_has_no_sections() {
        for file in [&b""[..], b"#!/bin/sh", &[0; 64], b"\x7fELF\x02\x01\x01\0"] {
            let read = |at: u64, length: usize| file.get(at as usize..at as usize + length).map(<[u8]>::to_vec);
            assert_eq!(sections(read, 4096, |_| true), None);
        }
        let mut wild = [0xff; 64];
        wild[..5].copy_from_slice(b"\x7fELF\x02");
        let read = |at: u64, length: usize| (at == 0).then(|| wild[..length].to_vec());
        assert_eq!(sections(read, u64::MAX, |_| true), None);
    }
}
