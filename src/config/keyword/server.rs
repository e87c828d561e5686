//! Keyword rows: `virtual_server` and its checks.
//! Sorted by name within a scope (tested). Read first: `mod.rs`.

use super::Form::*;
use super::Status::*;
use super::{Keyword, Scope, row};
use crate::config::model::check::{DnsType, HttpProtocol};
use crate::config::model::lvs::{IpFamily, Protocol, Scheduler};

#[rustfmt::skip]
pub(super) const VIRTUAL_SERVER: &[Keyword] = &[
    row("alpha", Flag, Supported, "", "off", "",
        "RS start down until a check succeeds."),
    row("connect_timeout", Secs(1, 4_294_967_295_000_000), Supported, "<secs>", "5", ">=1 us",
        "Inherited by checkers."),
    row("delay_before_retry", Secs(0, 4_294_967_295_000_000), Supported, "<secs>", "1", "decimal",
        "Retry spacing inherited by checkers."),
    row("delay_loop", Secs(1, 4_294_967_295_000_000), Supported, "<secs>", "60", ">=1 us decimal",
        "Interval between checks."),
    row("flag-1", Flag, Supported, "", "off", "",
        "Raw IPVS scheduler flag 1."),
    row("flag-2", Flag, Supported, "", "off", "",
        "Raw IPVS scheduler flag 2."),
    row("flag-3", Flag, Supported, "", "off", "",
        "Raw IPVS scheduler flag 3."),
    row("ha_suspend", Flag, Supported, "", "off", "not with group/fwmark",
        "Suspend checks while the VS address is not on this host."),
    row("hashed", Flag, Always, "", "off", "error unless scheduler is sh/mh (then silently ignored)",
        "Legacy scheduler flag, sets nothing."),
    row("hysteresis", Int(0, 4_294_967_295), Supported, "<n>", "0", ">=quorum -> quorum-1",
        "Margin around quorum."),
    row("inhibit_on_failure", Flag, Supported, "", "off", "",
        "On failure set weight 0 instead of removing the RS."),
    row("ip_family", Choice(IpFamily::WORDS), Supported, "inet|inet6", "from address", "conflict reported",
        "Family of a fwmark service."),
    row("lb_algo", Choice(Scheduler::WORDS), Supported, "rr|wrr|lc|wlc|lblc|lblcr|sh|mh|dh|fo|ovf|sed|nq|twos", "wlc (with error)", "unknown reported",
        "Scheduler."),
    row("lb_kind", Words, Supported, "NAT|DR|TUN [type {ipip|gue port <n> [nocsum|csum|remcsum]|gre [nocsum|csum]}]", "NAT (with error)", "gue port 1..65535; unknown reported",
        "Forwarding method."),
    row("lvs_method", Words, Supported, "NAT|DR|TUN [type {ipip|gue port <n> [nocsum|csum|remcsum]|gre [nocsum|csum]}]", "NAT", "",
        "Alias of lb_kind."),
    row("lvs_sched", Choice(Scheduler::WORDS), Supported, "rr|wrr|lc|wlc|lblc|lblcr|sh|mh|dh|fo|ovf|sed|nq|twos", "wlc", "",
        "Alias of lb_algo."),
    row("mh-fallback", Flag, Supported, "", "off", "must follow lb_algo mh; ignored for sh, else error",
        "Fallback (mh)."),
    row("mh-port", Flag, Supported, "", "off", "must follow lb_algo mh; ignored for sh, else error",
        "Hash includes port (mh)."),
    row("omega", Flag, Supported, "", "off", "",
        "Run down notifies on shutdown."),
    row("ops", Flag, Supported, "", "off", "UDP only, else error",
        "One-packet scheduling."),
    row("persistence_engine", Text, Supported, "<name> e.g. sip", "none", "too long truncated with error; not otherwise checked",
        "IPVS persistence engine name."),
    row("persistence_granularity", Words, Supported, "<v4 netmask>|<v6 prefix 1..128>", "/32 or /128", "bad ignored; sets timeout 360 if unset; family guessed from a dot if VS family unknown",
        "Affinity mask; non-contiguous v4 mask accepted."),
    row("persistence_timeout", OptInt(1, 2_678_400, 360), Supported, "[<1..2678400>]", "0; bare = 360", "out of range reported",
        "Seconds of client affinity."),
    row("protocol", Choice(Protocol::WORDS), Supported, "TCP|UDP|SCTP", "UDP with error", "case-insensitive; unknown reported; fwmark services reset to none with warning",
        "Transport; missing means UDP, not TCP."),
    row("quorum", Int(1, 4_294_967_295), Supported, "<n>", "1", ">=1; above sum of weights -> reduced with error",
        "Total RS weight needed for the service."),
    row("quorum_down", Script, Supported, "<cmd> [<user> [<group>]]", "none", "insecure/absent disabled",
        "Run when quorum lost."),
    row("quorum_up", Script, Supported, "<cmd> [<user> [<group>]]", "none", "insecure/absent disabled",
        "Run when quorum gained."),
    row("real_server", Block(Scope::RealServer), Supported, "<ip> [<port>] { ... }", "", "family mismatch or duplicate -> dropped",
        "Pool member; port 0/omitted = VS port; DR/TUN port forced to VS port."),
    row("retry", Int(1, 4_294_967_295), Supported, "<n>", "1", "1..UINT32 else ignored",
        "Retry count inherited by checkers."),
    row("sh-fallback", Flag, Supported, "", "off", "must follow lb_algo sh; ignored for mh, else error",
        "Fall to another RS when hashed one unavailable (sh)."),
    row("sh-port", Flag, Supported, "", "off", "must follow lb_algo sh; ignored for mh, else error",
        "Hash includes port (sh)."),
    row("smtp_alert", Bool, Supported, "[<BOOL>]", "global", "",
        "Mail quorum changes."),
    row("snmp_name", Text, NoEffect, "<string>", "none", "",
        "Label in SNMP output."),
    row("sorry_server", Words, Supported, "<ip> [<port>]", "none", "family mismatch -> dropped",
        "Used when quorum lost; takes lb_kind as parsed so far."),
    row("sorry_server_inhibit", Flag, Supported, "", "off", "must follow sorry_server",
        "Inhibit behaviour for the sorry server."),
    row("sorry_server_lvs_method", Words, Supported, "NAT|DR|TUN [type {ipip|gue port <n> [nocsum|csum|remcsum]|gre [nocsum|csum]}]", "VS method", "must follow sorry_server",
        "Forwarding for sorry server."),
    row("virtualhost", Text, Supported, "<name>", "none", "",
        "Default Host header and (not for SNI precedence) name."),
    row("warmup", Secs(0, 4_294_967_295_000_000), Supported, "<secs>", "= delay_loop", "decimal",
        "Upper bound of random initial check delay."),
    row("weight", Int(1, 2_147_483_647), Supported, "<n>", "1", "1..INT32_MAX",
        "Default weight of RS."),
];

#[rustfmt::skip]
pub(super) const REAL_SERVER: &[Keyword] = &[
    row("BFD_CHECK", Block(Scope::BfdCheck), Withheld, "{ ... }", "", "repeatable; all checkers must pass; block optional pieces in child rows",
        "BFD session state; see matching block."),
    row("DNS_CHECK", Block(Scope::DnsCheck), Supported, "{ ... }", "", "repeatable; all checkers must pass; block optional pieces in child rows",
        "DNS query; see matching block."),
    row("FILE_CHECK", Block(Scope::FileCheck), Supported, "{ ... }", "", "repeatable; all checkers must pass; block optional pieces in child rows",
        "Track file value; see matching block."),
    row("HTTP_GET", Block(Scope::HttpCheck), Supported, "{ ... }", "", "repeatable; all checkers must pass; block optional pieces in child rows",
        "HTTP content check; see matching block."),
    row("MISC_CHECK", Block(Scope::MiscCheck), Supported, "{ ... }", "", "repeatable; all checkers must pass; block optional pieces in child rows",
        "Script; see matching block."),
    row("PING_CHECK", Block(Scope::NetCheck), Supported, "{ ... }", "", "repeatable; all checkers must pass; block optional pieces in child rows",
        "ICMP echo; see matching block."),
    row("SMTP_CHECK", Block(Scope::SmtpCheck), Supported, "{ ... }", "", "repeatable; all checkers must pass; block optional pieces in child rows",
        "SMTP banner+HELO; see matching block."),
    row("SSL_GET", Block(Scope::HttpCheck), Supported, "{ ... }", "", "repeatable; all checkers must pass; block optional pieces in child rows",
        "HTTPS content check; see matching block."),
    row("TCP_CHECK", Block(Scope::NetCheck), Supported, "{ ... }", "", "repeatable; all checkers must pass; block optional pieces in child rows",
        "TCP connect; see matching block."),
    row("UDP_CHECK", Block(Scope::UdpCheck), Supported, "{ ... }", "", "repeatable; all checkers must pass; block optional pieces in child rows",
        "UDP probe; see matching block."),
    row("alpha", Bool, Supported, "[<BOOL>]", "VS value", "",
        "Start down."),
    row("connect_timeout", Secs(1, 4_294_967_295_000_000), Supported, "<secs>", "VS value", ">=1 us",
        "Connect timeout."),
    row("delay_before_retry", Secs(0, 4_294_967_295_000_000), Supported, "<secs>", "VS value", "decimal",
        "Retry spacing."),
    row("delay_loop", Secs(1, 4_294_967_295_000_000), Supported, "<secs>", "VS value", ">=1 us",
        "Interval."),
    row("inhibit_on_failure", Bool, Supported, "[<BOOL>]", "VS value", "",
        "Weight 0 on failure."),
    row("lthreshold", Int(0, 4_294_967_295), Supported, "<n>", "0", "0..UINT_MAX",
        "Lower connection limit."),
    row("lvs_method", Words, Supported, "NAT|DR|TUN [type {ipip|gue port <n> [nocsum|csum|remcsum]|gre [nocsum|csum]}]", "VS method", "",
        "Per RS forwarding."),
    row("notify_down", Script, Supported, "<cmd> [<user> [<group>]]", "none", "insecure/absent disabled",
        "Run when RS removed."),
    row("notify_up", Script, Supported, "<cmd> [<user> [<group>]]", "none", "insecure/absent disabled",
        "Run when RS added to pool."),
    row("retry", Int(1, 4_294_967_295), Supported, "<n>", "VS value", "1..UINT32",
        "Retry count."),
    row("smtp_alert", Bool, Supported, "[<BOOL>]", "global, else TRUE", "",
        "Mail RS changes; default is true unlike all others."),
    row("snmp_name", Text, NoEffect, "<string>", "none", "",
        "Label in SNMP output."),
    row("uthreshold", Int(0, 4_294_967_295), Supported, "<n>", "0", "0..UINT_MAX",
        "Upper connection limit."),
    row("virtualhost", Text, Supported, "<name>", "VS value", "",
        "Host header / fallback for SNI."),
    row("warmup", Secs(0, 4_294_967_295_000_000), Supported, "<secs>", "VS value", "decimal",
        "Initial spread."),
    row("weight", Int(0, 2_147_483_647), Supported, "<0..INT32_MAX>", "VS weight (1)", "out of range ignored",
        "LVS weight."),
];

#[rustfmt::skip]
pub(super) const NET_CHECK: &[Keyword] = &[
    row("bind_if", Text, Supported, "<if>", "none", "an unknown name is reported",
        "Source interface."),
    row("bind_port", Port, Supported, "<1..65535>", "none", "",
        "Source port."),
    row("bindto", Ip, Supported, "<ip>", "none", "an address of another family is reported",
        "Source address."),
    row("connect_ip", Ip, Supported, "<ip>", "RS address", "bad reported",
        "Check this host instead of the RS."),
    row("connect_port", Port, Supported, "<1..65535>", "RS port", "bad reported",
        "Check this port."),
    row("connect_timeout", Secs(1, 4_294_967_295_000_000), Supported, "<secs>", "RS/VS value (5)", ">=1 us",
        "Connect and reply timeout."),
    row("fwmark", Int(0, 4_294_967_295), Supported, "<0..UINT32>", "0", "",
        "SO_MARK of the check."),
];

#[rustfmt::skip]
pub(super) const ANY_CHECK: &[Keyword] = &[
    row("alpha", Bool, Supported, "[<BOOL>]", "inherited", "",
        "Checker starts failed."),
    row("delay_before_retry", Secs(0, 4_294_967_295_000_000), Supported, "<secs>", "1; HTTP/SSL 3; DNS delay_loop", "decimal >=0",
        "Spacing while retrying."),
    row("delay_loop", Secs(1, 4_294_967_295_000_000), Supported, "<secs>", "inherited (60)", ">=1 us",
        "Interval of this checker."),
    row("log_all_failures", Bool, Supported, "[<BOOL>]", "global", "",
        "Log every failed attempt."),
    row("retry", Int(0, 4_294_967_295), Supported, "<n>", "1; MISC_CHECK 0; DNS_CHECK 3; inherited", "0..UINT_MAX",
        "Failures tolerated before down; down after retry+1."),
    row("warmup", Secs(0, 4_294_967_295_000_000), Supported, "<secs>", "inherited", ">=0",
        "Random initial delay 0..warmup."),
];

#[rustfmt::skip]
pub(super) const HTTP_CHECK: &[Keyword] = &[
    row("enable_sni", Bool, Always, "[<BOOL>]", "off", "",
        "Accepted. SSL_GET always sends the virtualhost of the url, the check or the virtual server as the name of the server."),
    row("fast_recovery", Bool, Supported, "[<BOOL>]", "off", "",
        "No wait between attempts before first result and while proving recovery."),
    row("http_protocol", Choice(HttpProtocol::WORDS), Supported, "1.0|1.0C|1.0c|1.1", "1.0 with no Connection header (see behaviour)", "unknown reported",
        "Request version; C sends Connection: close with 1.0."),
    row("nb_get_retry", Int(0, 4_294_967_295), Supported, "<n>", "1", "reported as deprecated",
        "Deprecated alias of retry."),
    row("tls_compliant", Bool, NoEffect, "[<BOOL>]", "off", "",
        "SSL_GET: send a proper close_notify instead of quiet shutdown (2.2.8)."),
    row("url", Block(Scope::Url), Supported, "{ ... }", ">=1 needed, else checker removed", "",
        "One page to test."),
    row("virtualhost", Text, Supported, "<name>", "RS/VS value", "",
        "Host header for the check."),
];

#[rustfmt::skip]
pub(super) const URL: &[Keyword] = &[
    row("digest", Words, Supported, "<32 hex>", "none", "not 32 hex digits -> error, ignored",
        "MD5 of body; see genhash."),
    row("path", Text, Supported, "<path>", "required", "missing -> url removed",
        "Request target, sent verbatim."),
    row("regex", Script, Supported, "\"<pcre2>\"", "none", "compile failure reported; url kept without usable regex",
        "Body must match; needs PCRE2 build."),
    row("regex_max_offset", Int(0, 4_294_967_295), Supported, "<n>", "none", "min >= max -> both dropped",
        "Last position where a match may start."),
    row("regex_min_offset", Int(0, 4_294_967_295), Supported, "<n>", "0", "",
        "Match must start at or after."),
    row("regex_no_match", Script, Supported, "\"<pcre2>\"", "none", "",
        "Body must not match."),
    row("regex_options", Words, Supported, "<names>", "none", "24 names: allow_empty_class alt_bsux auto_callout caseless dollar_endonly dotall dupnames extended firstline match_unset_backref multiline never_ucp never_utf no_auto_capture no_auto_possess no_dotstar_anchor no_start_optimize ucp ungreedy utf never_backslash_c alt_circumflex alt_verbnames use_offset_limit",
        "PCRE2 compile options; unknown names silently ignored."),
    row("regex_stack", Words, NoEffect, "<start> <max>", "none", "start<=max",
        "PCRE2 JIT stack bytes."),
    row("status_code", Words, Supported, "<n>|<a>-<b> ...", "200-299", "100..599; bad word reported, others kept",
        "Accepted status codes, several ranges allowed."),
    row("tls_compliant", Bool, NoEffect, "[<BOOL>]", "checker value", "",
        "SSL_GET per url."),
    row("virtualhost", Text, Supported, "<name>", "checker value", "",
        "Host for this url; highest precedence."),
];

#[rustfmt::skip]
pub(super) const SMTP_CHECK: &[Keyword] = &[
    row("helo_name", Text, Supported, "<name>", "smtp_helo_name", "",
        "HELO argument."),
    row("host", Block(Scope::NetCheck), Supported, "{ <common keywords> }", "RS", "reported as deprecated in favour of multiple checks",
        "Alternate target block."),
];

#[rustfmt::skip]
pub(super) const DNS_CHECK: &[Keyword] = &[
    row("name", Text, Supported, "<domain>", "\"\" (root)", "empty label or second name reported, ignored",
        "Query name."),
    row("type", Choice(DnsType::WORDS), Supported, "A|NS|CNAME|SOA|MX|TXT|AAAA|RRSIG|DNSKEY", "SOA", "unknown reported, SOA kept",
        "Query type."),
];

#[rustfmt::skip]
pub(super) const MISC_CHECK: &[Keyword] = &[
    row("misc_dynamic", Flag, Supported, "", "off", "",
        "Exit 2-255 counts as success and moves RS weight by (code-2-configured weight)."),
    row("misc_path", Script, Supported, "<cmd>", "required", "missing -> checker removed",
        "Script to run."),
    row("misc_timeout", Secs(0, 4_294_000_000), Supported, "<secs>", "VS delay_loop", "0..4294",
        "Kill time (not the checker delay_loop)."),
    row("user", Words, Supported, "<user> [<group>]", "script_user", "unknown -> checker removed",
        "Run as."),
];

#[rustfmt::skip]
pub(super) const UDP_CHECK: &[Keyword] = &[
    row("max_reply_length", Int(0, 65_535), Supported, "<0..65535>", "255", "bad ignored",
        "Maximum reply length."),
    row("min_reply_length", Int(0, 65_535), Supported, "<0..65535>", "0", "bad ignored",
        "Minimum reply length."),
    row("payload", Words, Supported, "<hex>", "fixed 32 byte text", "odd/bad hex reported",
        "Datagram to send."),
    row("require_reply", Words, Supported, "[<hex, x = any nibble>]", "off", "bad hex reported",
        "A reply is required, optionally with this content."),
];

#[rustfmt::skip]
pub(super) const FILE_CHECK: &[Keyword] = &[
    row("track_file", Text, Supported, "<name>", "required", "unknown -> checker removed",
        "Root track_file to follow."),
    row("weight", Weight(2_147_483_647), Supported, "<-2147483647..2147483647> [reverse|noreverse]", "file weight", "out of range ignored",
        "Multiplier of file value applied to RS weight."),
];

#[rustfmt::skip]
pub(super) const BFD_CHECK: &[Keyword] = &[
    row("alpha", Bool, NoEffect, "[<BOOL>]", "inherited", "",
        "Start failed."),
    row("name", Text, NoEffect, "<bfd_instance>", "required", "unknown -> checker removed",
        "Session to follow."),
];
