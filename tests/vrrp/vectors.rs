//! The wire vectors against a whole world, as Backup and as Master: an accepted advert does what RFC 9568 §6.4 says, a dropped
//! one nothing at all (R-028, I-6). Read first: `../wire/receiver.rs`.

use crate::bench::*;
use crate::receiver::{Receiver, Vector, WALL, deliver, repeats, vectors};
use kalived::config::model::{Family, InstanceConfig};
use kalived::event::{Event, SockEv};
use kalived::time::{Duration, nanos};
use kalived::timers::Due;
use kalived::vrrp::{State, timing};
use std::net::IpAddr;

fn config(profile: &str) -> InstanceConfig {
    let r = Receiver::named(profile);
    let mut c = InstanceConfig::new("VI_1", "eth0", r.vrid, r.family);
    c.version = r.version;
    c.auth = r.auth.clone();
    c.advert_int = r.advert_int;
    c.checksum = r.checksum;
    c.vips = r.vips.iter().map(|a| vip(&a.to_string())).collect();
    c.more.hmac = r.hmac.clone().map(Box::new);
    c.more.unicast_peer = r.peers.clone();
    c.more.check_unicast_src = r.peers.is_some();
    if profile == "V3PHowner" {
        c.priority = 255;
    }
    c
}

fn backup(v: &Vector) -> Bench {
    let mut b = Bench::new(config(&v.profile));
    b.run(Duration::from_millis(100));
    b.now.wall = WALL;
    b.out.clear();
    b
}

fn master(v: &Vector) -> Bench {
    let mut b = Bench::new(config(&v.profile));
    b.run(Duration::from_secs(800));
    assert_eq!(b.state(), State::Master, "{}", v.id);
    b.now.wall = WALL;
    b.out.clear();
    b
}

/// False: a raw socket would not deliver this packet at all.
fn inject(b: &mut Bench, v: &Vector) -> bool {
    let family = Receiver::named(&v.profile).family;
    let Ok(Some((mut meta, bytes))) = deliver(family, &v.bytes) else { return false };
    if family == Family::V4 && bytes.len() >= 16 {
        meta.src = IpAddr::from([bytes[12], bytes[13], bytes[14], bytes[15]]);
    }
    let sock = b.sock.expect("a socket");
    b.event(Event::Sock(SockEv::Datagram { sock, meta, age: Duration::ZERO, bytes }));
    true
}

#[test]
fn a_dropped_vector_is_inert_in_both_states() {
    let mut n = 0;
    for v in vectors().iter().filter(|v| !v.accept) {
        for mut b in [backup(v), master(v)] {
            if let Some(first) = repeats(&v.id).and_then(|id| vectors().into_iter().find(|f| f.id == id)) {
                assert!(inject(&mut b, &first));
                b.out.clear();
            }
            let before = (b.state(), b.world.next_deadline(), b.armed.clone(), b.view().stats.advert_rcvd);
            if inject(&mut b, v) {
                n += 1;
            }
            let after = (b.state(), b.world.next_deadline(), b.armed.clone(), b.view().stats.advert_rcvd);
            assert_eq!(before, after, "{}", v.id);
            assert!(b.out.is_empty(), "{}: {:?}", v.id, b.out);
        }
    }
    assert!(n > 100, "{n}");
}

#[test]
fn an_accepted_vector_does_in_backup_what_the_rfc_says() {
    for v in vectors().iter().filter(|v| v.accept && v.profile != "V3PHowner") {
        let c = config(&v.profile);
        let heard = Receiver::named(&v.profile).judge(&v.bytes).expect("accepted");
        let mut b = backup(v);
        let entered = b.left(Due::MasterDown).expect("a timer");
        assert!(inject(&mut b, v));
        let learned = timing::master_down(c.version, 100, heard.interval, 3);
        let want = match heard.priority {
            0 => timing::skew(c.version, 100, c.advert_int),
            1..100 => entered, // not re-armed, not learned
            _ => learned,
        };
        assert_eq!(b.left(Due::MasterDown).map(nanos), Some(nanos(want)), "{}", v.id);
        assert_eq!((b.state(), b.adverts()), (State::Backup, 0), "{}", v.id);
    }
}

#[test]
fn an_accepted_vector_does_in_master_what_the_rfc_says() {
    for v in vectors().iter().filter(|v| v.accept) {
        let c = config(&v.profile);
        let heard = Receiver::named(&v.profile).judge(&v.bytes).expect("accepted");
        let mut b = master(v);
        let own = b.view().source.expect("a source");
        assert!(inject(&mut b, v));
        let wins = heard.priority > c.priority || (heard.priority == c.priority && heard.src > own);
        let (state, adverts) = if wins { (State::Backup, 0) } else { (State::Master, 1) };
        assert_eq!((b.state(), b.adverts()), (state, adverts), "{}", v.id);
        if wins {
            assert_eq!(b.out[0], Out::Stop(None), "{}: no priority-0 advert on the way down", v.id);
            let want = timing::master_down(c.version, c.priority, heard.interval, 3);
            assert_eq!(b.left(Due::MasterDown).map(nanos), Some(nanos(want)), "{}", v.id);
        }
    }
}
