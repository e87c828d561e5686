//! The packets of `vrrp-vectors.json`: each gets its verdict, is read as its fields say, and is sent with its bytes. Changed packets, too.

use super::receiver::*;
use kalived::config::model::{Auth, ChecksumMode, Family, InstanceConfig, Version, default_group};
use kalived::event::RxMeta;
use kalived::time::Duration;
use kalived::vrrp::advert::{Profile, Reject, peek_vrid, refused, verify};
use kalived::vrrp::seal::Seal;
use kalived::wire::vrrp::{AdvertSpec, ToPeer, packet, packet_to, parse};
use kalived::wire::{hmac, ipv4, ipv6};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[test]
fn every_vector_gets_its_verdict() {
    let all = vectors();
    assert_eq!(all.len(), 148);
    let mut judged = 0;
    for v in all.iter().filter(|v| repeats(&v.id).is_none()) {
        let verdict = Receiver::named(&v.profile).judge(&v.bytes);
        match (&verdict, v.accept) {
            (Ok(heard), true) => {
                assert_eq!(heard.src.to_string(), v.parsed["src"].as_str().unwrap(), "{}", v.id);
                assert_eq!(u64::from(heard.priority), v.parsed["priority"].as_u64().unwrap(), "{}", v.id);
            }
            (Err(reject), false) => assert_eq!(reject.name(), v.reason, "{}", v.id),
            _ => panic!("{}: {verdict:?}", v.id),
        }
        judged += 1;
    }
    assert_eq!(judged, 148 - 2);
}

#[test]
fn a_replay_is_right_by_itself_and_refused_behind_what_it_repeats() {
    let all = vectors();
    let mut n = 0;
    for v in &all {
        let Some(first) = repeats(&v.id) else { continue };
        let first = all.iter().find(|f| f.id == first).expect("a vector");
        let receiver = Receiver::named(&v.profile);
        let mut cfg = InstanceConfig::new("a", "eth0", 51, receiver.family);
        cfg.auth = receiver.auth.clone();
        cfg.more.hmac = receiver.hmac.clone().map(Box::new);
        let mut seal = Seal::default();
        let mut take = |bytes: &[u8]| {
            let heard = receiver.judge(bytes)?;
            seal.take(&cfg, heard.src, heard.sequence.expect("it is signed"), WALL).map_err(refused)
        };
        assert_eq!(take(&first.bytes), Ok(()));
        assert_eq!(take(&v.bytes).map_err(|r| r.name()), Err(v.reason.as_str()));
        n += 1;
    }
    assert_eq!(n, 2);
}

#[test]
fn what_is_logged_only_is_reported() {
    let all = vectors();
    for v in all.iter().filter(|v| v.accept) {
        let heard = Receiver::named(&v.profile).judge(&v.bytes).unwrap();
        assert_eq!(heard.other_vips, v.id.contains("viplist"), "{}", v.id);
        let other_interval = v.id.contains("-adv") && v.id != "v2-ok-adv255";
        assert_eq!(heard.other_interval, other_interval, "{}", v.id);
        let cs = v.parsed["max_adver_int_cs"].as_u64().or_else(|| v.parsed["adver_int_s"].as_u64().map(|s| s * 100));
        assert_eq!(heard.interval, Duration::from_millis(cs.unwrap() * 10), "{}", v.id);
    }
}

#[test]
fn the_virtual_router_is_found_before_its_profile() {
    for v in vectors().iter().filter(|v| v.accept) {
        let receiver = Receiver::named(&v.profile);
        let (meta, message) = deliver(receiver.family, &v.bytes).unwrap().unwrap();
        assert_eq!(peek_vrid(receiver.family, &meta, message), Ok(receiver.vrid), "{}", v.id);
    }
}

#[test]
fn a_packet_cut_anywhere_is_refused() {
    for v in vectors() {
        let receiver = Receiver::named(&v.profile);
        let whole = match receiver.family {
            Family::V4 => v.parsed["ip_total_length"].as_u64().unwrap_or(u64::MAX),
            Family::V6 => u64::MAX,
        };
        for len in 0..v.bytes.len() {
            let verdict = receiver.judge(&v.bytes[..len]);
            // Without its Ethernet padding a packet is still whole.
            assert!(verdict.is_err() || len as u64 >= whole, "{} cut to {len}: {verdict:?}", v.id);
            // The message cut after a correct IP header, as a socket delivers it where the sender cut it.
            if receiver.family == Family::V6
                && let Ok(Some((meta, message))) = deliver(receiver.family, &v.bytes)
            {
                let cut = &message[..len.min(message.len().saturating_sub(1))];
                assert!(verify(&receiver.profile(), &meta, cut).is_err(), "{} cut to {}", v.id, cut.len());
                let _ = peek_vrid(receiver.family, &meta, cut);
            }
        }
    }
}

#[test]
fn one_flipped_bit_makes_an_accepted_packet_refused() {
    for v in vectors().iter().filter(|v| v.accept) {
        let receiver = Receiver::named(&v.profile);
        let seen = match receiver.family {
            // Without Ethernet padding.
            Family::V4 => 0..ipv4::parse(&v.bytes).unwrap().0.total_len.into(),
            // An IPv6 raw socket delivers neither traffic class, flow label nor extension headers.
            Family::V6 => v.bytes.len() - deliver(Family::V6, &v.bytes).unwrap().unwrap().1.len()..v.bytes.len(),
        };
        let addresses_and_hop_limit = if receiver.family == Family::V6 { 7..40 } else { 0..0 };
        for at in seen.chain(addresses_and_hop_limit) {
            for bit in 0..8 {
                let mut flipped = v.bytes.clone();
                flipped[at] ^= 1 << bit;
                let verdict = receiver.judge(&flipped);
                assert!(verdict.is_err(), "{} byte {at} bit {bit}: {verdict:?}", v.id);
            }
        }
    }
}

#[test]
fn we_send_the_bytes_of_the_vectors() {
    // Accepted, but kalived does not send such packets.
    const FOREIGN: [&str; 9] = [
        "v2-ok-3vip-reordered",
        "v2-ok-ether-pad",
        "v2-ok-ip-options",
        "v2-ok-authdata-ignored",
        "v2-ok-dscp0",
        "v3-ok-rsvd-f-ph",
        "v6-ok-rsvd-f",
        "v6-ok-hopbyhop",
        "v2-ok-viplist-owner",
    ];
    let mut same = 0;
    // The IP identification of a packet with AH is not 0 (`src/wire/ah.rs`), so its bytes differ.
    let foreign = |v: &Vector| FOREIGN.contains(&v.id.as_str()) || v.profile == "V2AH";
    for v in vectors().iter().filter(|v| v.accept && !foreign(v)) {
        let receiver = Receiver::named(&v.profile);
        let heard = receiver.judge(&v.bytes).unwrap();
        let addrs = v.addresses(&receiver);
        if v.id == "v3-bad-ph-in-9568-mode" {
            continue; // accepted, but sent with the other checksum
        }
        let group = default_group(receiver.family);
        let spec = AdvertSpec {
            family: receiver.family,
            version: receiver.version,
            vrid: receiver.vrid,
            priority: heard.priority,
            interval: heard.interval,
            auth: &receiver.auth,
            checksum: receiver.checksum,
            src: heard.src,
            dst: v.parsed["dst"].as_str().unwrap().parse().unwrap(),
            addrs: &addrs,
        };
        let ttl = v.parsed["ttl"].as_u64().map_or(255, |n| n as u8);
        assert_eq!(heard.old_checksum, v.id == "v3-uni-oldcsum-ph", "{}", v.id);
        let sent = match &receiver.peers {
            None => match heard.sequence {
                None => packet(&spec),
                Some(sequence) => {
                    let header = if heard.src.is_ipv4() { ipv4::HEADER } else { ipv6::HEADER };
                    let key: Vec<u8> = (0..32).collect();
                    let trailer = hmac::Trailer { key_id: 1, sequence };
                    hmac::append(&packet(&spec), header, heard.src, trailer, &key).expect("long enough")
                }
            },
            Some(_) => packet_to(&spec, ToPeer { ttl, summed: heard.old_checksum.then_some(group) }),
        };
        assert_eq!(sent[..], v.bytes[..], "{}", v.id);
        same += 1;
    }
    assert!(same >= 30, "only {same} compared");
}

#[test]
fn fields_agree_with_the_vectors_own_reading() {
    let mut read = 0;
    for v in vectors().iter().filter(|v| v.accept && !v.profile.ends_with("HMAC") && v.profile != "V2AH") {
        let receiver = Receiver::named(&v.profile);
        let (_, payload) = deliver(receiver.family, &v.bytes).unwrap().unwrap();
        let message = if receiver.family == Family::V4 { ipv4::parse(payload).unwrap().1 } else { payload };
        let advert = parse(receiver.family, message).unwrap();
        assert_eq!(advert.addrs.iter().collect::<Vec<_>>(), v.addresses(&receiver), "{}", v.id);
        assert_eq!(advert.addrs.len() as u64, v.parsed["count"].as_u64().unwrap(), "{}", v.id);
        assert_eq!(u64::from(advert.vrid), v.parsed["vrid"].as_u64().unwrap(), "{}", v.id);
        assert_eq!(advert.auth.map(|a| u64::from(a.kind)), v.parsed["auth_type"].as_u64(), "{}", v.id);
        read += 1;
    }
    assert!(read >= 40, "only {read} read");
}

/// The vector `id` after `change`, with correct checksums.
fn repaired(id: &str, change: impl FnOnce(&mut Vec<u8>)) -> (Receiver, Vec<u8>) {
    let v = vectors().into_iter().find(|v| v.id == id).unwrap();
    let receiver = Receiver::named(&v.profile);
    assert!(receiver.judge(&v.bytes).is_ok());
    let mut bytes = v.bytes;
    change(&mut bytes);
    let at = if receiver.family == Family::V4 { 20 } else { 40 };
    bytes[at + 6..at + 8].fill(0);
    let (src, dst): (IpAddr, IpAddr) = match receiver.family {
        Family::V4 => {
            bytes[10..12].fill(0);
            let s = kalived::wire::checksum::sum(&bytes[..20]);
            bytes[10..12].copy_from_slice(&s.to_be_bytes());
            let h = ipv4::parse(&bytes).unwrap().0;
            (h.src.into(), h.dst.into())
        }
        Family::V6 => {
            let h = ipv6::parse(&bytes).unwrap().0;
            (h.src.into(), h.dst.into())
        }
    };
    let start = match receiver.version {
        Version::V2 => kalived::wire::checksum::Sum::default(),
        Version::V3 => kalived::wire::checksum::pseudo(src, dst, 112, bytes.len() - at).unwrap(),
    };
    let s = start.bytes(&bytes[at..]).finish();
    bytes[at + 6..at + 8].copy_from_slice(&s.to_be_bytes());
    (receiver, bytes)
}

#[test]
fn skip_check_adv_addr_reports_instead_of_dropping() {
    let v = vectors().into_iter().find(|v| v.id == "v2-bad-viplist").unwrap();
    let receiver = Receiver::named(&v.profile);
    let (meta, bytes) = deliver(Family::V4, &v.bytes).unwrap().unwrap();
    let skip = Profile { skip_check_adv_addr: true, ..receiver.profile() };
    assert!(verify(&skip, &meta, bytes).unwrap().other_vips);
    // `skip_check_adv_addr` does not apply to an empty list, also not to an address owner's.
    let (_, empty) = without_addresses();
    assert_eq!(verify(&skip, &meta, &empty), Err(Reject::AddressList));
}

fn without_addresses() -> (Receiver, Vec<u8>) {
    repaired("v2-ok-1vip", |b| {
        b[22] = 255;
        b[23] = 0;
        b.drain(28..32);
        b[3] -= 4;
    })
}

#[test]
fn an_empty_list_counts_where_routers_do_not_list_everything() {
    let (receiver, empty) = without_addresses();
    let all = receiver.profile();
    let meta = RxMeta { src: Ipv4Addr::UNSPECIFIED.into(), dst: None, hop_limit: None };
    let judge = |p: &Profile<'_>| verify(p, &meta, &empty).map(|h| (h.other_vips, h.no_vips));
    let (sender, other) = ("198.18.0.30".parse().unwrap(), "198.18.0.31".parse().unwrap());
    assert_eq!(judge(&Profile { known: Some(sender), ..all }), Err(Reject::AddressList), "R-044");
    assert_eq!(judge(&Profile { lists_none: Some(other), ..all }), Err(Reject::AddressList));
    assert_eq!(judge(&Profile { lists_none: Some(sender), ..all }), Ok((true, true)));
    assert_eq!(judge(&Profile { unlisted: true, ..all }), Ok((true, true)));
    assert_eq!(judge(&Profile { vips: &[], ..all }), Ok((false, true)));
    // A receiver without addresses has nothing to compare with: it accepts any list.
    let v = vectors().into_iter().find(|v| v.id == "v2-bad-viplist").unwrap();
    let judge = |p: &Profile<'_>| verify(p, &meta, &v.bytes).map(|h| (h.other_vips, h.no_vips));
    assert_eq!(judge(&all), Err(Reject::AddressList));
    assert_eq!(judge(&Profile { vips: &[], ..all }), Ok((true, false)));
    // The listed address is one of `virtual_ipaddress_excluded` here.
    let held = v.addresses(&receiver);
    assert_eq!(judge(&Profile { held: &held, unlisted: true, ..all }), Ok((true, false)));
}

#[test]
fn a_router_that_has_no_link_local_address_yet_is_heard() {
    let receiver = Receiver::named("V6");
    let sent = packet(&AdvertSpec {
        family: Family::V6,
        version: Version::V3,
        vrid: 51,
        priority: 100,
        interval: Duration::from_secs(1),
        auth: &Auth::None,
        checksum: ChecksumMode::PseudoHeader,
        src: "fe80::30".parse().unwrap(),
        dst: default_group(Family::V6),
        addrs: &receiver.vips[1..],
    });
    assert_eq!(receiver.judge(&sent).map(|h| h.other_vips), Ok(true));
}

#[test]
fn where_the_sum_is_over_the_message_the_usual_one_is_accepted_too() {
    let v = vectors().into_iter().find(|v| v.id == "v3-bad-ph-in-9568-mode").unwrap();
    let mut receiver = Receiver::named("V3");
    assert!(receiver.judge(&v.bytes).is_ok());
    // Not the other way round.
    let v = vectors().into_iter().find(|v| v.id == "v3-ok-msgonly").unwrap();
    assert!(receiver.judge(&v.bytes).is_ok());
    receiver.checksum = ChecksumMode::PseudoHeader;
    assert_eq!(receiver.judge(&v.bytes), Err(Reject::Checksum));
}

#[test]
fn trap_28_a_stranger_with_nothing_in_common_is_dropped_and_nobody_else() {
    let v = vectors().into_iter().find(|v| v.id == "v2-bad-viplist").unwrap();
    let receiver = Receiver::named(&v.profile);
    let (meta, bytes) = deliver(Family::V4, &v.bytes).unwrap().unwrap();
    let judge = |p: &Profile<'_>| verify(p, &meta, bytes).map(|h| h.other_vips);
    assert_eq!(judge(&receiver.profile()), Err(Reject::AddressList));
    let someone: std::net::IpAddr = "198.18.0.31".parse().unwrap();
    assert_eq!(judge(&Profile { known: Some(someone), ..receiver.profile() }), Err(Reject::AddressList));
    let sender: std::net::IpAddr = "198.18.0.30".parse().unwrap();
    assert_eq!(judge(&Profile { known: Some(sender), ..receiver.profile() }), Ok(true));
    // Trap 7: one of the two routers has one more address.
    let both: Vec<std::net::IpAddr> = vec!["198.18.0.100".parse().unwrap(), "198.18.0.111".parse().unwrap()];
    assert_eq!(judge(&Profile { vips: &both, held: &both, ..receiver.profile() }), Ok(true));
}

#[test]
fn a_repeated_address_does_not_make_up_for_a_missing_one() {
    let (receiver, bytes) = repaired("v2-ok-3vip", |b| b.copy_within(28..32, 32));
    assert_eq!(receiver.judge(&bytes).map(|h| h.other_vips), Ok(true));
    // A complete list in which an address is repeated equals the list.
    let (receiver, bytes) = repaired("v2-ok-3vip", |b| {
        b.splice(28..28, [198, 18, 0, 100]);
        b[3] += 4;
        b[23] = 4;
    });
    assert_eq!(receiver.judge(&bytes).map(|h| h.other_vips), Ok(false));
}

#[test]
fn the_reserved_nibble_does_not_save_an_interval_of_zero() {
    let (receiver, bytes) = repaired("v3-ok-rsvd-f-ph", |b| b[24..26].copy_from_slice(&[0xf0, 0]));
    assert_eq!(receiver.judge(&bytes), Err(Reject::Interval));
}

#[test]
fn a_returning_owner_is_heard_although_we_hold_its_address() {
    // The owner's primary address is the virtual address, which the receiver has on its interface as Master.
    let (mut receiver, bytes) = repaired("v2-ok-prio255", |b| b[12..16].copy_from_slice(&[198, 18, 0, 100]));
    receiver.own.push("198.18.0.100".parse().unwrap());
    assert_eq!(receiver.judge(&bytes).map(|h| h.priority), Ok(255));
}

#[test]
fn routers_with_only_global_ipv6_addresses_hear_each_other() {
    let global: IpAddr = "2001:db8:12::64".parse().unwrap();
    let mut receiver = Receiver::named("V6x1");
    let v = vectors().into_iter().find(|v| v.id == "v6-bad-first-not-linklocal").unwrap();
    assert_eq!(receiver.judge(&v.bytes), Err(Reject::FirstAddress));
    receiver.vips = vec![global];
    let bytes = packet(&AdvertSpec {
        family: Family::V6,
        version: Version::V3,
        vrid: 51,
        priority: 100,
        interval: Duration::from_secs(1),
        auth: &Auth::None,
        checksum: ChecksumMode::PseudoHeader,
        src: "fe80::30".parse().unwrap(),
        dst: default_group(Family::V6),
        addrs: &[global],
    });
    assert!(receiver.judge(&bytes).is_ok());
}

#[test]
fn what_the_kernel_did_not_tell_counts_as_wrong() {
    let v = vectors().into_iter().find(|v| v.id == "v6-ok-2vip").unwrap();
    let receiver = Receiver::named(&v.profile);
    let (meta, message) = deliver(Family::V6, &v.bytes).unwrap().unwrap();
    let judge = |meta| verify(&receiver.profile(), &meta, message);
    assert!(judge(meta).is_ok());
    assert_eq!(judge(RxMeta { hop_limit: None, ..meta }), Err(Reject::Ttl));
    assert_eq!(judge(RxMeta { dst: None, ..meta }), Err(Reject::Destination));
    assert_eq!(judge(RxMeta { src: Ipv4Addr::LOCALHOST.into(), ..meta }), Err(Reject::Checksum));
    assert_eq!(judge(RxMeta { src: Ipv6Addr::UNSPECIFIED.into(), ..meta }), Err(Reject::Checksum));
}

#[test]
fn each_reason_has_its_own_counter_and_name() {
    let names: BTreeSet<&str> = Reject::ALL.iter().map(|r| r.name()).collect();
    assert_eq!(names.len(), Reject::ALL.len());
    for (i, r) in Reject::ALL.iter().enumerate() {
        assert_eq!(r.index(), i);
    }
}
