//! The times of checks: intervals, retries, spreading, sharing, and a machine that cannot keep up.

use crate::bench::*;
use kalived::config::model::Config;
use kalived::config::model::check::CheckKind;
use kalived::config::model::lvs::RealServer;
use kalived::id::RsKey;
use kalived::lvs::check::{CONNECTIONS, CheckSpec};
use kalived::time::{Duration, Instant};
use std::collections::BTreeMap;

const SERVER: &str = "10.77.0.11:80";

#[test]
fn down_after_retry_times_delay_and_up_after_one_success() {
    let (mut b, server) = Bench::of(spec(&check(CheckKind::Tcp)));
    b.does.insert(SERVER.into(), Does::Accepts);
    b.run(ms(4_500));
    assert_eq!((b.verdicts(), b.words(server)), (vec![(0, true)], "connected".into()));
    assert!(b.opened[0].3.as_ref().is_some_and(|w| w.only), "nothing is said");
    b.does.insert(SERVER.into(), Does::Refuses(111));
    b.run(S * 5);
    // Fails at 6 s, again one second later, which counts; while down it looks at its interval.
    assert_eq!(b.verdicts()[1..], [(7_000, false)]);
    assert_eq!(
        b.logged("TCP_CHECK on service [10.77.0.11]:tcp:80 failed after 1 retries. (connection refused (111))"),
        1
    );
    b.does.insert(SERVER.into(), Does::Accepts);
    b.run(S * 4);
    assert_eq!(b.verdicts()[2..], [(11_000, true)]);
    assert_eq!(b.logged("TCP connection to [10.77.0.11]:tcp:80 success."), 2);
    assert_eq!(b.notes.len(), 3, "a line for each transition");
    b.does.insert(SERVER.into(), Does::Refuses(111));
    b.run(S * 2);
    b.does.insert(SERVER.into(), Does::Accepts);
    b.run(S * 9);
    assert_eq!(b.verdicts().len(), 3, "one failure is forgiven");
}

#[test]
fn a_first_failure_counts_at_once_and_an_unanswered_look_ends_with_its_time() {
    let (mut b, server) = Bench::of(spec(&check(CheckKind::Tcp)));
    assert_eq!(b.up(server), None);
    b.run(S * 7);
    assert_eq!(b.verdicts(), [(1_000, false)]);
    assert_eq!(b.words(server), "no answer within 1.00 s");
    assert_eq!(b.logged("TCP_CHECK on service [10.77.0.11]:tcp:80 failed. ("), 1);
    let starts: Vec<u64> = b.opened.iter().map(|o| o.0.0 / 1_000_000_000 - 1).collect();
    assert_eq!(starts, [0, 2, 4, 6], "from start to start, whatever a look takes");
}

#[test]
fn all_failures_are_said_where_that_is_asked_for() {
    let mut c = check(CheckKind::Tcp);
    c.pace.log_all_failures = Some(true);
    c.pace.retry = Some(3);
    let (mut b, _) = Bench::of(spec(&c));
    b.does.insert(SERVER.into(), Does::Accepts);
    b.run(S);
    b.does.insert(SERVER.into(), Does::Refuses(111));
    b.run(S * 8);
    assert_eq!(b.logged("TCP_CHECK on service [10.77.0.11]:tcp:80: connection refused (111), will be tried again"), 3);
    assert_eq!(b.logged("failed after 3 retries."), 1);
}

#[test]
fn a_cause_on_this_host_is_named_and_counts_after_its_own_tries() {
    for (errno, words) in [(99, "address not available (99)"), (101, "network is unreachable (101)")] {
        let (mut b, server) = Bench::of(spec(&check(CheckKind::Tcp)));
        b.does.insert(SERVER.into(), Does::Accepts);
        b.run(S);
        b.does.insert(SERVER.into(), Does::Refuses(errno));
        b.run(ms(3_500));
        assert_eq!(b.up(server), Some(true), "two tries say nothing about the server");
        assert_eq!(b.logged("could not be carried out on this host"), 1, "{:?}", b.notes);
        b.run(S * 2);
        assert_eq!((b.up(server), b.words(server)), (Some(false), format!("on this host: {words}")));
        b.does.insert(SERVER.into(), Does::Accepts);
        b.run(S * 3);
        assert_eq!(b.up(server), Some(true));
    }
    let (mut b, server) = Bench::of(spec(&check(CheckKind::Tcp)));
    b.does.insert(SERVER.into(), Does::Refuses(113));
    b.run(ms(1));
    assert_eq!(b.up(server), Some(false), "no route to host is what a dead neighbour looks like");
}

// Ten virtual servers with the same backend, each with its own check of it.
// This is trap 87 of docs/traps.md.
#[test]
fn what_ten_virtual_servers_want_of_one_backend_is_done_once() {
    let mut b = Bench::new();
    b.does.insert(SERVER.into(), Does::Accepts);
    let servers: Vec<RsKey> = (0..10).map(|_| b.servers.insert(())).collect();
    let spec = spec(&check(CheckKind::Tcp));
    b.call(|c, cx| {
        c.start(cx);
        for s in &servers {
            c.set(*s, vec![wanted(*s, spec.clone())], cx);
        }
    });
    b.run(S * 3);
    assert_eq!(b.opened.len(), 2, "one look at 0 s and one at 2 s");
    assert!(servers.iter().all(|s| b.up(*s) == Some(true)));
    assert_eq!((b.outs.len(), b.logged("success")), (10, 1), "ten hear of it, one line says it");
    // They leave one by one; it goes on for the last.
    for s in &servers[1..] {
        b.call(|c, cx| c.set(*s, Vec::new(), cx));
    }
    b.does.insert(SERVER.into(), Does::Refuses(111));
    b.run(S * 5);
    assert_eq!((b.outs.len(), b.up(servers[0])), (11, Some(false)));
    b.call(|c, cx| c.set(servers[0], Vec::new(), cx));
    assert_eq!((b.checks.sizes().0, b.timers.len()), (0, 0));
}

fn many(n: u32, b: &mut Bench, interval: Duration, timeout: Duration, does: Option<&Does>) -> Vec<RsKey> {
    let mut c = check(CheckKind::Tcp);
    c.pace.delay_loop = Some(interval);
    c.pace.warmup = None;
    c.target.connect_timeout = Some(timeout);
    let all: Vec<(RsKey, CheckSpec)> = (0..n)
        .map(|i| {
            let [_, x, y, z] = i.to_be_bytes();
            let rs = RealServer { addr: [10, x, y, z].into(), port: 80, ..RealServer::default() };
            let spec = CheckSpec::of(&Config::default(), &vs(), &rs, &c).remove(0);
            if let Some(does) = does {
                b.does.insert(spec.backend.to_string(), does.clone());
            }
            (b.servers.insert(()), spec)
        })
        .collect();
    b.call(|c, cx| {
        c.start(cx);
        for (server, spec) in &all {
            c.set(*server, vec![wanted(*server, spec.clone())], cx);
        }
    });
    all.into_iter().map(|(s, _)| s).collect()
}

fn starts(b: &Bench) -> BTreeMap<String, Vec<Instant>> {
    let mut of: BTreeMap<String, Vec<Instant>> = BTreeMap::new();
    for (at, _, to, _) in &b.opened {
        of.entry(format!("{to:?}")).or_default().push(*at);
    }
    of
}

#[test]
fn trap_88_ten_thousand_checks_keep_their_interval_and_begin_without_a_burst() {
    let mut b = Bench::new();
    many(10_000, &mut b, S * 3, S, Some(&Does::Accepts));
    assert_eq!(b.timers.len(), 1, "the timers of adverts do not grow");
    b.run(S * 12);
    assert_eq!(b.outs.len(), 10_000);
    let mut per_slice: BTreeMap<u64, usize> = BTreeMap::new();
    for (at, ..) in &b.opened {
        *per_slice.entry(at.0 / 100_000_000).or_default() += 1;
    }
    // 333 in 100 ms on average, and by chance up to five standard deviations more.
    assert!(per_slice.values().all(|n| *n < 333 + 5 * 19), "{per_slice:?}");
    for times in starts(&b).values() {
        for pair in times.windows(2) {
            let off = pair[1].since(pair[0]).as_secs_f64() - 3.0;
            assert!(off.abs() < 0.03, "{off} s off an interval of 3 s");
        }
        assert!((3..=5).contains(&times.len()), "{}", times.len());
    }
    // The work of a turn does not grow with their number: there is a turn for each look, and some for ends and rare times.
    assert!(b.turns < 3 * b.opened.len() as u64, "{} turns for {} looks", b.turns, b.opened.len());
    assert_eq!(b.notes.len(), 10_000, "nothing but what each found first");
}

// Most of them that were begun within 10 ms.
fn busiest(b: &Bench, from: usize) -> usize {
    let at: Vec<u64> = b.opened.iter().skip(from).map(|o| o.0.0).collect();
    let within = |(i, t): (usize, &u64)| at[i..].iter().take_while(|u| *u - t < 10_000_000).count();
    at.iter().enumerate().map(within).max().unwrap_or(0)
}

// This is trap 88 of docs/traps.md.
#[test]
fn a_start_an_upgrade_and_a_reload_of_ten_thousand_make_no_burst() {
    let mut c = check(CheckKind::Tcp);
    c.pace.warmup = None;
    let mut known = Vec::new();
    for process in ["first", "next"] {
        let mut b = Bench::new();
        c.pace.delay_loop = Some(S * 3);
        b.call(|k, _| k.resume(core::mem::take(&mut known), ""));
        let all: Vec<(RsKey, RealServer)> = (0u32..10_000)
            .map(|i| {
                let [_, x, y, z] = i.to_be_bytes();
                b.does.insert(format!("10.{x}.{y}.{z}:80"), Does::Accepts);
                let rs = RealServer { addr: [10, x, y, z].into(), port: 80, ..RealServer::default() };
                (b.servers.insert(()), rs)
            })
            .collect();
        let give = |b: &mut Bench, c: &kalived::config::model::check::Check| {
            for (server, rs) in &all {
                let spec = CheckSpec::of(&Config::default(), &vs(), rs, c).remove(0);
                b.call(|k, cx| k.set(*server, vec![wanted(*server, spec)], cx));
            }
        };
        give(&mut b, &c);
        b.call(|k, cx| k.start(cx));
        b.run(S * 7);
        // 33 on average.
        assert!(busiest(&b, 0) <= 67, "{process}: {} within 10 ms", busiest(&b, 0));
        known = b.checks.shots(usize::MAX).0;
        assert_eq!(known.len(), 10_000);
        // Another interval, so each is another check: 40 on average.
        c.pace.delay_loop = Some(ms(2_500));
        let before = b.opened.len();
        give(&mut b, &c);
        b.run(S * 6);
        assert!(busiest(&b, before) <= 80, "reload of the {process}: {} within 10 ms", busiest(&b, before));
    }
}

#[test]
fn a_verdict_that_may_change_is_looked_at_in_the_fast_interval() {
    let mut c = check(CheckKind::Tcp);
    (c.pace.delay_loop, c.pace.delay_before_retry) = (Some(S * 10), Some(S * 5));
    (c.pace.retry, c.pace.rise, c.pace.fast_interval) = (Some(2), Some(3), Some(ms(200)));
    let (mut b, _) = Bench::of(spec(&c));
    b.does.insert(SERVER.into(), Does::Accepts);
    b.run(S * 5);
    b.does.insert(SERVER.into(), Does::Refuses(111));
    b.run(S * 10);
    b.does.insert(SERVER.into(), Does::Accepts);
    b.run(S * 10);
    assert_eq!(b.verdicts(), [(0, true), (10_400, false), (20_800, true)]);
    let at: Vec<u64> = b.opened.iter().map(|o| (o.0.0 - 1_000_000_000) / 1_000_000).collect();
    // Down it is looked at in its own interval, as it is up.
    assert_eq!(at, [0, 10_000, 10_200, 10_400, 20_400, 20_600, 20_800]);
}

#[test]
fn what_is_due_within_a_millisecond_begins_together_and_keeps_its_interval() {
    let mut b = Bench::new();
    many(1_000, &mut b, S, S, Some(&Does::Accepts));
    b.run(S * 5);
    let turns: std::collections::BTreeSet<Instant> = b.opened.iter().map(|o| o.0).collect();
    assert!(turns.len() * 4 < b.opened.len() * 3, "{} turns begin {}", turns.len(), b.opened.len());
    for times in starts(&b).values() {
        let first = times[0];
        for (n, at) in (0u32..).zip(times) {
            let off = at.0.abs_diff((first + S * n).0);
            assert!(off <= 2_000_000, "{off} ns off: nothing adds up");
        }
    }
}

#[test]
fn all_at_once_begin_in_slices() {
    let mut b = Bench::new();
    b.now = Instant(1_000_000_000);
    let mut c = check(CheckKind::Tcp);
    c.target.connect_timeout = Some(S);
    let servers: Vec<RsKey> = (0..1000).map(|_| b.servers.insert(())).collect();
    b.call(|k, cx| {
        k.start(cx);
        for (n, s) in (0u16..).zip(&servers) {
            c.target.connect_port = Some(n + 1);
            k.set(*s, vec![wanted(*s, spec(&c))], cx);
        }
    });
    b.run(ms(490));
    let begun = b.opened.len();
    b.run(S);
    assert!((900..1000).contains(&begun) && b.opened.len() == 1000, "two in 1 ms: {begun}");
}

#[test]
fn a_bounded_number_is_in_flight_and_intervals_stretch_evenly() {
    let mut b = Bench::new();
    // 6,000 that hang for 5 s each, wanted every second: there is room for 4,096 at a time, which is a pass in 7.3 s.
    many(6_000, &mut b, S, S * 5, None);
    b.run(S * 60);
    assert_eq!(b.most, CONNECTIONS);
    let pass = 6_000.0 * 5.0 / CONNECTIONS as f64;
    for times in starts(&b).values() {
        let late: Vec<_> = times.windows(2).skip(2).map(|p| p[1].since(p[0]).as_secs_f64()).collect();
        assert!(late.iter().all(|d| (d - pass).abs() < 0.3 * pass), "{late:?} where a pass takes {pass}");
    }
    assert!(b.checks.sizes().2 > 1000);
    let said: Vec<_> = b.notes.iter().filter(|(_, n)| n.starts_with("health checks cannot keep up: ")).collect();
    assert!((3..=7).contains(&said.len()), "one line in ten seconds: {said:?}");
    assert!(said[1].1.contains("of 6000 began late, by ") && said[1].1.contains("4096 are under way"), "{said:?}");
    // It recovers by itself.
    for o in b.opened.clone() {
        if let kalived::effect::Peer::Tcp(a) = o.2 {
            b.does.insert(a.to_string(), Does::Accepts);
        }
    }
    b.run(S * 20);
    let before = b.checks.sizes().2;
    b.run(S * 20);
    assert_eq!(b.checks.sizes().2, before, "on time again");
}

#[test]
fn a_check_that_has_not_ended_for_three_intervals_is_said_and_counted() {
    let mut b = Bench::new();
    // A pass over 12,000 that hang takes 14.6 s; three intervals, a time-out and a delay are 9 s.
    many(12_000, &mut b, S, S * 5, None);
    b.run(S * 40);
    let said: Vec<_> = b.notes.iter().filter(|(_, n)| n.contains("has not ended for")).collect();
    assert!((1..=5).contains(&said.len()), "{said:?}");
    assert!(said.iter().any(|(_, n)| n.contains(" others")), "{said:?}");
    assert!(b.checks.overdue() > 1000);
}

#[test]
fn the_next_process_knows_every_check_with_alpha_that_succeeds_however_many_there_are() {
    let all: Vec<(u8, u8)> = (0..3_000u16).map(|n| n.to_be_bytes().into()).collect();
    let mut tcp = check(CheckKind::Tcp);
    (tcp.pace.retry, tcp.target.connect_timeout) = (Some(0), Some(S * 5));
    let wanted_of = |b: &mut Bench| -> Vec<kalived::lvs::check::Wanted> {
        let of = |(x, y): &(u8, u8)| {
            let rs = RealServer { addr: [10, 9, *x, *y].into(), port: 80, ..RealServer::default() };
            let spec = CheckSpec::of(&Config::default(), &vs(), &rs, &tcp).remove(0);
            kalived::lvs::check::Wanted { alpha: true, ..wanted(b.servers.insert(()), spec) }
        };
        all.iter().map(of).collect()
    };
    let mut b = Bench::new();
    let list = wanted_of(&mut b);
    for (n, (x, y)) in all.iter().enumerate() {
        // One is down, one is awaited.
        let does = if n == 7 { Does::Refuses(111) } else { Does::Accepts };
        if n != 8 {
            b.does.insert(format!("10.9.{x}.{y}:80"), does);
        }
    }
    let servers: Vec<_> = list.iter().map(|w| w.server).collect();
    b.call(|c, cx| {
        c.apply(list, cx);
        c.start(cx);
    });
    b.run(ms(1_900));
    let states = |b: &Bench, servers: &[kalived::id::RsKey]| servers.iter().map(|s| b.up(*s)).collect::<Vec<_>>();
    let before = states(&b, &servers);
    assert_eq!((before[7], before[8]), (Some(false), None));
    assert_eq!(before.iter().filter(|up| **up == Some(true)).count(), 2_998);
    let (shots, alpha) = b.checks.shots(2_048);
    assert!(shots.len() <= 2, "{}", shots.len());
    let mut next = Bench::new();
    let list = wanted_of(&mut next);
    let servers: Vec<_> = list.iter().map(|w| w.server).collect();
    next.call(|c, cx| {
        c.resume(shots, &alpha);
        c.apply(list, cx);
    });
    assert_eq!(states(&next, &servers), before);
}

// `EMFILE` and its like: the look did not begin, whatever the server does.
#[test]
fn want_of_descriptors_or_memory_is_no_verdict_however_long_it_lasts() {
    for (errno, words) in [(24, "too many open files (24)"), (23, ""), (12, ""), (105, "")] {
        let (mut b, server) = Bench::of(spec(&check(CheckKind::Tcp)));
        b.does.insert(SERVER.into(), Does::Refuses(errno));
        b.run(S * 5);
        assert_eq!(b.up(server), None, "nothing is known yet");
        b.does.insert(SERVER.into(), Does::Accepts);
        b.run(S * 4);
        assert_eq!(b.up(server), Some(true));
        b.does.insert(SERVER.into(), Does::Refuses(errno));
        let before = b.opened.len();
        b.run(S * 60);
        assert_eq!(b.up(server), Some(true), "it is what it was");
        assert!(b.words(server).starts_with(&format!("on this host: {words}")), "{}", b.words(server));
        assert!(b.opened.len() - before >= 50, "tried again soon");
        assert_eq!(b.logged("could not be carried out on this host"), 2, "{:?}", b.notes);
        assert!(b.logged("has not ended for") > 0);
        b.does.insert(SERVER.into(), Does::Refuses(111));
        b.run(S * 4);
        assert_eq!(b.up(server), Some(false), "the server itself");
    }
}

#[test]
fn no_more_connections_than_the_limit_of_open_files_allows() {
    let mut b = Bench::new();
    b.checks.set_room(8);
    let servers: Vec<RsKey> = (0..100).map(|_| b.servers.insert(())).collect();
    b.call(|c, cx| {
        c.start(cx);
        for (n, server) in servers.iter().enumerate() {
            let rs = RealServer { addr: [10, 78, 0, n as u8].into(), port: 80, ..RealServer::default() };
            let spec = CheckSpec::of(&Config::default(), &vs(), &rs, &check(CheckKind::Tcp)).remove(0);
            c.set(*server, vec![wanted(*server, spec)], cx);
        }
    });
    // Nobody answers: each look takes its whole second.
    b.run(S * 30);
    assert_eq!(b.most, 8);
    assert!(servers.iter().all(|s| b.up(*s) == Some(false)), "each had its turn");
}
