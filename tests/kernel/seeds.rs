//! The pairs of configuration files from well-known tutorials, unchanged, with the programs that they were written for: what their
//! authors describe must happen.
//!
//! The files are those of `tests/config/seed`. One thing is corrected, where an author's file cannot work in any daemon: the space in
//! `virtual _ipaddress` is removed. Read first: `../lab/node.rs`.

use crate::lab::node::{Node, stop};
use crate::lab::{IFACE, Lab, have, skip, until_true};

/// The system's directories that a node has its own version of.
const OVER: &[&str] = &["/etc/keepalived", "/usr/local/src", "/var/log", "/srv"];

fn seed(name: &str) -> String {
    let path = format!("{}/tests/config/seed/{name}.conf", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).expect("the seed is there").replace("virtual _ipaddress", "virtual_ipaddress")
}

/// A node with the interface and the address that the author's machine had.
fn machine(lab: &Lab, name: &str, n: u8, interface: &str, addr: &str) -> Node {
    let host = lab.bare_host(name, n);
    host.script(&format!(
        "ip link set {IFACE} down; ip link set {IFACE} name {interface} 2>/dev/null || true
         ip link set {interface} up; ip addr add {addr}/24 dev {interface}"
    ));
    lab.node(host, OVER)
}

fn missing(programs: &[&str]) -> Option<String> {
    programs.iter().find(|p| !have(p)).map(|p| format!("{p} is not installed"))
}

fn nginx(node: &Node) {
    node.write(
        "/srv/nginx.conf",
        "pid /srv/nginx.pid; error_log /srv/error.log; user root;\nevents { }\nhttp { access_log off; server { listen 80; } }\n",
        0o644,
    );
    node.sh("nginx -c /srv/nginx.conf");
}

const NGINX_CHECK: &str = "#!/bin/bash
if [ $(ps -C nginx --no-header | wc -l) -eq 0 ]; then
    exit 1
fi
";

/// The two machines of the first document, nginx running on both.
fn nginx_pair(test: &str) -> Option<(Lab, Node, Node)> {
    if let Some(why) = missing(&["nginx", "killall", "ps"]) {
        skip(test, &why);
        return None;
    }
    let lab = Lab::new(test)?;
    let [a, b] = [("a", 129), ("b", 131)].map(|(name, n)| machine(&lab, name, n, "ens33", &format!("192.168.1.{n}")));
    for node in [&a, &b] {
        node.write("/usr/local/src/nginx_check.sh", NGINX_CHECK, 0o755);
        nginx(node);
    }
    Some((lab, a, b))
}

/// Where exactly one of two has an address.
fn moves_to(address: &str, to: &Node, from: &Node) {
    until_true(&format!("{address} on {} only", to.name), || to.holds(address) && !from.holds(address));
}

#[test]
fn nginx_with_a_check_script_and_weight() {
    let Some((lab, a, b)) = nginx_pair("seed 001, master and slave") else { return };
    let slave = lab.start_on(&b, &seed("seed-001-masterslave-backup"));
    let master = lab.start_on(&a, &seed("seed-001-masterslave-master"));
    moves_to("192.168.1.233", &a, &b);

    a.sh("nginx -c /srv/nginx.conf -s stop");
    moves_to("192.168.1.233", &b, &a);
    assert!(master.log().contains("Changing effective priority from 100 to 80"), "{}", master.log());
    assert!(master.log().contains("VRRP_Script(chk_http_port) failed"), "{}", master.log());
    nginx(&a);
    moves_to("192.168.1.233", &a, &b);

    // "Stop keepalived on the master, the address moves; start it, it comes back."
    assert_eq!(stop(master).0, Some(0));
    moves_to("192.168.1.233", &b, &a);
    let master = lab.start_on(&a, &seed("seed-001-masterslave-master"));
    moves_to("192.168.1.233", &a, &b);
    assert_eq!((stop(master).0, stop(slave).0), (Some(0), Some(0)));
}

#[test]
fn nginx_dual_master() {
    let Some((lab, a, b)) = nginx_pair("seed 001, dual Master") else { return };
    let on_a = lab.start_on(&a, &seed("seed-001-dualmaster-129"));
    let on_b = lab.start_on(&b, &seed("seed-001-dualmaster-131"));
    moves_to("192.168.1.233", &a, &b);
    moves_to("192.168.1.244", &b, &a);
    a.sh("nginx -c /srv/nginx.conf -s stop");
    moves_to("192.168.1.233", &b, &a);
    moves_to("192.168.1.244", &b, &a);
    nginx(&a);
    moves_to("192.168.1.233", &a, &b);
    moves_to("192.168.1.244", &b, &a);
    assert_eq!(stop(on_b).0, Some(0));
    moves_to("192.168.1.244", &a, &b);
    assert_eq!(stop(on_a).0, Some(0));
}

/// Debian's Apache under the name the author's distribution gives it.
fn httpd(node: &Node) {
    let modules = "/usr/lib/apache2/modules";
    node.write(
        "/srv/httpd.conf",
        &format!(
            "ServerRoot /srv\nServerName node\nPidFile /srv/httpd.pid\nErrorLog /srv/error.log\nListen 80\nDefaultRuntimeDir /srv\n\
             LoadModule mpm_event_module {modules}/mod_mpm_event.so\nLoadModule authz_core_module {modules}/mod_authz_core.so\n\
             User www-data\nGroup www-data\n"
        ),
        0o644,
    );
    node.sh("cp /usr/sbin/apache2 /srv/httpd; /srv/httpd -f /srv/httpd.conf");
}

fn no_httpd(node: &Node) {
    node.sh("killall httpd");
    until_true("the end of httpd", || {
        !node.inside("killall").args(["-0", "httpd"]).output().is_ok_and(|o| o.status.success())
    });
}

fn notify_script(state: &str) -> String {
    format!(
        "#!/bin/bash\nLOGFILE=\"/var/log/keepalived-state.log\"\necho \"[{state}]\" >> $LOGFILE\ndate >> $LOGFILE\n"
    )
}

/// States in the log that the notify scripts write.
fn told(node: &Node) -> Vec<String> {
    let text = node.read("/var/log/keepalived-state.log");
    text.lines().filter(|l| l.starts_with('[')).map(str::to_owned).collect()
}

fn await_told(node: &Node, want: &[&str]) {
    until_true(&format!("{} to be told {want:?}, has {:?}", node.name, told(node)), || told(node) == want);
}

#[test]
fn httpd_with_killall_and_three_notify_scripts() {
    const TEST: &str = "seed 002, httpd";
    if let Some(why) = missing(&["apache2", "killall"]) {
        return skip(TEST, &why);
    }
    let Some(lab) = Lab::new(TEST) else { return };
    let a = machine(&lab, "a", 128, "ens32", "192.168.0.128");
    let b = machine(&lab, "b", 129, "ens32", "192.168.0.129");
    for node in [&a, &b] {
        for (file, state) in [("master", "Master"), ("backup", "Backup"), ("fault", "Fault")] {
            node.write(&format!("/etc/keepalived/{file}.sh"), &notify_script(state), 0o755);
        }
        httpd(node);
    }
    let on_a = lab.start_on(&a, &seed("seed-002-httpd-master"));
    moves_to("192.168.0.130", &a, &b);
    await_told(&a, &["[Backup]", "[Master]"]);
    let on_b = lab.start_on(&b, &seed("seed-002-httpd-backup"));
    await_told(&b, &["[Backup]"]);

    no_httpd(&a);
    moves_to("192.168.0.130", &b, &a);
    await_told(&a, &["[Backup]", "[Master]", "[Fault]"]);
    await_told(&b, &["[Backup]", "[Master]"]);
    // An instance whose state is MASTER has no nopreempt, as in keepalived 2.x: it takes the address back.
    httpd(&a);
    moves_to("192.168.0.130", &a, &b);
    await_told(&a, &["[Backup]", "[Master]", "[Fault]", "[Backup]", "[Master]"]);
    await_told(&b, &["[Backup]", "[Master]", "[Backup]"]);
    assert_eq!((stop(on_a).0, stop(on_b).0), (Some(0), Some(0)));
}

#[test]
fn the_mutual_pair() {
    let Some(lab) = Lab::new("seed 003, mutual") else { return };
    let a = machine(&lab, "a", 126, "eth0", "10.10.10.126");
    let b = machine(&lab, "b", 127, "eth0", "10.10.10.127");
    let on_a = lab.start_on(&a, &seed("seed-003-mutual-126"));
    let on_b = lab.start_on(&b, &seed("seed-003-mutual-127"));
    moves_to("10.10.10.129", &a, &b);
    moves_to("10.10.10.130", &b, &a);
    assert_eq!(stop(on_b).0, Some(0));
    moves_to("10.10.10.130", &a, &b);
    let on_b = lab.start_on(&b, &seed("seed-003-mutual-127"));
    moves_to("10.10.10.130", &b, &a);
    assert_eq!((stop(on_a).0, stop(on_b).0), (Some(0), Some(0)));
}
