//! POSIX access control lists: which users besides the owner may write to a file or execute it. Where a file has such a list, the group
//! bits of its mode are only the mask of the list: they do not show which users may write.
//!
//! The layout is that of the attribute `system.posix_acl_access` (Linux, include/uapi/linux/posix_acl_xattr.h): a version, then
//! entries of tag, permissions and id, little-endian. Deliberately absent: lists of NFSv4 servers, which only the server evaluates.

use core::ffi::CStr;
use std::ffi::CString;
use std::os::fd::RawFd;

const NAME: &CStr = c"system.posix_acl_access";
/// Bytes read: some hundred entries. A longer list counts as writable by every user.
const MOST: usize = 4096;
const VERSION: u32 = 2;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const WRITE: u16 = 2;
const EXECUTE: u16 = 1;

/// An entry: tag, permissions, id.
type Entry = (u16, u16, u32);

fn entries(bytes: &[u8]) -> Option<impl Iterator<Item = Entry> + Clone + '_> {
    let (version, rest) = bytes.split_first_chunk::<4>()?;
    let (all, tail) = rest.as_chunks::<8>();
    if u32::from_le_bytes(*version) != VERSION || !tail.is_empty() {
        return None;
    }
    Some(all.iter().map(|e| {
        let [a, b, c, d, id @ ..] = *e;
        (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]), u32::from_le_bytes(id))
    }))
}

/// The parts of a list that matter here, beyond the owner and the others, whose rights are in the mode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Users other than root that may write.
    pub user_writes: Option<u32>,
    /// A group other than root's that may write.
    pub group_writes: Option<u32>,
    /// Users and groups that may execute.
    pub execute: Vec<(bool, u32)>,
}

/// Reads a list. `gid`: the file's group. `None`: the list is malformed.
fn read(bytes: &[u8], gid: u32) -> Option<List> {
    let all = entries(bytes)?;
    let mask = all.clone().find(|e| e.0 == MASK).map_or(7, |e| e.1);
    let mut list = List::default();
    for (tag, perm, id) in all {
        let (perm, id) = (perm & mask, if tag == GROUP_OBJ { gid } else { id });
        let user = tag == USER;
        if !user && tag != GROUP && tag != GROUP_OBJ {
            continue;
        }
        if perm & WRITE != 0 && id != 0 {
            *(if user { &mut list.user_writes } else { &mut list.group_writes }) = Some(id);
        }
        if perm & EXECUTE != 0 {
            list.execute.push((user, id));
        }
    }
    Some(list)
}

/// The list of the file at `path`; links are not followed. `gid`: the file's group. `None`: the file has no list. An error: the list
/// cannot be read.
pub fn of(path: &str, gid: u32) -> Result<Option<List>, i32> {
    let path = CString::new(path).map_err(|_| libc::EINVAL)?;
    let mut bytes = [0u8; MOST];
    // SAFETY: C strings, and a buffer with its length, which outlive the call.
    let n = unsafe { libc::lgetxattr(path.as_ptr(), NAME.as_ptr(), bytes.as_mut_ptr().cast(), bytes.len()) };
    match usize::try_from(n) {
        Ok(n) => read(bytes.get(..n).unwrap_or_default(), gid).map(Some).ok_or(libc::EINVAL),
        // SAFETY: the C library's own place.
        Err(_) => match unsafe { *libc::__errno_location() } {
            // No list, or a file system without lists.
            libc::ENODATA | libc::EOPNOTSUPP => Ok(None),
            e => Err(e),
        },
    }
}

/// Whether the list of an open file lets a user other than root write. A list that cannot be read counts as one that does. Makes no
/// allocation: it runs between fork and exec.
pub(super) fn others_write(fd: RawFd, mode: libc::mode_t, gid: u32) -> bool {
    // The group's bits are the mask: without `w` in the mask no user or group of the list may write.
    if mode & 0o020 == 0 {
        return false;
    }
    // A descriptor opened with O_PATH has no attributes; its name in /proc has them.
    let mut path = *b"/proc/self/fd/\0\0\0\0\0\0\0\0\0\0\0\0";
    let (mut digits, mut n, mut len) = ([0u8; 10], fd.unsigned_abs(), 0);
    loop {
        digits[len] = b'0' + (n % 10) as u8;
        (n, len) = (n / 10, len + 1);
        if n == 0 {
            break;
        }
    }
    for (to, digit) in path.iter_mut().skip("/proc/self/fd/".len()).zip(digits.iter().take(len).rev()) {
        *to = *digit;
    }
    let mut bytes = [0u8; MOST];
    // SAFETY: C strings (the path has room for ten digits and its NUL), and a buffer with its length.
    let n = unsafe { libc::getxattr(path.as_ptr().cast(), NAME.as_ptr(), bytes.as_mut_ptr().cast(), bytes.len()) };
    let Ok(n) = usize::try_from(n) else {
        // SAFETY: the C library's own place.
        return !matches!(unsafe { *libc::__errno_location() }, libc::ENODATA | libc::EOPNOTSUPP);
    };
    let Some(all) = bytes.get(..n).and_then(entries) else { return true };
    let mut all = all;
    all.any(|(tag, perm, id)| {
        let id = if tag == GROUP_OBJ { gid } else { id };
        [USER, GROUP, GROUP_OBJ].contains(&tag) && perm & WRITE != 0 && id != 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(all: &[Entry]) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for (tag, perm, id) in all {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(perm.to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn a_list_says_who_may_and_its_mask_takes_away() {
        const NONE: u32 = u32::MAX;
        let with =
            |mask: u16| list(&[(1, 6, NONE), (USER, 7, 7), (GROUP_OBJ, 5, NONE), (MASK, mask, NONE), (0x20, 4, NONE)]);
        let seen = read(&with(7), 0).unwrap();
        assert_eq!((seen.user_writes, seen.group_writes), (Some(7), None));
        assert_eq!(seen.execute, [(true, 7), (false, 0)]);
        let masked = read(&with(4), 0).unwrap();
        assert_eq!(masked, List::default());
        let group = list(&[(1, 6, NONE), (GROUP_OBJ, 6, NONE), (GROUP, 2, 8), (MASK, 7, NONE)]);
        assert_eq!(read(&group, 0).unwrap().group_writes, Some(8));
        assert_eq!(read(&list(&[(GROUP_OBJ, 2, NONE)]), 5).unwrap().group_writes, Some(5));
        assert_eq!(read(&list(&[(USER, 2, 0), (GROUP, 2, 0)]), 0).unwrap(), List::default(), "root may");
        assert_eq!((read(b"\x03\0\0\0", 0), read(b"\x02\0\0\0x", 0), read(b"", 0)), (None, None, None));
    }
}
