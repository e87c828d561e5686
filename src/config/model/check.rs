//! Health checks of a real server, as the file has them. A setting that is left out is `None`: then that of the real server counts, then
//! that of the virtual server, then the default of the kind of check, as with keepalived (kalived.conf(5)); `lvs/check/spec.rs` resolves
//! this. Read first: `setting.rs`.

use super::setting::{Script, Weight, block, choice};
use core::net::IpAddr;
use core::time::Duration;
use serde::{Deserialize, Serialize};

choice! {
    /// Version of a request; `C`: with `Connection: close`.
    pub enum HttpProtocol { V10 = "1.0", V10C = "1.0C", V10c = "1.0c", V11 = "1.1" }
}

choice! {
    /// Type of a query.
    pub enum DnsType {
        A = "A", Ns = "NS", Cname = "CNAME", Soa = "SOA", Mx = "MX", Txt = "TXT", Aaaa = "AAAA", Rrsig = "RRSIG",
        Dnskey = "DNSKEY",
    }
}

block! {
    /// What all checks share, and real and virtual servers give as defaults.
    pub struct Pace {
        pub retry: Option<u32> => "retry" | "nb_get_retry",
        pub rise: Option<u32> => "rise",
        pub delay_before_retry: Option<Duration> => "delay_before_retry",
        pub fast_interval: Option<Duration> => "fast_interval",
        pub warmup: Option<Duration> => "warmup",
        pub delay_loop: Option<Duration> => "delay_loop",
        pub alpha: Option<bool> => "alpha",
        pub log_all_failures: Option<bool> => "log_all_failures",
    }
}

block! {
    /// Destination and source of a network check.
    pub struct Target {
        pub connect_ip: Option<IpAddr> => "connect_ip",
        pub connect_port: Option<u16> => "connect_port",
        pub bindto: Option<IpAddr> => "bindto",
        pub bind_port: Option<u16> => "bind_port",
        pub bind_if: Option<Box<str>> => "bind_if",
        pub connect_timeout: Option<Duration> => "connect_timeout",
        pub fwmark: u32 => "fwmark",
    }
}

/// One health check of a `real_server`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Intervals, retries and successes.
    pub pace: Pace,
    /// Destination and source; not used by MISC_CHECK, FILE_CHECK and BFD_CHECK.
    pub target: Target,
    /// The kind, with the settings of that kind.
    pub kind: CheckKind,
}

/// The kinds of checks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // each is the block of that name
pub enum CheckKind {
    #[default]
    Tcp,
    Ping,
    Udp(Box<UdpCheck>),
    Smtp(Box<SmtpCheck>),
    Dns(Box<DnsCheck>),
    Http(Box<HttpCheck>),
    Ssl(Box<HttpCheck>),
    Misc(Box<MiscCheck>),
    File(Box<FileCheck>),
    Bfd(Box<BfdCheck>),
}

block! {
    /// `HTTP_GET` or `SSL_GET`: the pages of a web server.
    pub struct HttpCheck {
        pub virtualhost: Option<Box<str>> => "virtualhost",
        pub http_protocol: HttpProtocol = HttpProtocol::V10 => "http_protocol",
        pub enable_sni: bool => "enable_sni",
        pub fast_recovery: bool => "fast_recovery",
        pub tls_compliant: bool => "tls_compliant",
        pub verify: bool => "verify",
        /// The `url` blocks, requested in turn; at least one.
        pub urls: Vec<Url>,
    }
}

block! {
    /// One `url` of an HTTP_GET or SSL_GET: a page that must be answered as required.
    pub struct Url {
        pub path: Option<Box<str>> => "path",
        /// `digest`: MD5 of the body.
        pub digest: Option<[u8; 16]>,
        /// `status_code`: ranges, both ends allowed; empty: 200..=299.
        pub status: Vec<(u16, u16)>,
        pub virtualhost: Option<Box<str>> => "virtualhost",
        /// `regex`, `regex_no_match` and what goes with them.
        pub regex: Option<Box<Regex>>,
        pub tls_compliant: Option<bool> => "tls_compliant",
    }
}

block! {
    /// What the body must or must not match.
    pub struct Regex {
        /// The pattern, in the syntax of PCRE2; `None`: the body is not compared.
        pub pattern: Option<Box<str>>,
        /// `regex_no_match`: it must not match.
        pub no_match: bool,
        /// `regex_options`: names of PCRE2 options.
        pub options: Vec<Box<str>>,
        pub min_offset: Option<u32> => "regex_min_offset",
        pub max_offset: Option<u32> => "regex_max_offset",
        /// `regex_stack`: first and largest size in bytes.
        pub stack: Option<(u32, u32)>,
    }
}

block! {
    /// `SMTP_CHECK`: a dialogue with a mail server.
    pub struct SmtpCheck {
        pub helo_name: Option<Box<str>> => "helo_name",
        /// `host` blocks: more targets.
        pub hosts: Vec<Target>,
    }
}

block! {
    /// `DNS_CHECK`: a query for `name` of the type `query`, by default SOA.
    pub struct DnsCheck {
        /// `name`; empty: the root.
        pub name: Box<str>,
        pub query: DnsType = DnsType::Soa => "type",
    }
}

block! {
    /// `MISC_CHECK`: a command whose exit status is the result.
    pub struct MiscCheck {
        pub misc_path: Option<Box<Script>> => "misc_path",
        pub misc_timeout: Option<Duration> => "misc_timeout",
        pub misc_dynamic: bool => "misc_dynamic",
    }
}

block! {
    /// `UDP_CHECK`: a datagram, and what its reply must be.
    pub struct UdpCheck {
        /// `payload`; `None`: 32 bytes of text.
        pub payload: Option<Vec<u8>>,
        /// `require_reply`: the first bytes of the reply, each with a mask of the bits that are compared; empty: any reply.
        pub require_reply: Option<Vec<(u8, u8)>>,
        pub min_reply_length: u16 => "min_reply_length",
        pub max_reply_length: u16 = 255 => "max_reply_length",
    }
}

block! {
    /// `FILE_CHECK`: the name of a `track_file`, and how its number counts.
    pub struct FileCheck {
        pub track_file: Option<Box<str>> => "track_file",
        pub weight: Option<Weight> => "weight",
    }
}

block! {
    /// `BFD_CHECK`: a BFD session, by the name of its `bfd_instance`.
    pub struct BfdCheck {
        pub name: Option<Box<str>> => "name",
    }
}
