//! The complete specification of a health check: the settings of its block, and those that it inherits from its real server, its virtual
//! server and its kind.
//!
//! Read first: `config/model/check.rs`. Two checks with equal specifications are carried out once.

use super::pattern::Pattern;
use crate::config::model::Config;
use crate::config::model::check::{Check, CheckKind, DnsType, HttpCheck, HttpProtocol, Target, Url};
use crate::config::model::lvs::{RealServer, VirtualServer};
use crate::config::model::setting::{Ready, Weight};
use crate::effect::SpawnSpec;
use crate::time::Duration;
use core::net::{IpAddr, SocketAddr};
use md5::{Digest, Md5};
use std::sync::Arc;

/// `delay_loop` where none is written.
pub const INTERVAL: Duration = Duration::from_secs(60);
/// `connect_timeout` where none is written.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// Shortest interval, whatever the file says: there is no loop without a pause.
const LEAST: Duration = Duration::from_millis(1);

/// A health check with every setting resolved.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CheckSpec {
    /// The real server that it checks; its destination may be another address.
    pub backend: SocketAddr,
    /// The times; shared by the checks with equal ones.
    pub pace: Arc<Pace>,
    /// The source of its packets; shared, too.
    pub source: Arc<Source>,
    /// The kind of check, with its parameters.
    pub what: What,
    /// `log_all_failures`: each failure is a line, not only the one that counts.
    pub log_all: bool,
}

/// When a check is carried out.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Pace {
    /// `delay_loop`: from one start to the next.
    pub interval: Duration,
    /// `delay_before_retry`: from a failure that does not count yet to the next start.
    pub retry_delay: Duration,
    /// `retry`: so many failures in a row do not count yet.
    pub retries: u32,
    /// `rise`: so many successes in a row bring back what is down.
    #[serde(default = "one")]
    pub rise: u32,
    /// `warmup`: the first start is within this time.
    pub warmup: Duration,
    /// `fast_interval`: from one start to the next while a result may change the verdict.
    #[serde(default)]
    pub fast: Option<Duration>,
    /// `connect_timeout`: for the whole look, from its start to its last byte.
    pub timeout: Duration,
}

/// The source of a check's packets.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Source {
    /// `bindto`, `bind_port`; port 0: any.
    pub addr: Option<SocketAddr>,
    /// `bind_if`: the interface that the packets leave by; `None`: the routes decide.
    pub device: Option<Box<str>>,
    /// `fwmark`; 0: none.
    pub mark: u32,
}

/// The kind of a check, with its parameters.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum What {
    /// `TCP_CHECK`: the connection to this address succeeds.
    Tcp(SocketAddr),
    /// `HTTP_GET` or `SSL_GET`: each page is answered as required.
    Http(Box<Http>),
    /// `SMTP_CHECK`: the server greets and answers `HELO`.
    Smtp {
        /// The server's address and port, or those of `connect_ip` and `connect_port`.
        to: SocketAddr,
        /// Argument of `HELO`.
        helo: Box<str>,
    },
    /// `DNS_CHECK`: the server answers a query.
    Dns {
        /// The server's address and port, or those of `connect_ip` and `connect_port`.
        to: SocketAddr,
        /// Empty: the root.
        name: Box<str>,
        /// The type of the record that is asked for.
        query: DnsType,
    },
    /// `UDP_CHECK`: a datagram is answered, or at least not refused by ICMP.
    Udp {
        /// The server's address and port, or those of `connect_ip` and `connect_port`.
        to: SocketAddr,
        /// The payload of the datagram.
        payload: Box<[u8]>,
        /// `None`: silence is a success too. Bytes and which of their bits count.
        reply: Option<Vec<(u8, u8)>>,
        /// Shortest and longest reply.
        length: (u16, u16),
    },
    /// `PING_CHECK`: this address answers an ICMP echo request.
    Ping(IpAddr),
    /// `MISC_CHECK`: the exit status of a program.
    Misc {
        /// The program, its arguments and its user.
        program: Box<SpawnSpec>,
        /// `misc_dynamic`: an exit status of 2..=255 also sets the weight.
        dynamic: bool,
    },
    /// `FILE_CHECK`: the number in a `track_file`.
    File {
        /// Name of the `track_file`.
        name: Box<str>,
        /// What is watched; `None`: its number is 0.
        path: Option<Box<str>>,
        /// What its number is multiplied with.
        weight: Weight,
    },
    /// It cannot be done, and why: it has failed from the start.
    Never(Box<str>),
    /// `BFD_CHECK`: the name of the `bfd_instance` that it follows.
    Bfd(Box<str>),
}

/// `HTTP_GET`, `SSL_GET`: the server and the pages that are requested of it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Http {
    /// The server's address and port, or those of `connect_ip` and `connect_port`.
    pub to: SocketAddr,
    /// `SSL_GET`: requests travel over TLS 1.2 or 1.3.
    pub tls: bool,
    /// `verify`: the certificate of the server is verified; always false without TLS.
    #[serde(default)]
    pub verify: bool,
    /// `fast_recovery`: no wait between two requests before the first result, and while a recovery is being proven.
    pub fast_recovery: bool,
    /// At least one; asked for in turn.
    pub pages: Vec<Page>,
}

/// One page of a web server.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Page {
    /// The path of the page, for messages.
    pub path: Box<str>,
    /// The whole request, headers and final empty line included.
    pub request: Box<str>,
    /// `SSL_GET`: the name that is asked for in the handshake.
    pub sni: Option<Box<str>>,
    /// `tls_compliant`: the end of the connection is announced with `close_notify`.
    #[serde(default)]
    pub compliant: bool,
    /// Ranges of what is a success.
    pub status: Vec<(u16, u16)>,
    /// MD5 of the body.
    pub digest: Option<[u8; 16]>,
    /// What the body must or must not match.
    pub regex: Option<Box<Pattern>>,
}

fn one() -> u32 {
    1
}

/// Postcard writes into memory and can encode every type that is used here.
fn encoded<T: serde::Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).unwrap_or_default()
}

impl CheckSpec {
    /// A hash of this specification: the same in every process for equal ones. It is no secret and is never compared with hostile input.
    pub fn digest(&self) -> [u8; 16] {
        let CheckSpec { backend, pace, source, what, log_all } = self;
        let Pace { interval, retry_delay, retries, rise, warmup, fast, timeout } = &**pace;
        // Snapshots of releases without `fast_interval` name their checks by a digest without it: where it is not used it is left out.
        let fast = fast.map_or_else(Vec::new, |fast| encoded(&Some(fast)));
        let pace = encoded(&(interval, retry_delay, retries, rise, warmup));
        let all = [encoded(backend), pace, fast, encoded(timeout), encoded(&(source, what, log_all))];
        Md5::digest(all.concat()).into()
    }

    /// What is equal in both is held once from now on: there are tens of thousands of checks, of few kinds.
    pub(in crate::lvs) fn share(&mut self, other: &CheckSpec) {
        if self.pace == other.pace {
            self.pace = other.pace.clone();
        }
        if self.source == other.source {
            self.source = other.source.clone();
        }
    }

    /// The specifications of a check in the file; more than one for the old form of SMTP_CHECK with several hosts.
    pub fn of(config: &Config, vs: &VirtualServer, rs: &RealServer, check: &Check) -> Vec<CheckSpec> {
        let paces = [&check.pace, &rs.pace, &vs.pace];
        let log_all =
            paces.iter().find_map(|p| p.log_all_failures).unwrap_or(config.global.more.checker_log_all_failures);
        let backend = SocketAddr::new(rs.addr, rs.port);
        let spec = |target: &Target, what: What| {
            let source = Source {
                addr: target.bindto.map(|a| SocketAddr::new(a, target.bind_port.unwrap_or(0))),
                device: target.bind_if.clone(),
                mark: target.fwmark,
            };
            CheckSpec { backend, pace: pace(vs, rs, check, target).into(), source: source.into(), what, log_all }
        };
        let to = |target: &Target| {
            let port = target.connect_port.or(rs.written_port).unwrap_or(rs.port);
            SocketAddr::new(target.connect_ip.unwrap_or(rs.addr), port)
        };
        let target = &check.target;
        let what = match &check.kind {
            CheckKind::Tcp => What::Tcp(to(target)),
            CheckKind::Ping => What::Ping(to(target).ip()),
            CheckKind::Udp(udp) => What::Udp {
                to: to(target),
                payload: udp.payload.clone().unwrap_or_else(|| PAYLOAD.to_vec()).into(),
                reply: udp.require_reply.clone(),
                length: (udp.min_reply_length, udp.max_reply_length),
            },
            CheckKind::Smtp(smtp) => {
                let global = &config.global.more.smtp_helo_name;
                let helo = smtp.helo_name.clone().or_else(|| global.clone()).unwrap_or_else(|| HELO.into());
                let one = |t: &Target| spec(t, What::Smtp { to: to(t), helo: helo.clone() });
                return match smtp.hosts.is_empty() {
                    true => vec![one(target)],
                    false => smtp.hosts.iter().map(one).collect(),
                };
            }
            CheckKind::Dns(dns) => What::Dns { to: to(target), name: dns.name.clone(), query: dns.query },
            CheckKind::Http(http) => http_of(vs, rs, http, to(target), false),
            CheckKind::Ssl(http) => http_of(vs, rs, http, to(target), true),
            CheckKind::Misc(misc) => match misc.misc_path.as_deref() {
                None => What::Never("it has no misc_path".into()),
                Some(s) if s.argv.first().is_none_or(|p| p.is_empty()) => What::Never("it names no program".into()),
                Some(s) => match &s.ready {
                    Ready::As { uid, gid } => What::Misc {
                        program: Box::new(SpawnSpec {
                            argv: s.argv.iter().map(|a| a.to_string()).collect(),
                            env: Vec::new(),
                            uid: *uid,
                            gid: *gid,
                            alone: false,
                        }),
                        dynamic: misc.misc_dynamic,
                    },
                    Ready::Refused(why) => What::Never(why.clone()),
                    Ready::Unknown => What::Never("nobody has looked at its program".into()),
                },
            },
            CheckKind::File(file) => {
                let name = file.track_file.clone().unwrap_or_default();
                let defined = config.track_files.iter().find(|f| f.name == name);
                match defined {
                    None => What::Never(format!("there is no track_file {name}").into()),
                    Some(f) => What::File { name, path: f.file.clone(), weight: file.weight.unwrap_or(f.weight) },
                }
            }
            CheckKind::Bfd(bfd) => {
                let name = bfd.name.clone().unwrap_or_default();
                match config.bfd.iter().any(|b| b.name == name) {
                    true => What::Bfd(name),
                    false => What::Never(format!("there is no bfd_instance {name}").into()),
                }
            }
        };
        vec![spec(target, what)]
    }
}

/// `alpha`: until this check has succeeded once its server does not take part.
pub fn alpha(vs: &VirtualServer, rs: &RealServer, check: &Check) -> bool {
    [&check.pace, &rs.pace, &vs.pace].iter().find_map(|p| p.alpha).unwrap_or(false)
}

fn pace(vs: &VirtualServer, rs: &RealServer, check: &Check, target: &Target) -> Pace {
    let paces = [&check.pace, &rs.pace, &vs.pace];
    let interval = paces.iter().find_map(|p| p.delay_loop).unwrap_or(INTERVAL).max(LEAST);
    let (retries, retry_delay) = match check.kind {
        CheckKind::Misc(_) => (0, Duration::from_secs(1)),
        CheckKind::Dns(_) => (3, interval),
        CheckKind::Http(_) | CheckKind::Ssl(_) => (1, Duration::from_secs(3)),
        _ => (1, Duration::from_secs(1)),
    };
    let timeout = match &check.kind {
        // A program has its own; without one, the interval of the virtual server.
        CheckKind::Misc(m) => m.misc_timeout.filter(|t| !t.is_zero()).or(vs.pace.delay_loop).unwrap_or(INTERVAL),
        _ => {
            let said = [target.connect_timeout, check.target.connect_timeout, rs.connect_timeout, vs.connect_timeout];
            said.into_iter().flatten().next().unwrap_or(TIMEOUT)
        }
    };
    Pace {
        interval,
        retry_delay: paces.iter().find_map(|p| p.delay_before_retry).unwrap_or(retry_delay),
        retries: paces.iter().find_map(|p| p.retry).unwrap_or(retries),
        rise: paces.iter().find_map(|p| p.rise).unwrap_or(1),
        warmup: paces.iter().find_map(|p| p.warmup).unwrap_or(interval),
        fast: paces.iter().find_map(|p| p.fast_interval).map(|fast| fast.max(LEAST)),
        timeout: timeout.max(LEAST),
    }
}

/// keepalived's datagram of a PING_CHECK and an UDP_CHECK without a payload.
const PAYLOAD: &[u8; 32] = b"keepalived check - keepalived ch";
/// keepalived's argument of `HELO`.
const HELO: &str = "smtpchecker.keepalived.org";

fn http_of(vs: &VirtualServer, rs: &RealServer, http: &HttpCheck, to: SocketAddr, tls: bool) -> What {
    let mut pages = Vec::new();
    for url in &http.urls {
        match page(vs, rs, http, url, to) {
            Ok(page) => pages.push(page),
            Err(why) => return What::Never(why),
        }
    }
    match pages.is_empty() {
        true => What::Never("it has no url".into()),
        false => {
            What::Http(Box::new(Http { to, tls, verify: tls && http.verify, fast_recovery: http.fast_recovery, pages }))
        }
    }
}

fn page(vs: &VirtualServer, rs: &RealServer, http: &HttpCheck, url: &Url, to: SocketAddr) -> Result<Page, Box<str>> {
    let path = url.path.clone().unwrap_or_else(|| "/".into());
    let name = [&url.virtualhost, &http.virtualhost, &rs.virtualhost, &vs.virtualhost].into_iter().flatten().next();
    let host = name.map_or_else(|| to.to_string(), |n| n.to_string());
    // A blank is sent as it stands, as by keepalived.
    for (what, text) in [("path", &*path), ("virtualhost", &*host)] {
        if text.is_empty() || text.bytes().any(|b| b.is_ascii_control()) {
            return Err(format!("nothing or a control character in its {what}: {text:?}").into());
        }
    }
    let (version, close) = match http.http_protocol {
        HttpProtocol::V10 => ("1.0", ""),
        HttpProtocol::V10C | HttpProtocol::V10c => ("1.0", "Connection: close\r\n"),
        HttpProtocol::V11 => ("1.1", "Connection: close\r\n"),
    };
    let request =
        format!("GET {path} HTTP/{version}\r\nUser-Agent: KeepAliveClient\r\n{close}Host: {host}\r\n\r\n").into();
    // Options without a `regex` have no effect.
    let regex = url.regex.as_deref().filter(|r| r.pattern.is_some());
    let regex = regex.map(|r| Box::new(Pattern::new(r.clone())));
    let status = if url.status.is_empty() { vec![(200, 299)] } else { url.status.clone() };
    let compliant = url.tls_compliant.unwrap_or(http.tls_compliant);
    Ok(Page { path, request, sni: name.cloned(), compliant, status, digest: url.digest, regex })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(fast: Option<Duration>) -> CheckSpec {
        let to = SocketAddr::from(([10, 0, 0, 1], 80));
        let s = Duration::from_secs;
        let pace = Pace { interval: s(6), retry_delay: s(1), retries: 3, rise: 2, warmup: s(6), fast, timeout: s(5) };
        let source = Source { mark: 7, ..Source::default() };
        CheckSpec { backend: to, pace: pace.into(), source: source.into(), what: What::Tcp(to), log_all: false }
    }

    /// The next process finds the verdict of a check by its digest: it is the same in every release.
    #[test]
    fn the_digest_of_a_check_never_changes() {
        let hex = |spec: &CheckSpec| spec.digest().map(|b| format!("{b:02x}")).concat();
        assert_eq!(hex(&spec(None)), "28f27b1168ac3a8afd16bc6af650e404");
        assert_eq!(hex(&spec(Some(Duration::from_secs(1)))), "96b29d719af036d02879157be1113e68");
    }
}
