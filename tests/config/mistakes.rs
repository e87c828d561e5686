//! Common mistakes, and files that only look wrong: one message for one mistake, with the right remedy.

use super::common::{instance, short, text};
use kalived::config::check::Look;
use kalived::config::diag::Severity;
use kalived::config::model::check::CheckKind;
use kalived::config::{Loaded, Options, dump};
use kalived::exit::ExitCode;
use kalived::lvs::check::{CheckSpec, What};

fn said(loaded: &Loaded, part: &str) -> usize {
    short(loaded).iter().filter(|m| m.contains(part)).count()
}

fn dumped(file: &str) -> String {
    dump::dump(&super::common::One(file.as_bytes().to_vec()), "k.conf", &Options::default(), true).1
}

/// A repetition or a condition in a `$NAME` is applied to the rest of the line before a definition of several lines is used.
#[test]
fn definitions_of_several_lines_in_repetitions_and_conditions() {
    let body = "$I= \\\nvrrp_instance a${ID} { \\\ninterface eth0 \\\nvirtual_router_id ${ID} \\\nvirtual_ipaddress { \\\n10.0.0.${ID} \\\n} \\\n}\n\n";
    let names = |file: &str| {
        let loaded = text(file);
        let list: Vec<String> =
            loaded.config.instances.iter().map(|i| format!("{} {} {}", i.name, i.vrid, i.vips[0].addr)).collect();
        assert_eq!(loaded.render(false), "", "{file}");
        list
    };
    let want = ["a11 11 10.0.0.11", "a12 12 10.0.0.12"];
    assert_eq!(names(&format!("{body}~SEQ(ID,11,12) $I\n")), want);
    assert_eq!(names(&format!("{body}$B=~SEQ(ID,11,12) $I\n$B\n")), want);
    assert_eq!(names(&format!("{body}$B=~SEQ(ID,11,12) $I\n$C=$B\n$C\n")), want);
    assert_eq!(names(&format!("{body}$B=~LST(ID,11,12) $I\n$B\n")), want);
    assert_eq!(names(&format!("{body}global_defs {{ router_id x\n}} ~SEQ(ID,11,12) $I\n")), want);
    // A condition that does not hold drops the whole definition.
    let plain = "vrrp_instance b {\ninterface eth0\nvirtual_router_id 9\nvirtual_ipaddress {\n10.0.0.9\n}\n}\n";
    assert_eq!(names(&format!("{body}{plain}$ID=5\n$B=@other $I\n$B\n")), ["b 9 10.0.0.9"]);
    assert_eq!(names(&format!("{body}{plain}$ID=5\n@other $I\n")), ["b 9 10.0.0.9"]);
    assert_eq!(names(&format!("{body}{plain}$ID=5\n$B=@^other $I\n$B\n")), ["b 9 10.0.0.9", "a5 5 10.0.0.5"]);
}

#[test]
fn a_prefix_length_where_a_host_is_meant() {
    let peer = instance("unicast_peer {\n10.0.0.3/24\n}");
    assert_eq!(said(&peer, "note: `unicast_peer` takes no prefix length: 10.0.0.3 is used"), 1, "{:?}", short(&peer));
    assert_eq!(peer.config.instances[0].more.unicast_peer.as_ref().unwrap().len(), 1);
    let server = text(
        "virtual_server 10.0.0.1/32 80 {\nlb_algo rr\nlb_kind NAT\nprotocol TCP\nreal_server 10.0.0.3/24 80 {\n}\n}\n",
    );
    assert_eq!(said(&server, "takes no prefix length"), 2, "{:?}", short(&server));
    assert_eq!(server.config.virtual_servers[0].real_servers.len(), 1);
    assert_eq!(said(&instance("unicast_peer {\n10.0.0.3/33\n}"), "error: `10.0.0.3/33` is not an IP address"), 1);
}

#[test]
fn a_name_that_is_not_defined_and_a_template() {
    for word in ["${PRIO}", "$PRIO"] {
        let loaded = instance(&format!("priority {word}"));
        assert_eq!(
            said(&loaded, "a definition is a line `$PRIO=value` above, and its use `${PRIO}`"),
            1,
            "{:?}",
            short(&loaded)
        );
    }
    assert_eq!(said(&instance("virtual_ipaddress_excluded {\n10.0.0.${N}\n}"), "`$N=value`"), 1);
    for line in [
        "priority {{ prio }}\nadvert_int {{ interval | default(1) }}",
        "priority ${PRIO:-100}\npreempt_delay ${DELAY:-1}",
        "priority <%= prio %>\npreempt_delay <%= delay %>",
        "priority @PRIO@\npreempt_delay @DELAY@",
        "priority __PRIO__\npreempt_delay __DELAY__",
        "priority %PRIO%\npreempt_delay %(delay)s",
        "priority <PRIO>\npreempt_delay <delay>",
        "priority {{ prio }}",
        "priority <%= prio %>",
        "priority @PRIO@",
        "virtual_ipaddress_excluded {\n__VIP__\n}",
        "virtual_ipaddress_excluded {\n10.0.0.9 dev @DEV@/\n}",
        "virtual_ipaddress_excluded {\n%VIP%\n}",
        "virtual_ipaddress_excluded {\n<VIP>/24\n}",
        "virtual_ipaddress_excluded {\n@VIP@\n}",
        "virtual_ipaddress_excluded {\n@VIP@/24 dev eth0\n@VIP2@/24\n}",
    ] {
        let loaded = instance(line);
        let bad: Vec<String> = short(&loaded).into_iter().filter(|m| !m.contains("note:")).collect();
        assert_eq!(bad.len(), 1, "{line}: {bad:?}");
        assert!(bad[0].contains("a template was not filled in") && bad[0].contains("fill it in before"), "{bad:?}");
        assert_eq!(loaded.config_test_exit(), ExitCode::ConfigTest);
        assert!(!bad[0].contains("IPv6"));
    }
    // A mistake that keeps kalived from starting still does.
    let file =
        "vrrp_instance V {\ninterface {{ dev }}\nvirtual_router_id {{ id }}\nvirtual_ipaddress {\n{{ vip }}\n}\n}\n";
    let loaded = text(file);
    assert_eq!(loaded.fatal(), Some(ExitCode::Config));
    assert_eq!(said(&loaded, "a template was not filled in"), 1, "{:?}", short(&loaded));
}

#[test]
fn a_character_that_only_looks_right_is_named_once() {
    for (c, name) in [
        ('\u{A0}', "U+00A0 (no-break blank)"),
        ('\u{3000}', "U+3000 (full-width blank)"),
        ('\u{200B}', "U+200B (invisible character)"),
        ('\u{FEFF}', "U+FEFF (invisible character)"),
        ('\u{FF10}', "U+FF10 (full-width character)"),
    ] {
        let loaded = instance(&format!("priority{c}100\nnopreempt{c}\ngarp_master_delay{c}5\ngarp_master_repeat{c}5"));
        let told: Vec<String> = short(&loaded);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(&format!("the character {name} stands in 4 places of this file")), "{told:?}");
        assert_eq!(loaded.config_test_exit(), ExitCode::ConfigTest);
    }
    let cyrillic = instance("stat\u{0435} MASTER\npr\u{0435}empt_delay 5\nadvert_int 1");
    assert_eq!(
        said(&cyrillic, "U+0435 (letter that only looks like a Latin one) stands in 2 places"),
        1,
        "{:?}",
        short(&cyrillic)
    );
    // Also where it is the only one.
    for (line, name) in [
        (
            "pr\u{0435}empt_delay 5",
            "it contains U+0435 (letter that only looks like a Latin one): write the Latin letter; did you mean `preempt_delay`?",
        ),
        ("priority\u{A0}100", "it contains U+00A0 (no-break blank): write a plain blank"),
        (
            "virtual_ipaddress_excluded {\n10.0.0.9 dev e0\u{200B}/\n}",
            "it contains U+200B (invisible character): remove it",
        ),
        ("advert_int 1\u{200B}", "it contains U+200B (invisible character): remove it"),
    ] {
        let loaded = instance(line);
        assert_eq!((said(&loaded, name), loaded.diags.len()), (1, 1), "{line}: {:?}", short(&loaded));
        assert_eq!(loaded.config_test_exit(), ExitCode::ConfigTest);
    }
    // A value that only this machine knows to be wrong.
    let loaded = instance("track_interface {\neth0\u{200B}\n}");
    let missing = kalived::config::check_interfaces(&loaded, &|n| n == "eth0", &["eth0"]);
    assert_eq!(missing.len(), 1);
    assert_eq!(missing[0].help.as_deref(), Some("it contains U+200B (invisible character): remove it"));
}

#[test]
fn one_mistake_is_one_message() {
    let failing = |loaded: &Loaded| -> Vec<String> {
        let kept = loaded.diags.iter().zip(short(loaded));
        let effect = |d: &kalived::config::diag::Diag| d.code() == "no-effect-yet";
        kept.filter(|(d, _)| d.severity < Severity::Note && !effect(d)).map(|(_, m)| m).collect()
    };
    let server = |lines: &str, rs: &str| {
        text(
            &(format!("virtual_server 10.0.0.1 80 {{\n{lines}\nreal_server {rs} 80 {{\n}}\n}}\n")
                + "vrrp_instance V {\ninterface eth0\nvirtual_router_id 5\nvirtual_ipaddress {\n10.0.0.1\n}\n}\n"),
        )
    };
    for loaded in [
        // No address, because the address was wrong.
        text("vrrp_instance V {\ninterface eth0\nvirtual_router_id 5\nvirtual_ipaddress {\n10.0.0.300\n}\n}\n"),
        text("vrrp_instance V {\ninterface eth0:1\nvirtual_router_id 5\nvirtual_ipaddress {\n10.0.0.3\n}\n}\n"),
        instance("advert_int 0x2"),
        instance("priority 0x20"),
        instance("garp_master_delay 99999999999999x"),
        instance("authentication {\nauth_type PASS\nauth_pass\n}"),
        server("lb_algo rr\nlb_kind dr\nprotocol TCP", "10.0.0.3"),
        server("lb_algo RR\nlb_kind DR\nprotocol TCP", "10.0.0.3"),
        server("lb_algo rr\nlb_kind DR\nprotocol TPC", "10.0.0.3"),
        server("lb_algo rr\nlb_kind DR\nprotocol TCP", "10.0.0.300"),
        text(
            "vrrp_script s {\nscript \"\"\n}\nvrrp_instance V {\ninterface eth0\nvirtual_router_id 5\nvirtual_ipaddress {\n10.0.0.1\n}\ntrack_script {\ns\n}\n}\n",
        ),
        text(
            "vrrp_script s {\n}\nvrrp_instance V {\ninterface eth0\nvirtual_router_id 5\nvirtual_ipaddress {\n10.0.0.1\n}\ntrack_script {\ns\n}\n}\n",
        ),
    ] {
        assert_eq!(failing(&loaded).len(), 1, "{}", loaded.render(false));
    }
}

#[test]
fn a_lint_about_an_unused_script_does_not_follow_from_another_mistake() {
    let look = |file: &str| {
        let mut loaded = text(file);
        loaded.look(Look { lints: true, ..Look::default() });
        loaded.diags.iter().filter(|d| d.code() == "unused-script").count()
    };
    let script = "vrrp_script s {\nscript /bin/x\n}\n";
    for instance in [
        "vrrp_instance V {\ninterface eth0\nvirtual_router_id 0\ntrack_script {\ns\n}\n}\n",
        "vrrp_instance V {\nvirtual_router_id 5\ntrack_script { s }\n}\n",
        "vrrp_instnce V {\ninterface eth0\ntrack_script {\ns weight 5\n}\n}\n",
        "vrrp_instance V {\ninterface eth0\nvirtual_router_id 5\ntrack_script {\nss\n}\n}\n",
    ] {
        assert_eq!(look(&format!("{script}{instance}")), 0, "{instance}");
    }
    assert_eq!(
        look(&format!(
            "{script}vrrp_instance V {{\ninterface eth0\nvirtual_router_id 5\ntrack_script {{\n# s\n}}\n}}\n"
        )),
        1
    );
}

#[test]
fn what_works_and_is_old_or_large_is_a_note() {
    let passes = |file: &str| {
        let file = format!(
            "{file}\nvrrp_instance V {{\ninterface eth0\nvirtual_router_id 5\nvirtual_ipaddress {{\n10.0.0.1\n}}\n}}\n"
        );
        let mut loaded = text(&file);
        loaded.look(Look { allow: &["no-effect-yet".to_owned()], ..Look::default() });
        assert_eq!(loaded.config_test_exit(), ExitCode::Ok, "{}", loaded.render(false));
        assert_eq!(loaded.diags.len(), 1, "{}", loaded.render(false));
    };
    passes("global_defs {\nvrrp_garp_interval 1.0\n}");
    passes("global_defs {\nvrrp_gna_interval 2\n}");
    passes("global_defs {\nvrrp_rlimit_rtime 10000\n}");
    passes("vrrp_track_file f {\nfile /run/f\n}");
    // One message for the host of a mail check: it is not an old name of another keyword.
    let check = "virtual_server 10.0.0.1 80 {\nlb_algo rr\nlb_kind NAT\nprotocol TCP\nreal_server 10.0.0.3 80 {\nSMTP_CHECK {\nhost {\nconnect_ip 10.0.0.3\n}\n}\n}\n}";
    passes(check);
    assert_eq!(said(&text(check), "write one SMTP_CHECK for each host"), 1);
    assert_eq!(said(&text(check), "old name"), 0);
}

#[test]
fn a_refused_line_is_not_dumped_in_part() {
    let file = "static_routes {\n10.1.0.0/24 via 10.0.0.9\n10.2.0.0/24 via 10.0.0.9 restore\n}\nvrrp_instance V {\ninterface eth0\nvirtual_router_id 5\nstate FOO\npriority 300 # x\nadvert_int 1 s\nvirtual_ipaddress {\n10.0.0.1/24\n10.0.0.300\n}\n}\n";
    let text = dumped(file);
    for gone in ["10.2.0.0", "restore", "300", "FOO", "10.0.0.300", "advert_int 1 s"] {
        assert!(!text.contains(gone), "{gone}\n{text}");
    }
    assert!(text.contains("10.1.0.0/24 via 10.0.0.9") && text.contains("advert_int 1"), "{text}");
    let master = dumped(&file.replace("state FOO", "state MASTER"));
    assert!(!master.contains("300"), "{master}");
}

#[test]
fn families_protocols_and_groups_of_services() {
    let server = |head: &str, lines: &str, more: &str| {
        let mut loaded = text(&format!("virtual_server {head} {{\n{lines}\n}}\n{more}"));
        loaded.look(Look { allow: &["no-effect-yet".to_owned()], ..Look::default() });
        let rest = short(&loaded).into_iter().filter(|m| !m.contains("nothing to run")).collect::<Vec<_>>();
        (loaded, rest)
    };
    let v6 = "2001:db8::1 80";
    for lines in [
        "lb_algo rr\nprotocol TCP\nlb_kind TUN\nreal_server 10.0.0.3 80 {\n}",
        "lb_algo rr\nprotocol TCP\nreal_server 10.0.0.3 80 {\n}\nlb_kind TUN",
        "lb_algo rr\nprotocol TCP\nlb_kind NAT\nreal_server 10.0.0.3 80 {\nlvs_method TUN\n}",
        "lb_algo rr\nprotocol TCP\nlb_kind TUN\nsorry_server 10.0.0.4 80\nreal_server 2001:db8::3 80 {\n}",
    ] {
        let (loaded, rest) = server(v6, lines, "");
        assert!(!rest.iter().any(|m| m.contains("family")), "{rest:?}");
        assert_eq!(loaded.config.virtual_servers[0].real_servers.len(), 1, "{lines}");
    }
    let (_, rest) = server(v6, "lb_algo rr\nprotocol TCP\nlb_kind DR\nreal_server 10.0.0.3 80 {\n}", "");
    assert_eq!(rest.iter().filter(|m| m.contains("another address family")).count(), 1, "{rest:?}");
    // Marks have no protocol; addresses need one.
    let lines = "lb_algo rr\nlb_kind NAT\nreal_server 10.0.0.3 80 {\n}";
    let (_, rest) = server("group G", lines, "virtual_server_group G {\nfwmark 1\nfwmark 2\n}\n");
    assert_eq!(rest, [""; 0]);
    let (loaded, rest) = server("group G", lines, "virtual_server_group G {\nfwmark 1\n10.0.0.1 80\n}\n");
    assert_eq!(rest.iter().filter(|m| m.contains("without a protocol")).count(), 1, "{rest:?}");
    assert!(loaded.config.virtual_servers[0].protocol.is_some());
}

#[test]
fn a_script_below_what_tracks_it() {
    let script = "vrrp_script s {\nscript /bin/x\n}\n";
    let instance = "vrrp_instance V {\ninterface eth0\nvirtual_router_id 5\nvirtual_ipaddress {\n10.0.0.1\n}\ntrack_script {\ns\n}\n}\n";
    let below = text(&format!("{instance}{script}"));
    assert_eq!(short(&below).len(), 1, "{:?}", short(&below));
    assert_eq!(said(&below, "8:1 note: `s` is defined below: keepalived does not use it here, kalived does"), 1);
    assert_eq!(below.config.instances[0].more.tracks.scripts.len(), 1);
    assert_eq!(text(&format!("{script}{instance}")).render(false), "");
    // keepalived looks all of them up when it reads the line.
    for (track, block, define) in [
        ("track_file", "track_file", "track_file s {\nfile /run/f\nweight 1\n}\n"),
        ("track_file", "track_file", "vrrp_track_file s {\nfile /run/f\nweight 1\n}\n"),
        ("track_process", "vrrp_track_process", "vrrp_track_process s {\nprocess nginx\nweight 1\n}\n"),
        ("track_bfd", "bfd_instance", "bfd_instance s {\nneighbor_ip 10.0.0.9\nsource_ip 10.0.0.8\n}\n"),
    ] {
        let instance = instance.replace("track_script", track);
        let below = text(&format!("{instance}{define}"));
        let want = "8:1 note: `s` is defined below: keepalived does not use it here, kalived does";
        assert_eq!(said(&below, want), 1, "{track}: {:?}", short(&below));
        assert_eq!(said(&below, &format!("move the {block} above")), 1, "{track}: {:?}", short(&below));
        assert_eq!(said(&text(&format!("{define}{instance}")), "defined below"), 0);
    }
}

#[test]
fn one_vrid_with_different_destinations() {
    let two = |a: &str, b: &str| {
        let one = |name: &str, ip: &str, lines: &str| {
            format!(
                "vrrp_instance {name} {{\ninterface eth0\nvirtual_router_id 5\n{lines}\nvirtual_ipaddress {{\n{ip}\n}}\n}}\n"
            )
        };
        said(&text(&(one("A", "10.0.0.1", a) + &one("B", "10.0.0.2", b))), "is used twice")
    };
    assert_eq!(two("", ""), 1);
    assert_eq!(two("", "unicast_peer {\n10.0.0.9\n}"), 0);
    assert_eq!(two("", "mcast_dst_ip 224.0.0.99"), 0);
    assert_eq!(two("mcast_dst_ip 224.0.0.99", "mcast_dst_ip 224.0.0.99"), 1);
}

#[test]
fn what_to_write_instead() {
    for (file, want) in [
        (
            instance("virtual_ipaddress_excluded {\n10.0.0.9/255.255.255.0\n}"),
            "/32 is used | write the netmask as a prefix length: `10.0.0.9/24`",
        ),
        (
            instance("virtual_routes {\n10.3.0.0/255.255.0.0 via 10.0.0.9\n}"),
            "the line is ignored | write the netmask as a prefix length: `10.3.0.0/16`",
        ),
        (
            instance("virtual_rules {\nfrom 10.3.0.0/255.255.0.0 table 5 preference 9\n}"),
            "write the netmask as a prefix length: `10.3.0.0/16`",
        ),
        (
            text("static_routes {\n10.3.0.0/255.255.255.128 via 10.0.0.9\n}\n"),
            "write the netmask as a prefix length: `10.3.0.0/25`",
        ),
        (text("static_routes {\n10.3.0.0/255.0.255.0 via 10.0.0.9\n}\n"), "allowed: <ip>[/<len>], default"),
        (instance("priority 100 // of this one"), "a comment starts with `#` or `!`"),
        (instance("virtual_ipaddress_excluded {\n10.0.0.9 // x\n}"), "a comment starts with `#` or `!`"),
        (
            text("virtual_server 10.0.0.1 80 {\nnat_mask 255.255.255.0\n}\n"),
            "keepalived dropped `nat_mask` long ago, and nothing took its place: remove it",
        ),
        (
            text("virtual_server 10.0.0.1 80 {\nreal_server 10.0.0.2 80 {\nTCP_CHECK {\nnb_get_retry 3\n}\n}\n}\n"),
            "write `retry`",
        ),
        (text("global_defs {\nsmtp_server 10.0.0.300\n}\n"), "`10.0.0.300` is not the name of a host"),
        (text("global_defs {\nsmtp_server <mail>\n}\n"), "a template was not filled in: `<mail>` stands here"),
    ] {
        assert_eq!(said(&file, want), 1, "{want}\n{:?}", short(&file));
    }
    let masked = instance("virtual_ipaddress_excluded {\n10.0.0.9/255.255.255.0\n}");
    assert_eq!(masked.config.instances[0].excluded.len(), 1);
    for good in ["10.0.0.1", "mail.example.org", "mail", "2001:db8::1", "mail.example.org. 587"] {
        assert_eq!(said(&text(&format!("global_defs {{\nsmtp_server {good}\n}}\n")), "name of a host"), 0, "{good}");
    }
}

#[test]
fn parts_without_effect_yet_are_judged_as_keepalived_does() {
    assert_eq!(said(&text("static_rules {\nfrom 10.0.0.0/24 table 5\n}\n"), "a rule without a preference"), 1);
    assert_eq!(
        said(&text("static_rules {\nfrom 10.0.0.0/24 table 5 preference 9\n}\n"), "a rule without a preference"),
        0
    );
    let pair = "vrrp_script s {\nscript /bin/x\n}\nvrrp_instance V {\ninterface eth0\nvirtual_router_id 5\nvirtual_ipaddress {\n10.0.0.1\n}\ntrack_script {\ns\n}\ntrack_interface {\neth1\n}\n}\n\
                vrrp_sync_group g {\ngroup {\nV\nW\n}\ntrack_script {\ns weight 5\n}\ntrack_interface {\neth1\n}\n}\nvrrp_instance W {\ninterface eth0\nvirtual_router_id 6\nvirtual_ipaddress {\n10.0.0.2\n}\n}\n";
    let loaded = text(pair);
    assert_eq!(
        said(&loaded, "warning: `s` is tracked by vrrp_instance V and by its vrrp_sync_group g"),
        1,
        "{:?}",
        short(&loaded)
    );
    assert_eq!(said(&loaded, "warning: `eth1` is tracked by vrrp_instance V and by its vrrp_sync_group g"), 1);
    let twice = text(&format!("{pair}vrrp_sync_group h {{\ngroup {{\nV\nX\n}}\n}}\n"));
    assert_eq!(said(&twice, "error: `V` is in vrrp_sync_group g already: h does not get it"), 1);
    assert_eq!(twice.config.sync_groups.len(), 1, "and nobody else is in it");
    let owner = text(&pair.replace("virtual_router_id 6", "virtual_router_id 6\npriority 255"));
    assert_eq!(said(&owner, "warning: vrrp_sync_group g has members with priority 255 and others"), 1);
    assert_eq!(said(&instance("unicast_src_ip 10.0.0.5"), "note: `unicast_src_ip` without `unicast_peer`"), 1);
}

#[test]
fn a_pattern_that_finds_nothing_is_told() {
    let loaded = text(
        "include /none/*.conf\nvrrp_instance V {\ninterface eth0\nvirtual_router_id 5\nvirtual_ipaddress {\n10.0.0.1\n}\n}\n",
    );
    assert_eq!(short(&loaded), ["1:1 note: no file matches `/none/*.conf`: nothing is included"]);
    assert_eq!(loaded.config_test_exit(), ExitCode::Ok);
}

/// A regex that this engine does not have is reported where it stands; the rest of the check holds.
#[test]
fn a_regex_that_cannot_be_used() {
    for (lines, why) in [
        ("regex \"(?<=a)b\"", "it has look-behind, which only PCRE has"),
        ("regex \"a(?!b)\"", "it has look-ahead, which only PCRE has"),
        ("regex \"(a)\\\\1\"", "it has a back-reference, which only PCRE has"),
        ("regex \"a(\"", "unclosed group"),
        ("regex a\nregex_options firstline", "only PCRE has regex_options firstline"),
        ("regex_no_match \"(a{1000}){1000}\"", "it becomes larger than 256 KiB"),
    ] {
        let file = format!(
            "virtual_server 10.0.0.1 80 {{\nlb_algo rr\nlb_kind DR\nprotocol TCP\nreal_server 10.0.0.2 80 {{\nHTTP_GET {{\nurl {{\npath /\n{lines}\n}}\n}}\n}}\n}}\n"
        );
        let loaded = text(&file);
        assert_eq!(said(&loaded, &format!("the regex cannot be used: {why}")), 1, "{:?}", short(&loaded));
        let checks = &loaded.config.virtual_servers[0].real_servers[0].checks;
        let kalived::config::model::check::CheckKind::Http(http) = &checks[0].kind else { panic!("{checks:?}") };
        assert_eq!((http.urls.len(), http.urls[0].regex.is_none()), (1, true));
    }
}

/// What virtual servers and their checks mean where a file leaves it open, as with keepalived.
#[test]
fn virtual_servers_as_keepalived_reads_them() {
    use kalived::config::model::check::{CheckKind, DnsType};
    use kalived::config::model::lvs::{GroupEntry, IpFamily, Method, VirtualServer};
    let load = |head: &str, lines: &str, server: &str, before: &str| {
        let own = "delay_loop 5\nlb_algo rr\n";
        text(&format!("{before}virtual_server {head} {{\n{own}{lines}\nreal_server {server}\n}}\n"))
    };
    let one = |loaded: &Loaded| -> VirtualServer { loaded.config.virtual_servers[0].clone() };
    let quiet = |loaded: &Loaded| assert_eq!(loaded.render(false), "");
    let tcp = "10.0.0.2 80 {\nTCP_CHECK {\n}\n}";
    // A service with a mark: its servers keep their ports.
    for kind in ["NAT", "DR", "TUN"] {
        let file = load("fwmark 9", &format!("lb_kind {kind}"), "10.0.0.2 8080 {\nTCP_CHECK {\n}\n}", "");
        let ignored = "only NAT has ports behind a mark: the port of 1 is ignored but for their checks";
        assert_eq!(said(&file, ignored), usize::from(kind != "NAT"));
        assert_eq!((one(&file).real_servers[0].port, one(&file).ip_family), (8080, Some(IpFamily::Inet)));
    }
    // The same mark for the other family, which the first server has.
    let six = load("fwmark 9", "lb_kind NAT", "fd77::2 {\n}", "");
    assert_eq!(one(&six).ip_family, Some(IpFamily::Inet6));
    // A group entry without a port needs persistence, wherever the group stands; its range may be written in full.
    let group = "virtual_server_group G {\n10.0.0.1-10.0.0.3 80\n10.0.0.9\n}\n";
    let lines = "lb_kind DR\nprotocol TCP";
    let file = load("group G", lines, tcp, group);
    assert_eq!((one(&file).persistence_timeout, said(&file, "needs persistence: 360 seconds")), (360, 1));
    assert_eq!(file.config.server_groups[0].entries[0], GroupEntry::Range([10, 0, 0, 1].into(), 2, 80));
    let file = load("group G", lines, tcp, &group.replace("10.0.0.9", "10.0.0.9 80"));
    quiet(&file);
    assert_eq!(one(&file).persistence_timeout, 0);
    // The sorry server has the method of the service, wherever that stands.
    let file = load("10.0.0.1 80", "protocol TCP\nsorry_server 10.0.0.7 80\nlb_kind DR", tcp, "");
    assert_eq!(one(&file).sorry.unwrap().method, Method::Dr);
    let own = "protocol TCP\nsorry_server 10.0.0.7 80\nsorry_server_lvs_method NAT\nlb_kind DR";
    assert_eq!(one(&load("10.0.0.1 80", own, tcp, "")).sorry.unwrap().method, Method::Nat);
    // Checks.
    let lines = "lb_kind DR\nprotocol TCP";
    let checks = |check: &str| {
        let file = load("10.0.0.1 80", lines, &format!("10.0.0.2 80 {{\n{check}\n}}"), "");
        (one(&file).real_servers[0].checks.clone(), file)
    };
    let (found, file) = checks("DNS_CHECK {\ntype mx\n}");
    quiet(&file);
    assert!(matches!(&found[0].kind, CheckKind::Dns(d) if d.query == DnsType::Mx));
    let (found, file) = checks("TCP_CHECK {\nbindto fd77::9\n}");
    assert_eq!((found[0].target.bindto, said(&file, "is not of the family that is checked: it is ignored")), (None, 1));
    assert_eq!(
        checks("TCP_CHECK {\nconnect_ip fd77::2\nbindto fd77::9\n}").0[0].target.bindto,
        Some([0xfd77, 0, 0, 0, 0, 0, 0, 9].into())
    );
    for check in ["FILE_CHECK {\ntrack_file nope\n}", "BFD_CHECK {\nname nope\n}"] {
        let (found, file) = checks(&format!("{check}\nTCP_CHECK {{\n}}"));
        assert_eq!((found.len(), said(&file, "`nope` in a ")), (1, 1), "{:?}", short(&file));
    }
    let (found, file) = checks("TCP_CHECK {\nbind_if nope9\n}");
    assert_eq!((found[0].target.bind_if.as_deref(), &*file.interfaces[0].name), (Some("nope9"), "nope9"));
    // All weights 0.
    let file = load("10.0.0.1 80", lines, "10.0.0.2 80 {\nweight 0\n}", "");
    assert_eq!((one(&file).quorum, said(&file, "all weights are 0: the quorum is never reached")), (1, 1));
}

/// Forms that keepalived.conf(5) has and that look wrong: bytes in any grouping, `regex_no_match` without a word, and a port of a real
/// server that only NAT could use.
#[test]
fn forms_of_checks_that_look_wrong_mean_what_keepalived_means() {
    let check = |lines: &str| {
        let loaded = text(&format!(
            "virtual_server 10.0.0.1 443 {{\nlb_algo rr\nlb_kind DR\nprotocol TCP\nreal_server 10.0.0.3 8080 {{\n{lines}\n}}\n}}\n"
        ));
        let rs = loaded.config.virtual_servers[0].real_servers[0].clone();
        let spec = CheckSpec::of(&loaded.config, &loaded.config.virtual_servers[0], &rs, &rs.checks[0]).remove(0);
        (rs, spec, short(&loaded))
    };
    let (rs, spec, said) = check("TCP_CHECK {\n}");
    assert_eq!((rs.port, spec.what), (443, What::Tcp(([10, 0, 0, 3], 8080).into())), "{said:?}");
    let (_, spec, said) = check("TCP_CHECK {\nconnect_port 81\n}");
    assert_eq!(spec.what, What::Tcp(([10, 0, 0, 3], 81).into()), "{said:?}");
    let (_, spec, said) = check("UDP_CHECK {\npayload Ab12f 3 456 546443123\nrequire_reply 1 xf\n}");
    let bytes = [0xab, 0x12, 0x0f, 0x03, 0x45, 0x06, 0x54, 0x64, 0x43, 0x12, 0x03];
    assert!(
        matches!(&spec.what, What::Udp { payload, reply, .. } if **payload == bytes && *reply == Some(vec![(1, 0xff), (0xf, 0xf)])),
        "{spec:?} {said:?}"
    );
    let (_, spec, said) = check("UDP_CHECK {\nrequire_reply 1z\n}");
    assert!(
        matches!(&spec.what, What::Udp { reply: Some(any), .. } if any.is_empty()),
        "silence is no success: {said:?}"
    );
    for lines in ["regex nothing\nregex_no_match", "regex_no_match\nregex nothing", "regex_no_match nothing"] {
        let (rs, _, said) = check(&format!("HTTP_GET {{\nurl {{\npath /\n{lines}\n}}\n}}"));
        let CheckKind::Http(http) = &rs.checks[0].kind else { panic!("{rs:?}") };
        let regex = http.urls[0].regex.as_deref().expect("a regex");
        assert_eq!((regex.pattern.as_deref(), regex.no_match), (Some("nothing"), true), "{lines}: {said:?}");
    }
    let (_, spec, _) = check("HTTP_GET {\nurl {\npath /\nregex_no_match\n}\n}");
    assert!(matches!(&spec.what, What::Http(http) if http.pages[0].regex.is_none()));
}
