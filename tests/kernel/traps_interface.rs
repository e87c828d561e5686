//! Traps of interfaces and addresses: changes by other programs while the daemon runs, or before it starts.
//!
//! Trap numbers are those of `docs/traps.md`. The routes and rules of trap 45 are in `virtual_routes`; trap 33 (a pulled cable) is in
//! `traps_election`. Read first: `../lab/mod.rs`.

use crate::lab::capture::Capture;
use crate::lab::daemon::{Conf, Daemon, State, VIP, stand_in};
use crate::lab::{Host, IFACE, Lab, pause, skip, until, until_true};
use std::process::{Child, Stdio};

const ADVERTS: &str = "ip proto 112 or ip6 proto 112";

/// keepalived follows interfaces that come and go only if it is configured to.
fn dynamic(mut conf: Conf) -> Conf {
    if stand_in() {
        conf.global.push_str("    dynamic_interfaces\n");
    }
    conf
}

/// `ip monitor address` with time stamps, from before this returns.
struct Monitor {
    process: Child,
    file: std::path::PathBuf,
}

impl Monitor {
    fn start(lab: &Lab, host: &Host) -> Monitor {
        let file = lab.path("monitor.txt");
        let out = std::fs::File::create(&file).expect("the lab's directory is writable");
        let process = host
            .command("ip")
            .args(["-o", "monitor", "address"])
            .stdout(out)
            .stderr(Stdio::null())
            .spawn()
            .expect("setpriv was found");
        until_true("ip monitor to listen", || {
            host.script("ip addr add 192.0.2.9/32 dev lo; ip addr del 192.0.2.9/32 dev lo");
            std::fs::read_to_string(&file).is_ok_and(|t| t.contains("192.0.2.9"))
        });
        Monitor { process, file }
    }

    /// Lines about an address, in order.
    fn about(&self, addr: &str) -> Vec<String> {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        text.lines().filter(|l| l.contains(&format!(" {addr}/"))).map(str::to_owned).collect()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// a is Master with priority 150, b its Backup with 100.
fn pair(lab: &Lab, a: &Host, b: &Host) -> (Daemon, Daemon) {
    let master = lab.start(a, &Conf::v3(150));
    master.await_state(State::Master);
    let backup = lab.start(b, &Conf::v3(100));
    backup.await_state(State::Backup);
    until_true("a to hold the VIP", || a.holds(VIP));
    (master, backup)
}

fn one_owner(a: &Host, b: &Host) {
    until_true("the VIP on a and only on a", || a.holds(VIP) && !b.holds(VIP));
}

/// As a restart of systemd-networkd: it removes every address that it did not add, and adds its own again.
#[test]
fn trap_45_all_addresses_flushed_and_the_configured_ones_put_back() {
    let Some(lab) = Lab::new("trap 45") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let wire = lab.capture(&b, ADVERTS);
    let (master, backup) = pair(&lab, &a, &b);
    for _ in 0..3 {
        a.run(&format!("ip -4 addr flush dev {IFACE}"));
        a.run(&format!("ip addr add 198.18.0.20/16 dev {IFACE}"));
        until_true("the VIP back", || a.holds(VIP) || b.holds(VIP));
    }
    master.await_state(State::Master);
    backup.await_state(State::Backup);
    one_owner(&a, &b);
    wire.await_adverts(&a, 8);
    one_owner(&a, &b);
    never_from_a_vip(&wire);
}

#[test]
fn trap_46_links_down_and_up_leave_the_vip_on_exactly_one_node() {
    let Some(lab) = Lab::new("trap 46") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let wire = lab.capture(&b, ADVERTS);
    let (master, backup) = pair(&lab, &a, &b);
    b.run(&format!("ip link set {IFACE} down"));
    backup.await_state(State::Fault);
    b.run(&format!("ip link set {IFACE} up"));
    backup.await_state(State::Backup);
    wire.await_adverts(&a, 8);
    one_owner(&a, &b);
    assert_eq!(backup.times(State::Master), 0, "log:\n{}", backup.log());

    a.run(&format!("ip link set {IFACE} down"));
    backup.await_state(State::Master);
    master.await_state(State::Fault);
    until_true("the VIP on b and only on b", || b.holds(VIP) && !a.holds(VIP));
    a.run(&format!("ip link set {IFACE} up"));
    master.await_state(State::Master);
    backup.await_state(State::Backup);
    one_owner(&a, &b);
}

#[test]
fn trap_47_a_vip_deleted_by_hand_is_put_back_once() {
    let Some(lab) = Lab::new("trap 47") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let wire = lab.capture(&b, ADVERTS);
    let (master, backup) = pair(&lab, &a, &b);
    let monitor = Monitor::start(&lab, &a);
    a.run(&format!("ip addr del {VIP}/32 dev {IFACE}"));
    until_true("the VIP back on a", || a.holds(VIP));
    wire.await_adverts(&a, 8);
    one_owner(&a, &b);
    if stand_in() {
        return; // goes through Backup, and the peer may be Master for a moment
    }
    assert_eq!(master.times(State::Master), 1, "log:\n{}", master.log());
    assert_eq!(backup.times(State::Master), 0);
    let about = monitor.about(VIP);
    assert_eq!(about.len(), 2, "one deletion, one addition: {about:?}");
    assert!(about[0].contains("Deleted") && !about[1].contains("Deleted"), "{about:?}");
}

#[test]
fn trap_48_without_its_primary_address_a_router_is_in_fault_and_silent() {
    let Some(lab) = Lab::new("trap 48") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let wire = lab.capture(&b, ADVERTS);
    let (master, backup) = pair(&lab, &a, &b);
    a.run(&format!("ip addr del 198.18.0.20/16 dev {IFACE}"));
    master.await_state(State::Fault);
    backup.await_state(State::Master);
    until_true("the VIP gone from a", || !a.holds(VIP));
    wire.await_adverts(&b, 5);
    a.run(&format!("ip addr add 198.18.0.20/16 dev {IFACE}"));
    master.await_state(State::Master);
    backup.await_state(State::Backup);
    one_owner(&a, &b);
    never_from_a_vip(&wire);
}

fn never_from_a_vip(wire: &Capture) {
    for advert in wire.adverts() {
        assert!(
            ["198.18.0.20", "198.18.0.30", "fe80::20", "fe80::30"].contains(&advert.src.to_string().as_str()),
            "an advert from {} (R-006)",
            advert.src
        );
    }
}

#[test]
fn trap_49_an_interface_deleted_and_made_again_is_used_again() {
    for (name, conf) in [("IPv4", Conf::v3(150)), ("IPv6", Conf::v6(150))] {
        let Some(lab) = Lab::new(&format!("trap 49 {name}")) else { return };
        let a = lab.host("a", 20);
        let vip = conf.vips[0].clone();
        let daemon = lab.start(&a, &dynamic(conf));
        daemon.await_state(State::Master);
        until_true("a to hold the VIP", || a.holds(&vip));
        let before = a.run("ip -o link show") + &a.run("cat /proc/net/dev_mcast");
        a.run(&format!("ip link del {IFACE}"));
        daemon.await_state(State::Fault);
        lab.replug(&a);
        let after = a.run("ip -o link show");
        // The index need not differ: only the daemon's reaction is tested. Addresses come late, as after `ifup` with DHCP.
        pause(1000);
        a.add_addresses();
        daemon.await_state(State::Master);
        until_true(&format!("the VIP on the new interface; before:\n{before}after:\n{after}"), || a.holds(&vip));
        if stand_in() {
            continue; // IPv6: it goes on sending by the old index, "send advert error 22", for ever
        }
        let client = lab.host("client", 40);
        let wire = lab.capture(&client, ADVERTS);
        wire.await_adverts(&a, 3);
        never_from_a_vip(&wire);
    }
}

#[test]
fn trap_50_an_interface_that_appears_after_the_start_is_joined() {
    let Some(lab) = Lab::new("trap 50") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let backup = lab.start(&b, &Conf::v3(100));
    backup.await_state(State::Master);
    a.run(&format!("ip link del {IFACE}"));
    let daemon = lab.start(&a, &dynamic(Conf::v3(150)));
    daemon.await_state(State::Fault);
    pause(500);
    lab.replug(&a);
    a.add_addresses();
    daemon.await_state(State::Master);
    backup.await_state(State::Backup);
    one_owner(&a, &b);
}

/// Also 54: an IPv6 link-local address that is not there yet, or still tentative, is no fault for good.
#[test]
fn trap_51_a_source_address_that_appears_late_ends_the_wait() {
    for (name, conf) in [("IPv4", Conf::v3(150)), ("IPv6", Conf::v6(150))] {
        let Some(lab) = Lab::new(&format!("trap 51 {name}")) else { return };
        let (a, client) = (lab.bare_host("a", 20), lab.host("client", 40));
        let vip = conf.vips[0].clone();
        let wire = lab.capture(&client, ADVERTS);
        let daemon = lab.start(&a, &conf);
        daemon.await_state(State::Fault);
        pause(1500);
        assert!(wire.adverts().is_empty(), "an advert without a source address (R-007)");
        assert!(!a.holds(&vip));
        a.add_addresses();
        daemon.await_state(State::Master);
        until_true("a to hold the VIP", || a.holds(&vip));
        wire.await_adverts(&a, 3);
        never_from_a_vip(&wire);
    }
}

/// While the daemon is stopped its netlink socket overflows; the messages that matter are among the lost ones.
#[test]
fn trap_57_after_a_netlink_overrun_the_final_state_is_right() {
    if stand_in() {
        return skip("trap 57", "the stand-in does not look again after an overrun");
    }
    let Some(lab) = Lab::new("trap 57") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let (master, backup) = pair(&lab, &a, &b);
    a.run("ip link add name v8 type veth peer name v9");
    let script = lab.path("storm.batch");
    std::fs::write(&script, "link set v8 up\nlink set v8 down\n".repeat(500)).expect("the lab's directory is writable");
    let overflow = |change: &str| {
        master.signal_all("STOP");
        let before = dropped(&a);
        // However large the daemon made its buffer: 1,000 changes at a time until it is full. From then on the kernel drops
        // everything until the daemon has read all of it, the change that matters among it.
        for _ in 0..60 {
            a.run(&format!("ip -batch {}", script.display()));
            if dropped(&a) > before {
                break;
            }
        }
        let full = dropped(&a);
        assert!(full > before, "the netlink buffer never overflowed");
        a.run(change);
        assert!(dropped(&a) > full, "the change itself was not lost");
        master.signal_all("CONT");
    };

    overflow(&format!("ip addr del 198.18.0.20/16 dev {IFACE}"));
    master.await_state(State::Fault);
    backup.await_state(State::Master);
    until_true("the VIP gone from a", || !a.holds(VIP));

    overflow(&format!("ip addr add 198.18.0.20/16 dev {IFACE}"));
    master.await_state(State::Master);
    backup.await_state(State::Backup);
    one_owner(&a, &b);
    let log = master.log().to_lowercase();
    assert!(
        log.contains("netlink") && (log.contains("lost") || log.contains("overrun")),
        "the loss is not mentioned; log:\n{log}"
    );
}

/// Messages dropped at the subscribed rtnetlink sockets of this namespace; there is only the daemon's.
fn dropped(host: &Host) -> u64 {
    // sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode
    let table = host.run("cat /proc/net/netlink");
    let rows = table.lines().skip(1).map(|l| l.split_whitespace().collect::<Vec<_>>());
    rows.filter(|w| w.len() >= 9 && w[1] == "0" && w[3] != "00000000").filter_map(|w| w[8].parse::<u64>().ok()).sum()
}

#[test]
fn trap_66_the_second_advert_does_not_wait_for_150_addresses() {
    if stand_in() {
        return skip("trap 66", "the stand-in pauses while it adds addresses");
    }
    let Some(lab) = Lab::new("trap 66") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let wire = lab.capture(&b, ADVERTS);
    let vips: Vec<String> = (1..=150).map(|n| format!("198.18.9.{n}")).collect();
    let conf = |priority| Conf { vips: vips.clone(), ..Conf::v3(priority).every("0.1") };
    let backup = lab.start(&b, &conf(100));
    backup.await_state(State::Master);
    let master = lab.start(&a, &conf(150));
    master.await_state(State::Master);
    backup.await_state(State::Backup);
    let held = |h: &Host| h.run("ip -o -4 addr show").lines().filter(|l| l.contains(" 198.18.9.")).count();
    until_true("150 VIPs on a", || held(&a) == 150);
    until_true("no VIP on b", || held(&b) == 0);
    wire.await_adverts(&a, 10);
    let adverts = wire.adverts_of(&a);
    assert!(adverts.iter().all(|v| v.count == 150));
    // Were one missing, its neighbours would be two intervals apart; half an interval is left to a loaded machine.
    let worst = adverts.windows(2).take(12).map(|w| w[1].ns - w[0].ns).max().expect("more than one advert");
    assert!(worst < 250_000_000, "an advert is missing: {worst} ns between two");
    assert_eq!(backup.times(State::Master), 1, "the Backup lost patience; log:\n{}", backup.log());
}

#[test]
fn trap_92_what_a_killed_master_left_behind_is_gone_before_the_first_advert() {
    let Some(lab) = Lab::new("trap 92") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    // With the subnet's own prefix length, the left-over VIP can become the first address of the interface.
    let conf = |priority| Conf { vips: vec![format!("{VIP}/16")], ..Conf::v3(priority) };
    a.run(&format!("sysctl -qw net.ipv4.conf.{IFACE}.promote_secondaries=1"));
    let wire = lab.capture(&b, ADVERTS);
    let master = lab.start(&a, &conf(150));
    master.await_state(State::Master);
    let backup = lab.start(&b, &conf(100));
    backup.await_state(State::Backup);
    until_true("a to hold the VIP", || a.holds(VIP));
    master.kill9();
    backup.await_state(State::Master);
    assert!(a.holds(VIP), "kill -9 leaves the VIP");
    a.script(&format!("ip addr del 198.18.0.20/16 dev {IFACE}; ip addr add 198.18.0.20/16 dev {IFACE}"));
    let first = a.run(&format!("ip -o -4 addr show dev {IFACE} primary"));
    assert!(first.contains(VIP), "the VIP is the interface's primary address now: {first}");

    let monitor = Monitor::start(&lab, &a);
    let n = wire.adverts_of(&a).len();
    let again = lab.start(&a, &conf(150));
    let removed = until("the left-over to be removed, or an advert", || {
        if monitor.about(VIP).iter().any(|l| l.contains("Deleted")) {
            return Some(true);
        }
        (wire.adverts_of(&a).len() > n).then_some(false)
    });
    assert!(removed, "an advert went out while the left-over VIP was there");
    again.await_state(State::Master);
    backup.await_state(State::Backup);
    wire.await_adverts(&a, 5);
    never_from_a_vip(&wire);
    one_owner(&a, &b);
}
