//! The specification of a check: from its own block, then its real server, then its virtual server, then its kind.

use crate::bench::{S, check, http, ms, rs, spec, url, vs};
use kalived::config::model::Config;
use kalived::config::model::check::{BfdCheck, Check, CheckKind, SmtpCheck, Target};
use kalived::lvs::check::{CheckSpec, What, alpha};
use kalived::time::Duration;

#[test]
fn the_defaults_are_keepaliveds() {
    for (kind, retries, delay) in [
        (CheckKind::Tcp, 1, S),
        (http(url("/")).kind, 1, S * 3),
        (CheckKind::Dns(Box::default()), 3, S * 60),
        (CheckKind::Misc(Box::default()), 0, S),
        (CheckKind::Ping, 1, S),
    ] {
        let s = spec(&Check { kind, ..Check::default() });
        let p = &s.pace;
        assert_eq!((p.interval, p.retries, p.retry_delay, p.warmup), (S * 60, retries, delay, S * 60), "{s:?}");
        if !matches!(s.what, What::Never(_)) {
            assert_eq!(p.timeout, S * 5);
        }
        assert!(s.source.addr.is_none() && !s.log_all);
    }
}

#[test]
fn the_inner_block_decides() {
    let (mut v, mut r, mut c) = (vs(), rs(11), Check::default());
    let of = |v: &_, r: &_, c: &_| CheckSpec::of(&Config::default(), v, r, c).remove(0);
    v.pace.delay_loop = Some(S * 9);
    v.pace.retry = Some(7);
    v.pace.alpha = Some(true);
    v.connect_timeout = Some(S * 2);
    assert!(alpha(&v, &r, &c));
    let s = of(&v, &r, &c);
    assert_eq!((s.pace.interval, s.pace.warmup, s.pace.retries, s.pace.timeout), (S * 9, S * 9, 7, S * 2));
    r.pace.delay_loop = Some(S * 8);
    r.pace.alpha = Some(false);
    r.connect_timeout = Some(S * 3);
    r.pace.warmup = Some(S);
    assert!(!alpha(&v, &r, &c));
    let s = of(&v, &r, &c);
    assert_eq!((s.pace.interval, s.pace.warmup, s.pace.timeout), (S * 8, S, S * 3));
    c.pace.delay_loop = Some(S * 7);
    c.target.connect_timeout = Some(ms(500));
    c.target.connect_ip = Some([192, 0, 2, 7].into());
    c.target.connect_port = Some(8080);
    c.target.bindto = Some([10, 77, 0, 1].into());
    c.target.bind_if = Some("eth0".into());
    c.target.fwmark = 3;
    let s = of(&v, &r, &c);
    assert_eq!((s.pace.interval, s.pace.timeout), (S * 7, ms(500)));
    assert_eq!(s.what, What::Tcp("192.0.2.7:8080".parse().unwrap()));
    assert_eq!(s.backend, "10.77.0.11:80".parse().unwrap());
    assert_eq!((s.source.addr, s.source.mark), (Some("10.77.0.1:0".parse().unwrap()), 3));
    c.pace.delay_loop = Some(Duration::ZERO);
    assert_eq!(of(&v, &r, &c).pace.interval, ms(1), "no loop without a pause");
}

#[test]
fn equal_checks_are_one_and_others_are_not() {
    let one = spec(&check(CheckKind::Tcp));
    assert_eq!(one.digest(), spec(&check(CheckKind::Tcp)).digest());
    let mut other = check(CheckKind::Tcp);
    other.pace.retry = Some(5);
    assert_ne!(one.digest(), spec(&other).digest());
    assert_ne!(one.digest(), CheckSpec { backend: "10.77.0.12:80".parse().unwrap(), ..one.clone() }.digest());
}

#[test]
fn what_cannot_be_done_says_why_and_hosts_are_checks_of_their_own() {
    for (path, host) in [("/a\tb", None), ("/a", Some("x\ny"))] {
        let mut page = url(path);
        page.virtualhost = host.map(Into::into);
        let What::Never(why) = spec(&http(page)).what else { panic!("it would be a request") };
        assert!(why.starts_with("nothing or a control character in its "), "{why}");
    }
    let What::Http(blank) = spec(&http(url("/a b"))).what else { panic!("as keepalived, it is sent") };
    assert!(blank.pages[0].request.starts_with("GET /a b HTTP/1.0\r\n"));
    let bfd = check(CheckKind::Bfd(Box::new(BfdCheck { name: Some("x".into()) })));
    let What::Never(why) = spec(&bfd).what else { panic!("there is no such session") };
    assert_eq!(&*why, "there is no bfd_instance x");
    let hosts = [25, 26].map(|p| Target { connect_port: Some(p), ..Target::default() }).to_vec();
    let smtp = check(CheckKind::Smtp(Box::new(SmtpCheck { hosts, ..SmtpCheck::default() })));
    assert_eq!(CheckSpec::of(&Config::default(), &vs(), &rs(11), &smtp).len(), 2);
}
