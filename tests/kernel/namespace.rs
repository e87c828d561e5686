//! `net_namespace` and `net_namespace_ipvs`: kalived is started in one network namespace and runs in another.
//!
//! Read first: `../lab/mod.rs`. The namespaces of the lab's hosts get names for it, as `ip netns` keeps them.

use crate::lab::daemon::{Conf, Program, State, VIP, stand_in};
use crate::lab::{Host, Lab, have, skip, until_true};
use std::process::Command;

/// A name of a host's network namespace, for as long as it lives.
struct Name(String);

impl Name {
    fn of(host: &Host, name: &str) -> Name {
        let name = format!("kalived-{name}-{}", std::process::id());
        ip(&["netns", "attach", &name, &host.pid().to_string()]);
        Name(name)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        ip(&["netns", "delete", &self.0]);
    }
}

fn ip(words: &[&str]) {
    let out = Command::new("ip").args(words).output().expect("ip was found by missing()");
    assert!(out.status.success() || std::thread::panicking(), "ip {words:?}: {}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn kalived_runs_in_the_network_namespace_that_the_file_names() {
    if stand_in() {
        return skip("net_namespace", "only kalived is tested");
    }
    let Some(lab) = Lab::new("net_namespace") else { return };
    let (elsewhere, here) = (lab.host("elsewhere", 20), lab.host("here", 30));
    let name = Name::of(&elsewhere, "router");
    let text = format!("net_namespace {}\n{}", name.0, Conf::v3(150).text());
    let daemon = lab.start_program(Program::Kalived, &here, &text);
    daemon.await_state(State::Master);
    until_true("the address", || elsewhere.holds(VIP));
    assert!(!here.holds(VIP), "the namespace in which it was started has nothing");
    for pid in daemon.pids() {
        let of = |pid: u32| std::fs::read_link(format!("/proc/{pid}/ns/net")).expect("it runs");
        assert_eq!(of(pid), of(elsewhere.pid()), "process {pid}");
    }
    // The same file, and one of another namespace.
    daemon.signal("HUP");
    until_true("a reload", || daemon.lines_with("Reloaded:").len() == 1);
    std::fs::write(daemon.conf(), Conf::v3(140).text()).expect("the lab's directory is writable");
    daemon.signal("HUP");
    daemon.await_line("net_namespace changed; restart kalived");
    // An upgrade reads the file, too.
    let (code, text) = crate::guard::ask(&daemon, "upgrade");
    assert!(code == Some(1) && text.contains("net_namespace changed; restart kalived"), "{code:?} {text}");
    assert!(elsewhere.holds(VIP) && !here.holds(VIP));
    let (code, log) = daemon.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(!elsewhere.holds(VIP), "{log}");
}

#[test]
fn a_network_namespace_that_is_not_there_is_named_and_nothing_starts() {
    if stand_in() {
        return skip("no net_namespace", "only kalived is tested");
    }
    let Some(lab) = Lab::new("no_net_namespace") else { return };
    let host = lab.host("host", 20);
    for (name, want) in [
        ("kalived-none", "network namespace kalived-none does not exist: `ip netns add kalived-none` makes it"),
        ("../kalived", "network namespace ../kalived: this is no name of a network namespace"),
    ] {
        let text = format!("net_namespace {name}\n{}", Conf::v3(150).text());
        let mut daemon = lab.start_program(Program::Kalived, &host, &text);
        assert_eq!(daemon.await_exit().code(), Some(1), "{}", daemon.log());
        assert!(daemon.log().contains(want), "{}", daemon.log());
        assert!(!host.holds(VIP));
    }
}

#[test]
fn virtual_servers_stand_in_the_network_namespace_that_the_file_names_for_them() {
    if stand_in() || !have("ipvsadm") {
        return skip("net_namespace_ipvs", "it needs kalived and ipvsadm");
    }
    let Some(lab) = Lab::new("net_namespace_ipvs") else { return };
    let (director, router) = (lab.host("director", 20), lab.host("router", 30));
    if !director.output("ipvsadm -Ln").status.success() {
        return skip("net_namespace_ipvs", "this kernel has no IPVS");
    }
    let name = Name::of(&director, "ipvs");
    let servers = "virtual_server 10.77.2.1 80 {\n lb_algo rr\n lb_kind NAT\n protocol TCP\n real_server 10.77.0.11 8080 { weight 3 }\n}\n";
    let text = format!("net_namespace_ipvs {}\n{servers}{}", name.0, Conf::v3(150).text());
    let daemon = lab.start_program(Program::Kalived, &router, &text);
    daemon.await_state(State::Master);
    let has = |host: &Host| host.run("ipvsadm -Ln").contains("10.77.0.11:8080");
    until_true("the virtual server", || has(&director));
    assert!(!has(&router) && router.holds(VIP) && !director.holds(VIP));
    let (code, log) = daemon.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(!has(&director), "{log}");
}
