//! Unicast peers: the permitted settings, and the messages about others.

use super::common::{short, text};
use kalived::config::Loaded;
use kalived::exit::ExitCode;

fn block(name: &str, lines: &str, vip: &str) -> String {
    format!(
        "vrrp_instance {name} {{\ninterface eth0\nvirtual_router_id 51\npriority 100\n{lines}\nvirtual_ipaddress {{\n{vip}\n}}\n}}\n"
    )
}

fn one(lines: &str) -> Loaded {
    text(&block("A", lines, "10.0.0.9/24"))
}

fn peers(loaded: &Loaded) -> Option<Vec<String>> {
    let i = loaded.config.instances.first().expect("an instance");
    i.peers().map(|all| all.iter().map(|p| p.addr.to_string()).collect())
}

fn said(loaded: &Loaded, what: &str) -> bool {
    short(loaded).iter().any(|m| m.contains(what))
}

#[test]
fn a_plain_file_is_a_plain_file() {
    let l = one("unicast_src_ip 10.0.0.1\nunicast_peer {\n10.0.0.2\n10.0.0.3 min_ttl 60 max_ttl 64\n}\nunicast_ttl 61");
    assert_eq!((short(&l), l.fatal()), (Vec::<String>::new(), None));
    assert_eq!(peers(&l), Some(vec!["10.0.0.2".into(), "10.0.0.3".into()]));
    let more = &l.config.instances[0].more;
    assert!(more.check_unicast_src, "a TTL of a peer speaks of its adverts only");
    assert_eq!((more.unicast_ttl, l.config.instances[0].source()), (Some(61), "10.0.0.1".parse().ok()));
    let l = text(&format!(
        "global_defs {{\nvrrp_check_unicast_src\n}}\n{}",
        block("A", "unicast_peer {\n10.0.0.2\n}", "10.0.0.9")
    ));
    assert!(l.config.instances[0].more.check_unicast_src);
}

#[test]
fn lines_that_are_no_peer_are_named_and_left_out() {
    for (line, what, severity) in [
        ("node2", "`node2` is not an IP address; the line is ignored (names are not looked up)", "error"),
        ("10.0.0.2", "10.0.0.2 is a peer already", "error"),
        ("fd00::2", "fd00::2 is of the other address family", "error"),
        ("224.0.0.18", "peer 224.0.0.18 is not the address of another host; ignored", "error"),
    ] {
        let l = one(&format!("unicast_peer {{\n10.0.0.2\n{line}\n}}"));
        assert!(short(&l).iter().any(|m| m.contains(what) && m.contains(severity)), "{line}: {:?}", short(&l));
        assert_eq!((peers(&l), l.fatal()), (Some(vec!["10.0.0.2".into()]), None), "{line}");
    }
    let l = one("unicast_peer {\n10.0.0.2/24\n}");
    assert_eq!(peers(&l), Some(vec!["10.0.0.2".into()]), "as keepalived");
    assert!(said(&l, "takes no prefix length"), "{:?}", short(&l));
    let l = one("unicast_peer {\n10.0.0.2 min_ttl 9 max_ttl 8\n}");
    assert!(said(&l, "min_ttl 9 is above max_ttl 8"), "{:?}", short(&l));
    // All of the other family.
    let l = one("unicast_peer {\nfd00::2\n}");
    assert!(said(&l, "the instance: it has IPv4 addresses"), "{:?}", short(&l));
    assert_eq!(peers(&l), None);
}

#[test]
fn without_a_peer_it_is_multicast_unless_the_file_says_fault() {
    let l = one("unicast_peer {\n}");
    assert_eq!((peers(&l), said(&l, "adverts go to the multicast group")), (None, true));
    for lines in ["unicast_peer {\n}\nunicast_fault_no_peer", "unicast_fault_no_peer"] {
        let l = one(lines);
        assert_eq!((peers(&l), l.fatal()), (Some(Vec::new()), None), "{lines}");
        assert!(said(&l, "the instance will be in FAULT"), "{:?}", short(&l));
    }
}

#[test]
fn what_cannot_work_is_fatal() {
    let many: String = (1..=65).map(|n| format!("10.0.1.{n}\n")).collect();
    for (lines, what) in [
        (format!("unicast_peer {{\n{many}}}"), "65 unicast peers: at most 64 are possible"),
        ("strict_mode on\nunicast_peer {\n10.0.0.2\n}".to_owned(), "strict mode has no unicast peers"),
    ] {
        let l = one(&lines);
        assert!(l.fatal().is_some() && said(&l, what), "{:?}", short(&l));
    }
}

#[test]
fn an_interface_is_needed_unless_the_source_is_given() {
    let file = |lines: &str, vip: &str| text(&block("A", lines, vip).replace("interface eth0\n", ""));
    let peer = "unicast_peer {\n10.0.0.2\n}";
    let l = file(&format!("unicast_src_ip 10.0.0.1\n{peer}"), "10.0.0.9/24 dev eth0");
    assert_eq!((l.fatal(), l.config.instances[0].interface.as_str()), (None, ""));
    let l = file(&format!("unicast_src_ip 10.0.0.1\n{peer}"), "10.0.0.9/24");
    assert!(l.fatal().is_some() && said(&l, "no interface, and an address of it no `dev`"), "{:?}", short(&l));
    let l = file(peer, "10.0.0.9/24 dev eth0");
    assert!(l.fatal().is_some() && said(&l, "has no interface"), "{:?}", short(&l));
}

#[test]
fn one_vrid_may_serve_several_with_different_peers() {
    let two = |a: &str, b: &str| text(&(block("A", a, "10.0.0.9") + &block("B", b, "10.0.0.8")));
    let peer = |p: &str| format!("unicast_peer {{\n{p}\n}}");
    let from = |src: &str, p: &str| format!("unicast_src_ip {src}\n{}", peer(p));
    for (a, b, works) in [
        (peer("10.0.0.2"), peer("10.0.0.3"), true),
        (peer("10.0.0.2"), String::new(), true),
        (peer("10.0.0.2"), peer("10.0.0.3\n10.0.0.2"), false),
        (from("10.0.0.1", "10.0.0.2"), from("10.0.0.7", "10.0.0.2"), true),
        (from("10.0.0.1", "10.0.0.2"), from("10.0.0.1", "10.0.0.2"), false),
        (from("10.0.0.1", "10.0.0.2"), peer("10.0.0.2"), false),
        (String::new(), String::new(), false),
    ] {
        let l = two(&a, &b);
        assert_eq!(l.fatal(), (!works).then_some(ExitCode::Config), "{a} | {b}: {:?}", short(&l));
    }
}
