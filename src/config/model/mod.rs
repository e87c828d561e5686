//! The configuration as the machines read it: typed, complete, every default filled in.
//!
//! Made by `lower` only. This file has the virtual router; the other files have one domain each. `setting.rs` connects all fields with the
//! keyword table, which defines which keywords have an effect. No syntax, no files here.

pub mod bfd;
pub mod check;
pub mod global;
pub mod heirs;
pub mod lvs;
pub mod route;
pub mod setting;
pub mod sync;
pub mod vrrp;

pub use crate::net::{Auth, ChecksumMode, Family, Version};
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Where something stands in the files, for messages: file, line, column (both from 1).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// As the operator wrote it.
    pub file: std::sync::Arc<str>,
    /// Line in the file, from 1.
    pub line: u32,
    /// Column in the line, from 1, in characters.
    pub column: u32,
}

impl core::fmt::Display for Place {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// The whole configuration, as the daemon runs it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// `global_defs` and root keywords.
    pub global: Global,
    /// `vrrp_instance` blocks in file order.
    pub instances: Vec<InstanceConfig>,
    /// Single words of the top level.
    pub root: global::RootMore,
    /// The `vrrp_sync_group` blocks, in file order.
    pub sync_groups: Vec<vrrp::SyncGroup>,
    /// The `vrrp_script` blocks, in file order.
    pub scripts: Vec<vrrp::VrrpScript>,
    /// The `vrrp_check` blocks, in file order.
    pub checks: Vec<vrrp::VrrpCheck>,
    /// The `track_file` and `vrrp_track_file` blocks, in file order.
    pub track_files: Vec<vrrp::TrackFile>,
    /// The `vrrp_track_process` blocks, in file order.
    pub track_processes: Vec<vrrp::TrackProcess>,
    /// The `track_group` blocks, in file order.
    pub track_groups: Vec<vrrp::TrackGroup>,
    /// The `garp_group` blocks, in file order.
    pub garp_groups: Vec<vrrp::GarpGroup>,
    /// The lines of `linkbeat_interfaces`.
    pub linkbeats: Vec<vrrp::Linkbeat>,
    /// The lines of `interface_up_down_delays`.
    pub link_delays: Vec<vrrp::LinkDelay>,
    /// The addresses of `static_ipaddress`: in the kernel in any state of the virtual routers.
    pub static_addresses: Vec<Vip>,
    /// The routes of `static_routes`.
    pub static_routes: Vec<route::Route>,
    /// The policy rules of `static_rules`.
    pub static_rules: Vec<route::Rule>,
    /// The `SSL` block of the checks SSL_GET.
    pub ssl: Option<lvs::Ssl>,
    /// The `virtual_server_group` blocks, in file order.
    pub server_groups: Vec<lvs::ServerGroup>,
    /// The `virtual_server` blocks, in file order.
    pub virtual_servers: Vec<lvs::VirtualServer>,
    /// The `bfd_instance` blocks, in file order.
    pub bfd: Vec<bfd::BfdInstance>,
}

/// Settings of `global_defs` that are not merged into the instances.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Global {
    /// `router_id`; `None`: the host name.
    pub router_id: Option<String>,
    /// Scheduling and memory of the core.
    pub process: Process,
    /// Mail, pipes, scripts, files, LVS, BFD: what is of no virtual router.
    pub more: Box<global::GlobalMore>,
}

/// `vrrp_priority`, `vrrp_rt_priority`, `vrrp_no_swap`, `vrrp_rlimit_rttime`, `vrrp_cpu_affinity`.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Process {
    /// Nice value, -20..19; `None`: leave it.
    pub nice: Option<i8>,
    /// SCHED_RR priority, 1..99; `None`: kalived tries a low one by itself.
    pub rt_priority: Option<u8>,
    /// Whether the file asked for locked memory; kalived tries it anyhow.
    pub no_swap: bool,
    /// `RLIMIT_RTTIME`, microseconds; `None`: no limit, so that a long operation never kills the daemon.
    pub rlimit_rttime: Option<u64>,
    /// CPUs to run on; empty: all.
    pub cpu_affinity: Vec<u16>,
}

/// One line of `virtual_ipaddress`, `virtual_ipaddress_excluded` or `static_ipaddress`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vip {
    /// The address without its prefix.
    pub addr: IpAddr,
    /// Prefix length; default 32 or 128.
    pub prefix: u8,
    /// `dev`; `None`: the instance's interface.
    pub dev: Option<String>,
    /// `brd`, already computed for `+` and `-`.
    pub brd: Option<Ipv4Addr>,
    /// `scope` as a number; default 0 (global).
    pub scope: u8,
    /// `label`: the label of an IPv4 address, at most 15 bytes.
    pub label: Option<String>,
    /// `preferred_lft 0`: by keepalived's rule also every IPv6 VIP written without a prefix shorter than 128.
    pub deprecated: bool,
    /// `noprefixroute`: the kernel adds no route for the prefix of the address.
    pub noprefixroute: bool,
    /// `peer`: the other end of a point-to-point link.
    pub peer: Option<IpAddr>,
    /// `home`, `-nodad`, `mngtmpaddr`, `autojoin`, `no_track`, `use_vmac`, `track_group`; `None`: none of them.
    pub more: Option<Box<VipMore>>,
    /// Position of the line in the file.
    pub place: Place,
}

impl Vip {
    /// The interface that is made for it beside that of the virtual router.
    pub fn vmac(&self) -> Option<&str> {
        self.more.as_ref().and_then(|m| m.vmac.as_deref())
    }
    /// `IFA_F_*` of its further words.
    pub fn flags(&self) -> u32 {
        use crate::net::{HOME, MANAGE_TEMPORARY};
        let Some(more) = &self.more else { return 0 };
        let flags = [(more.home, HOME), (more.mngtmpaddr, MANAGE_TEMPORARY)];
        flags.into_iter().filter(|(said, _)| *said).fold(0, |all, (_, flag)| all | flag)
    }
}

setting::block! {
    /// What an address line says beyond [`Vip`].
    pub struct VipMore {
        pub home: bool => "home",
        pub nodad: bool => "-nodad",
        pub mngtmpaddr: bool => "mngtmpaddr",
        pub autojoin: bool => "autojoin",
        pub no_track: bool => "no_track",
        pub use_vmac: bool => "use_vmac",
        /// Name of the interface that `use_vmac`, or `use_vmac_addr` of the instance, makes for it and its like; `None`: none.
        #[serde(default)]
        pub vmac: Option<Box<str>>,
        pub track_group: Option<Box<str>> => "track_group",
    }
}

/// GARP and unsolicited NA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GarpConfig {
    /// `garp_master_repeat`: announcements per address in a burst, at least 1; default 5.
    pub repeat: u32,
    /// `garp_master_delay`: second burst so long after the first; zero: none; default 5 s.
    pub delay: Duration,
    /// `garp_master_refresh`; zero: none (default).
    pub refresh: Duration,
    /// `garp_master_refresh_repeat`, at least 1; default 1.
    pub refresh_repeat: u32,
    /// `garp_lower_prio_repeat`; zero: none; default: the global `vrrp_garp_master_repeat`.
    pub lower_prio_repeat: u32,
    /// `garp_lower_prio_delay`; default: the global `vrrp_garp_master_delay`.
    pub lower_prio_delay: Duration,
    /// `vrrp_garp_interval`: gap between two GARPs on an interface; default zero.
    pub garp_interval: Duration,
    /// `vrrp_gna_interval`: gap between two NAs on an interface; default zero.
    pub gna_interval: Duration,
}

impl Default for GarpConfig {
    fn default() -> Self {
        GarpConfig {
            repeat: 5,
            delay: Duration::from_secs(5),
            refresh: Duration::ZERO,
            refresh_repeat: 1,
            lower_prio_repeat: 5,
            lower_prio_delay: Duration::from_secs(5),
            garp_interval: Duration::ZERO,
            gna_interval: Duration::ZERO,
        }
    }
}

/// One line of `track_interface` of a `vrrp_instance`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackInterface {
    /// Name of the interface.
    pub name: String,
    /// 0: down means FAULT. Above 0: added while up. Below 0: subtracted while down. -253..253.
    pub weight: i16,
    /// Up and down exchanged.
    pub reverse: bool,
}

/// One `vrrp_instance`, with the defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceConfig {
    /// Name; unique in the file.
    pub name: String,
    /// Position of the block in the file.
    pub place: Place,
    /// `interface`. Empty, for unicast with a given source only: whatever interface has that address.
    pub interface: String,
    /// `virtual_router_id`, 1..=255: the VRID in adverts.
    pub vrid: u8,
    /// From the first VIP, or `native_ipv6`.
    pub family: Family,
    /// `version`; always V3 for IPv6.
    pub version: Version,
    /// `priority`, 1..=255; 255 is the address owner.
    pub priority: u8,
    /// `advert_int`: v2 whole seconds 1..=255, v3 10 ms ..= 40.95 s in steps of 10 ms.
    pub advert_int: Duration,
    /// False with `nopreempt`.
    pub preempt: bool,
    /// `preempt_delay`, 0..=1000 s.
    pub preempt_delay: Duration,
    /// `authentication`; None for v3.
    pub auth: Auth,
    /// `virtual_ipaddress`: in adverts, in this order, all of `family`, at most 255.
    pub vips: Vec<Vip>,
    /// `virtual_ipaddress_excluded`: held while Master, not in adverts, either family.
    pub excluded: Vec<Vip>,
    /// GARP settings, globals already merged in.
    pub garp: GarpConfig,
    /// `mcast_src_ip`; `None`: the interface's primary address.
    pub mcast_src: Option<IpAddr>,
    /// `mcast_dst_ip` or the global group; default 224.0.0.18 and ff02::12.
    pub mcast_group: IpAddr,
    /// False with `dont_track_primary`.
    pub track_primary: bool,
    /// `track_interface`: further interfaces whose state matters.
    pub track_interfaces: Vec<TrackInterface>,
    /// The content of a V3 checksum over IPv4; default [`ChecksumMode::PseudoHeader`].
    pub checksum: ChecksumMode,
    /// `down_timer_adverts`: 1..=100, default 3.
    pub down_timer_adverts: u32,
    /// `lower_prio_no_advert`: silence instead of RFC 9568's immediate answer.
    pub lower_prio_no_advert: bool,
    /// `higher_prio_send_advert`: one more advert before yielding.
    pub higher_prio_send_advert: bool,
    /// `skip_check_adv_addr`: a v2 advert with another VIP list is logged and used, not dropped.
    pub skip_check_adv_addr: bool,
    /// Unicast peers, what is tracked, who is notified, interfaces of its own.
    pub more: Box<vrrp::InstanceMore>,
}

impl InstanceConfig {
    /// An instance with every default, for tests and as `lower.rs`'s start.
    pub fn new(name: &str, interface: &str, vrid: u8, family: Family) -> InstanceConfig {
        InstanceConfig {
            name: name.to_owned(),
            place: Place::default(),
            interface: interface.to_owned(),
            vrid,
            family,
            version: if family == Family::V4 { Version::V2 } else { Version::V3 },
            priority: 100,
            advert_int: Duration::from_secs(1),
            preempt: true,
            preempt_delay: Duration::ZERO,
            auth: Auth::None,
            vips: Vec::new(),
            excluded: Vec::new(),
            garp: GarpConfig::default(),
            mcast_src: None,
            mcast_group: default_group(family),
            track_primary: true,
            track_interfaces: Vec::new(),
            checksum: ChecksumMode::PseudoHeader,
            down_timer_adverts: 3,
            lower_prio_no_advert: false,
            higher_prio_send_advert: false,
            skip_check_adv_addr: false,
            more: Box::default(),
        }
    }
}

impl InstanceConfig {
    /// The peers that adverts go to and come from; `None`: a multicast group. Empty only with `unicast_fault_no_peer`.
    pub fn peers(&self) -> Option<&[vrrp::Peer]> {
        self.more.unicast_peer.as_deref()
    }
    /// Its own interface (`use_vmac`, `use_ipvlan`) with the name that it has; `None`: its addresses are on `interface`.
    pub fn own(&self) -> Option<(&vrrp::OwnInterface, &str)> {
        self.more.own_interface.as_deref().and_then(|own| Some((own, own.name.as_deref()?)))
    }
    /// The names of all interfaces of its own: of [`InstanceConfig::own`] and of addresses ([`Vip::vmac`]).
    pub fn own_names(&self) -> BTreeSet<&str> {
        let of_addresses = self.vips.iter().chain(&self.excluded).filter_map(Vip::vmac);
        self.own().map(|(_, name)| name).into_iter().chain(of_addresses).collect()
    }
    /// The interface that one of [`InstanceConfig::own_names`] stands upon; any other is itself.
    pub fn below<'a>(&'a self, name: &'a str) -> &'a str {
        if self.own().is_some_and(|(_, own)| own == name) {
            return &self.interface;
        }
        let vip = self.vips.iter().chain(&self.excluded).find(|v| v.vmac() == Some(name));
        vip.map_or(name, |v| v.dev.as_deref().unwrap_or(&self.interface))
    }
    /// The interface of an address whose line says none.
    pub fn default_dev(&self) -> &str {
        self.own().map_or(&self.interface, |(_, name)| name)
    }
    /// 00-00-5E-00-01-VRID, for IPv6 00-00-5E-00-02-VRID (RFC 9568 section 7.3).
    pub fn virtual_mac(&self) -> [u8; 6] {
        self.virtual_mac_of(self.family)
    }
    /// The one of the other family is for addresses of that family.
    pub fn virtual_mac_of(&self, family: Family) -> [u8; 6] {
        [0, 0, 0x5e, 0, if family == Family::V4 { 1 } else { 2 }, self.vrid]
    }
    /// The Ethernet address that adverts leave from, where it is not the one of `interface`.
    pub fn advert_mac(&self) -> Option<[u8; 6]> {
        let (own, _) = self.own()?;
        let base = own.ipvlan || self.more.vmac_xmit_base || self.peers().is_some();
        (!base).then(|| own.mac.unwrap_or_else(|| self.virtual_mac()))
    }
    /// Whether packets to its addresses are accepted: by the owner of the addresses (RFC 9568 §6.4.3), and without `no_accept`.
    pub fn accepts(&self) -> bool {
        self.priority == 255 || !self.more.no_accept
    }
    /// The interface that an address of it is on.
    pub fn device_of<'a>(&'a self, vip: &'a Vip) -> &'a str {
        vip.vmac().or(vip.dev.as_deref()).unwrap_or(self.default_dev())
    }
    /// `unicast_src_ip` or `mcast_src_ip`, whichever stands there: keepalived takes either for both ways.
    pub fn source(&self) -> Option<IpAddr> {
        match self.peers() {
            Some(_) => self.more.unicast_src_ip.or(self.mcast_src),
            None => self.mcast_src,
        }
    }
}

/// 224.0.0.18 and ff02::12.
pub fn default_group(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(224, 0, 0, 18)),
        Family::V6 => IpAddr::V6(core::net::Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12)),
    }
}
