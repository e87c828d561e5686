//! What a named pipe and a mailbox get about real and virtual servers: the same from Debian's keepalived and from kalived. Read first: `lvs.rs`.

use crate::lab::{Host, Lab, Owned, until, until_true};
use crate::lvs::{backend, end, kalived, keepalived, lab};
use std::collections::BTreeMap;
use std::process::Stdio;

/// Appends what comes out of a pipe to a file. Opened for writing too: it does not end when a writer does.
const READS: &str = "
import os, sys
os.mkfifo(sys.argv[1])
pipe = os.open(sys.argv[1], os.O_RDWR)
with open(sys.argv[2], 'ab', 0) as out:
    while True:
        out.write(os.read(pipe, 4096))
";

/// Three virtual servers with two real servers each: by address with a quorum, by mark, by group. One check a second, one retry after it.
fn text(fifo: &str, mail: &str) -> String {
    let tcp = "    TCP_CHECK {\n      connect_timeout 1\n      connect_port 80\n    }\n";
    let http = "    HTTP_GET {\n      url {\n        path /\n        status_code 200\n      }\n      connect_timeout 1\n      \
                retry 1\n      delay_before_retry 1\n    }\n";
    let servers =
        format!("  real_server 198.18.0.111 80 {{\n{tcp}  }}\n  real_server 198.18.0.112 80 {{\n{http}  }}\n");
    let begin = "  delay_loop 1\n  warmup 0\n  protocol TCP\n  lb_algo rr\n  lb_kind DR\n  smtp_alert\n";
    format!(
        "global_defs {{
  router_id LB1
  script_user root
  lvs_notify_fifo {fifo}
  notification_email {{
    ops@example.net
    night@example.net
  }}
  notification_email_from cluster@example.net
  smtp_server {mail} 25
  smtp_helo_name lb1.example.net
}}
virtual_server_group web {{
  10.77.5.2 80
}}
virtual_server 10.77.5.1 80 {{
  quorum 1
{begin}{servers}}}
virtual_server fwmark 9 {{
{begin}{servers}}}
virtual_server group web {{
{begin}{servers}}}
"
    )
}

/// The lines of each subject, in order.
fn by_subject(lines: &str) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines.split_inclusive('\n') {
        let (subject, word) = line.rsplit_once(' ').unwrap_or((line, ""));
        found.entry(subject.to_owned()).or_default().push(word.to_owned());
    }
    found
}

/// What was sent for each letter, without its date; letters of one moment have no order. What differs on purpose is made equal: the header
/// `To` is folded as RFC 5322 has it, a second line names the cause, and the signs of quorums are the right ones.
fn letters(text: &str) -> Vec<String> {
    let whole = |l: &str| {
        let lines = l.lines().filter(|l| !l.is_empty() && !l.starts_with("Cause: "));
        let plain = |l: &str| match l.strip_prefix("=> ") {
            Some(text) if text.starts_with("Lost quorum") => "=> Lost quorum".to_owned(),
            _ if l.starts_with("Date: ") => "Date: then".to_owned(),
            _ => l.replace("Starting with quorum up", "Gained quorum"),
        };
        lines.map(plain).collect::<Vec<_>>().join("\n").replace(",\n ", ", ")
    };
    let mut found: Vec<String> = text.split("====\n").map(whole).filter(|l| !l.is_empty()).collect();
    found.sort();
    found
}

/// All servers are up, one fails, both fail, both come back: what the pipe and the mail server got.
fn told(lab: &Lab, director: &Host, far: &Host, who: &str) -> (String, String) {
    let (fifo, lines, mails) =
        (lab.path(&format!("{who}.fifo")), lab.path(&format!("{who}.lines")), lab.path(&format!("{who}.mails")));
    let python = |host: &Host, program: &str, words: &[&str]| {
        let mut python = host.command("python3");
        let child = python.args(["-c", program]).args(words).stdout(Stdio::null()).spawn();
        Owned(child.expect("the lab has python3"))
    };
    let _mail = python(far, include_str!("../lab/smtp.py"), &[&far.v4(), "25", &mails.display().to_string()]);
    let _reader = python(director, READS, &[&fifo.display().to_string(), &lines.display().to_string()]);
    until_true("the pipe", || lines.exists());
    let text = text(&fifo.display().to_string(), &far.v4());
    let (a, b) = (backend(far, "198.18.0.111"), backend(far, "198.18.0.112"));
    let (ours, theirs) = match who {
        "kalived" => (Some(kalived(lab, director, &text)), None),
        _ => (None, Some(keepalived(lab, director, &text).0)),
    };
    let read = |path| std::fs::read_to_string(path).unwrap_or_default().replace('\0', "");
    // So many lines, and as many letters.
    let wait = |step: &str, n: usize| {
        until(&format!("{who}: {step}"), || {
            let there = (read(&lines).lines().count(), letters(&read(&mails)).len());
            (there.0 >= n && there.1 >= n).then_some(())
        });
    };
    wait("three quorums are gained", 3);
    drop(a);
    wait("one server is down", 6);
    drop(b);
    wait("both are down, and the quorums", 12);
    let a = backend(far, "198.18.0.111");
    wait("one is back, and the quorums", 18);
    let b = backend(far, "198.18.0.112");
    wait("both are back", 21);
    let got = (read(&lines), read(&mails));
    drop((a, b, ours));
    if let Some(daemon) = theirs {
        end(daemon);
    }
    got
}

#[test]
fn a_pipe_and_a_mailbox_get_about_servers_what_keepalived_sends() {
    let Some((lab, host)) = lab("a_pipe_and_a_mailbox_get_about_servers_what_keepalived_sends") else { return };
    let far = lab.host("backends", 30);
    for n in [111, 112] {
        far.run(&format!("ip addr add 198.18.0.{n}/16 dev eth0"));
    }
    let (lines, mails) = told(&lab, &host, &far, "keepalived");
    let (our_lines, our_mails) = told(&lab, &host, &far, "kalived");
    assert_eq!(by_subject(&our_lines), by_subject(&lines));
    assert_eq!(letters(&our_mails), letters(&mails));
}
