//! Lines of the `track_` blocks and of `unicast_peer`, and the keywords of an instance that have a form of their own.
//! Read first: `instance.rs`.

use super::Cx;
use super::process;
use super::refs::{Kind, Owner, Use};
use super::value::word;
use crate::config::keyword::{self, Keyword, Scope};
use crate::config::kind::{self, Fate};
use crate::config::model::setting::Secret;
use crate::config::model::vrrp::{Hmac, HmacKey, InstanceMore, Notify, OldChecksum, OwnInterface, Peer, Track, Tracks};
use crate::config::tree::Stmt;
use core::net::IpAddr;
use std::collections::BTreeSet;

/// Reads a `track_` block of an instance or a group; false: it is another keyword.
pub(super) fn tracks<'a>(cx: &mut Cx<'a>, to: &mut Tracks, k: &'static Keyword, stmt: &'a Stmt, owner: &Owner) -> bool {
    let (list, kind, most) = match k.name {
        "track_interface" => (&mut to.interfaces, Kind::Interface, 253),
        "track_script" => (&mut to.scripts, Kind::Script, 253),
        "track_check" => (&mut to.checks, Kind::Check, 253),
        "track_file" => (&mut to.files, Kind::File, 254),
        "track_process" => (&mut to.processes, Kind::Process, 254),
        "track_virtual_server" => (&mut to.virtual_servers, Kind::VirtualServer, 253),
        "track_bfd" => (&mut to.bfds, Kind::Bfd, 253),
        _ => return false,
    };
    cx.extra(stmt, 1);
    let mut seen: BTreeSet<Box<str>> = list.iter().map(|t: &Track| t.name.clone()).collect();
    for line in stmt.block.iter().flat_map(|b| &b.stmts) {
        let Some(track) = track(cx, line, most) else { continue };
        if !seen.insert(track.name.clone()) {
            cx.say(line.span(), kind::duplicate_track_line(track.name));
            continue;
        }
        let name = track.name.clone();
        match kind {
            Kind::Interface => {
                let Some(first) = word(line, 0) else { continue };
                if cx.interface(first, &owner.to_string()).is_none() {
                    continue;
                }
            }
            _ => cx.uses.push(Use {
                kind,
                name,
                weight: track.weight,
                span: line.span(),
                word: Some(k.name),
                owner: owner.clone(),
            }),
        }
        list.push(track);
    }
    true
}

/// `name weight -20 reverse`.
fn track<'a>(cx: &mut Cx<'a>, line: &'a Stmt, most: i64) -> Option<Track> {
    let first = word(line, 0)?;
    if let Some(block) = &line.block {
        cx.say(block.open, kind::block_after_object());
    }
    let mut track = Track { name: cx.text(first).into(), weight: None, reverse: None };
    let mut next = 1;
    while let Some(w) = word(line, next) {
        next += 1;
        match cx.text(w) {
            "weight" => {
                let Some(value) = word(line, next) else {
                    cx.say(w.span, kind::missing_weight()).help(format!("write `weight <-{most}..{most}>`"));
                    break;
                };
                next += 1;
                if let Some(k) = keyword::find(Scope::TrackLine, "weight") {
                    track.weight = cx.number_of(k, value, -most, most);
                }
            }
            "reverse" => track.reverse = Some(true),
            "noreverse" => track.reverse = Some(false),
            other => {
                let near = keyword::nearest::nearest(Scope::TrackLine, other).map(|n| format!("did you mean `{n}`?"));
                cx.say(w.span, kind::unknown_word_of_object(other))
                    .maybe_help(near.or(Some("one object per line".to_owned())));
            }
        }
    }
    Some(track)
}

/// Reads scripts and mail of an instance or a group; false: it is another keyword.
pub(super) fn notify<'a>(cx: &mut Cx<'a>, to: &mut Notify, k: &'static Keyword, stmt: &'a Stmt) -> bool {
    use crate::config::model::setting::Block;
    if k.name == "notify_deleted" {
        let mut next = 1;
        let script = if word(stmt, 1).is_some() { cx.script(k, stmt, &mut next) } else { None };
        to.deleted = Some(script);
        return true;
    }
    if to.setting(k.name).is_none() {
        return false;
    }
    cx.set(&mut [to], k, stmt);
    true
}

/// Reads the keywords of an instance that are kept in `InstanceMore`.
pub(super) fn more<'a>(cx: &mut Cx<'a>, to: &mut InstanceMore, k: &'static Keyword, stmt: &'a Stmt, name: &str) {
    let owner = Owner { block: "vrrp_instance", name: name.into() };
    if tracks(cx, &mut to.tracks, k, stmt, &owner) || notify(cx, &mut to.notify, k, stmt) {
        return;
    }
    match k.name {
        "unicast_peer" => {
            let peers = peers(cx, stmt);
            if peers.is_empty() {
                let lines = stmt.block.as_ref().is_some_and(|b| !b.stmts.is_empty());
                let what = if lines { "a peer that can be used" } else { "a peer" };
                let then =
                    "adverts go to the multicast group, or with `unicast_fault_no_peer` the instance is in FAULT";
                cx.say(stmt.span(), kind::no_peer(what, then));
            }
            to.unicast_peer = Some(peers);
        }
        "old_unicast_checksum" => {
            to.old_unicast_checksum = match word(stmt, 1) {
                None => OldChecksum::Always,
                Some(w) if cx.text(w) == "never" => OldChecksum::Never,
                Some(w) => cx.bad_word(k, w, "never, or nothing").unwrap_or_default(),
            };
        }
        "use_vmac" | "use_ipvlan" => {
            if to.own_interface.as_ref().is_some_and(|o| o.ipvlan != (k.name == "use_ipvlan")) {
                cx.say(stmt.span(), kind::vmac_and_ipvlan());
            } else {
                to.own_interface = Some(Box::new(own_interface(cx, k, stmt)));
            }
        }
        "virtual_routes" => to.routes = cx.routes(stmt, &owner.to_string()),
        "virtual_rules" => to.rules = cx.rules(stmt, &owner.to_string()),
        "garp_extra_if" | "vmac_garp_intvl" => {
            to.garp_extra_if = process::extra_garp(cx, k, stmt, 0).or(to.garp_extra_if);
        }
        "auth_hmac" => to.hmac = Some(Box::new(hmac(cx, stmt))),
        _ => cx.set(&mut [to], k, stmt),
    }
}

fn peers<'a>(cx: &mut Cx<'a>, stmt: &'a Stmt) -> Vec<Peer> {
    let mut out: Vec<Peer> = Vec::new();
    let mut seen = BTreeSet::new();
    cx.extra(stmt, 1);
    for line in stmt.block.iter().flat_map(|b| &b.stmts) {
        let Some(first) = word(line, 0) else { continue };
        let Some(addr) =
            cx.host_address("unicast_peer", first, "the line is ignored (names are not looked up)", Fate::Line)
        else {
            continue;
        };
        let mut peer = Peer { addr, min_ttl: None, max_ttl: None };
        let mut next = 1;
        while let Some(w) = word(line, next) {
            let Some(k) = keyword::find(Scope::PeerLine, cx.text(w)) else {
                cx.say(w.span, kind::unknown_word_of_peer(cx.text(w)))
                    .help("one address per line; min_ttl <n>, max_ttl <n>");
                next += 1;
                continue;
            };
            next += 1;
            let ttl = match word(line, next) {
                Some(v) => cx.number_of(k, v, 0, 255),
                None => cx.bad_word(k, w, "0..255 after it"),
            };
            next += 1;
            if k.name == "min_ttl" { peer.min_ttl = ttl } else { peer.max_ttl = ttl }
        }
        if let (Some(min), Some(max)) = (peer.min_ttl, peer.max_ttl)
            && min > max
        {
            cx.say(first.span, kind::ttl_range_reversed(min, max, addr));
            (peer.min_ttl, peer.max_ttl) = (None, None);
        }
        if !seen.insert(addr) {
            cx.say(first.span, kind::duplicate_peer(addr));
        } else if out.first().is_some_and(|p| p.addr.is_ipv4() != addr.is_ipv4()) {
            cx.say(first.span, kind::peer_line_of_other_family(addr));
        } else {
            out.push(peer);
        }
    }
    out
}

fn own_interface<'a>(cx: &mut Cx<'a>, k: &'static Keyword, stmt: &'a Stmt) -> OwnInterface {
    let mut own = OwnInterface { ipvlan: k.name == "use_ipvlan", ..OwnInterface::default() };
    let mut next = 1;
    while let Some(w) = word(stmt, next) {
        next += 1;
        let text = cx.text(w);
        match text {
            "netlink_notify_msg" if !own.ipvlan => own.notify = true,
            "bridge" | "private" | "vepa" if own.ipvlan => own.mode = Some(text.into()),
            "name" | "group" => {
                let Some(v) = word(stmt, next) else {
                    cx.bad_word::<()>(k, w, "a value after it");
                    break;
                };
                next += 1;
                let value = Some(cx.text(v).into());
                if text == "name" {
                    own.name = value;
                } else if cx.text(v).parse::<u32>().is_ok() {
                    own.group = value;
                } else {
                    cx.bad_word::<()>(k, v, "the number of an interface group");
                }
            }
            _ if own.name.is_none() && text.contains(':') && mac(text).is_none() && text.parse::<IpAddr>().is_err() => {
                cx.bad_word::<()>(k, w, "a name without a colon, or a MAC address");
            }
            _ => match mac(text) {
                Some(Ok(mac)) if !own.ipvlan => own.mac = Some(mac),
                Some(_) => {
                    let allowed = "5 or 6 octets such as 02:00:00:00:00:05; no multicast, not 00:00:5e:00:01 or 02";
                    cx.bad_word::<()>(k, w, allowed);
                }
                None => match text.split('/').next().and_then(|t| t.parse().ok()) {
                    Some(ip) if own.ipvlan => own.addr = Some(ip),
                    None if own.name.is_none() && text.len() <= 15 && !text.contains('/') => {
                        own.name = Some(text.into());
                    }
                    _ => {
                        cx.bad_word::<()>(k, w, k.args);
                    }
                },
            },
        }
    }
    own
}

/// An Ethernet address; `None`: the word does not have its form.
fn mac(text: &str) -> Option<Result<[u8; 6], ()>> {
    let parts: Vec<&str> = text.split(':').collect();
    let hex = |p: &&str| (1..=2).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_hexdigit());
    if !(5..=6).contains(&parts.len()) || !parts.iter().all(hex) {
        return None;
    }
    let mut out = [0; 6];
    for (to, from) in out.iter_mut().zip(&parts) {
        *to = u8::from_str_radix(from, 16).unwrap_or(0);
    }
    let [a, rest @ ..] = out;
    let reserved = a == 0 && rest[..3] == [0, 0x5e, 0] && matches!(rest[3], 1 | 2);
    Some(if a & 1 == 1 || reserved { Err(()) } else { Ok(out) })
}

fn hmac<'a>(cx: &mut Cx<'a>, stmt: &'a Stmt) -> Hmac {
    let mut hmac = Hmac::default();
    let Some(block) = &stmt.block else { return hmac };
    cx.fill(Scope::AuthHmac, &block.stmts, &mut hmac, |cx, hmac, k, stmt| {
        if k.name == "key" {
            hmac.keys.extend(key(cx, hmac, k, stmt));
        }
        k.name == "key"
    });
    match hmac.active_key {
        Some(id) if hmac.keys.iter().any(|k| k.id == id) => {}
        _ => {
            cx.say(stmt.span(), kind::no_active_key());
        }
    }
    hmac
}

/// Text or `hex:` of 32 to 64 bytes.
pub(in crate::config) fn is_key(text: &str) -> bool {
    let length = match text.strip_prefix("hex:") {
        Some(hex) if hex.len() % 2 == 0 && hex.bytes().all(|b| b.is_ascii_hexdigit()) => hex.len() / 2,
        Some(_) => 0,
        None => text.len(),
    };
    (32..=64).contains(&length)
}

fn key<'a>(cx: &mut Cx<'a>, hmac: &Hmac, k: &'static Keyword, stmt: &'a Stmt) -> Option<HmacKey> {
    let mut next = 1;
    let id = cx.need(k, stmt, &mut next)?;
    let id: u8 = cx.number_of(k, id, 1, 255)?;
    let secret = cx.need(k, stmt, &mut next)?;
    let text = cx.text(secret);
    // The message does not repeat the secret.
    if let Some(path) = text.strip_prefix("file:") {
        cx.key_files.push((path.into(), secret.span));
    } else if !is_key(text) {
        cx.say(secret.span, kind::bad_key()).help("allowed: 32..64 bytes");
        return None;
    }
    if hmac.keys.iter().any(|k| k.id == id) {
        cx.say(stmt.span(), kind::duplicate_key(id));
        return None;
    }
    cx.extra(stmt, 3);
    Some(HmacKey { id, secret: Secret(text.into()) })
}
