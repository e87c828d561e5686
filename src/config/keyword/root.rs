//! Keyword rows: the top level and the small blocks on it.
//! Sorted by name within a scope (tested). Read first: `mod.rs`.

use super::Form::*;
use super::Status::*;
use super::{Keyword, Scope, row};

#[rustfmt::skip]
pub(super) const ROOT: &[Keyword] = &[
    row("SSL", Block(Scope::Ssl), Supported, "{ ... }", "", "files are read when the configuration is; one that cannot be is reported",
        "Client TLS settings for SSL_GET."),
    row("bfd_instance", Block(Scope::BfdInstance), Supported, "<name> { ... }", "", "name >31 chars or duplicate name ignored",
        "BFD session (RFC 5880, 5881, 5883) with one peer, which reports its loss within milliseconds: followed by track_bfd and BFD_CHECK."),
    row("child_wait_time", Int(0, 4_294_967_295), Always, "<secs>", "5", "0..UINT_MAX s",
        "Accepted. A stop takes as long as addresses and notification scripts need, at most 30 s; a process that hangs is found by its missing heartbeat and killed."),
    row("garp_group", Block(Scope::GarpGroup), Supported, "{ ... }", "", "no interval given -> removed",
        "GARP and NA intervals of virtual routers on these interfaces, in place of the global ones."),
    row("global_defs", Block(Scope::GlobalDefs), Supported, "{ ... }", "", "",
        "Settings of the whole process."),
    row("instance", Text, Supported, "<name>", "none", "cannot change on reload; duplicate reported",
        "Name of this kalived where several run on one host: in the names of dump files (data_use_instance), and of the table of nftables that is ours. Each also needs a pid file of its own (-p)."),
    row("interface_up_down_delays", Entries(Scope::Names), Supported, "{ <if> <down> [<up>] ... }", "0 0", "0..255 s decimals; unknown interface is fatal; omitted up = 0 in code (man: = down)",
        "So long an interface must have been down, or up again, before that counts: the line is an interface, the seconds before down and before up. Down counts at the latest when a Backup is about to take over: after (down_timer_adverts - 1) intervals."),
    row("linkbeat_interfaces", Entries(Scope::Names), Always, "{ <if> [MII|ETHTOOL|IOCTL] ... }", "", "vmac or unknown interface/type reported",
        "Accepted. The kernel reports the carrier as soon as the driver knows it, and that counts; a driver that does not report it is not looked at by MII or ETHTOOL either."),
    row("linkbeat_use_polling", Flag, Always, "", "off", "",
        "Accepted. As linkbeat_interfaces."),
    row("namespace_with_ipsets", Flag, Always, "", "off", "",
        "Accepted. kalived uses no ipsets; the sets of nftables belong to their namespace."),
    row("net_namespace", Text, Supported, "<name>", "none", "as `ip netns list` prints it; cannot change on reload (reload refused)",
        "The network namespace in which kalived runs, with everything that it starts; -s has precedence. It must be there when kalived starts. The pid file is then /run/kalived-NAME.pid, unless -p names one. A test does not look at the interfaces of another network namespace."),
    row("net_namespace_ipvs", OptText(""), Supported, "[<name>]", "same as net_namespace", "cannot change on reload (reload refused)",
        "The network namespace of virtual servers; checks stay in that of net_namespace. Without a name: that of the first process of the host."),
    row("static_ipaddress", Entries(Scope::AddressLine), Supported, "{ <address line> ... }", "", "",
        "Addresses configured at start regardless of VRRP state; see address line."),
    row("static_routes", Entries(Scope::RouteLine), Supported, "{ <route line> ... }", "", "",
        "Routes configured at start; see route line."),
    row("static_rules", Entries(Scope::RuleLine), Supported, "{ <rule line> ... }", "", "",
        "IP rules configured at start; see rule line."),
    row("track_file", Block(Scope::TrackFile), Supported, "<name> { ... }", "", "no file: ignored",
        "A file whose number steers priorities. Instances name it in track_file."),
    row("track_group", Block(Scope::TrackGroup), Supported, "<name> { ... }", "", "duplicate name -> block skipped",
        "Instances that need static addresses, routes or rules: while the interface of one that names this group is down, they are in FAULT."),
    row("use_pid_dir", Flag, Always, "", "off", "",
        "Accepted. The pid file is where -p says, by default /run/kalived.pid."),
    row("virtual_server", Block(Scope::VirtualServer), Supported, "<ip> [<port>] | fwmark <n> | group <name> { ... }", "", "bad address/mark -> block skipped; no real_server -> removed with error",
        "One IPVS service."),
    row("virtual_server_group", Entries(Scope::ServerGroupLine), Supported, "<name> { <entry> ... }", "", "empty group error; unused group removed",
        "Set of addresses/fwmarks sharing one virtual_server definition."),
    row("vrrp_check", Block(Scope::VrrpCheck), Supported, "<name> { ... }", "", "no target: ignored",
        "A check that kalived makes itself, without a program; instances name it in track_check. See TRACKING."),
    row("vrrp_instance", Block(Scope::Instance), Supported, "<name> { ... }", "", "exactly one name; duplicate name -> block skipped",
        "One virtual router. The name must be unique in the file."),
    row("vrrp_script", Block(Scope::VrrpScript), Supported, "<name> { ... }", "", "no script: ignored",
        "A command that is run every so often; its exit code steers priority or FAULT of the instances that name it in track_script. See SCRIPTS and TRACKING."),
    row("vrrp_sync_group", Block(Scope::SyncGroup), Supported, "<name> { ... }", "", "no members -> removed; unknown members ignored; single member reported but kept",
        "Instances that change state together; an instance may be in one group only. See SYNC GROUPS."),
    row("vrrp_track_file", Block(Scope::TrackFile), Supported, "<name> { ... }", "", "",
        "The same."),
    row("vrrp_track_process", Block(Scope::TrackProcess), Supported, "<name> { ... }", "", "no process: ignored",
        "Whether a process runs; instances name it in track_process. See TRACKING."),
];

#[rustfmt::skip]
pub(super) const TRACK_GROUP: &[Keyword] = &[
    row("group", Entries(Scope::Names), Supported, "{ <instance> ... }", "", "no known members -> group removed",
        "Member instances."),
];

#[rustfmt::skip]
pub(super) const GARP_GROUP: &[Keyword] = &[
    row("garp_interval", Secs(0, 4_294_000_000), Supported, "<decimal secs>", "0", "0..4294; >=1 s reported",
        "Gap between GARPs."),
    row("gna_interval", Secs(0, 4_294_000_000), Supported, "<decimal secs>", "0", "0..4294; >=1 s reported",
        "Gap between unsolicited NAs."),
    row("interface", Text, Supported, "<if>", "", "unknown or vmac interface refused",
        "Single member interface."),
    row("interfaces", Entries(Scope::Names), Supported, "{ <if> ... }", "", "as interface; given twice reported",
        "Member interfaces; each one paces for itself."),
];

#[rustfmt::skip]
pub(super) const TRACK_FILE: &[Keyword] = &[
    row("file", Text, Supported, "\"<path>\"", "required", "",
        "The file, by its absolute path. It holds one whole number; a file that is missing or cannot be read counts as 0."),
    row("init_file", Words, Supported, "[<value>] [overwrite]", "off; value 0", "other words reported",
        "Make the file, with this value, when the configuration is read; with overwrite also where it exists."),
    row("weight", Weight(254), Supported, "<-254..254> [reverse]", "1", "",
        "The number of the file times this is added to the priority; -254 or less means FAULT. With 0 any number but 0 means FAULT."),
];

#[rustfmt::skip]
pub(super) const VRRP_SCRIPT: &[Keyword] = &[
    row("fall", Int(1, 2_147_483_647), Supported, "<n>", "1", "",
        "So many runs must fail, one after the other, before it counts as down."),
    row("init_fail", Flag, Supported, "", "off", "",
        "Down until it has succeeded often enough."),
    row("interval", Secs(0, 4_294_967_295_000_000), Supported, "<secs, ms resolution>", "1", "0: 1 is used",
        "Between the starts of two runs, in seconds with up to three decimals. A run that is due while the last one lives is left out."),
    row("rise", Int(1, 2_147_483_647), Supported, "<n>", "1", "",
        "So many runs must succeed, one after the other, before it counts as up."),
    row("script", Script, Supported, "<cmd> or \"<cmd args>\"", "required", "",
        "The command; exit code 0 means up. See SCRIPTS for how it is run."),
    row("timeout", Secs(0, 4_294_967_295_000_000), Supported, "<secs, ms resolution>", "interval", "0: 1 is used",
        "A run that lasts longer has failed: SIGTERM to its process group, SIGKILL 2 s later."),
    row("user", Words, Supported, "<user> [<group>]", "script_user", "unknown on this machine: the script counts as failed",
        "Run it as this user and group."),
    row("weight", Weight(253), Supported, "<-253..253> [reverse]", "0", "",
        "0: down means FAULT. Above 0: added to the priority while up. Below 0: subtracted while down. A line of track_script can say another one."),
];

#[rustfmt::skip]
pub(super) const VRRP_CHECK: &[Keyword] = &[
    row("fall", Int(1, 2_147_483_647), Supported, "<n>", "1", "",
        "So many checks must fail, one after the other, before it counts as down."),
    row("http", Words, Supported, "http://<addr>[:<port>]/<path> [host <name>] [status <n>[-<n>]]", "port 80; host as in the URL; status 200-299", "status 100..599; a numeric address, or localhost for 127.0.0.1",
        "Up while GET of this path is answered with a status in the range. host is what the server is asked for."),
    row("init_fail", Flag, Supported, "", "off", "",
        "Down until it has succeeded often enough."),
    row("interval", Secs(0, 4_294_967_295_000_000), Supported, "<secs, ms resolution>", "1", "0: 1 is used",
        "Between the starts of two checks."),
    row("process", Words, Supported, "<name|path> [<params>...]", "", "",
        "Up while at least one such process runs. As in vrrp_track_process, which says more."),
    row("rise", Int(1, 2_147_483_647), Supported, "<n>", "1", "",
        "So many checks must succeed, one after the other, before it counts as up."),
    row("tcp", Words, Supported, "<addr>:<port> | <addr> <port>", "", "port 1..65535; a numeric address, an IPv6 one before : in [ ], or localhost for 127.0.0.1",
        "Up while this port accepts a connection."),
    row("timeout", Secs(0, 4_294_967_295_000_000), Supported, "<secs, ms resolution>", "interval", "0: 1 is used",
        "A check that lasts longer has failed."),
    row("unix", Text, Supported, "<path>", "", "absolute, at most 107 bytes",
        "Up while this stream socket accepts a connection."),
    row("weight", Weight(253), Supported, "<-253..253> [reverse]", "0", "",
        "0: down means FAULT. Above 0: added to the priority while up. Below 0: subtracted while down. A line of track_check can say another one."),
];

#[rustfmt::skip]
pub(super) const TRACK_PROCESS: &[Keyword] = &[
    row("delay", Secs(1, 3_600_000_000), Supported, "<1 us..3600 s>", "0", "",
        "As fork_delay and terminate_delay together."),
    row("fork_delay", Secs(1, 3_600_000_000), Supported, "<1 us..3600 s>", "0", "",
        "So long must there be enough processes before it counts as up."),
    row("full_command", Flag, Supported, "", "off", "",
        "Compare the command line of each process, not its name."),
    row("param_match", Words, Supported, "[initial|partial]", "without the keyword only the name counts, unless parameters are given", "",
        "How parameters are compared: all of them (no word), those given must be the first ones (initial), and the last one given may be the beginning of a longer one (partial)."),
    row("process", Words, Supported, "<name|path> [<params>...]", "required", "a name is compared up to 15 bytes unless full_command",
        "The program, by name or path, and parameters. Zombies do not count."),
    row("quorum", Int(1, 65_535), Supported, "<1..65535>", "1", "",
        "Up while at least so many processes are there."),
    row("quorum_max", Int(0, 65_535), Supported, "<0..65535>", "unlimited", "below quorum: ignored; 0: must not run at all",
        "Up while at most so many processes are there."),
    row("terminate_delay", Secs(1, 3_600_000_000), Supported, "<1 us..3600 s>", "0", "",
        "So long must there be too few processes before it counts as down."),
    row("weight", Weight(254), Supported, "<-254..254> [reverse]", "0", "",
        "0: down means FAULT. Above 0: added to the priority while up. Below 0: subtracted while down."),
];

#[rustfmt::skip]
pub(super) const SSL: &[Keyword] = &[
    row("ca", Text, Supported, "<file>", "the system's", "PEM",
        "Certificates of who may vouch for a server; looked at with `verify` only."),
    row("certificate", Text, Supported, "<file>", "none", "PEM, with those that lead to its issuer",
        "Certificate that is shown to a server that asks for one."),
    row("key", Text, Supported, "<file>", "none", "PEM, not encrypted",
        "Key of this certificate."),
    row("password", Text, Never, "<string>", "none", "",
        "An encrypted key is not read: `openssl pkey` decrypts it."),
];

#[rustfmt::skip]
pub(super) const BFD_INSTANCE: &[Keyword] = &[
    row("checker", Flag, Always, "", "both", "",
        "In keepalived: for real servers only. In kalived this keyword changes nothing: every instance and real server that names the session follows it."),
    row("hoplimit", Int(1, 255), Supported, "<1..255>", "", "",
        "Alias of ttl."),
    row("idle_tx", Millis(1_000_000, 4_294_967_000), Supported, "<ms decimal>", "1000", "1000..4294967; >10000 warned",
        "Interval between packets while the session is not up."),
    row("max_hops", Int(-1, 255), Supported, "<-1..255>", "0", "-1 = no check; bad ignored; above ttl -> ttl",
        "So much the TTL of a received packet may be below `ttl`; -1: it is not looked at. With multihop 0 is no limit either."),
    row("min_rx", Millis(1_000, 4_294_967_000), Supported, "<ms decimal>", "10", "1..4294967; >10000 warned",
        "Least interval between packets of the peer that this system takes. The peer is lost after its own multiplier times the larger of this and its min_tx."),
    row("min_tx", Millis(1_000, 4_294_967_000), Supported, "<ms decimal>", "10", "1..4294967; >10000 warned",
        "Least interval between own packets while up; the peer may ask for a longer one."),
    row("multihop", Bool, Supported, "[<BOOL>]", "false", "",
        "The peer is some routers away: UDP port 4784 (RFC 5883) instead of 3784."),
    row("multiplier", Int(1, 255), Supported, "<1..255>", "5", ">10 warned",
        "So many own packets must be lost before the peer takes this system for lost."),
    row("neighbor_ip", Ip, Supported, "<ip>", "required", "missing -> instance disabled; duplicate src/peer pair ignored",
        "Peer address."),
    row("neighbour_ip", Ip, Supported, "<ip>", "", "",
        "Alias of neighbor_ip."),
    row("passive", Flag, Supported, "", "off", "",
        "Sends nothing before the peer is heard."),
    row("source_ip", Ip, Supported, "<ip>", "any", "family mismatch with peer -> instance disabled",
        "Address that own packets come from."),
    row("ttl", Int(1, 255), Supported, "<1..255>", "255", "bad ignored",
        "TTL or hop limit of own packets; received ones have at least this less max_hops. keepalived sends 64 over IPv6 where nothing is written: there `hoplimit 255` is needed in its file, or `hoplimit 64` here."),
    row("vrrp", Flag, Always, "", "both", "",
        "In keepalived: for virtual routers only. In kalived this keyword changes nothing: every instance and real server that names the session follows it."),
    row("weight", Weight(253), Supported, "<-253..253> [reverse]", "0", "out of range ignored",
        "Weight where a track_bfd line has none; 0: FAULT while the session is down."),
];
