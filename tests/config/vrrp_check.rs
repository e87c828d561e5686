//! kalived's own checks, and scripts that are equivalent to one.

use super::common::{instance, short, text};
use kalived::config::model::setting::Weight;
use kalived::config::model::vrrp::{CheckTarget, Track, VrrpCheck};
use kalived::exit::ExitCode;
use std::time::Duration;

/// An instance that tracks `c`, and this block of it.
fn with(block: &str) -> kalived::config::Loaded {
    let head = "vrrp_instance V {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {\n10.0.0.1\n}\ntrack_check {\nc weight -20 reverse\n}\n}\n";
    text(&format!("{head}vrrp_check c {{\n{block}\n}}\n"))
}

#[test]
fn everything_said_is_kept() {
    let loaded = with(
        "http http://[fd00::1]:8080/health?deep=1 host www.example.org status 200-399\ninterval 0.25\ntimeout 2\nweight 30 reverse\nrise 2\nfall 3\ninit_fail",
    );
    assert_eq!(loaded.render(false), "");
    let target = CheckTarget::Http {
        to: "[fd00::1]:8080".parse().unwrap(),
        host: "www.example.org".into(),
        path: "/health?deep=1".into(),
        status: (200, 399),
    };
    assert_eq!(
        loaded.config.checks,
        [VrrpCheck {
            name: "c".into(),
            target: Some(target),
            interval: Duration::from_millis(250),
            timeout: Duration::from_secs(2),
            weight: Weight { weight: 30, reverse: true },
            rise: 2,
            fall: 3,
            init_fail: true,
        }]
    );
    let tracks = &loaded.config.instances[0].more.tracks;
    assert_eq!(tracks.checks, [Track { name: "c".into(), weight: Some(-20), reverse: Some(true) }]);
}

#[test]
fn each_target() {
    let of = |line: &str| {
        let loaded = with(line);
        assert_eq!(loaded.render(false), "", "{line}");
        format!("{:?}", loaded.config.checks[0].target.clone().unwrap())
    };
    assert_eq!(of("tcp localhost 3306"), "Tcp(127.0.0.1:3306)");
    assert_eq!(of("tcp [::1]:80"), "Tcp([::1]:80)");
    assert_eq!(of("unix /run/haproxy.sock"), "Unix(\"/run/haproxy.sock\")");
    assert_eq!(of("process /usr/sbin/nginx -g 'x'"), "Process([\"/usr/sbin/nginx\", \"-g\", \"'x'\"])");
    assert_eq!(
        of("http http://localhost"),
        "Http { to: 127.0.0.1:80, host: \"localhost\", path: \"/\", status: (200, 299) }"
    );
}

#[test]
fn a_host_name_is_refused_and_the_remedy_told() {
    let loaded = with("http http://www.example.org/health");
    let said = loaded.render(false);
    assert!(said.contains("`http://www.example.org/health` cannot be used here: `http` is ignored"), "{said}");
    assert!(said.contains("a host name goes after `host`"), "{said}");
    // Without a target there is no check, and nothing to track: that consequence is not reported again. The instance runs.
    assert_eq!(loaded.diags.len(), 1, "{said}");
    assert_eq!((loaded.fatal(), loaded.config_test_exit()), (None, ExitCode::ConfigTest));
    assert!(loaded.config.instances[0].more.tracks.checks.is_empty());
}

#[test]
fn one_target_one_block_of_a_name() {
    let loaded = with("tcp 127.0.0.1:80\nunix /s");
    assert_eq!(
        short(&loaded),
        ["13:1 error: a vrrp_check has one target: `unix` is ignored | make a second vrrp_check"]
    );
    assert_eq!(loaded.config.checks[0].target, Some(CheckTarget::Tcp("127.0.0.1:80".parse().unwrap())));
    let twice = with("unix /a\n}\nvrrp_check c {\nunix /b");
    assert_eq!(
        short(&twice),
        [
            "14:12 error: a second vrrp_check `c`: this block is ignored | give it another name | 11:12 the first one is here"
        ]
    );
}

/// An unknown name discards its line, never the instance, and the nearest name is offered.
#[test]
fn names_that_nothing_defines() {
    let blocks = "vrrp_script web {\nscript /bin/true\n}\nvrrp_check web {\nunix /s\n}\ntrack_file web {\nfile /f\n}\n\
                  vrrp_track_process web {\nprocess x\n}\n";
    for (word, block) in [
        ("track_script", "vrrp_script"),
        ("track_check", "vrrp_check"),
        ("track_file", "track_file"),
        ("track_process", "vrrp_track_process"),
    ] {
        let head = "vrrp_instance V {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {\n10.0.0.1\n}\n";
        let loaded = text(&format!("{head}{word} {{\nwbe\nweb\n}}\n}}\n{blocks}"));
        let said: Vec<String> = short(&loaded).into_iter().filter(|m| !m.contains("is defined below")).collect();
        assert_eq!(
            said,
            [format!(
                "8:1 error: `wbe` in {word} of vrrp_instance V is no {block} of this file: it is ignored | did you mean `web`?"
            )]
        );
        assert_eq!(loaded.fatal(), None);
        let t = &loaded.config.instances[0].more.tracks;
        let kept: Vec<&str> =
            [&t.scripts, &t.checks, &t.files, &t.processes].into_iter().flatten().map(|t| &*t.name).collect();
        assert_eq!(kept, ["web"], "{word}");
    }
    let owner = instance("priority 255\ntrack_check {\nc weight 5\n}\n}\nvrrp_check c {\nunix /s");
    assert!(short(&owner)[0].contains("priority 255 is never changed: `c` is not tracked"), "{:?}", short(&owner));
}

#[test]
fn a_script_that_only_opens_a_port_needs_no_program() {
    let of = |line: &str| {
        let loaded = text(&format!("vrrp_script s {{\nscript {line}\n}}\n"));
        let s = &loaded.config.scripts[0];
        (s.native.clone(), s.script.as_ref().unwrap().argv.join(" "))
    };
    let tcp = |a: &str| Some(CheckTarget::Tcp(a.parse().unwrap()));
    assert_eq!(of("\"</dev/tcp/127.0.0.1/80\""), (tcp("127.0.0.1:80"), "/bin/bash -c </dev/tcp/127.0.0.1/80".into()));
    assert_eq!(of("\"< /dev/tcp/localhost/3306\"").0, tcp("127.0.0.1:3306"));
    assert_eq!(of("\"</dev/tcp/www/80\"").0, None);
    assert_eq!(of("\"exec 3<>/dev/tcp/127.0.0.1/80\""), (None, "/bin/bash -c exec 3<>/dev/tcp/127.0.0.1/80".into()));
}

#[test]
fn a_change_of_a_check_is_one_of_that_block() {
    let (old, new) = (with("tcp 127.0.0.1:80"), with("tcp 127.0.0.1:81"));
    let plan = kalived::config::diff::diff(&old.config, &new.config).to_string();
    assert!(plan.contains("vrrp_check c") && plan.contains("127.0.0.1:81"), "{plan}");
}
