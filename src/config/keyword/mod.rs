//! The keyword table: every keyword of keepalived 2.4.3 and of kalived, its block, its arguments, and whether it has an effect. There is no
//! other list of keywords.
//!
//! It drives parsing (`tree.rs` asks what opens a block, `lower` asks for ranges), spelling help and the keyword section
//! of kalived.conf(5). Rows are in the files of this folder, by scope, sorted by name. Read next: `nearest.rs`, `man.rs`.

mod global;
mod index;
mod instance;
mod lexer;
mod lines;
pub mod man;
pub mod nearest;
mod root;
mod server;

pub use index::find;

/// Where a word may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // each is the block of that name
pub enum Scope {
    /// Words that work on text.
    Lexer,
    /// The top level of a file.
    Root,
    GlobalDefs,
    TrackGroup,
    SyncGroup,
    GarpGroup,
    Instance,
    Authentication,
    AuthHmac,
    PeerLine,
    TrackLine,
    VrrpScript,
    VrrpCheck,
    TrackProcess,
    AddressLine,
    RouteLine,
    RuleLine,
    TrackFile,
    Ssl,
    ServerGroupLine,
    VirtualServer,
    RealServer,
    /// TCP_CHECK, PING_CHECK, and what all network checks share.
    NetCheck,
    /// Keywords of every kind of health check.
    AnyCheck,
    HttpCheck,
    Url,
    SmtpCheck,
    DnsCheck,
    MiscCheck,
    UdpCheck,
    FileCheck,
    BfdCheck,
    BfdInstance,
    /// Free names, one or more per line.
    Names,
}

/// The form of the words that follow a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The keyword stands alone.
    Flag,
    /// Nothing (true), or true/on/yes, false/off/no.
    Bool,
    /// A whole number, both bounds allowed.
    Int(i64, i64),
    /// The same, or nothing, which means the third number.
    OptInt(i64, i64, i64),
    /// 1..65535; nothing may follow the digits.
    Port,
    /// Seconds with up to six decimals; bounds in microseconds, both allowed.
    Secs(u64, u64),
    /// Milliseconds with up to three decimals; bounds in microseconds, both allowed.
    Millis(u64, u64),
    /// A whole number from minus to plus this, then `reverse` or `noreverse` or nothing.
    Weight(i32),
    /// One of these words, which the model has as an enum. Letter case counts except for transport protocols.
    Choice(&'static [&'static str]),
    /// One of these words, kept as text.
    OneOf(&'static [&'static str]),
    /// An IPv4 or IPv6 address without a prefix.
    Ip,
    /// One word of any content.
    Text,
    /// One word, or nothing, which means this one.
    OptText(&'static str),
    /// Words with a form of their own.
    Words,
    /// A command: both quotes group.
    Script,
    /// Keywords of that scope in braces.
    Block(Scope),
    /// One entry per line in braces.
    Entries(Scope),
}

/// What kalived does with a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It has the effect that the manual describes.
    Supported,
    /// Known, checked and kept, and without effect for good: the row says why, and so does a message.
    Never,
    /// Accepted without a message: kalived always behaves so, or it never had an effect.
    Always,
}

/// One row of the table: a keyword in one block.
#[derive(Debug)]
pub struct Keyword {
    /// The keyword as it stands in the file.
    pub name: &'static str,
    /// What follows, for the parser.
    pub form: Form,
    /// What kalived does with it.
    pub status: Status,
    /// The words that follow, as the manual shows them.
    pub args: &'static str,
    /// Default, for people; may be empty.
    pub default: &'static str,
    /// Limits that `form` does not say, for people; may be empty.
    pub range: &'static str,
    /// The description for the manual, one sentence or two.
    pub doc: &'static str,
}

const fn row(
    name: &'static str,
    form: Form,
    status: Status,
    args: &'static str,
    default: &'static str,
    range: &'static str,
    doc: &'static str,
) -> Keyword {
    Keyword { name, form, status, args, default, range, doc }
}

/// Words that were replaced, and by what. keepalived tells of the first group, too; the others are plain aliases.
const REPLACED: &[(Scope, &str, &str)] = &[
    (Scope::GlobalDefs, "lvs_process_name", "checker_process_name"),
    (Scope::GlobalDefs, "lvs_flush_onstop", "lvs_flush_on_stop"),
    (Scope::GlobalDefs, "vrrp_vmac_garp_intvl", "vrrp_garp_extra_if"),
    (Scope::GlobalDefs, "vrrp_rlimit_rtime", "vrrp_rlimit_rttime"),
    (Scope::GlobalDefs, "checker_rlimit_rtime", "checker_rlimit_rttime"),
    (Scope::GlobalDefs, "bfd_rlimit_rtime", "bfd_rlimit_rttime"),
    (Scope::GlobalDefs, "enable_snmp_keepalived", "enable_snmp_vrrp"),
    (Scope::Root, "vrrp_track_file", "track_file"),
    (Scope::SyncGroup, "global_tracking", "sync_group_tracking_weight"),
    (Scope::Instance, "linkbeat_use_polling", "linkbeat_interfaces"),
    (Scope::Instance, "lvs_sync_daemon_interface", "lvs_sync_daemon"),
    (Scope::Instance, "vmac_garp_intvl", "garp_extra_if"),
    (Scope::Instance, "thread_timer_expired", "timer_expired_backup"),
    (Scope::RouteLine, "gw", "via"),
    (Scope::RouteLine, "or", "nexthop"),
    (Scope::HttpCheck, "nb_get_retry", "retry"),
];

/// What to write instead of an old word.
pub fn replaced_by(scope: Scope, name: &str) -> Option<&'static str> {
    REPLACED.iter().find(|(s, n, _)| *s == scope && *n == name).map(|(_, _, by)| *by)
}

/// Words that hold for the life of the process: a reload keeps the old value.
const ONLY_AT_START: &[(Scope, &str)] = &[
    (Scope::Root, "net_namespace"),
    (Scope::Root, "net_namespace_ipvs"),
    (Scope::Root, "instance"),
    (Scope::Root, "use_pid_dir"),
    (Scope::Root, "namespace_with_ipsets"),
    (Scope::GlobalDefs, "nftables"),
    (Scope::GlobalDefs, "nftables_ipvs"),
    (Scope::GlobalDefs, "tmp_config_directory"),
    (Scope::GlobalDefs, "disable_local_igmp"),
    (Scope::GlobalDefs, "startup_script"),
    (Scope::GlobalDefs, "startup_script_timeout"),
    (Scope::GlobalDefs, "vrrp_startup_delay"),
    (Scope::GlobalDefs, "vrrp_delay_after_boot"),
    (Scope::GlobalDefs, "lvs_flush"),
    (Scope::GlobalDefs, "random_seed"),
];

/// Whether a reload applies a changed value.
pub fn applied_by_reload(scope: Scope, name: &str) -> bool {
    !ONLY_AT_START.iter().any(|(s, n)| *s == scope && *n == name)
}

/// Words that kalived adds: keepalived does not know them, and a file that uses one is kalived's.
const OWN: &[(Scope, &str)] = &[
    (Scope::Root, "vrrp_check"),
    (Scope::Instance, "track_check"),
    (Scope::SyncGroup, "track_check"),
    (Scope::Instance, "track_virtual_server"),
    (Scope::SyncGroup, "track_virtual_server"),
    (Scope::VirtualServer, "fast_interval"),
    (Scope::RealServer, "fast_interval"),
    (Scope::AnyCheck, "fast_interval"),
    (Scope::VirtualServer, "slow_start"),
    (Scope::VirtualServer, "on_down"),
    (Scope::VirtualServer, "panic_threshold"),
    (Scope::VirtualServer, "rise"),
    (Scope::RealServer, "rise"),
    (Scope::AnyCheck, "rise"),
    (Scope::HttpCheck, "verify"),
];

/// Whether keepalived does not know this keyword.
pub fn is_own(scope: Scope, name: &str) -> bool {
    scope == Scope::VrrpCheck || OWN.contains(&(scope, name))
}

/// Every keyword, one line each, tab separated: where it stands, the word, what follows, default, range, whether a reload
/// applies it, status, with "kalived only" for those that keepalived does not know. What `kalived --list-keywords` prints.
pub fn list() -> String {
    let mut out = String::from("scope\tkeyword\targuments\tdefault\trange\treload\tstatus\n");
    for &scope in Scope::ALL {
        for k in scope.rows() {
            let reload = if applied_by_reload(scope, k.name) { "yes" } else { "no" };
            let own = if is_own(scope, k.name) { ", kalived only" } else { "" };
            let status = format!("{}{own}", k.status.word());
            let line = [scope.title(), k.name, k.args, k.default, &k.limits(), reload, &status];
            let cell = |t: &&str| if t.is_empty() { "-" } else { *t }.to_owned();
            out += &line.iter().map(cell).collect::<Vec<_>>().join("\t");
            out.push('\n');
        }
    }
    out
}

impl Status {
    /// Whether kalived acts on it.
    pub fn has_effect(self) -> bool {
        matches!(self, Status::Supported | Status::Always)
    }
    /// The status in one or two words, for listings.
    pub fn word(self) -> &'static str {
        match self {
            Status::Supported => "works",
            Status::Never => "no effect",
            Status::Always => "accepted",
        }
    }
}

impl Keyword {
    /// The range for people: what the form says, then what the row adds.
    pub fn limits(&self) -> String {
        let form = self.form.limits();
        // A row that states the same range in its own words says more.
        match (form.is_empty(), self.range.is_empty()) {
            (_, true) => form,
            (true, _) => self.range.to_owned(),
            _ if self.range.contains("..") || self.range.contains(">=") => self.range.to_owned(),
            _ => format!("{form}; {}", self.range),
        }
    }
}

impl Form {
    /// The allowed values, for people; empty where anything goes.
    pub fn limits(self) -> String {
        match self {
            Form::Int(min, max) | Form::OptInt(min, max, _) => format!("{min}..{max}"),
            Form::Port => "1..65535".to_owned(),
            Form::Weight(max) => format!("-{max}..{max}"),
            Form::Secs(min, max) => format!("{}..{} seconds", decimal(min, 6), decimal(max, 6)),
            Form::Millis(min, max) => format!("{}..{} milliseconds", decimal(min, 3), decimal(max, 3)),
            Form::Choice(words) | Form::OneOf(words) => words.join(", "),
            _ => String::new(),
        }
    }
}

/// Microseconds in a unit of 10^`digits` of them, with as few decimals as needed.
pub fn decimal(us: u64, digits: u32) -> String {
    let unit = 10u64.pow(digits);
    let text = format!("{}.{:0width$}", us / unit, us % unit, width = digits as usize);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Scope {
    /// Every scope with rows of its own.
    pub const ALL: &'static [Scope] = &[
        Scope::Lexer,
        Scope::Root,
        Scope::GlobalDefs,
        Scope::Instance,
        Scope::Authentication,
        Scope::AddressLine,
        Scope::TrackLine,
        Scope::AuthHmac,
        Scope::PeerLine,
        Scope::SyncGroup,
        Scope::TrackGroup,
        Scope::GarpGroup,
        Scope::VrrpScript,
        Scope::VrrpCheck,
        Scope::TrackProcess,
        Scope::TrackFile,
        Scope::RouteLine,
        Scope::RuleLine,
        Scope::Ssl,
        Scope::ServerGroupLine,
        Scope::VirtualServer,
        Scope::RealServer,
        Scope::NetCheck,
        Scope::AnyCheck,
        Scope::HttpCheck,
        Scope::Url,
        Scope::SmtpCheck,
        Scope::DnsCheck,
        Scope::MiscCheck,
        Scope::UdpCheck,
        Scope::FileCheck,
        Scope::BfdCheck,
        Scope::BfdInstance,
    ];

    /// The rows of this scope alone.
    pub fn rows(self) -> &'static [Keyword] {
        match self {
            Scope::Lexer => lexer::LEXER,
            Scope::Root => root::ROOT,
            Scope::GlobalDefs => global::GLOBAL_DEFS,
            Scope::TrackGroup => root::TRACK_GROUP,
            Scope::SyncGroup => instance::SYNC_GROUP,
            Scope::GarpGroup => root::GARP_GROUP,
            Scope::Instance => instance::INSTANCE,
            Scope::Authentication => instance::AUTHENTICATION,
            Scope::AuthHmac => instance::AUTH_HMAC,
            Scope::PeerLine => instance::PEER_LINE,
            Scope::TrackLine => instance::TRACK_LINE,
            Scope::VrrpScript => root::VRRP_SCRIPT,
            Scope::VrrpCheck => root::VRRP_CHECK,
            Scope::TrackProcess => root::TRACK_PROCESS,
            Scope::AddressLine => lines::ADDRESS_LINE,
            Scope::RouteLine => lines::ROUTE_LINE,
            Scope::RuleLine => lines::RULE_LINE,
            Scope::TrackFile => root::TRACK_FILE,
            Scope::Ssl => root::SSL,
            Scope::ServerGroupLine => lines::SERVER_GROUP_LINE,
            Scope::VirtualServer => server::VIRTUAL_SERVER,
            Scope::RealServer => server::REAL_SERVER,
            Scope::NetCheck => server::NET_CHECK,
            Scope::AnyCheck => server::ANY_CHECK,
            Scope::HttpCheck => server::HTTP_CHECK,
            Scope::Url => server::URL,
            Scope::SmtpCheck => server::SMTP_CHECK,
            Scope::DnsCheck => server::DNS_CHECK,
            Scope::MiscCheck => server::MISC_CHECK,
            Scope::UdpCheck => server::UDP_CHECK,
            Scope::FileCheck => server::FILE_CHECK,
            Scope::BfdCheck => server::BFD_CHECK,
            Scope::BfdInstance => root::BFD_INSTANCE,
            Scope::Names => &[],
        }
    }

    /// This scope and those of all blocks in it, each once.
    pub fn within(self) -> Vec<Scope> {
        let mut all = vec![self];
        let mut at = 0;
        while let Some(scope) = all.get(at).copied() {
            let blocks = scope.rows().iter().filter_map(|k| match k.form {
                Form::Block(inner) => Some(inner),
                _ => None,
            });
            for inner in blocks.chain(scope.shared().iter().copied()) {
                if !all.contains(&inner) {
                    all.push(inner);
                }
            }
            at += 1;
        }
        all
    }

    /// The scopes whose rows also hold here.
    pub fn shared(self) -> &'static [Scope] {
        match self {
            Scope::HttpCheck | Scope::SmtpCheck | Scope::DnsCheck | Scope::UdpCheck => {
                &[Scope::NetCheck, Scope::AnyCheck]
            }
            Scope::NetCheck | Scope::MiscCheck => &[Scope::AnyCheck],
            _ => &[],
        }
    }

    /// The block, as people call it.
    pub fn title(self) -> &'static str {
        match self {
            Scope::Lexer => "the text",
            Scope::Root => "the top level",
            Scope::GlobalDefs => "global_defs",
            Scope::TrackGroup => "track_group",
            Scope::SyncGroup => "vrrp_sync_group",
            Scope::GarpGroup => "garp_group",
            Scope::Instance => "vrrp_instance",
            Scope::Authentication => "authentication",
            Scope::AuthHmac => "auth_hmac",
            Scope::PeerLine => "a line of unicast_peer",
            Scope::TrackLine => "a line of a track_ block",
            Scope::VrrpScript => "vrrp_script",
            Scope::VrrpCheck => "vrrp_check",
            Scope::TrackProcess => "vrrp_track_process",
            Scope::AddressLine => "an address line",
            Scope::RouteLine => "a route line",
            Scope::RuleLine => "a rule line",
            Scope::TrackFile => "track_file",
            Scope::Ssl => "SSL",
            Scope::ServerGroupLine => "a line of virtual_server_group",
            Scope::VirtualServer => "virtual_server",
            Scope::RealServer => "real_server",
            Scope::NetCheck => "a network check",
            Scope::AnyCheck => "a check",
            Scope::HttpCheck => "HTTP_GET or SSL_GET",
            Scope::Url => "url",
            Scope::SmtpCheck => "SMTP_CHECK",
            Scope::DnsCheck => "DNS_CHECK",
            Scope::MiscCheck => "MISC_CHECK",
            Scope::UdpCheck => "UDP_CHECK",
            Scope::FileCheck => "FILE_CHECK",
            Scope::BfdCheck => "BFD_CHECK",
            Scope::BfdInstance => "bfd_instance",
            Scope::Names => "a list of names",
        }
    }

    /// Whether the words here stand inside a line, not at its start.
    pub fn in_line(self) -> bool {
        matches!(
            self,
            Scope::Lexer
                | Scope::PeerLine
                | Scope::TrackLine
                | Scope::AddressLine
                | Scope::RouteLine
                | Scope::RuleLine
                | Scope::ServerGroupLine
        )
    }
}

/// Words that start a block of the top level and nothing else: inside another block they prove a missing brace.
pub fn only_at_root(name: &str) -> bool {
    matches!(
        name,
        "global_defs"
            | "static_ipaddress"
            | "static_routes"
            | "static_rules"
            | "vrrp_sync_group"
            | "garp_group"
            | "linkbeat_interfaces"
            | "vrrp_instance"
            | "vrrp_script"
            | "vrrp_check"
            | "vrrp_track_process"
            | "vrrp_track_file"
            | "interface_up_down_delays"
            | "virtual_server_group"
            | "virtual_server"
            | "bfd_instance"
            | "SSL"
    )
}

/// Words after which both quotes group, whatever the scope.
pub fn takes_script(name: &str) -> bool {
    matches!(
        name,
        "script"
            | "notify"
            | "notify_backup"
            | "notify_master"
            | "notify_fault"
            | "notify_stop"
            | "notify_deleted"
            | "notify_master_rx_lower_pri"
            | "notify_up"
            | "notify_down"
            | "quorum_up"
            | "quorum_down"
            | "misc_path"
            | "startup_script"
            | "shutdown_script"
            | "notify_fifo_script"
            | "vrrp_notify_fifo_script"
            | "lvs_notify_fifo_script"
            | "regex"
            | "regex_no_match"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn rows_are_sorted_and_unique() {
        for &scope in Scope::ALL {
            let rows = scope.rows();
            assert!(!rows.is_empty(), "{scope:?}");
            for pair in rows.windows(2) {
                assert!(
                    pair[0].name.as_bytes() < pair[1].name.as_bytes(),
                    "{scope:?}: {} {}",
                    pair[0].name,
                    pair[1].name
                );
            }
        }
    }
    #[test]
    fn the_list_of_script_words_is_the_table_s() {
        let table: BTreeSet<&str> =
            Scope::ALL.iter().flat_map(|s| s.rows()).filter(|k| k.form == Form::Script).map(|k| k.name).collect();
        assert!(table.iter().all(|n| takes_script(n)), "{table:?}");
        assert_eq!(table.len(), 20, "{table:?}");
    }
    #[test]
    fn words_of_the_top_level_stand_nowhere_else() {
        let mut seen = 0;
        for &scope in Scope::ALL.iter().filter(|s| !s.in_line()) {
            for k in scope.rows().iter().filter(|k| only_at_root(k.name)) {
                assert_eq!(scope, Scope::Root, "{}", k.name);
                assert!(matches!(k.form, Form::Block(_) | Form::Entries(_)), "{}", k.name);
                seen += 1;
            }
        }
        assert_eq!(seen, 17);
    }
}
