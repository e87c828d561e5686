//! `global_defs` and the single words of the top level, but for what [`super::Global`] and [`super::Process`] name and what is
//! merged into the instances. Read first: `setting.rs`.

use super::setting::{Ready, Script, block};
use core::net::IpAddr;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// A named pipe that events are written to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fifo {
    /// Absolute path of the named pipe.
    pub path: Box<str>,
    /// Name of the owner; `None`: root.
    pub user: Option<Box<str>>,
    /// Group; `None`: the owner's.
    pub group: Option<Box<str>>,
    /// What owner and group are on the machine that opens it.
    pub ready: Ready,
}

/// A user as its programs know it: from the machine's list of users, looked up where the file is compiled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// User id that the entry belongs to.
    pub uid: u32,
    /// Name of the user, for the variables `USER` and `LOGNAME`.
    pub name: Box<str>,
    /// The home directory, for the variable `HOME`.
    pub home: Box<str>,
    /// The login shell, for the variable `SHELL`.
    pub shell: Box<str>,
}

/// `lvs_timeouts`, in seconds; `None`: the kernel's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LvsTimeouts {
    /// Idle time of established TCP connections.
    pub tcp: Option<u32>,
    /// TCP connections after a FIN.
    pub tcpfin: Option<u32>,
    /// Idle time of UDP flows.
    pub udp: Option<u32>,
}

/// `lvs_sync_daemon`: the kernel's synchronisation of connections between directors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LvsSync {
    /// The interface that the synchronisation uses.
    pub interface: Box<str>,
    /// The instance whose state decides master or backup.
    pub instance: Option<Box<str>>,
    /// `id` of the synchronisation, 0..=255; `None`: 0.
    pub id: Option<u8>,
    /// `maxlen`: longest packet, 1..=65507 bytes; `None`: the kernel decides.
    pub maxlen: Option<u16>,
    /// `port`: UDP port, 1..=65535; `None`: 8848.
    pub port: Option<u16>,
    /// `ttl` of multicast packets, 1..=255; `None`: 1.
    pub ttl: Option<u8>,
    /// `group`: the multicast group; `None`: 224.0.0.81.
    pub group: Option<IpAddr>,
}

/// `garp_extra_if` or `vrrp_garp_extra_if`: repeated announcements, `[all] <secs>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtraGarp {
    /// On every interface with an address, not only where the MAC address is a virtual one.
    pub all: bool,
    /// Interval of the announcements; zero: none are sent.
    pub every: Duration,
}

/// `lvs_flush_on_stop`: what of the IPVS table is removed at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LvsFlush {
    /// Own entries one by one.
    #[default]
    Own,
    /// The whole table.
    All,
    /// Own services, each with its servers at once.
    Services,
}

/// `vrrp_rx_bufs_policy`: how keepalived sizes the receive buffer of a VRRP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RxBuffers {
    /// By the MTU of the interface.
    Mtu,
    /// By the length of an advert.
    Advert,
    /// So many bytes.
    Bytes(u32),
}

/// `smtp_server`: the mail server that alerts are sent to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmtpServer {
    /// Name or address of the mail server.
    pub host: Box<str>,
    /// TCP port, default 25.
    pub port: u16,
}

/// Settings of one kind of work: checkers, BFD.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpus(
    /// Processor numbers, sorted; empty: all.
    pub Vec<u16>,
);

block! {
    /// `global_defs` without what [`super::Global`] holds.
    pub struct GlobalMore {
        pub process_names: bool => "process_names",
        pub process_name: Option<Box<str>> => "process_name",
        pub vrrp_process_name: Option<Box<str>> => "vrrp_process_name",
        pub checker_process_name: Option<Box<str>> => "checker_process_name" | "lvs_process_name",
        pub bfd_process_name: Option<Box<str>> => "bfd_process_name",
        pub use_symlink_paths: bool => "use_symlink_paths",
        pub notification_email_from: Option<Box<str>> => "notification_email_from",
        /// `smtp_server`; `None`: no mail is sent.
        pub smtp_server: Option<SmtpServer>,
        pub smtp_helo_name: Option<Box<str>> => "smtp_helo_name",
        pub smtp_connect_timeout: Duration = Duration::from_secs(30) => "smtp_connect_timeout",
        /// `notification_email`: the recipients of mail.
        pub notification_email: Vec<Box<str>>,
        pub smtp_alert: Option<bool> => "smtp_alert",
        pub smtp_alert_vrrp: Option<bool> => "smtp_alert_vrrp",
        pub smtp_alert_checker: Option<bool> => "smtp_alert_checker",
        pub startup_script: Option<Box<Script>> => "startup_script",
        pub startup_script_timeout: u32 = 10 => "startup_script_timeout",
        pub shutdown_script: Option<Box<Script>> => "shutdown_script",
        pub shutdown_script_timeout: u32 = 10 => "shutdown_script_timeout",
        pub max_auto_priority: i32 => "max_auto_priority",
        pub min_auto_priority_delay: u32 = 1_000_000 => "min_auto_priority_delay",
        pub checker_log_all_failures: bool => "checker_log_all_failures",
        pub no_email_faults: bool => "no_email_faults",
        pub default_interface: Option<Box<str>> => "default_interface",
        pub disable_local_igmp: bool => "disable_local_igmp",
        /// `lvs_timeouts`: the kernel's timeouts of connections.
        pub lvs_timeouts: LvsTimeouts,
        pub lvs_flush: bool => "lvs_flush",
        /// `lvs_flush_on_stop`; default: the daemon's own entries.
        pub lvs_flush_on_stop: LvsFlush,
        /// `lvs_sync_daemon`; `None`: the synchronisation threads are left alone.
        pub lvs_sync_daemon: Option<LvsSync>,
        /// `vrrp_garp_extra_if`: the default of `garp_extra_if`.
        pub vrrp_garp_extra_if: Option<ExtraGarp>,
        /// `vrrp_iptables`: `None` without the keyword; the names of the chains.
        pub vrrp_iptables: Option<(Box<str>, Box<str>)>,
        /// `vrrp_ipsets`: `None` without the keyword; up to six names; none: no sets.
        pub vrrp_ipsets: Option<Vec<Box<str>>>,
        pub nftables: Option<Box<str>> => "nftables",
        pub nftables_priority: i32 = -1 => "nftables_priority",
        pub nftables_ifindex: bool => "nftables_ifindex",
        pub nftables_counters: bool => "nftables_counters",
        pub nftables_ipvs: Option<Box<str>> => "nftables_ipvs",
        pub nftables_ipvs_priority: i32 = -1 => "nftables_ipvs_priority",
        pub nftables_ipvs_start_fwmark: u32 = 1000 => "nftables_ipvs_start_fwmark",
        pub vrrp_check_unicast_src: bool => "vrrp_check_unicast_src",
        /// `notify_fifo`: the pipe for all changes; `None`: there is none.
        pub notify_fifo: Option<Fifo>,
        pub notify_fifo_script: Option<Box<Script>> => "notify_fifo_script",
        /// `vrrp_notify_fifo`: the pipe for changes of virtual routers and sync groups; `None`: there is none.
        pub vrrp_notify_fifo: Option<Fifo>,
        pub vrrp_notify_fifo_script: Option<Box<Script>> => "vrrp_notify_fifo_script",
        /// `lvs_notify_fifo`: the pipe for changes of virtual servers and real servers; `None`: there is none.
        pub lvs_notify_fifo: Option<Fifo>,
        pub lvs_notify_fifo_script: Option<Box<Script>> => "lvs_notify_fifo_script",
        pub vrrp_notify_priority_changes: bool => "vrrp_notify_priority_changes",
        pub fifo_write_vrrp_states_on_reload: bool => "fifo_write_vrrp_states_on_reload",
        pub checker_priority: i32 => "checker_priority",
        pub checker_no_swap: bool => "checker_no_swap",
        /// `checker_rt_priority`, 1..=99: accepted and not used, because the core makes the health checks.
        pub checker_rt_priority: Option<u8>,
        /// `checker_cpu_affinity`: accepted and not used, because the core makes the health checks.
        pub checker_cpu_affinity: Cpus,
        pub checker_rlimit_rttime: u64 = 10_000 => "checker_rlimit_rttime" | "checker_rlimit_rtime",
        pub bfd_priority: i32 => "bfd_priority",
        pub bfd_no_swap: bool => "bfd_no_swap",
        /// `bfd_rt_priority`, 1..=99: accepted and not used, because the core runs the BFD sessions.
        pub bfd_rt_priority: Option<u8>,
        /// `bfd_cpu_affinity`: accepted and not used, because the core runs the BFD sessions.
        pub bfd_cpu_affinity: Cpus,
        pub bfd_rlimit_rttime: u64 = 10_000 => "bfd_rlimit_rttime" | "bfd_rlimit_rtime",
        pub snmp_socket: Box<str> = "unix:/var/agentx/master".into() => "snmp_socket",
        pub enable_traps: bool => "enable_traps",
        pub enable_snmp_vrrp: bool => "enable_snmp_vrrp" | "enable_snmp_keepalived",
        pub enable_snmp_rfc: bool => "enable_snmp_rfc",
        pub enable_snmp_rfcv2: bool => "enable_snmp_rfcv2",
        pub enable_snmp_rfcv3: bool => "enable_snmp_rfcv3",
        pub enable_snmp_checker: bool => "enable_snmp_checker",
        pub snmp_vs_stats_update_interval: Duration = Duration::from_secs(5) => "snmp_vs_stats_update_interval",
        pub snmp_rs_stats_update_interval: Duration => "snmp_rs_stats_update_interval",
        pub enable_dbus: bool => "enable_dbus",
        pub dbus_service_name: Box<str> = "org.keepalived.Vrrp1".into() => "dbus_service_name",
        pub dbus_no_interface_name: Option<Box<str>> => "dbus_no_interface_name",
        /// `script_user`: user and group.
        pub script_user: Option<(Box<str>, Option<Box<str>>)>,
        pub enable_script_security: bool => "enable_script_security",
        /// The users that commands run as, with what the machine that runs them knows of each.
        pub logins: Vec<Login>,
        pub vrrp_netlink_cmd_rcv_bufs: Option<u32> => "vrrp_netlink_cmd_rcv_bufs",
        pub vrrp_netlink_cmd_rcv_bufs_force: bool => "vrrp_netlink_cmd_rcv_bufs_force",
        pub vrrp_netlink_monitor_rcv_bufs: Option<u32> => "vrrp_netlink_monitor_rcv_bufs",
        pub vrrp_netlink_monitor_rcv_bufs_force: bool => "vrrp_netlink_monitor_rcv_bufs_force",
        pub process_monitor_rcv_bufs: Option<u32> => "process_monitor_rcv_bufs",
        pub process_monitor_rcv_bufs_force: bool => "process_monitor_rcv_bufs_force",
        pub lvs_netlink_cmd_rcv_bufs: Option<u32> => "lvs_netlink_cmd_rcv_bufs",
        pub lvs_netlink_cmd_rcv_bufs_force: bool => "lvs_netlink_cmd_rcv_bufs_force",
        pub lvs_netlink_monitor_rcv_bufs: Option<u32> => "lvs_netlink_monitor_rcv_bufs",
        pub lvs_netlink_monitor_rcv_bufs_force: bool => "lvs_netlink_monitor_rcv_bufs_force",
        pub rs_init_notifies: bool => "rs_init_notifies",
        pub no_checker_emails: bool => "no_checker_emails",
        /// `vrrp_rx_bufs_policy`: accepted and not used, because every VRRP socket has the same buffer.
        pub vrrp_rx_bufs_policy: Option<RxBuffers>,
        pub vrrp_rx_bufs_multiplier: u32 = 3 => "vrrp_rx_bufs_multiplier",
        pub vrrp_startup_delay: Duration => "vrrp_startup_delay",
        pub vrrp_delay_after_boot: Duration => "vrrp_delay_after_boot",
        pub log_unknown_vrids: bool => "log_unknown_vrids",
        pub vrrp_owner_ignore_adverts: bool => "vrrp_owner_ignore_adverts",
        pub vmac_prefix: Box<str> = "vrrp".into() => "vmac_prefix",
        pub vmac_addr_prefix: Option<Box<str>> => "vmac_addr_prefix",
        /// `umask`: the permissions that dump files do not have, default 0177.
        pub umask: u16 = 0o177,
        pub random_seed: Option<u32> => "random_seed",
        pub reload_check_config: Option<Box<str>> => "reload_check_config",
        pub reload_time_file: Option<Box<str>> => "reload_time_file",
        pub reload_repeat: bool => "reload_repeat",
        pub reload_file: Option<Box<str>> => "reload_file",
        /// `include_check`: read, match, wildcard_match, brace_match; already read when a file is included.
        pub include_check: Vec<Box<str>>,
        pub config_save_dir: Option<Box<str>> => "config_save_dir",
        pub tmp_config_directory: Option<Box<str>> => "tmp_config_directory",
        pub data_use_instance: bool => "data_use_instance",
        pub json_version: u8 = 1 => "json_version",
        pub iproute_usr_dir: Option<Box<str>> => "iproute_usr_dir",
        pub iproute_etc_dir: Option<Box<str>> => "iproute_etc_dir",
        pub state_dump_file: Box<str> = "/tmp/keepalived.data".into() => "state_dump_file",
        pub stats_dump_file: Box<str> = "/tmp/keepalived.stats".into() => "stats_dump_file",
        pub json_dump_file: Box<str> = "/tmp/keepalived.json".into() => "json_dump_file",
    }
}

impl GlobalMore {
    /// Name of the process that speaks VRRP: `vrrp_process_name`, or with `process_names` as keepalived's.
    pub fn core_name(&self) -> Option<&str> {
        self.vrrp_process_name.as_deref().or(self.process_names.then_some("keepalived_vrrp"))
    }
}

block! {
    /// Single words of the top level.
    pub struct RootMore {
        pub linkbeat_use_polling: bool => "linkbeat_use_polling",
        pub net_namespace: Option<Box<str>> => "net_namespace",
        pub net_namespace_ipvs: Option<Box<str>> => "net_namespace_ipvs",
        pub namespace_with_ipsets: bool => "namespace_with_ipsets",
        pub use_pid_dir: bool => "use_pid_dir",
        pub instance: Option<Box<str>> => "instance",
        pub child_wait_time: u32 = 5 => "child_wait_time",
    }
}

impl RootMore {
    /// The reason why a reload or an upgrade cannot put `new` in force: only a restart changes these settings, as with keepalived. `None`: it
    /// can.
    pub fn needs_restart(&self, new: &RootMore) -> Option<String> {
        let fixed = [
            ("net_namespace", self.net_namespace == new.net_namespace),
            ("net_namespace_ipvs", self.net_namespace_ipvs == new.net_namespace_ipvs),
            ("instance", self.instance == new.instance),
        ];
        let changed: Vec<&str> = fixed.iter().filter(|(_, same)| !same).map(|(name, _)| *name).collect();
        (!changed.is_empty()).then(|| format!("{} changed; restart kalived", changed.join(", ")))
    }
}
