//! The 148 packets of `vrrp-vectors.json`, and the receivers that their profiles describe. The tests of the codecs (here) and of the World
//! (`tests/vrrp/vectors.rs`) use them.

#![allow(dead_code)] // two test crates share this file, and neither uses all of it
#![allow(clippy::unwrap_used)] // a test that panics has failed

use kalived::config::model::setting::Secret;
use kalived::config::model::vrrp::{Hmac, HmacKey, OldChecksum, Peer};
use kalived::config::model::{Auth, ChecksumMode, Family, Version, default_group};
use kalived::event::RxMeta;
use kalived::time::{Duration, Wall};
use kalived::vrrp::advert::{Heard, Profile, Reject, Unicast, verify};
use kalived::wire::{Bad, ipv6};
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr};

/// For a replay, the vector that it repeats: the packet is valid by itself, and dropped after that one.
pub fn repeats(id: &str) -> Option<&'static str> {
    match id {
        "v2-ah-bad-replay" => Some("v2-ah-ok"),
        "v3-hmac-bad-replay" => Some("v3-hmac-ok"),
        _ => None,
    }
}

/// The wall clock of every receiver: the time at which the vectors with `auth_hmac` were signed.
pub const WALL: Wall = Wall(0x6800_0000 * 1_000_000_000);

pub struct Vector {
    pub id: String,
    pub profile: String,
    pub accept: bool,
    pub reason: String,
    pub parsed: Value,
    pub bytes: Vec<u8>,
}

impl Vector {
    /// The addresses in the packet. The vector does not repeat the list of 255 addresses: it is in the receiver.
    pub fn addresses(&self, receiver: &Receiver) -> Vec<IpAddr> {
        match self.parsed["addresses"].as_array() {
            Some(list) => list.iter().map(|a| a.as_str().unwrap().parse().unwrap()).collect(),
            None => receiver.vips.clone(),
        }
    }
}

pub fn vectors() -> Vec<Vector> {
    let all: Value = serde_json::from_str(include_str!("vrrp-vectors.json")).unwrap();
    let text = |v: &Value, k: &str| v[k].as_str().unwrap().to_owned();
    let one = |v: &Value| Vector {
        id: text(v, "id"),
        profile: text(v, "profile"),
        // `v3_checksum_as_v2` accepts both checksums: see `wire::vrrp::checksum_ok`.
        accept: v["expected"] == "accept" || v["id"] == "v3-bad-ph-in-9568-mode",
        reason: text(v, "reason"),
        parsed: v["parsed"].clone(),
        bytes: hex(v["hex"].as_str().unwrap()),
    };
    all["vectors"].as_array().unwrap().iter().map(one).collect()
}

/// A receiver, as the `meta` section of the vectors describes it.
pub struct Receiver {
    pub family: Family,
    pub version: Version,
    pub vrid: u8,
    pub auth: Auth,
    pub advert_int: Duration,
    pub checksum: ChecksumMode,
    pub vips: Vec<IpAddr>,
    pub own: Vec<IpAddr>,
    /// `auth_hmac`.
    pub hmac: Option<Hmac>,
    /// Profile V3UNI: its one peer; `check_unicast_src` is set.
    pub peers: Option<Vec<Peer>>,
}

impl Receiver {
    pub fn named(name: &str) -> Receiver {
        let v6 = name.starts_with("V6");
        let last = |n: std::ops::RangeInclusive<u8>, net: [u8; 3]| -> Vec<IpAddr> {
            n.map(|n| Ipv4Addr::new(net[0], net[1], net[2], n).into()).collect()
        };
        Receiver {
            family: if v6 { Family::V6 } else { Family::V4 },
            version: if name.starts_with("V2") { Version::V2 } else { Version::V3 },
            vrid: match name {
                "V2vrid1" => 1,
                "V2vrid255" => 255,
                _ => 51,
            },
            auth: match name {
                "V2PASS" => Auth::Pass(*b"kalived1"),
                "V2AH" => Auth::Ah(*b"kalived1"),
                "V2PASS4" => Auth::Pass(*b"1234\0\0\0\0"),
                _ => Auth::None,
            },
            advert_int: Duration::from_secs(if name == "V2adv255" { 255 } else { 1 }),
            checksum: match name {
                "V3" | "V3ASV2" | "V3HMAC" => ChecksumMode::MessageOnly,
                _ => ChecksumMode::PseudoHeader,
            },
            vips: match name {
                "V2x255" => last(1..=255, [198, 18, 4]),
                "V2x3" | "V3PHx3" => last(100..=102, [198, 18, 0]),
                "V6x1" => vec!["fe80::64".parse().unwrap()],
                _ if v6 => vec!["fe80::64".parse().unwrap(), "2001:db8:12::64".parse().unwrap()],
                _ => last(100..=100, [198, 18, 0]),
            },
            own: vec!["198.18.0.20".parse().unwrap(), "fe80::20".parse().unwrap()],
            hmac: name.ends_with("HMAC").then(|| {
                let key: String = (0..32).map(|n| format!("{n:02x}")).collect();
                let keys = vec![HmacKey { id: 1, secret: Secret(format!("hex:{key}").into()) }];
                Hmac { keys, active_key: Some(1), ..Hmac::default() }
            }),
            peers: (name == "V3UNI")
                .then(|| vec![Peer { addr: [198, 18, 0, 30].into(), min_ttl: None, max_ttl: None }]),
        }
    }

    pub fn profile(&self) -> Profile<'_> {
        Profile {
            family: self.family,
            version: self.version,
            vrid: self.vrid,
            auth: &self.auth,
            advert_int: self.advert_int,
            checksum: self.checksum,
            group: default_group(self.family),
            unicast: self.peers.as_deref().map(|peers| Unicast {
                local: self.own[0],
                peers,
                check_source: true,
                old_checksum: OldChecksum::Auto,
            }),
            vips: &self.vips,
            held: &self.vips,
            unlisted: false,
            lists_none: None,
            own: &self.own,
            known: None,
            skip_check_adv_addr: false,
            hmac: self.hmac.as_ref(),
            wall: WALL,
        }
    }

    /// The verdict on a packet: first what the kernel does before a raw socket gets it, then `verify`.
    pub fn judge(&self, packet: &[u8]) -> Result<Heard, Reject> {
        match deliver(self.family, packet)? {
            Some((meta, message)) => verify(&self.profile(), &meta, message),
            None => Err(Reject::Protocol),
        }
    }
}

/// The datagram as a raw socket delivers it; `None` where its protocol is not VRRP.
pub fn deliver(family: Family, packet: &[u8]) -> Result<Option<(RxMeta, &[u8])>, Bad> {
    if family == Family::V4 {
        return Ok(Some((RxMeta { src: Ipv4Addr::UNSPECIFIED.into(), dst: None, hop_limit: None }, packet)));
    }
    let (header, mut message) = ipv6::parse(packet)?;
    let mut next = header.next_header;
    if next == 0 {
        // Hop-by-hop options (RFC 8200 §4.3): next header, then the length in units of 8 bytes without the first 8.
        let [after, units, ..] = message else { return Err(Bad::Length) };
        next = *after;
        message = message.get(8 + usize::from(*units) * 8..).ok_or(Bad::Length)?;
    }
    let meta = RxMeta { src: header.src.into(), dst: Some(header.dst), hop_limit: Some(header.hop_limit) };
    Ok((next == 112).then_some((meta, message)))
}

/// Bytes from hexadecimal digits; blanks and line ends are ignored.
pub fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).expect("two hexadecimal digits"))
        .collect()
}
