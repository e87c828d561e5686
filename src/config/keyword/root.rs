//! Keyword rows: the top level and the small blocks on it.
//! Sorted by name within a scope (tested). Read first: `mod.rs`.

use super::Form::*;
use super::Status::*;
use super::{Keyword, Scope, row};

#[rustfmt::skip]
pub(super) const ROOT: &[Keyword] = &[
    row("SSL", Block(Scope::Ssl), NoEffect, "{ ... }", "", "missing files: SSL context failure is fatal for the checker",
        "Client TLS settings for SSL_GET."),
    row("bfd_instance", Block(Scope::BfdInstance), NoEffect, "<name> { ... }", "", "name >31 chars or duplicate name ignored",
        "BFD session."),
    row("child_wait_time", Int(0, 4_294_967_295), NoEffect, "<secs>", "5", "0..UINT_MAX s",
        "How long the parent waits for children to exit at shutdown."),
    row("garp_group", Block(Scope::GarpGroup), NoEffect, "{ ... }", "", "no interval given -> removed",
        "Shared GARP/NA pacing across interfaces."),
    row("global_defs", Block(Scope::GlobalDefs), Supported, "{ ... }", "", "",
        "Settings of the whole process."),
    row("instance", Text, NoEffect, "<name>", "none", "cannot change on reload; duplicate reported",
        "Name for running several daemons; suffix for pid/dump files and syslog ident."),
    row("interface_up_down_delays", Entries(Scope::Names), NoEffect, "{ <if> <down> [<up>] ... }", "0 0", "0..255 s decimals; unknown interface is fatal; omitted up = 0 in code (man: = down)",
        "Debounce link state changes; later capped relative to advert interval."),
    row("linkbeat_interfaces", Entries(Scope::Names), NoEffect, "{ <if> [MII|ETHTOOL|IOCTL] ... }", "", "vmac or unknown interface/type reported",
        "Poll link state of the listed interfaces with the given method."),
    row("linkbeat_use_polling", Flag, NoEffect, "", "off", "",
        "Poll interface link state (MII/ethtool/ioctl) instead of netlink only."),
    row("namespace_with_ipsets", Flag, NoEffect, "", "off", "",
        "Permit ipset use inside a netns (old kernels shared sets)."),
    row("net_namespace", Text, Refused, "<name>", "none", "duplicate ignored with error; cannot change on reload (reload refused)",
        "Run VRRP (and all) inside this netns; implies use_pid_dir and its own mount ns."),
    row("net_namespace_ipvs", OptText(""), NoEffect, "[<name>]", "same as net_namespace", "empty = default namespace; not changeable on reload",
        "Netns used for the IPVS/checker child."),
    row("static_ipaddress", Entries(Scope::AddressLine), NoEffect, "{ <address line> ... }", "", "",
        "Addresses configured at start regardless of VRRP state; see address line."),
    row("static_routes", Entries(Scope::RouteLine), NoEffect, "{ <route line> ... }", "", "",
        "Routes configured at start; see route line."),
    row("static_rules", Entries(Scope::RuleLine), NoEffect, "{ <rule line> ... }", "", "",
        "IP rules configured at start; see rule line."),
    row("track_file", Block(Scope::TrackFile), NoEffect, "<name> { ... }", "", "no file -> removed; duplicate name reported",
        "Named file whose integer content steers priority / RS weight."),
    row("track_group", Block(Scope::TrackGroup), NoEffect, "<name> { ... }", "", "duplicate name -> block skipped",
        "Set of instances whose FAULT state static addresses/routes/rules may follow."),
    row("use_pid_dir", Flag, NoEffect, "", "off", "",
        "Put pid files in /run/keepalived/ rather than /run."),
    row("virtual_server", Block(Scope::VirtualServer), NoEffect, "<ip> [<port>] | fwmark <n> | group <name> { ... }", "", "bad address/mark -> block skipped; no real_server -> removed with error",
        "One IPVS service."),
    row("virtual_server_group", Entries(Scope::ServerGroupLine), NoEffect, "<name> { <entry> ... }", "", "empty group error; unused group removed",
        "Set of addresses/fwmarks sharing one virtual_server definition."),
    row("vrrp_instance", Block(Scope::Instance), Supported, "<name> { ... }", "", "exactly one name; duplicate name -> block skipped",
        "One virtual router. The name must be unique in the file."),
    row("vrrp_script", Block(Scope::VrrpScript), NoEffect, "<name> { ... }", "", "no script or unusable user -> removed; unused -> removed with warning",
        "Periodic health command."),
    row("vrrp_sync_group", Block(Scope::SyncGroup), NoEffect, "<name> { ... }", "", "no members -> removed; unknown members ignored; single member reported but kept",
        "Instances that change state together; an instance may be in one group only."),
    row("vrrp_track_file", Block(Scope::TrackFile), NoEffect, "<name> { ... }", "", "reported as deprecated",
        "Deprecated alias of track_file."),
    row("vrrp_track_process", Block(Scope::TrackProcess), NoEffect, "<name> { ... }", "", "unused -> removed",
        "Track presence of a process."),
];

#[rustfmt::skip]
pub(super) const TRACK_GROUP: &[Keyword] = &[
    row("group", Entries(Scope::Names), NoEffect, "{ <instance> ... }", "", "no known members -> group removed",
        "Member instances."),
];

#[rustfmt::skip]
pub(super) const GARP_GROUP: &[Keyword] = &[
    row("garp_interval", Secs(0, 4_294_000_000), NoEffect, "<decimal secs>", "0", "0..4294; >=1 s reported",
        "Gap between GARPs."),
    row("gna_interval", Secs(0, 4_294_000_000), NoEffect, "<decimal secs>", "0", "0..4294; >=1 s reported",
        "Gap between unsolicited NAs."),
    row("interface", Text, NoEffect, "<if>", "", "unknown or vmac interface refused",
        "Single member interface."),
    row("interfaces", Entries(Scope::Names), NoEffect, "{ <if> ... }", "", "as interface; given twice reported",
        "Member interfaces sharing one pacing timer."),
];

#[rustfmt::skip]
pub(super) const TRACK_FILE: &[Keyword] = &[
    row("file", Text, NoEffect, "\"<path>\"", "required", "read-only or non-inotify filesystem rejected",
        "File to watch; content is a signed integer, unreadable/absent = 0."),
    row("init_file", Words, NoEffect, "[<value>] [overwrite]", "off; value 0", "other words reported",
        "Create file at start; overwrite also replaces existing content."),
    row("weight", Weight(254), NoEffect, "<-254..254> [reverse]", "1", "out of range ignored",
        "Default multiplier; 0 = non-zero content means fault."),
];

#[rustfmt::skip]
pub(super) const VRRP_SCRIPT: &[Keyword] = &[
    row("fall", Int(1, 2_147_483_647), NoEffect, "<n>", "1", "1..INT_MAX else 1",
        "Failures needed to be down."),
    row("init_fail", Flag, NoEffect, "", "off", "",
        "Assume failed until first success."),
    row("interval", Secs(0, 4_294_967_295_000_000), NoEffect, "<secs, ms resolution>", "1", "0 becomes 1",
        "Period between runs."),
    row("rise", Int(1, 2_147_483_647), NoEffect, "<n>", "1", "1..INT_MAX else 1",
        "Successes needed to be up."),
    row("script", Script, NoEffect, "<cmd> or \"<cmd args>\"", "required", "missing -> script removed",
        "Command; exit 0 = ok."),
    row("timeout", Secs(0, 4_294_967_295_000_000), NoEffect, "<secs, ms resolution>", "0 = interval", "given 0 becomes 1",
        "Kill time (TERM, +2 s KILL); counts as failure."),
    row("user", Words, NoEffect, "<user> [<group>]", "script_user", "unknown user -> script removed",
        "Run as."),
    row("weight", Weight(253), NoEffect, "<-253..253> [reverse]", "0", "out of range ignored",
        "Default weight for tracking instances."),
];

#[rustfmt::skip]
pub(super) const TRACK_PROCESS: &[Keyword] = &[
    row("delay", Secs(1, 3_600_000_000), NoEffect, "<1 us..3600 s>", "0", "out of range ignored",
        "Delay for both directions before acting."),
    row("fork_delay", Secs(1, 3_600_000_000), NoEffect, "<1 us..3600 s>", "0", "out of range ignored",
        "Delay before quorum gain is acted on."),
    row("full_command", Flag, NoEffect, "", "off", "",
        "Match full command line from /proc, not comm."),
    row("param_match", Words, NoEffect, "[initial|partial]", "exact (bare)", "other reported",
        "How configured params must match."),
    row("process", Words, NoEffect, "<name|path> [<params>...]", "required", "comm compared to 15 chars unless full_command",
        "What to look for; params enable full cmdline matching."),
    row("quorum", Int(1, 65_535), NoEffect, "<1..65535>", "1", "out of range ignored",
        "Minimum number of matching processes."),
    row("quorum_max", Int(0, 65_535), NoEffect, "<0..65535>", "unlimited", "below quorum reported; 0 sets quorum 0 (must not run)",
        "Maximum number of matching processes."),
    row("terminate_delay", Secs(1, 3_600_000_000), NoEffect, "<1 us..3600 s>", "0", "out of range ignored",
        "Delay before quorum loss is acted on."),
    row("weight", Weight(254), NoEffect, "<-254..254> [reverse]", "0", "out of range ignored",
        "Default weight."),
];

#[rustfmt::skip]
pub(super) const SSL: &[Keyword] = &[
    row("ca", Text, NoEffect, "<file>", "none", "",
        "CA file."),
    row("certificate", Text, NoEffect, "<file>", "none", "",
        "Client certificate."),
    row("key", Text, NoEffect, "<file>", "none", "",
        "Client key."),
    row("password", Text, NoEffect, "<string>", "none", "",
        "Private key password."),
];

#[rustfmt::skip]
pub(super) const BFD_INSTANCE: &[Keyword] = &[
    row("checker", Flag, NoEffect, "", "both", "",
        "Send events to checkers only (with vrrp both)."),
    row("hoplimit", Int(1, 255), NoEffect, "<1..255>", "", "",
        "Alias of ttl."),
    row("idle_tx", Millis(1_000_000, 4_294_967_000), NoEffect, "<ms decimal>", "1000", "1000..4294967; >10000 warned",
        "Transmit interval while down."),
    row("max_hops", Int(-1, 255), NoEffect, "<-1..255>", "0", "-1 = no check; bad ignored; above ttl -> ttl",
        "Hops tolerated on receive (ttl check)."),
    row("min_rx", Millis(1_000, 4_294_967_000), NoEffect, "<ms decimal>", "10", "1..4294967; >10000 warned",
        "Required minimum receive interval."),
    row("min_tx", Millis(1_000, 4_294_967_000), NoEffect, "<ms decimal>", "10", "1..4294967; >10000 warned",
        "Desired minimum transmit interval."),
    row("multihop", Bool, NoEffect, "[<BOOL>]", "false", "",
        "Use multihop port 4784."),
    row("multiplier", Int(1, 255), NoEffect, "<1..255>", "5", ">10 warned",
        "Detect multiplier."),
    row("neighbor_ip", Ip, NoEffect, "<ip>", "required", "missing -> instance disabled; duplicate src/peer pair ignored",
        "Peer address."),
    row("neighbour_ip", Ip, NoEffect, "<ip>", "", "",
        "Alias of neighbor_ip."),
    row("passive", Flag, NoEffect, "", "off", "",
        "Wait for peer to start."),
    row("source_ip", Ip, NoEffect, "<ip>", "any", "family mismatch with peer -> instance disabled",
        "Local address."),
    row("ttl", Int(1, 255), NoEffect, "<1..255>", "255 (v4), 64 (v6)", "bad ignored",
        "TTL of packets sent."),
    row("vrrp", Flag, NoEffect, "", "both", "",
        "Send events to VRRP only (with checker both)."),
    row("weight", Weight(253), NoEffect, "<-253..253> [reverse]", "0", "out of range ignored",
        "Default weight for vrrp tracking."),
];
