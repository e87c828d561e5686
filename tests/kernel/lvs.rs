//! Virtual servers in a real IPVS table, compared with Debian's keepalived with the same file: `ipvsadm -Ln` prints the same for both.
//!
//! These tests need a kernel with IPVS; `scripts/test vm61` has one. Read first: `../lab/mod.rs`.

use crate::guard::{kill, role, running};
use crate::lab::daemon::{Conf, Daemon, Program, State, VIP, stand_in};
use crate::lab::{Host, Lab, Owned, have, pause, skip, until, until_true};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

/// A lab with one host, if the programs and IPVS are there.
pub fn lab(test: &str) -> Option<(Lab, Host)> {
    if stand_in() {
        return None;
    }
    for program in ["ipvsadm", "keepalived"] {
        if !have(program) {
            skip(test, &format!("{program} is not installed"));
            return None;
        }
    }
    let lab = Lab::new(test)?;
    let host = lab.host("director", 20);
    if !host.output("ipvsadm -Ln").status.success() {
        skip(test, "this kernel has no IPVS");
        return None;
    }
    Some((lab, host))
}

/// The table, without its counters.
pub fn table(host: &Host) -> Vec<String> {
    let text = host.run("ipvsadm -Ln");
    let head =
        |l: &&str| !l.starts_with("IP Virtual") && !l.starts_with("Prot ") && !l.trim_start().starts_with("-> Remote");
    text.lines()
        .filter(head)
        .map(|l| {
            let words: Vec<&str> = l.split_whitespace().collect();
            // -> address forwarding weight active inactive
            let kept = if words.first() == Some(&"->") { words.len().min(4) } else { words.len() };
            words[..kept].join(" ")
        })
        .collect()
}

/// [`until`] the table is `want`, in any order. Each look starts a few processes, which are much work for an emulated machine: it has
/// only some each second.
pub fn reach(host: &Host, step: &str, want: &[String]) {
    until(&format!("{step}: {want:#?}"), || {
        let there = sorted(table(host)) == want;
        if !there {
            pause(400);
        }
        there.then_some(())
    });
}

pub fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

/// Debian's keepalived, its checkers too.
pub fn keepalived(lab: &Lab, host: &Host, text: &str) -> (Owned, std::path::PathBuf) {
    let conf = lab.path("keepalived.conf");
    std::fs::write(&conf, text).expect("the lab's directory is writable");
    let pid = lab.path("keepalived.pid");
    let log = std::fs::File::create(lab.path("keepalived.log")).expect("the lab's directory is writable");
    let suffix = |s: &str| format!("{}.{s}", pid.display());
    let child = host
        .command("keepalived")
        // Without syslog: where no daemon listens, each line would go to the console.
        .args(["-n", "-l", "-G", "-D", "-f"])
        .arg(&conf)
        .args(["-p", &pid.display().to_string(), "-r", &suffix("vrrp"), "-c", &suffix("check")])
        .stdout(Stdio::from(log.try_clone().expect("a file handle can be cloned")))
        .stderr(Stdio::from(log))
        .spawn()
        .expect("it is installed");
    (Owned(child), conf)
}

pub fn end(mut daemon: Owned) {
    let pid = daemon.0.id().to_string();
    std::process::Command::new("kill").arg(&pid).status().expect("kill runs");
    until("keepalived to end", || daemon.0.try_wait().expect("it is our child"));
}

/// kalived with this file, and a virtual router beside the virtual servers.
pub fn kalived(lab: &Lab, host: &Host, text: &str) -> Daemon {
    lab.start_program(Program::Kalived, host, &with_router(text))
}

fn with_router(text: &str) -> String {
    format!(
        "{text}
vrrp_instance VI_1 {{
  interface eth0
  virtual_router_id 51
  virtual_ipaddress {{
    198.18.0.200/32
  }}
}}
"
    )
}

/// Every kind of service, and every way to a server. No checks: all servers take part.
const ALL_KINDS: &str = "
virtual_server_group web {
  10.77.1.1-3 80
  10.77.1.9 443
  fwmark 7
}
virtual_server group web {
  lb_algo sh
  sh-port
  sh-fallback
  lb_kind DR
  protocol TCP
  real_server 10.77.0.11 { weight 1 }
  real_server 10.77.0.12 { weight 2 }
}
virtual_server 10.77.2.1 80 {
  lb_algo wrr
  lb_kind NAT
  persistence_timeout 50
  persistence_granularity 255.255.255.0
  protocol TCP
  real_server 10.77.0.11 8080 { weight 3 }
  real_server 10.77.0.12 8081 { weight 0 }
}
virtual_server 10.77.2.1 53 {
  lb_algo rr
  lb_kind TUN
  ops
  protocol UDP
  real_server 10.77.0.11 53 { weight 1 }
  real_server fd77::11 53 { weight 1 }
}
virtual_server fwmark 9 {
  lb_algo wlc
  lb_kind DR
  ip_family inet
  real_server 10.77.0.11 { weight 1 uthreshold 100 lthreshold 10 }
}
virtual_server fd77::1 80 {
  lb_algo lc
  lb_kind DR
  persistence_timeout 300
  persistence_granularity 64
  protocol TCP
  real_server fd77::11 80 { weight 1 }
}
";

// The test writes one block in a line; keepalived needs a line for each statement.
fn all_kinds() -> String {
    let text = ALL_KINDS
        .replace("{ weight", "{\n weight")
        .replace(" uthreshold", "\n uthreshold")
        .replace(" lthreshold", "\n lthreshold");
    let lines = text.lines().map(|l| l.strip_suffix(" }").map_or(l.to_owned(), |l| format!("{l}\n }}")));
    lines.collect::<Vec<_>>().join("\n")
}

/// Lines of the table of [`ALL_KINDS`].
const ALL_LINES: usize = 5 + 10 + 3 + 3 + 2 + 2;

#[test]
fn every_kind_of_service_stands_in_the_table_as_under_keepalived() {
    let Some((lab, host)) = lab("every_kind_of_service_stands_in_the_table_as_under_keepalived") else { return };
    let text = all_kinds();
    let (daemon, _) = keepalived(&lab, &host, &text);
    until_true("keepalived's table", || {
        pause(200);
        table(&host).len() == ALL_LINES
    });
    let mut want = table(&host);
    end(daemon);
    reach(&host, "keepalived has ended", &[]);
    host.run("ipvsadm -A -t 10.99.0.1:80 -s rr");
    let foreign = "TCP 10.99.0.1:80 rr";
    want.push(foreign.to_owned());
    let daemon = kalived(&lab, &host, &text);
    reach(&host, "the table that keepalived makes", &sorted(want.clone()));
    // Another weight: this entry and no other.
    std::fs::write(daemon.conf(), with_router(&text.replace("weight 3", "weight 4"))).expect("writable");
    daemon.signal("HUP");
    let old = want.iter_mut().find(|l| l.ends_with("10.77.0.11:8080 Masq 3")).expect("it is in the table");
    *old = old.replace("Masq 3", "Masq 4");
    reach(&host, "another weight", &sorted(want));
    let (code, log) = daemon.stop();
    assert_eq!(code, Some(0), "log:\n{log}");
    assert_eq!(table(&host), [foreign], "what is not ours stays");
}

#[test]
fn where_no_core_is_left_the_services_of_the_file_are_removed_and_no_other() {
    let Some((lab, host)) = lab("lvs: no core") else { return };
    host.run("ipvsadm -A -t 10.77.9.9:80 -s rr");
    let foreign = ["TCP 10.77.9.9:80 rr".to_owned()];
    let daemon = kalived(&lab, &host, &all_kinds());
    until_true("the services", || table(&host).len() > 10);
    let core = running(&daemon, "--core");
    kill(core);
    daemon.await_line("going on with the snapshot");
    kill(until("another core", || role(&daemon, "--core").filter(|c| *c != core)));
    daemon.await_line("to limit respawn rate");
    assert!(table(&host).len() > 10, "the next core would adopt them");
    let (code, log) = daemon.stop();
    assert_eq!(code, Some(0), "log:\n{log}");
    assert_eq!(table(&host), foreign, "log:\n{log}");
}

#[test]
fn what_another_program_changes_in_the_table_is_put_right() {
    let Some((lab, host)) = lab("what_another_program_changes_in_the_table_is_put_right") else { return };
    let daemon = kalived(&lab, &host, &all_kinds());
    until_true("the table", || {
        pause(200);
        table(&host).len() == ALL_LINES
    });
    let want = sorted(table(&host));
    host.run("ipvsadm -D -t 10.77.1.2:80");
    host.run("ipvsadm -d -t 10.77.2.1:80 -r 10.77.0.11:8080");
    host.run("ipvsadm -e -t 10.77.1.1:80 -r 10.77.0.12 -g -w 77");
    host.run("ipvsadm -E -f 9 -s rr");
    assert_ne!(sorted(table(&host)), want);
    // The table is read every 30 s.
    pause(25_000);
    reach(&host, "the table is put right", &want);
    daemon.await_line("VS [web]:0 was removed from the IPVS table by another program");
    let (code, log) = daemon.stop();
    assert_eq!(code, Some(0), "log:\n{log}");
    assert!(table(&host).is_empty());
}

/// Answers requests, and closes connections without one, until it is killed.
const SERVES: &str = "
import socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((sys.argv[1], 80))
s.listen(64)
print('listening', flush=True)
while True:
    c = s.accept()[0]
    c.settimeout(1)
    try:
        if c.recv(4096):
            c.sendall(b'HTTP/1.0 200 OK\\r\\nContent-Length: 3\\r\\n\\r\\nok\\n')
    except OSError:
        pass
    c.close()
";

pub fn backend(host: &Host, addr: &str) -> Owned {
    let mut python = host.command("python3");
    let child = python.args(["-c", SERVES, addr]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = child.expect("the lab has python3");
    let mut line = String::new();
    let said = BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line);
    assert!(said.is_ok() && line == "listening\n", "a server on {addr} says {line:?}");
    Owned(child)
}

/// As in tutorials: direct routing with HTTP_GET and a sorry server, address translation by weight with persistence, and services by
/// the mark of a packet. One check a second, one retry after a second.
fn taught(hook: &str) -> String {
    let servers = |weights: [u32; 2], check: &str| {
        let one = |(n, weight)| format!("  real_server 198.18.0.{n} 80 {{\n    weight {weight}\n{check}  }}\n");
        [(111, weights[0]), (112, weights[1])].map(one).concat()
    };
    let tcp = "    TCP_CHECK {\n      connect_timeout 1\n      connect_port 80\n    }\n";
    let http = "    HTTP_GET {\n      url {\n        path /\n        status_code 200\n      }\n      connect_timeout 1\n      \
                retry 1\n      delay_before_retry 1\n    }\n";
    let begin = "  delay_loop 1\n  warmup 0\n  protocol TCP\n";
    format!(
        "global_defs {{
  script_user root
}}
virtual_server 10.77.3.1 80 {{
{begin}  lb_algo rr
  lb_kind DR
  sorry_server 198.18.0.116 80
{}}}
virtual_server 10.77.3.2 80 {{
{begin}  lb_algo wrr
  lb_kind NAT
  persistence_timeout 50
  inhibit_on_failure
{}}}
virtual_server fwmark 5 {{
{begin}  lb_algo wlc
  lb_kind DR
  quorum_up \"{hook} up\"
  quorum_down \"{hook} down\"
{}}}
",
        servers([1, 1], http),
        servers([3, 2], tcp),
        servers([1, 1], tcp),
    )
}

/// The direct service, the one with address translation, the one of a mark: what is behind them.
fn behind(direct: &[&str], nat: &[&str], mark: &[&str]) -> Vec<String> {
    let lines = |of: &str, how: &str, port: u16, all: &[&str]| {
        let mut lines = vec![of.to_owned()];
        lines.extend(all.iter().map(|s| {
            let (host, weight) = s.split_once(' ').expect("host and weight");
            format!("-> 198.18.0.{host}:{port} {how} {weight}")
        }));
        lines
    };
    let all = [
        lines("TCP 10.77.3.1:80 rr", "Route", 80, direct),
        lines("TCP 10.77.3.2:80 wrr persistent 50", "Masq", 80, nat),
        lines("FWM 5 wlc", "Route", 0, mark),
    ];
    sorted(all.concat())
}

/// Backends die and come back: the table at each step, for both programs; and the hooks, in order.
fn through_all_steps(lab: &Lab, director: &Host, who: &str) -> Option<Daemon> {
    let far = lab.host("backends", 30);
    for n in [111, 112, 116] {
        far.run(&format!("ip addr add 198.18.0.{n}/16 dev eth0"));
    }
    let (hook, said) = (lab.path("hook"), lab.path("hooks"));
    std::fs::write(&hook, format!("#!/bin/sh\necho \"$1\" >>{}\n", said.display())).expect("writable");
    director.run(&format!("chmod 755 {}", hook.display()));
    let text = taught(&hook.display().to_string());
    let (a, b) = (backend(&far, "198.18.0.111"), backend(&far, "198.18.0.112"));
    let (ours, theirs) = match who {
        "kalived" => (Some(kalived(lab, director, &text)), None),
        _ => (None, Some(keepalived(lab, director, &text).0)),
    };
    let all = behind(&["111 1", "112 1"], &["111 3", "112 2"], &["111 1", "112 1"]);
    reach(director, "start", &all);
    // Every check has been made.
    pause(4000);
    assert_eq!(sorted(table(director)), all, "all answer");
    drop(a);
    reach(director, "one is dead", &behind(&["112 1"], &["111 0", "112 2"], &["112 1"]));
    drop(b);
    reach(director, "all are dead", &behind(&["116 1"], &["111 0", "112 0"], &[]));
    let a = backend(&far, "198.18.0.111");
    reach(director, "one is back", &behind(&["111 1"], &["111 3", "112 0"], &["111 1"]));
    let b = backend(&far, "198.18.0.112");
    reach(director, "all are back", &all);
    let hooks = || std::fs::read_to_string(&said).unwrap_or_default();
    until("the hooks", || (hooks() == "up\ndown\nup\n").then_some(()));
    drop((a, b));
    if let Some(daemon) = theirs {
        end(daemon);
    }
    ours
}

#[test]
fn backends_that_die_and_come_back_change_the_table_under_keepalived() {
    let Some((lab, host)) = lab("backends_that_die_and_come_back_change_the_table_under_keepalived") else { return };
    through_all_steps(&lab, &host, "keepalived");
    reach(&host, "keepalived has ended", &[]);
}

#[test]
fn backends_that_die_and_come_back_change_the_table_in_the_same_way() {
    let Some((lab, host)) = lab("backends_that_die_and_come_back_change_the_table_in_the_same_way") else { return };
    let daemon = through_all_steps(&lab, &host, "kalived").expect("it runs");
    let log = daemon.log();
    for line in [
        "TCP_CHECK on service [198.18.0.111]:tcp:80 failed after 1 retries.",
        "HTTP_CHECK on service [198.18.0.111]:tcp:80 failed after 1 retries.",
        "Removing service [198.18.0.111]:tcp:80 from VS [10.77.3.1]:tcp:80",
        "Disabling service [198.18.0.112]:tcp:80 of VS [10.77.3.2]:tcp:80",
        "Lost quorum 1-0=1 > 0 for VS [10.77.3.1]:tcp:80",
        "Adding sorry server [198.18.0.116]:tcp:80 to VS [10.77.3.1]:tcp:80",
        "Lost quorum 1-0=1 > 0 for VS FWM 5",
    ] {
        assert!(log.contains(line), "{line}\n{log}");
    }
    let (code, log) = daemon.stop();
    assert_eq!(code, Some(0), "log:\n{log}");
    assert!(table(&host).is_empty());
}

/// Prints the answer of the server behind the address; not 0: there is none.
const ASKS: &str = "
import socket, sys
s = socket.create_connection((sys.argv[1], 80), 2)
s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')
sys.exit(0 if b' 200 ' in s.recv(100) else 1)
";

#[test]
fn after_a_master_is_killed_the_other_node_serves_its_clients() {
    let Some((lab, a)) = lab("after_a_master_is_killed_the_other_node_serves_its_clients") else { return };
    let (b, client, server) = (lab.host("b", 30), lab.host("client", 40), lab.host("server", 50));
    // As direct routing needs it: the server has the address and does not answer ARP for it.
    server.run("sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2");
    server.run(&format!("ip addr add {VIP}/32 dev lo"));
    let _serves = backend(&server, "0.0.0.0");
    let servers = format!(
        "virtual_server {VIP} 80 {{\n  delay_loop 1\n  warmup 0\n  lb_algo rr\n  lb_kind DR\n  protocol TCP\n  real_server {} 80 {{\n    \
         weight 1\n    TCP_CHECK {{\n      connect_timeout 1\n    }}\n  }}\n}}\n",
        server.v4()
    );
    let start = |host: &Host, mut conf: Conf| {
        conf.global = "    lvs_sync_daemon eth0 VI_1\n".to_owned();
        lab.start_program(Program::Kalived, host, &(conf.text() + &servers))
    };
    // The thread that sends connections, or the one that receives them.
    let syncs = |host: &Host, role: &str| {
        until_true(&format!("{role} sync daemon"), || {
            pause(200);
            let there = host.run("ipvsadm -L --daemon");
            let words = format!("{role} sync daemon (mcast=eth0, syncid=51");
            there.lines().count() == 1 && there.starts_with(&words)
        });
    };
    let master = start(&a, Conf::v2(150));
    master.await_state(State::Master);
    let backup = start(&b, Conf::v2(100));
    backup.await_state(State::Backup);
    let want = [format!("-> {}:80 Route 1", server.v4()), format!("TCP {VIP}:80 rr")];
    for host in [&a, &b] {
        reach(host, "the table is there before it is needed", &want);
    }
    syncs(&a, "master");
    syncs(&b, "backup");
    let asks = || {
        pause(200);
        client.command("python3").args(["-c", ASKS, VIP]).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
    };
    until_true("the client to be served", asks);
    master.kill9();
    backup.await_state(State::Master);
    until_true("the client to be served by the other node", asks);
    assert!(b.holds(VIP));
    assert_eq!(sorted(table(&b)), want);
    syncs(&b, "master");
    let (code, log) = backup.stop();
    assert_eq!(code, Some(0), "log:\n{log}");
    assert_eq!(b.run("ipvsadm -L --daemon"), "", "it takes the thread along");
}

/// Groups by mark (`nftables_ipvs`): single addresses, ranges, both families, two protocols; a member of the file's own mark.
const GROUPS: &str = "
global_defs {
  nftables_ipvs
  nftables_counters
}
virtual_server_group web {
  10.77.1.1 80
  10.77.1.2-5 80
  10.77.2.1 443
}
virtual_server_group both {
  10.77.3.1 80
  fd77::10-1f 80
}
virtual_server_group own {
  10.77.4.1 80
  fwmark 7
}
virtual_server group web {
  lb_algo rr
  lb_kind NAT
  protocol TCP
  persistence_timeout 50
  real_server 10.77.0.11 8080 {
    weight 1
  }
}
virtual_server group web {
  lb_algo rr
  lb_kind DR
  protocol UDP
  real_server 10.77.0.11 80 {
    weight 1
  }
}
virtual_server group both {
  lb_algo rr
  lb_kind TUN
  protocol TCP
  real_server 10.77.0.11 80 {
    weight 1
  }
}
virtual_server group own {
  lb_algo rr
  lb_kind DR
  protocol TCP
  real_server 10.77.0.11 80 {
    weight 1
  }
}
";

/// What a ruleset marks: maps, rules and elements, without the tables' comments. The kernel lists elements in any order.
fn marking(host: &Host) -> Vec<String> {
    let text = host.run("nft list ruleset");
    let lines = text.lines().filter(|l| !l.contains("comment"));
    let pieces = lines.flat_map(|l| l.split([',', '{', '}'])).map(|p| p.trim().to_owned());
    sorted(pieces.filter(|p| !p.is_empty()).collect())
}

#[test]
fn groups_by_mark_are_the_services_and_the_rules_that_keepalived_makes() {
    let Some((lab, host)) = lab("groups_by_mark_are_the_services_and_the_rules_that_keepalived_makes") else { return };
    if !have("nft") {
        return skip("groups_by_mark_are_the_services_and_the_rules_that_keepalived_makes", "nft is not installed");
    }
    let (daemon, _) = keepalived(&lab, &host, GROUPS);
    // Four services by an allotted mark and two of the group with a mark of its own, each with a server.
    let all = |host: &Host| table(host).len() == 2 * (4 + 2);
    until_true("keepalived's table", || {
        pause(200);
        all(&host)
            && host.run("nft list ruleset").contains("tcp_map return")
                | host.run("nft list ruleset").contains("tcp_map counter")
    });
    let (services, rules) = (sorted(table(&host)), marking(&host));
    end(daemon);
    reach(&host, "keepalived has ended", &[]);
    host.run("nft flush ruleset");
    let daemon = kalived(&lab, &host, GROUPS);
    reach(&host, "the services that keepalived makes", &services);
    until_true(&format!("keepalived's rules: {rules:#?}\n{:#?}", marking(&host)), || {
        pause(200);
        marking(&host) == rules
    });
    let (code, log) = daemon.stop();
    assert_eq!(code, Some(0), "log:\n{log}");
    assert_eq!((table(&host), host.run("nft list ruleset")), (Vec::new(), String::new()));
}

/// Connections so far of each destination that has had some: `ipvsadm -Ln --stats`.
fn counted(host: &Host) -> Vec<(String, u64)> {
    let text = host.run("ipvsadm -Ln --stats --exact");
    let one = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let count = words.get(2)?.parse().ok().filter(|n| *n > 0)?;
        (words.first() == Some(&"->")).then(|| (words.get(1).copied().unwrap_or_default().to_owned(), count))
    };
    text.lines().filter_map(one).collect()
}

/// Asks the service `$1` `$2` times.
const ASKS_OFTEN: &str = "
import socket, sys
for n in range(int(sys.argv[2])):
    s = socket.create_connection((sys.argv[1], 80), 5)
    s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')
    if b' 200 ' not in s.recv(100):
        sys.exit(1)
    s.close()
";

/// A client behind the director, whose answers come back through it, as address translation needs it.
fn client_and_backends(lab: &Lab, director: &Host) -> (Host, Host) {
    director
        .run("sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.eth0.send_redirects=0");
    let (client, far) = (lab.host("client", 40), lab.host("backends", 30));
    client.run(&format!("ip route add 10.77.0.0/16 via {}", director.v4()));
    far.run(&format!("ip route add {}/32 via {}", client.v4(), director.v4()));
    far.run("sysctl -qw net.ipv4.conf.all.accept_redirects=0 net.ipv4.conf.eth0.accept_redirects=0");
    (client, far)
}

fn serves(client: &Host, addr: &str, times: u32) {
    until_true(&format!("an answer of {addr}"), || {
        pause(200);
        let mut python = client.command("python3");
        let asks = python.args(["-c", ASKS, addr]).stderr(Stdio::null());
        asks.status().is_ok_and(|s| s.success())
    });
    let mut python = client.command("python3");
    let done = python.args(["-c", ASKS_OFTEN, addr, &times.to_string()]).status();
    assert!(done.is_ok_and(|s| s.success()), "{addr} answers {times} times");
}

#[test]
fn a_reload_that_changes_three_of_300_servers_leaves_the_counters_of_the_others() {
    let Some((lab, host)) = lab("a_reload_that_changes_three_of_300_servers_leaves_the_counters_of_the_others") else {
        return;
    };
    let (client, far) = client_and_backends(&lab, &host);
    let addr = |n: u32| format!("198.18.{}.{}", 100 + n / 100, 1 + n % 100);
    far.script(&(0..300).map(|n| format!("ip addr add {}/16 dev eth0\n", addr(n))).collect::<String>());
    let _serves = backend(&far, "0.0.0.0");
    host.run("ip addr add 10.77.5.1/32 dev lo");
    let text = |changed: u32| {
        let one = |n| {
            let weight = if n % 100 == 50 { changed } else { 1 };
            format!("  real_server {} 80 {{\n    weight {weight}\n  }}\n", addr(n))
        };
        let all: String = (0..300).map(one).collect();
        with_router(&format!("virtual_server 10.77.5.1 80 {{\n  lb_algo rr\n  lb_kind NAT\n  protocol TCP\n{all}}}\n"))
    };
    let daemon = lab.start_program(Program::Kalived, &host, &text(1));
    until_true("all of them", || {
        pause(400);
        table(&host).len() == 301
    });
    serves(&client, "10.77.5.1", 300);
    // The kernel adds its counters up every two seconds.
    let mut before = Vec::new();
    until_true("counters that have come to rest, one for each server", || {
        pause(2500);
        let last = core::mem::replace(&mut before, counted(&host));
        before.len() >= 299 && before == last
    });
    let lines = table(&host);
    std::fs::write(daemon.conf(), text(7)).expect("writable");
    daemon.signal("HUP");
    let changed = || {
        let now = table(&host);
        assert_eq!(now.len(), lines.len(), "none is gone for a moment");
        now.into_iter().filter(|l| !lines.contains(l)).collect::<Vec<_>>()
    };
    until_true("the reload", || {
        pause(400);
        changed().len() == 3
    });
    assert!(changed().iter().all(|l| l.ends_with(" 7")), "{:?}", changed());
    assert_eq!(counted(&host), before, "the counters go on");
    let (code, log) = daemon.stop();
    assert_eq!(code, Some(0), "log:\n{log}");
}

#[test]
fn a_client_goes_through_the_address_and_through_the_mark_to_real_servers() {
    let Some((lab, host)) = lab("a_client_goes_through_the_address_and_through_the_mark_to_real_servers") else {
        return;
    };
    let (client, far) = client_and_backends(&lab, &host);
    far.script("ip addr add 198.18.0.111/16 dev eth0\nip addr add 198.18.0.112/16 dev eth0\n");
    let _serves = backend(&far, "0.0.0.0");
    // As the tutorials have it, with the addresses of this network; the packets to 10.77.6.2 get the mark.
    host.script(
        "ip addr add 10.77.6.1/32 dev lo\nip addr add 10.77.6.2/32 dev lo\nnft add table ip m\n\
         nft add chain ip m c '{ type filter hook prerouting priority mangle; }'\n\
         nft add rule ip m c ip daddr 10.77.6.2 tcp dport 80 meta mark set 5\n",
    );
    let reals = "  real_server 198.18.0.111 80 {\n    weight 3\n    TCP_CHECK {\n      connect_timeout 3\n      connect_port 80\n    }\n  }\n  \
                 real_server 198.18.0.112 80 {\n    weight 2\n    TCP_CHECK {\n      connect_timeout 3\n      connect_port 80\n    }\n  }\n";
    let begin = "  delay_loop 1\n  warmup 0\n  protocol TCP\n  lb_kind NAT\n";
    let text = format!(
        "virtual_server 10.77.6.1 80 {{\n{begin}  lb_algo wrr\n  persistence_timeout 50\n{reals}}}\n\
         virtual_server fwmark 5 {{\n{begin}  lb_algo rr\n{reals}}}\n"
    );
    let daemon = kalived(&lab, &host, &text);
    until_true("both services", || {
        pause(400);
        table(&host).len() == 6
    });
    serves(&client, "10.77.6.1", 9);
    serves(&client, "10.77.6.2", 10);
    let connections = host.run("ipvsadm -Lnc");
    let from_here: Vec<Vec<&str>> = (connections.lines())
        .map(|l| l.split_whitespace().collect())
        .filter(|w: &Vec<&str>| w.len() == 6 && w[3].starts_with(&format!("{}:", client.v4())))
        .collect();
    let behind = |service: &str| {
        let mut all: Vec<&str> = from_here.iter().filter(|w| w[4] == service).map(|w| w[5]).collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    let both = ["198.18.0.111:80", "198.18.0.112:80"];
    let [sticks] = behind("10.77.6.1:80")[..] else { panic!("one client, one server:\n{connections}") };
    assert!(both.contains(&sticks), "{connections}");
    assert_eq!(behind("10.77.6.2:80"), both, "without persistence each in turn:\n{connections}");
    let (code, log) = daemon.stop();
    assert_eq!(code, Some(0), "log:\n{log}");
    assert!(table(&host).is_empty());
}
