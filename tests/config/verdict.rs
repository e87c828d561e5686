//! The verdict on a file: a reload refuses a file that fails a test; keywords without effect count by the keyword table; no error is
//! lost among many messages; and the last line has the verdict.

use super::common::{bytes, instance, short, text};
use kalived::config::check::{Host, Look};
use kalived::config::diag::Severity;
use kalived::config::keyword::{Scope, Status};
use kalived::config::verdict::Wanted;
use kalived::config::{Loaded, report};
use kalived::exit::ExitCode;

const ALL: [Wanted; 4] = [Wanted::Test, Wanted::Start, Wanted::Reload, Wanted::ForcedReload];

/// For a test, a start, a reload, a forced reload: y or the exit code.
fn may(loaded: &Loaded) -> String {
    let one = |w: Wanted| loaded.may_run(w).map_or_else(|code| (code as u8).to_string(), |()| "y".to_owned());
    ALL.map(one).join(" ")
}

fn allowed(file: &str, names: &[&str]) -> Loaded {
    let mut loaded = text(file);
    let allow: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    loaded.look(Look { allow: &allow, ..Look::default() });
    loaded
}

const GOOD: &str = "vrrp_instance V {\ninterface eth0\nvirtual_router_id 5\nvirtual_ipaddress {\n10.0.0.1/24\n}\n}\n";
const OTHER: &str = "vrrp_instance W {\ninterface eth0\nvirtual_router_id 6\nvirtual_ipaddress {\n10.0.0.2/24\n}\n}\n";

#[test]
fn test_start_and_reload_agree() {
    for (file, want) in [
        (GOOD.to_owned(), "y y y y"),
        // A note.
        (GOOD.replace("eth0", "eth0\nversion 3\nmcast_src_ip 10.0.0.9/24"), "y y y y"),
        // An error, a warning: a start goes on.
        (GOOD.replace("eth0", "eth0\npriorty 100\nstate MASTER"), "5 y 5 y"),
        (GOOD.replace("eth0", "eth0\nstate MASTER\nnopreempt"), "5 y 5 y"),
        // Torn.
        (GOOD.trim_end().trim_end_matches('}').to_owned(), "5 y 5 y"),
        // Fatal.
        (GOOD.replace("virtual_router_id 5", "virtual_router_id 0"), "5 2 2 2"),
        ("include none/*.conf\n".to_owned(), "5 2 2 2"),
        ("global_defs {\n}\n".to_owned(), "5 2 2 2"),
        (String::new(), "6 6 6 6"),
    ] {
        assert_eq!(may(&text(&file)), want, "{file}");
    }
}

#[test]
fn an_interface_that_is_missing_fails_unless_it_may() {
    let look = |file: &str, allow: &[String]| {
        let host = Host { interfaces: vec!["lo".into()], addrs: Vec::new(), exists: |_| true, sysctl: |_| None };
        let mut loaded = text(file);
        loaded.look(Look { host: Some(&host), allow, ..Look::default() });
        may(&loaded)
    };
    assert_eq!(look(GOOD, &[]), "5 y 5 y");
    assert_eq!(look(GOOD, &["interface-missing".into()]), "y y y y");
    assert_eq!(look(&format!("global_defs {{\ndynamic_interfaces\n}}\n{GOOD}"), &[]), "y y y y");
}

#[test]
fn what_has_no_effect_yet_fails_no_test() {
    let group = "vrrp_sync_group g {\ngroup {\nV\nW\n}\n}\n";
    let server = "virtual_server 10.0.0.1 80 {\nlb_algo rr\nlb_kind DR\nprotocol TCP\nreal_server 10.0.0.3 80 {\nTCP_CHECK {\n}\n}\n}\n";
    let bfd = "bfd_instance peer {\nneighbor_ip 10.0.0.9\n}\n";
    let follows = server.replace("TCP_CHECK {", "BFD_CHECK {\nname peer") + bfd;
    for (file, want) in [
        (format!("{GOOD}{OTHER}{group}"), "y y y y"),
        (format!("{GOOD}{follows}"), "y y y y"),
        // Small things are notes.
        (format!("global_defs {{\nenable_dbus\n}}\n{GOOD}"), "y y y y"),
    ] {
        assert_eq!(may(&text(&file)), want, "{file}");
        // By name the rest of it runs.
        assert_eq!(may(&allowed(&file, &["no-effect-yet"])), "y y y y", "{file}");
        let inside = format!("# kalived: allow(no-effect-yet)\n\n{file}");
        assert_eq!(may(&allowed(&inside, &[])), "y y y y", "{file}");
    }
    // A file with nothing else is not run by that name either.
    let rules = "static_rules {\nfrom 10.9.0.0/24 table 9\n}\n";
    assert_eq!(may(&allowed(rules, &["no-effect-yet"])), "5 2 2 2");
    // Virtual servers with their checks have an effect, also without virtual routers.
    assert_eq!(may(&text(&format!("{GOOD}{server}"))), "y y y y");
    assert_eq!(may(&text(server)), "y y y y");
    // A peer may count on a session that nothing here follows.
    assert_eq!(may(&text(bfd)), "y y y y");
    // One member has nobody to be kept together with.
    let one = text(&format!("{GOOD}vrrp_sync_group g {{\ngroup {{\nV\n}}\n}}\n"));
    assert_eq!(one.fatal(), None, "{}", one.render(false));
    // A value that cannot be sent is refused with any `allow`.
    let unsigned = "eth0\nauth_hmac {\nkey 1 0123456789abcdef0123456789abcdef\nactive_key 2\n}";
    let unsigned = GOOD.replace("eth0", unsigned);
    assert_eq!(may(&allowed(&unsigned, &["no-effect-yet", "bad-key"])), "5 2 2 2");
}

#[test]
fn what_stands_for_several_places_is_silent_when_all_are() {
    let said = |file: &str| allowed(file, &[]).diags.iter().filter(|d| d.code() == "no-effect-yet").count();
    let both = "global_defs {\nsnmp_socket w # kalived: allow(no-effect-yet)\nsnmp_socket x\n}\n";
    assert_eq!(said(both), 1);
    assert_eq!(said(&both.replace("socket x\n", "socket x ! kalived: allow(no-effect-yet)\n")), 0);
}

/// The status column decides: every keyword without effect is reported with its severity, and no other one counts as without effect.
#[test]
fn the_table_alone_says_what_has_no_effect() {
    for k in Scope::GlobalDefs.rows() {
        let loaded = text(&format!("global_defs {{\n{} 1\n}}\n{GOOD}", k.name));
        let about = format!("`{}` is checked and kept, but it has no effect", k.name);
        let said = loaded.diags.iter().find(|d| d.message.starts_with(&about)).map(|d| d.severity);
        let want = (k.status == Status::Never).then_some(Severity::Note);
        assert_eq!(said, want, "{}\n{}", k.name, loaded.render(false));
        assert_eq!(loaded.effect.without > 0, said.is_some(), "{}", k.name);
        assert_eq!(loaded.effect.keywords.contains(&k.name), said.is_some(), "{}", k.name);
    }
}

#[test]
fn the_last_line_sums_up() {
    assert_eq!(text(GOOD).summary(Wanted::Test), "k.conf: no mistakes: passed");
    let many = GOOD.replace("eth0", "eth0\nfoo\nbar\nstate MASTER\nnopreempt")
        + "global_defs {\nenable_dbus\nsnmp_socket x\n}\n";
    let loaded = text(&many);
    assert_eq!(
        loaded.summary(Wanted::Test),
        "k.conf: 2 errors, 1 warning, 3 notes; 2 of 9 settings have no effect (`enable_dbus`, `snmp_socket`): failed",
        "{}",
        loaded.render(false)
    );
    assert!(loaded.summary(Wanted::Reload).ends_with(": refused; `--force` takes it all the same"));
    assert!(loaded.summary(Wanted::ForcedReload).ends_with(": taken"));
    assert!(loaded.summary(Wanted::Start).ends_with(": kalived starts with it"));
    assert_eq!(text("").summary(Wanted::Test), "k.conf: 1 fatal error: failed");
    // The number of settings without effect is reported also where they are allowed.
    let quiet = allowed(&many, &["no-effect-yet"]);
    assert!(quiet.summary(Wanted::Test).contains("2 of 9 settings"));
}

#[test]
fn a_flood_of_notes_loses_no_error() {
    let mut file: String =
        (0..1200).map(|n| format!("vrrp_track_file f{n} {{\nfile /run/f{n}\nweight 1\n}}\n")).collect();
    file += &GOOD.replace("eth0", "eth0\npriorty 100").replace("10.0.0.1/24", "10.0.0.300");
    let loaded = text(&file);
    assert_eq!(loaded.config_test_exit(), ExitCode::ConfigTest);
    let shown = loaded.render(false);
    assert!(
        shown.contains("unknown keyword `priorty`") && shown.contains("`10.0.0.300` is not an IP address"),
        "{shown}"
    );
    assert!(shown.lines().count() < 40, "{shown}");
    // Very many errors: still a failure, and the output reports that it is truncated, also to tools.
    let errors: String = (0..3000).map(|n| format!("foo{n} bar\n")).collect();
    let loaded = text(&(errors + GOOD));
    assert_eq!(loaded.config_test_exit(), ExitCode::ConfigTest);
    let json = report::json(&loaded.diags, loaded.cut, &loaded.sources);
    let last = json.as_array().unwrap().last().unwrap();
    assert_eq!((last["code"].as_str(), last["fails"].as_bool()), (Some("messages-cut"), Some(true)));
    assert_eq!(last["cut"].as_u64().unwrap() as usize + json.as_array().unwrap().len() - 1, 3000);
    assert!(loaded.summary(Wanted::Test).contains("2000 more messages"), "{}", loaded.summary(Wanted::Test));
}

#[test]
fn a_value_that_is_not_right_says_what_holds_instead() {
    for (line, want) in [
        ("priority 300", "priority` is ignored (default: 100)"),
        ("advert_int x", "advert_int"),
        ("down_timer_adverts 0", "down_timer_adverts` is ignored (default: the global value)"),
        ("preempt_delay -5", "preempt_delay` is ignored (default: 0)"),
    ] {
        let said = short(&instance(line));
        assert!(said.iter().any(|m| m.contains(want)), "{said:?}");
    }
    let said = short(&instance("priorty 100"));
    assert!(said[0].ends_with("did you mean `priority`? Without it: 100; 255 if state MASTER"), "{said:?}");
    // And that is so.
    assert_eq!(instance("state MASTER\npriority 300").config.instances[0].priority, 100);
}

#[test]
fn what_is_no_text_is_not_called_empty() {
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(GOOD.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let big: Vec<u8> = [0xfe, 0xff].into_iter().chain(GOOD.encode_utf16().flat_map(u16::to_be_bytes)).collect();
    let bare: Vec<u8> = GOOD.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let elf: Vec<u8> = [b"\x7fELF\x02\x01\x01".to_vec(), vec![0; 900], (0..200u8).collect()].concat();
    for (file, word) in [(utf16, "UTF-16"), (big, "UTF-16"), (bare, "UTF-16"), (elf, "binary"), (vec![0; 64], "binary")]
    {
        let loaded = bytes(&file);
        assert_eq!((loaded.fatal(), loaded.config_test_exit()), (Some(ExitCode::NoConfig), ExitCode::NoConfig));
        assert_eq!(loaded.diags.len(), 1);
        let said = &loaded.diags[0];
        assert!(said.code() == "not-text" && said.message.contains(word), "{}", said.message);
    }
}
