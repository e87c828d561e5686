//! Traps of docs/traps.md that concern virtual servers. Read first: `kernel.rs`, `farm.rs`.

use crate::farm::{ip, real, web};
use crate::kernel::Bench;
use kalived::config::model::check::{Check, Pace};
use kalived::config::model::lvs::{Method, Sorry, VirtualServer};
use kalived::config::model::setting::Script;
use kalived::lvs::farm::Happened;
use kalived::time::Duration;
use kalived::vrrp::change::Subject;

fn hooks(b: &Bench) -> Vec<(bool, bool)> {
    let of = |h: &Happened| match h {
        Happened::Told(t) if matches!(t.who, Subject::VirtualServer(_)) => Some((t.up, t.scripts[1].is_some())),
        _ => None,
    };
    b.happened.iter().filter_map(of).collect()
}

fn quorums(b: &Bench) -> Vec<bool> {
    hooks(b).into_iter().map(|(up, _)| up).collect()
}

// This is trap 17 of docs/traps.md.
#[test]
fn a_failed_server_whose_weight_a_reload_changes_stays_out_and_comes_back_with_the_new_one() {
    let mut b = Bench::new();
    b.load(&[], &[web(&[real(11, 1), real(12, 1)])]);
    b.verdict(0, 0, false);
    b.load(&[], &[web(&[real(11, 9), real(12, 1)])]);
    assert_eq!(b.lines(), ["Tcp 10.77.1.1:80 rr", "-> 10.77.0.12:80 Route 1"]);
    b.verdict(0, 0, true);
    assert_eq!(b.lines()[1], "-> 10.77.0.11:80 Route 9");
}

// This is trap 19 of docs/traps.md.
#[test]
fn persistence_and_a_weight_that_a_reload_adds_change_the_table_in_place() {
    let mut b = Bench::new();
    b.load(&[], &[web(&[real(11, 1), real(12, 1)])]);
    b.asked.clear();
    b.load(&[], &[VirtualServer { persistence_timeout: 60, ..web(&[real(11, 3), real(12, 1)]) }]);
    b.asked.sort();
    // What is deleted and added again loses its connections.
    assert_eq!(b.asked, ["Set Tcp 10.77.1.1:80", "Set Tcp 10.77.1.1:80 -> 10.77.0.11:80 w3"]);
    assert_eq!(b.lines()[..2], ["Tcp 10.77.1.1:80 rr persistent 60", "-> 10.77.0.11:80 Route 3"]);
}

// This is trap 20 of docs/traps.md.
#[test]
fn what_is_deleted_by_hand_is_put_back_by_a_reload_and_without_one() {
    for reload in [true, false] {
        let mut b = Bench::new();
        let servers = [web(&[real(11, 1), real(12, 1)])];
        b.load(&[], &servers);
        let want = b.lines();
        for whole in [false, true] {
            if whole {
                b.table.clear();
            } else {
                b.table.values_mut().for_each(|(_, all)| {
                    all.pop_first();
                });
            }
            assert_ne!(b.lines(), want);
            match reload {
                true => b.load(&[], &servers),
                false => b.later(Duration::from_secs(31)),
            }
            assert_eq!(b.lines(), want, "reload {reload}, whole {whole}");
        }
    }
}

// This is trap 80 of docs/traps.md.
#[test]
fn weight_0_of_the_file_is_weight_0_in_the_kernel() {
    let mut b = Bench::new();
    b.load(&[], &[web(&[real(11, 0), real(12, 2)])]);
    let want = ["Tcp 10.77.1.1:80 rr", "-> 10.77.0.11:80 Route 0", "-> 10.77.0.12:80 Route 2"];
    assert_eq!(b.lines(), want);
    b.verdict(0, 0, false);
    b.verdict(0, 0, true);
    assert_eq!(b.lines(), want, "after a failure too");
}

// This is trap 81 of docs/traps.md.
#[test]
fn a_stop_with_omega_always_tells_that_the_quorum_is_gone() {
    let script = || Some(Box::new(Script { argv: vec!["/down".into()], ..Script::default() }));
    for down in 0..=2 {
        let mut b = Bench::new();
        b.load(&[], &[VirtualServer { omega: true, quorum_down: script(), ..web(&[real(11, 1), real(12, 1)]) }]);
        (0..down).for_each(|place| b.verdict(0, place, false));
        b.stop();
        assert_eq!(hooks(&b), [(true, true), (false, true)], "{down} servers down: once, at the loss or at the stop");
    }
}

// This is trap 82 of docs/traps.md.
#[test]
fn a_sorry_server_that_is_a_real_server_too_has_the_weight_of_whichever_it_is() {
    let mut b = Bench::new();
    let sorry = Sorry { addr: ip("10.77.0.11"), port: 80, inhibit: false, method: Method::Dr };
    b.load(&[], &[VirtualServer { sorry: Some(Box::new(sorry)), ..web(&[real(11, 7), real(12, 1)]) }]);
    let all = ["Tcp 10.77.1.1:80 rr", "-> 10.77.0.11:80 Route 7", "-> 10.77.0.12:80 Route 1"];
    assert_eq!(b.lines(), all);
    for first in [0, 1] {
        b.verdict(0, 0, false);
        assert_eq!(b.lines(), [all[0], all[2]]);
        b.verdict(0, 1, false);
        assert_eq!(b.lines(), [all[0], "-> 10.77.0.11:80 Route 1"], "the sorry server");
        b.verdict(0, first, true);
        assert_eq!(b.lines(), [all[0], all[1 + first]]);
        b.verdict(0, 1 - first, true);
        assert_eq!(b.lines(), all);
    }
}

// This is trap 83 of docs/traps.md.
#[test]
fn when_a_reload_replaces_all_servers_the_quorum_is_told_in_order() {
    for alpha in [false, true] {
        let mut b = Bench::new();
        let file = |hosts: [u8; 2]| {
            let mut vs = web(&hosts.map(|h| real(h, 1)));
            vs.pace = Pace { alpha: Some(alpha), ..Pace::default() };
            vs.real_servers.iter_mut().for_each(|r| r.checks = vec![Check::default()]);
            [vs]
        };
        b.load(&[], &file([11, 12]));
        b.verdict(0, 0, true);
        assert_eq!(quorums(&b), [true]);
        b.happened.clear();
        b.load(&[], &file([21, 22]));
        // Without `alpha` the new servers are in the table at once, and the quorum is not lost. With it no server is in the table until a
        // check has succeeded.
        assert_eq!(quorums(&b), if alpha { vec![false] } else { vec![] });
        b.verdict(0, 1, true);
        assert_eq!(quorums(&b), if alpha { vec![false, true] } else { vec![] });
        assert!(b.lines().iter().all(|l| !l.contains("10.77.0.1")), "{:?}", b.lines());
    }
}
