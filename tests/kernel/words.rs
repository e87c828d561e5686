//! Smaller keywords on a real kernel: names of processes, flags of addresses, interfaces that static addresses need, delays of links.
//!
//! Read first: `../lab/mod.rs`.

use crate::guard::{ask, running};
use crate::lab::daemon::{Conf, Program, State, stand_in, under_test};
use crate::lab::{Host, Lab, have, pause, skip, until_true};

fn comm(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

#[test]
fn processes_have_the_names_of_the_file_and_their_own_command_lines() {
    if stand_in() {
        return skip("words: process names", "about kalived's processes");
    }
    let Some(lab) = Lab::new("words: process names") else { return };
    let a = lab.host("a", 20);
    let with = |global: &str| Conf { global: format!("    {global}\n"), ..Conf::v3(100) };
    for (global, first, core) in [
        ("process_name first_of_them_a\n    vrrp_process_name second", "first_of_them_a", "second"),
        ("process_names", "kalived", "keepalived_vrrp"),
        ("router_id x", "kalived", "kalived"),
    ] {
        let on_a = lab.start(&a, &with(global));
        on_a.await_state(State::Master);
        let pid = running(&on_a, "--core");
        assert_eq!((comm(on_a.pid()).as_str(), comm(pid).as_str()), (first, core));
        let words = std::fs::read_to_string(format!("/proc/{}/cmdline", on_a.pid())).expect("it runs");
        assert!(words.contains("kalived\0--config\0"), "argv is as it was: {words:?}");
        let (code, log) = on_a.stop();
        assert_eq!(code, Some(0), "{log}");
    }
}

/// Neutron looks for its router's id, Octavia for a pid file of the checkers, OpenShift for the name of a process.
#[test]
fn pid_files_of_all_processes_name_processes_of_this_configuration() {
    if stand_in() {
        return skip("words: pid files", "about kalived's processes");
    }
    let Some(lab) = Lab::new("words: pid files") else { return };
    let a = lab.host("a", 20);
    let plain = Conf { global: "    process_name keepalived\n".to_owned(), ..Conf::v3(100) }.text();
    let server = "virtual_server 198.18.9.9 80 {\n  lb_algo rr\n  lb_kind DR\n  protocol TCP\n  real_server 198.18.9.10 80 {\n    weight 1\n  }\n}\n";
    let with_servers = format!("{plain}{server}");
    let base = lab.path("of");
    let [vrrp, check] = ["vrrp", "check"].map(|ending| base.with_extension(ending));
    let script = "exec \"$@\" -r \"$0.vrrp\" -c \"$0.check\"";
    let prefix = ["sh", "-c", script, base.to_str().expect("it is text")];
    let on_a = lab.start_under(&prefix, under_test(), &a, &with_servers);
    on_a.await_state(State::Master);
    let number =
        |path: &std::path::Path| std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u32>().ok());
    let check_all = |what: &str| {
        // The core before an upgrade is there until its last advert has left, and has its number in no file.
        until_true(&format!("{what}: the numbers"), || {
            let core = Some(running(&on_a, "--core"));
            [number(on_a.pid_file()), number(&vrrp), number(&check)] == [Some(on_a.pid()), core, core]
        });
        let conf = on_a.conf().display().to_string();
        for pid in [Some(on_a.pid()), number(&vrrp)].into_iter().flatten() {
            let words = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).expect("it runs");
            assert!(words.contains(&conf), "{what}: {words:?}");
        }
        assert_eq!(comm(on_a.pid()), "keepalived", "{what}");
    };
    check_all("start");
    let (code, text) = ask(&on_a, "upgrade");
    assert_eq!(code, Some(0), "{text}");
    check_all("upgrade");
    // The file is there while the configuration has virtual servers.
    for (text, there) in [(&plain, false), (&with_servers, true)] {
        std::fs::write(on_a.conf(), text).expect("the lab's directory is writable");
        assert_eq!(ask(&on_a, "reload").0, Some(0), "{}", on_a.log());
        assert_eq!(check.exists(), there, "{}", on_a.log());
        let (code, text) = ask(&on_a, "upgrade");
        assert_eq!((code, check.exists()), (Some(0), there), "{text}");
    }
    check_all("after that");
    let (code, log) = on_a.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(!vrrp.exists() && !check.exists());
}

/// A second interface, `eth1`, which is up as long as its other end is.
fn second(host: &Host) {
    host.script("ip link add name eth1 type veth peer name far; ip link set eth1 up; ip link set far up");
}

#[test]
fn who_needs_a_static_address_is_in_fault_while_its_interface_is_down_as_with_keepalived() {
    let test = "words: track_group";
    let programs = match stand_in() || !have("keepalived") {
        true => vec![under_test()],
        false => vec![Program::Keepalived, Program::Kalived],
    };
    for program in programs {
        let Some(lab) = Lab::new(test) else { return };
        let a = lab.host("a", 20);
        second(&a);
        let text = format!(
            "track_group g {{\n group {{\n  VI_1\n }}\n}}\nstatic_ipaddress {{\n 192.0.2.1/24 dev eth1 track_group g\n}}\n{}",
            Conf::v3(100).text()
        );
        let on_a = lab.start_program(program, &a, &text);
        on_a.await_state(State::Master);
        a.script("ip link set eth1 down");
        on_a.await_state(State::Fault);
        a.script("ip link set eth1 up");
        on_a.await_state(State::Master);
        until_true("the static address", || a.holds("192.0.2.1"));
    }
}

#[test]
fn a_link_that_is_down_for_a_moment_is_not_noticed() {
    if stand_in() {
        return skip("words: delays", "of keepalived's words only the result is compared");
    }
    let Some(lab) = Lab::new("words: delays") else { return };
    let a = lab.host("a", 20);
    second(&a);
    let text = format!(
        "interface_up_down_delays {{\n eth1 3\n}}\n{}",
        Conf::v2(100).with("track_interface {").with("  eth1").with("}").text()
    );
    let on_a = lab.start_program(under_test(), &a, &text);
    on_a.await_state(State::Master);
    // Three seconds are reduced to two intervals of one second.
    a.script("ip link set far down");
    pause(200);
    a.script("ip link set far up");
    pause(2500);
    assert_eq!(on_a.times(State::Fault), 0, "{}", on_a.log());
    a.script("ip link set far down");
    on_a.await_state(State::Fault);
}

#[test]
fn the_words_of_an_address_are_flags_of_the_kernel() {
    if stand_in() {
        return skip("words: flags", "about kalived's messages too");
    }
    let Some(lab) = Lab::new("words: flags") else { return };
    let a = lab.host("a", 20);
    let mut conf = Conf::v6(100);
    conf.vips = vec!["fe80::64".into(), "2001:db8:12::64/64 home".into(), "2001:db8:12::65/64 mngtmpaddr".into()];
    let on_a = lab.start(&a, &conf);
    on_a.await_state(State::Master);
    until_true("all addresses", || a.holds("2001:db8:12::65"));
    let line = |addr: &str| {
        let text = a.run("ip -6 -o addr show dev eth0");
        text.lines().find(|l| l.contains(addr)).map(str::to_owned).unwrap_or_default()
    };
    assert!(line("2001:db8:12::64/").contains(" home "), "{}", line("2001:db8:12::64/"));
    assert!(line("2001:db8:12::65/").contains(" mngtmpaddr "), "{}", line("2001:db8:12::65/"));
    assert!(!line("fe80::64/").contains("home"));
}
