//! `MISC_CHECK`: programs, their exit statuses as weights, and those that do not end.

use crate::bench::*;
use kalived::config::model::check::{Check, CheckKind, MiscCheck};
use kalived::config::model::setting::{Ready, Script};
use kalived::event::{ChildEnd, Errno};
use kalived::lvs::check::PROGRAMS;
use kalived::time::Duration;

fn misc(dynamic: bool, ready: Ready) -> Check {
    let script = Script { argv: vec!["/bin/check".into(), "a".into()], ready, ..Script::default() };
    let kind = MiscCheck { misc_path: Some(Box::new(script)), misc_dynamic: dynamic, misc_timeout: Some(S * 3) };
    let mut c = check(CheckKind::Misc(Box::new(kind)));
    c.pace.delay_loop = Some(S * 10);
    c
}
const ROOT: Ready = Ready::As { uid: 0, gid: 0 };

#[test]
fn an_exit_status_is_a_verdict_or_a_weight() {
    let (mut b, server) = Bench::of(spec(&misc(true, ROOT)));
    b.run(ms(10));
    assert_eq!(b.children_of[0].2, ["/bin/check", "a"]);
    // The server's weight in the file is 10.
    for (code, up, adds) in
        [(22, true, 10), (7, true, -5), (2, true, -10), (0, true, 0), (255, true, 243), (12, true, 0), (1, false, 0)]
    {
        b.exits(ChildEnd::Exited(code));
        let s = b.checks.standing(server);
        assert_eq!((s.up, s.weight), (Some(up), adds), "status {code}");
        b.run(S * 10);
    }
    let weights: Vec<_> = b.outs.iter().filter_map(|(_, o)| o.weight).collect();
    assert_eq!(weights, [10, -5, -10, 0, 243, 0], "each change once; a failure leaves the weight alone");
    assert_eq!(b.notes.len(), 2, "trap 89, no line for a weight: {:?}", b.notes);
    assert_eq!(
        b.logged("Misc check for [[10.77.0.11]:tcp:80 VS [10.77.1.1]:tcp:80] by [/bin/check a] failed (exited with status 1)."),
        1
    );
    // What a program that was killed left is worked out anew by the next one that ends: nothing adds up.
    b.exits(ChildEnd::Exited(22));
    b.run(S * 10);
    b.exits(ChildEnd::Signaled(9));
    assert_eq!((b.up(server), b.words(server)), (Some(false), "due to signal 9".into()));
    b.run(S * 10);
    b.exits(ChildEnd::Exited(12));
    assert_eq!((b.up(server), b.checks.standing(server).weight), (Some(true), 0));
    let (mut b, server) = Bench::of(spec(&misc(false, ROOT)));
    b.run(ms(10));
    b.exits(ChildEnd::Exited(3));
    assert_eq!(b.checks.standing(server).up, Some(false));
}

/// A reload that edits the check, not what it does.
#[test]
fn a_weight_outlives_the_edit_of_its_check() {
    let (mut b, server) = Bench::of(spec(&misc(true, ROOT)));
    b.run(ms(10));
    b.exits(ChildEnd::Exited(7));
    assert_eq!(b.checks.standing(server).weight, -5);
    let mut other = misc(true, ROOT);
    other.pace.delay_loop = Some(S * 50);
    b.call(|c, cx| c.apply(vec![wanted(server, spec(&other))], cx));
    let s = b.checks.standing(server);
    assert_eq!((s.up, s.weight), (Some(true), -5));
    b.call(|c, cx| c.apply(vec![wanted(server, spec(&misc(false, ROOT)))], cx));
    assert_eq!(b.checks.standing(server).weight, 0, "it is no weight any more");
}

#[test]
fn a_program_that_does_not_end_is_a_failure_when_its_time_is_over_and_is_never_run_twice() {
    let (mut b, server) = Bench::of(spec(&misc(false, ROOT)));
    b.run(ms(2_999));
    assert_eq!((b.up(server), b.kills.len()), (None, 0));
    b.run(ms(1));
    assert_eq!((b.up(server), b.words(server)), (Some(false), "timed out after 3.00 s".into()));
    b.run(S * 60);
    let kills: Vec<_> = b.kills.iter().map(|(at, _, hard)| (at.0 / 1_000_000_000 - 1, *hard)).collect();
    assert_eq!(kills[..3], [(3, false), (5, true), (15, true)]);
    assert_eq!(b.children_of.len(), 1, "its successor waits for its end");
    b.exits(ChildEnd::Signaled(9));
    b.run(S * 8); // it is due at 70 s
    assert_eq!(b.children_of.len(), 2);
    b.exits(ChildEnd::Exited(0));
    assert_eq!(b.up(server), Some(true));
    // It is removed from the file while it runs: it is asked to end, and is dropped with its end.
    b.run(S * 10);
    b.call(|c, cx| c.set(server, Vec::new(), cx));
    assert_eq!((b.kills.last().map(|k| k.2), b.checks.sizes().0), (Some(false), 1));
    b.exits(ChildEnd::Signaled(15));
    assert_eq!((b.checks.sizes(), b.timers.len()), ((0, 0, 0), 0));
}

#[test]
fn no_process_for_it_is_this_hosts_fault() {
    let (mut b, server) = Bench::of(spec(&misc(false, ROOT)));
    b.run(ms(10));
    b.exits(ChildEnd::Exited(0));
    b.run(S * 10);
    for _ in 0..2 {
        b.exits(ChildEnd::NotStarted(Errno::EAGAIN));
        assert_eq!(b.up(server), Some(true));
        b.run(S);
    }
    b.exits(ChildEnd::NotStarted(Errno::EAGAIN));
    assert_eq!(b.words(server), "on this host: could not be started: would block (11)");
    let (mut b, server) = Bench::of(spec(&misc(false, ROOT)));
    b.run(ms(10));
    b.exits(ChildEnd::NotStarted(Errno(2)));
    assert_eq!(
        (b.up(server), b.words(server)),
        (Some(false), "could not be started: no such file or directory (2)".into())
    );
}

#[test]
fn one_that_must_not_run_fails_from_the_start() {
    let (mut b, server) = Bench::of(spec(&misc(false, Ready::Refused("its file is writable by others".into()))));
    assert_eq!(b.up(server), Some(false));
    b.run(S * 30);
    assert!(b.children_of.is_empty() && b.logged("its file is writable by others") == 1);
}

#[test]
fn a_storm_of_programs_is_bounded() {
    let mut b = Bench::new();
    let servers: Vec<_> = (0..1000u16).map(|n| (n, b.servers.insert(()))).collect();
    b.call(|c, cx| {
        c.start(cx);
        for (n, server) in &servers {
            let mut check = misc(false, ROOT);
            check.pace.delay_loop = Some(S * 10 + Duration::from_millis(u64::from(*n)));
            c.set(*server, vec![wanted(*server, spec(&check))], cx);
        }
    });
    b.run(S);
    assert_eq!((b.children_of.len(), b.checks.sizes().1), (PROGRAMS, PROGRAMS));
    b.exits(ChildEnd::Exited(0));
    assert_eq!(b.children_of.len(), PROGRAMS + 1, "one ends, the next begins");
}

#[test]
fn one_that_is_wanted_again_while_its_predecessor_ends_is_another_one() {
    let (mut b, server) = Bench::of(spec(&misc(false, ROOT)));
    b.run(ms(10));
    b.call(|c, cx| c.set(server, Vec::new(), cx));
    b.call(|c, cx| {
        c.set(server, vec![wanted(server, spec(&misc(false, ROOT)))], cx);
        c.start(cx);
    });
    b.run(ms(10));
    assert_eq!(b.children_of.len(), 2);
    // A second server that wants the same shares the new one.
    let other = b.servers.insert(());
    b.call(|c, cx| c.set(other, vec![wanted(other, spec(&misc(false, ROOT)))], cx));
    b.exits(ChildEnd::Exited(0));
    assert_eq!((b.up(server), b.up(other), b.checks.sizes().0), (Some(true), Some(true), 2));
}
