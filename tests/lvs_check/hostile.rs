//! Hostile servers: they cannot make a check longer than its time, make it keep more bytes than its limit, or make it panic.

use crate::bench::*;
use crate::http::{answer, look, says};
use kalived::config::model::check::{CheckKind, DnsCheck, DnsType, HttpCheck, Regex, UdpCheck, Url};
use kalived::time::Duration;
use proptest::prelude::*;

#[test]
fn trap_85_an_endless_header_and_one_byte_a_second() {
    let endless = Does::Says((0..10_000).map(|_| (ms(0), vec![b'x'; 1000])).collect(), Then::Waits);
    let (up, words) = look(url("/"), endless);
    assert_eq!((up, words.starts_with("no HTTP: it says \"xxxx")), (Some(false), true), "{words}");
    let endless = |line: &str| {
        let mut pieces = vec![(ms(0), b"HTTP/1.1 200 OK\r\n".to_vec())];
        pieces.extend((0..100_000).map(|_| (ms(0), line.as_bytes().to_vec())));
        Does::Says(pieces, Then::Waits)
    };
    assert_eq!(look(url("/"), endless("X-Y: z\r\n")), (Some(false), "a header of more than 16 KiB".into()));
    assert_eq!(look(url("/"), endless("x")), (Some(false), "a header of more than 16 KiB".into()));
    let drip = |text: &[u8], every: Duration| Does::Says(text.iter().map(|b| (every, vec![*b])).collect(), Then::Waits);
    let page = answer("200 OK", "", "hello");
    assert_eq!(look(url("/"), drip(&page, S / 4)), (Some(false), "no whole header within 1.00 s".into()));
    // The whole look has one deadline: bytes that keep coming do not extend it.
    let slow = drip(&[&answer("200 OK", "", "")[..], &[b'x'; 100_000]].concat(), ms(5));
    assert_eq!(look(url("/"), slow), (Some(false), "no end of the answer within 1.00 s".into()));
    // An endless body of which only the end matters is a success soon; one with a pattern is cut.
    let body = Does::Says(
        (0..10_000).map(|n| (ms(0), if n == 0 { answer("200 OK", "", "") } else { vec![b'x'; 4096] })).collect(),
        Then::Waits,
    );
    assert_eq!(look(url("/"), body.clone()), (Some(true), "HTTP 200".into()));
    let regex = Some(Box::new(Regex { pattern: Some("(x+x+)+y".into()), ..Regex::default() }));
    let (up, words) = look(Url { regex, ..url("/") }, body);
    assert_eq!(
        (up, &*words),
        (Some(false), "HTTP 200 for /, but the first 256 KiB of its body do not match the regex")
    );
}

// This is trap 85 of docs/traps.md.
#[test]
fn bogus_statuses_and_lengths() {
    for status in ["0", "99", "600", "1000000000", "000", "-200", "2 00", "", "20", "2000", "\u{0}200", "two"] {
        let (up, words) = look(url("/"), says(answer(status, "", "")));
        assert_eq!((up, &*words), (Some(false), "no HTTP status line"), "{status}");
    }
    for length in ["-1", "99999999999999999999999", "x", "", "5, 5", "0x5", "5 5"] {
        let (up, words) = look(url("/"), says(answer("200 OK", &format!("Content-Length: {length}\r\n"), "hello")));
        assert_eq!((up, &*words), (Some(false), "a Content-Length that is no length"), "{length}");
    }
    let (_, words) = look(url("/"), says(answer("200 OK", "Content-Length: 5\r\nContent-Length: 6\r\n", "hello!")));
    assert_eq!(words, "a Content-Length that is no length");
    let huge = answer("200 OK", "Content-Length: 18446744073709551615\r\n", "hello");
    assert_eq!(look(url("/"), says(huge)).0, Some(true), "shorter than it says: its status decides");
    for (not_http, words) in [
        (&b"SSH-2.0-x\r\n"[..], "no HTTP: it says \"SSH-2.0-x??\""),
        (b"", "closed without an answer"),
        (b"HTTP/1.1 200", "closed within the header of its answer"),
    ] {
        assert_eq!(look(url("/"), says(not_http.to_vec())), (Some(false), words.into()));
    }
}

#[test]
fn a_reset_at_any_byte_is_a_failure() {
    let page = answer("200 OK", "Content-Length: 100\r\n", "hello");
    for cut in 0..=page.len() {
        let resets = Does::Says(vec![(ms(1), page[..cut].to_vec())], Then::Resets);
        let (up, words) = look(url("/"), resets);
        assert_eq!((up, &*words), (Some(false), "connection reset (104)"), "after {cut} bytes");
    }
}

fn kinds() -> Vec<CheckKind> {
    let regex = Some(Box::new(Regex { pattern: Some("a|b".into()), ..Regex::default() }));
    let urls = vec![Url { digest: Some([0; 16]), regex, ..url("/") }];
    vec![
        CheckKind::Tcp,
        CheckKind::Http(Box::new(HttpCheck { urls: vec![url("/")], ..HttpCheck::default() })),
        CheckKind::Http(Box::new(HttpCheck { urls, ..HttpCheck::default() })),
        CheckKind::Smtp(Box::default()),
        CheckKind::Dns(Box::new(DnsCheck { name: "example.org".into(), query: DnsType::A })),
        CheckKind::Udp(Box::new(UdpCheck { require_reply: Some(vec![(1, 255)]), ..UdpCheck::default() })),
        CheckKind::Ping,
    ]
}

// Bytes of a server: parts of real answers, and any others.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let parts: Vec<&'static [u8]> = vec![
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 ",
        b"Content-Length: ",
        b"5",
        b"\r\n",
        b"\n",
        b"\r\n\r\n",
        b"hello",
        b"220 x\r\n",
        b"250-y\r\n",
        b"250 ok\r\n",
        b"\0",
        b"E\0\0\x1c",
        b"\x81\x80\0\x01",
        b"\x07example\x03org\0\0\x01\0\x01",
        b":",
    ];
    let part = prop_oneof![
        4 => proptest::sample::select(parts).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
    ];
    proptest::collection::vec(part, 0..12).prop_map(|p| p.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    // For any bytes in any pieces the check ends in its time, no connection stays open, and nothing panics.
    #[test]
    fn any_bytes_in_any_pieces_end_in_time(
        kind in 0..kinds().len(), said in bytes(), cuts in proptest::collection::vec(0usize..200, 0..6),
        then in 0usize..3, greets: bool,
    ) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(said.len())).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut at = 0;
        for cut in cuts.into_iter().chain([said.len()]) {
            pieces.push((ms(1), said[at..cut].to_vec()));
            at = cut;
        }
        let then = [Then::Closes, Then::Resets, Then::Waits][then];
        let does = if greets { Does::Greets(pieces, then) } else { Does::Says(pieces, then) };
        let (mut b, server) = Bench::of(spec(&check(kinds().remove(kind))));
        b.does.insert("10.77.0.11:80".into(), does.clone());
        b.does.insert("10.77.0.11".into(), does);
        b.run(ms(1_001));
        prop_assert!(b.up(server).is_some());
        prop_assert_eq!(b.connections(), 0);
        b.run(S * 5);
        prop_assert!(b.words(server).len() < 300);
    }

    // The result does not depend on the division of an answer into pieces.
    #[test]
    fn pieces_decide_nothing(said in bytes(), cut in 0usize..300) {
        let page = || Url { digest: Some([7; 16]), ..url("/") };
        let whole = look(page(), says(said.clone()));
        let cut = cut.min(said.len());
        let two = Does::Says(vec![(ms(1), said[..cut].to_vec()), (ms(1), said[cut..].to_vec())], Then::Closes);
        let two = look(page(), two);
        let bytes = Does::Says(said.iter().map(|b| (Duration::ZERO, vec![*b])).collect(), Then::Closes);
        let single = look(page(), bytes);
        // A line that is no HTTP is known by its first byte, so that the message shows less.
        prop_assert_eq!((whole.0, whole.0), (two.0, single.0));
        if !whole.1.starts_with("no HTTP:") {
            prop_assert_eq!((&whole.1, &whole.1), (&two.1, &single.1));
        }
    }
}
