//! Sysctls of interfaces, or of the host, that a virtual router needs set.
//!
//! The world decides what is to be set, the helper writes it, and the world, or at the end the guard, puts it back. Read next: `vmac/`.

use serde::{Deserialize, Serialize};

/// A sysctl below `net/ipv4/conf/DEV` or `net/ipv6/conf/DEV`, but for the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Knob {
    /// 1: ARP is answered for addresses of this interface only.
    ArpIgnore,
    /// 2: ARP requests leave from an address of this interface only.
    ArpAnnounce,
    /// 2: a packet passes if there is any route back to its source, by whatever interface.
    RpFilter,
    /// 1: the others of a subnet stay when its first address goes.
    PromoteSecondaries,
    /// 1: no IPv6.
    DisableIpv6,
    /// 1: no link-local address by itself.
    AddrGenMode,
    /// 0: router advertisements are ignored.
    AcceptRa,
    /// 0: no address is made from a router advertisement.
    Autoconf,
    /// 0: no duplicate address detection.
    AcceptDad,
    /// 1: addresses that are not link-local stay when the interface goes down.
    KeepAddrOnDown,
    /// 0: no IGMP reports for groups of 224.0.0.0/24. Of the whole network namespace, not of an interface.
    LocalIgmpReports,
}

impl Knob {
    /// All of them.
    pub const ALL: [Knob; 11] = [
        Knob::ArpIgnore,
        Knob::ArpAnnounce,
        Knob::RpFilter,
        Knob::PromoteSecondaries,
        Knob::DisableIpv6,
        Knob::AddrGenMode,
        Knob::AcceptRa,
        Knob::Autoconf,
        Knob::AcceptDad,
        Knob::KeepAddrOnDown,
        Knob::LocalIgmpReports,
    ];

    /// Family directory and name.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Knob::ArpIgnore => ("ipv4", "arp_ignore"),
            Knob::ArpAnnounce => ("ipv4", "arp_announce"),
            Knob::RpFilter => ("ipv4", "rp_filter"),
            Knob::PromoteSecondaries => ("ipv4", "promote_secondaries"),
            Knob::DisableIpv6 => ("ipv6", "disable_ipv6"),
            Knob::AddrGenMode => ("ipv6", "addr_gen_mode"),
            Knob::AcceptRa => ("ipv6", "accept_ra"),
            Knob::Autoconf => ("ipv6", "autoconf"),
            Knob::AcceptDad => ("ipv6", "accept_dad"),
            Knob::KeepAddrOnDown => ("ipv6", "keep_addr_on_down"),
            Knob::LocalIgmpReports => ("ipv4", "igmp_link_local_mcast_reports"),
        }
    }
    /// Where it is, for an interface; `None`: no interface has that name.
    pub fn path(self, dev: &str) -> Option<String> {
        let sound = !dev.is_empty() && dev.len() <= 15 && dev != "." && dev != ".." && !dev.contains(['/', '\0']);
        let (family, word) = self.words();
        sound.then(|| match self {
            Knob::LocalIgmpReports => format!("/proc/sys/net/{family}/{word}"),
            _ => format!("/proc/sys/net/{family}/conf/{dev}/{word}"),
        })
    }
    /// As sysctl(8) calls it, for an interface.
    pub fn sysctl(self, dev: &str) -> String {
        let (family, word) = self.words();
        match self {
            Knob::LocalIgmpReports => format!("net.{family}.{word}"),
            _ => format!("net.{family}.conf.{dev}.{word}"),
        }
    }
}

impl core::fmt::Display for Knob {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.words().1)
    }
}

/// One sysctl to be set, and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Set {
    /// The sysctl to set.
    pub knob: Knob,
    /// The new value.
    pub to: u32,
    /// Set only where it has this value now; any other value was set by the operator and stays.
    pub only: Option<u32>,
}

impl Set {
    /// Whatever it is now.
    pub fn to(knob: Knob, to: u32) -> Set {
        Set { knob, to, only: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_directory() {
        assert_eq!(Knob::ArpIgnore.path("vrrp.51").as_deref(), Some("/proc/sys/net/ipv4/conf/vrrp.51/arp_ignore"));
        assert_eq!(
            Knob::LocalIgmpReports.path("all").as_deref(),
            Some("/proc/sys/net/ipv4/igmp_link_local_mcast_reports")
        );
        for bad in ["", ".", "..", "a/b", "../../kernel", "sixteen.bytes.xx", "a\0b"] {
            assert_eq!(Knob::DisableIpv6.path(bad), None, "{bad}");
        }
    }
}
