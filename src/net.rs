//! Types that the codecs and the machines share: error numbers, interfaces, addresses; families, versions and authentication of VRRP.
//!
//! They are in the lowest layer, so that `wire` imports nothing of the layers above it. `event`, `effect` and `config::model` export them
//! again.

use core::net::{IpAddr, Ipv4Addr};
use serde::{Deserialize, Serialize};

/// A positive errno value (`ENODEV` is 19). The pure side compares against the few it treats differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Errno(pub i32);

impl Errno {
    /// Whether an ICMP message of another host may be the cause of a failed send: those that Linux makes of such messages.
    pub fn may_be_reported(self) -> bool {
        // EACCES, ENONET, EPROTO, EMSGSIZE, ENOPROTOOPT, EOPNOTSUPP, ENETUNREACH, ECONNREFUSED, EHOSTDOWN, EHOSTUNREACH
        matches!(self.0, 13 | 64 | 71 | 90 | 92 | 95 | 101 | 111 | 112 | 113)
    }
    /// Operation not permitted: also what a firewall's reject rule answers to a send.
    pub const EPERM: Errno = Errno(1);
    /// No such file or directory.
    pub const ENOENT: Errno = Errno(2);
    /// No such process: what rtnetlink says of a route that is not there.
    pub const ESRCH: Errno = Errno(3);
    /// No such device or address.
    pub const ENXIO: Errno = Errno(6);
    /// Argument list too long.
    pub const E2BIG: Errno = Errno(7);
    /// Try again: a pipe is full.
    pub const EAGAIN: Errno = Errno(11);
    /// File exists: the address is there already.
    pub const EEXIST: Errno = Errno(17);
    /// No such device: there is no interface with this index or name.
    pub const ENODEV: Errno = Errno(19);
    /// Broken pipe: no process reads any more.
    pub const EPIPE: Errno = Errno(32);
    /// Protocol not supported: this kind of socket is not there.
    pub const EPROTONOSUPPORT: Errno = Errno(93);
    /// Operation not supported: a part of the kernel is missing.
    pub const EOPNOTSUPP: Errno = Errno(95);
    /// Address already in use.
    pub const EADDRINUSE: Errno = Errno(98);
    /// Cannot assign requested address: the address to delete is gone already.
    pub const EADDRNOTAVAIL: Errno = Errno(99);
    /// Network is down: the interface is not up.
    pub const ENETDOWN: Errno = Errno(100);
    /// No buffer space available.
    pub const ENOBUFS: Errno = Errno(105);
    /// Too many open files.
    pub const EMFILE: Errno = Errno(24);
    /// Connection timed out: no answer came in time.
    pub const ETIMEDOUT: Errno = Errno(110);
    /// The operation was cancelled.
    pub const ECANCELED: Errno = Errno(125);
}

/// One network interface as the kernel describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Kernel index; another one after a delete and re-create.
    pub ifindex: u32,
    /// Name, at most 15 bytes.
    pub name: String,
    /// `IFF_UP`: the interface was set up.
    pub up: bool,
    /// `IFF_RUNNING`: carrier and operational.
    pub running: bool,
    /// `IFF_MULTICAST`: the interface sends and receives multicast.
    pub multicast: bool,
    /// `IFF_LOOPBACK`: it is a loopback interface.
    pub loopback: bool,
    /// `IFF_NOARP`: no ARP, so no gratuitous ARP either.
    pub noarp: bool,
    /// MTU, bytes.
    pub mtu: u32,
    /// Ethernet address; `None` when the hardware address is not 6 bytes long.
    pub mac: Option<[u8; 6]>,
    /// The interface below it, if it is of a kind that kalived makes.
    #[serde(default)]
    pub upon: Option<Upon>,
    /// kalived made it: it has [`LINK_ALIAS`], or still [`LINK_GROUP`].
    #[serde(default)]
    pub ours: bool,
    /// kalived made it, and has not given it the alias yet.
    #[serde(default)]
    pub fresh: bool,
    /// Index of the interface that it is enslaved to (`IFLA_MASTER`): a bridge, a bond, a VRF; 0: to none.
    #[serde(default)]
    pub master: u32,
    /// It is a VRF.
    #[serde(default)]
    pub vrf: bool,
    /// The table of a VRF; 0: it is none.
    #[serde(default)]
    pub table: u32,
}

/// `IFLA_IFALIAS` of every interface that kalived makes: it distinguishes left-overs of kalived from an operator's interfaces.
pub const LINK_ALIAS: &str = "kalived";

/// `IFLA_GROUP` of an interface from its making until it has [`LINK_ALIAS`] and the configured group. The kernel takes no alias when it makes
/// an interface: without the group, the interface of a process that is killed in between would count as an operator's.
pub const LINK_GROUP: u32 = u32::from_be_bytes(*b"kalv");

/// A kind of interface that is made upon another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum UponKind {
    /// macvlan: an Ethernet address of its own.
    Macvlan,
    /// ipvlan in L2 mode: the Ethernet address of the other one.
    Ipvlan,
}

/// The interface below, and how an interface is made upon it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Upon {
    /// Whether the interface is a macvlan or an ipvlan.
    pub kind: UponKind,
    /// The mode of a macvlan (`IFLA_MACVLAN_MODE`), or of an ipvlan (`IFLA_IPVLAN_FLAGS`).
    pub mode: u32,
    /// Index of the other one (`IFLA_LINK`).
    pub parent: u32,
}

impl Upon {
    /// `MACVLAN_MODE_VEPA`, <linux/if_link.h>. In private mode the kernel keeps from the interface below what comes from the own
    /// interface's Ethernet address; all routers of a virtual router have that address, and a Master would not hear a second one.
    pub const MACVLAN_VEPA: u32 = 2;
}

/// An interface to make. It begins down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnLink {
    /// Name, 1 to 15 bytes.
    pub name: String,
    /// The interface below it.
    pub upon: Upon,
    /// Ethernet address of a macvlan.
    pub mac: Option<[u8; 6]>,
    /// `IFLA_GROUP`; 0: the default one.
    pub group: u32,
    /// The VRF that it belongs to; 0: none.
    #[serde(default)]
    pub master: u32,
}

impl OwnLink {
    /// Whether an interface has all properties of this one.
    pub fn is(&self, link: &Link) -> bool {
        let mac = self.mac.is_none() || link.mac == self.mac;
        link.name == self.name && link.upon == Some(self.upon) && link.master == self.master && mac
    }
}

/// One address on one interface as the kernel describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddrInfo {
    /// Interface that holds it.
    pub ifindex: u32,
    /// The local address (`IFA_LOCAL`, else `IFA_ADDRESS`).
    pub addr: IpAddr,
    /// Prefix length: 0..=32 for IPv4, 0..=128 for IPv6.
    pub prefix: u8,
    /// `RT_SCOPE_*`: 0 universe, 200 site, 253 link, 254 host.
    pub scope: u8,
    /// `IFA_F_TENTATIVE`: IPv6 duplicate address detection still runs; not usable as a source.
    pub tentative: bool,
    /// `IFA_F_DADFAILED`: another host has it.
    pub dad_failed: bool,
    /// `IFA_F_SECONDARY`: the interface has an older IPv4 address of the same subnet.
    pub secondary: bool,
    /// `IFA_PROTO`: who added it, 0 when unknown (before Linux 5.18).
    pub proto: u8,
}

/// `IFA_PROTO` of every address that kalived adds ("k"): it distinguishes left-overs of kalived from an operator's addresses.
pub const ADDR_PROTO: u8 = b'k';

/// The same for addresses of `static_ipaddress`, which are ordinary ones: adverts may leave from them.
pub const STATIC_PROTO: u8 = b's';

// The default for recordings that were made before this field existed.
fn virtual_tag() -> u8 {
    ADDR_PROTO
}

/// `IFA_F_HOMEADDRESS`: the home address of mobile IPv6.
pub const HOME: u32 = 0x10;
/// `IFA_F_MANAGETEMPADDR`: the kernel makes temporary addresses of its prefix.
pub const MANAGE_TEMPORARY: u32 = 0x100;

/// An address to add or delete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddrSpec {
    /// Index of the interface.
    pub ifindex: u32,
    /// The address, IPv4 or IPv6.
    pub addr: IpAddr,
    /// Prefix length: 0..=32 for IPv4, 0..=128 for IPv6.
    pub prefix: u8,
    /// `IFA_BROADCAST`: the IPv4 broadcast address; `None`: none.
    pub brd: Option<Ipv4Addr>,
    /// `RT_SCOPE_*`: 0 universe, 200 site, 253 link, 254 host.
    pub scope: u8,
    /// IPv4 label, at most 15 bytes.
    pub label: Option<String>,
    /// IPv6: `preferred_lft 0`, never chosen as a source (what keepalived does for a /128 VIP).
    pub deprecated: bool,
    /// `IFA_F_NOPREFIXROUTE`: the kernel adds no route for the prefix.
    pub noprefixroute: bool,
    /// Further `IFA_F_*`: [`HOME`], [`MANAGE_TEMPORARY`].
    #[serde(default)]
    pub flags: u32,
    /// IPv4: broadcast = "dev peer" address; IPv6: peer.
    pub peer: Option<IpAddr>,
    /// `IFA_PROTO` of a new one: [`ADDR_PROTO`] or [`STATIC_PROTO`].
    #[serde(default = "virtual_tag")]
    pub tag: u8,
    /// Metric of its prefix route (`IFA_RT_PRIORITY`); 0: the kernel's own.
    #[serde(default)]
    pub metric: u32,
}

/// What the kernel reported, to be deleted.
impl From<&AddrInfo> for AddrSpec {
    fn from(a: &AddrInfo) -> AddrSpec {
        AddrSpec {
            ifindex: a.ifindex,
            addr: a.addr,
            prefix: a.prefix,
            brd: None,
            scope: a.scope,
            label: None,
            deprecated: false,
            noprefixroute: false,
            flags: 0,
            peer: None,
            tag: a.proto,
            metric: 0,
        }
    }
}

/// Address family of a virtual router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// IPv4: adverts to 224.0.0.18, gratuitous ARP.
    V4,
    /// IPv6: adverts to ff02::12, unsolicited Neighbor Advertisements.
    V6,
}

impl Family {
    /// Family of an address.
    pub fn of(addr: &IpAddr) -> Family {
        if addr.is_ipv4() { Family::V4 } else { Family::V6 }
    }
}

/// Version of the VRRP protocol, as in the first four bits of an advert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Version {
    /// RFC 3768. IPv4 only.
    V2,
    /// RFC 9568 (and 5798).
    V3,
}

/// What the VRRPv3 checksum over IPv4 covers. Without meaning for v2 and IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChecksumMode {
    /// With the IPv4 pseudo-header: what keepalived, FRR and Wireshark take for granted. The default.
    PseudoHeader,
    /// The message only, RFC 9568 §5.2.8; keyword `v3_checksum_as_v2`.
    MessageOnly,
}

/// The authentication of VRRPv2; V3 has none.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Auth {
    /// Type 0: no authentication.
    None,
    /// Type 1: eight bytes in the clear, zero filled.
    Pass([u8; 8]),
    /// Type 2: the Authentication Header with this key, zero filled. IPv4 only.
    Ah([u8; 8]),
}

impl core::fmt::Debug for Auth {
    // A secret reaches no log and no dump.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Auth::None => "None",
            Auth::Pass(_) => "Pass(********)",
            Auth::Ah(_) => "Ah(********)",
        })
    }
}
