//! Files, processes and kalived's own checks as reasons to move an address; and the mail about it.
//!
//! Read first: `../lab/mod.rs`. Check scripts and hooks are in `traps_scripts`.

use crate::lab::daemon::{Conf, Daemon, State, VIP, stand_in, under_test};
use crate::lab::{Host, Lab, Owned, have, skip, until_true};
use std::process::Stdio;

fn start(lab: &Lab, host: &Host, blocks: &str, conf: &Conf) -> Daemon {
    lab.start_program(under_test(), host, &format!("{blocks}\n{}", conf.text()))
}

#[test]
fn trap_42_a_file_leads_into_fault_and_out_with_another_value() {
    let Some(lab) = Lab::new("trap 42") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let file = lab.path("number");
    let put = |n: &str| std::fs::write(&file, n).expect("the lab's directory is writable");
    put("0\n");
    let blocks = format!("track_file load {{\n    file \"{}\"\n    weight 1\n}}\n", file.display());
    let track = ["track_file {", "    load", "}"];
    let conf = track.iter().fold(Conf::v3(150), |c, line| c.with(line));
    let on_b = lab.start(&b, &Conf::v3(100));
    let on_a = start(&lab, &a, &blocks, &conf);
    let on = |n: &Host, other: &Host| until_true("one holds the VIP", || n.holds(VIP) && !other.holds(VIP));
    on(&a, &b);
    put("-100\n");
    on(&b, &a);
    on_a.await_line("Changing effective priority from 150 to 50");
    put("-254\n");
    on_a.await_state(State::Fault);
    // Written with another name and renamed, as careful programs do.
    let beside = lab.path("beside");
    std::fs::write(&beside, "20\n").expect("the lab's directory is writable");
    std::fs::rename(&beside, &file).expect("the lab's directory is writable");
    on(&a, &b);
    if !stand_in() {
        on_a.await_line("to 170");
    }
    std::fs::remove_file(&file).expect("it was there");
    if !stand_in() {
        on_a.await_line("priority from 170 to 150");
    }
    drop((on_a, on_b));
}

#[test]
fn a_process_whose_number_falls_below_the_quorum_moves_the_address() {
    let Some(lab) = Lab::new("track_process") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    // A name that nothing else on this machine has.
    let name = format!("lab{}", std::process::id() % 100_000_000);
    let program = lab.path("d").with_file_name(&name);
    std::fs::copy("/bin/sleep", &program).expect("the lab's directory is writable");
    let run = || {
        Owned(a.command(&program.display().to_string()).arg("1000").stdout(Stdio::null()).spawn().expect("it is there"))
    };
    let mut running = vec![run(), run()];
    let blocks = format!("vrrp_track_process web {{\n    process {name}\n    quorum 2\n}}\n");
    let conf = ["track_process {", "    web", "}"].iter().fold(Conf::v3(150), |c, line| c.with(line));
    let on_b = lab.start(&b, &Conf::v3(100));
    let on_a = start(&lab, &a, &blocks, &conf);
    until_true("the VIP on a", || a.holds(VIP) && !b.holds(VIP));
    running.pop();
    until_true("the VIP on b", || b.holds(VIP) && !a.holds(VIP));
    on_a.await_line("Quorum lost for tracked process web");
    running.push(run());
    until_true("the VIP on a again", || a.holds(VIP) && !b.holds(VIP));
    drop((on_a, on_b, running));
}

#[test]
fn kalived_looks_at_nginx_itself_and_the_address_follows() {
    if stand_in() {
        return skip("vrrp_check", "the stand-in has no such block");
    }
    if !have("nginx") {
        return skip("vrrp_check", "nginx is not installed");
    }
    let Some(lab) = Lab::new("vrrp_check") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let (conf, pid, flag) = (lab.path("nginx.conf"), lab.path("nginx.pid"), lab.path("sick"));
    std::fs::write(
        &conf,
        format!(
            "pid {}; error_log /dev/null; user root; daemon off;\nevents {{ }}\nhttp {{ access_log off; server {{ listen 127.0.0.1:8080; \
             location /health {{ if (-f {}) {{ return 503; }} return 204; }} }} }}\n",
            pid.display(),
            flag.display()
        ),
    )
    .expect("the lab's directory is writable");
    let serve = || {
        let conf = conf.display().to_string();
        Owned(a.command("nginx").args(["-c", &conf]).stderr(Stdio::null()).spawn().expect("it is installed"))
    };
    let server = serve();
    let blocks = "vrrp_check web {\n    http http://127.0.0.1:8080/health status 200-299\n    interval 0.1\n    fall 2\n    rise 2\n}\n\
                  vrrp_check port {\n    tcp 127.0.0.1:8080\n    interval 0.1\n    weight -20\n}\n";
    let lines = ["track_check {", "    web", "    port", "}"];
    let on_b = lab.start(&b, &Conf::v3(100));
    let on_a = start(&lab, &a, blocks, &lines.iter().fold(Conf::v3(150), |c, line| c.with(line)));
    until_true("the VIP on a", || a.holds(VIP) && !b.holds(VIP));
    std::fs::write(&flag, "").expect("the lab's directory is writable");
    until_true("the VIP on b", || b.holds(VIP) && !a.holds(VIP));
    on_a.await_line("VRRP_Check(web) failed");
    std::fs::remove_file(&flag).expect("it was there");
    until_true("the VIP on a again", || a.holds(VIP) && !b.holds(VIP));
    // Its workers end with it: the master process is asked.
    let master = std::fs::read_to_string(&pid).unwrap_or_default();
    a.run(&format!("kill -TERM {}", master.trim()));
    until_true("the VIP on b", || b.holds(VIP) && !a.holds(VIP));
    on_a.await_line("VRRP_Check(port) failed");
    let again = serve();
    until_true("the VIP on a for the third time", || a.holds(VIP) && !b.holds(VIP));
    drop((on_a, on_b, server));
    let master = std::fs::read_to_string(&pid).unwrap_or_default();
    a.run(&format!("kill -TERM {}", master.trim()));
    drop(again);
}

#[test]
fn mail_tells_of_each_state_once() {
    let Some(lab) = Lab::new("mail") else { return };
    let a = lab.host("a", 20);
    let (script, mails) = (lab.path("smtp.py"), lab.path("mails"));
    std::fs::write(&script, include_str!("../lab/smtp.py")).expect("the lab's directory is writable");
    let mut server = a.command("python3");
    server.arg(&script).args(["127.0.0.1", "2525"]).arg(&mails);
    let server = Owned(server.spawn().expect("python3 was found by missing()"));
    let global = "    notification_email {\n        ops@lab.test\n        night@lab.test\n    }\n    notification_email_from router@lab.test\n    \
                  smtp_server 127.0.0.1 2525\n    smtp_helo_name router.lab.test\n    smtp_alert\n";
    let conf = Conf { global: global.to_owned(), ..Conf::v3(150) };
    let mut daemon = lab.start(&a, &conf);
    let text = || std::fs::read_to_string(&mails).unwrap_or_default();
    until_true("a mail about MASTER", || text().contains("Entering MASTER state"));
    lab.port(&a, "down");
    until_true("a mail about FAULT", || text().contains("Entering FAULT state"));
    daemon.signal("TERM");
    daemon.await_exit();
    let text = text();
    let subjects: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("Subject: ")).collect();
    let of = |what: &str| format!("[lab] VRRP Instance VI_1 - {what}");
    assert!(subjects.contains(&of("Entering MASTER state").as_str()), "{text}");
    assert_eq!(subjects.iter().filter(|s| **s == of("Entering FAULT state")).count(), 1, "{text}");
    for line in [
        "MAIL FROM:<router@lab.test>",
        "RCPT TO:<ops@lab.test>",
        "RCPT TO:<night@lab.test>",
        "X-Mailer: Keepalived",
        "DATA",
        "QUIT",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is missing:\n{text}");
    }
    assert!(text.contains("=> VRRP Instance is now owning VRRP VIPs <="), "{text}");
    drop(server);
}
