//! `vrrp_instance`: reads its keywords one by one. The rules between them are in `finish.rs`.

use super::Cx;
use super::global::GarpGiven;
use super::value::Tail;
use crate::config::diag::Severity;
use crate::config::keyword::{self, Keyword, Scope};
use crate::config::kind;
use crate::config::model::vrrp::InstanceMore;
use crate::config::model::{TrackInterface, Vip};
use crate::config::source::Span;
use crate::config::tree::Stmt;
use core::net::IpAddr;

/// A value and where it stands.
pub(super) type At<T> = Option<(T, Span)>;

/// The word after `auth_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AuthKind {
    Pass,
    Ah,
    /// Neither, which is reported.
    Unknown,
}

/// What the block `authentication` says, before it is checked.
#[derive(Debug, Default)]
pub(super) struct AuthGiven {
    pub(super) kind: At<AuthKind>,
    pub(super) password: At<String>,
    /// One of the two has no value, which is reported.
    pub(super) told: bool,
}

/// The content of a block.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) name: String,
    /// The keyword and the name.
    pub(super) head: Span,
    /// `state`: true for MASTER, false for BACKUP.
    pub(super) state: At<bool>,
    pub(super) interface: At<String>,
    pub(super) vrid: At<u8>,
    /// There is a VRID that is not a valid one, which is reported.
    pub(super) vrid_told: bool,
    pub(super) interface_told: bool,
    pub(super) version: At<i64>,
    pub(super) native_ipv6: Option<Span>,
    pub(super) priority: At<u8>,
    /// `advert_int`, microseconds.
    pub(super) advert_int: At<u64>,
    pub(super) nopreempt: Option<Span>,
    /// `preempt_delay`, microseconds.
    pub(super) preempt_delay: At<u64>,
    pub(super) auth: Option<(AuthGiven, Span)>,
    pub(super) vips: Vec<(Vip, Span)>,
    pub(super) excluded: Vec<(Vip, Span)>,
    pub(super) no_vips_wanted: bool,
    /// There is an address that cannot be used, which is reported.
    pub(super) vips_told: bool,
    pub(super) garp: GarpGiven,
    pub(super) mcast_src: At<IpAddr>,
    pub(super) mcast_dst: At<IpAddr>,
    pub(super) dont_track_primary: bool,
    pub(super) tracks: Vec<(TrackInterface, Span)>,
    pub(super) v3_checksum_as_v2: Option<bool>,
    pub(super) down_timer_adverts: Option<u32>,
    pub(super) lower_prio_no_advert: Option<bool>,
    pub(super) higher_prio_send_advert: Option<bool>,
    pub(super) skip_check_adv_addr: Option<bool>,
    pub(super) strict: Option<bool>,
    /// Peers, tracking, notification, interfaces of its own.
    pub(super) more: Box<InstanceMore>,
}

impl Draft {
    /// Reads a block; `None` without a name.
    pub(super) fn read<'a>(cx: &mut Cx<'a>, k: &'static Keyword, head: &'a Stmt, stmts: &'a [Stmt]) -> Option<Draft> {
        let (name, _) = cx.string(k, head)?;
        let mut draft = Draft { name, head: head.span(), ..Draft::default() };
        cx.walk(Scope::Instance, stmts, |cx, k, stmt| draft.one(cx, k, stmt));
        Some(draft)
    }

    fn one<'a>(&mut self, cx: &mut Cx<'a>, k: &'static Keyword, stmt: &'a Stmt) {
        if self.garp.read(cx, k.name, k, stmt) {
            return;
        }
        let user = || format!("vrrp_instance {}", self.name);
        let error = Severity::Error;
        match k.name {
            "state" => self.state(cx, k, stmt),
            "interface" => {
                self.interface_told = true;
                let Some(word) = cx.arg(k, stmt) else { return };
                if cx.text(word) == "lo" {
                    cx.say(word.span, kind::loopback());
                } else if let Some(name) = cx.interface_or(word, &user(), Severity::Fatal) {
                    self.interface = Some((name, word.span));
                }
            }
            "virtual_router_id" => {
                self.vrid_told = true;
                let vrid = cx.int(k, stmt, Tail::Strict, Severity::Fatal);
                self.vrid = vrid.and_then(|(n, s)| u8::try_from(n).ok().map(|n| (n, s)));
            }
            "version" => self.version = cx.int(k, stmt, Tail::Strict, error).or(self.version),
            "priority" => {
                // A priority that cannot be read counts as the default, not as "none": `state MASTER` without a
                // priority would become the address owner.
                let span = stmt.span();
                self.priority = match cx.int(k, stmt, Tail::Strict, error) {
                    Some((n, s)) => Some((u8::try_from(n).unwrap_or(100), s)),
                    None => Some((100, span)),
                };
            }
            "advert_int" => self.advert_int = cx.micros(k, stmt, Severity::Fatal),
            "native_ipv6" => flag(cx, stmt, |s| self.native_ipv6 = Some(s)),
            "preempt" => flag(cx, stmt, |_| self.nopreempt = None),
            "nopreempt" => flag(cx, stmt, |s| self.nopreempt = Some(s)),
            "preempt_delay" => self.preempt_delay = cx.micros(k, stmt, error).or(self.preempt_delay),
            "authentication" => {
                let mut auth = AuthGiven::default();
                if let Some(b) = &stmt.block {
                    cx.walk(Scope::Authentication, &b.stmts, |cx, k, s| auth.one(cx, k, s));
                }
                self.auth = Some((auth, stmt.span()));
            }
            "virtual_ipaddress" | "virtual_ipaddress_excluded" => {
                cx.extra(stmt, 1);
                let user = user();
                for line in stmt.block.iter().flat_map(|b| &b.stmts) {
                    let vip = cx.address_line(line, &user);
                    self.vips_told |= vip.is_none();
                    if k.name == "virtual_ipaddress" { self.vips.extend(vip) } else { self.excluded.extend(vip) }
                }
            }
            "no_virtual_ipaddress" => flag(cx, stmt, |_| self.no_vips_wanted = true),
            "mcast_src_ip" => self.mcast_src = cx.ip(k, stmt).or(self.mcast_src),
            "mcast_dst_ip" => self.mcast_dst = cx.ip(k, stmt).or(self.mcast_dst),
            "dont_track_primary" => flag(cx, stmt, |_| self.dont_track_primary = true),
            "track_interface" => {
                cx.extra(stmt, 1);
                let user = user();
                for line in stmt.block.iter().flat_map(|b| &b.stmts) {
                    self.tracks.extend(track_line(cx, line, &user));
                }
            }
            "v3_checksum_as_v2" => self.v3_checksum_as_v2 = cx.boolean(stmt).or(self.v3_checksum_as_v2),
            "down_timer_adverts" => {
                let n = cx.int(k, stmt, Tail::Lenient, error).and_then(|(n, _)| u32::try_from(n).ok());
                self.down_timer_adverts = n.or(self.down_timer_adverts);
            }
            "lower_prio_no_advert" => self.lower_prio_no_advert = cx.boolean(stmt).or(self.lower_prio_no_advert),
            "higher_prio_send_advert" => {
                self.higher_prio_send_advert = cx.boolean(stmt).or(self.higher_prio_send_advert);
            }
            "strict_mode" => self.strict = cx.boolean(stmt).or(self.strict),
            // The later of the two counts.
            "accept" | "no_accept" => flag(cx, stmt, |_| {
                (self.more.accept, self.more.no_accept) = (k.name == "accept", k.name == "no_accept");
            }),
            "skip_check_adv_addr" => self.skip_check_adv_addr = cx.boolean(stmt).or(self.skip_check_adv_addr),
            _ => super::track::more(cx, &mut self.more, k, stmt, &self.name),
        }
    }

    fn state<'a>(&mut self, cx: &mut Cx<'a>, k: &Keyword, stmt: &'a Stmt) {
        let Some(word) = cx.arg(k, stmt) else { return };
        let master = match cx.text(word) {
            "MASTER" => true,
            "BACKUP" => false,
            other => {
                let text = kind::unknown_state(other);
                let help = "MASTER or BACKUP, in capitals; what decides between them is `priority`";
                cx.say(word.span, text).help(help);
                false
            }
        };
        match self.state {
            Some((true, _)) if !master => {}
            _ => self.state = Some((master, word.span)),
        }
    }
}

impl AuthGiven {
    fn one<'a>(&mut self, cx: &mut Cx<'a>, k: &'static Keyword, stmt: &'a Stmt) {
        let Some(word) = cx.arg(k, stmt) else {
            self.told = true;
            return;
        };
        let text = cx.text(word);
        match (k.name, text) {
            ("auth_pass", _) => {
                let after = Span { start: word.span.end, end: word.span.end + 1, ..word.span };
                if matches!(cx.src.slice(after), "!" | "#") {
                    cx.say(after, kind::comment_in_password(cx.src.slice(after)))
                        .help("if it belongs to the password, put the password in \"\" on all routers");
                }
                self.password = Some((text.to_owned(), word.span));
            }
            (_, "PASS") => self.kind = Some((AuthKind::Pass, word.span)),
            (_, "AH") => self.kind = Some((AuthKind::Ah, word.span)),
            _ => {
                self.kind = Some((AuthKind::Unknown, word.span));
                cx.say(word.span, kind::unknown_auth_type(text)).help("PASS or AH, in capitals");
            }
        }
    }
}

fn flag<'a>(cx: &mut Cx<'a>, stmt: &'a Stmt, set: impl FnOnce(Span)) {
    cx.extra(stmt, 1);
    set(stmt.span());
}

/// `eth1 weight -20 reverse`.
fn track_line<'a>(cx: &mut Cx<'a>, stmt: &'a Stmt, user: &str) -> Option<(TrackInterface, Span)> {
    let (first, rest) = stmt.words.split_first()?;
    if let Some(block) = &stmt.block {
        cx.say(block.open, kind::block_after_interface());
    }
    let mut track = TrackInterface { name: cx.interface(first, user)?, weight: 0, reverse: false };
    let mut words = rest.iter();
    while let Some(word) = words.next() {
        match cx.text(word) {
            "weight" => match words.next().map(|w| (w, cx.text(w).parse::<i64>())) {
                Some((w, Ok(n @ (254 | -254)))) => {
                    cx.say(w.span, kind::weight_out_of_range(n, n.signum() * 253)).help("allowed: -253..253");
                    track.weight = if n > 0 { 253 } else { -253 };
                }
                Some((_, Ok(n @ -253..=253))) => track.weight = i16::try_from(n).unwrap_or(0),
                Some((w, _)) => {
                    cx.say(w.span, kind::bad_weight()).help("allowed: -253..253");
                }
                None => {
                    cx.say(word.span, kind::missing_weight()).help("write `weight <-253..253>`");
                }
            },
            "reverse" => track.reverse = true,
            other => {
                let help = keyword::nearest::nearest(Scope::TrackLine, other).map(|n| format!("did you mean `{n}`?"));
                cx.say(word.span, kind::unknown_word_of_interface(other))
                    .maybe_help(help.or(Some("one interface per line".to_owned())));
            }
        }
    }
    Some((track, stmt.span()))
}
