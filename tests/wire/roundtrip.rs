//! Round trips of adverts: a receiver with the sender's configuration accepts what it sends, for any configuration; it refuses a packet in
//! which one byte was changed; and no input panics.

use kalived::config::model::{Auth, ChecksumMode, Family, Version, default_group};
use kalived::event::RxMeta;
use kalived::time::Duration;
use kalived::vrrp::advert::{Heard, Profile, peek_vrid, verify};
use kalived::wire::vrrp::{AdvertSpec, packet};
use kalived::wire::{ipv4, ipv6};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[derive(Clone, Debug)]
struct Router {
    family: Family,
    version: Version,
    vrid: u8,
    priority: u8,
    interval: Duration,
    auth: Auth,
    checksum: ChecksumMode,
    src: IpAddr,
    vips: Vec<IpAddr>,
}

impl Router {
    fn packet(&self) -> bytes::Bytes {
        packet(&AdvertSpec {
            family: self.family,
            version: self.version,
            vrid: self.vrid,
            priority: self.priority,
            interval: self.interval,
            auth: &self.auth,
            checksum: self.checksum,
            src: self.src,
            dst: default_group(self.family),
            addrs: &self.vips,
        })
    }

    fn profile(&self) -> Profile<'_> {
        Profile {
            family: self.family,
            version: self.version,
            vrid: self.vrid,
            auth: &self.auth,
            advert_int: self.interval,
            checksum: self.checksum,
            group: default_group(self.family),
            unicast: None,
            vips: &self.vips,
            held: &[],
            unlisted: false,
            lists_none: None,
            own: &[],
            known: None,
            skip_check_adv_addr: false,
            hmac: None,
            wall: kalived::time::Wall(0),
        }
    }
}

fn v4() -> impl Strategy<Value = IpAddr> {
    (1u32..0x7f00_0000).prop_map(|a| Ipv4Addr::from(a).into())
}

fn link_local() -> impl Strategy<Value = IpAddr> {
    any::<u64>().prop_map(|low| Ipv6Addr::from((0xfe80u128 << 112) | u128::from(low)).into())
}

fn v6() -> impl Strategy<Value = IpAddr> {
    prop_oneof![link_local(), any::<u128>().prop_map(|a| Ipv6Addr::from((0x2001u128 << 112) | (a >> 16)).into())]
}

fn mode() -> impl Strategy<Value = ChecksumMode> {
    prop_oneof![Just(ChecksumMode::PseudoHeader), Just(ChecksumMode::MessageOnly)]
}

fn router() -> impl Strategy<Value = Router> {
    let auth = prop_oneof![Just(Auth::None), any::<[u8; 8]>().prop_map(Auth::Pass)];
    let v2 = (v4(), prop::collection::vec(v4(), 0..=255), 1u64..=255, auth, mode()).prop_map(
        |(src, vips, secs, auth, checksum)| {
            (Family::V4, Version::V2, src, vips, Duration::from_secs(secs), auth, checksum)
        },
    );
    let cs = (1u64..=4095).prop_map(|cs| Duration::from_millis(cs * 10));
    let v3_4 = (v4(), prop::collection::vec(v4(), 0..=255), cs.clone(), mode())
        .prop_map(|(src, vips, i, checksum)| (Family::V4, Version::V3, src, vips, i, Auth::None, checksum));
    let v3_6 = (link_local(), prop::collection::vec(v6(), 0..=255), cs, mode())
        .prop_map(|(src, vips, i, checksum)| (Family::V6, Version::V3, src, vips, i, Auth::None, checksum));
    (prop_oneof![v2, v3_4, v3_6], any::<u8>(), any::<u8>()).prop_map(|(r, vrid, priority)| {
        let (family, version, src, vips, interval, auth, checksum) = r;
        Router { family, version, vrid, priority, interval, auth, checksum, src, vips }
    })
}

/// The packet as a raw socket delivers it: over IPv4 with its IP header, over IPv6 without.
fn delivered(family: Family, packet: &[u8]) -> (RxMeta, &[u8]) {
    match family {
        Family::V4 => (RxMeta { src: ipv4::parse(packet).unwrap().0.src.into(), dst: None, hop_limit: None }, packet),
        Family::V6 => {
            let (h, message) = ipv6::parse(packet).unwrap();
            assert_eq!((h.next_header, h.class), (112, 0xc0));
            (RxMeta { src: h.src.into(), dst: Some(h.dst), hop_limit: Some(h.hop_limit) }, message)
        }
    }
}

fn meta() -> impl Strategy<Value = RxMeta> {
    (link_local(), any::<Option<u128>>(), any::<Option<u8>>()).prop_map(|(src, dst, hop_limit)| RxMeta {
        src,
        dst: dst.map(Ipv6Addr::from),
        hop_limit,
    })
}

proptest! {
    #[test]
    fn what_is_sent_is_heard(r in router()) {
        let sent = r.packet();
        let (meta, bytes) = delivered(r.family, &sent);
        prop_assert_eq!(peek_vrid(r.family, &meta, bytes), Ok(r.vrid));
        let want = Heard {
            src: r.src,
            priority: r.priority,
            interval: r.interval,
            other_interval: false,
            other_vips: false,
            no_vips: r.vips.is_empty(),
            old_checksum: false,
            sequence: None,
            clocks_apart: false,
        };
        prop_assert_eq!(verify(&r.profile(), &meta, bytes), Ok(want));
    }

    #[test]
    fn one_changed_byte_is_refused(r in router(), at in any::<prop::sample::Index>(), by in 1u8..) {
        let mut sent = r.packet().to_vec();
        // Over IPv6 the socket delivers no header.
        let first = if r.family == Family::V6 { 40 } else { 0 };
        let at = first + at.index(sent.len() - first);
        sent[at] ^= by;
        let verdict = if r.family == Family::V6 {
            let (meta, bytes) = delivered(r.family, &sent);
            verify(&r.profile(), &meta, bytes)
        } else {
            let meta = RxMeta { src: r.src, dst: None, hop_limit: None };
            verify(&r.profile(), &meta, &sent)
        };
        prop_assert!(verdict.is_err(), "{verdict:?}");
    }

    #[test]
    fn no_bytes_make_it_panic(r in router(), meta in meta(), bytes in prop::collection::vec(any::<u8>(), 0..1500)) {
        prop_assert!(verify(&r.profile(), &meta, &bytes).is_err());
        let _ = peek_vrid(r.family, &meta, &bytes);
        let _ = ipv6::parse(&bytes);
    }
}

#[test]
fn an_interval_the_field_cannot_say_never_goes_out_as_zero() {
    let field = |version, interval| {
        let r = Router {
            family: Family::V4,
            version,
            vrid: 1,
            priority: 100,
            interval,
            auth: Auth::None,
            checksum: ChecksumMode::PseudoHeader,
            src: Ipv4Addr::new(10, 0, 0, 1).into(),
            vips: vec![Ipv4Addr::new(10, 0, 0, 2).into()],
        };
        let sent = r.packet();
        u16::from_be_bytes([sent[24], sent[25]])
    };
    assert_eq!(field(Version::V3, Duration::from_micros(40_958_000)), 4095);
    assert_eq!(field(Version::V3, Duration::from_secs(1000)), 4095);
    assert_eq!(field(Version::V3, Duration::from_millis(1)), 1);
    assert_eq!(field(Version::V2, Duration::from_millis(10)), 1);
    assert_eq!(field(Version::V2, Duration::from_secs(1000)), 255);
}

#[test]
fn an_ipv6_list_begins_with_its_link_local_address() {
    let a = |s: &str| -> IpAddr { s.parse().unwrap() };
    let vips = vec![a("2001:db8::1"), a("2001:db8::2"), a("fe80::1"), a("2001:db8::3")];
    let r = Router {
        family: Family::V6,
        version: Version::V3,
        vrid: 1,
        priority: 100,
        interval: Duration::from_secs(1),
        auth: Auth::None,
        checksum: ChecksumMode::PseudoHeader,
        src: a("fe80::30"),
        vips,
    };
    let sent = r.packet();
    let advert = kalived::wire::vrrp::parse(Family::V6, &sent[40..]).unwrap();
    let order: Vec<IpAddr> = advert.addrs.iter().collect();
    assert_eq!(order, [a("fe80::1"), a("2001:db8::1"), a("2001:db8::2"), a("2001:db8::3")]);
    let (meta, bytes) = delivered(Family::V6, &sent);
    assert!(!verify(&r.profile(), &meta, bytes).unwrap().other_vips);
}
