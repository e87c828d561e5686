//! Dump and load: the same model, for every file of the tests and for generated ones.

use super::common::{One, bytes, text};
use kalived::config::Options;
use kalived::config::diag::Severity;
use kalived::config::dump::dump;
use kalived::config::node::Node;
use proptest::prelude::*;

/// What is dumped loads to the same model, without an error, and dumps to itself.
fn round_trip(name: &str, file: &[u8]) {
    let (loaded, text) = dump(&One(file.to_vec()), "k.conf", &Options::default(), true);
    let again = bytes(text.as_bytes());
    assert_eq!(Node::of(&again.config), Node::of(&loaded.config), "{name}:\n{text}");
    let errors = |l: &kalived::config::Loaded| {
        l.diags.iter().filter(|d| d.severity <= Severity::Error).map(|d| 1 + d.covers.len()).sum::<usize>()
    };
    assert!(errors(&again) <= errors(&loaded), "{name}:\n{text}\n{}", again.render(false));
    let (_, twice) = dump(&One(text.clone().into_bytes()), "k.conf", &Options::default(), true);
    assert_eq!(twice, text, "{name}");
    assert!(text.lines().all(|l| !l.ends_with(' ')), "{name}:\n{text}");
}

/// Every file below these folders of tests/config.
fn files(folders: &[&str]) -> Vec<(String, Vec<u8>)> {
    let mut paths = Vec::new();
    for folder in folders {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(folder);
        paths.extend(std::fs::read_dir(dir).into_iter().flatten().map(|e| e.unwrap().path()));
    }
    paths.retain(|p| p.extension().is_some_and(|e| e == "conf"));
    paths.sort();
    paths.into_iter().map(|p| (p.display().to_string(), std::fs::read(&p).unwrap())).collect()
}

#[test]
fn every_file_comes_back() {
    let all = files(&["seed", "corpus"]);
    assert!(all.len() >= 26);
    for (name, file) in all {
        round_trip(&name, &file);
    }
}

#[test]
fn the_layout() {
    let (_, text) = dump(
        &One(b"# why\nvrrp_instance \"a b\"{ interface eth0\n\tvirtual_router_id  5 # five\nprioirty 7\npriority 300\n\
               virtual_ipaddress { 10.0.0.1/24 dev eth0 nonsense\nnot-an-address\n}\nunknown {\nx\n}\nauthentication\n{\nauth_type PASS\nauth_pass geheim\n}\n\
               notify \"/bin/x 'y' # z\" root\nnotify_master '/bin/a \"b\"'\n}\nglobal_defs { router_id x }\n".to_vec()),
        "k.conf",
        &Options::default(),
        false,
    );
    assert_eq!(
        text,
        "vrrp_instance \"a b\" {\n    interface eth0\n    virtual_router_id 5\n    virtual_ipaddress {\n        \
         10.0.0.1/24 dev eth0\n    }\n    authentication {\n        auth_type PASS\n        auth_pass ********\n    }\n    \
         notify \"/bin/x 'y' # z\" root\n    notify_master '/bin/a \"b\"'\n}\n\nglobal_defs {\n    router_id x\n}\n"
    );
}

#[test]
fn what_was_ignored_stays_where_its_loss_would_change_the_meaning() {
    // A priority that cannot be read counts as 100; none at all would make this Master the owner.
    let file = "vrrp_instance a {\ninterface eth0\nvirtual_router_id 5\nstate MASTER\npriority 300\nnonsense\nvirtual_ipaddress {\n10.0.0.1\n}\n}\n";
    let (loaded, dumped) = dump(&One(file.into()), "k.conf", &Options::default(), true);
    assert_eq!(loaded.config.instances[0].priority, 100);
    // The value in force is written, not the ignored one.
    assert!(dumped.contains("    priority 100\n") && !dumped.contains("nonsense"), "{dumped}");
    assert_eq!(text(&dumped).config.instances[0].priority, 100);
}

#[test]
fn no_secret_is_shown_unless_asked_for() {
    let file = "vrrp_instance a {\nauthentication {\nauth_type PASS\nauth_pass \"geheim 1\"\n}\n}\nvrrp_instance b {\n\
                auth_hmac {\nkey 1 geheim2-geheim2-geheim2-geheim2-geheim2\nactive_key 1\nkey 2 file:/etc/key\n}\n}\nSSL {\npassword geheim3\n}\n";
    let shown = |secrets| dump(&One(file.into()), "k.conf", &Options::default(), secrets).1;
    assert!(!shown(false).contains("geheim"), "{}", shown(false));
    assert!(
        shown(false).contains("key 2 file:/etc/key") && shown(false).contains("key 1 ********"),
        "{}",
        shown(false)
    );
    assert_eq!(shown(true).matches("geheim").count(), 7, "{}", shown(true));
}

/// Valid configurations.
fn configs() -> impl Strategy<Value = String> {
    let word = "[a-zA-Z][a-zA-Z0-9_.-]{0,12}";
    let name = prop_oneof![word.prop_map(|w| w), "[a-z]{1,5} [a-z#!{}]{1,5}".prop_map(|w| format!("\"{w}\""))];
    let v4 = (any::<[u8; 3]>(), 0u8..=32).prop_map(|(b, p)| format!("10.{}.{}.{}/{p}", b[0], b[1], b[2]));
    let v6 = (any::<u16>(), 1u8..=128).prop_map(|(n, p)| format!("2001:db8::{n:x}/{p}"));
    let tail = prop::sample::select(vec![
        "",
        " dev eth1",
        " label eth0:1",
        " brd 10.255.255.255",
        " scope link",
        " noprefixroute",
    ]);
    let setting = prop_oneof![
        (1u8..=254).prop_map(|n| format!("priority {n}")),
        (1u32..=255).prop_map(|n| format!("advert_int {n}")),
        Just("nopreempt".to_owned()),
        (0u32..1000).prop_map(|n| format!("preempt_delay {n}.5")),
        Just("state BACKUP".to_owned()),
        (1u32..100).prop_map(|n| format!("garp_master_repeat {n}")),
        (0u32..100).prop_map(|n| format!("garp_master_refresh {n}")),
        Just("track_interface {\n eth1 weight -20 reverse\n eth2\n}".to_owned()),
        Just("lower_prio_no_advert on".to_owned()),
        "[ -~&&[^\"\\\\]]{1,8}".prop_map(|p| format!("authentication {{\n auth_type PASS\n auth_pass \"{p}\"\n}}")),
        Just("notify_master \"/bin/x 'y z' #\" root".to_owned()),
        Just("dont_track_primary".to_owned()),
    ];
    let lines = (prop::collection::vec((v4, tail), 0..6), prop::collection::vec(v6, 0..4), any::<bool>());
    let one = (name, 1u8..=255, prop::collection::vec(setting, 0..8), lines);
    let globals = prop_oneof![
        Just(String::new()),
        (word, 1u8..=99).prop_map(|(w, n)| format!("global_defs {{ router_id {w}\n vrrp_rt_priority {n} }}\n")),
        Just("global_defs\n{\n vrrp_version 3\n vrrp_garp_master_delay 7\n}\n".to_owned()),
    ];
    (globals, prop::collection::vec(one, 0..5)).prop_map(|(globals, instances)| {
        let mut out = globals;
        for (name, vrid, settings, (v4, v6, six)) in instances {
            let four: Vec<String> = v4.into_iter().map(|(a, t)| a + t).collect();
            let (vips, excluded) = if six { (v6, four) } else { (four, v6) };
            out += &format!(
                "vrrp_instance {name} {{\n\tinterface eth0 # c\n\tvirtual_router_id {vrid}\n{}\nvirtual_ipaddress {{\n{}\n}}\nvirtual_ipaddress_excluded\n{{\n{}\n}}\n}}\n",
                settings.join("\n"), vips.join("\n"), excluded.join(" ! c\n")
            );
        }
        out
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn generated_files_come_back(file in configs()) {
        round_trip("generated", file.as_bytes());
    }
    /// And their images.
    #[test]
    fn generated_models_come_back(file in configs()) {
        let config = text(&file).config;
        let image = kalived::config::image::encode(&config).unwrap();
        prop_assert_eq!(kalived::config::image::decode(&image), Ok(config));
    }
}
