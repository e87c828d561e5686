//! Virtual servers in a real IPVS table, beside Debian's keepalived with the same file: `ipvsadm -Ln` says the same of both.
//!
//! Where the kernel has no IPVS nothing of this can run; `scripts/test vm61` has one.

use crate::lab::daemon::{Daemon, Program, stand_in};
use crate::lab::{Host, Lab, Owned, have, skip, until, until_true};
use std::process::Stdio;

/// A lab with one host, where there are the programs and an IPVS.
fn lab(test: &str) -> Option<(Lab, Host)> {
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

/// The table, without what counts.
fn table(host: &Host) -> Vec<String> {
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

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

/// Debian's keepalived, its checkers too.
fn keepalived(lab: &Lab, host: &Host, text: &str) -> (Owned, std::path::PathBuf) {
    let conf = lab.path("keepalived.conf");
    std::fs::write(&conf, text).expect("the lab's directory is writable");
    let pid = lab.path("keepalived.pid");
    let log = std::fs::File::create(lab.path("keepalived.log")).expect("the lab's directory is writable");
    let suffix = |s: &str| format!("{}.{s}", pid.display());
    let child = host
        .command("keepalived")
        .args(["-n", "-l", "-D", "-f"])
        .arg(&conf)
        .args(["-p", &pid.display().to_string(), "-r", &suffix("vrrp"), "-c", &suffix("check")])
        .stdout(Stdio::from(log.try_clone().expect("a file handle can be cloned")))
        .stderr(Stdio::from(log))
        .spawn()
        .expect("it is installed");
    (Owned(child), conf)
}

fn end(mut daemon: Owned) {
    let pid = daemon.0.id().to_string();
    std::process::Command::new("kill").arg(&pid).status().expect("kill runs");
    until("keepalived to end", || daemon.0.try_wait().expect("it is our child"));
}

/// kalived with this file, and a virtual router beside the virtual servers.
fn kalived(lab: &Lab, host: &Host, text: &str) -> Daemon {
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

/// The table that keepalived makes of this file, when it has settled.
fn as_keepalived(lab: &Lab, host: &Host, text: &str, lines: usize) -> Vec<String> {
    let (daemon, _) = keepalived(lab, host, text);
    until_true(&format!("keepalived's {lines} lines"), || table(host).len() == lines);
    let there = sorted(table(host));
    end(daemon);
    until_true("keepalived to leave an empty table", || table(host).is_empty());
    there
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

#[test]
fn a_file_makes_the_table_that_keepalived_makes_and_it_is_kept_so() {
    let Some((lab, host)) = lab("a_file_makes_the_table_that_keepalived_makes_and_it_is_kept_so") else { return };
    // One block a line is our writing; keepalived wants a line each.
    let text = ALL_KINDS
        .replace("{ weight", "{\n weight")
        .replace(" uthreshold", "\n uthreshold")
        .replace(" lthreshold", "\n lthreshold");
    let text = text
        .lines()
        .map(|l| l.strip_suffix(" }").map_or(l.to_owned(), |l| format!("{l}\n }}")))
        .collect::<Vec<_>>()
        .join("\n");
    let lines = 5 + 10 + 3 + 3 + 2 + 2;
    let want = as_keepalived(&lab, &host, &text, lines);
    host.run("ipvsadm -A -t 10.99.0.1:80 -s rr");
    let foreign = "TCP 10.99.0.1:80 rr";
    let ours = |host: &Host| sorted(table(host).into_iter().filter(|l| l != foreign).collect());
    let daemon = kalived(&lab, &host, &text);
    until("the table that keepalived makes", || (ours(&host) == want).then_some(()));
    // What somebody deletes or changes is put right.
    host.run("ipvsadm -D -t 10.77.1.2:80");
    host.run("ipvsadm -d -t 10.77.2.1:80 -r 10.77.0.11:8080");
    host.run("ipvsadm -e -t 10.77.1.1:80 -r 10.77.0.12 -g -w 77");
    host.run("ipvsadm -E -f 9 -s rr");
    assert_ne!(ours(&host), want);
    until("the table to be put right", || (ours(&host) == want).then_some(()));
    daemon.await_line("VS [web]:0 was removed from the IPVS table by another program");
    // Another weight: this entry and no other.
    let text = text.replace("weight 3", "weight 4");
    std::fs::write(daemon.conf(), with_router(&text)).expect("writable");
    daemon.signal("HUP");
    until_true("another weight", || ours(&host).iter().any(|l| l.ends_with("10.77.0.11:8080 Masq 4")));
    let (code, log) = daemon.stop();
    assert_eq!(code, Some(0), "log:\n{log}");
    assert_eq!(table(&host), [foreign], "what is not ours stays");
}

/// Accepts and closes, until it is killed.
const ACCEPTS: &str = "
import socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((sys.argv[1], 80))
s.listen(16)
while True:
    s.accept()[0].close()
";

fn backend(host: &Host, addr: &str) -> Owned {
    let child = host.command("python3").args(["-c", ACCEPTS, addr]).stderr(Stdio::null()).spawn();
    Owned(child.expect("the lab has python3"))
}

/// Checks every second, one retry.
const CHECKED: &str = "
virtual_server 10.77.3.1 80 {
  delay_loop 1
  warmup 0
  lb_algo wrr
  lb_kind DR
  protocol TCP
  sorry_server 198.18.0.116 80
  real_server 198.18.0.111 80 {
    weight 1
    TCP_CHECK {
      connect_timeout 1
    }
  }
  real_server 198.18.0.112 80 {
    weight 2
    TCP_CHECK {
      connect_timeout 1
    }
  }
}
virtual_server 10.77.3.2 80 {
  delay_loop 1
  warmup 0
  lb_algo rr
  lb_kind NAT
  inhibit_on_failure
  protocol TCP
  real_server 198.18.0.111 80 {
    weight 1
    TCP_CHECK {
      connect_timeout 1
    }
  }
  real_server 198.18.0.112 80 {
    weight 2
    TCP_CHECK {
      connect_timeout 1
    }
  }
}
";

#[test]
fn backends_that_die_and_come_back_change_the_table_as_under_keepalived() {
    let Some((lab, host)) = lab("backends_that_die_and_come_back_change_the_table_as_under_keepalived") else { return };
    let far = lab.host("backends", 30);
    for n in [111, 112, 116] {
        far.run(&format!("ip addr add 198.18.0.{n}/16 dev eth0"));
    }
    // The direct service, the one with address translation: what is behind them at each step.
    let both = |direct: &[&str], nat: &[&str]| {
        let lines = |of: &str, how: &str, all: &[&str]| {
            let mut lines = vec![of.to_owned()];
            lines.extend(all.iter().map(|s| {
                let (host, weight) = s.split_once(' ').expect("host and weight");
                format!("-> 198.18.0.{host}:80 {how} {weight}")
            }));
            lines
        };
        sorted([lines("TCP 10.77.3.1:80 wrr", "Route", direct), lines("TCP 10.77.3.2:80 rr", "Masq", nat)].concat())
    };
    let reach = |who: &str, step: &str, want: Vec<String>| {
        until(&format!("{who}: {step}: {want:?}"), || (sorted(table(&host)) == want).then_some(()));
    };
    for who in ["keepalived", "kalived"] {
        let (mut a, b) = (backend(&far, "198.18.0.111"), backend(&far, "198.18.0.112"));
        let mut under_test = None;
        let mut other = None;
        match who {
            "kalived" => under_test = Some(kalived(&lab, &host, CHECKED)),
            _ => other = Some(keepalived(&lab, &host, CHECKED)),
        }
        reach(who, "start", both(&["111 1", "112 2"], &["111 1", "112 2"]));
        // Every check has been made.
        crate::lab::pause(4000);
        reach(who, "all answer", both(&["111 1", "112 2"], &["111 1", "112 2"]));
        drop(a);
        reach(who, "one is dead", both(&["112 2"], &["111 0", "112 2"]));
        drop(b);
        reach(who, "all are dead", both(&["116 1"], &["111 0", "112 0"]));
        a = backend(&far, "198.18.0.111");
        reach(who, "one is back", both(&["111 1"], &["111 1", "112 0"]));
        let b = backend(&far, "198.18.0.112");
        reach(who, "all are back", both(&["111 1", "112 2"], &["111 1", "112 2"]));
        drop((a, b));
        if let Some((daemon, _)) = other {
            end(daemon);
        }
        if let Some(daemon) = under_test {
            let log = daemon.log();
            for line in [
                "TCP_CHECK on service [198.18.0.111]:tcp:80 failed after 1 retries.",
                "Removing service [198.18.0.111]:tcp:80 from VS [10.77.3.1]:tcp:80",
                "Disabling service [198.18.0.112]:tcp:80 of VS [10.77.3.2]:tcp:80",
                "Lost quorum 1-0=1 > 0 for VS [10.77.3.1]:tcp:80",
                "Adding sorry server [198.18.0.116]:tcp:80 to VS [10.77.3.1]:tcp:80",
            ] {
                assert!(log.contains(line), "{line}\n{log}");
            }
            let (code, log) = daemon.stop();
            assert_eq!(code, Some(0), "log:\n{log}");
        }
        until_true(&format!("{who} to leave an empty table"), || table(&host).is_empty());
    }
}
