//! Every wire vector injected into a real daemon, in Backup and in Master: the state changes or does not, as the vector says.
//!
//! One test per receiver profile. Signed vectors have sequences and a clock of their own; those in [`SIGNED`] are injected in `tests/vrrp`
//! alone; the test `every_vector_belongs_to_a_test` holds the count. The parser's verdict on the same bytes is `tests/wire`'s part.
//!
//! How a state change is provoked without asserting times (VRID 51, priority 100 under test, 198.18.0.20):
//! - Backup, drop: all drop vectors again and again, far more often than Master_Down_Interval. The daemon must still become Master; if it
//!   accepted one of them, its timer would never run out. Accepted vectors of lower priority are among them: they do not stop a preempting
//!   Backup.
//! - Backup, accept: priority 0 sets the timer to Skew (0.6 s), the vector must set it back to the full interval.
//! - Master, drop: the vector, then priority 0, which only a Master answers at once.
//! - Master, accept: yields or stays as priority and address say.

use crate::lab::advert::{Advert, ethernet};
use crate::lab::capture::Capture;
use crate::lab::daemon::{Conf, Daemon, State, stand_in};
use crate::lab::inject::Injector;
use crate::lab::{Host, Lab, pause, skip, until_true};
use std::net::IpAddr;

/// Profiles with a signature.
const SIGNED: [&str; 3] = ["V2AH", "V3HMAC", "V6HMAC"];
/// Profiles with a test below.
const TESTED: [&str; 16] = [
    "V2",
    "V2x3",
    "V2x255",
    "V2vrid1",
    "V2vrid255",
    "V2adv255",
    "V2PASS",
    "V2PASS4",
    "V3",
    "V3PH",
    "V3PHx3",
    "V3ASV2",
    "V3PHowner",
    "V3UNI",
    "V6",
    "V6x1",
];

/// One wire vector.
pub struct Vector {
    id: String,
    /// Receiver profile.
    pub profile: String,
    /// The verdict.
    pub accept: bool,
    /// Why it is dropped.
    pub reason: String,
    /// Where it is dropped.
    pub layer: String,
    /// The IP packet.
    pub packet: Vec<u8>,
    /// Absent in packets too short to have one.
    priority: Option<u8>,
    src: IpAddr,
    /// Milliseconds.
    interval: u64,
}

impl Vector {
    fn frame(&self, dut: &Host) -> Vec<u8> {
        ethernet(&self.packet, dut.mac())
    }

    /// Whether a Master of this priority and address loses the election to it.
    fn beats(&self, priority: u8, own: IpAddr) -> bool {
        self.priority > Some(priority) || (self.priority == Some(priority) && self.src > own)
    }
}

/// All of them.
pub fn vectors() -> Vec<Vector> {
    let text = include_str!("../wire/vrrp-vectors.json");
    let json: serde_json::Value = serde_json::from_str(text).expect("the vectors are JSON");
    let list = json["vectors"].as_array().expect("a list of vectors");
    let mut all = Vec::new();
    for v in list {
        let word = |key: &str| v[key].as_str().unwrap_or_default().to_owned();
        let accept = if stand_in() {
            // What that version was measured to do; null: it has no such mode.
            let Some(measured) = v["keepalived_2_2_7"].as_str() else { continue };
            if word("profile") == "V3PHowner" || word("id").contains("interval0") {
                continue; // it lowers its own priority to 254 for good; it becomes Master and Backup in one moment
            }
            if measured.starts_with("accept +") {
                continue; // its counters moved, which does not tell what it did with the packet
            }
            measured.starts_with("accept")
        } else {
            // From a stranger it is dropped, which the table of verdicts judges. Here it comes from the router that was
            // followed before, whose only address may just have been replaced (R-046, `vrrp::advert::verify`). And
            // `v3_checksum_as_v2` accepts both sums (`wire::vrrp::checksum_ok`).
            word("expected") == "accept" || ["v2-bad-viplist", "v3-bad-ph-in-9568-mode"].contains(&word("id").as_str())
        };
        let p = &v["parsed"];
        let hex = word("hex");
        all.push(Vector {
            id: word("id"),
            profile: word("profile"),
            accept,
            reason: word("reason"),
            layer: word("layer"),
            packet: (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex")).collect(),
            priority: p["priority"].as_u64().map(|n| n as u8),
            src: p["src"].as_str().and_then(|s| s.parse().ok()).unwrap_or(IpAddr::from([0, 0, 0, 0])),
            interval: p["adver_int_s"]
                .as_u64()
                .map_or_else(|| p["max_adver_int_cs"].as_u64().unwrap_or(100) * 10, |s| s * 1000),
        });
    }
    all
}

fn profile(name: &str) -> Option<(Conf, Advert)> {
    let v2 = || (Conf::v2(100), Advert::v2(0));
    let v3 = || (Conf::v3(100).every("1"), Advert::v3(0, 100));
    let lists = |(conf, advert): (Conf, Advert), vips: Vec<String>| {
        let addrs = vips.iter().map(|v| v.parse().expect("an address")).collect();
        (Conf { vips, ..conf }, Advert { vips: addrs, ..advert })
    };
    let three = || (100..103).map(|n| format!("198.18.0.{n}")).collect::<Vec<_>>();
    let pass = |secret: &str| {
        let (conf, advert) = v2();
        let conf = conf.with("authentication {").with("auth_type PASS").with(&format!("auth_pass {secret}")).with("}");
        (conf, Advert { pass: Some(secret.as_bytes().to_vec()), ..advert })
    };
    let message_only = || {
        let (conf, advert) = v3();
        (Conf { global: "    v3_checksum_as_v2\n".to_owned(), ..conf }, Advert { message_only: true, ..advert })
    };
    Some(match name {
        "V2" => v2(),
        "V2x3" => lists(v2(), three()),
        "V2x255" => lists(v2(), (1..=255).map(|n| format!("198.18.4.{n}")).collect()),
        "V2vrid1" => (Conf { vrid: 1, ..v2().0 }, Advert { vrid: 1, ..v2().1 }),
        "V2vrid255" => (Conf { vrid: 255, ..v2().0 }, Advert { vrid: 255, ..v2().1 }),
        "V2adv255" => (v2().0.every("255"), Advert { interval: 255, ..v2().1 }),
        "V2PASS" => pass("kalived1"),
        "V2PASS4" => pass("1234"),
        "V3" | "V3ASV2" => message_only(),
        "V3PH" => v3(),
        "V3PHx3" => lists(v3(), three()),
        "V3PHowner" => (Conf { priority: 255, ..v3().0 }, v3().1),
        "V3UNI" => {
            let (conf, advert) = v3();
            let conf = conf.with("unicast_peer {").with("198.18.0.30").with("}").with("check_unicast_src");
            (conf, Advert { dst: [198, 18, 0, 20].into(), ..advert })
        }
        "V6" => lists(v3(), vec!["fe80::64".to_owned(), "2001:db8:12::64".to_owned()]),
        "V6x1" => lists(v3(), vec!["fe80::64".to_owned()]),
        _ => return None,
    })
}

/// The daemon under test and its adversary.
struct Bench<'a> {
    dut: &'a Host,
    own: IpAddr,
    priority: u8,
    daemon: Daemon,
    injector: Injector,
    wire: Capture,
    /// An advert this profile accepts; the priority is filled in.
    good: Advert,
}

impl Bench<'_> {
    fn send_good(&mut self, priority: u8) {
        let frame = Advert { priority, ..self.good.clone() }.frame();
        self.injector.send(&frame);
    }

    /// To Backup, with the profile's own interval learned.
    fn make_backup(&mut self) {
        until_true("Backup by an advert of priority 254", || {
            // Again and again: one may be lost in a queue that bad packets filled.
            self.send_good(254);
            self.daemon.states().last() == Some(&State::Backup)
        });
        self.send_good(254);
    }

    fn make_master(&mut self) {
        let n = self.daemon.times(State::Master);
        if self.daemon.states().last() != Some(&State::Master) {
            self.send_good(0);
            self.daemon.await_times(State::Master, n + 1);
        }
    }

    /// A Master answers priority 0 at once, and has then seen everything sent before.
    fn barrier(&mut self, id: &str) {
        let n = self.wire.adverts_of(self.dut).len();
        self.send_good(0);
        until_true(&format!("an advert after {id}"), || self.wire.adverts_of(self.dut).len() > n);
    }

    fn backup_drops(&mut self, vectors: &[&Vector]) {
        let inert: Vec<_> = vectors
            .iter()
            .filter(|v| !v.accept || (v.priority < Some(self.priority) && v.priority != Some(0)))
            .collect();
        if inert.is_empty() {
            return;
        }
        let n = self.daemon.times(State::Master);
        let names: Vec<&str> = inert.iter().map(|v| v.id.as_str()).collect();
        until_true(&format!("Master although these keep coming: {names:?}"), || {
            for v in &inert {
                self.injector.send(&v.frame(self.dut));
            }
            self.daemon.times(State::Master) > n
        });
    }

    fn backup_accepts(&mut self, v: &Vector) {
        self.make_backup();
        let n = self.daemon.times(State::Master);
        let frame = v.frame(self.dut);
        if v.priority == Some(0) {
            self.injector.send(&frame);
            self.daemon.await_times(State::Master, n + 1);
        } else if v.priority < Some(self.priority) {
            // Among the inert ones.
        } else if v.interval < 100 {
            // Learned, it makes the timer run out between two good adverts, which nothing else does.
            self.injector.send(&frame);
            until_true(&format!("Master by the interval learned from {}", v.id), || {
                pause(400);
                self.send_good(254);
                self.daemon.times(State::Master) > n
            });
        } else {
            self.send_good(0);
            self.injector.send(&frame);
            // Skew is 0.6 s; the vector has set the timer to 3.6 s and more.
            pause(1200);
            self.send_good(254);
            assert_eq!(
                self.daemon.times(State::Master),
                n,
                "{} did not re-arm the master-down timer of a Backup",
                v.id
            );
        }
    }

    fn master_drops(&mut self, v: &Vector) {
        self.make_master();
        let n = self.daemon.times(State::Backup);
        self.injector.send(&v.frame(self.dut));
        self.barrier(&v.id);
        assert_eq!(self.daemon.times(State::Backup), n, "{} made a Master yield", v.id);
    }

    fn master_accepts(&mut self, v: &Vector) {
        self.make_master();
        let n = self.daemon.times(State::Backup);
        self.injector.send(&v.frame(self.dut));
        if v.beats(self.priority, self.own) {
            until_true(&format!("Backup after {}", v.id), || self.daemon.times(State::Backup) > n);
            self.send_good(254);
        } else {
            self.barrier(&v.id);
            assert_eq!(self.daemon.times(State::Backup), n, "{} made a Master yield", v.id);
        }
    }
}

fn run(name: &str) {
    let Some((mut conf, good)) = profile(name) else { panic!("no profile {name}") };
    let all = vectors();
    let mine: Vec<&Vector> = all.iter().filter(|v| v.profile == name).collect();
    // After one vector keepalived refuses those that follow, and this profile has more than those that it was measured with.
    if mine.is_empty() || (stand_in() && name == "V3UNI") {
        return skip(name, "the stand-in has no such mode");
    }
    let Some(lab) = Lab::new(&format!("vectors: {name}")) else { return };
    let (dut, peer) = (lab.host("dut", 20), lab.host("peer", 30));
    let v6 = good.vips[0].is_ipv6();
    if v6 && stand_in() {
        conf.extra.push_str("    native_ipv6\n");
    }
    let mut bench = Bench {
        dut: &dut,
        own: if v6 { dut.v6() } else { dut.v4() }.parse().expect("an address"),
        priority: conf.priority,
        injector: lab.injector(&peer),
        wire: lab.capture(&peer, "(ip proto 112 or ip6 proto 112) and ether src 02:00:00:00:00:14"),
        daemon: lab.start(&dut, &conf),
        good,
    };
    bench.daemon.await_times(State::Backup, usize::from(conf.priority != 255));
    let owner = conf.priority == 255;
    if owner {
        bench.daemon.await_state(State::Master);
    }
    // Master first: that test names the vector with the wrong effect.
    for v in &mine {
        if v.accept { bench.master_accepts(v) } else { bench.master_drops(v) }
    }
    if !owner {
        bench.make_backup();
        bench.backup_drops(&mine);
        for v in mine.iter().filter(|v| v.accept) {
            bench.backup_accepts(v);
        }
    }
    // Yielding is silent, and nothing here gave any other reason for a farewell.
    assert!(bench.wire.adverts_of(&dut).iter().all(|a| a.priority != 0), "a priority-0 advert without a stop");
    let (code, log) = bench.daemon.stop();
    assert_eq!(code, Some(0), "log:\n{log}");
}

#[test]
fn every_vector_belongs_to_a_test() {
    let all = vectors();
    for v in &all {
        assert!(
            TESTED.contains(&v.profile.as_str()) || SIGNED.contains(&v.profile.as_str()),
            "{} of {}",
            v.id,
            v.profile
        );
    }
    if !stand_in() {
        assert_eq!(all.len(), 148);
        assert_eq!(all.iter().filter(|v| SIGNED.contains(&v.profile.as_str())).count(), 14);
    }
    assert!(TESTED.iter().all(|p| profile(p).is_some()));
}

macro_rules! profiles {
    ($($test:ident $name:literal)*) => { $(#[test] fn $test() { run($name); })* };
}

profiles! {
    v2 "V2"
    v2_three_vips "V2x3"
    v2_255_vips "V2x255"
    v2_vrid_1 "V2vrid1"
    v2_vrid_255 "V2vrid255"
    v2_interval_255 "V2adv255"
    v2_pass "V2PASS"
    v2_pass_short "V2PASS4"
    v3_message_only "V3"
    v3_pseudo_header "V3PH"
    v3_three_vips "V3PHx3"
    v3_checksum_as_v2 "V3ASV2"
    v3_owner "V3PHowner"
    v3_unicast "V3UNI"
    v6 "V6"
    v6_one_vip "V6x1"
}
