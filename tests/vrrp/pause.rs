//! A process that was paused: received adverts are handled before expired timers, and a router that is still Master announces again.

use crate::bench::*;
use kalived::event::{AdvertEv, Errno, Event};
use kalived::time::Duration;
use kalived::vrrp::State;

const S: Duration = Duration::from_secs(1);

#[test]
fn trap_23_24_a_backup_reads_its_queue_before_its_timer() {
    let mut b = Bench::new(v2());
    b.rx(&v2(), PEER, 200, S);
    b.now.mono += S * 30; // stopped far beyond Master_Down_Interval
    b.rx(&v2(), PEER, 200, S); // the turn: packets first ...
    b.fire(); // ... then timers
    assert_eq!(b.state(), State::Backup);
}

/// Signed adverts are in `signed.rs`.
#[test]
fn trap_27_a_step_of_the_wall_clock_moves_no_timer() {
    for step in [3_600_i64, -3_600] {
        let set = |b: &mut Bench| b.now.wall.0 = b.now.wall.0.wrapping_add_signed(step * 1_000_000_000);
        let mut b = Bench::new(v2());
        b.rx(&v2(), PEER, 200, S);
        let (before, down) = (b.world.deadlines().collect::<Vec<_>>(), b.view().master_down_interval);
        set(&mut b);
        b.fire();
        assert_eq!((b.state(), b.world.deadlines().collect::<Vec<_>>()), (State::Backup, before), "{step} s");
        b.run(down - Duration::from_millis(1));
        assert_eq!(b.state(), State::Backup, "{step} s");
        b.run(Duration::from_millis(1));
        assert_eq!(b.state(), State::Master, "{step} s");
        // The Master's next advert is the one that was armed before.
        b.run(Duration::from_millis(100));
        let armed = b.armed.clone();
        assert!(!armed.is_empty());
        set(&mut b);
        b.fire();
        assert_eq!((b.state(), b.armed.clone()), (State::Master, armed), "{step} s");
    }
}

#[test]
fn trap_21_a_master_that_stood_still_announces_again() {
    let mut b = Bench::master(v2());
    b.now.mono += S * 5;
    b.advert_leaves(); // released late by the kernel
    assert_eq!(b.frames(), 0, "not before what arrived was read");
    b.fire();
    assert_eq!((b.state(), b.adverts(), b.frames()), (State::Master, 1, 5));
    assert_eq!(b.logged("stood still for"), 1);
    assert_eq!(b.view().armed, 1, "one advert armed, not a burst (R-091)");
}

#[test]
fn a_stale_master_that_hears_its_successor_yields_in_that_turn() {
    let mut b = Bench::master(v2());
    b.now.mono += S * 5;
    b.advert_leaves();
    b.rx(&v2(), PEER, 200, S);
    b.fire();
    assert_eq!((b.state(), b.adverts(), b.frames()), (State::Backup, 0, 0));
}

#[test]
fn a_short_stall_is_not_worth_a_word() {
    let mut b = Bench::master(v2());
    // The next advert is due within a second: nobody can have taken over before 2.6 s after that.
    b.now.mono += S * 2;
    b.advert_leaves();
    b.fire();
    assert_eq!((b.logged("stood still"), b.frames()), (0, 0));
}

#[test]
fn an_advert_from_before_the_last_stop_arms_nothing() {
    let mut b = Bench::master(v2());
    let ((due, vr), epoch) = b.armed.pop_first().expect("armed");
    b.rx(&v2(), PEER, 200, S);
    b.run(S * 4);
    assert_eq!(b.state(), State::Master, "again");
    b.out.clear();
    b.event(Event::Advert(AdvertEv::Sent { vr, epoch, due, result: Ok(()), missed: &[] }));
    assert!(b.out.is_empty());
}

#[test]
fn trap_39_a_closed_firewall_is_retried_within_the_interval_and_logged_once() {
    let mut b = Bench::master(v2());
    for _ in 0..3 {
        let ((due, vr), epoch) = b.armed.pop_first().expect("armed");
        b.now.mono = b.now.mono.max(due);
        b.event(Event::Advert(AdvertEv::Sent { vr, epoch, due, result: Err(Errno::EPERM), missed: &[] }));
        // The retries inside the interval fail too.
        for _ in 0..3 {
            let before = b.adverts();
            b.now.mono += Duration::from_millis(250);
            b.fire();
            assert_eq!(b.adverts(), before + 1);
            b.event(Event::Advert(AdvertEv::SendFailed { vr, errno: Errno::EPERM }));
        }
    }
    b.run(S * 2);
    assert_eq!(b.logged("cannot send adverts: operation not permitted (1)"), 1, "{:?}", b.log);
    assert_eq!(b.logged("adverts leave again"), 1);
    assert_eq!(b.state(), State::Master);
}
