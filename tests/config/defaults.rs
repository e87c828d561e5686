//! Defaults, bounds and the rules between keywords.

use super::common::{clean, instance, short, text};
use kalived::config::Loaded;
use kalived::config::diag::Severity;
use kalived::config::model::{Auth, ChecksumMode, Family, InstanceConfig, Process, Version, default_group};
use kalived::exit::ExitCode;
use std::time::Duration;

#[test]
fn an_instance_without_settings_has_the_defaults() {
    let loaded = instance("");
    let got = clean(&loaded);
    let want = InstanceConfig {
        place: got.place.clone(),
        vips: got.vips.clone(),
        ..InstanceConfig::new("V", "eth0", 5, Family::V4)
    };
    assert_eq!(*got, want);
    assert_eq!((got.version, got.priority, got.advert_int), (Version::V2, 100, Duration::from_secs(1)));
    assert_eq!(got.place.to_string(), "k.conf:1:1");
    assert_eq!(loaded.config.global, Default::default());
}

/// The instance with these lines in it; no message but notes.
#[track_caller]
fn with(lines: &str) -> InstanceConfig {
    let loaded = instance(lines);
    assert!(loaded.diags.iter().all(|d| d.severity == Severity::Note), "{}", loaded.render(false));
    loaded.config.instances[0].clone()
}

#[test]
fn every_setting_reaches_the_model() {
    let s = Duration::from_secs;
    let c = with(
        "priority 200\nadvert_int 2\nnopreempt\ngarp_master_delay 1.5\ngarp_master_repeat 2\ngarp_master_refresh 60",
    );
    assert_eq!((c.priority, c.advert_int, c.preempt), (200, s(2), false));
    assert_eq!((c.garp.delay, c.garp.repeat, c.garp.refresh), (Duration::from_millis(1500), 2, s(60)));
    // The default of the burst for a lower priority is the global one of a new Master, not that of the instance.
    assert_eq!((c.garp.lower_prio_delay, c.garp.lower_prio_repeat), (s(5), 5));
    let c = with("garp_lower_prio_repeat 0\ngarp_lower_prio_delay 7\ngarp_master_refresh_repeat 3");
    assert_eq!((c.garp.lower_prio_delay, c.garp.lower_prio_repeat, c.garp.refresh_repeat), (s(7), 0, 3));
    let c = with("mcast_src_ip 10.0.0.9\nmcast_dst_ip 224.0.0.99\ndont_track_primary\ndown_timer_adverts 100");
    assert_eq!((c.mcast_src, c.mcast_group), ("10.0.0.9".parse().ok(), "224.0.0.99".parse().unwrap()));
    assert_eq!((c.track_primary, c.down_timer_adverts), (false, 100));
    let c =
        with("lower_prio_no_advert\nhigher_prio_send_advert yes\nskip_check_adv_addr on\nversion 3\nv3_checksum_as_v2");
    assert!(c.lower_prio_no_advert && c.higher_prio_send_advert && c.skip_check_adv_addr);
    assert_eq!((c.version, c.checksum), (Version::V3, ChecksumMode::MessageOnly));
    assert!(!with("skip_check_adv_addr false").skip_check_adv_addr);
    assert_eq!(with("preempt_delay 0.5").preempt_delay, Duration::from_millis(500));
    assert!(with("nopreempt\npreempt").preempt);
    let c = with("track_interface {\neth1\neth2 weight -20\neth3 weight 253 reverse\n}");
    let got: Vec<_> = c.track_interfaces.iter().map(|t| (t.name.as_str(), t.weight, t.reverse)).collect();
    assert_eq!(got, [("eth1", 0, false), ("eth2", -20, false), ("eth3", 253, true)]);
}

#[test]
fn global_settings_are_defaults_wherever_they_stand() {
    let loaded = text(
        "vrrp_instance V {\ninterface e\nvirtual_router_id 1\ngarp_master_repeat 9\nvirtual_ipaddress {\n10.0.0.1/8\n}\n}\n\
         vrrp_instance W {\ninterface e\nvirtual_router_id 1\nlower_prio_no_advert false\nvirtual_ipaddress {\nfe80::1/64\n}\n}\n\
         global_defs {\nrouter_id lb1\nvrrp_version 3\nvrrp_garp_master_repeat 2\nvrrp_garp_master_delay 3\nvrrp_garp_interval 0.001\n\
         vrrp_gna_interval 0.000002\nvrrp_lower_prio_no_advert\nvrrp_mcast_group4 224.0.0.50\nvrrp_mcast_group6 ff02::50\n\
         vrrp_priority -20\nvrrp_rt_priority 50\nvrrp_no_swap\nvrrp_rlimit_rttime 10000\nvrrp_cpu_affinity 3 1\n\
         vrrp_down_timer_adverts 5\nv3_checksum_as_v2\nvrrp_skip_check_adv_addr\nvrrp_higher_prio_send_advert\n}\n",
    );
    assert_eq!(short(&loaded), [""; 0]);
    let (v, w) = (&loaded.config.instances[0], &loaded.config.instances[1]);
    assert_eq!((v.version, v.garp.repeat, v.garp.delay), (Version::V3, 9, Duration::from_secs(3)));
    assert_eq!((v.garp.lower_prio_repeat, v.garp.lower_prio_delay), (2, Duration::from_secs(3)));
    assert_eq!((v.garp.garp_interval, v.garp.gna_interval), (Duration::from_millis(1), Duration::from_micros(2)));
    assert_eq!((v.mcast_group.to_string(), w.mcast_group.to_string()), ("224.0.0.50".into(), "ff02::50".into()));
    assert_eq!(
        (w.garp.repeat, w.family, w.down_timer_adverts, w.checksum),
        (2, Family::V6, 5, ChecksumMode::MessageOnly)
    );
    assert!(v.lower_prio_no_advert && !w.lower_prio_no_advert && v.skip_check_adv_addr && v.higher_prio_send_advert);
    assert_eq!(loaded.config.global.router_id.as_deref(), Some("lb1"));
    let want = Process {
        nice: Some(-20),
        rt_priority: Some(50),
        no_swap: true,
        rlimit_rttime: Some(10000),
        cpu_affinity: vec![1, 3],
    };
    assert_eq!(loaded.config.global.process, want);
}

#[test]
fn min_garp_changes_only_what_is_at_its_default() {
    let head = "global_defs {\nvrrp_min_garp\n}\n";
    let get = |lines: &str| {
        let body = format!(
            "vrrp_instance V {{\ninterface e\nvirtual_router_id 1\nvirtual_ipaddress {{\n10.0.0.1\n}}\n{lines}\n}}\n"
        );
        let loaded = text(&format!("{head}{body}"));
        clean(&loaded).garp.clone()
    };
    let g = get("");
    assert_eq!((g.repeat, g.delay, g.lower_prio_repeat, g.lower_prio_delay), (1, Duration::ZERO, 1, Duration::ZERO));
    assert_eq!((get("garp_master_repeat 4").repeat, get("garp_master_delay 4").delay), (4, Duration::from_secs(4)));
}

#[test]
fn address_lines() {
    let one = |line: &str| {
        let loaded = text(&format!(
            "vrrp_instance V {{\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {{\n{line}\n}}\n}}\n"
        ));
        clean(&loaded).vips[0].clone()
    };
    let v = one("192.168.200.17/24 brd + dev eth1 label eth1:1 scope link noprefixroute");
    assert_eq!(
        (v.addr.to_string(), v.prefix, v.dev.as_deref(), v.label.as_deref()),
        ("192.168.200.17".into(), 24, Some("eth1"), Some("eth1:1"))
    );
    assert_eq!((v.brd, v.scope, v.noprefixroute, v.deprecated), ("192.168.200.255".parse().ok(), 253, true, false));
    assert_eq!(v.place.to_string(), "k.conf:5:1");
    assert_eq!(one("10.1.2.3/20 brd -").brd, "10.1.0.0".parse().ok());
    assert_eq!(one("10.1.2.3/0 broadcast +").brd, "255.255.255.255".parse().ok());
    assert_eq!(one("10.1.2.3/30 brd 10.9.9.9").brd, "10.9.9.9".parse().ok());
    let v = one("10.1.2.3");
    assert_eq!((v.prefix, v.dev, v.brd, v.scope, v.deprecated), (32, None, None, 0, false));
    assert_eq!(one("10.1.2.3 scope 200").scope, 200);
    assert_eq!(one("10.1.2.3 peer 10.1.2.4/31").peer, "10.1.2.4".parse().ok());
    for (line, prefix, deprecated) in [
        ("2001:db8::1", 128, true),
        ("2001:db8::1/128", 128, true),
        ("2001:db8::1/64", 64, false),
        ("2001:db8::1 preferred_lft forever", 128, false),
        ("2001:db8::1/64 preferred_lft 0", 64, true),
    ] {
        let v = one(line);
        assert_eq!((v.prefix, v.deprecated), (prefix, deprecated), "{line}");
    }
}

#[test]
fn ipv6_is_always_version_3() {
    let body = |lines: &str| format!("vrrp_instance V {{\ninterface e\nvirtual_router_id 1\n{lines}\n}}\n");
    let loaded = text(&body("virtual_ipaddress {\nfe80::1/64\n}\nvirtual_ipaddress_excluded {\n10.0.0.1\n}"));
    let c = clean(&loaded);
    assert_eq!((c.family, c.version, c.mcast_group), (Family::V6, Version::V3, default_group(Family::V6)));
    assert_eq!(c.excluded.len(), 1);
    let loaded = text(&body("native_ipv6\nno_virtual_ipaddress"));
    assert_eq!((clean(&loaded).family, clean(&loaded).version), (Family::V6, Version::V3));
}

#[test]
fn authentication() {
    let auth = |pass: &str| with(&format!("authentication {{\nauth_type PASS\nauth_pass {pass}\n}}")).auth;
    assert_eq!(auth("1111"), Auth::Pass(*b"1111\0\0\0\0"));
    assert_eq!(auth("\"a b#c\""), Auth::Pass(*b"a b#c\0\0\0"));
    assert_eq!(auth("12345678"), Auth::Pass(*b"12345678"));
    let long = instance("authentication {\nauth_type PASS\nauth_pass 123456789\n}");
    assert_eq!(long.config.instances[0].auth, Auth::Pass(*b"12345678"));
    assert!(!format!("{:?}", long.config).contains("1234"));
    assert_eq!(
        short(&long),
        ["8:11 warning: `auth_pass` is longer than 8 bytes: only the first 8 are used | shorten it"]
    );
    let cut = instance("authentication {\nauth_type PASS\nauth_pass abc!1\n}");
    assert_eq!(cut.config.instances[0].auth, Auth::Pass(*b"abc\0\0\0\0\0"));
    assert!(short(&cut)[0].starts_with("8:14 note: `!` starts a comment: the password ends before it"));
    let v3 = instance("version 3\nauthentication {\nauth_type PASS\nauth_pass 1\n}");
    assert_eq!(v3.config.instances[0].auth, Auth::None);
    assert!(short(&v3)[0].starts_with("7:1 warning: VRRP version 3 has no authentication"));
}

#[test]
fn priority_and_preemption_rules() {
    assert_eq!(with("state MASTER").priority, 255);
    assert_eq!(with("state MASTER\npriority 150").priority, 150);
    assert_eq!(with("state BACKUP").priority, 100);
    for (lines, what) in [
        ("state MASTER\npriority 90\nnopreempt", "`nopreempt` has no effect with state MASTER"),
        ("priority 255\nnopreempt", "`nopreempt` has no effect with priority 255"),
        ("nopreempt\npreempt_delay 5", "`preempt_delay` has no effect with `nopreempt`"),
        ("state MASTER\npriority 90\npreempt_delay 5", "`preempt_delay` has no effect with state MASTER"),
    ] {
        let loaded = instance(lines);
        let got = short(&loaded);
        assert!(got.len() == 1 && got[0].contains("warning") && got[0].contains(what), "{got:?}");
        let c = &loaded.config.instances[0];
        assert_eq!(c.preempt_delay, Duration::ZERO);
        assert_eq!(c.preempt, !what.ends_with("`nopreempt`"), "{lines}");
        assert_eq!((loaded.fatal(), loaded.config_test_exit()), (None, ExitCode::ConfigTest));
    }
}

#[test]
fn intervals_that_the_wire_cannot_say_are_fatal() {
    let ms = Duration::from_millis;
    for (lines, want) in [
        ("advert_int 255", ms(255_000)),
        ("version 3\nadvert_int 0.01", ms(10)),
        ("version 3\nadvert_int 40.95", ms(40_950)),
        ("version 3\nadvert_int .5", ms(500)),
    ] {
        assert_eq!(with(lines).advert_int, want, "{lines}");
    }
    for lines in [
        "advert_int 0.4",
        "advert_int 1.5",
        "advert_int 0",
        "advert_int 256",
        "advert_int -1",
        "advert_int x",
        "advert_int 0,5",
        "version 3\nadvert_int 41",
        "version 3\nadvert_int 0.009",
        "version 3\nadvert_int 40.96",
        "advert_int 99999999999999999999",
        "advert_int 1.2.3",
        "advert_int .",
    ] {
        let loaded = instance(lines);
        assert_eq!(loaded.fatal(), Some(ExitCode::Config), "{lines}: {}", loaded.render(false));
    }
    let loaded = instance("version 3\nadvert_int 0.015");
    assert_eq!(loaded.config.instances[0].advert_int, ms(20));
    assert_eq!(short(&loaded), ["7:12 warning: VRRP version 3 counts hundredths of a second: 0.02 s is used"]);
}

#[test]
fn bounds() {
    // A wrong value leads to the default, and is reported.
    for (bad, check) in [
        ("priority 0", (|c| c.priority == 100) as fn(&InstanceConfig) -> bool),
        ("priority 256", |c| c.priority == 100),
        ("state MASTER\npriority 5x", |c| c.priority == 100),
        ("version 4", |c| c.version == Version::V2),
        ("preempt_delay 1000.1", |c| c.preempt_delay.is_zero()),
        ("down_timer_adverts 0", |c| c.down_timer_adverts == 3),
        ("down_timer_adverts 101", |c| c.down_timer_adverts == 3),
        ("garp_master_repeat 0", |c| c.garp.repeat == 1),
        ("garp_master_repeat -1", |c| c.garp.repeat == 5),
        ("garp_master_delay 4295", |c| c.garp.delay == Duration::from_secs(5)),
        ("mcast_src_ip fe80::1", |c| c.mcast_src.is_none()),
        ("mcast_src_ip 224.0.0.1", |c| c.mcast_src.is_none()),
        ("mcast_dst_ip 10.0.0.1", |c| c.mcast_group == default_group(Family::V4)),
        ("lower_prio_no_advert maybe", |c| !c.lower_prio_no_advert),
        ("state master", |c| c.priority == 100),
        ("track_interface {\neth0\n}", |c| c.track_interfaces.is_empty()),
        ("track_interface {\neth1 weight 254\n}", |c| c.track_interfaces[0].weight == 253),
        ("track_interface {\neth1 weight 300\n}", |c| c.track_interfaces[0].weight == 0),
        ("track_interface {\neth1\neth1 weight 5\n}", |c| c.track_interfaces.len() == 1),
    ] {
        let loaded = instance(bad);
        assert!(loaded.diags.iter().any(|d| d.severity == Severity::Error), "{bad}: {}", loaded.render(false));
        assert_eq!((loaded.fatal(), loaded.config_test_exit()), (None, ExitCode::ConfigTest), "{bad}");
        assert!(check(&loaded.config.instances[0]), "{bad}: {:?}", loaded.config.instances[0]);
    }
    // A unit after a number is accepted with a warning.
    let loaded = instance("preempt_delay 5s");
    assert_eq!(loaded.config.instances[0].preempt_delay, Duration::from_secs(5));
    assert_eq!(
        short(&loaded),
        ["6:15 warning: `5s` is not a plain number: 5 is used | the unit is seconds and not written: 5"]
    );
    for (bad, want) in
        [("vrrp_rt_priority 100", Some(99)), ("vrrp_rt_priority 0", Some(1)), ("vrrp_rt_priority x", None)]
    {
        let loaded = text(&format!("global_defs {{\n{bad}\n}}\n"));
        assert_eq!(loaded.config.global.process.rt_priority, want, "{bad}");
    }
    for bad in ["vrrp_cpu_affinity 1 1024", "vrrp_cpu_affinity 1 x", "vrrp_priority 20", "vrrp_rlimit_rttime 0"] {
        let loaded = text(&format!("global_defs {{\n{bad}\n}}\n"));
        assert_eq!(loaded.config.global.process, Process::default(), "{bad}");
        assert!(loaded.diags.iter().any(|d| d.severity == Severity::Error), "{bad}");
    }
}

#[test]
fn more_addresses_than_an_advert_carries() {
    let lines: String = (0..300).map(|i| format!("10.0.{}.{}\n", i / 200, i % 200 + 1)).collect();
    let loaded =
        text(&format!("vrrp_instance V {{\ninterface e\nvirtual_router_id 1\nvirtual_ipaddress {{\n{lines}}}\n}}\n"));
    let c = &loaded.config.instances[0];
    assert_eq!((c.vips.len(), c.excluded.len()), (255, 45));
    assert_eq!(c.excluded[0].addr.to_string(), "10.0.1.56");
    assert!(
        short(&loaded)[0].starts_with("260:1 warning: an advert carries at most 255 addresses"),
        "{:?}",
        short(&loaded)
    );
    assert_eq!(short(&loaded).len(), 1);
}

#[test]
fn strict_mode() {
    let lines = "strict_mode\nlower_prio_no_advert\nhigher_prio_send_advert\ndown_timer_adverts 9\npreempt_delay 5\nstate MASTER\n\
                 priority 150\nauthentication {\nauth_type PASS\nauth_pass x\n}";
    let loaded = instance(lines);
    assert_eq!(
        short(&loaded),
        [
            "10:15 warning: `preempt_delay` has no effect in strict mode",
            "11:7 warning: in strict mode only priority 255 may say state MASTER: BACKUP is used",
            "13:1 warning: strict mode has no authentication: the block is ignored | remove it, or `vrrp_strict`",
        ]
    );
    let c = &loaded.config.instances[0];
    assert_eq!(
        (c.auth.clone(), c.preempt_delay, c.down_timer_adverts, c.priority),
        (Auth::None, Duration::ZERO, 3, 150)
    );
    assert!(!c.lower_prio_no_advert && !c.higher_prio_send_advert);
    assert!(!c.accepts(), "a router that does not own the addresses");
    // accept mode is of version 3; the owner accepts.
    let of = |lines: &str| {
        let loaded = instance(&format!("strict_mode\nversion 3\n{lines}"));
        (loaded.config.instances[0].accepts(), short(&loaded).len())
    };
    assert_eq!((of("accept"), of("no_accept"), of("accept\nno_accept")), ((true, 0), (false, 0), (false, 0)));
    assert_eq!((of("priority 255"), of("priority 255\nno_accept")), ((true, 0), (true, 1)));
    let loaded = instance("strict_mode\naccept");
    assert!(!loaded.config.instances[0].accepts());
    assert!(short(&loaded)[0].contains("VRRP version 2 has no accept mode"), "{:?}", short(&loaded));
    assert!(instance("no_accept\naccept").config.instances[0].accepts(), "the later one counts");
    let loaded = text("global_defs {\nvrrp_strict\n}\nvrrp_instance V {\ninterface e\nvirtual_router_id 1\n}\n");
    assert_eq!(loaded.fatal(), Some(ExitCode::Config));
}

/// With `use_vmac` the interface of the instance is its own one, also where an address line names the one below.
#[test]
fn an_address_on_the_interface_below_is_on_the_own_one() {
    let file = |own: &str| {
        let vips = "virtual_ipaddress {\n10.0.0.1/24 dev eth0\n10.0.0.2/24 dev eth1\n}\n";
        text(&format!("vrrp_instance V {{\ninterface eth0\n{own}\nvirtual_router_id 5\npriority 100\n{vips}}}\n"))
    };
    let devices = |loaded: &Loaded| -> Vec<Option<String>> {
        loaded.config.instances[0].vips.iter().map(|v| v.dev.as_deref().map(str::to_owned)).collect()
    };
    let (below, other) = (Some("eth0".to_owned()), Some("eth1".to_owned()));
    assert_eq!(devices(&file("")), [below, other.clone()]);
    assert_eq!(devices(&file("use_vmac vrrp.5")), [None, other]);
}
