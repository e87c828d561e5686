//! SMTP_CHECK, DNS_CHECK, UDP_CHECK, PING_CHECK, FILE_CHECK, BFD_CHECK.

use crate::bench::*;
use kalived::config::model::Config;
use kalived::config::model::bfd::BfdInstance;
use kalived::config::model::check::{BfdCheck, CheckKind, DnsCheck, DnsType, FileCheck, SmtpCheck, UdpCheck};
use kalived::config::model::setting::Weight;
use kalived::config::model::vrrp::TrackFile;
use kalived::effect::Peer;
use kalived::event::Errno;
use kalived::id::RsKey;
use kalived::lvs::check::CheckSpec;

const SERVER: &str = "10.77.0.11:80";

fn look(kind: CheckKind, does: Does) -> (Option<bool>, String, Bench) {
    let (mut b, server) = Bench::of(spec(&check(kind)));
    b.does.insert(SERVER.into(), does.clone());
    b.does.insert("10.77.0.11".into(), does);
    b.run(ms(1_500));
    assert_eq!(b.connections(), 0);
    (b.up(server), b.words(server), b)
}

#[test]
fn smtp_greets_and_leaves() {
    let smtp = |helo: Option<&str>| {
        CheckKind::Smtp(Box::new(SmtpCheck { helo_name: helo.map(Into::into), ..SmtpCheck::default() }))
    };
    let replies = |all: &[&str]| -> Vec<(kalived::time::Duration, Vec<u8>)> {
        all.iter().map(|r| (ms(1), r.as_bytes().to_vec())).collect()
    };
    let (up, words, b) = look(
        smtp(None),
        Does::Greets(replies(&["220-mail\r\n220 ready\r\n", "250-mail\r\n250 SIZE\r\n", "221 bye\r\n"]), Then::Closes),
    );
    assert_eq!((up, &*words), (Some(true), "SMTP 250"));
    let said: Vec<_> = b.said.iter().map(|(_, s)| String::from_utf8_lossy(s).into_owned()).collect();
    assert_eq!(said, ["HELO smtpchecker.keepalived.org\r\n", "QUIT\r\n"]);
    let (_, _, b) = look(smtp(Some("lb1.example.org")), Does::Greets(replies(&["220 x\r\n"]), Then::Waits));
    assert_eq!(b.said[0].1, b"HELO lb1.example.org\r\n");
    for (all, then, words) in [
        (&["554 no\r\n"][..], Then::Closes, "greeting: 554 no"),
        (&["220 x\r\n", "550 go away\r\n"], Then::Closes, "reply to HELO: 550 go away"),
        (&["SSH-2.0-x\r\n"], Then::Waits, "it does not speak SMTP"),
        (&["220 x\r\n250 y\r\n"], Then::Waits, "it answers before it is asked: it does not speak SMTP"),
        (&["220 x\r\n"], Then::Waits, "no reply to HELO within 1.00 s"),
        (&["220 x\r\n"], Then::Closes, "closed, no reply to HELO"),
        (&[], Then::Waits, "no greeting within 1.00 s"),
        (&["220 x\r\n", "250 y\r\n"], Then::Waits, "no reply to QUIT within 1.00 s"),
        (&["220 x\r\n"], Then::Resets, "connection reset (104)"),
    ] {
        let (up, is, _) = look(smtp(None), Does::Greets(replies(all), then));
        assert_eq!((up, &*is), (Some(false), words));
    }
    let (up, _, _) = look(smtp(None), Does::Greets(replies(&["220 x\r\n", "250 y\r\n"]), Then::Resets));
    assert_eq!(up, Some(true), "how it leaves says nothing more");
}

#[test]
fn dns_wants_noerror_to_its_own_question() {
    let dns = || CheckKind::Dns(Box::new(DnsCheck { name: "example.org".into(), query: DnsType::A }));
    let (_, words, b) = look(dns(), Does::Accepts);
    assert_eq!(words, "no answer within 1.00 s");
    assert_eq!(b.opened[0].2, Peer::Udp("10.77.0.11:80".parse().unwrap()));
    let query = &b.said[0].1;
    assert_eq!(query[2..], *b"\x01\0\0\x01\0\0\0\0\0\0\x07example\x03org\0\0\x01\0\x01");
    // The bench asks again with the identifier of that look: the same at the same time.
    let answer = |f: &dyn Fn(&mut Vec<u8>)| {
        let mut a = query.clone();
        a[2] = 0x81;
        f(&mut a);
        Does::Answers(vec![a])
    };
    for (does, up, words) in [
        (answer(&|_| ()), true, "NOERROR"),
        (answer(&|a| a.extend([0; 400])), true, "NOERROR"),
        (answer(&|a| a[12..].make_ascii_uppercase()), true, "NOERROR"),
        (answer(&|a| a[3] = 3), false, "DNS NXDOMAIN (rcode = 3)"),
        (answer(&|a| a[3] = 0x82), false, "DNS SERVFAIL (rcode = 2)"),
        (answer(&|a| a[3] = 15), false, "DNS rcode = 15"),
        (answer(&|a| a[0] ^= 1), false, "no answer within 1.00 s"),
        (answer(&|a| a[2] = 1), false, "no answer within 1.00 s"),
        (answer(&|a| a[13] = b'E' + 1), false, "no answer within 1.00 s"),
        (answer(&|a| a.truncate(11)), false, "no answer within 1.00 s"),
        (answer(&|a| a.truncate(20)), false, "no answer within 1.00 s"),
        (Does::Says(vec![], Then::Resets), false, "connection reset (104)"),
    ] {
        let (is, said, _) = look(dns(), does);
        assert_eq!((is, &*said), (Some(up), words));
    }
    let root = spec(&check(CheckKind::Dns(Box::default())));
    let (mut b, _) = Bench::of(root);
    b.does.insert(SERVER.into(), Does::Accepts);
    b.run(S * 9);
    assert_eq!(b.said[0].1[12..], *b"\0\0\x06\0\x01", "the root's SOA");
    assert_ne!(b.said[0].1[..2], b.said[1].1[..2], "another identifier each time");
}

#[test]
fn udp_silence_is_a_success_unless_a_reply_is_required() {
    let udp = |reply: Option<&[(u8, u8)]>, least, most| {
        CheckKind::Udp(Box::new(UdpCheck {
            require_reply: reply.map(<[_]>::to_vec),
            min_reply_length: least,
            max_reply_length: most,
            ..UdpCheck::default()
        }))
    };
    let (up, words, b) = look(udp(None, 0, 255), Does::Accepts);
    assert_eq!((up, &*words), (Some(true), "no error"));
    assert_eq!(b.said[0].1, b"keepalived check - keepalived ch");
    let says = |bytes: &[u8]| Does::Answers(vec![bytes.to_vec()]);
    let want = [(0x12, 0xff), (0x30, 0xf0)];
    for (kind, does, up, words) in [
        (udp(None, 0, 255), says(b"x"), true, "replied"),
        (udp(None, 0, 255), Does::Says(vec![], Then::Resets), false, "connection reset (104)"),
        (udp(Some(&[]), 0, 255), Does::Accepts, false, "no answer within 1.00 s"),
        (udp(Some(&[]), 0, 255), says(b"x"), true, "replied as required"),
        (udp(Some(&[]), 2, 255), says(b"x"), true, "replied as required"),
        (udp(Some(&[]), 0, 255), says(&[b'x'; 300]), true, "replied as required"),
        (udp(Some(&want), 3, 255), says(b"\x12\x34"), false, "a reply of 2 bytes, not 3 to 255"),
        (udp(Some(&want), 0, 255), says(b"\x12\x34\x56"), true, "replied as required"),
        (udp(Some(&want), 0, 255), says(b"\x12\x44"), false, "a reply with other content, from byte 1 on"),
        (udp(Some(&want), 0, 1), says(b"\x12\x34"), false, "a reply of 2 bytes, not 0 to 1"),
    ] {
        let (is, said, _) = look(kind, does);
        assert_eq!((is, &*said), (Some(up), words));
    }
    let refused = Does::Refuses(111);
    let (up, words, _) = look(udp(None, 0, 255), refused);
    assert_eq!((up, &*words), (Some(false), "connection refused (111)"));
}

#[test]
fn ping_wants_the_reply_to_its_own_request() {
    let (_, words, b) = look(CheckKind::Ping, Does::Accepts);
    assert_eq!((&*words, &b.opened[0].2), ("no answer within 1.00 s", &Peer::Ping([10, 77, 0, 11].into())));
    let request = &b.said[0].1;
    assert_eq!((request.len(), request[..2].to_vec()), (128, vec![8, 0]));
    let sum: u32 = request.chunks(2).map(|p| u32::from(p[0]) << 8 | u32::from(p[1])).sum();
    assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "a checksum that holds (RFC 1071)");
    let reply = |f: &dyn Fn(&mut Vec<u8>)| {
        let mut r = request.clone();
        r[0] = 0;
        f(&mut r);
        // As a raw socket gives it: with a header, here of 24 bytes.
        let mut packet = vec![0x46; 24];
        packet.extend(r);
        Does::Answers(vec![packet])
    };
    assert_eq!(look(CheckKind::Ping, reply(&|_| ())).0, Some(true));
    for f in [&(|r: &mut Vec<u8>| r[0] = 8) as &dyn Fn(&mut Vec<u8>), &|r| r[0] = 3, &|r| r[7] ^= 1, &|r| r.truncate(7)]
    {
        assert_eq!(look(CheckKind::Ping, reply(f)).0, Some(false));
    }
    for odd in [&b""[..], b"\x4f", b"\x45\0\0", b"\x60\0\0\0"] {
        assert_eq!(look(CheckKind::Ping, Does::Answers(vec![odd.to_vec()])).0, Some(false));
    }
}

fn file(weight: i32, reverse: bool) -> (Bench, RsKey) {
    let track = TrackFile { name: "load".into(), file: Some("/run/load".into()), ..TrackFile::default() };
    let config = Config { track_files: vec![track], ..Config::default() };
    let kind = FileCheck { track_file: Some("load".into()), weight: Some(Weight { weight, reverse }) };
    let spec = CheckSpec::of(&config, &vs(), &rs(11), &check(CheckKind::File(Box::new(kind)))).remove(0);
    Bench::of(spec)
}

#[test]
fn a_file_moves_the_weight_and_can_fail() {
    let (mut b, server) = file(2, false);
    assert_eq!((b.watched[0].1.as_str(), b.up(server)), ("/run/load", None));
    for (text, up, weight) in [
        (&b"3\n"[..], true, 6),
        (b"3\n", true, 6),
        (b"-10", true, -20),
        (b"-1073741824", false, -2_147_483_648),
        (b"0", true, 0),
    ] {
        b.file(Ok(text));
        let s = b.checks.standing(server);
        assert_eq!((s.up, s.weight), (Some(up), weight), "{text:?}");
    }
    assert_eq!(b.logged("([10.77.0.11]:tcp:80): tracked file load now FAULT state"), 1);
    let weights: Vec<_> = b.outs.iter().filter_map(|(_, o)| o.weight).collect();
    assert_eq!(weights, [6, -20, -2_147_483_648, 0], "each change once");
    b.file(Ok(b"99999999999"));
    assert_eq!((b.checks.standing(server).weight, b.logged("Invalid number")), (0, 1));
    b.file(Err(Errno(2)));
    assert_eq!(b.up(server), Some(true), "no file is 0");
    b.call(|c, cx| c.set(server, Vec::new(), cx));
    assert_eq!(b.unwatched, 1);
    let (mut b, server) = file(0, false);
    b.file(Ok(b"1"));
    assert_eq!(b.up(server), Some(false), "weight 0: a number is a failure");
    b.file(Ok(b"0"));
    assert_eq!(b.up(server), Some(true));
    let (mut b, server) = file(3, true);
    b.file(Ok(b"2"));
    assert_eq!(b.checks.standing(server).weight, -6);
}

#[test]
fn a_file_that_nobody_defined_is_a_failure_from_the_start() {
    let kind = FileCheck { track_file: Some("load".into()), weight: None };
    let (b, server) = Bench::of(spec(&check(CheckKind::File(Box::new(kind)))));
    assert_eq!((b.up(server), b.words(server)), (Some(false), "there is no track_file load".into()));
    assert_eq!(b.logged("failed. (there is no track_file load)"), 1);
}

#[test]
fn a_track_file_without_a_file_is_zero_and_that_is_said() {
    let track = TrackFile { name: "load".into(), file: None, ..TrackFile::default() };
    let config = Config { track_files: vec![track], ..Config::default() };
    let kind = FileCheck { track_file: Some("load".into()), weight: None };
    let spec = CheckSpec::of(&config, &vs(), &rs(11), &check(CheckKind::File(Box::new(kind)))).remove(0);
    let mut b = Bench::new();
    let server = b.servers.insert(());
    b.call(|c, cx| c.set(server, vec![wanted(server, spec)], cx));
    assert_eq!(b.up(server), None);
    b.call(|c, cx| c.start(cx));
    b.run(S);
    assert_eq!((b.up(server), b.verdicts()), (Some(true), vec![(0, true)]));
}

fn bfd_spec(host: u8) -> CheckSpec {
    let session = BfdInstance { name: "r2".into(), neighbor_ip: Some([10, 77, 0, 9].into()), ..BfdInstance::default() };
    let config = Config { bfd: vec![session], ..Config::default() };
    let kind = CheckKind::Bfd(Box::new(BfdCheck { name: Some("r2".into()) }));
    CheckSpec::of(&config, &vs(), &rs(host), &check(kind)).remove(0)
}

#[test]
fn a_bfd_check_follows_its_session() {
    let (mut b, server) = Bench::of(bfd_spec(11));
    b.run(S);
    assert_eq!((b.up(server), b.opened.len()), (None, 0), "nothing is known, and nothing is looked at");
    for (n, up) in [true, false, false, true].into_iter().enumerate() {
        b.call(|c, cx| c.on_bfd("r2", up, cx));
        b.call(|c, cx| c.on_bfd("r3", !up, cx));
        b.run(ms(1));
        assert_eq!(b.up(server), Some(up), "{n}");
    }
    assert_eq!(b.verdicts().into_iter().map(|(_, up)| up).collect::<Vec<_>>(), [true, false, true], "each change once");
    let lines: Vec<&str> = b.notes.iter().map(|(_, n)| n.as_str()).collect();
    let line = |word: &str| format!("BFD check of [r2] RS([10.77.0.11]:tcp:80) is {word}");
    assert_eq!(lines, [line("UP"), line("DOWN"), line("UP")]);
    // One that comes later knows at once; one that nobody wants any more leaves nothing behind.
    let late = b.servers.insert(());
    b.call(|c, cx| c.set(late, vec![wanted(late, bfd_spec(12))], cx));
    b.run(ms(1));
    assert_eq!(b.up(late), Some(true));
    b.call(|c, cx| c.set(server, Vec::new(), cx));
    b.call(|c, cx| c.set(late, Vec::new(), cx));
    b.call(|c, cx| c.on_bfd("r2", false, cx));
    b.run(S);
    assert_eq!((b.checks.sizes().0, b.timers.len()), (0, 0));
}

// A session of a thousand real servers: some of them in each turn.
#[test]
fn many_servers_follow_one_session_in_slices() {
    let mut b = Bench::new();
    let servers: Vec<RsKey> = (0..1000).map(|_| b.servers.insert(())).collect();
    b.call(|c, cx| c.start(cx));
    for (n, server) in servers.iter().enumerate() {
        let mut spec = bfd_spec(11);
        spec.backend.set_port(1000 + n as u16);
        b.call(|c, cx| c.set(*server, vec![wanted(*server, spec)], cx));
    }
    let before = b.turns;
    b.call(|c, cx| c.on_bfd("r2", false, cx));
    b.run(S);
    assert!(servers.iter().all(|s| b.up(*s) == Some(false)));
    assert!(b.turns - before >= 1000 / 32, "{} turns", b.turns - before);
}

#[test]
fn a_bfd_check_of_no_session_is_a_failure_from_the_start() {
    let kind = CheckKind::Bfd(Box::new(BfdCheck { name: Some("r2".into()) }));
    let (b, server) = Bench::of(spec(&check(kind)));
    assert_eq!((b.up(server), b.words(server)), (Some(false), "there is no bfd_instance r2".into()));
}
