//! Notifications of a sync group: their recipients and their text, which is that of keepalived 2.2.7 (compared with a running one).
//!
//! Read first: `group.rs`, `notify.rs` (`Desk`). The members first, then the group, with priority 0.

use crate::group::{ETH1, cold, pair};
use crate::notify::{Desk, ms, script, secs};
use kalived::config::model::Config;
use kalived::config::model::global::{Fifo, SmtpServer};
use kalived::config::model::setting::Ready;
use kalived::config::model::vrrp::Notify;
use kalived::effect::{ConnFx, Effect};
use kalived::event::{Event, GuardEv};

fn told(priority_changes: bool) -> Config {
    let mut config = pair(150, 150);
    let fifo = Fifo { path: "/fifo".into(), user: None, group: None, ready: Ready::Unknown };
    config.global.more.vrrp_notify_fifo = Some(fifo);
    config.global.more.vrrp_notify_priority_changes = priority_changes;
    config.sync_groups[0].notify = Notify {
        any: script(&["/any"]),
        master: script(&["/master", "x"]),
        backup: script(&["/backup"]),
        fault: script(&["/fault"]),
        stop: script(&["/stop"]),
        ..Notify::default()
    };
    config
}

fn desk(config: &Config) -> Desk {
    let mut d = Desk::of(cold(config), |_| Some(ms(10)));
    d.b.start();
    d.serve();
    d
}

fn lines(d: &mut Desk) -> Vec<String> {
    std::mem::take(&mut d.lines).into_iter().map(|l| l.trim_end().to_owned()).collect()
}

#[test]
fn lines_in_the_pipe() {
    let mut d = desk(&told(false));
    assert_eq!(lines(&mut d), [r#"INSTANCE "A" BACKUP 150"#, r#"INSTANCE "B" BACKUP 150"#, r#"GROUP "G" BACKUP 0"#]);
    d.run(secs(1));
    assert_eq!(lines(&mut d), [r#"INSTANCE "A" MASTER 150"#, r#"INSTANCE "B" MASTER 150"#, r#"GROUP "G" MASTER 0"#]);
    d.b.up(ETH1, false);
    d.serve();
    assert_eq!(lines(&mut d), [r#"INSTANCE "B" FAULT 150"#, r#"INSTANCE "A" FAULT 150"#, r#"GROUP "G" FAULT 0"#]);
    d.b.up(ETH1, true);
    d.serve();
    assert_eq!(lines(&mut d), [r#"INSTANCE "A" BACKUP 150"#, r#"INSTANCE "B" BACKUP 150"#, r#"GROUP "G" BACKUP 0"#]);
    d.b.term();
    d.serve();
    assert_eq!(lines(&mut d), [r#"INSTANCE "A" STOP 150"#, r#"INSTANCE "B" STOP 150"#, r#"GROUP "G" STOP 0"#]);
}

#[test]
fn scripts_of_a_group() {
    let mut d = desk(&told(false));
    d.run(secs(1));
    d.b.up(ETH1, false);
    d.run(secs(1));
    d.b.term();
    d.run(secs(1));
    let begun: Vec<String> = d.begun.iter().map(|s| s.argv.join(" ")).collect();
    assert_eq!(
        begun,
        [
            "/backup",
            "/any GROUP G BACKUP 0",
            "/master x",
            "/any GROUP G MASTER 0",
            "/fault",
            "/any GROUP G FAULT 0",
            "/stop",
            "/any GROUP G STOP 0",
        ]
    );
    let env = |n: usize, name: &str| d.begun[n].env.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str());
    assert_eq!(env(4, "KALIVED_GROUP"), Some("G"));
    assert_eq!(env(4, "KALIVED_INSTANCE"), None);
    assert_eq!(env(4, "KALIVED_CAUSE"), Some("vrrp_sync_group G: B is in FAULT (interface eth1 down)"));
    assert!(d.exited());
}

// The group yields between the takeover and its notification: both changes are notified, in order.
#[test]
fn a_takeover_that_is_over_at_once_is_told() {
    let config = told(false);
    let mut d = desk(&config);
    lines(&mut d);
    let until = d.b.world.next_takeover().expect("a timer");
    d.b.turn_to(until);
    let mut fx = kalived::effect::Effects::default();
    d.b.world.fire(d.b.now, 64, &mut fx);
    d.b.apply(fx);
    d.b.hears(&config.instances[0], 200);
    d.serve();
    assert_eq!(
        lines(&mut d),
        [
            r#"INSTANCE "A" MASTER 150"#,
            r#"INSTANCE "A" BACKUP 150"#,
            r#"INSTANCE "B" MASTER 150"#,
            r#"INSTANCE "B" BACKUP 150"#,
            r#"GROUP "G" MASTER 0"#,
            r#"GROUP "G" BACKUP 0"#,
        ]
    );
}

#[test]
fn a_group_that_is_gone_is_not_told_of_and_comes_back_as_new() {
    let config = told(false);
    let mut d = desk(&config);
    d.run(secs(1));
    lines(&mut d);
    let mut none = config.clone();
    none.sync_groups.clear();
    d.b.event(Event::Guard(GuardEv::Config(Box::new(none))));
    d.run(ms(10));
    assert_eq!(lines(&mut d), Vec::<String>::new());
    d.b.event(Event::Guard(GuardEv::Config(Box::new(config))));
    d.run(ms(10));
    assert_eq!(lines(&mut d), [r#"GROUP "G" MASTER 0"#]);
}

#[test]
fn mail_about_a_group() {
    let mut config = told(false);
    config.global.router_id = Some("LB1".into());
    let more = &mut config.global.more;
    more.vrrp_notify_fifo = None;
    more.smtp_server = Some(SmtpServer { host: "192.0.2.25".into(), port: 25 });
    more.notification_email = vec!["ops@example.net".into()];
    config.sync_groups[0].notify = Notify { smtp_alert: Some(true), ..Notify::default() };
    let mut b = cold(&config);
    b.start();
    let mut wrote = Vec::new();
    for _ in 0..8 {
        for e in std::mem::take(&mut b.asked) {
            match e {
                Effect::Conn(ConnFx::Connect { conn, .. }) => {
                    b.event(Event::Conn { conn, what: kalived::event::Stream::Connected });
                    b.event(Event::Conn { conn, what: kalived::event::Stream::Data(b"220 x\r\n") });
                }
                Effect::Conn(ConnFx::Write { conn, bytes }) => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    let reply: &[u8] = if text.starts_with("DATA") { b"354 go\r\n" } else { b"250 ok\r\n" };
                    wrote.push(text);
                    b.event(Event::Conn { conn, what: kalived::event::Stream::Data(reply) });
                }
                _ => {}
            }
        }
    }
    let letter = wrote.iter().find(|w| w.contains("Subject:")).expect("a letter");
    assert!(letter.contains("Subject: [LB1] VRRP Group G - Entering BACKUP state\r\n"), "{letter}");
    assert!(letter.contains("=> All VRRP group instances are now in BACKUP state <="), "{letter}");
}
