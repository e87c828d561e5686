//! Blocks around `vrrp_instance`, and what an instance says beyond [`super::InstanceConfig`]. Read first: `setting.rs`.

use super::Place;
use super::global::ExtraGarp;
use super::route::{Route, Rule};
use super::setting::{Script, Secret, Weight, block, choice};
use core::net::IpAddr;
use core::time::Duration;
use serde::{Deserialize, Serialize};

choice! {
    /// Replay control of `auth_hmac`.
    pub enum AntiReplay { Time = "time", Monotonic = "monotonic" }
}

choice! {
    /// `mode` of `auth_hmac`.
    pub enum HmacMode { Enforce = "enforce", Permissive = "permissive", ReceiveOnly = "receive-only" }
}

block! {
    /// Scripts of an instance or a group.
    pub struct Notify {
        pub backup: Option<Box<Script>> => "notify_backup",
        pub master: Option<Box<Script>> => "notify_master",
        pub fault: Option<Box<Script>> => "notify_fault",
        pub stop: Option<Box<Script>> => "notify_stop",
        pub any: Option<Box<Script>> => "notify",
        pub master_rx_lower_pri: Option<Box<Script>> => "notify_master_rx_lower_pri",
        /// `notify_deleted`: the outer `None`: without it; the inner: no script of its own.
        pub deleted: Option<Option<Box<Script>>>,
        pub smtp_alert: Option<bool> => "smtp_alert",
        pub priority_changes: Option<bool> => "notify_priority_changes",
    }
}

/// A line of `track_script`, `track_file`, `track_process`, `track_bfd`, or of a group's `track_interface`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// Name of what is tracked.
    pub name: Box<str>,
    /// `None`: what is tracked says it.
    pub weight: Option<i32>,
    /// `reverse`, `noreverse`; `None`: what is tracked says it.
    pub reverse: Option<bool>,
}

/// What is tracked, besides an instance's own `track_interface`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the blocks of that name
pub struct Tracks {
    pub interfaces: Vec<Track>,
    pub scripts: Vec<Track>,
    pub files: Vec<Track>,
    pub processes: Vec<Track>,
    pub bfds: Vec<Track>,
    /// `track_check`: `vrrp_check` blocks, by name.
    pub checks: Vec<Track>,
    /// `track_virtual_server`: virtual servers whose quorum matters.
    #[serde(default)]
    pub virtual_servers: Vec<Track>,
}

/// Most peers of one virtual router: the packets of an advert are sends of one chain (`daemon::adverts::CHAIN`), and the last of so
/// many leaves 0.3 ms after the first.
pub const MAX_PEERS: usize = 64;

/// A line of `unicast_peer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The address that adverts are sent to and received from.
    pub addr: IpAddr,
    /// Least TTL taken from it.
    pub min_ttl: Option<u8>,
    /// Largest TTL taken from it.
    pub max_ttl: Option<u8>,
}

/// `use_vmac` or `use_ipvlan`: the macvlan or ipvlan that the virtual router has for itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnInterface {
    /// An ipvlan instead of a macvlan.
    pub ipvlan: bool,
    /// Name of the interface; `None`: made from the VRID.
    pub name: Option<Box<str>>,
    /// Link layer address; `None`: the one of the VRID.
    pub mac: Option<[u8; 6]>,
    /// Address of an ipvlan.
    pub addr: Option<IpAddr>,
    /// bridge, private or vepa of an ipvlan.
    pub mode: Option<Box<str>>,
    /// `netlink_notify_msg` of an ipvlan or macvlan.
    pub notify: bool,
    /// `group`: the interface group, as written; `None`: the kernel's default.
    pub group: Option<Box<str>>,
}

impl OwnInterface {
    /// `IFLA_IPVLAN_FLAGS` of its mode: bridge (0) unless it says another.
    pub fn ipvlan_flags(&self) -> u32 {
        match self.mode.as_deref() {
            Some("private") => 1,
            Some("vepa") => 2,
            _ => 0,
        }
    }
}

/// `old_unicast_checksum`: the sum of a v3 advert over IPv4 with the multicast group in place of the peer's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OldChecksum {
    /// Accepted beside the right one, never sent.
    #[default]
    Auto,
    /// Accepted beside the right one, and sent.
    Always,
    /// Neither accepted nor sent.
    Never,
}

/// One `key` of `auth_hmac`, with the id by which an advert names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HmacKey {
    /// Id of the key in the trailer, 1..=255.
    pub id: u8,
    /// As written: text, `hex:` or `file:`.
    pub secret: Secret,
}

impl HmacKey {
    /// The key itself. A `file:` was read when the configuration was.
    pub fn bytes(&self) -> Vec<u8> {
        let text = &self.secret.0;
        match text.strip_prefix("hex:") {
            Some(hex) => hex.as_bytes().chunks(2).map(|pair| pair.iter().fold(0, |n, d| n << 4 | digit(*d))).collect(),
            None => text.as_bytes().to_vec(),
        }
    }
}

// Checked when it was read.
fn digit(d: u8) -> u8 {
    char::from(d).to_digit(16).and_then(|d| u8::try_from(d).ok()).unwrap_or(0)
}

block! {
    /// `auth_hmac`: HMAC-SHA256 signatures of adverts.
    pub struct Hmac {
        /// `key`: the keys that signatures are accepted with; `active_key` names the one that signs.
        pub keys: Vec<HmacKey>,
        pub active_key: Option<u8> => "active_key",
        pub time_window: Option<u32> => "time_window",
        pub anti_replay: AntiReplay = AntiReplay::Time => "anti_replay",
        pub mode: HmacMode = HmacMode::Enforce => "mode",
    }
}

block! {
    /// What an instance says beyond what [`super::InstanceConfig`] names.
    pub struct InstanceMore {
        /// `notify` scripts, and the settings of mail.
        pub notify: Notify,
        /// What the instance tracks, except the lines of `track_interface`.
        pub tracks: Tracks,
        /// `use_vmac` or `use_ipvlan`; `None`: neither.
        pub own_interface: Option<Box<OwnInterface>>,
        pub use_vmac_addr: bool => "use_vmac_addr",
        pub vmac_xmit_base: bool => "vmac_xmit_base",
        /// `unicast_peer`: the destinations of adverts; `None`: the multicast group.
        pub unicast_peer: Option<Vec<Peer>>,
        pub unicast_fault_no_peer: bool => "unicast_fault_no_peer",
        pub check_unicast_src: bool => "check_unicast_src",
        /// `old_unicast_checksum`: whether the old checksum of unicast adverts is accepted or sent.
        pub old_unicast_checksum: OldChecksum,
        pub unicast_src_ip: Option<IpAddr> => "unicast_src_ip",
        pub unicast_ttl: Option<u8> => "unicast_ttl",
        pub vrf: Option<Box<str>> => "vrf",
        pub track_src_ip: bool => "track_src_ip",
        pub promote_secondaries: bool => "promote_secondaries",
        pub linkbeat_use_polling: bool => "linkbeat_use_polling",
        /// `virtual_routes`: routes that are in the kernel while the instance is Master.
        pub routes: Vec<Route>,
        /// `virtual_rules`: policy rules that are in the kernel while the instance is Master.
        pub rules: Vec<Rule>,
        pub accept: bool => "accept",
        pub no_accept: bool => "no_accept",
        pub debug: u8 => "debug",
        /// Addresses that stand in `virtual_ipaddress` once more: keepalived before 2.3.3 counts the addresses of an advert.
        #[serde(default)]
        pub repeated: Vec<IpAddr>,
        pub lvs_sync_daemon_interface: Option<Box<str>> => "lvs_sync_daemon_interface",
        pub timer_expired_backup: Option<u8> => "timer_expired_backup" | "thread_timer_expired",
        /// `garp_extra_if`, with `vrrp_garp_extra_if` merged in; `None`: no such announcements.
        pub garp_extra_if: Option<ExtraGarp>,
        pub owner_ignore_adverts: Option<bool> => "owner_ignore_adverts",
        pub kernel_rx_buf_size: Option<u32> => "kernel_rx_buf_size",
        /// `auth_hmac`; `None`: adverts are not signed with it.
        pub hmac: Option<Box<Hmac>>,
    }
}

impl InstanceMore {
    /// Interfaces that `virtual_routes` need: while one of them is down the virtual router is not fit to run. Not those of `no_track`.
    pub fn tracked_by_routes(&self) -> impl Iterator<Item = &str> {
        let tracked = self.routes.iter().filter(|r| !r.no_track);
        tracked.flat_map(|r| &r.hops).filter_map(|h| h.dev.as_deref())
    }
}

block! {
    /// Instances that change state together.
    pub struct SyncGroup {
        /// Name of the group; unique in the file.
        pub name: Box<str>,
        /// Position of the block in the file.
        pub place: Place,
        /// `group`: names of instances.
        pub members: Vec<Box<str>>,
        /// What the group tracks for all its members.
        pub tracks: Tracks,
        /// `notify` scripts, and the settings of mail.
        pub notify: Notify,
        pub tracking_weight: bool => "sync_group_tracking_weight" | "global_tracking",
    }
}

block! {
    /// A command that is run every so often.
    pub struct VrrpScript {
        /// Name of the script; unique in the file.
        pub name: Box<str>,
        pub script: Option<Box<Script>> => "script",
        /// Set for `script "</dev/tcp/ADDR/PORT"` alone: made by kalived itself, and `script` is not run.
        pub native: Option<CheckTarget>,
        pub interval: Duration = Duration::from_secs(1) => "interval",
        /// Time limit of a run; zero: `interval`.
        pub timeout: Duration => "timeout",
        pub weight: Weight => "weight",
        pub rise: u32 = 1 => "rise",
        pub fall: u32 = 1 => "fall",
        pub init_fail: bool => "init_fail",
    }
}

/// What a `vrrp_check` looks at. Nothing is spawned for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckTarget {
    /// A TCP port that accepts a connection.
    Tcp(core::net::SocketAddr),
    /// An HTTP server: `GET path`, and the status within the range.
    Http {
        /// Address and port of the server.
        to: core::net::SocketAddr,
        /// Value of the header `Host`.
        host: Box<str>,
        /// From the first slash on.
        path: Box<str>,
        /// Least and largest status that counts as up; default 200..=299.
        status: (u16, u16),
    },
    /// A unix stream socket that accepts a connection.
    Unix(Box<str>),
    /// At least one process: program and parameters.
    Process(Vec<Box<str>>),
}

block! {
    /// A check that kalived makes itself.
    pub struct VrrpCheck {
        /// Name of the check; unique in the file.
        pub name: Box<str>,
        /// `tcp`, `http`, `unix`, `process`.
        pub target: Option<CheckTarget>,
        pub interval: Duration = Duration::from_secs(1) => "interval",
        /// Time limit of a look; zero: `interval`.
        pub timeout: Duration => "timeout",
        pub weight: Weight => "weight",
        pub rise: u32 = 1 => "rise",
        pub fall: u32 = 1 => "fall",
        pub init_fail: bool => "init_fail",
    }
}

/// How the words after a program's name are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ParamMatch {
    /// Without `param_match`: not at all unless there are words.
    #[default]
    Unset,
    /// The bare keyword.
    Exact,
    /// The first are these, and the last of them may be longer.
    Initial,
    /// The first are these; more may follow.
    Partial,
}

block! {
    /// Presence of a process.
    pub struct TrackProcess {
        /// Name of the tracker; unique in the file.
        pub name: Box<str>,
        /// `process`: program and parameters.
        pub process: Vec<Box<str>>,
        /// `param_match`: how the parameters are compared with those of a process.
        pub param_match: ParamMatch,
        pub weight: Weight => "weight",
        pub quorum: u16 = 1 => "quorum",
        pub quorum_max: Option<u16> => "quorum_max",
        pub terminate_delay: Duration => "terminate_delay",
        pub fork_delay: Duration => "fork_delay",
        pub full_command: bool => "full_command",
    }
}

/// `init_file`: the number that a missing file is created with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitFile {
    /// The number that is written.
    pub value: i32,
    /// Also where the file exists.
    pub overwrite: bool,
}

block! {
    /// A file whose number steers priorities and weights.
    pub struct TrackFile {
        /// Name of the tracker; unique in the file.
        pub name: Box<str>,
        pub file: Option<Box<str>> => "file",
        pub weight: Weight = Weight { weight: 1, reverse: false } => "weight",
        /// `init_file`; `None`: a missing file is not created.
        pub init: Option<InitFile>,
    }
}

/// Instances whose state static addresses, routes and rules follow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackGroup {
    /// Name of the group; unique in the file.
    pub name: Box<str>,
    /// Names of the instances of the group.
    pub members: Vec<Box<str>>,
}

block! {
    /// Interfaces that share one pace of announcements.
    pub struct GarpGroup {
        pub garp_interval: Duration => "garp_interval",
        pub gna_interval: Duration => "gna_interval",
        /// `interface` and `interfaces`: the interfaces that share the intervals.
        pub interfaces: Vec<Box<str>>,
    }
}

/// A line of `linkbeat_interfaces`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Linkbeat {
    /// Name of the interface.
    pub interface: Box<str>,
    /// MII, ETHTOOL or IOCTL; `None`: the first that works.
    pub method: Option<Box<str>>,
}

/// A line of `interface_up_down_delays`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkDelay {
    /// Name of the interface.
    pub interface: Box<str>,
    /// Before a loss of link is acted on.
    pub down: Duration,
    /// Before its return is acted on.
    pub up: Duration,
}
