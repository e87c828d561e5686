//! `global_defs`: settings of the process, and defaults for instances. Read first: `mod.rs`; `process.rs` reads the keywords that are not
//! about VRRP.

use super::Cx;
use super::value::Tail;
use crate::config::diag::Severity;
use crate::config::keyword::{Keyword, Scope};
use crate::config::kind;
use crate::config::model::{Family, Global, default_group};
use crate::config::tree::Stmt;
use core::net::IpAddr;
use core::time::Duration;

/// GARP settings in the file, of the process or of an instance.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GarpGiven {
    pub(super) repeat: Option<u32>,
    pub(super) delay: Option<Duration>,
    pub(super) refresh: Option<Duration>,
    pub(super) refresh_repeat: Option<u32>,
    pub(super) lower_prio_repeat: Option<u32>,
    pub(super) lower_prio_delay: Option<Duration>,
}

impl GarpGiven {
    /// Reads a keyword, named without its `vrrp_`; false: it is another keyword.
    pub(super) fn read<'a>(&mut self, cx: &mut Cx<'a>, name: &str, k: &Keyword, stmt: &'a Stmt) -> bool {
        match name {
            "garp_master_delay" => self.delay = cx.duration(k, stmt).or(self.delay),
            "garp_master_refresh" => self.refresh = cx.duration(k, stmt).or(self.refresh),
            "garp_lower_prio_delay" => self.lower_prio_delay = cx.duration(k, stmt).or(self.lower_prio_delay),
            "garp_master_repeat" => self.repeat = count(cx, k, stmt, 1).or(self.repeat),
            "garp_master_refresh_repeat" => self.refresh_repeat = count(cx, k, stmt, 1).or(self.refresh_repeat),
            "garp_lower_prio_repeat" => self.lower_prio_repeat = count(cx, k, stmt, 0).or(self.lower_prio_repeat),
            _ => return false,
        }
        true
    }
}

/// A number of packets, at least `least`.
fn count<'a>(cx: &mut Cx<'a>, k: &Keyword, stmt: &'a Stmt, least: u32) -> Option<u32> {
    let (n, span) = cx.int(k, stmt, Tail::Lenient, Severity::Error)?;
    let n = u32::try_from(n).unwrap_or(u32::MAX);
    if n < least {
        cx.say(span, kind::too_small(k.name, least));
    }
    Some(n.max(least))
}

/// The values of `global_defs`: those of the process in `global`, the others are defaults for instances (`finish.rs`).
pub(super) struct Globals {
    pub(super) global: Global,
    pub(super) garp: GarpGiven,
    pub(super) garp_interval: Duration,
    pub(super) gna_interval: Duration,
    pub(super) min_garp: bool,
    pub(super) group4: IpAddr,
    pub(super) group6: IpAddr,
    pub(super) version: i64,
    pub(super) down_timer_adverts: u32,
    pub(super) v3_checksum_as_v2: bool,
    pub(super) lower_prio_no_advert: bool,
    pub(super) higher_prio_send_advert: bool,
    pub(super) skip_check_adv_addr: bool,
    pub(super) strict: bool,
}

impl Default for Globals {
    fn default() -> Self {
        Globals {
            global: Global::default(),
            garp: GarpGiven::default(),
            garp_interval: Duration::ZERO,
            gna_interval: Duration::ZERO,
            min_garp: false,
            group4: default_group(Family::V4),
            group6: default_group(Family::V6),
            version: 2,
            down_timer_adverts: 3,
            v3_checksum_as_v2: false,
            lower_prio_no_advert: false,
            higher_prio_send_advert: false,
            skip_check_adv_addr: false,
            strict: false,
        }
    }
}

impl Globals {
    /// Reads the statements of one `global_defs` block.
    pub(super) fn read<'a>(&mut self, cx: &mut Cx<'a>, stmts: &'a [Stmt]) {
        cx.walk(Scope::GlobalDefs, stmts, |cx, k, stmt| self.one(cx, k, stmt));
    }

    fn one<'a>(&mut self, cx: &mut Cx<'a>, k: &'static Keyword, stmt: &'a Stmt) {
        let garp = k.name.strip_prefix("vrrp_").unwrap_or(k.name);
        if self.garp.read(cx, garp, k, stmt) {
            return;
        }
        let process = &mut self.global.process;
        let error = Severity::Error;
        match k.name {
            "router_id" => {
                if let Some((text, _)) = cx.string(k, stmt) {
                    self.global.router_id = Some(text);
                }
            }
            "v3_checksum_as_v2" => set(&mut self.v3_checksum_as_v2, cx.boolean(stmt)),
            "vrrp_min_garp" => set(&mut self.min_garp, cx.boolean(stmt)),
            "vrrp_lower_prio_no_advert" => set(&mut self.lower_prio_no_advert, cx.boolean(stmt)),
            "vrrp_higher_prio_send_advert" => set(&mut self.higher_prio_send_advert, cx.boolean(stmt)),
            "vrrp_strict" => set(&mut self.strict, cx.boolean(stmt)),
            "vrrp_skip_check_adv_addr" => set(&mut self.skip_check_adv_addr, cx.boolean(stmt)),
            "vrrp_mcast_group4" => match cx.ip(k, stmt) {
                Some((ip, _)) if ip.is_ipv4() && ip.is_multicast() => self.group4 = ip,
                Some((_, span)) => {
                    cx.say(span, kind::bad_group4()).help("224.0.0.18 is the standard group");
                }
                None => {}
            },
            "vrrp_mcast_group6" => match cx.ip(k, stmt) {
                Some((ip, span)) if ip.is_ipv6() && ip.is_multicast() => {
                    if !link_local_group(&ip) {
                        cx.say(span, kind::group_not_link_local()).help("ff02::12 is the standard group");
                    }
                    self.group6 = ip;
                }
                Some((_, span)) => {
                    cx.say(span, kind::bad_group6()).help("ff02::12 is the standard group");
                }
                None => {}
            },
            "vrrp_down_timer_adverts" => {
                if let Some((n, _)) = cx.int(k, stmt, Tail::Lenient, error) {
                    self.down_timer_adverts = u32::try_from(n).unwrap_or(3);
                }
            }
            "vrrp_garp_interval" => gap(&mut self.garp_interval, cx, k, stmt),
            "vrrp_gna_interval" => gap(&mut self.gna_interval, cx, k, stmt),
            "vrrp_version" => set(&mut self.version, cx.int(k, stmt, Tail::Strict, error).map(|(n, _)| n)),
            "vrrp_priority" => {
                if let Some((n, _)) = cx.int(k, stmt, Tail::Lenient, error) {
                    process.nice = i8::try_from(n).ok();
                }
            }
            "vrrp_rt_priority" => process.rt_priority = cx.rt_priority(k, stmt).or(process.rt_priority),
            "vrrp_no_swap" => {
                cx.extra(stmt, 1);
                process.no_swap = true;
            }
            "vrrp_rlimit_rttime" | "vrrp_rlimit_rtime" => {
                if let Some((n, _)) = cx.int(k, stmt, Tail::Lenient, error) {
                    process.rlimit_rttime = u64::try_from(n).ok();
                }
            }
            "vrrp_cpu_affinity" => set(&mut process.cpu_affinity, cx.cpus(k, stmt)),
            _ => super::process::one(cx, &mut self.global.more, k, stmt),
        }
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(v) = value {
        *field = v;
    }
}

fn gap<'a>(field: &mut Duration, cx: &mut Cx<'a>, k: &Keyword, stmt: &'a Stmt) {
    if let Some((us, span)) = cx.micros(k, stmt, Severity::Error) {
        if us >= 1_000_000 {
            cx.say(span, kind::very_large(k.name)).help("it is a gap between packets, in seconds");
        }
        *field = Duration::from_micros(us);
    }
}

/// Whether it is an IPv6 multicast group of link-local scope (ff02::/16), with any flags (RFC 4291 §2.7).
pub(super) fn link_local_group(ip: &IpAddr) -> bool {
    matches!(ip, IpAddr::V6(a) if a.segments()[0] & 0xff0f == 0xff02)
}
