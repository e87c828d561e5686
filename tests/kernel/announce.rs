//! Announcements through a queue with room for few frames: frames that it refuses are sent again.
//!
//! Read first: `../lab/mod.rs`.

use crate::lab::daemon::{Conf, State, stand_in};
use crate::lab::{IFACE, Lab, skip, until_true};
use std::collections::BTreeSet;
use std::net::IpAddr;

const ADDRESSES: usize = 300;

#[test]
fn every_address_is_announced_through_a_queue_of_twenty_frames() {
    const NAME: &str = "a queue of twenty frames";
    let Some(lab) = Lab::new(NAME) else { return };
    if stand_in() {
        return skip(NAME, "keepalived sends a frame once, whatever becomes of it");
    }
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    // 1,000 bytes, then it drops; some 2,000 frames a second leave.
    let queue = a.output(&format!("tc qdisc add dev {IFACE} root tbf rate 1mbit burst 1600 limit 1000"));
    if !queue.status.success() {
        return skip(NAME, String::from_utf8_lossy(&queue.stderr).trim());
    }
    let wire = lab.capture(&b, "arp");
    let mut conf = Conf::v3(100).every("1").with("garp_master_repeat 1").with("garp_master_delay 0");
    conf.vips = (0..100).map(|i| format!("198.18.1.{}/32", 1 + i)).collect();
    let more: String = (100..ADDRESSES).map(|i| format!(" 198.18.{}.{}/32\n", 1 + i / 200, 1 + i % 200)).collect();
    conf = conf.with(&format!("virtual_ipaddress_excluded {{\n{more} }}"));
    let daemon = lab.start(&a, &conf);
    daemon.await_state(State::Master);
    let mac = a.mac();
    let announced = || -> BTreeSet<IpAddr> {
        let of = |f: &crate::lab::capture::Frame| f.announces().filter(|(_, m)| *m == mac).map(|(addr, _)| addr);
        wire.frames().iter().filter_map(of).collect()
    };
    until_true("every address to be announced", || announced().len() >= ADDRESSES);
}
