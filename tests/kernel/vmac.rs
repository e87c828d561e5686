//! `use_vmac` on a real kernel: the same interface, addresses and adverts as Debian's keepalived has with the same file, both roles with
//! keepalived as peer, the neighbour table of a client, and what every kind of end leaves.
//!
//! Read first: `../lab/mod.rs`.

use crate::guard::{kill, role};
use crate::lab::advert::checksum;
use crate::lab::capture::Frame;
use crate::lab::daemon::{Conf, Daemon, Program, State, VIP, VIP6, stand_in, under_test};
use crate::lab::{Host, IFACE, Lab, have, skip, until_true};
use std::collections::BTreeSet;

const MAC: &str = "00:00:5e:00:01:33";
const MAC6: &str = "00:00:5e:00:02:33";
const NAME: &str = "vrrp.51";

fn v4(priority: u8) -> Conf {
    Conf::v3(priority).with("use_vmac")
}

fn v6(priority: u8) -> Conf {
    Conf::v6(priority).with("use_vmac")
}

/// Every macvlan: name, mode, MAC.
pub(crate) fn macvlans(host: &Host) -> Vec<String> {
    let text = host.run("ip -o -d link show type macvlan");
    let word_after = |l: &str, w: &str| l.split_whitespace().skip_while(|x| *x != w).nth(1).map(str::to_owned);
    let one = |l: &str| {
        let name = l.split_whitespace().nth(1).unwrap_or_default().trim_end_matches(':').to_owned();
        let mode = l.split("macvlan mode ").nth(1).and_then(|m| m.split_whitespace().next()).unwrap_or_default();
        format!("{name} {mode} {}", word_after(l, "link/ether").unwrap_or_default())
    };
    text.lines().map(one).collect()
}

/// Addresses on an interface, but for the copy of the other interface's link-local address that keepalived puts there.
pub(crate) fn addrs_on(host: &Host, name: &str) -> BTreeSet<String> {
    let text = host.run(&format!("ip -o addr show dev {name}"));
    let addr = |l: &str| l.split_whitespace().nth(3).map(str::to_owned);
    text.lines().filter_map(addr).filter(|a| !a.starts_with(&host.v6())).collect()
}

fn is_up(host: &Host, name: &str) -> bool {
    host.run(&format!("ip -o link show dev {name}")).contains("UP")
}

pub(crate) fn knob(host: &Host, dev: &str, name: &str) -> String {
    host.run(&format!("cat /proc/sys/net/ipv4/conf/{dev}/{name}")).trim().to_owned()
}

fn mac(text: &str) -> [u8; 6] {
    let mut all = text.split(':').map(|p| u8::from_str_radix(p, 16).expect("hexadecimal"));
    std::array::from_fn(|_| all.next().expect("six"))
}

fn source(f: &Frame) -> [u8; 6] {
    f.bytes[6..12].try_into().expect("a whole header")
}

fn start(lab: &Lab, program: Program, host: &Host, conf: &Conf) -> Daemon {
    lab.start_program(program, host, &conf.text())
}

#[test]
fn the_same_interface_addresses_and_adverts_as_keepalived_with_the_same_file() {
    if stand_in() || !have("keepalived") {
        return skip("vmac: as keepalived", "compares kalived with Debian's keepalived");
    }
    for (conf, name, virtual_mac) in [(v4(100), NAME, MAC), (v6(100), NAME, MAC6)] {
        let mut seen = Vec::new();
        for program in [Program::Keepalived, Program::Kalived] {
            let Some(lab) = Lab::new("vmac: as keepalived") else { return };
            let (a, c) = (lab.host("a", 20), lab.host("c", 40));
            let capture = lab.capture(&c, "ip proto 112 or ip6 proto 112 or arp or icmp6");
            let on_a = start(&lab, program, &a, &conf);
            on_a.await_state(State::Master);
            capture.await_adverts(&a, 3);
            until_true(&format!("{name} up; log:\n{}", on_a.log()), || is_up(&a, name));
            until_true("an announcement", || capture.frames().iter().any(|f| f.announces().is_some()));
            let frames = capture.frames();
            let adverts: BTreeSet<_> =
                frames.iter().filter(|f| f.vrrp().is_some()).map(|f| (f.bytes[..6].to_vec(), source(f))).collect();
            let own = conf.vips.iter().map(|v| v.parse().expect("an address")).collect::<Vec<std::net::IpAddr>>();
            let told: BTreeSet<_> = frames
                .iter()
                .filter_map(|f| Some((f.announces()?, source(f))))
                .filter(|((addr, _), _)| own.contains(addr))
                .map(|((_, at), from)| (at, from))
                .collect();
            let message = frames.iter().find_map(Frame::vrrp).expect("an advert");
            assert_eq!(told, BTreeSet::from([(mac(virtual_mac), mac(virtual_mac))]), "{program:?}");
            seen.push((
                macvlans(&a),
                addrs_on(&a, name),
                adverts,
                (message.src, message.dst, message.ttl, message.message),
            ));
            let (code, log) = on_a.stop();
            assert_eq!((code, macvlans(&a)), (Some(0), Vec::new()), "{log}");
        }
        // The mode alone differs.
        assert!(seen[1].0[0].contains(" vepa "), "{:?}", seen[1].0);
        seen[1].0[0] = seen[1].0[0].replace(" vepa ", " private ");
        assert_eq!(seen[0], seen[1]);
        assert_eq!(seen[1].0.len(), 1, "{:?}", seen[1].0);
        assert!(seen[1].0[0].ends_with(virtual_mac), "{:?}", seen[1].0);
        assert!(seen[1].2.iter().all(|(_, from)| *from == mac(virtual_mac)));
    }
}

/// With keepalived as peer, whose host sends ARP requests with the virtual address and the wrong MAC address: the client's entry of that
/// time is not checked. While kalived is Master it is the virtual MAC address.
#[test]
fn both_roles_beside_keepalived() {
    if stand_in() || !have("keepalived") {
        return skip("vmac: beside keepalived", "runs beside Debian's keepalived");
    }
    for (make, vip, virtual_mac) in [(v4 as fn(u8) -> Conf, VIP, MAC), (v6, VIP6[1], MAC6)] {
        let Some(lab) = Lab::new("vmac: beside keepalived") else { return };
        let (a, b, c) = (lab.host("a", 20), lab.host("b", 30), lab.host("c", 40));
        let on_a = start(&lab, Program::Keepalived, &a, &make(150));
        on_a.await_state(State::Master);
        let on_b = start(&lab, Program::Kalived, &b, &make(100));
        on_b.await_state(State::Backup);
        until_true(&format!("its interface; log:\n{}", on_b.log()), || macvlans(&b).len() == 1);
        until_true("the client to reach it", || c.reaches(vip));
        assert!(!is_up(&b, NAME), "a Backup answers for nothing");
        drop(on_a.stop());
        on_b.await_state(State::Master);
        until_true(&format!("the client to reach it again; log:\n{}", on_b.log()), || {
            c.reaches(vip) && c.neighbour(vip).contains(virtual_mac)
        });
        let on_a = start(&lab, Program::Keepalived, &a, &make(150));
        on_a.await_state(State::Master);
        on_b.await_times(State::Backup, 2);
        until_true("down again", || !is_up(&b, NAME));
        until_true("the client to reach it once more", || c.reaches(vip));
        drop(on_b.stop());
        assert_eq!(on_a.times(State::Master), 1, "{}", on_a.log());
    }
}

#[test]
fn the_clients_entry_does_not_change_at_a_takeover() {
    if stand_in() {
        return skip("vmac: the client's entry", "keepalived's host asks with the virtual address and the other MAC");
    }
    for (make, vip, virtual_mac) in [(v4 as fn(u8) -> Conf, VIP, MAC), (v6, VIP6[1], MAC6)] {
        let Some(lab) = Lab::new("vmac: the client's entry") else { return };
        let (a, b, c) = (lab.host("a", 20), lab.host("b", 30), lab.host("c", 40));
        let on_a = start(&lab, under_test(), &a, &make(150));
        on_a.await_state(State::Master);
        let on_b = start(&lab, under_test(), &b, &make(100));
        on_b.await_state(State::Backup);
        until_true(&format!("the client to reach it; log:\n{}", on_a.log()), || c.reaches(vip));
        let monitor = lab.path("neighbours.txt");
        let out = std::fs::File::create(&monitor).expect("the lab's directory is writable");
        let watch = c.command("ip").args(["-o", "monitor", "neigh"]).stdout(out).spawn().expect("ip exists");
        let watch = crate::lab::Owned(watch);
        drop(on_a.stop());
        on_b.await_state(State::Master);
        until_true(&format!("the client to reach it again; log:\n{}", on_b.log()), || c.reaches(vip));
        assert!(c.neighbour(vip).contains(virtual_mac), "{}", c.neighbour(vip));
        drop(watch);
        let said = std::fs::read_to_string(&monitor).unwrap_or_default();
        let other =
            |l: &&str| l.split_whitespace().any(|w| w == vip) && l.contains("lladdr") && !l.contains(virtual_mac);
        assert_eq!(said.lines().find(other), None, "{said}");
    }
}

/// Trap 61: the virtual address in the subnet of the interface below, strict reverse path filtering: both answer, each with its own MAC, and
/// no host learns the wrong one, whichever side sends the first request.
#[test]
fn both_addresses_answer_with_their_own_mac_under_strict_reverse_path_filtering() {
    let Some(lab) = Lab::new("trap 61") else { return };
    let (a, c) = (lab.host("a", 20), lab.host("c", 40));
    a.script(&format!("sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.{IFACE}.rp_filter=1"));
    let mut conf = v4(100);
    conf.vips = vec![format!("{VIP}/16")];
    let on_a = start(&lab, under_test(), &a, &conf);
    on_a.await_state(State::Master);
    until_true(&format!("both to answer; log:\n{}", on_a.log()), || c.reaches(VIP) && c.reaches(&a.v4()));
    // The host sends first, from either address.
    c.script("ip neigh flush all");
    a.script(&format!("timeout 1 bash -c 'exec 3<>/dev/tcp/{}/9' || true", c.v4()));
    until_true("both to answer", || c.reaches(VIP) && c.reaches(&a.v4()));
    assert!(c.neighbour(VIP).contains(MAC), "{}", c.neighbour(VIP));
    assert!(c.sees(&a.v4(), &a), "{}", c.neighbour(&a.v4()));
    assert!(a.run(&format!("ip route get {}", c.v4())).contains(IFACE), "its own traffic goes as before");
}

/// Trap 62: a change by another program is reverted, and a Backup sends nothing from its own interface.
#[test]
fn who_takes_it_up_or_deletes_it_is_contradicted() {
    if stand_in() {
        return skip("vmac: meddled with", "keepalived has its interface up as Backup");
    }
    let Some(lab) = Lab::new("vmac: meddled with") else { return };
    let (a, b, c) = (lab.host("a", 20), lab.host("b", 30), lab.host("c", 40));
    let on_a = start(&lab, under_test(), &a, &v4(150));
    on_a.await_state(State::Master);
    let on_b = start(&lab, under_test(), &b, &v4(100));
    on_b.await_state(State::Backup);
    until_true("its address", || macvlans(&b).len() == 1 && addrs_on(&b, NAME).len() == 1);
    b.script(&format!("ip link set {NAME} up"));
    on_b.await_line("was taken up by another program");
    until_true("down again", || !is_up(&b, NAME));
    // The interface below flaps.
    b.script(&format!("ip link set {IFACE} down; ip link set {IFACE} up"));
    on_b.await_times(State::Backup, 2);
    assert!(!is_up(&b, NAME));
    a.script(&format!("ip link del {NAME}"));
    on_a.await_line("was deleted by another program");
    until_true(&format!("made again; log:\n{}", on_a.log()), || {
        macvlans(&a).len() == 1 && is_up(&a, NAME) && addrs_on(&a, NAME).len() == 1
    });
    until_true("the client to reach it", || c.reaches(VIP));
    assert!(c.neighbour(VIP).contains(MAC));
    assert_eq!(on_a.times(State::Backup), 1, "{}", on_a.log());
}

/// What kalived has on a host: interfaces, addresses, sysctls of the interface below.
fn left(host: &Host) -> (Vec<String>, bool, String, String) {
    (macvlans(host), host.holds(VIP), knob(host, IFACE, "arp_ignore"), knob(host, IFACE, "arp_announce"))
}

fn clean() -> (Vec<String>, bool, String, String) {
    (Vec::new(), false, "0".into(), "1".into())
}

#[test]
fn nothing_is_left_after_a_stop_a_dead_core_and_a_killed_kalived() {
    if stand_in() {
        return skip("vmac: ends", "about kalived's processes");
    }
    let Some(lab) = Lab::new("vmac: ends") else { return };
    let a = lab.host("a", 20);
    a.script(&format!("sysctl -qw net.ipv4.conf.{IFACE}.arp_announce=1"));
    let master = |d: &Daemon| {
        d.await_state(State::Master);
        until_true(&format!("up; log:\n{}", d.log()), || macvlans(&a).len() == 1 && is_up(&a, NAME));
        assert_eq!((knob(&a, IFACE, "arp_ignore"), knob(&a, IFACE, "arp_announce")), ("1".into(), "2".into()));
    };
    let on_a = start(&lab, under_test(), &a, &v4(150));
    master(&on_a);
    let (code, log) = on_a.stop();
    assert_eq!((code, left(&a)), (Some(0), clean()), "{log}");
    // The core is not started again: the guard removes the interface.
    let mut on_a = lab.start_under(&["sh", "-c", "exec \"$@\" -R", "sh"], under_test(), &a, &v4(150).text());
    master(&on_a);
    kill(role(&on_a, "--core").expect("it runs"));
    assert_eq!(on_a.await_exit().code(), Some(70));
    assert_eq!(left(&a), clean(), "{}", on_a.log());
    // A core that is started again continues with it.
    let on_a = start(&lab, under_test(), &a, &v4(150));
    master(&on_a);
    let index = || a.run(&format!("ip -o link show dev {NAME}")).split(':').next().map(str::to_owned);
    let before = index();
    let core = role(&on_a, "--core").expect("it runs");
    kill(core);
    until_true("another core", || role(&on_a, "--core").is_some_and(|c| c != core));
    let _ = on_a.await_line("(VI_1) resumes as MASTER");
    let log = on_a.log();
    assert!(!log.contains("removed from") && !log.contains("Network is down"), "never taken down: {log}");
    assert!(index().is_some() && index() == before, "the same interface");
    // All processes are killed: the next start first takes the interface down, and removes it at its end.
    on_a.kill9();
    assert!(is_up(&a, NAME));
    let b = lab.host("b", 30);
    let on_b = start(&lab, under_test(), &b, &v4(200));
    on_b.await_state(State::Master);
    let on_a = start(&lab, under_test(), &a, &v4(150));
    on_a.await_state(State::Backup);
    assert!(!is_up(&a, NAME), "{}", on_a.log());
    let (code, log) = on_a.stop();
    assert_eq!((code, macvlans(&a), a.holds(VIP)), (Some(0), Vec::new(), false), "{log}");
}

/// All processes are killed: the next start puts the sysctls back, also with a file that needs none of them, and an operator's value stays.
#[test]
fn a_start_puts_back_the_sysctls_of_a_kalived_whose_processes_were_all_killed() {
    if stand_in() {
        return skip("vmac: sysctls", "about kalived's processes");
    }
    let Some(lab) = Lab::new("vmac: sysctls") else { return };
    let a = lab.host("a", 20);
    a.script(&format!("sysctl -qw net.ipv4.conf.{IFACE}.arp_announce=1"));
    let knobs = || (knob(&a, IFACE, "arp_ignore"), knob(&a, IFACE, "arp_announce"));
    let values = |ignore: &str, announce: &str| (ignore.to_owned(), announce.to_owned());
    // One pid file for all: the values are beside it.
    let pid_file = lab.path("one.pid");
    let again = |conf: &Conf| {
        let script = format!("exec \"$@\" -p {}", pid_file.display());
        let on_a = lab.start_under(&["sh", "-c", &script, "sh"], under_test(), &a, &conf.text());
        on_a.await_state(State::Master);
        on_a
    };
    let killed = || {
        let on_a = again(&v4(150));
        until_true(&format!("the sysctls; log:\n{}", on_a.log()), || knobs() == values("1", "2"));
        on_a.kill9();
        assert_eq!(knobs(), values("1", "2"));
    };
    killed();
    let on_a = again(&Conf::v3(100));
    assert_eq!(knobs(), values("0", "1"), "{}", on_a.log());
    let (code, log) = on_a.stop();
    assert_eq!((code, knobs()), (Some(0), values("0", "1")), "{log}");
    // Twice with the same file, before a third one ends in order.
    killed();
    killed();
    let (code, log) = again(&v4(150)).stop();
    assert_eq!((code, left(&a)), (Some(0), clean()), "{log}");
    killed();
    a.script(&format!("sysctl -qw net.ipv4.conf.{IFACE}.arp_announce=0"));
    let on_a = again(&Conf::v3(100));
    assert_eq!(knobs(), values("0", "0"), "{}", on_a.log());
    on_a.stop();
}

#[test]
fn a_reload_takes_it_out_and_puts_it_in() {
    if stand_in() {
        return skip("vmac: reload", "keepalived restarts such an instance in another way");
    }
    let Some(lab) = Lab::new("vmac: reload") else { return };
    let (a, c) = (lab.host("a", 20), lab.host("c", 40));
    let on_a = start(&lab, under_test(), &a, &v4(100));
    on_a.await_state(State::Master);
    until_true("up", || is_up(&a, NAME));
    let reload = |conf: &Conf| {
        std::fs::write(on_a.conf(), conf.text()).expect("the lab's directory is writable");
        on_a.signal("HUP");
    };
    reload(&Conf::v3(100));
    until_true(&format!("the address on {IFACE}; log:\n{}", on_a.log()), || {
        macvlans(&a).is_empty() && addrs_on(&a, IFACE).contains(&format!("{VIP}/32"))
    });
    until_true("the client to reach it", || c.reaches(VIP) && c.sees(VIP, &a));
    reload(&v4(100));
    until_true(&format!("the address on {NAME}; log:\n{}", on_a.log()), || {
        macvlans(&a).len() == 1 && is_up(&a, NAME) && !addrs_on(&a, IFACE).contains(&format!("{VIP}/32"))
    });
    until_true("the client to reach it", || c.reaches(VIP) && c.neighbour(VIP).contains(MAC));
}

/// Whether this kernel has a kind of interface.
pub(crate) fn has_kind(host: &Host, words: &str) -> bool {
    host.command("sh").args(["-c", &format!("ip link add {words} 2>/dev/null")]).status().is_ok_and(|s| s.success())
}

/// Trap 64, and an own interface in the VRF of the one below.
#[test]
fn in_a_vrf_unicast_adverts_are_heard_and_the_own_interface_belongs_to_it() {
    let Some(lab) = Lab::new("trap 64") else { return };
    let (a, b, c) = (lab.host("a", 20), lab.host("b", 30), lab.host("c", 40));
    let enslave = |host: &Host| {
        host.script(&format!("ip link set blue up; ip link set {IFACE} master blue"));
        // The kernel has removed the IPv6 addresses.
        host.script(&format!("ip addr add {}/64 dev {IFACE} nodad", host.v6()));
    };
    for host in [&a, &b] {
        if !has_kind(host, "blue type vrf table 10") {
            return skip("trap 64", "this kernel has no VRF");
        }
        enslave(host);
    }
    let unicast = |own: &Host, other: &Host, priority: u8| {
        let conf = Conf { vips: vec![format!("{VIP} dev {IFACE}")], ..Conf::v3(priority) };
        let conf = conf.with("vrf blue").with(&format!("unicast_src_ip {}", own.v4()));
        let text = conf.with(&format!("unicast_peer {{\n {}\n}}", other.v4())).text();
        text.replace(&format!("    interface {IFACE}\n"), "")
    };
    let on_a = lab.start_program(under_test(), &a, &unicast(&a, &b, 150));
    on_a.await_state(State::Master);
    let on_b = lab.start_program(under_test(), &b, &unicast(&b, &a, 100));
    on_b.await_state(State::Backup);
    until_true("the client to reach it", || c.reaches(VIP) && c.sees(VIP, &a));
    drop(on_a.stop());
    on_b.await_state(State::Master);
    assert_eq!(on_b.times(State::Master), 1, "{}", on_b.log());
    until_true("the client to reach it", || c.reaches(VIP) && c.sees(VIP, &b));
    drop(on_b.stop());
    if stand_in() {
        return;
    }
    let on_a = start(&lab, under_test(), &a, &v4(150));
    on_a.await_state(State::Master);
    until_true(&format!("the client to reach it; log:\n{}", on_a.log()), || c.reaches(VIP));
    assert!(c.neighbour(VIP).contains(MAC), "{}", c.neighbour(VIP));
    assert!(a.run(&format!("ip -o link show dev {NAME}")).contains("master blue"));
    let (code, log) = on_a.stop();
    assert_eq!((code, macvlans(&a)), (Some(0), Vec::new()), "{log}");
}

#[test]
fn an_ipvlan_has_the_addresses_with_the_mac_of_the_interface_below() {
    if stand_in() {
        return skip("use_ipvlan", "keepalived wants an address for it");
    }
    let Some(lab) = Lab::new("use_ipvlan") else { return };
    let (a, b, c) = (lab.host("a", 20), lab.host("b", 30), lab.host("c", 40));
    if !has_kind(&c, &format!("link {IFACE} name try type ipvlan mode l2 bridge")) {
        return skip("use_ipvlan", "this kernel has no ipvlan");
    }
    c.script("ip link del try");
    let conf = |priority| Conf::v3(priority).with("use_ipvlan");
    let on_a = start(&lab, under_test(), &a, &conf(150));
    on_a.await_state(State::Master);
    let on_b = start(&lab, under_test(), &b, &conf(100));
    on_b.await_state(State::Backup);
    until_true(&format!("the client to reach it; log:\n{}", on_a.log()), || c.reaches(VIP));
    assert!(c.sees(VIP, &a), "{}", c.neighbour(VIP));
    let name = "ipvlan.51";
    assert_eq!(addrs_on(&a, name), BTreeSet::from([format!("{VIP}/32")]));
    until_true("its address", || addrs_on(&b, name) == addrs_on(&a, name));
    assert!(is_up(&a, name) && !is_up(&b, name));
    drop(on_a.stop());
    on_b.await_state(State::Master);
    until_true(&format!("the client to reach it; log:\n{}", on_b.log()), || c.reaches(VIP) && c.sees(VIP, &b));
    assert!(a.run("ip -o link show type ipvlan").is_empty());
}

/// Trap 62: what comes to the virtual MAC reaches the Backup's cable, too, because the bridge does not learn where it is. The Backup answers
/// nothing, takes nothing in and passes nothing on, also after the interface below was down.
#[test]
fn trap_62_a_backup_answers_nothing_and_takes_in_nothing_that_is_flooded_to_the_virtual_mac() {
    if stand_in() {
        return skip("trap 62", "keepalived has its interface up as Backup");
    }
    let Some(lab) = Lab::new("trap 62") else { return };
    let (a, b, c) = (lab.host("a", 20), lab.host("b", 30), lab.host("c", 40));
    b.script("sysctl -qw net.ipv4.ip_forward=1");
    let on_a = start(&lab, under_test(), &a, &v4(150));
    on_a.await_state(State::Master);
    let on_b = start(&lab, under_test(), &b, &v4(100));
    on_b.await_state(State::Backup);
    until_true("its address", || addrs_on(&b, NAME).len() == 1);
    lab.lan()
        .script("ip link set dev p20 type bridge_slave learning off; ip link set dev p20 type bridge_slave fdb_flush");
    let mut injector = lab.injector(&c);
    let ip_of = |host: &Host| [198, 18, 0, host.n];
    let vip = [198, 18, 0, 100];
    // Who has the address?
    let mut question =
        [&[0xff; 6][..], &c.mac(), &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &c.mac(), &ip_of(&c), &[0; 6], &vip].concat();
    question.resize(60, 0);
    // Is that port open? And a packet to another host, for a router to pass on.
    let tcp = |to: [u8; 4], port: u16| {
        let mut p = [&[0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0][..], &ip_of(&c), &to].concat();
        let sum = checksum(&p).to_be_bytes();
        p[10..12].copy_from_slice(&sum);
        let mut t = [&port.to_be_bytes()[..], &[0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 255, 255, 0, 0, 0, 0]].concat();
        let sum = checksum(&[&ip_of(&c)[..], &to, &[0, 6, 0, 20], &t].concat()).to_be_bytes();
        t[16..18].copy_from_slice(&sum);
        [&mac(MAC)[..], &c.mac(), &[8, 0], &p, &t, &[0; 6]].concat()
    };
    for round in 0..3u16 {
        let (wire, on_c) = (lab.capture(&b, "arp or tcp or icmp"), lab.capture(&c, "arp or tcp or icmp"));
        let before = b.run("cat /proc/net/snmp");
        for n in 0..20 {
            injector.send(&question);
            injector.send(&tcp(vip, 1000 + n));
            injector.send(&tcp(ip_of(&a), 2000 + n));
        }
        // The Master has answered the last of it, and the Backup's cable has seen all.
        let replies = || on_c.frames().iter().filter(|f| source(f) == mac(MAC) && f.bytes[12..14] == [8, 6]).count();
        until_true(&format!("20 replies; log:\n{}", on_a.log()), || replies() >= 20);
        let came = || wire.frames().iter().filter(|f| source(f) == c.mac() && f.bytes[..6] == mac(MAC)).count();
        until_true("the flood on b's cable", || came() >= 40);
        let sent: Vec<_> = wire.frames().into_iter().filter(|f| [b.mac(), mac(MAC)].contains(&source(f))).collect();
        // Frames with the virtual MAC are the Master's.
        let (of_b, of_mac): (Vec<_>, Vec<_>) = sent.iter().partition(|f| source(f) == b.mac());
        assert!(of_b.is_empty(), "round {round}: {of_b:?}");
        assert!(of_mac.len() <= replies() + 40, "round {round}: more than the Master sent: {}", of_mac.len());
        let received = |text: &str| {
            let line = text.lines().filter(|l| l.starts_with("Tcp:")).nth(1).map(str::to_owned);
            line.and_then(|l| l.split_whitespace().nth(10).and_then(|n| n.parse::<u64>().ok())).expect("InSegs")
        };
        assert_eq!(received(&b.run("cat /proc/net/snmp")), received(&before), "round {round}: b took something in");
        let text = b.run(&format!("ip -s -j link show dev {NAME}"));
        let told: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((told[0]["stats64"]["rx"]["packets"].as_u64(), is_up(&b, NAME)), (Some(0), false), "round {round}");
        // The interface below flaps.
        b.script(&format!("ip link set {IFACE} down; ip link set {IFACE} up"));
        on_b.await_times(State::Backup, 2 + usize::from(round));
        until_true("b to hear the Master", || crate::report::of(&on_b)["instances"][0]["master"] == a.v4());
    }
    assert_eq!((on_a.times(State::Master), on_b.times(State::Master)), (1, 0), "{}", on_b.log());
}
