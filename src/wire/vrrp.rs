//! The VRRP message, versions 2 (RFC 3768 §5) and 3 (RFC 9568 §5), and whole adverts ready to send.
//!
//! Reading checks the form only; `vrrp/advert.rs` decides whether an advert is accepted. Read first: `checksum.rs`, `ipv4.rs`.
//! Deliberately absent: the AH of RFC 2338 (`ah.rs`) and the trailer of `auth_hmac` (`hmac.rs`), which are put around a whole packet.

use super::{Bad, array, checksum, ipv4, ipv6};
use crate::net::{Auth, ChecksumMode, Family, Version};
use bytes::{BufMut, Bytes, BytesMut};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

/// IP protocol number.
pub const PROTO: u8 = 112;
/// TTL or hop limit of every advert.
pub const TTL: u8 = 255;
/// TOS or traffic class: CS6, internetwork control.
pub const TOS: u8 = 0xc0;
/// Largest interval a version 2 advert can say.
pub const MAX_V2: Duration = Duration::from_secs(255);
/// Largest interval a version 3 advert can say.
pub const MAX_V3: Duration = Duration::from_millis(40_950);

/// Bytes before the address list.
const FIXED: usize = 8;
/// Bytes of version 2's authentication data, present whatever its type.
const AUTH_DATA: usize = 8;
/// The type of authentication with an Authentication Header.
const AUTH_AH: u8 = 2;
/// The one message type there is.
const ADVERTISEMENT: u8 = 1;

/// The first eight bytes, whatever version and type they are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed {
    /// Version field, 0..=15.
    pub version: u8,
    /// Message type, 0..=15.
    pub kind: u8,
    /// Virtual Router Identifier.
    pub vrid: u8,
    /// 0 is a farewell, 255 the address owner.
    pub priority: u8,
    /// The number of addresses that follow, as the field says.
    pub count: u8,
    /// Version 2: authentication type and interval. Version 3: reserved nibble and interval.
    pub word: [u8; 2],
}

impl Fixed {
    /// Reads the part that all versions share.
    ///
    /// # Errors
    /// [`Bad::Length`] below eight bytes.
    pub fn parse(message: &[u8]) -> Result<Fixed, Bad> {
        let [vt, vrid, priority, count, w0, w1, _, _] = array::<FIXED>(message, 0)?;
        Ok(Fixed { version: vt >> 4, kind: vt & 0x0f, vrid, priority, count, word: [w0, w1] })
    }

    /// Bytes of a message of a known version with this many addresses.
    pub fn length(&self, family: Family) -> usize {
        let auth_data = if self.version == 2 { AUTH_DATA } else { 0 };
        FIXED + usize::from(self.count) * addr_len(family) + auth_data
    }

    /// Whether this is an advertisement, the one type there is.
    pub fn is_advertisement(&self) -> bool {
        self.kind == ADVERTISEMENT
    }
}

/// A well-formed advert. Borrows from the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advert<'a> {
    /// Version of the protocol, 2 or 3.
    pub version: Version,
    /// Virtual router, 0 included: nobody can configure that one.
    pub vrid: u8,
    /// 0 is a farewell, 255 the address owner.
    pub priority: u8,
    /// As sent: version 2 in seconds, 0..=255; version 3 in hundredths of a second, 0..=4095, reserved nibble masked.
    pub interval: u16,
    /// Version 2: authentication type and data.
    pub auth: Option<AuthField>,
    /// Addresses, as many as the count field says.
    pub addrs: Addrs<'a>,
}

/// Version 2's authentication fields as received. No `Debug`: the data may be a password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AuthField {
    /// 0 none, 1 password, 2 AH.
    pub kind: u8,
    /// Authentication data, eight bytes: of type 1 the password.
    pub data: [u8; AUTH_DATA],
}

impl core::fmt::Debug for AuthField {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "AuthField {{ kind: {}, data: ******** }}", self.kind)
    }
}

/// The address list of a received advert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addrs<'a> {
    family: Family,
    bytes: &'a [u8],
}

impl<'a> Addrs<'a> {
    /// In the order of the packet.
    pub fn iter(self) -> impl Iterator<Item = IpAddr> + 'a {
        let Addrs { family, bytes } = self;
        bytes.chunks_exact(addr_len(family)).filter_map(move |c| match family {
            Family::V4 => array::<4>(c, 0).ok().map(|a| IpAddr::V4(Ipv4Addr::from(a))),
            Family::V6 => array::<16>(c, 0).ok().map(|a| IpAddr::V6(Ipv6Addr::from(a))),
        })
    }
    /// The number of addresses, 0..=255.
    pub fn len(self) -> usize {
        self.bytes.len() / addr_len(self.family)
    }
    /// Whether the list has no address.
    pub fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }
}

const fn addr_len(family: Family) -> usize {
    match family {
        Family::V4 => 4,
        Family::V6 => 16,
    }
}

impl<'a> Advert<'a> {
    /// The interval in time.
    pub fn interval(&self) -> Duration {
        match self.version {
            Version::V2 => Duration::from_secs(self.interval.into()),
            Version::V3 => Duration::from_millis(u64::from(self.interval) * 10),
        }
    }
}

/// Reads a message: everything after the IP header. The length must be exactly what version, family and count ask for
/// . The checksum is not looked at: see [`checksum_ok`].
///
/// # Errors
/// [`Bad::Version`] (2 exists for IPv4 only), [`Bad::Type`], [`Bad::Length`], tested in that order behind the first
/// eight bytes: an unknown version or type may have another layout.
pub fn parse(family: Family, message: &[u8]) -> Result<Advert<'_>, Bad> {
    let fixed = Fixed::parse(message)?;
    let version = match (fixed.version, family) {
        (2, Family::V4) => Version::V2,
        (3, _) => Version::V3,
        _ => return Err(Bad::Version),
    };
    if !fixed.is_advertisement() {
        return Err(Bad::Type);
    }
    let end = FIXED + usize::from(fixed.count) * addr_len(family);
    let bytes = message.get(FIXED..end).ok_or(Bad::Length)?;
    let rest = &message[end..];
    let (interval, auth) = match version {
        Version::V2 => {
            let data = <[u8; AUTH_DATA]>::try_from(rest).map_err(|_| Bad::Length)?;
            (u16::from(fixed.word[1]), Some(AuthField { kind: fixed.word[0], data }))
        }
        Version::V3 if rest.is_empty() => (u16::from_be_bytes(fixed.word) & 0x0fff, None),
        Version::V3 => return Err(Bad::Length),
    };
    let addrs = Addrs { family, bytes };
    Ok(Advert { version, vrid: fixed.vrid, priority: fixed.priority, interval, auth, addrs })
}

/// Whether the checksum of `message` is right for this version, family and mode. There is no value that means "not
/// summed", and no mode that does not look (R-036, R-037).
///
/// Where `mode` asks for the sum over the message only, the one with a pseudo-header is accepted too: the router that needs this mode
/// is one of several, and who advertises with the other sum would not be heard and there would be two Masters. In the usual mode
/// the sum over the message only is refused: nobody asked for it, and it does not protect the addresses of the packet.
pub fn checksum_ok(version: Version, mode: ChecksumMode, src: IpAddr, dst: IpAddr, message: &[u8]) -> bool {
    let right =
        |mode| start_sum(version, mode, src, dst, message.len()).is_some_and(|s| s.bytes(message).finish() == 0);
    right(mode) || (mode == ChecksumMode::MessageOnly && right(ChecksumMode::PseudoHeader))
}

/// A packet (or, of IPv6, a message) of version 2 with a password, with another one in its place; `None`: there is none in it. The checksum
/// is changed by as much, so that it is right if it was right before (RFC 1624). What is too short for its address list has its
/// password at the end. With an Authentication Header the field is zero and no password.
pub fn mask_auth(packet: &[u8], stand_in: &mut dyn FnMut([u8; AUTH_DATA]) -> [u8; AUTH_DATA]) -> Option<Vec<u8>> {
    let first = *packet.first()?;
    let start = match first >> 4 {
        4 if packet.get(9) == Some(&PROTO) => usize::from(first & 15) * 4,
        4 | 6 => return None,
        _ => 0,
    };
    let message = packet.get(start..)?;
    let kind = message.get(4).copied()?;
    if message.first()? >> 4 != 2 || kind == 0 {
        return None;
    }
    let listed = FIXED + usize::from(*message.get(3)?) * addr_len(Family::V4);
    let at =
        if listed + AUTH_DATA <= message.len() { listed } else { message.len().checked_sub(AUTH_DATA)?.max(FIXED) };
    let old: [u8; AUTH_DATA] = message.get(at..)?.first_chunk().copied()?;
    if kind == AUTH_AH && old == [0; AUTH_DATA] {
        return None;
    }
    let new = stand_in(old);
    let mut out = packet.to_vec();
    let body = out.get_mut(start..)?;
    body.get_mut(at..at + AUTH_DATA)?.copy_from_slice(&new);
    let words =
        |b: [u8; AUTH_DATA]| b.chunks_exact(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).collect::<Vec<_>>();
    let sum: [u8; 2] = body.get(6..8)?.try_into().ok()?;
    let mut total = u32::from(!u16::from_be_bytes(sum));
    for (old, new) in words(old).into_iter().zip(words(new)) {
        total += (!old & 0xffff) + new;
    }
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    body.get_mut(6..8)?.copy_from_slice(&(!(total as u16)).to_be_bytes());
    Some(out)
}

/// What is summed before the message itself.
fn start_sum(version: Version, mode: ChecksumMode, src: IpAddr, dst: IpAddr, len: usize) -> Option<checksum::Sum> {
    match (version, mode, src) {
        //
        (Version::V2, _, _) => Some(checksum::Sum::default()),
        // R-018 to the letter.
        (Version::V3, ChecksumMode::MessageOnly, IpAddr::V4(_)) => Some(checksum::Sum::default()),
        // R-018 as the field does it; R-019.
        (Version::V3, _, _) => checksum::pseudo(src, dst, PROTO, len),
    }
}

/// Everything an advert is made of.
#[derive(Clone, Debug)]
pub struct AdvertSpec<'a> {
    /// Family of the packet.
    pub family: Family,
    /// V2 with IPv4 only; `lower.rs` sees to that.
    pub version: Version,
    /// Virtual Router Identifier, 1..=255.
    pub vrid: u8,
    /// 0 for a farewell.
    pub priority: u8,
    /// Our own configured interval, never a learned one. Cut to what the field can say, so that a rounded 4096
    /// never goes out as 0.
    pub interval: Duration,
    /// V2 only; V3 has none.
    pub auth: &'a Auth,
    /// V3 over IPv4 only.
    pub checksum: ChecksumMode,
    /// Sender: to a group, IPv4 the interface's primary address, IPv6 its link-local one; to peers any address.
    pub src: IpAddr,
    /// Group, or unicast peer.
    pub dst: IpAddr,
    /// VIPs in configured order. Only the first 255 of `family` can be said; `lower.rs` refuses more.
    pub addrs: &'a [IpAddr],
}

/// Where the packet of a unicast advert differs from one to the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToPeer {
    /// TTL or hop limit of the packet (`unicast_ttl`).
    pub ttl: u8,
    /// `old_unicast_checksum`: the destination that a v3 checksum over IPv4 is made with, in place of the peer's address.
    pub summed: Option<IpAddr>,
}

/// The whole IP packet of an advert, for a socket with `IP_HDRINCL` or `IPV6_HDRINCL` (R-001..R-024).
///
/// An IPv6 list goes out with the first link-local address in front, whatever the file's order; apart from that
/// the configured order is kept. Whether the packet fits the MTU is for the caller to have checked: an
/// IPv4 list of 255 makes 1056 bytes, an IPv6 one 4128. Addresses that contradict `family` count as unspecified.
pub fn packet(spec: &AdvertSpec<'_>) -> Bytes {
    packet_to(spec, ToPeer { ttl: TTL, summed: None })
}

/// As [`packet`], to a unicast peer.
pub fn packet_to(spec: &AdvertSpec<'_>, peer: ToPeer) -> Bytes {
    let ToPeer { ttl, summed } = peer;
    let addrs = listed(spec);
    let auth_data = if spec.version == Version::V2 { AUTH_DATA } else { 0 };
    let len = FIXED + addrs.len() * addr_len(spec.family) + auth_data;
    let mut out = BytesMut::with_capacity(ipv6::HEADER + len);
    let (src, dst) = match spec.family {
        Family::V4 => {
            let (src, dst) = (v4(spec.src), v4(spec.dst));
            ipv4::put_header(&mut out, src, dst, ttl, PROTO, TOS, len);
            (IpAddr::V4(src), summed.unwrap_or(IpAddr::V4(dst)))
        }
        Family::V6 => {
            let (src, dst) = (v6(spec.src), v6(spec.dst));
            ipv6::put_header(&mut out, src, dst, ttl, PROTO, TOS, len);
            (IpAddr::V6(src), IpAddr::V6(dst))
        }
    };
    let start = out.len();
    put_message(&mut out, spec, &addrs);
    let sum = start_sum(spec.version, spec.checksum, src, dst, len).unwrap_or_default().bytes(&out[start..]).finish();
    out[start + 6..start + 8].copy_from_slice(&sum.to_be_bytes());
    out.freeze()
}

/// How many addresses an advert can carry in one packet of `mtu` bytes, at most 255.
pub fn fits(family: Family, version: Version, mtu: u32) -> usize {
    let header = match family {
        Family::V4 => ipv4::HEADER,
        Family::V6 => ipv6::HEADER,
    };
    let auth_data = if version == Version::V2 { AUTH_DATA } else { 0 };
    let room = usize::try_from(mtu).unwrap_or(usize::MAX).saturating_sub(header + FIXED + auth_data);
    (room / addr_len(family)).min(usize::from(u8::MAX))
}

fn put_message(out: &mut BytesMut, spec: &AdvertSpec<'_>, addrs: &[IpAddr]) {
    let (auth_kind, auth_data) = match spec.auth {
        Auth::None => (0, [0; AUTH_DATA]),
        Auth::Pass(secret) => (1, *secret),
        Auth::Ah(_) => (AUTH_AH, [0; AUTH_DATA]),
    };
    let version: u8 = if spec.version == Version::V2 { 2 } else { 3 };
    out.put_u8((version << 4) | ADVERTISEMENT);
    out.put_u8(spec.vrid);
    out.put_u8(spec.priority);
    out.put_u8(addrs.len() as u8); // at most 255, see `listed`
    match spec.version {
        Version::V2 => out.put_slice(&[auth_kind, spec.interval.min(MAX_V2).as_secs().max(1) as u8]),
        Version::V3 => out.put_u16((spec.interval.min(MAX_V3).as_millis() / 10).max(1) as u16),
    }
    out.put_u16(0); // the checksum, summed as zero
    for a in addrs {
        match a {
            IpAddr::V4(a) => out.put_slice(&a.octets()),
            IpAddr::V6(a) => out.put_slice(&a.octets()),
        }
    }
    if spec.version == Version::V2 {
        out.put_slice(&auth_data);
    }
}

/// The address list as it is sent.
fn listed(spec: &AdvertSpec<'_>) -> Vec<IpAddr> {
    let mut list: Vec<IpAddr> =
        spec.addrs.iter().copied().filter(|a| Family::of(a) == spec.family).take(usize::from(u8::MAX)).collect();
    debug_assert_eq!(list.len(), spec.addrs.len(), "one family, at most 255 addresses");
    if let Some(at) = list.iter().position(is_link_local) {
        list[..=at].rotate_right(1);
    }
    list
}

/// Whether this is an IPv6 link-local unicast address, fe80::/10.
pub fn is_link_local(addr: &IpAddr) -> bool {
    matches!(addr, IpAddr::V6(a) if a.is_unicast_link_local())
}

fn v4(addr: IpAddr) -> Ipv4Addr {
    match addr {
        IpAddr::V4(a) => a,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    }
}

fn v6(addr: IpAddr) -> Ipv6Addr {
    match addr {
        IpAddr::V6(a) => a,
        IpAddr::V4(_) => Ipv6Addr::UNSPECIFIED,
    }
}
