//! Verification of a received advert: every check of RFC 9568 §7.1, each with its reason and counter.
//!
//! Read first: `wire/vrrp.rs`. Order and reasons are those of `docs/protocol.md` (Receiving). A rejected advert changes no state, no
//! timer, no learned interval: this function has no access to them. Deliberately absent: the election, counters and rate limits
//! (`instance/`, `world/`), whether a sequence is new (`seal.rs`).

use super::replay::{Marks, Refused};
use super::seal;
use crate::config::model::vrrp::{Hmac, HmacMode, OldChecksum, Peer};
use crate::config::model::{Auth, ChecksumMode, Family, Version};
use crate::event::RxMeta;
use crate::time::Wall;
use crate::wire::vrrp::{self, Advert, AuthField, Fixed};
use crate::wire::{Bad, ah, hmac, ipv4};
use core::net::IpAddr;
use core::time::Duration;

/// Why an advert is dropped. One counter each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Reject {
    /// Truncated, or longer than its count requires.
    Length,
    /// IPv4 header with a wrong version, header length or checksum.
    IpHeader,
    /// An IPv4 fragment: part of a packet.
    Fragment,
    /// Not IP protocol 112; with AH neither that nor 51.
    Protocol,
    /// TTL or hop limit other than 255: the packet may come from beyond this link. From a unicast peer: outside `min_ttl` and `max_ttl`.
    Ttl,
    /// Another version than the configured one.
    Version,
    /// Not an advertisement.
    Type,
    /// The VRRP checksum is wrong (RFC 9568 §5.2.8), and `old_unicast_checksum` does not accept it.
    Checksum,
    /// No virtual router here has this VRID.
    Vrid,
    /// Another authentication type than the configured one.
    AuthType,
    /// The password of simple text authentication differs from the configured one (V2).
    AuthData,
    /// V2: not the configured interval. V3: zero.
    Interval,
    /// V3: no address, while our own adverts list all of ours.
    Count,
    /// IPv6: a link-local address is in the list, but is not the first one.
    FirstAddress,
    /// V2: not our addresses, none in common with them, and from an unknown router.
    AddressList,
    /// Sent by this router.
    OwnPacket,
    /// Not sent to the group, or to the address that unicast peers send to.
    Destination,
    /// A source address that no router can have.
    Source,
    /// Not from a unicast peer, and `check_unicast_src` or `auth_hmac` is set.
    UnicastSource,
    /// A sequence that was received before, or an earlier one: a replay.
    AuthReplay,
    /// Signed with an unknown key.
    AuthKey,
    /// No trailer of `auth_hmac`, although its `mode` is `enforce`.
    AuthMissing,
    /// Signed too long ago, or by a clock that differs too much from this router's.
    AuthStale,
}

impl Reject {
    /// Every reason, in the order of their [`index`](Reject::index).
    pub const ALL: [Reject; 23] = [
        Reject::Length,
        Reject::IpHeader,
        Reject::Fragment,
        Reject::Protocol,
        Reject::Ttl,
        Reject::Version,
        Reject::Type,
        Reject::Checksum,
        Reject::Vrid,
        Reject::AuthType,
        Reject::AuthData,
        Reject::Interval,
        Reject::Count,
        Reject::FirstAddress,
        Reject::AddressList,
        Reject::OwnPacket,
        Reject::Destination,
        Reject::Source,
        Reject::UnicastSource,
        Reject::AuthReplay,
        Reject::AuthKey,
        Reject::AuthMissing,
        Reject::AuthStale,
    ];

    /// The name of its counter; one word, used in logs too.
    pub fn name(self) -> &'static str {
        match self {
            Reject::Length => "length",
            Reject::IpHeader => "ip-header",
            Reject::Fragment => "fragment",
            Reject::Protocol => "protocol",
            Reject::Ttl => "ttl",
            Reject::Version => "version",
            Reject::Type => "type",
            Reject::Checksum => "checksum",
            Reject::Vrid => "vrid",
            Reject::AuthType => "auth-type",
            Reject::AuthData => "auth-data",
            Reject::Interval => "interval",
            Reject::Count => "count",
            Reject::FirstAddress => "first-address",
            Reject::AddressList => "address-list",
            Reject::OwnPacket => "own-packet",
            Reject::Destination => "destination",
            Reject::Source => "source",
            Reject::UnicastSource => "unicast-source",
            Reject::AuthReplay => "auth-replay",
            Reject::AuthKey => "auth-key",
            Reject::AuthMissing => "auth-missing",
            Reject::AuthStale => "auth-stale",
        }
    }

    /// Its index in [`Reject::ALL`], for an array of counters.
    pub fn index(self) -> usize {
        self as usize
    }
}

impl core::fmt::Display for Reject {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

impl From<Bad> for Reject {
    fn from(bad: Bad) -> Reject {
        match bad {
            Bad::Header => Reject::IpHeader,
            Bad::Fragment => Reject::Fragment,
            Bad::Version => Reject::Version,
            Bad::Type => Reject::Type,
            Bad::Length | Bad::Value | Bad::Missing => Reject::Length,
        }
    }
}

/// The rules for an advert from a unicast peer, in place of the group and of TTL 255.
#[derive(Clone, Copy, Debug)]
pub struct Unicast<'a> {
    /// The address that peers send to: our own.
    pub local: IpAddr,
    /// The configured unicast peers; empty: adverts are multicast.
    pub peers: &'a [Peer],
    /// Adverts of other sources are dropped.
    pub check_source: bool,
    /// The checksums that are accepted beside the right one.
    pub old_checksum: OldChecksum,
}

/// The configuration that an advert is compared with.
#[derive(Clone, Copy, Debug)]
pub struct Profile<'a> {
    /// The address family of the virtual router.
    pub family: Family,
    /// The configured VRRP version.
    pub version: Version,
    /// The VRID of the virtual router.
    pub vrid: u8,
    /// Configured authentication; V2 only.
    pub auth: &'a Auth,
    /// The configured advertisement interval. V2 requires the same of the sender.
    pub advert_int: Duration,
    /// The content of a V3 checksum over IPv4.
    pub checksum: ChecksumMode,
    /// The destination of adverts without unicast peers; with them, the address in an old v3 checksum over IPv4.
    pub group: IpAddr,
    /// The rules for unicast peers, if there are any.
    pub unicast: Option<Unicast<'a>>,
    /// Configured addresses, those that adverts carry.
    pub vips: &'a [IpAddr],
    /// Every configured address, sorted: `vips`, and those that adverts do not carry (`virtual_ipaddress_excluded`, and addresses that do
    /// not fit the MTU).
    pub held: &'a [IpAddr],
    /// `held` has addresses that are not in `vips`.
    pub unlisted: bool,
    /// A router whose advert without any address was accepted before, or that sends no other: see [`verify`] on lists.
    pub lists_none: Option<IpAddr>,
    /// Addresses of the receiving interface. VIPs among them do not count as ours: a returning owner sends from the VIP while this router
    /// still holds it as Master. `virtual_ipaddress_excluded` is left out for the same reason.
    pub own: &'a [IpAddr],
    /// A router whose adverts were accepted before: see [`verify`] on lists.
    pub known: Option<IpAddr>,
    /// `skip_check_adv_addr`: another V2 address list is reported and used, not dropped.
    pub skip_check_adv_addr: bool,
    /// `auth_hmac`: how signatures are verified; `None`: adverts are not signed with it.
    pub hmac: Option<&'a Hmac>,
    /// The wall clock, for the time in signatures.
    pub wall: Wall,
}

/// An advert that passed every check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Heard {
    /// The source address of the packet.
    pub src: IpAddr,
    /// 0: the sender stops being Master.
    pub priority: u8,
    /// The sender's interval, never zero.
    pub interval: Duration,
    /// V3: `interval` is not the configured one. Only logged.
    pub other_interval: bool,
    /// The address list is not ours, and the advert is accepted all the same. Logged and counted.
    pub other_vips: bool,
    /// The address list is empty.
    pub no_vips: bool,
    /// The checksum is the old one of unicast adverts. Only logged.
    pub old_checksum: bool,
    /// Of a signed advert: it is accepted only if this is new.
    pub sequence: Option<u64>,
    /// The sender's clock differs from this router's by more than half of the accepted difference. Logged.
    pub clocks_apart: bool,
}

/// The content of an advert's IP packet.
struct Packet<'a> {
    src: IpAddr,
    dst: Option<IpAddr>,
    ttl: Option<u8>,
    message: &'a [u8],
    // Behind an AH: that header, and the length of the IP header before it.
    ah: Option<(ah::Header, usize)>,
}

/// Removes the IP header, or uses the kernel's metadata in its place.
fn open<'a>(family: Family, meta: &RxMeta, bytes: &'a [u8]) -> Result<Packet<'a>, Reject> {
    match family {
        Family::V4 => {
            let (h, payload) = ipv4::parse(bytes)?;
            let (message, ah) = match h.proto {
                vrrp::PROTO => (payload, None),
                ah::PROTO => {
                    let wrong = |bad| if bad == Bad::Type { Reject::Protocol } else { Reject::Length };
                    let (header, message) = ah::parse(payload).map_err(wrong)?;
                    (message, Some((header, h.header_len)))
                }
                _ => return Err(Reject::Protocol),
            };
            Ok(Packet { src: h.src.into(), dst: Some(h.dst.into()), ttl: Some(h.ttl), message, ah })
        }
        // The socket is bound to next header 112, so there is no protocol to check.
        Family::V6 => {
            Ok(Packet { src: meta.src, dst: meta.dst.map(IpAddr::V6), ttl: meta.hop_limit, message: bytes, ah: None })
        }
    }
}

/// The VRID of a datagram, to find the profile for [`verify`]. It proves only the lengths and the IP header.
///
/// # Errors Lengths and the IP header.
pub fn peek_vrid(family: Family, meta: &RxMeta, bytes: &[u8]) -> Result<u8, Reject> {
    Ok(Fixed::parse(open(family, meta, bytes)?.message)?.vrid)
}

/// The sender's data in any advert, also a refused one: only for the detection of another Master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Glimpse {
    /// The version field of the advert, 0..=15.
    pub version: u8,
    /// 0: the sender stops being Master.
    pub priority: u8,
    /// The advertisement interval in the advert.
    pub interval: Duration,
    /// The address list is empty.
    #[serde(default)]
    pub no_vips: bool,
}

/// The data that can be read without any check; `None`: they cannot be read, or the packet is no advertisement.
pub fn glimpse(family: Family, meta: &RxMeta, bytes: &[u8]) -> Option<Glimpse> {
    let fixed = Fixed::parse(open(family, meta, bytes).ok()?.message).ok().filter(Fixed::is_advertisement)?;
    let interval = match fixed.version {
        3 => Duration::from_millis(10 * u64::from(u16::from_be_bytes(fixed.word) & 0x0fff)),
        _ => Duration::from_secs(u64::from(fixed.word[1])),
    };
    Some(Glimpse { version: fixed.version, priority: fixed.priority, interval, no_vips: fixed.count == 0 })
}

/// Compares a datagram with a profile; the first check that fails names the reason (R-028..R-052). IPv4: `bytes` is the whole IP packet.
/// IPv6: `bytes` is the message, and a value that `meta` lacks fails its check.
///
/// That this router is the address owner is no reason to drop: by RFC 9568 erratum 8298 the election decides.
///
/// RFC 3768 makes the comparison of V2 address lists optional, and requires an advert that fails it to be dropped. Compared
/// literally, every roll-out of a further address splits the network: the routers get their new files one after the other, and between
/// the first and the last each drops the other's adverts, so that there are two Masters (keepalived up to 2.3.2; later ones only log).
/// The comparison is useful to detect that another router uses our VRID. So a list is accepted if it shares an address with ours, because
/// at worst two Masters share an address, or if it is from the router whose adverts were accepted before, whose only address may just
/// have been replaced. An advert of an unknown router without a common address is dropped as before, and no timer changes. A list that
/// differs is reported ([`Heard::other_vips`]) in every case.
///
/// A common address is one that this router holds, advertised or not: the peer may advertise an address that is here in
/// `virtual_ipaddress_excluded`, or its larger MTU may carry addresses that ours does not.
///
/// RFC 9568 §5.2.5 ignores an advert without addresses. A router all of whose addresses are excluded sends nothing else, and two
/// of them would be Masters for ever. So an empty list is accepted where routers are known not to list everything: our own list is empty
/// or does not contain all our addresses, or the sender's empty list was accepted before (our own file may just have got its first
/// address), or the sender sent some that were dropped: it sends no other, and has its addresses in `virtual_ipaddress_excluded`
/// (`Instance::on_reject`). An empty list of ours leaves nothing to compare, so every list is accepted.
///
/// # Errors The reason.
pub fn verify(profile: &Profile<'_>, meta: &RxMeta, bytes: &[u8]) -> Result<Heard, Reject> {
    let packet = open(profile.family, meta, bytes)?;
    let fixed = Fixed::parse(packet.message)?;
    check_ttl(profile, &packet)?;
    require(fixed.version == number(profile.version), Reject::Version)?;
    // Type, then completeness: an unknown type may have another layout.
    let (message, trailer) = split(profile, &fixed, packet.message);
    let advert = vrrp::parse(profile.family, message)?;
    // Without a destination there is no pseudo-header, and no group to check.
    let dst = packet.dst.ok_or(Reject::Destination)?;
    // Over IPv6 the checksum covers the trailer too.
    let summed = if profile.family == Family::V6 { packet.message } else { message };
    let sum = |dst| vrrp::checksum_ok(advert.version, profile.checksum, packet.src, dst, summed);
    // both checksums are accepted, packet by packet; an earlier packet of a peer has no influence on the next one.
    let takes_old = profile.unicast.is_some_and(|u| dst.is_ipv4() && u.old_checksum != OldChecksum::Never);
    let right = sum(dst);
    require(right || (takes_old && sum(profile.group)), Reject::Checksum)?;
    require(advert.vrid == profile.vrid, Reject::Vrid)?;
    let signed = match profile.hmac {
        Some(hmac) => check_hmac(profile, hmac, packet.src, message, trailer)?,
        None => {
            require(packet.ah.is_none() || matches!(profile.auth, Auth::Ah(_)), Reject::Protocol)?;
            check_auth(profile.auth, advert.auth, &packet, bytes, profile.unicast.is_none())?
        }
    };
    let interval = advert.interval();
    let other_interval = interval != profile.advert_int;
    // a zero would make every Backup that learns it Master at once. R-041: in V2 the interval must be the configured one.
    require(!interval.is_zero(), Reject::Interval)?;
    require(advert.version == Version::V3 || !other_interval, Reject::Interval)?;
    let other_vips = check_list(profile, &packet.src, &advert)?;
    let no_vips = advert.addrs.is_empty();
    require(profile.vips.contains(&packet.src) || !profile.own.contains(&packet.src), Reject::OwnPacket)?;
    require(dst == profile.unicast.map_or(profile.group, |u| u.local), Reject::Destination)?;
    require(is_router(profile.family, profile.unicast.is_some(), &packet.src), Reject::Source)?;
    if let Some(u) = profile.unicast.filter(|u| u.check_source) {
        require(u.peers.iter().any(|p| p.addr == packet.src), Reject::UnicastSource)?;
    }
    let old_checksum = !right;
    Ok(Heard {
        src: packet.src,
        priority: advert.priority,
        interval,
        other_interval,
        other_vips,
        no_vips,
        old_checksum,
        sequence: signed.map(|(sequence, _)| sequence),
        clocks_apart: signed.is_some_and(|(_, apart)| apart),
    })
}

/// R-030; for a unicast peer the limits of its line.
fn check_ttl(profile: &Profile<'_>, packet: &Packet<'_>) -> Result<(), Reject> {
    let Some(u) = profile.unicast else { return require(packet.ttl == Some(vrrp::TTL), Reject::Ttl) };
    let peer = u.peers.iter().find(|p| p.addr == packet.src);
    let Some(peer) = peer.filter(|p| p.min_ttl.is_some() || p.max_ttl.is_some()) else { return Ok(()) };
    let range = peer.min_ttl.unwrap_or(0)..=peer.max_ttl.unwrap_or(u8::MAX);
    require(packet.ttl.is_some_and(|ttl| range.contains(&ttl)), Reject::Ttl)
}

fn require(good: bool, or: Reject) -> Result<(), Reject> {
    if good { Ok(()) } else { Err(or) }
}

fn number(version: Version) -> u8 {
    match version {
        Version::V2 => 2,
        Version::V3 => 3,
    }
}

/// ..R-130. `None` is a V3 advert: it has no authentication. Returns the sequence of a signed one, and whether its
/// clock differs.
fn check_auth(
    ours: &Auth,
    theirs: Option<AuthField>,
    packet: &Packet<'_>,
    bytes: &[u8],
    multicast: bool,
) -> Result<Option<(u64, bool)>, Reject> {
    let Some(theirs) = theirs else { return Ok(None) };
    match ours {
        // The data of type 0 is ignored. With a trailer of `auth_hmac`, type and data are ignored.
        Auth::None => require(theirs.kind == 0, Reject::AuthType)?,
        Auth::Pass(secret) => {
            require(theirs.kind == 1, Reject::AuthType)?;
            require(same_secret(secret, &theirs.data), Reject::AuthData)?;
        }
        Auth::Ah(key) => {
            let (header, header_len) = packet.ah.ok_or(Reject::AuthType)?;
            require(theirs.kind == 2, Reject::AuthType)?;
            require(IpAddr::V4(header.spi) == packet.src, Reject::AuthData)?;
            require(ah::verifies(bytes, header_len, key, multicast), Reject::AuthData)?;
            return Ok(Some((header.sequence.into(), false)));
        }
    }
    Ok(None)
}

/// The message and the trailer of `auth_hmac`, if there is one: only the length determines that.
fn split<'a>(profile: &Profile<'_>, fixed: &Fixed, message: &'a [u8]) -> (&'a [u8], Option<&'a [u8]>) {
    let at = fixed.length(profile.family);
    let signed = profile.hmac.is_some() && message.len() == at + hmac::LEN;
    match message.split_at_checked(at).filter(|_| signed) {
        Some((message, trailer)) => (message, Some(trailer)),
        None => (message, None),
    }
}

/// freshness, which is cheap, before the signature; a trailer must be right in every mode.
fn check_hmac(
    profile: &Profile<'_>,
    ours: &Hmac,
    src: IpAddr,
    message: &[u8],
    trailer: Option<&[u8]>,
) -> Result<Option<(u64, bool)>, Reject> {
    let Some(bytes) = trailer else {
        require(ours.mode != HmacMode::Enforce, Reject::AuthMissing)?;
        return Ok(None);
    };
    let trailer = hmac::parse(bytes).map_err(|_| Reject::AuthType)?;
    let key = ours.keys.iter().find(|k| k.id == trailer.key_id).ok_or(Reject::AuthKey)?;
    let mode = seal::mode_of(ours, profile.advert_int);
    let apart = Marks::fresh(mode, profile.wall, trailer.sequence).map_err(refused)?;
    let context = hmac::Context { version: number(profile.version), vrid: profile.vrid, src };
    require(hmac::verifies(&context, message, bytes, &key.bytes()), Reject::AuthData)?;
    let peer = profile.unicast.is_none_or(|u| u.peers.iter().any(|p| p.addr == src));
    require(peer, Reject::UnicastSource)?;
    Ok(Some((trailer.sequence, apart)))
}

/// The reason to drop an advert.
pub fn refused(why: Refused) -> Reject {
    match why {
        Refused::Stale(_) => Reject::AuthStale,
        Refused::Replay => Reject::AuthReplay,
    }
}

/// Compares in constant time: the time does not depend on the number of equal bytes.
fn same_secret(a: &[u8; 8], b: &[u8; 8]) -> bool {
    let difference = a.iter().zip(b).fold(0, |d, (x, y)| d | core::hint::black_box(x ^ y));
    core::hint::black_box(difference) == 0
}

/// Checks count, first address and list; returns whether the list differs from ours and the advert is accepted all the same.
fn check_list(profile: &Profile<'_>, src: &IpAddr, advert: &Advert<'_>) -> Result<bool, Reject> {
    if advert.addrs.is_empty() {
        let counts = profile.vips.is_empty() || profile.unlisted || profile.lists_none == Some(*src);
        // RFC 3768 has no rule for the count; there it is a list that is not ours, also for the owner.
        require(counts, if advert.version == Version::V2 { Reject::AddressList } else { Reject::Count })?;
        return Ok(!profile.vips.is_empty());
    }
    if profile.vips.is_empty() {
        return Ok(true);
    }
    // R-045, required of others only if our own list begins so: keepalived sends its list in the file's order, and with the many files
    // that begin with a global address no advert on the link would be accepted, and every router would be Master. It is not required of a
    // list without any link-local address either: a router whose file has none yet sends such a list.
    let link_local_first = profile.family == Family::V6 && profile.vips.first().is_some_and(vrrp::is_link_local);
    if link_local_first && advert.addrs.iter().any(|a| vrrp::is_link_local(&a)) {
        require(advert.addrs.iter().next().is_some_and(|a| vrrp::is_link_local(&a)), Reject::FirstAddress)?;
    }
    if same_set(advert, profile.vips) {
        return Ok(false);
    }
    // in V2 the owner's list may differ, and that of a known router. R-047: in V3 it is only logged.
    let counts = advert.version == Version::V3
        || advert.priority == u8::MAX
        || profile.skip_check_adv_addr
        || profile.known == Some(*src)
        || advert.addrs.iter().any(|a| profile.held.binary_search(&a).is_ok());
    require(counts, Reject::AddressList)?;
    Ok(true)
}

/// Whether both lists contain the same addresses, in any order and any number.
fn same_set(advert: &Advert<'_>, vips: &[IpAddr]) -> bool {
    // The usual case: the routers have one configuration. Compared without a copy.
    if advert.addrs.iter().eq(vips.iter().copied()) {
        return true;
    }
    // Sorted, not compared pairwise: 255 × 255 comparisons per packet would help a flood.
    let sorted = |mut list: Vec<IpAddr>| {
        list.sort_unstable();
        list.dedup();
        list
    };
    sorted(advert.addrs.iter().collect()) == sorted(vips.to_vec())
}

/// IPv6 adverts to a group come from link-local addresses, so there any other is refused.
fn is_router(family: Family, unicast: bool, src: &IpAddr) -> bool {
    match (family, src) {
        (Family::V4, IpAddr::V4(a)) => !(a.is_unspecified() || a.is_multicast() || a.is_broadcast() || a.is_loopback()),
        (Family::V6, IpAddr::V6(a)) if unicast => !(a.is_unspecified() || a.is_multicast() || a.is_loopback()),
        (Family::V6, IpAddr::V6(a)) => a.is_unicast_link_local(),
        _ => false,
    }
}
