//! Interfaces, addresses and left-overs: no event of them leads to a permanent FAULT. Read first: `bench.rs`.

use crate::bench::*;
use crate::group::ETH1;
use kalived::effect::ADDR_PROTO;
use kalived::event::{Errno, Event, NetEv, SockEv};
use kalived::time::Duration;
use kalived::vrrp::State;

const S: Duration = Duration::from_secs(1);

#[test]
fn trap_50_an_interface_that_appears_later_is_joined() {
    let mut b = Bench::cold(vec![v2()]);
    let (links, kernel) = (std::mem::take(&mut b.links), std::mem::take(&mut b.kernel));
    b.start();
    assert_eq!(b.logged("Entering FAULT STATE (init): interface eth0 does not exist"), 1, "{:?}", b.log);
    b.run(S * 60);
    b.event(Event::Net(NetEv::LinkNew(links[0].clone())));
    assert_eq!(b.logged("still in FAULT state: no IPv4 address for interface eth0"), 1, "{:?}", b.log);
    b.event(Event::Net(NetEv::AddrNew(kernel[0].clone())));
    assert_eq!(b.state(), State::Backup);
    b.run(S * 4);
    assert_eq!(b.state(), State::Master);
}

#[test]
fn trap_49_delete_and_recreate_with_another_index() {
    let mut b = Bench::master(v2());
    b.event(Event::Net(NetEv::LinkDel { ifindex: ETH0 }));
    assert_eq!(b.state(), State::Fault);
    assert!(b.out.contains(&Out::Close) && b.logged("Interface eth0 deleted") == 1);
    b.out.clear();
    b.event(Event::Net(NetEv::LinkNew(link(9, "eth0", true))));
    b.run(S * 5);
    b.event(Event::Net(NetEv::AddrNew(addr(9, OURS, 16, 0))));
    assert_eq!(b.state(), State::Backup);
    b.run(S * 4);
    assert_eq!(b.state(), State::Master);
    assert!(b.out.contains(&Out::Open) && b.out.contains(&Out::Add(ip("198.18.0.100"))));
    assert!(b.frames() > 0, "announced on the new interface");
}

#[test]
fn trap_48_no_primary_address_is_fault_and_nothing_leaves_from_the_vip() {
    let mut b = Bench::master(v2());
    b.event(Event::Net(NetEv::AddrDel { ifindex: ETH0, addr: ip(OURS), prefix: 16, by: None }));
    assert_eq!(b.state(), State::Fault);
    let Some(Out::Stop(Some(farewell))) = b.out.first() else { panic!("{:?}", b.out) };
    assert_eq!(farewell[12..16], [198, 18, 0, 20], "the farewell leaves from the address we had");
    assert_eq!(b.adverts(), 0);
    b.event(Event::Net(NetEv::AddrNew(addr(ETH0, OURS, 16, 0))));
    assert_eq!(b.state(), State::Backup);
}

#[test]
fn another_address_of_the_interface_takes_over_as_source() {
    let mut b = Bench::cold(vec![v2()]);
    b.kernel.push(addr(ETH0, "198.18.0.21", 16, 0));
    b.start();
    b.run(S * 4);
    b.event(Event::Net(NetEv::AddrDel { ifindex: ETH0, addr: ip(OURS), prefix: 16, by: None }));
    assert_eq!((b.state(), b.view().source), (State::Master, Some(ip("198.18.0.21"))));
    let Some(Out::Armed(_, p)) = b.out.iter().rev().find(|o| matches!(o, Out::Armed(..))) else { panic!() };
    assert_eq!(p[12..16], [198, 18, 0, 21]);
}

#[test]
fn link_down_is_fault_with_a_farewell_and_up_is_backup() {
    let mut b = Bench::master(v2());
    b.event(Event::Net(NetEv::LinkNew(link(ETH0, "eth0", false))));
    assert_eq!(b.state(), State::Fault);
    assert!(matches!(b.out[0], Out::Stop(Some(_))), "R-078");
    assert!(b.out.contains(&Out::Del(ip("198.18.0.100"))));
    assert_eq!(b.logged("Entering FAULT STATE: interface eth0 down"), 1);
    b.event(Event::Net(NetEv::LinkNew(link(ETH0, "eth0", true))));
    assert_eq!(b.state(), State::Backup);
}

#[test]
fn dont_track_primary_ignores_link_down() {
    let mut c = v2();
    c.track_primary = false;
    let mut b = Bench::master(c);
    b.event(Event::Net(NetEv::LinkNew(link(ETH0, "eth0", false))));
    assert_eq!(b.state(), State::Master);
}

#[test]
fn each_tracked_interface_counts_by_itself() {
    let mut c = v2();
    c.track_interfaces = ["eth1", "eth2"]
        .map(|n| kalived::config::model::TrackInterface { name: n.into(), weight: 0, reverse: false })
        .into();
    let mut b = Bench::cold(vec![c]);
    b.links.extend([link(4, "eth1", true), link(5, "eth2", true)]);
    b.start();
    assert_eq!(b.state(), State::Backup);
    b.event(Event::Net(NetEv::LinkNew(link(4, "eth1", false))));
    b.event(Event::Net(NetEv::LinkNew(link(5, "eth2", false))));
    b.event(Event::Net(NetEv::LinkNew(link(4, "eth1", true))));
    assert_eq!(b.state(), State::Fault, "keepalived clears both with the first");
    b.event(Event::Net(NetEv::LinkNew(link(5, "eth2", true))));
    assert_eq!(b.state(), State::Backup);
}

#[test]
fn weights_move_priority_timer_and_packet() {
    let mut c = v2();
    c.track_interfaces =
        vec![kalived::config::model::TrackInterface { name: "eth1".into(), weight: -30, reverse: false }];
    let mut b = Bench::cold(vec![c.clone()]);
    b.links.push(link(4, "eth1", true));
    b.start();
    b.run(S);
    b.event(Event::Net(NetEv::LinkNew(link(4, "eth1", false))));
    assert_eq!(b.view().effective_priority, 70);
    // 3.609375 - 1 s gone, later by 30/256 s.
    assert_eq!(b.left(kalived::timers::Due::MasterDown), Some(Duration::from_nanos(2_609_375_000 + 117_187_500)));
    // Some time before the next advert leaves.
    b.run(S * 4 + Duration::from_millis(100));
    b.out.clear();
    b.event(Event::Net(NetEv::LinkNew(link(4, "eth1", true))));
    assert_eq!(b.logged("Changing effective priority from 70 to 100"), 1);
    let armed: Vec<_> =
        b.out.iter().filter_map(|o| if let Out::Armed(_, p) = o { Some(p[22]) } else { None }).collect();
    assert_eq!((b.out.first(), armed), (Some(&Out::Stop(None)), vec![100]));
    // for any sum of the weights.
    c.track_interfaces[0].weight = -253;
    let mut b = Bench::cold(vec![c]);
    b.links.push(link(4, "eth1", false));
    b.start();
    assert_eq!(b.view().effective_priority, 1);
}

/// The peers take over in Skew_Time, not in Master_Down_Interval.
#[test]
fn a_renamed_interface_is_left_with_a_farewell() {
    let mut b = Bench::master(v3());
    b.event(Event::Net(NetEv::LinkNew(link(ETH0, "foo", true))));
    assert_eq!((b.state(), b.logged("Interface eth0 deleted")), (State::Fault, 1));
    let farewell = b.out.iter().position(|o| matches!(o, Out::Stop(Some(p)) if p[22] == 0)).expect("a farewell");
    let close = b.out.iter().position(|o| *o == Out::Close).expect("the socket is closed");
    assert!(farewell < close, "{:?}", b.out);
    assert!(b.out.contains(&Out::Del(ip("198.18.0.100"))));
    b.event(Event::Net(NetEv::LinkNew(link(ETH0, "eth0", true))));
    assert_eq!(b.state(), State::Backup);
}

/// The deletion was lost: the adverts that were armed on the old interface never leave.
#[test]
fn a_replaced_interface_never_leaves_a_silent_master() {
    let mut c = v3();
    c.mcast_src = Some(ip(OURS));
    let mut b = Bench::master(c);
    b.event(Event::Net(NetEv::LinkNew(link(9, "eth0", true))));
    assert_eq!(b.state(), State::Backup);
    assert!(!b.out.iter().any(|o| matches!(o, Out::Stop(Some(_)))), "no farewell into a device that is gone");
    b.run(Duration::from_secs(10));
    assert_eq!(b.state(), State::Master);
    assert!(!b.armed.is_empty(), "adverts are armed on the new interface");
    assert!(b.kernel.iter().any(|a| a.ifindex == 9 && a.addr == ip("198.18.0.100")));
}

#[test]
fn trap_92_leftovers_go_before_anything_starts() {
    let mut b = Bench::cold(vec![v2()]);
    // Before the real address, as a dump may list it.
    b.kernel.insert(0, addr(ETH0, "198.18.0.100", 32, ADDR_PROTO));
    b.start();
    assert_eq!(b.out[1], Out::Del(ip("198.18.0.100")), "before the socket is even open: {:?}", b.out);
    assert_eq!((b.state(), b.view().source), (State::Backup, Some(ip(OURS))));
    // Untagged, as another daemon leaves them.
    let mut b = Bench::cold(vec![v2()]);
    b.kernel.push(addr(ETH0, "198.18.0.100", 32, 0));
    b.start();
    assert_eq!(b.out[1], Out::Del(ip("198.18.0.100")));
}

/// Killed, and started with another file.
#[test]
fn leftovers_of_another_configuration() {
    let mut b = Bench::cold(vec![v2()]);
    b.kernel.push(addr(ETH0, "198.18.0.100", 24, ADDR_PROTO));
    b.kernel.push(addr(ETH0, "198.18.0.101", 32, ADDR_PROTO));
    b.start();
    assert_eq!(b.out[1], Out::Del(ip("198.18.0.100")), "our VIP under its old prefix length");
    assert!(!b.out.contains(&Out::Del(ip("198.18.0.101"))), "another kalived may hold it");
    assert_eq!((b.logged("left alone: 198.18.0.101/32 on eth0:"), b.logged("removing 1 virtual")), (1, 1));
    // With another prefix length and without a tag it is the operator's.
    let mut b = Bench::cold(vec![v2()]);
    b.kernel.push(addr(ETH0, "198.18.0.100", 24, 0));
    b.start();
    assert!(!b.out.contains(&Out::Del(ip("198.18.0.100"))), "{:?}", b.out);
    assert_eq!(b.logged("left alone"), 0);
}

/// All processes were killed, and the file of the next start has the address on another interface. kalived removes the address where it
/// was: a peer may have it by now, and no other process would remove it.
#[test]
fn leftovers_on_another_interface() {
    let mut b = Bench::cold(vec![v2()]);
    b.links.push(link(ETH1, "eth1", true));
    b.kernel.push(addr(ETH1, "198.18.0.100", 24, ADDR_PROTO));
    b.kernel.push(addr(ETH1, "fe80::64", 64, ADDR_PROTO));
    b.start();
    assert!(!b.kernel.iter().any(|a| a.addr == ip("198.18.0.100")), "{:?}", b.out);
    assert!(b.kernel.iter().any(|a| a.addr == ip("fe80::64")), "another link");
    assert_eq!((b.logged("left alone: 198.18.0.100"), b.logged("removing 1 virtual")), (0, 1), "{:?}", b.log);
    // The operator's.
    let mut b = Bench::cold(vec![v2()]);
    b.links.push(link(ETH1, "eth1", true));
    b.kernel.push(addr(ETH1, "198.18.0.100", 24, 0));
    b.start();
    assert!(b.kernel.iter().any(|a| a.addr == ip("198.18.0.100")));
}

#[test]
fn an_owners_address_is_the_operators() {
    let mut c = v3();
    c.priority = 255;
    c.vips = vec![vip(OURS)];
    c.vips[0].prefix = 16;
    let mut b = Bench::new(c);
    assert_eq!((b.state(), b.view().source), (State::Master, Some(ip(OURS))));
    b.fire();
    assert_eq!(b.frames(), 5, "announced");
    b.term();
    assert!(!b.out.iter().any(|o| matches!(o, Out::Add(_) | Out::Del(_))), "neither added nor taken: {:?}", b.out);
}

#[test]
fn trap_47_a_vip_removed_by_hand_comes_back_once_without_a_loop() {
    let mut b = Bench::master(v2());
    let vip = ip("198.18.0.100");
    b.event(Event::Net(NetEv::AddrDel { ifindex: ETH0, addr: vip, prefix: 32, by: None }));
    b.run(Duration::from_millis(10));
    assert_eq!(b.out.iter().filter(|o| **o == Out::Add(vip)).count(), 1);
    assert_eq!((b.state(), b.logged("was removed from eth0 by another program")), (State::Master, 1));
    assert!(b.frames() >= 5, "announced again");
    // With what the kernel says of who did it.
    let ports = [
        (Some(89), "by process 89"),
        (Some(0), "by the kernel"),
        (Some(u32::MAX - 4095), "by another program (netlink port 4294963200)"),
    ];
    for (by, said) in ports {
        let mut b = Bench::master(v2());
        b.event(Event::Net(NetEv::AddrDel { ifindex: ETH0, addr: vip, prefix: 32, by }));
        b.run(Duration::from_millis(10));
        assert_eq!(b.logged(&format!("was removed from eth0 {said}; putting it back")), 1, "{:?}", b.log);
    }
    // For a program that keeps removing it the pause grows.
    b.out.clear();
    for _ in 0..2_000 {
        b.event(Event::Net(NetEv::AddrDel { ifindex: ETH0, addr: vip, prefix: 32, by: None }));
        b.run(Duration::from_millis(10));
    }
    let n = b.out.iter().filter(|o| **o == Out::Add(vip)).count();
    assert!((10..=60).contains(&n), "{n} in 20 s");
    assert_eq!(b.state(), State::Master);
}

#[test]
fn an_address_the_kernel_refuses_is_tried_again() {
    let mut b = Bench::new(v2());
    b.answer = false;
    b.run(S * 4);
    let req = b.unanswered.pop().expect("a request");
    b.event(Event::Net(NetEv::Reply { req, result: Err(Errno(12)) }));
    assert_eq!(b.logged("cannot add 198.18.0.100/32 to eth0: out of memory (12)"), 1, "{:?}", b.log);
    b.answer = true;
    b.run(S);
    assert!(b.out.contains(&Out::Add(ip("198.18.0.100"))) && b.frames() > 0);
}

/// The answer to an addition was lost, the addition was requested once more, and then the router yielded: the answer to that request
/// does not count as the answer to the deletion, which is not requested yet.
#[test]
fn an_addition_under_way_when_it_yields_is_taken_back() {
    let mut b = Bench::new(v2());
    b.answer = false;
    b.run(S * 4);
    let req = b.unanswered.pop().expect("a request");
    b.event(Event::Net(NetEv::Reply { req, result: Err(Errno::ENOBUFS) }));
    b.run(S / 50);
    let again = b.unanswered.pop().expect("asked once more");
    b.rx(&v2(), "198.18.0.30", 200, S);
    assert_eq!((b.state(), b.unanswered.len()), (State::Backup, 0));
    b.answer = true;
    b.event(Event::Net(NetEv::Reply { req: again, result: Ok(()) }));
    assert!(b.out.contains(&Out::Del(ip("198.18.0.100"))), "{:?}", b.out);
}

#[test]
fn trap_57_lost_netlink_messages_are_made_up_for() {
    let mut b = Bench::master(v2());
    // Lost reports: the VIP was deleted, eth1 appeared.
    b.kernel.retain(|a| a.addr != ip("198.18.0.100"));
    b.links.push(link(4, "eth1", true));
    b.event(Event::Net(NetEv::Lost));
    b.event(Event::Net(NetEv::Lost));
    assert_eq!(b.out, [Out::Resync], "one dump, not two");
    b.dump();
    assert!(b.out.contains(&Out::Add(ip("198.18.0.100"))), "{:?}", b.out);
    assert_eq!(b.out.iter().filter(|o| **o == Out::Resync).count(), 2, "messages were lost during the dump: once more");
    b.event(Event::Net(NetEv::DumpBegin));
    b.event(Event::Net(NetEv::Synced { complete: false }));
    b.run(S);
    assert_eq!(b.out.iter().filter(|o| **o == Out::Resync).count(), 3, "an interrupted dump is asked for again");
    // Lost report: the interface was deleted.
    b.links.clear();
    b.kernel.clear();
    b.dump();
    assert_eq!(b.state(), State::Fault);
}

#[test]
fn trap_66_many_vips_do_not_hold_up_the_adverts() {
    let mut c = v2();
    c.excluded = (0..500).map(|i| vip(&format!("198.18.{}.{}", 7 + i / 250, i % 250))).collect();
    let mut b = Bench::new(c);
    b.answer = false;
    b.run(S * 4);
    assert_eq!(b.state(), State::Master);
    assert_eq!(b.unanswered.len(), 64, "one window of requests, not 501");
    b.advert_leaves();
    assert_eq!(b.view().armed, 1);
}

/// With five announcements each there are 25,000, one every millisecond.
#[test]
fn trap_67_no_announcement_after_leaving_master() {
    // The bench answers each request within it, and so on for every address.
    let deep = std::thread::Builder::new().stack_size(256 << 20).spawn(demoted_in_the_midst_of_announcements);
    deep.expect("a thread").join().expect("it held");
}

fn demoted_in_the_midst_of_announcements() {
    let mut c = v2();
    c.excluded = (0..5_000).map(|i| vip(&format!("198.19.{}.{}", i / 250, i % 250))).collect();
    c.garp.garp_interval = Duration::from_millis(1);
    let mut b = Bench::new(c.clone());
    b.run(S * 6);
    assert!(b.frames() > 1_000 && b.frames() < 5_000, "{}", b.frames());
    b.out.clear();
    b.rx(&c, PEER, 200, S);
    b.run(S * 2);
    assert_eq!((b.state(), b.frames()), (State::Backup, 0));
}

#[test]
fn a_new_hardware_address_is_announced() {
    let mut b = Bench::master(v2());
    let mut l = link(ETH0, "eth0", true);
    l.mac = Some([2, 0, 0, 0, 9, 9]);
    b.event(Event::Net(NetEv::LinkNew(l)));
    b.fire();
    assert_eq!(b.frames(), 5, "trap 56");
    let Some(Out::Frame(f)) = b.out.iter().find(|o| matches!(o, Out::Frame(_))) else { panic!() };
    assert_eq!(f[6..12], [2, 0, 0, 0, 9, 9]);
}

#[test]
fn a_socket_that_cannot_be_opened_is_tried_again() {
    let mut b = Bench::master(v2());
    let sock = b.sock.expect("open");
    b.event(Event::Sock(SockEv::Lost { sock, errno: Errno::ENETDOWN }));
    assert_eq!(b.state(), State::Fault);
    b.run(S);
    assert_eq!(b.state(), State::Backup);
}

/// `promote_secondaries` is 0: with the first address of a subnet the kernel removes all others of it.
#[test]
fn what_goes_with_an_address_that_we_removed_was_not_taken_by_another_program() {
    let wide = |a: &str| kalived::config::model::Vip { prefix: 24, ..vip(a) };
    let mut c = v2();
    c.vips = ["10.9.0.1", "10.9.0.2", "10.8.0.1"].map(wide).to_vec();
    let mut b = Bench::master(c.clone());
    c.vips[0] = wide("10.9.0.3");
    b.answer = false;
    b.event(crate::reload::config(&[c]));
    b.run(Duration::from_millis(1));
    for gone in ["10.9.0.2", "10.8.0.1", "10.9.0.1"] {
        b.kernel.retain(|a| a.addr != ip(gone));
        b.event(Event::Net(NetEv::AddrDel { ifindex: ETH0, addr: ip(gone), prefix: 24, by: None }));
    }
    b.run(Duration::from_millis(10));
    assert_eq!(b.logged("10.9.0.2/24 went from eth0 together with 10.9.0.1"), 1, "{:?}", b.log);
    // One of another subnet was removed by another program.
    assert_eq!(b.logged("10.8.0.1/24 was removed from eth0 by another program"), 1, "{:?}", b.log);
    assert_eq!((b.logged("by another program"), b.view().stats.restored), (1, 1));
}
