//! Notification of a reload: virtual routers that are added, removed or renamed, and none that stay.
//!
//! Read first: `notify.rs`.

use crate::bench::{PEER, v2, vip};
use crate::notify::{Desk, config, general, ms, script, secs};
use crate::pipes::piped;
use kalived::config::model::InstanceConfig;
use kalived::config::model::global::GlobalMore;
use kalived::event::{Event, GuardEv};

fn vi(name: &str, vrid: u8) -> InstanceConfig {
    let mut cfg = general(v2());
    (cfg.name, cfg.vrid, cfg.vips) = (name.into(), vrid, vec![vip(&format!("198.18.1.{vrid}"))]);
    cfg
}

fn desk(instances: Vec<InstanceConfig>) -> Desk {
    let mut d = Desk::new(config(instances, piped()), |_| Some(ms(1)));
    d.run(secs(10));
    d.lines.clear();
    d.begun.clear();
    d
}

fn reload(d: &mut Desk, instances: Vec<InstanceConfig>, more: GlobalMore) {
    d.b.event(Event::Guard(GuardEv::Config(Box::new(config(instances, more)))));
    d.run(secs(1));
}

#[test]
fn who_stayed_hears_nothing_and_has_his_new_hook_from_then_on() {
    let mut d = desk(vec![vi("A", 1)]);
    let mut cfg = vi("A", 1);
    cfg.priority = 120;
    cfg.more.notify.any = script(&["/new"]);
    reload(&mut d, vec![cfg.clone()], piped());
    assert!(d.lines.is_empty() && d.begun.is_empty(), "{:?} {:?}", d.lines, d.begun);
    d.b.rx(&cfg, PEER, 200, secs(1));
    d.run(ms(1));
    assert_eq!(d.begun[0].argv.join(" "), "/new INSTANCE A BACKUP 120");
}

#[test]
fn who_comes_and_who_goes() {
    let mut d = desk(vec![vi("A", 1), vi("B", 2)]);
    reload(&mut d, vec![vi("A", 1), vi("C", 3)], piped());
    assert_eq!(d.told("B"), ["FAULT"]);
    assert_eq!(d.told("C"), ["BACKUP"]);
    assert_eq!(d.lines, ["INSTANCE \"C\" BACKUP 100\n", "INSTANCE \"B\" FAULT 100\n"]);
    let mut asks = vi("C", 3);
    asks.more.notify.deleted = Some(script(&["/deleted"]));
    reload(&mut d, vec![vi("A", 1), asks], piped());
    d.run(secs(10));
    d.lines.clear();
    d.begun.clear();
    reload(&mut d, vec![vi("A", 1)], piped());
    let argv: Vec<String> = d.begun.iter().map(|s| s.argv.join(" ")).collect();
    assert_eq!(argv, ["/deleted", "/h INSTANCE C DELETED 100"]);
    assert_eq!(d.lines, ["INSTANCE \"C\" DELETED 100\n"]);
}

#[test]
fn another_name_is_told_with_its_state() {
    let mut d = desk(vec![vi("A", 1)]);
    reload(&mut d, vec![vi("Z", 1)], piped());
    assert_eq!(d.lines, ["INSTANCE \"A\" FAULT 0\n", "INSTANCE \"Z\" MASTER 100\n"]);
    assert_eq!(d.told("Z"), ["MASTER"]);
    // Two that swap their names: each name is notified with its new state.
    let mut d = desk(vec![vi("A", 1), vi("B", 2)]);
    d.b.rx(&vi("A", 1), PEER, 200, secs(1));
    d.run(ms(1));
    d.lines.clear();
    reload(&mut d, vec![vi("B", 1), vi("A", 2)], piped());
    d.lines.sort();
    assert_eq!(d.lines, ["INSTANCE \"A\" MASTER 100\n", "INSTANCE \"B\" BACKUP 100\n"]);
}

#[test]
fn states_are_repeated_to_pipes_if_that_is_asked_for() {
    let mut d = desk(vec![vi("A", 1)]);
    reload(&mut d, vec![vi("A", 1)], GlobalMore { fifo_write_vrrp_states_on_reload: true, ..piped() });
    assert_eq!(d.lines, ["INSTANCE \"A\" MASTER 100\n"]);
    assert!(d.begun.is_empty());
}
