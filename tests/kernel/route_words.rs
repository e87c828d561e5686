//! Words of route lines whose effect only the kernel shows: `encap`, `realms`, `vrf`. The route has them, follows a reload, and is gone
//! after the stop.
//!
//! Read first: `virtual_routes.rs`.

use crate::lab::daemon::{Conf, Daemon, Program, State, stand_in, under_test};
use crate::lab::{Host, IFACE, Lab, have, skip, until_true};
use crate::vmac::has_kind;

/// An instance with these lines of `virtual_routes`.
fn conf(lines: &[&str]) -> String {
    let routes = format!("virtual_routes {{\n{}\n}}", lines.join("\n"));
    routes.lines().fold(Conf::v3(150), |conf, line| conf.with(line)).text()
}

/// Our routes with all that the kernel reports, one a line: the ways of a route follow it in its line.
fn seen(host: &Host) -> Vec<String> {
    let text = host.script("ip -4 -d route show table all proto 18; ip -6 -d route show table all proto 18");
    let text = text.replace("\n\t", " ");
    let mut all: Vec<String> = text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    all.sort();
    all
}

fn await_routes(host: &Host, daemon: &Daemon, want: &[&str]) {
    let all = || want.iter().all(|w| seen(host).iter().any(|l| l.starts_with(w)));
    until_true(&format!("{want:#?}\nin {:#?}\nlog:\n{}", seen(host), daemon.log()), || {
        seen(host).len() == want.len() && all()
    });
}

fn reload(daemon: &Daemon, text: &str) {
    std::fs::write(daemon.conf(), text).expect("the lab's directory is writable");
    daemon.signal("HUP");
}

fn stop(host: &Host, daemon: Daemon) {
    let (code, log) = daemon.stop();
    assert_eq!((code, seen(host)), (Some(0), Vec::new()), "{log}");
    assert!(!log.contains("cannot be") && !log.contains("putting it back"), "{log}");
}

const TUNNELS: [&str; 4] = [
    "192.0.2.0/24 encap ip id 5 dst 198.18.0.9 src 198.18.0.20 ttl 9 tos 4 via 198.18.0.77 dev eth0",
    "192.0.3.0/24 encap ip6 id 7 dst 2001:db8:12::9 hoplimit 9 tc 4 via 198.18.0.77 dev eth0",
    "192.0.4.0/24 via 198.18.0.77 dev eth0 realms 3/4",
    "192.0.5.0/24 nexthop via 198.18.0.77 dev eth0 realms 5 nexthop via 198.18.0.78 dev eth0 weight 2 realms 6/7",
];

#[test]
fn tunnels_and_realms_stand_in_the_kernel_as_under_keepalived() {
    if stand_in() || !have("keepalived") {
        return skip("route words: as keepalived", "compares kalived with Debian's keepalived");
    }
    let mut all = Vec::new();
    for program in [Program::Keepalived, Program::Kalived] {
        let Some(lab) = Lab::new("route words: as keepalived") else { return };
        let a = lab.host("a", 20);
        let on_a = lab.start_program(program, &a, &conf(&TUNNELS));
        on_a.await_state(State::Master);
        let want = TUNNELS.map(|l| format!("unicast {}", l.split(' ').next().unwrap_or_default()));
        await_routes(&a, &on_a, &want.each_ref().map(String::as_str));
        all.push(seen(&a));
        let (code, log) = on_a.stop();
        assert_eq!((code, seen(&a)), (Some(0), Vec::new()), "{log}");
    }
    assert_eq!(all[0], all[1]);
    let text = all[1].join("\n");
    for words in [
        "encap ip id 5 src 198.18.0.20 dst 198.18.0.9 ttl 9 tos 4 via 198.18.0.77",
        "encap ip6 id 7 src :: dst 2001:db8:12::9 hoplimit 9 tc 4 via 198.18.0.77",
        "realms 3/4",
        "via 198.18.0.77 realm 5",
        "via 198.18.0.78 realms 6/7",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
}

#[test]
fn a_reload_or_a_new_process_changes_the_tunnel_and_the_realms_of_a_route() {
    if stand_in() {
        return skip("route words: reload", "keepalived leaves out the tunnel of a way");
    }
    let Some(lab) = Lab::new("route words: reload") else { return };
    let a = lab.host("a", 20);
    let lines = |id: u8, realm: u8| {
        [
            format!("192.0.2.0/24 encap ip id {id} dst 198.18.0.9 via 198.18.0.77 dev {IFACE}"),
            format!("192.0.4.0/24 via 198.18.0.77 dev {IFACE} realms {realm}"),
            format!(
                "192.0.6.0/24 nexthop encap ip id {id} dst 198.18.0.8 via 198.18.0.77 dev {IFACE} \
                 nexthop via 198.18.0.78 dev {IFACE} realms {realm}"
            ),
        ]
    };
    let text = |id, realm| conf(&lines(id, realm).each_ref().map(String::as_str));
    let want = |id: u8, realm: u8| {
        [
            format!("unicast 192.0.2.0/24 encap ip id {id} "),
            format!("unicast 192.0.4.0/24 via 198.18.0.77 dev {IFACE} table main scope global realm {realm}"),
            format!(
                "unicast 192.0.6.0/24 table main scope global nexthop encap ip id {id} src 0.0.0.0 dst 198.18.0.8 ttl 0 tos 0 via \
                 198.18.0.77 dev {IFACE} weight 1 nexthop via 198.18.0.78 realm {realm} dev {IFACE}"
            ),
        ]
    };
    let stand = |daemon: &Daemon, id, realm| await_routes(&a, daemon, &want(id, realm).each_ref().map(String::as_str));
    let on_a = lab.start_program(under_test(), &a, &text(1, 10));
    stand(&on_a, 1, 10);
    reload(&on_a, &text(2, 10));
    stand(&on_a, 2, 10);
    reload(&on_a, &text(2, 11));
    stand(&on_a, 2, 11);
    // What a killed kalived left, under another file.
    on_a.kill9();
    stand_left(&a);
    let on_a = lab.start_program(under_test(), &a, &text(3, 12));
    stand(&on_a, 3, 12);
    // Another program gives one other realms, in place: it is added again, and that of the other program stays.
    a.run(&format!("ip route replace 192.0.4.0/24 via 198.18.0.77 dev {IFACE} proto 18 realms 99"));
    until_true(&format!("both: {:#?}\n{}", seen(&a), on_a.log()), || {
        ["realm 12", "realm 99"]
            .iter()
            .all(|r| seen(&a).iter().any(|l| l.starts_with("unicast 192.0.4.0/24") && l.contains(r)))
    });
    // Each by its realms: kalived puts its own back between the two commands.
    a.script("ip route del 192.0.4.0/24 realms 99; ip route del 192.0.4.0/24 realms 12");
    stand(&on_a, 3, 12);
    let (code, log) = on_a.stop();
    assert_eq!((code, seen(&a)), (Some(0), Vec::new()), "{log}");
    assert!(log.contains("putting it back"), "{log}");
}

fn stand_left(host: &Host) {
    assert_eq!(seen(host).len(), 3, "{:#?}", seen(host));
}

/// Whether this kernel takes such a route.
fn takes(host: &Host, route: &str) -> bool {
    let text = format!("ip route add {route} 2>/dev/null && ip route del {route}");
    host.command("sh").args(["-c", &text]).status().is_ok_and(|s| s.success())
}

#[test]
fn labels_and_a_locator_stand_in_the_route() {
    if stand_in() {
        return skip("mpls, ila", "kalived's own expectation");
    }
    let Some(lab) = Lab::new("mpls, ila") else { return };
    let a = lab.host("a", 20);
    let probe = format!("192.0.2.0/24 encap mpls 100 via 198.18.0.77 dev {IFACE}");
    if !takes(&a, &probe) {
        return skip("mpls, ila", "this kernel has no mpls_iptunnel");
    }
    let ila = "2001:db8:9:9:1::/80 encap ila 1:2:3:4 via 2001:db8:12::9 dev eth0";
    let mut lines = vec![
        "192.0.2.0/24 encap mpls 100/200 via 198.18.0.77 dev eth0",
        "192.0.3.0/24 nexthop encap mpls 100 via 198.18.0.77 dev eth0 nexthop encap mpls 1048575 via 198.18.0.78 dev eth0",
        "2001:db8:9::/48 encap mpls 16 via 2001:db8:12::9 dev eth0",
    ];
    let mut want = vec![
        "unicast 192.0.2.0/24 encap mpls 100/200 via 198.18.0.77",
        "unicast 192.0.3.0/24 table main scope global nexthop encap mpls 100 via 198.18.0.77 dev eth0 weight 1 nexthop encap mpls \
         1048575 via 198.18.0.78",
        "unicast 2001:db8:9::/48 encap mpls 16 via 2001:db8:12::9",
    ];
    if takes(&a, ila) {
        lines.push(ila);
        want.push("unicast 2001:db8:9:9:1::/80 encap ila 1:2:3:4 ");
    }
    let on_a = lab.start_program(under_test(), &a, &conf(&lines));
    await_routes(&a, &on_a, &want);
    stop(&a, on_a);
}

/// The table of a VRF is looked up by its name: when the VRF appears, and again when one with another table takes its place.
#[test]
fn a_route_of_a_vrf_is_in_its_table_while_the_vrf_is_there() {
    if stand_in() {
        return skip("route words: vrf", "keepalived reads the table once");
    }
    let Some(lab) = Lab::new("route words: vrf") else { return };
    let a = lab.host("a", 20);
    if !has_kind(&a, "blue type vrf table 10") {
        return skip("route words: vrf", "this kernel has no VRF");
    }
    a.script(&format!(
        "ip link set blue up; ip link add u0 type veth peer name u1; ip link set u0 master blue; ip link set u0 up; \
         ip link set u1 up; ip addr add 203.0.113.1/24 dev u0; ip addr show dev {IFACE} >/dev/null"
    ));
    let text = conf(&["192.0.2.0/24 vrf blue via 203.0.113.9 dev u0", "192.0.3.0/24 via 198.18.0.77"]);
    let on_a = lab.start_program(under_test(), &a, &text);
    let in_main = "unicast 192.0.3.0/24 via 198.18.0.77";
    let in_table = |n: u8| format!("unicast 192.0.2.0/24 via 203.0.113.9 dev u0 table {n} ");
    let has = |want: &[&str]| {
        let seen = seen(&a);
        // iproute2 writes a table that a VRF has as its name in some versions.
        let one = |w: &str| seen.iter().any(|l| l.replace("table blue", "table 10").starts_with(w));
        seen.len() == want.len() && want.iter().all(|w| one(w))
    };
    until_true(&format!("the route in table 10: {:#?}\n{}", seen(&a), on_a.log()), || has(&[in_main, &in_table(10)]));
    a.script("ip link del blue");
    until_true(&format!("no route of the VRF: {:#?}\n{}", seen(&a), on_a.log()), || has(&[in_main]));
    a.script("ip link add blue type vrf table 11; ip link set blue up; ip link set u0 master blue");
    until_true(&format!("the route in table 11: {:#?}\n{}", seen(&a), on_a.log()), || {
        let seen = seen(&a);
        seen.len() == 2 && seen.iter().any(|l| l.replace("table blue", "table 11").starts_with(&in_table(11)))
    });
    let (code, log) = on_a.stop();
    assert_eq!((code, seen(&a)), (Some(0), Vec::new()), "{log}");
}
