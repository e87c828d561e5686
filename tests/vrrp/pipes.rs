//! Named pipes: their lines, which lines may be lost and which not, and the programs that read them.
//!
//! Read first: `notify.rs`.

use crate::bench::{Bench, ETH0, PEER, link, v2, v3, vip};
use crate::notify::{Desk, config, flap, ms, quick, script, secs};
use kalived::config::model::global::{Fifo, GlobalMore};
use kalived::config::model::setting::Ready;
use kalived::effect::{Effect, HelperFx};
use kalived::event::{Errno, Event, HelperEv, NetEv};
use kalived::world::World;

fn fifo(path: &str) -> Option<Fifo> {
    Some(Fifo { path: path.into(), user: None, group: None, ready: Ready::As { uid: 0, gid: 0 } })
}

pub fn piped() -> GlobalMore {
    GlobalMore { notify_fifo: fifo("/run/f"), ..GlobalMore::default() }
}

#[test]
fn a_pipe_gets_exactly_these_lines() {
    let mut cfg = v2();
    cfg.more.notify.priority_changes = Some(true);
    cfg.track_interfaces =
        vec![kalived::config::model::TrackInterface { name: "eth1".into(), weight: -20, reverse: false }];
    let mut d = Desk::new(config(vec![], GlobalMore::default()), |_| None);
    d.b = Bench::of(World::new(config(vec![cfg.clone()], piped())));
    d.b.links.push(link(4, "eth1", true));
    d.b.start();
    d.run(secs(10));
    d.b.event(Event::Net(NetEv::LinkNew(link(4, "eth1", false))));
    d.b.rx(&cfg, PEER, 60, secs(1));
    d.run(secs(1));
    d.b.rx(&cfg, PEER, 200, secs(1));
    d.b.event(Event::Net(NetEv::LinkNew(link(4, "eth1", true))));
    d.b.event(Event::Net(NetEv::LinkNew(link(ETH0, "eth0", false))));
    d.serve();
    d.b.term();
    d.run(secs(5));
    let want = [
        "BACKUP 100",
        "MASTER 100",
        "MASTER_PRIORITY 80",
        "MASTER_RX_LOWER_PRI 80",
        "BACKUP 80",
        "BACKUP_PRIORITY 100",
        "FAULT 100",
        "STOP 100",
    ];
    assert_eq!(d.lines, want.map(|w| format!("INSTANCE \"VI_1\" {w}\n")));
    assert!(d.exited() && d.pipes.is_empty());
}

#[test]
fn priorities_are_told_only_to_who_asks() {
    let mut cfg = v2();
    cfg.track_interfaces =
        vec![kalived::config::model::TrackInterface { name: "eth1".into(), weight: 10, reverse: false }];
    let mut d = Desk::new(config(vec![cfg], piped()), |_| None);
    d.run(secs(10));
    d.b.event(Event::Net(NetEv::LinkNew(link(4, "eth1", true))));
    d.serve();
    assert_eq!(d.lines, ["INSTANCE \"VI_1\" BACKUP 100\n", "INSTANCE \"VI_1\" MASTER 100\n"]);
}

/// Trap 76: the pipe is full for long.
#[test]
fn a_reader_that_comes_back_gets_the_loss_told_and_the_latest_state() {
    let mut other = v3();
    (other.name, other.vrid) = ("VI_2".into(), 52);
    other.vips = vec![vip("198.18.0.101")];
    let cfg = quick();
    let mut d = Desk::new(config(vec![cfg.clone(), other], piped()), |_| None);
    d.room = 1;
    d.run(secs(10));
    let read = d.lines.len();
    let flaps = 600;
    for _ in 0..flaps {
        flap(&mut d, &cfg);
    }
    assert_eq!(d.lines.len(), read);
    assert_eq!(d.b.logged("nobody reads"), 1, "{:?}", d.b.log);
    d.lines.clear();
    d.drain_pipe(usize::MAX);
    // Lines: BACKUP of both, MASTER of both, two for each flap. 1,024 waited.
    let lost = 4 + 2 * flaps - read - 1024;
    assert_eq!(d.lines[0], format!("RESYNC \"kalived\" LOST {lost}\n"));
    assert!(d.lines[1].starts_with("INSTANCE \"VI_1\" ") && d.lines[2] == "INSTANCE \"VI_2\" MASTER 100\n");
    assert_eq!(d.lines.len(), 3 + 1024);
    assert_eq!(d.lines.last().map(String::as_str), Some("INSTANCE \"VI_1\" MASTER 254\n"));
    let of_one: Vec<&String> = d.lines.iter().filter(|l| l.contains("VI_1")).collect();
    assert!(of_one.windows(2).all(|w| w[0] != w[1]), "no state twice in a row");
    d.run(secs(1));
    assert_eq!(d.full.len(), 0);
}

#[test]
fn a_pipe_that_fails_is_opened_again_and_loses_nothing() {
    let mut b = Bench::of(World::new(config(vec![v2()], piped())));
    b.start();
    let mut opened = 0;
    let mut lines = Vec::new();
    for _ in 0..100 {
        for e in std::mem::take(&mut b.asked) {
            match e {
                Effect::Helper(HelperFx::OpenFifo { fifo, .. }) => {
                    opened += 1;
                    let result = if opened < 4 { Err(Errno::ENXIO) } else { Ok(()) };
                    b.event(Event::Helper(HelperEv::FifoReady { fifo, result }));
                }
                Effect::Helper(HelperFx::WriteFifo { fifo, line }) => {
                    let result = if opened < 5 { Err(Errno::ENOENT) } else { Ok(()) };
                    if result.is_ok() {
                        lines.push(line);
                    }
                    b.event(Event::Helper(HelperEv::FifoWritten { fifo, result }));
                }
                Effect::Helper(HelperFx::CloseFifo { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
        b.run(secs(1));
    }
    assert_eq!(opened, 5);
    assert_eq!(lines, ["INSTANCE \"VI_1\" BACKUP 100\n", "INSTANCE \"VI_1\" MASTER 100\n"]);
}

/// Trap 76: never two readers; one that ends is started again, with a growing pause.
#[test]
fn a_pipes_script_is_started_with_its_path_and_again_when_it_ends() {
    let more = GlobalMore { notify_fifo_script: script(&["/reader", "-x"]), ..piped() };
    let mut d = Desk::new(config(vec![v2()], more), |_| Some(secs(1)));
    d.run(secs(200));
    assert_eq!(d.begun[0].argv, ["/reader", "-x", "/run/f"]);
    // Starts at 0, 2, 5, 10, 19, 36, 69, 130, 191.
    assert_eq!(d.begun.len(), 9, "{:?}", d.b.log);
    assert_eq!(d.most, 1);
    assert_eq!(d.b.logged("its script exited with status 0; started again in 60.00 s"), 3);
}

#[test]
fn at_a_stop_the_script_gets_the_last_line_and_is_terminated() {
    let more = GlobalMore { notify_fifo_script: script(&["/reader"]), ..piped() };
    let mut d = Desk::new(config(vec![v2()], more), |_| None);
    d.run(secs(10));
    d.b.term();
    d.run(ms(10));
    assert_eq!(d.lines.last().map(String::as_str), Some("INSTANCE \"VI_1\" STOP 100\n"));
    assert!(d.pipes.is_empty() && d.kills.is_empty() && !d.exited(), "it may read, and go by itself");
    d.run(secs(1));
    assert_eq!(d.kills, [("/reader".to_owned(), false)]);
    assert!(d.exited());
}

#[test]
fn one_path_is_one_pipe_with_one_reader() {
    let more = GlobalMore {
        vrrp_notify_fifo: fifo("/run/f"),
        vrrp_notify_fifo_script: script(&["/second"]),
        notify_fifo_script: script(&["/first"]),
        ..piped()
    };
    let mut d = Desk::new(config(vec![v2()], more), |_| None);
    d.run(secs(1));
    assert_eq!(d.begun.iter().map(|s| s.argv[0].as_str()).collect::<Vec<_>>(), ["/first"]);
    assert_eq!(d.lines, ["INSTANCE \"VI_1\" BACKUP 100\n"]);
}
