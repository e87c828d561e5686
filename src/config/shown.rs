//! The model in the words of the file, for people: `diff.rs` prints it.
//!
//! Most fields of the model have the name of their keyword. The others, and what is cut into several structs only in the model, are listed
//! here. Pure. Read first: `node.rs`.

use super::node::{Block, Node};

/// A field of a struct of the model, and its word in a file. Empty: none, its content stands there directly.
const WORDS: &[(&str, &[(&str, &str)])] = &[
    ("Global", &[("process", ""), ("more", "")]),
    (
        "Process",
        &[
            ("nice", "vrrp_priority"),
            ("rt_priority", "vrrp_rt_priority"),
            ("no_swap", "vrrp_no_swap"),
            ("rlimit_rttime", "vrrp_rlimit_rttime"),
            ("cpu_affinity", "vrrp_cpu_affinity"),
        ],
    ),
    (
        "InstanceConfig",
        &[
            ("vrid", "virtual_router_id"),
            ("auth", "authentication"),
            ("vips", "virtual_ipaddress"),
            ("excluded", "virtual_ipaddress_excluded"),
            ("garp", ""),
            ("mcast_src", "mcast_src_ip"),
            ("mcast_group", "mcast_dst_ip"),
            ("track_interfaces", "track_interface"),
            ("more", ""),
        ],
    ),
    (
        "GarpConfig",
        &[
            ("repeat", "garp_master_repeat"),
            ("delay", "garp_master_delay"),
            ("refresh", "garp_master_refresh"),
            ("refresh_repeat", "garp_master_refresh_repeat"),
            ("lower_prio_repeat", "garp_lower_prio_repeat"),
            ("lower_prio_delay", "garp_lower_prio_delay"),
        ],
    ),
    (
        "InstanceMore",
        &[
            ("notify", ""),
            ("tracks", ""),
            ("own_interface", "use_vmac"),
            ("routes", "virtual_routes"),
            ("rules", "virtual_rules"),
            ("hmac", "auth_hmac"),
        ],
    ),
    (
        "Notify",
        &[
            ("backup", "notify_backup"),
            ("master", "notify_master"),
            ("fault", "notify_fault"),
            ("stop", "notify_stop"),
            ("any", "notify"),
            ("master_rx_lower_pri", "notify_master_rx_lower_pri"),
            ("deleted", "notify_deleted"),
            ("priority_changes", "notify_priority_changes"),
        ],
    ),
    (
        "Tracks",
        &[
            ("interfaces", "track_interface"),
            ("scripts", "track_script"),
            ("files", "track_file"),
            ("processes", "track_process"),
            ("bfds", "track_bfd"),
            ("checks", "track_check"),
            ("virtual_servers", "track_virtual_server"),
        ],
    ),
    (
        "SyncGroup",
        &[("members", "group"), ("tracks", ""), ("notify", ""), ("tracking_weight", "sync_group_tracking_weight")],
    ),
    ("TrackGroup", &[("members", "group")]),
    ("TrackFile", &[("init", "init_file")]),
    ("Track", &[("name", "")]),
    ("TrackInterface", &[("name", "")]),
    ("Peer", &[("addr", "")]),
    ("Vip", &[("more", "")]),
    ("Route", &[("kind", ""), ("to", ""), ("hops", ""), ("metrics", "")]),
    (
        "VirtualServer",
        &[
            ("pace", ""),
            ("scheduler", "lb_algo"),
            ("method", "lb_kind"),
            ("granularity", "persistence_granularity"),
            ("sorry", "sorry_server"),
            ("real_servers", "real_server"),
        ],
    ),
    ("Sorry", &[("addr", ""), ("port", "")]),
    ("RealServer", &[("pace", ""), ("method", "lvs_method"), ("checks", "")]),
    ("Check", &[("pace", ""), ("target", ""), ("kind", "")]),
];

/// Fields that follow from others.
const DERIVED: &[(&str, &str)] = &[("Route", "numbers"), ("Rule", "numbers"), ("Hop", "flow"), ("VipMore", "vmac")];

/// Values that a line has without a word.
const DEFAULTS: &[(&str, &str, &str)] = &[("Hop", "weight", "1")];

/// The word of a field in a file; `None`: it follows from others.
pub(super) fn word<'a>(kind: &str, field: &'a str) -> Option<&'a str> {
    if DERIVED.contains(&(kind, field)) {
        return None;
    }
    let of = WORDS.iter().find(|(k, _)| *k == kind).map_or(&[][..], |(_, fields)| fields);
    Some(of.iter().find(|(name, _)| *name == field).map_or(field, |(_, word)| word))
}

/// The block of a check.
pub(super) fn check(block: &Block) -> Option<&'static str> {
    let kind = match block.get("kind").filter(|_| block.kind == "Check")? {
        Node::Leaf(variant, _) => variant.as_str(),
        Node::Block(b) => b.kind,
        _ => return None,
    };
    let names = [
        ("Tcp", "TCP_CHECK"),
        ("Ping", "PING_CHECK"),
        ("Udp", "UDP_CHECK"),
        ("Smtp", "SMTP_CHECK"),
        ("Dns", "DNS_CHECK"),
        ("Http", "HTTP_GET"),
        ("Ssl", "SSL_GET"),
        ("Misc", "MISC_CHECK"),
        ("File", "FILE_CHECK"),
        ("Bfd", "BFD_CHECK"),
    ];
    names.iter().find(|(variant, _)| *variant == kind).map(|(_, word)| *word)
}

/// On one line, as a line of the file has it.
pub(super) fn line(node: &Node) -> String {
    match node {
        Node::Block(b) => {
            let text = |name: &str| b.get(name).map(Node::to_string).unwrap_or_default();
            match b.kind {
                "Prefix" => format!("{}/{}", text("addr"), text("len")),
                "RealServer" => format!("{} {}", text("addr"), text("port")),
                "Vip" => format!("{}/{}{}", text("addr"), text("prefix"), words(b, &["addr", "prefix"])),
                _ => check(b).map_or_else(|| words(b, &[]).trim_start().to_owned(), str::to_owned),
            }
        }
        Node::List(l) => l.iter().map(line).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

// Each with a blank before it.
fn words(block: &Block, without: &[&str]) -> String {
    let mut out = String::new();
    for (name, value) in block.fields.iter().filter(|(name, value)| !value.is_empty() && !without.contains(&&**name)) {
        let Some(word) = word(block.kind, name) else { continue };
        let value = match line(value) {
            value if DEFAULTS.contains(&(block.kind, name, &value)) => continue,
            // A flag.
            value if value == "yes" => String::new(),
            value => value,
        };
        for part in [word, &value].into_iter().filter(|part| !part.is_empty()) {
            out += " ";
            out += part;
        }
    }
    out
}
