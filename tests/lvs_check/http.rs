//! `HTTP_GET`: requests, statuses, digests, patterns, several pages.

use crate::bench::*;
use kalived::config::model::Config;
use kalived::config::model::check::{CheckKind, HttpCheck, HttpProtocol, Regex, Url};
use kalived::lvs::check::CheckSpec;
use kalived::time::Duration;
use md5::{Digest, Md5};

const SERVER: &str = "10.77.0.11:80";

pub fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nServer: x\r\n{headers}\r\n{body}").into_bytes()
}
pub fn says(bytes: Vec<u8>) -> Does {
    Does::Says(vec![(ms(1), bytes)], Then::Closes)
}
/// The result of one look at a server with this behaviour.
pub fn look(url: Url, does: Does) -> (Option<bool>, String) {
    let (mut b, server) = Bench::of(spec(&http(url)));
    b.does.insert(SERVER.into(), does);
    b.run(ms(1_500));
    assert_eq!((b.opened.len(), b.connections()), (1, 0), "one connection, and it is closed");
    (b.up(server), b.words(server))
}
fn digest(text: &[u8]) -> Option<[u8; 16]> {
    Some(Md5::digest(text).into())
}

#[test]
fn the_request_is_keepaliveds() {
    for (version, virtualhost, want) in [
        (HttpProtocol::V10, None, "GET /a?b=1 HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nHost: 10.77.0.11:80\r\n\r\n"),
        (
            HttpProtocol::V10C,
            Some("www.example.org"),
            "GET /a?b=1 HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nConnection: close\r\nHost: www.example.org\r\n\r\n",
        ),
        (
            HttpProtocol::V11,
            Some("www.example.org"),
            "GET /a?b=1 HTTP/1.1\r\nUser-Agent: KeepAliveClient\r\nConnection: close\r\nHost: www.example.org\r\n\r\n",
        ),
    ] {
        let page = Url { virtualhost: virtualhost.map(Into::into), ..url("/a?b=1") };
        let block = HttpCheck { urls: vec![page], http_protocol: version, ..HttpCheck::default() };
        let (mut b, server) = Bench::of(spec(&check(CheckKind::Http(Box::new(block)))));
        b.does.insert(SERVER.into(), says(answer("200 OK", "", "hello")));
        b.run(ms(5));
        assert_eq!(String::from_utf8_lossy(&b.said[0].1), want);
        assert_eq!((b.up(server), b.words(server)), (Some(true), "HTTP 200".into()));
        assert_eq!(b.logged("Remote Web server [10.77.0.11]:tcp:80 succeed on service."), 1);
    }
}

#[test]
fn statuses_are_what_the_file_allows() {
    let page = |status: &[(u16, u16)]| Url { status: status.to_vec(), ..url("/") };
    for (allowed, status, up) in [
        (&[][..], "200 OK", true),
        (&[], "299", true),
        (&[], "302 Found", false),
        (&[], "503 Service Unavailable", false),
        (&[(302, 302), (200, 204)], "302 Found", true),
        (&[(302, 302), (200, 204)], "203 x", true),
        (&[(302, 302), (200, 204)], "205 x", false),
        (&[(100, 599)], "599 x", true),
        (&[(401, 401)], "200 OK", false),
    ] {
        let (is, words) = look(page(allowed), says(answer(status, "", "")));
        assert_eq!(is, Some(up), "{status} in {allowed:?}: {words}");
        let number = &status[..3];
        assert_eq!(words, if up { format!("HTTP {number}") } else { format!("HTTP {number} for /") });
    }
}

#[test]
fn the_digest_is_that_of_the_body_as_sent() {
    let body = "5\r\nhello\r\n0\r\n\r\n";
    let page = |d| Url { digest: d, ..url("/") };
    for (headers, body, want, up) in [
        ("", "hello", digest(b"hello"), true),
        ("", "hello!", digest(b"hello"), false),
        // It ends it, also where the server goes on.
        ("Content-Length: 5\r\n", "hello, and more", digest(b"hello"), true),
        ("content-length:  5 \r\n", "hello, and more", digest(b"hello"), true),
        ("Transfer-Encoding: chunked\r\n", body, digest(body.as_bytes()), true),
        ("", "", digest(b""), true),
    ] {
        let (is, words) = look(page(want), says(answer("200 OK", headers, body)));
        assert_eq!(is, Some(up), "{headers}{body}: {words}");
        if !up {
            let hex: String = digest(body.as_bytes()).unwrap().iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(words, format!("HTTP 200 for /, but the MD5 digest of its body is {hex}"));
        }
    }
    // A wrong status comes first.
    assert_eq!(look(page(digest(b"x")), says(answer("500 x", "", "x"))).1, "HTTP 500 for /");
    // 12 MiB, whose digest needs no memory.
    let large = "x".repeat(12 << 20);
    assert_eq!(look(page(digest(large.as_bytes())), says(answer("200 OK", "", &large))).0, Some(true));
    let large = "x".repeat((16 << 20) + 1);
    let (up, words) = look(page(digest(large.as_bytes())), says(answer("200 OK", "", &large)));
    assert_eq!((up, &*words), (Some(false), "a body of more than 16 MiB, too long for its digest"));
}

#[test]
fn a_body_ends_with_its_length_and_a_server_that_keeps_the_connection_is_no_failure() {
    let keeps = Does::Says(vec![(ms(1), answer("200 OK", "Content-Length: 5\r\n", "hello"))], Then::Waits);
    let page = Url { digest: digest(b"hello"), ..url("/") };
    assert_eq!(look(page, keeps).0, Some(true));
    let empty = Does::Says(vec![(ms(1), answer("204 No Content", "", ""))], Then::Waits);
    assert_eq!(look(url("/"), empty).0, Some(true));
    // A status that is a failure needs no body.
    let hangs = Does::Says(vec![(ms(1), answer("503 x", "", "be"))], Then::Waits);
    assert_eq!(look(url("/"), hangs), (Some(false), "HTTP 503 for /".into()));
    let hangs = Does::Says(vec![(ms(1), answer("200 OK", "", "be"))], Then::Waits);
    assert_eq!(look(url("/"), hangs), (Some(false), "no end of the answer within 1.00 s".into()));
}

#[test]
fn a_body_must_match_or_must_not() {
    let page = |pattern: &str, no_match, options: &[&str], offsets: (Option<u32>, Option<u32>)| Url {
        regex: Some(Box::new(Regex {
            pattern: Some(pattern.into()),
            no_match,
            options: options.iter().map(|o| Box::from(*o)).collect(),
            min_offset: offsets.0,
            max_offset: offsets.1,
            stack: None,
        })),
        ..url("/")
    };
    let any = (None, None);
    for (pattern, no_match, options, offsets, body, up) in [
        ("sta[r-t]us: \\d+", false, &[][..], any, "xx status: 12", true),
        ("status: \\d+", false, &[], any, "STATUS: 12", false),
        ("status: \\d+", false, &["caseless"], any, "STATUS: 12", true),
        ("^b", false, &[], any, "a\nb", false),
        ("^b", false, &["multiline"], any, "a\nb", true),
        ("a.b", false, &["dotall"], any, "a\nb", true),
        ("ERROR", true, &[], any, "fine", true),
        ("ERROR", true, &[], any, "an ERROR", false),
        ("b", false, &[], (Some(2), None), "bab", true),
        ("b", false, &[], (Some(2), None), "ba", false),
        ("b", false, &[], (None, Some(2)), "xxb", true),
        ("b", false, &[], (None, Some(1)), "xxb", false),
        ("\u{e9}", false, &["utf"], any, "caf\u{e9}", true),
    ] {
        let (is, words) = look(page(pattern, no_match, options, offsets), says(answer("200 OK", "", body)));
        assert_eq!(is, Some(up), "{pattern} {options:?} {offsets:?} in {body:?}: {words}");
    }
    // Cut anywhere, and only the beginning of what is very long.
    let late = "x".repeat(300 << 10) + "needle";
    let (up, words) = look(page("needle", false, &[], any), says(answer("200 OK", "", &late)));
    assert_eq!(
        (up, &*words),
        (Some(false), "HTTP 200 for /, but the first 256 KiB of its body do not match the regex")
    );
    // What only PCRE has is reported when the file is read, and the rest of the check is carried out.
    for (pattern, options) in [("(?<=a)b", &[][..]), ("a", &["firstline"])] {
        let (mut b, server) = Bench::of(spec(&http(page(pattern, false, options, any))));
        b.does.insert(SERVER.into(), says(answer("200 OK", "", "zzz")));
        b.run(S * 5);
        assert_eq!(b.up(server), Some(true), "{:?}", b.notes);
    }
}

/// A turn has a bounded number of steps, whatever the expression; who needs more waits for turns of its own, beside others in the same case.
#[test]
fn a_regex_that_takes_long_is_matched_in_many_turns() {
    let body: String =
        (0..64u32 << 10).map(|n| char::from(b"0123456789 abcdefgh"[(n * n % 1009 % 19) as usize])).collect();
    let page = |pattern: &str| Url {
        regex: Some(Box::new(Regex { pattern: Some(pattern.into()), ..Regex::default() })),
        ..url("/")
    };
    let turns = |pattern: &str, servers: u8, timeout: Duration| {
        let mut b = Bench::new();
        let mut c = http(page(pattern));
        c.target.connect_timeout = Some(timeout);
        let mut all = Vec::new();
        b.call(|c, cx| c.start(cx));
        for host in 11..11 + servers {
            let server = b.servers.insert(());
            let spec = CheckSpec::of(&Config::default(), &vs(), &rs(host), &c).remove(0);
            b.does.insert(format!("10.77.0.{host}:80"), says(answer("200 OK", "", &body)));
            b.call(|c, cx| c.set(server, vec![wanted(server, spec)], cx));
            all.push(server);
        }
        b.run(ms(1_900));
        let words: Vec<String> = all.iter().map(|s| b.words(*s)).collect();
        (b.turns, b.connections(), words)
    };
    let no = "HTTP 200 for /, but its body does not match the regex";
    // 16,384 steps in a turn: some two million of 64 KiB in a hundred turns, with the connection closed.
    let (few, _, words) = turns("zzz", 1, S);
    assert!(few < 12 && words == [no], "{few} {words:?}");
    let (many, open, words) = turns("[0-9].{0,40}OK", 1, S);
    assert!((80..400).contains(&many) && words == [no] && open == 0, "{many} {words:?}");
    // One slice of all checks in a turn.
    let (more, _, words) = turns("[0-9].{0,40}OK", 4, S);
    assert!(more > many * 3 && words.iter().all(|w| w == no), "{more} {words:?}");
    // It ends with the time of the look, and the cause is this host.
    let (_, open, words) = turns("(a.*b.*){60}x", 2, ms(300));
    let why = "on this host: its body was not matched with the regex within 300.0 ms";
    assert!(open == 0 && words.iter().all(|w| w == why), "{words:?}");
}

#[test]
fn pages_are_asked_for_in_turn_and_all_must_succeed() {
    let block = HttpCheck { urls: vec![url("/a"), url("/b")], ..HttpCheck::default() };
    let mut c = check(CheckKind::Http(Box::new(block)));
    c.pace.delay_loop = Some(S);
    let (mut b, server) = Bench::of(spec(&c));
    b.does.insert(SERVER.into(), says(answer("200 OK", "", "")));
    b.run(ms(900));
    assert_eq!(b.up(server), None, "one page of two");
    b.run(S);
    assert_eq!(b.up(server), Some(true));
    let paths = |b: &Bench| -> String {
        b.said.iter().map(|(_, s)| String::from_utf8_lossy(s).split(' ').nth(1).unwrap().to_owned()).collect()
    };
    assert_eq!(paths(&b), "/a/b");
    b.does.insert(SERVER.into(), says(answer("503 x", "", "")));
    b.run(S * 3);
    // At 2 s and, after the delay, at 3 s; then it is down and goes on with the page that failed.
    assert_eq!((b.up(server), paths(&b)), (Some(false), "/a/b/a/a/a".into()));
    assert_eq!(b.logged("HTTP_CHECK on service [10.77.0.11]:tcp:80 failed after 1 retries. (HTTP 503 for /a)"), 1);
    b.does.insert(SERVER.into(), says(answer("200 OK", "", "")));
    b.run(S);
    assert_eq!(b.up(server), Some(false), "the other page has not been seen since");
    b.run(S);
    assert_eq!(b.up(server), Some(true));
}

#[test]
fn fast_recovery_waits_for_nothing_between_pages_until_it_is_up() {
    let urls = (0..5).map(|n| url(&format!("/{n}"))).collect();
    let block = HttpCheck { urls, fast_recovery: true, ..HttpCheck::default() };
    let (mut b, server) = Bench::of(spec(&check(CheckKind::Http(Box::new(block)))));
    b.does.insert(SERVER.into(), says(answer("200 OK", "", "")));
    b.run(ms(50));
    assert_eq!((b.up(server), b.said.len()), (Some(true), 5));
    b.run(S);
    assert_eq!(b.said.len(), 5);
}

#[test]
fn ssl_get_asks_for_tls_by_the_name_of_the_page() {
    for (page, block, want) in [
        (Some("a.example.org"), Some("b.example.org"), Some("a.example.org")),
        (None, Some("b.example.org"), Some("b.example.org")),
        (None, None, None),
    ] {
        let urls = vec![Url { virtualhost: page.map(Into::into), ..url("/") }];
        let block = HttpCheck { urls, virtualhost: block.map(Into::into), ..HttpCheck::default() };
        let (mut b, server) = Bench::of(spec(&check(CheckKind::Ssl(Box::new(block)))));
        b.does.insert(SERVER.into(), says(answer("200 OK", "", "hello")));
        b.run(ms(5));
        let tls = b.opened[0].3.as_ref().and_then(|w| w.tls.clone()).expect("TLS");
        assert_eq!((tls.name.as_deref(), b.up(server)), (want, Some(true)));
        b.does.insert(SERVER.into(), Does::Breaks(b"received fatal alert: HandshakeFailure"));
        b.run(S * 5);
        assert_eq!(b.words(server), "TLS: received fatal alert: HandshakeFailure");
        assert_eq!(b.logged("SSL_CHECK on service [10.77.0.11]:tcp:80 failed after 1 retries."), 1);
    }
}
