//! Users and groups by name and number, from the name services of this machine. A look-up may wait for a server: it is called at start
//! and by the compiler of a configuration, never on the loop.

use std::ffi::{CStr, CString};

/// Largest record of a user or group, in bytes: a group with some ten thousand members. A larger one counts as missing.
const MAX_RECORD: usize = 1 << 20;

/// For `open`: fail on a symbolic link.
pub const NO_FOLLOW: i32 = libc::O_NOFOLLOW | libc::O_NONBLOCK;

/// User id and group id.
pub fn user(name: &str) -> Option<(u32, u32)> {
    let name = CString::new(name).ok()?;
    record(|buf| {
        // SAFETY: all-zero is a valid `passwd` (numbers and null pointers).
        let mut entry: libc::passwd = unsafe { core::mem::zeroed() };
        let mut found = core::ptr::null_mut();
        // SAFETY: a C string, and places that outlive the call; `buf` is passed with its length.
        let code =
            unsafe { libc::getpwnam_r(name.as_ptr(), &mut entry, buf.as_mut_ptr().cast(), buf.len(), &mut found) };
        (code, (!found.is_null()).then_some((entry.pw_uid, entry.pw_gid)))
    })
}

/// Group id of the group `name`; `None`: there is none of that name.
pub fn group(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    record(|buf| {
        // SAFETY: all-zero is a valid `group` (a number and null pointers).
        let mut entry: libc::group = unsafe { core::mem::zeroed() };
        let mut found = core::ptr::null_mut();
        // SAFETY: as for a user.
        let code =
            unsafe { libc::getgrnam_r(name.as_ptr(), &mut entry, buf.as_mut_ptr().cast(), buf.len(), &mut found) };
        (code, (!found.is_null()).then_some(entry.gr_gid))
    })
}

/// Name of a user, else the number.
pub fn user_name(uid: u32) -> String {
    let name = record(|buf| {
        // SAFETY: all-zero is a valid `passwd`.
        let mut entry: libc::passwd = unsafe { core::mem::zeroed() };
        let mut found = core::ptr::null_mut();
        // SAFETY: places that outlive the call; `buf` is passed with its length.
        let code = unsafe { libc::getpwuid_r(uid, &mut entry, buf.as_mut_ptr().cast(), buf.len(), &mut found) };
        (code, (!found.is_null()).then(|| text(entry.pw_name)))
    });
    name.flatten().unwrap_or_else(|| uid.to_string())
}

/// Name, home and shell of a user.
pub fn login(uid: u32) -> Option<(String, String, String)> {
    record(|buf| {
        // SAFETY: all-zero is a valid `passwd`.
        let mut entry: libc::passwd = unsafe { core::mem::zeroed() };
        let mut found = core::ptr::null_mut();
        // SAFETY: places that outlive the call; `buf` is passed with its length.
        let code = unsafe { libc::getpwuid_r(uid, &mut entry, buf.as_mut_ptr().cast(), buf.len(), &mut found) };
        let all = (!found.is_null()).then(|| (text(entry.pw_name), text(entry.pw_dir), text(entry.pw_shell)));
        (code, all.and_then(|(name, home, shell)| Some((name?, home?, shell?))))
    })
}

/// Name of a group, else the number.
pub fn group_name(gid: u32) -> String {
    let name = record(|buf| {
        // SAFETY: all-zero is a valid `group`.
        let mut entry: libc::group = unsafe { core::mem::zeroed() };
        let mut found = core::ptr::null_mut();
        // SAFETY: places that outlive the call; `buf` is passed with its length.
        let code = unsafe { libc::getgrgid_r(gid, &mut entry, buf.as_mut_ptr().cast(), buf.len(), &mut found) };
        (code, (!found.is_null()).then(|| text(entry.gr_name)))
    });
    name.flatten().unwrap_or_else(|| gid.to_string())
}

/// The string that a look-up left in its buffer, which must still be alive.
fn text(name: *const libc::c_char) -> Option<String> {
    if name.is_null() {
        return None;
    }
    // SAFETY: not null, and the look-up ended it with a NUL inside the caller's buffer.
    unsafe { CStr::from_ptr(name) }.to_str().ok().map(str::to_owned)
}

/// Repeats the look-up with larger buffers until the record fits.
fn record<T>(mut ask: impl FnMut(&mut Vec<u8>) -> (i32, Option<T>)) -> Option<T> {
    let mut buf = vec![0u8; 1024];
    loop {
        match ask(&mut buf) {
            (libc::ERANGE, _) if buf.len() < MAX_RECORD => buf.resize(buf.len() * 4, 0),
            (libc::EINTR, _) => {}
            (0, found) => return found,
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn root_is_known_and_nobody_else_is_made_up() {
        assert_eq!(super::user("root"), Some((0, 0)));
        assert_eq!(
            (super::group("root"), super::user_name(0), super::group_name(0)),
            (Some(0), "root".into(), "root".into())
        );
        assert_eq!((super::user("no such user"), super::group("no such group")), (None, None));
        assert_eq!(super::user("ro\0ot"), None);
        assert_eq!(super::user_name(u32::MAX - 7), (u32::MAX - 7).to_string());
    }
}
