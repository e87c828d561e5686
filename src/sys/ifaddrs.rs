//! The addresses of this machine, for `--config-test`. The daemon follows them by netlink instead (`daemon/rtnl.rs`).

use core::ffi::CStr;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Interface, address, prefix length; empty when the system call fails.
pub fn addresses() -> Vec<(String, IpAddr, u8)> {
    let mut out = Vec::new();
    // SAFETY: getifaddrs fills `list` with a linked list or fails; every entry, its name (a C string) and its socket
    // addresses (of the family they name) are valid until freeifaddrs, which is called once.
    unsafe {
        let mut list = core::ptr::null_mut();
        if libc::getifaddrs(&mut list) != 0 {
            return out;
        }
        let mut at = list;
        while let Some(entry) = at.as_ref() {
            at = entry.ifa_next;
            if entry.ifa_name.is_null() {
                continue;
            }
            if let (Some(addr), Some(mask)) = (ip(entry.ifa_addr), ip(entry.ifa_netmask)) {
                let prefix = match mask {
                    IpAddr::V4(m) => m.to_bits().leading_ones(),
                    IpAddr::V6(m) => m.to_bits().leading_ones(),
                };
                out.push((CStr::from_ptr(entry.ifa_name).to_string_lossy().into_owned(), addr, prefix as u8));
            }
        }
        libc::freeifaddrs(list);
    }
    out
}

/// # Safety
/// `at` is null or a socket address of the family it names.
unsafe fn ip(at: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: by the caller's promise; the sizes follow from the family. Unaligned reads, because no alignment is promised.
    unsafe {
        if at.is_null() {
            return None;
        }
        match i32::from(core::ptr::addr_of!((*at).sa_family).read_unaligned()) {
            libc::AF_INET => {
                let v4 = at.cast::<libc::sockaddr_in>().read_unaligned();
                Some(IpAddr::V4(Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes())))
            }
            libc::AF_INET6 => {
                let v6 = at.cast::<libc::sockaddr_in6>().read_unaligned();
                Some(IpAddr::V6(Ipv6Addr::from(v6.sin6_addr.s6_addr)))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn loopback_is_there() {
        let all = super::addresses();
        assert!(all.is_empty() || all.contains(&("lo".to_owned(), [127, 0, 0, 1].into(), 8)), "{all:?}");
    }
}
