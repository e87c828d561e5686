//! Mail about changes of state, against a server whose answers the test gives.
//!
//! Read first: `bench.rs`, `src/notify/mail.rs`.

use crate::bench::{Bench, Out, v2, vip};
use kalived::config::model::global::{GlobalMore, SmtpServer};
use kalived::config::model::{Config, Global, InstanceConfig};
use kalived::effect::{ConnFx, Effect, HelperFx, Peer};
use kalived::event::{Errno, Event, HelperEv, Stream};
use kalived::id::ConnKey;
use kalived::time::Duration;
use kalived::world::World;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn more(host: &str) -> GlobalMore {
    GlobalMore {
        smtp_server: Some(SmtpServer { host: host.into(), port: 25 }),
        notification_email: vec!["ops@example.net".into(), "night@example.net".into()],
        notification_email_from: Some("Cluster <cluster@example.net>".into()),
        smtp_helo_name: Some("lb1.example.net".into()),
        smtp_alert: Some(true),
        ..GlobalMore::default()
    }
}

fn bench(instances: Vec<InstanceConfig>, more: GlobalMore) -> Bench {
    let global = Global { router_id: Some("LB1".into()), more: Box::new(more), ..Global::default() };
    let mut b = Bench::of(World::new(Config { instances, global, ..Config::default() }));
    b.start();
    b
}

fn says(b: &mut Bench, conn: ConnKey, text: &str) {
    b.event(Event::Conn { conn, what: Stream::Data(text.as_bytes()) });
}

// The last requested connection.
fn connect(b: &Bench) -> Option<ConnKey> {
    b.asked.iter().rev().find_map(|e| match e {
        Effect::Conn(ConnFx::Connect { conn, .. }) => Some(*conn),
        _ => None,
    })
}
fn connects(b: &Bench) -> usize {
    b.asked.iter().filter(|e| matches!(e, Effect::Conn(ConnFx::Connect { .. }))).count()
}
fn closed(b: &Bench, conn: ConnKey) -> bool {
    b.asked.iter().any(|e| matches!(e, Effect::Conn(ConnFx::Close { conn: c }) if *c == conn))
}
fn written(b: &Bench) -> Vec<String> {
    let all = b.asked.iter().filter_map(|e| match e {
        Effect::Conn(ConnFx::Write { bytes, .. }) => Some(String::from_utf8(bytes.to_vec()).expect("text")),
        _ => None,
    });
    all.collect()
}

// A server that accepts everything; returns what it received.
fn take(b: &mut Bench) -> Vec<String> {
    let conn = connect(b).expect("a connection");
    b.asked.clear();
    b.event(Event::Conn { conn, what: Stream::Connected });
    says(b, conn, "220 ");
    says(b, conn, "mx\r\n");
    for reply in ["250-hello\r\n250 you\r\n", "250 ok\r\n", "250 ok\r\n", "251 ok\r\n", "354 go\r\n", "250 taken\r\n"] {
        says(b, conn, reply);
    }
    let sent = written(b);
    b.asked.retain(|e| !matches!(e, Effect::Conn(ConnFx::Write { .. })));
    says(b, conn, "221 bye\r\n");
    assert!(closed(b, conn));
    sent
}

#[test]
fn the_dialogue() {
    let mut b = bench(vec![v2()], more("192.0.2.25"));
    assert!(
        matches!(&b.asked[..], [Effect::Conn(ConnFx::Connect { to: Peer::Tcp(to), .. })] if to.to_string() == "192.0.2.25:25")
    );
    let sent = take(&mut b);
    assert_eq!(
        sent,
        [
            "HELO lb1.example.net\r\n",
            "MAIL FROM:<cluster@example.net>\r\n",
            "RCPT TO:<ops@example.net>\r\n",
            "RCPT TO:<night@example.net>\r\n",
            "DATA\r\n",
            "Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nFrom: Cluster <cluster@example.net>\r\n\
             Subject: [LB1] VRRP Instance VI_1 - Entering BACKUP state\r\nX-Mailer: Keepalived\r\n\
             To: ops@example.net,\r\n night@example.net\r\n\r\n\
             => VRRP Instance is no longer owning VRRP VIPs <=\r\n.\r\n",
            "QUIT\r\n",
        ]
    );
    b.asked.clear();
    b.run(secs(10));
    let master = take(&mut b);
    assert!(master[5].contains("Subject: [LB1] VRRP Instance VI_1 - Entering MASTER state\r\n"));
    assert!(master[5].contains("\r\n\r\n=> VRRP Instance is now owning VRRP VIPs <=\r\n.\r\n"));
    b.asked.clear();
    b.term();
    assert!(!b.out.iter().any(|o| matches!(o, Out::Exit(_))), "the last mail has a moment");
    let stop = take(&mut b);
    assert!(stop[5].contains("Subject: [LB1] VRRP Instance VI_1 - Stopping\r\n"));
    assert!(b.out.iter().any(|o| matches!(o, Out::Exit(_))));
}

#[test]
fn no_mail_unless_all_is_there() {
    let silent = |more: GlobalMore| {
        let mut b = bench(vec![v2()], more);
        b.run(secs(10));
        b.asked.is_empty()
    };
    assert!(!silent(more("192.0.2.25")));
    assert!(silent(GlobalMore { smtp_alert: None, ..more("192.0.2.25") }));
    assert!(silent(GlobalMore { smtp_alert_vrrp: Some(false), ..more("192.0.2.25") }));
    assert!(silent(GlobalMore { smtp_server: None, ..more("192.0.2.25") }));
    assert!(silent(GlobalMore { notification_email: Vec::new(), ..more("192.0.2.25") }));
    let mut cfg = v2();
    cfg.more.notify.smtp_alert = Some(true);
    let mut b = bench(vec![cfg], GlobalMore { smtp_alert: None, ..more("192.0.2.25") });
    b.run(secs(10));
    assert!(!b.asked.is_empty(), "an instance's own word counts");
}

#[test]
fn faults_are_not_mailed_if_nobody_wants_them() {
    let mut b = bench(vec![], more("192.0.2.25"));
    for (no_email_faults, mails) in [(true, 0), (false, 1)] {
        let global =
            Global { more: Box::new(GlobalMore { no_email_faults, ..more("192.0.2.25") }), ..Global::default() };
        b = Bench::of(World::new(Config { instances: vec![v2()], global, ..Config::default() }));
        b.links[0].up = false;
        b.links[0].running = false;
        b.start();
        assert_eq!(connects(&b), mails);
    }
    assert!(take(&mut b)[5].contains("Entering FAULT state"));
}

#[test]
fn a_name_is_looked_up_and_every_address_tried() {
    let mut b = bench(vec![v2()], more("mx.example.net"));
    let [Effect::Helper(HelperFx::Lookup { conn, host, port: 25 })] = &b.asked[..] else { panic!("{:?}", b.asked) };
    assert_eq!(host, "mx.example.net");
    let conn = *conn;
    b.asked.clear();
    let addrs = ["192.0.2.1:25".parse().expect("one"), "[2001:db8::1]:25".parse().expect("two")];
    b.event(Event::Helper(HelperEv::Resolved { conn, result: Ok(&addrs) }));
    assert_eq!(connect(&b), Some(conn));
    b.event(Event::Conn { conn, what: Stream::Failed(Errno(111)) });
    let second = connect(&b).expect("a connection");
    assert_ne!(second, conn);
    assert_eq!(b.logged("failed"), 0);
    b.event(Event::Conn { conn: second, what: Stream::Failed(Errno(111)) });
    assert_eq!(b.logged("trying again"), 1, "{:?}", b.log);
    b.asked.clear();
    b.run(secs(10));
    assert!(matches!(b.asked[0], Effect::Helper(HelperFx::Lookup { .. })), "once more from the start");
}

#[test]
fn three_tries_then_the_next() {
    let mut b = bench(vec![v2()], more("192.0.2.25"));
    b.run(secs(5));
    for n in 1..=3 {
        let conn = connect(&b).expect("a connection");
        b.asked.clear();
        b.event(Event::Conn { conn, what: Stream::Connected });
        says(&mut b, conn, "450 come back later\r\n");
        assert!(closed(&b, conn));
        assert_eq!(b.logged("450 come back later; trying again"), n.min(2));
        b.asked.retain(|e| !matches!(e, Effect::Conn(ConnFx::Close { .. })));
        b.run(secs(10));
    }
    assert_eq!(b.logged("450 come back later; given up"), 1, "{:?}", b.log);
    assert!(take(&mut b)[5].contains("Entering MASTER state"), "the newest is not lost");
}

#[test]
fn a_server_that_says_never_is_not_asked_again() {
    let mut b = bench(vec![v2()], more("192.0.2.25"));
    let conn = connect(&b).expect("a connection");
    b.event(Event::Conn { conn, what: Stream::Connected });
    says(&mut b, conn, "220 mx\r\n250 ok\r\n550 no relaying\x1b[2J\r\n");
    assert_eq!(b.logged("failed: 550 no relaying?[2J; given up"), 1, "{:?}", b.log);
    b.asked.clear();
    b.run(secs(3));
    assert!(b.asked.is_empty());
}

#[test]
fn one_refused_recipient_does_not_cost_the_other_his_mail() {
    let mut b = bench(vec![v2()], more("192.0.2.25"));
    let conn = connect(&b).expect("a connection");
    b.event(Event::Conn { conn, what: Stream::Connected });
    says(&mut b, conn, "220 mx\r\n250 ok\r\n250 ok\r\n550 who?\r\n250 ok\r\n354 go\r\n250 taken\r\n");
    assert_eq!(b.logged("refuses recipient ops@example.net: 550 who?"), 1);
    assert_eq!(written(&b).len(), 7, "{:?}", written(&b));
    // If all recipients are refused, no mail is sent.
    let mut b = bench(vec![v2()], more("192.0.2.25"));
    let conn = connect(&b).expect("a connection");
    b.event(Event::Conn { conn, what: Stream::Connected });
    says(&mut b, conn, "220 mx\r\n250 ok\r\n250 ok\r\n550 who?\r\n550 who?\r\n");
    assert!(!written(&b).iter().any(|w| w.starts_with("DATA")));
    assert!(closed(&b, conn));
}

#[test]
fn a_server_that_drips_is_left() {
    // A reply that never ends: the time of the step is over.
    let mut b = bench(vec![v2()], more("192.0.2.25"));
    let conn = connect(&b).expect("a connection");
    b.event(Event::Conn { conn, what: Stream::Connected });
    for _ in 0..29 {
        b.run(secs(1));
        says(&mut b, conn, "2");
    }
    assert!(!closed(&b, conn));
    b.run(secs(1));
    assert!(closed(&b, conn));
    // Each reply comes within the time of its step: the time of the whole dialogue is over.
    let mut b = bench(vec![v2()], GlobalMore { notification_email: vec!["a@b".into(); 50], ..more("192.0.2.25") });
    let conn = connect(&b).expect("a connection");
    b.event(Event::Conn { conn, what: Stream::Connected });
    for _ in 0..4 {
        b.run(secs(29));
        assert!(!closed(&b, conn));
        says(&mut b, conn, "250 ok\r\n");
    }
    b.run(secs(4));
    assert!(closed(&b, conn));
}

#[test]
fn endless_lines_and_replies_end_the_dialogue() {
    for flood in ["x".repeat(4096), "220-x\r\n".repeat(101), "hello\r\n".into()] {
        let mut b = bench(vec![v2()], more("192.0.2.25"));
        let conn = connect(&b).expect("a connection");
        b.event(Event::Conn { conn, what: Stream::Connected });
        says(&mut b, conn, &flood);
        assert!(closed(&b, conn) && written(&b).is_empty());
        says(&mut b, conn, "220 mx\r\n");
        assert!(written(&b).is_empty(), "nothing is heard any more");
    }
}

#[test]
fn sixty_four_letters_wait_and_the_newest_are_among_them() {
    let instances = (1..=100)
        .map(|vrid| InstanceConfig {
            name: format!("VI_{vrid}"),
            vrid,
            vips: vec![vip(&format!("198.18.1.{vrid}"))],
            ..v2()
        })
        .collect();
    let mut b = bench(instances, more("192.0.2.25"));
    b.run(secs(5));
    assert_eq!(b.logged("the oldest are dropped"), 1);
    let mut subjects = Vec::new();
    while connects(&b) > 0 {
        let letter = take(&mut b).swap_remove(5);
        let from = letter.find("Subject: ").expect("a subject");
        subjects.push(letter[from..].lines().next().expect("a line").to_owned());
        b.asked.retain(|e| matches!(e, Effect::Conn(ConnFx::Connect { .. })));
    }
    assert_eq!(subjects.len(), 64);
    assert!(subjects[0].ends_with("VI_1 - Entering BACKUP state"), "what is under way goes on: {}", subjects[0]);
    assert!(subjects[63].contains("Entering MASTER state"));
}

#[test]
fn a_stop_waits_three_seconds_for_a_server_that_is_away() {
    let mut b = bench(vec![v2()], more("192.0.2.25"));
    b.run(secs(10));
    b.term();
    b.run(Duration::from_millis(2999));
    assert!(!b.out.iter().any(|o| matches!(o, Out::Exit(_))));
    b.run(Duration::from_millis(1));
    assert!(b.out.iter().any(|o| matches!(o, Out::Exit(_))));
    assert!(b.logged("the daemon stops; given up") >= 1);
}
