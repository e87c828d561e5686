//! Every keyword of keepalived 2.4.3 (`known-keywords.txt`: scope and word) is known, in its place.

use super::common::{instance, short, text};
use kalived::config::keyword::{Form, Scope, find};
use kalived::exit::ExitCode;

/// Opens the block of a scope, with `{}` for the lines inside.
fn wrap(scope: Scope, lines: &str) -> String {
    let around = match scope {
        Scope::Root => "{}",
        Scope::GlobalDefs => "global_defs {\n{}\n}",
        Scope::TrackGroup => "track_group x {\n{}\n}",
        Scope::SyncGroup => "vrrp_sync_group x {\n{}\n}",
        Scope::GarpGroup => "garp_group {\n{}\n}",
        Scope::Instance => "vrrp_instance x {\n{}\n}",
        Scope::Authentication => "vrrp_instance x {\nauthentication {\n{}\n}\n}",
        Scope::AuthHmac => "vrrp_instance x {\nauth_hmac {\n{}\n}\n}",
        Scope::VrrpScript => "vrrp_script x {\n{}\n}",
        Scope::VrrpCheck => "vrrp_check x {\n{}\n}",
        Scope::TrackProcess => "vrrp_track_process x {\n{}\n}",
        Scope::TrackFile => "track_file x {\n{}\n}\nvrrp_track_file y {\n{}\n}",
        Scope::Ssl => "SSL {\n{}\n}",
        Scope::BfdInstance => "bfd_instance x {\n{}\n}",
        Scope::VirtualServer => "virtual_server 1.2.3.4 80 {\n{}\n}",
        Scope::RealServer => "virtual_server 1.2.3.4 80 {\nreal_server 1.2.3.5 80 {\n{}\n}\n}",
        Scope::NetCheck => {
            return checks(
                lines,
                &["HTTP_GET", "SSL_GET", "TCP_CHECK", "PING_CHECK", "UDP_CHECK", "SMTP_CHECK", "DNS_CHECK"],
            );
        }
        Scope::AnyCheck => {
            return checks(
                lines,
                &[
                    "HTTP_GET",
                    "SSL_GET",
                    "TCP_CHECK",
                    "PING_CHECK",
                    "UDP_CHECK",
                    "SMTP_CHECK",
                    "DNS_CHECK",
                    "MISC_CHECK",
                ],
            );
        }
        Scope::HttpCheck => return checks(lines, &["HTTP_GET", "SSL_GET"]),
        Scope::Url => return checks(&format!("url {{\n{lines}\n}}"), &["HTTP_GET", "SSL_GET"]),
        Scope::SmtpCheck => return checks(lines, &["SMTP_CHECK"]),
        Scope::DnsCheck => return checks(lines, &["DNS_CHECK"]),
        Scope::MiscCheck => return checks(lines, &["MISC_CHECK"]),
        Scope::UdpCheck => return checks(lines, &["UDP_CHECK"]),
        Scope::FileCheck => return checks(lines, &["FILE_CHECK"]),
        Scope::BfdCheck => return checks(lines, &["BFD_CHECK"]),
        other => panic!("{other:?} is inside a line"),
    };
    around.replace("{}", lines)
}

fn checks(lines: &str, names: &[&str]) -> String {
    let one = |n: &&str| format!("{n} {{\n{lines}\n}}\n");
    let all: String = names.iter().map(one).collect();
    format!("virtual_server 1.2.3.4 80 {{\nreal_server 1.2.3.5 80 {{\n{all}}}\n}}\n")
}

#[test]
fn every_keyword_is_known_in_its_place() {
    let mut seen = 0;
    let mut wrong = Vec::new();
    for row in include_str!("known-keywords.txt").lines() {
        let (scope, name) = row.split_once(' ').unwrap();
        let scope = *Scope::ALL.iter().find(|s| format!("{s:?}") == scope).unwrap();
        let Some(k) = find(scope, name) else {
            wrong.push(format!("{row}: not in the table"));
            continue;
        };
        seen += 1;
        if scope.in_line() {
            continue;
        }
        let line = match k.form {
            Form::Block(_) | Form::Entries(_) => format!("{name} x {{\n}}"),
            Form::Flag => name.to_owned(),
            _ => format!("{name} 1"),
        };
        let loaded = text(&wrap(scope, &line));
        for m in short(&loaded) {
            // The value is arbitrary; the keyword must be known, and reported if it has no effect.
            if m.contains("unknown keyword") || m.contains("cannot stand") || m.contains("needs a block") {
                wrong.push(format!("{row}: {m}"));
            }
        }
        // Itself, or the block that it stands in.
        let told =
            |m: &String| ["not supported yet", "it has no effect", "`unicast_peer`"].iter().any(|t| m.contains(t));
        let told = short(&loaded).iter().any(told);
        if !k.status.has_effect() && !told {
            wrong.push(format!("{row}: dropped in silence"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(seen, 549);
}

#[test]
fn what_is_not_done_yet_is_told_once() {
    let loaded = instance("track_bfd {\na\n}\n}\nglobal_defs {\nenable_dbus\nsnmp_socket 1\nsnmp_socket 2");
    let said: Vec<String> =
        short(&loaded).into_iter().map(|m| m.split(" | without it").next().unwrap().to_owned()).collect();
    assert_eq!(
        said,
        [
            "7:1 error: `a` in track_bfd of vrrp_instance V is no bfd_instance of this file: it is ignored | add `bfd_instance a { ... }`, or remove the line",
            "11:1 note: `enable_dbus` is checked and kept, but it has no effect. kalived is not on D-Bus: `kalived status` and the FIFOs have the same information",
            "12:1 note: `snmp_socket` is checked and kept, but it has no effect. kalived serves no SNMP (and in 1 more place)",
            "13:1 note: `snmp_socket` a second time in this block: the last one counts | 12:1 before here",
        ]
    );
    assert_eq!((loaded.fatal(), loaded.config_test_exit()), (None, ExitCode::ConfigTest));
    assert_eq!(instance("}\nglobal_defs {\nenable_dbus").config_test_exit(), ExitCode::Ok);
}

#[test]
fn what_must_not_be_left_out_keeps_the_daemon_from_starting() {
    let loaded = instance("auth_hmac {\nkey 1 0123456789abcdef0123456789abcdef\nactive_key 2\n}");
    let got = short(&loaded);
    assert_eq!(got, ["6:1 fatal: `auth_hmac` without an `active_key` that is one of its keys"]);
    assert_eq!((loaded.fatal(), loaded.config_test_exit()), (Some(ExitCode::Config), ExitCode::ConfigTest));
    let loaded = instance("auth_hmac {\nkey 1 file:/none\nactive_key 1\n}");
    assert!(
        short(&loaded)[0].starts_with("7:7 fatal: the key in `/none` cannot be used: No such file"),
        "{:?}",
        short(&loaded)
    );
    let loaded = instance("auth_hmac {\nkey 1 file:/k\nactive_key 1\n}");
    let hmac = loaded.config.instances[0].more.hmac.as_ref().expect("it is there");
    assert_eq!((loaded.fatal(), hmac.keys[0].bytes().len()), (None, 32), "{:?}", short(&loaded));
}

#[test]
fn a_name_that_is_not_defined_stands_for_itself() {
    let pass = instance("authentication {\nauth_type PASS\nauth_pass a$b\n}");
    assert_eq!(short(&pass), [""; 0]);
}

#[test]
fn accepted_without_a_word() {
    let loaded = instance("debug 3\naccept\nvirtual_ipaddress_excluded {\n10.0.0.2 -nodad no_track\n}");
    assert_eq!(short(&loaded), [""; 0]);
    let loaded = text("global_defs {\ndynamic_interfaces allow_if_changes\n}\n");
    assert_eq!(short(&loaded).len(), 1, "only that there is nothing to run");
}
