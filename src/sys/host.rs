//! Name and user of this machine and process.

/// The node name up to its first dot, as uname(2) has it; empty when it is not UTF-8.
pub fn short_name() -> String {
    // SAFETY: all-zero is a valid `utsname` (arrays of characters), which outlives the call.
    let name = unsafe {
        let mut uts: libc::utsname = core::mem::zeroed();
        if libc::uname(&mut uts) != 0 {
            return String::new();
        }
        uts.nodename
    };
    let bytes: Vec<u8> = name.iter().map(|c| *c as u8).take_while(|c| *c != 0 && *c != b'.').collect();
    String::from_utf8(bytes).unwrap_or_default()
}

/// The effective user id.
pub fn user() -> u32 {
    // SAFETY: no arguments; cannot fail.
    unsafe { libc::geteuid() }
}

/// The effective group id.
pub fn group() -> u32 {
    // SAFETY: no arguments; cannot fail.
    unsafe { libc::getegid() }
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_machine_has_a_name() {
        let name = super::short_name();
        let full = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        assert_eq!(Some(name.as_str()), full.trim_end().split('.').next());
    }
}
