//! Start, takeover, preemption, stop: the requirements of RFC 9568 §6.4 for each state, with their durations. Read first: `bench.rs`.

use crate::bench::*;
use kalived::event::NetEv;
use kalived::exit::ExitCode;
use kalived::time::Duration;
use kalived::timers::Due;
use kalived::vrrp::State;

const S: Duration = Duration::from_secs(1);
const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}
const fn ns(n: u64) -> Duration {
    Duration::from_nanos(n)
}

#[test]
fn a_router_below_255_waits_as_backup_and_says_why_it_takes_over() {
    let mut b = Bench::new(v2());
    assert_eq!(b.state(), State::Backup);
    assert_eq!(b.logged("(VI_1) Entering BACKUP STATE (init)"), 1);
    // 3 s + 156/256 s.
    assert_eq!(b.left(Due::MasterDown), Some(ns(3_609_375_000)));
    b.run(ns(3_609_374_999));
    assert_eq!((b.state(), &b.out[..]), (State::Backup, &[Out::Resync, Out::Open][..]), "R-067: a Backup is silent");
    b.run(ns(1));
    assert_eq!((b.state(), b.adverts()), (State::Master, 1));
    // The rest of the takeover lets the kernel confirm the address first.
    b.run(ns(200_000));
    assert_eq!(b.logged("(VI_1) Entering MASTER STATE: no advert for 3.61 s"), 1, "{:?}", b.log);
    // advert, then the address, then GARP.
    let what: Vec<_> = b.out.iter().skip(2).filter(|o| !matches!(o, Out::Armed(..))).collect();
    assert!(matches!(what[0], Out::Advert(_)) && matches!(what[1], Out::Add(_)) && matches!(what[2], Out::Frame(_)));
    assert_eq!(b.frames(), 5, "garp_master_repeat");
    b.run(S * 6);
    assert_eq!(b.frames(), 10, "the second burst after garp_master_delay");
}

#[test]
fn state_master_below_255_still_waits() {
    // `state MASTER` only sets the default priority, in `src/config/lower`. An address owner does not wait.
    let mut owner = v3();
    owner.priority = 255;
    let mut b = Bench::new(owner);
    b.run(ms(1));
    assert_eq!((b.state(), b.adverts()), (State::Master, 1));
    assert_eq!(b.logged("Entering MASTER STATE"), 1);
}

#[test]
fn adverts_keep_the_grid_for_ever() {
    let mut c = v3();
    c.advert_int = ms(10);
    let mut b = Bench::new(c);
    b.run(S);
    b.out.clear();
    b.run(S * 10);
    let dues: Vec<_> = b.out.iter().filter_map(|o| if let Out::Armed(at, _) = o { Some(*at) } else { None }).collect();
    assert_eq!(dues.len(), 1000);
    assert!(dues.windows(2).all(|w| w[1].since(w[0]) == ms(10)), "R-091: no drift");
    assert_eq!(b.view().armed, 8);
}

#[test]
fn priority_zero_shortens_the_wait_to_skew() {
    let mut b = Bench::new(v2());
    b.rx(&v2(), PEER, 200, S);
    assert_eq!(b.left(Due::MasterDown), Some(ns(3_609_375_000)));
    b.rx(&v2(), PEER, 0, S);
    assert_eq!(b.left(Due::MasterDown), Some(ns(609_375_000)), "R-062");
    b.run(S);
    assert_eq!(b.logged("Entering MASTER STATE: 198.18.0.30 stepped down (priority 0)"), 1, "{:?}", b.log);
}

#[test]
fn a_backup_rearms_for_equal_whatever_the_address_and_keeps_the_timer_for_lower() {
    let mut b = Bench::new(v2());
    b.run(S);
    b.rx(&v2(), "198.18.0.2", 100, S);
    assert_eq!(b.left(Due::MasterDown), Some(ns(3_609_375_000)));
    b.run(S);
    b.rx(&v2(), PEER, 99, S);
    assert_eq!(b.left(Due::MasterDown), Some(ns(2_609_375_000)));
    b.run(S * 3);
    assert_eq!(b.state(), State::Master);
    assert_eq!(b.logged("preempting 198.18.0.30: priority 100 > 99"), 1, "{:?}", b.log);
}

#[test]
fn nopreempt_follows_a_lower_master() {
    let mut c = v2();
    c.preempt = false;
    let mut b = Bench::new(c.clone());
    for _ in 0..20 {
        b.run(S);
        b.rx(&c, PEER, 50, S);
    }
    assert_eq!(b.state(), State::Backup);
    // nopreempt does not hold a Master that hears a higher one.
    b.run(S * 4);
    assert_eq!(b.state(), State::Master);
    b.rx(&c, PEER, 101, S);
    assert_eq!(b.state(), State::Backup);
}

#[test]
fn preempt_delay_counts_from_the_first_lower_advert_and_never_prolongs_an_outage() {
    let mut c = v2();
    c.preempt_delay = S * 60;
    // Trap 34: everybody cold-starts, nobody is heard: the normal timeout.
    let mut b = Bench::new(c.clone());
    b.run(S * 4);
    assert_eq!(b.state(), State::Master);
    // a lower Master is followed for 60 s, then replaced.
    let mut b = Bench::new(c.clone());
    let mut t = Duration::ZERO;
    while b.state() == State::Backup {
        b.rx(&c, PEER, 50, S);
        b.run(S);
        t += S;
        assert!(t < S * 100);
    }
    // The advert at 59 s is the last one followed, the one at 60 s is discarded: 59 s + 3.609 s, in steps of a second.
    assert_eq!(t, S * 63);
    assert_eq!(b.logged("preempt_delay 60.00 s elapsed"), 1, "{:?}", b.log);
    assert_eq!(b.logged("start preempt delay (60.000000)"), 1);
    // An equal or higher advert cancels it.
    let mut b = Bench::new(c.clone());
    b.rx(&c, PEER, 50, S);
    b.rx(&c, PEER, 150, S);
    assert_eq!(b.logged("stop preempt delay"), 1);
}

#[test]
fn a_learned_interval_counts_until_we_are_master() {
    let mut b = Bench::new(v3());
    b.rx(&v3(), PEER, 200, S * 3);
    // 3 × 3 s + 156/256 × 3 s.
    assert_eq!(b.left(Due::MasterDown), Some(ns(10_828_125_000)));
    b.run(S * 11);
    assert_eq!(b.state(), State::Master);
    b.out.clear();
    b.run(S * 10);
    assert_eq!(b.out.iter().filter(|o| matches!(o, Out::Armed(..))).count(), 10, "R-068: own interval");
    //
    let mut b = Bench::new(v3());
    b.rx(&v3(), PEER, 200, ms(40_950));
    assert_eq!(b.logged("taking over from it would need 147.80 s"), 1, "{:?}", b.log);
}

#[test]
fn a_master_answers_lower_and_zero_at_once_within_limits() {
    let mut b = Bench::master(v2());
    b.rx(&v2(), PEER, 99, S);
    assert_eq!((b.adverts(), b.state()), (1, State::Master), "R-073");
    b.fire();
    assert_eq!(b.frames(), 5, "hosts may have believed the other");
    for _ in 0..10_000 {
        b.rx(&v2(), PEER, 1, S);
        b.run(ns(100_000));
    }
    // 1 s of flood: one answer per 10 ms, and one log line per 10 s.
    assert!((95..=101).contains(&b.adverts()), "{}", b.adverts());
    assert_eq!(b.logged("lower priority"), 1);
    let mut b = Bench::master(v2());
    b.rx(&v2(), PEER, 0, S);
    assert_eq!((b.adverts(), b.frames(), b.state()), (1, 0, State::Master), "R-069");
    let mut quiet = v2();
    quiet.lower_prio_no_advert = true;
    let mut b = Bench::master(quiet);
    b.rx(&v2(), PEER, 99, S);
    assert_eq!((b.adverts(), b.state()), (0, State::Master));
}

#[test]
fn a_master_yields_without_priority_zero() {
    for (src, priority) in [(PEER, 101), (PEER, 100)] {
        let mut b = Bench::master(v2());
        b.rx(&v2(), src, priority, S);
        assert_eq!(b.state(), State::Backup, "R-070, R-071");
        assert_eq!(b.out, [Out::Stop(None), Out::Del(ip("198.18.0.100"))]);
        assert_eq!(b.left(Due::MasterDown), Some(ns(3_609_375_000)));
        assert!(b.armed.is_empty());
    }
    // Addresses compare as unsigned numbers in network order.
    let mut b = Bench::master(v2());
    b.rx(&v2(), "198.18.0.3", 100, S);
    assert_eq!((b.state(), b.adverts()), (State::Master, 1));
    let mut b = Bench::master(v2());
    b.rx(&v2(), "198.19.0.1", 100, S);
    assert_eq!(b.state(), State::Backup);
}

#[test]
fn two_routers_with_one_address_do_not_answer_each_other_for_ever() {
    // the verifier drops our own address; a peer whose packets came before we had it reaches the table's RxEqualSame.
    let mut b = Bench::master(v2());
    for _ in 0..100 {
        b.rx(&v2(), OURS, 100, S);
    }
    assert_eq!((b.adverts(), b.state()), (0, State::Master));
}

#[test]
fn stop_says_farewell_then_gives_the_addresses_back_then_ends() {
    let mut b = Bench::master(v2());
    b.term();
    let zero = advert(&v2(), OURS, 0, S);
    assert_eq!(b.out, [Out::Stop(Some(zero)), Out::Del(ip("198.18.0.100")), Out::Exit(ExitCode::Ok)], "R-077");
    assert_eq!(b.state(), State::Init);
    // a Backup stops without a packet.
    let mut b = Bench::new(v2());
    b.out.clear();
    b.term();
    assert_eq!(b.out, [Out::Exit(ExitCode::Ok)]);
}

#[test]
fn stop_does_not_wait_for_a_deaf_kernel() {
    let mut b = Bench::master(v2());
    b.answer = false;
    b.term();
    assert!(!b.out.contains(&Out::Exit(ExitCode::Ok)));
    b.run(S * 3);
    assert_eq!(b.out.last(), Some(&Out::Exit(ExitCode::Ok)));
}

#[test]
fn higher_prio_send_advert_is_one_advert_before_yielding() {
    let mut c = v2();
    c.higher_prio_send_advert = true;
    let mut b = Bench::master(c);
    b.rx(&v2(), PEER, 200, S);
    assert!(matches!(b.out[0], Out::Advert(_)) && b.out[1] == Out::Stop(None));
}

#[test]
fn trap_68_what_does_not_fit_the_mtu_is_held_but_not_advertised() {
    let mut c = v2();
    c.vips = (1..=255).map(|i| vip(&format!("198.18.9.{i}"))).collect();
    let mut b = Bench::master(c.clone());
    // Some time before the next advert leaves.
    b.run(ms(100));
    let mut small = link(ETH0, "eth0", true);
    small.mtu = 576;
    b.event(kalived::event::Event::Net(NetEv::LinkNew(small)));
    let Some(Out::Armed(_, p)) = b.out.iter().rev().find(|o| matches!(o, Out::Armed(..))) else {
        panic!("{:?}", b.out)
    };
    assert_eq!((p.len(), p[23]), (576, 135));
    assert_eq!(b.logged("the last 120 of virtual_ipaddress do not fit"), 1, "{:?}", b.log);
    assert_eq!((b.view().addresses, b.state()), ((255, 255), State::Master));
}

#[test]
fn a_takeover_from_a_master_that_was_alive_is_called_flapping() {
    let mut b = Bench::new(v2());
    b.rx(&v2(), PEER, 200, S);
    b.run(S * 4);
    assert_eq!(b.state(), State::Master);
    b.rx(&v2(), PEER, 200, S);
    assert_eq!((b.state(), b.logged("all the time, or came back")), (State::Backup, 1), "R-092: {:?}", b.log);
    // After a proper while as Master it is an ordinary return.
    b.run(S * 60);
    b.rx(&v2(), PEER, 200, S);
    assert_eq!((b.state(), b.logged("all the time, or came back")), (State::Backup, 1));
}

#[test]
fn after_a_rival_was_answered_the_last_announcement_is_ours() {
    let mut b = Bench::master(v2());
    b.rx(&v2(), PEER, 99, S);
    b.run(ms(999));
    assert_eq!(b.frames(), 5);
    b.run(ms(1));
    assert_eq!(b.frames(), 6);
}

#[test]
fn trap_31_33_nopreempt_takes_silence_after_a_start_for_deafness_at_first() {
    let mut c = v2();
    c.preempt = false;
    let mut b = Bench::new(c.clone());
    b.run(ns(5_609_374_999));
    assert_eq!(b.state(), State::Backup, "deaf for 3 s, then a whole interval until the first advert, and Skew_Time");
    b.run(ns(1));
    assert_eq!(b.state(), State::Master, "nobody is there after all");
    // Once an advert was received, a takeover follows Master_Down_Interval after the Master's end.
    let mut b = Bench::new(c.clone());
    b.run(S * 4);
    b.rx(&c, PEER, 50, S);
    assert_eq!(b.left(Due::MasterDown), Some(ns(3_609_375_000)));
}

#[test]
fn of_two_that_start_together_with_nopreempt_the_higher_priority_wins() {
    for version in [v2(), v3()] {
        let wait = |priority| {
            let mut c = version.clone();
            (c.preempt, c.priority) = (false, priority);
            Bench::new(c).view().first_wait
        };
        // Skew_Time: 1/256 s for each step.
        assert_eq!(wait(100) - wait(150), ns(50 * 1_000_000_000 / 256));
        assert!((1..254).all(|p| wait(p) > wait(p + 1)));
    }
}

/// Not twice, whatever the grid: when the takeover falls just before a grid point, and when what is armed is replaced just before
/// it is due.
#[test]
fn two_adverts_keep_half_an_interval_between_them() {
    let interval = ms(10);
    for offset in 0..200u32 {
        let mut c = v3();
        c.advert_int = interval;
        let mut b = Bench::cold(vec![c]);
        b.now.mono += Duration::from_micros(50) * offset;
        b.start();
        b.run(ms(100));
        let mut all = vec![b.view().since.mono];
        all.extend(b.out.iter().filter_map(|o| if let Out::Armed(at, _) = o { Some(*at) } else { None }));
        for w in all.windows(2) {
            let gap = w[1].since(w[0]);
            assert!(gap >= interval / 2 && gap <= interval, "{gap:?} with an offset of {offset} * 50 µs");
        }
    }
}

#[test]
fn an_advert_that_is_about_to_leave_is_not_sent_twice() {
    let mut c = v3();
    c.advert_int = ms(10);
    c.track_interfaces =
        vec![kalived::config::model::TrackInterface { name: "eth1".into(), weight: 20, reverse: false }];
    for before in [1, 1_000, 100_000, 900_000, 1_100_000] {
        let mut b = Bench::master(c.clone());
        b.run(ms(3));
        let next = b.armed.keys().next().expect("an armed advert").0;
        b.run(next.since(b.now.mono) - ns(before));
        b.out.clear();
        // The priority changes, and the kernel's timer fires before this turn ends.
        b.event(kalived::event::Event::Net(NetEv::LinkNew(link(9, "eth1", true))));
        let taken_back = b.out.contains(&Out::Stop(None));
        assert_eq!(taken_back, before > 1_000_000, "{before} ns before it is due");
        b.run(ms(30));
        let mut all: Vec<_> =
            b.out.iter().filter_map(|o| if let Out::Armed(at, _) = o { Some(*at) } else { None }).collect();
        all.retain(|at| *at < b.now.mono);
        all.dedup();
        assert!(all.iter().all(|at| taken_back || *at > next), "{all:?}");
        let last = b.out.iter().rev().find_map(|o| if let Out::Armed(_, p) = o { Some(p[22]) } else { None });
        assert_eq!(last, Some(120), "the new priority");
    }
}

/// The grid's next advert may be due while the takeover waits for its address: it leaves late, it is not left out.
#[test]
fn the_second_advert_follows_within_an_interval() {
    let interval = Duration::from_millis(10);
    for offset in 0..200u32 {
        let mut c = v3();
        c.advert_int = interval;
        let mut b = Bench::cold(vec![c]);
        b.now.mono += Duration::from_micros(50) * offset;
        b.start();
        b.run(Duration::from_millis(60));
        assert_eq!(b.state(), State::Master);
        let armed = b.out.iter().find_map(|o| if let Out::Armed(at, _) = o { Some(*at) } else { None });
        let gap = armed.expect("an armed advert").since(b.view().since.mono);
        assert!(gap <= interval, "{gap:?} after the first, claimed {offset} * 50 µs later");
    }
}

#[test]
fn an_owner_preempts_whatever_preempt_mode_says() {
    for priority in [254, 255] {
        let mut c = v2();
        (c.priority, c.preempt) = (priority, false);
        let mut b = Bench::new(c.clone());
        let owner = priority == 255;
        assert_eq!(b.state(), if owner { State::Master } else { State::Backup });
        // Another one that is configured as owner, with a greater address; then it is gone, and a router of lower priority is there.
        b.rx(&c, "198.18.0.200", 255, S);
        assert_eq!(b.state(), State::Backup);
        for _ in 0..6 {
            b.run(S);
            if b.state() == State::Backup {
                b.rx(&c, PEER, 200, S);
            }
        }
        assert_eq!(b.state(), if owner { State::Master } else { State::Backup }, "R-066, priority {priority}");
    }
}
