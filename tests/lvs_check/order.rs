//! The checks of real servers over reloads, suspension, and from one process to the next; and any order of these.

use crate::bench::*;
use kalived::config::model::check::CheckKind;
use kalived::event::ChildEnd;
use kalived::id::RsKey;
use kalived::lvs::check::{CheckSpec, Standing, Wanted};
use proptest::prelude::*;

const SERVER: &str = "10.77.0.11:80";

fn port(port: u16) -> CheckSpec {
    let mut c = check(CheckKind::Tcp);
    c.target.connect_port = Some(port);
    spec(&c)
}

#[test]
fn a_check_that_did_not_change_keeps_its_state_and_its_times() {
    let (mut b, server) = Bench::of(port(80));
    b.does.insert(SERVER.into(), Does::Accepts);
    b.run(ms(3_000));
    b.does.insert(SERVER.into(), Does::Refuses(111));
    b.run(ms(1_500)); // one failure is forgiven at 4 s
    let other = Wanted { weight: 77, ..wanted(server, port(80)) };
    b.call(|c, cx| c.apply(vec![other], cx));
    b.run(ms(600));
    assert_eq!(b.verdicts(), [(0, true), (5_000, false)]);
    assert_eq!(b.opened.len(), 4);
}

#[test]
fn trap_17_18_a_server_that_is_down_does_not_come_back_by_an_edit_but_by_a_success() {
    let (mut b, server) = Bench::of(port(80));
    b.does.insert(SERVER.into(), Does::Refuses(111));
    b.run(S);
    assert_eq!(b.up(server), Some(false));
    b.does.insert("10.77.0.11:81".into(), Does::Accepts);
    b.call(|c, cx| c.apply(vec![wanted(server, port(81))], cx));
    assert_eq!(b.up(server), Some(false), "not looked at yet");
    b.run(ms(10));
    assert_eq!((b.up(server), b.verdicts().last()), (Some(true), Some(&(1_000, true))));
    // The other way round: it stays up until the first look, which decides alone.
    b.call(|c, cx| c.apply(vec![wanted(server, port(82))], cx));
    assert_eq!(b.up(server), Some(true));
    b.does.insert("10.77.0.11:82".into(), Does::Refuses(111));
    b.run(ms(10));
    assert_eq!(b.up(server), Some(false));
    // The check that failed is taken away.
    b.call(|c, cx| c.apply(vec![wanted(server, port(81))], cx));
    b.run(ms(10));
    assert_eq!(b.up(server), Some(true));
}

/// Each keeps its own verdict, also of two of one kind, and one that only has another pace goes on as it was.
#[test]
fn checks_of_one_kind_that_a_reload_edits_keep_their_own_verdicts() {
    let (mut b, server) = Bench::of(port(80));
    b.does.insert(SERVER.into(), Does::Accepts);
    b.does.insert("10.77.0.11:81".into(), Does::Refuses(111));
    let paced = |port: u16, every: u64| {
        let mut c = check(CheckKind::Tcp);
        c.target.connect_port = Some(port);
        c.pace.delay_loop = Some(S * u32::try_from(every).unwrap());
        c.pace.retry = Some(2);
        spec(&c)
    };
    let set = |b: &mut Bench, specs: Vec<CheckSpec>| {
        let all = specs.into_iter().map(|s| wanted(server, s)).collect();
        b.call(|c, cx| c.apply(all, cx));
    };
    let ups = |b: &Bench| b.checks.views(server).iter().map(|(_, v)| v.up).collect::<Vec<_>>();
    set(&mut b, vec![paced(80, 2), paced(81, 2)]);
    b.run(S * 3);
    assert_eq!(ups(&b), [Some(true), Some(false)]);
    set(&mut b, vec![paced(80, 5), paced(81, 5)]);
    assert_eq!((ups(&b), b.up(server)), (vec![Some(true), Some(false)], Some(false)));
    set(&mut b, vec![paced(81, 3), paced(80, 3)]);
    assert_eq!(ups(&b), [Some(false), Some(true)]);
    // By their order where both do something else now.
    set(&mut b, vec![paced(91, 3), paced(90, 3)]);
    assert_eq!(ups(&b), [Some(false), Some(true)]);
    // Of another kind: the one that fails counts.
    set(&mut b, vec![spec(&check(CheckKind::Ping))]);
    assert_eq!(ups(&b), [Some(false)]);
    // One failure is forgiven as before the reload: the first result does not decide alone.
    set(&mut b, vec![paced(80, 2)]);
    b.run(S * 5);
    assert_eq!(b.up(server), Some(true));
    set(&mut b, vec![paced(80, 3)]);
    b.does.insert(SERVER.into(), Does::Refuses(111));
    let failures = |b: &Bench| b.checks.views(server)[0].1.failures;
    while failures(&b) == 0 && b.up(server) == Some(true) {
        b.run(ms(100));
    }
    assert_eq!((b.up(server), failures(&b)), (Some(true), 1));
}

#[test]
fn all_checks_of_a_server_must_succeed() {
    let (mut b, server) = Bench::of(port(80));
    let alpha = Wanted { alpha: true, ..wanted(server, port(81)) };
    b.call(|c, cx| c.apply(vec![wanted(server, port(80)), alpha, wanted(server, port(80))], cx));
    assert_eq!(b.checks.views(server).len(), 2, "written twice, done once");
    assert_eq!(b.checks.standing(server), Standing { up: None, awaited: true, ..Standing::default() });
    b.does.insert(SERVER.into(), Does::Accepts);
    b.run(ms(500));
    assert_eq!(b.up(server), None);
    b.run(S);
    assert_eq!(b.checks.standing(server), Standing { up: Some(false), failed: 1, ..Standing::default() });
    b.does.insert("10.77.0.11:81".into(), Does::Accepts);
    b.run(S * 2);
    assert_eq!(b.up(server), Some(true));
}

#[test]
fn a_suspended_server_is_not_looked_at_and_keeps_its_verdict() {
    let (mut b, server) = Bench::of(port(80));
    b.does.insert(SERVER.into(), Does::Accepts);
    b.run(S);
    let other = b.servers.insert(());
    b.call(|c, cx| {
        c.suspend(server, true, cx);
        c.set(other, vec![wanted(other, port(80))], cx);
    });
    b.run(S * 2);
    assert_eq!(b.opened.len(), 2, "the other one wants it");
    b.call(|c, cx| c.suspend(other, true, cx));
    b.does.insert(SERVER.into(), Does::Refuses(111));
    b.run(S * 10);
    assert_eq!((b.opened.len(), b.up(server), b.timers.len()), (2, Some(true), 0));
    b.call(|c, cx| c.suspend(server, false, cx));
    b.run(S * 5);
    assert_eq!(b.up(server), Some(false));
    b.call(|c, cx| c.stop(cx));
    b.run(ms(1));
    assert_eq!((b.timers.len(), b.connections(), b.up(server)), (0, 0, Some(false)));
}

#[test]
fn verdicts_and_forgiven_failures_outlive_the_process() {
    let (mut b, _) = Bench::of(port(80));
    b.does.insert(SERVER.into(), Does::Accepts);
    b.run(S);
    b.does.insert(SERVER.into(), Does::Refuses(111));
    b.run(ms(1_500));
    let shots = b.checks.shots(100).0;
    assert_eq!((shots.len(), shots[0].up, shots[0].failures), (1, true, 1));
    let mut next = Bench::new();
    let server = next.servers.insert(());
    next.does.insert(SERVER.into(), Does::Refuses(111));
    next.call(|c, cx| {
        c.resume(shots, "");
        c.set(server, vec![wanted(server, port(80))], cx);
        c.start(cx);
    });
    assert_eq!((next.up(server), next.words(server)), (Some(true), "as the process before found it".into()));
    next.run(S * 2);
    assert_eq!(next.up(server), Some(false), "that was the second failure");
    assert!(next.logged("failed after 1 retries") == 1, "{:?}", next.notes);
}

#[derive(Clone, Debug)]
enum Op {
    Set(usize, Vec<u16>),
    Suspend(usize, bool),
    Does(u16, u8),
    Run(u64),
    Start,
    Stop,
    Exit(u8),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (0usize..4, proptest::collection::vec(80u16..86, 0..4)).prop_map(|(s, p)| Op::Set(s, p)),
        1 => (0usize..4, any::<bool>()).prop_map(|(s, b)| Op::Suspend(s, b)),
        3 => (80u16..85, 0u8..4).prop_map(|(p, d)| Op::Does(p, d)),
        5 => (0u64..4_000).prop_map(Op::Run),
        1 => Just(Op::Start),
        1 => Just(Op::Stop),
        2 => (0u8..3).prop_map(Op::Exit),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    // The invariants hold; and in the end, when all servers accept and enough time has passed, all are up.
    #[test]
    fn any_order_of_everything(ops in proptest::collection::vec(op(), 1..60)) {
        let mut b = Bench::new();
        let servers: Vec<RsKey> = (0..4).map(|_| b.servers.insert(())).collect();
        let mut misc = check(CheckKind::Misc(Box::default()));
        if let CheckKind::Misc(m) = &mut misc.kind {
            m.misc_path = Some(Box::new(kalived::config::model::setting::Script {
                argv: vec!["/bin/check".into()],
                ready: kalived::config::model::setting::Ready::As { uid: 0, gid: 0 },
                ..Default::default()
            }));
        }
        let wants = |server: RsKey, ports: &[u16]| -> Vec<Wanted> {
            ports.iter().map(|p| wanted(server, if *p == 85 { spec(&misc) } else { port(*p) })).collect()
        };
        let mut ended = 0;
        for op in ops {
            match op {
                Op::Set(s, ports) => b.call(|c, cx| c.set(servers[s], wants(servers[s], &ports), cx)),
                Op::Suspend(s, on) => b.call(|c, cx| c.suspend(servers[s], on, cx)),
                Op::Does(p, d) => {
                    let does = [Does::Accepts, Does::Refuses(111), Does::Hangs, Does::Refuses(99)][usize::from(d)].clone();
                    b.does.insert(format!("10.77.0.11:{p}"), does);
                }
                Op::Run(n) => b.run(ms(n)),
                Op::Start => b.call(|c, cx| c.start(cx)),
                Op::Stop => b.call(|c, cx| c.stop(cx)),
                Op::Exit(n) => {
                    if b.children_of.len() > ended {
                        ended = b.children_of.len();
                        b.exits(ChildEnd::Exited(n));
                    }
                }
            }
            b.checks.check_invariants(&b.timers);
        }
        for p in 80..85 {
            b.does.insert(format!("10.77.0.11:{p}"), Does::Accepts);
        }
        for s in &servers {
            b.call(|c, cx| {
                c.set(*s, wants(*s, &[80, 81]), cx);
                c.suspend(*s, false, cx);
                c.start(cx);
            });
        }
        b.run(S * 20);
        for s in &servers {
            prop_assert_eq!(b.up(*s), Some(true));
        }
        for s in &servers {
            b.call(|c, cx| c.set(*s, Vec::new(), cx));
        }
        if b.children_of.len() > ended {
            b.exits(ChildEnd::Exited(0));
        }
        b.checks.check_invariants(&b.timers);
        prop_assert_eq!(b.connections(), 0);
    }
}
