//! A virtual router on a bond whose active port fails, and on a dummy interface: what Debian's kernel has and some others have not.
//!
//! Read first: `../lab/mod.rs`. Runs in the machine of `scripts/test vm61`.

use crate::lab::daemon::{State, VIP, under_test};
use crate::lab::{IFACE, Lab, skip, until_true};
use crate::vmac::has_kind;

fn conf(priority: u8, interface: &str, vip: &str, more: &str) -> String {
    format!(
        "vrrp_instance VI_1 {{\n state BACKUP\n interface {interface}\n virtual_router_id 51\n priority {priority}\n version 3\n \
         advert_int 0.1\n {more}\n virtual_ipaddress {{\n {vip}/16\n }}\n}}\n"
    )
}

/// The bond stays up, so nothing changes but the port; adverts and the address's traffic go on through the other one.
#[test]
fn a_bond_that_changes_its_active_port_is_no_reason_to_change_the_master() {
    let Some(lab) = Lab::new("bond") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    if !has_kind(&a, "bond0 type bond mode active-backup miimon 20") {
        return skip("bond", "this kernel has no bonds");
    }
    // A second cable to the same bridge.
    lab.lan().run(&format!("ip link add name second type veth peer name second netns {}", a.pid()));
    lab.lan().run("ip link set second master br0 up");
    a.script(&format!(
        "ip link set {IFACE} down; ip addr flush dev {IFACE}
         ip link set {IFACE} master bond0; ip link set second master bond0
         ip link set {IFACE} up; ip link set second up; ip link set bond0 addrgenmode none up
         ip addr add {}/16 dev bond0",
        a.v4()
    ));
    let on_b = lab.start_program(under_test(), &b, &conf(100, IFACE, VIP, ""));
    let on_a = lab.start_program(under_test(), &a, &conf(150, "bond0", VIP, ""));
    until_true("a to be Master", || a.holds(VIP) && !b.holds(VIP));
    on_b.await_state(State::Backup);
    until_true("b to reach it", || b.reaches(VIP));
    let before = (on_a.states().len(), on_b.states().len());
    let active = || {
        let told = a.run("ip -d -o link show dev bond0");
        told.split_whitespace().skip_while(|w| *w != "active_slave").nth(1).unwrap_or("none").to_owned()
    };
    for _ in 0..2 {
        let was = active();
        match was == IFACE {
            true => lab.port(&a, "down"),
            false => drop(lab.lan().run("ip link set second down")),
        }
        until_true("the other port", || active() != was);
        until_true("b to reach it through the other port", || b.reaches(VIP));
        match was == IFACE {
            true => lab.port(&a, "up"),
            false => drop(lab.lan().run("ip link set second up")),
        }
    }
    assert_eq!((on_a.states().len(), on_b.states().len()), before, "{}\n{}", on_a.log(), on_b.log());
    // Without a port the bond has no carrier.
    lab.port(&a, "down");
    lab.lan().run("ip link set second down");
    on_a.await_state(State::Fault);
    until_true("the address on b", || b.holds(VIP) && !a.holds(VIP));
    drop((on_a, on_b));
}

/// A dummy interface begins without multicast, which adverts need; it has no ARP, so nothing is announced.
#[test]
fn a_virtual_router_on_a_dummy_interface_is_master_once_it_has_multicast() {
    let Some(lab) = Lab::new("dummy") else { return };
    let a = lab.host("a", 20);
    if !has_kind(&a, "d0 type dummy") {
        return skip("dummy", "this kernel has no dummy interfaces");
    }
    a.script("ip link set d0 up; ip addr add 10.2.0.1/24 dev d0");
    let on_a = lab.start_program(under_test(), &a, &conf(150, "d0", "10.2.0.100", ""));
    on_a.await_line("interface d0 has no multicast");
    a.run("ip link set d0 multicast on");
    until_true("the address", || a.run("ip -o addr show dev d0").contains("10.2.0.100/"));
    on_a.await_state(State::Master);
    let (code, log) = on_a.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(!a.run("ip -o addr show dev d0").contains("10.2.0.100/") && !log.contains("cannot"), "{log}");
}

/// With `fail_over_mac active` the bond takes the MAC of the port that becomes the active one.
#[test]
fn trap_56_a_bond_that_takes_another_ports_mac_announces_the_address_with_it() {
    let Some(lab) = Lab::new("trap 56") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    if !has_kind(&a, "bond0 type bond mode active-backup miimon 20 fail_over_mac active") {
        return skip("trap 56", "this kernel has no bonds");
    }
    lab.lan().run(&format!("ip link add name second type veth peer name second netns {}", a.pid()));
    lab.lan().run("ip link set second master br0 up");
    a.script(&format!(
        "ip link set {IFACE} down; ip addr flush dev {IFACE}; ip link set second address 02:00:00:00:00:99
         ip link set {IFACE} master bond0; ip link set second master bond0
         ip link set {IFACE} up; ip link set second up; ip link set bond0 addrgenmode none up
         ip addr add {}/16 dev bond0",
        a.v4()
    ));
    let bond = || {
        let told = a.run("ip -o link show dev bond0");
        told.split_whitespace().skip_while(|w| *w != "link/ether").nth(1).expect("a MAC").to_owned()
    };
    let on_a = lab.start_program(under_test(), &a, &conf(150, "bond0", VIP, ""));
    until_true("a to be Master", || a.holds(VIP));
    until_true("b to reach it", || b.reaches(VIP));
    let wire = lab.capture(&b, "arp");
    for _ in 0..2 {
        let (was, seen) = (bond(), wire.frames().len());
        match was.ends_with("99") {
            true => lab.lan().script("ip link set p20 up; ip link set second down"),
            false => lab.lan().script("ip link set second up; ip link set p20 down"),
        };
        until_true("another MAC", || bond() != was);
        // By what it receives, not by asking: this entry follows announcements.
        let new: Vec<u8> = bond().split(':').map(|p| u8::from_str_radix(p, 16).expect("hexadecimal")).collect();
        let announced = || {
            let frames = wire.frames();
            frames[seen..]
                .iter()
                .filter(|f| f.announces().is_some_and(|(addr, mac)| addr.to_string() == VIP && mac[..] == new))
                .count()
        };
        until_true(&format!("an announcement with {}; log:\n{}", bond(), on_a.log()), || announced() > 0);
        until_true("b's entry", || b.neighbour(VIP).contains(&bond()));
        assert!(b.reaches(VIP));
    }
    assert_eq!(on_a.times(State::Master), 1, "{}", on_a.log());
}
