//! What a reload would do, from two files.

use super::common::text;
use kalived::config::diff::{Plan, What, diff};

fn plan(old: &str, new: &str) -> Plan {
    let (old, new) = (text(old), text(new));
    assert_eq!((old.fatal(), new.fatal()), (None, None), "{}{}", old.render(false), new.render(false));
    diff(&old.config, &new.config)
}

fn instance(name: &str, vrid: u8, more: &str, vips: &[&str]) -> String {
    let vips = vips.join("\n        ");
    format!(
        "vrrp_instance {name} {{\n    interface eth0\n    virtual_router_id {vrid}\n    {more}\n    virtual_ipaddress {{\n        {vips}\n    }}\n}}\n"
    )
}

#[track_caller]
fn says(old: &str, new: &str, want: &str) {
    assert_eq!(plan(old, new).to_string(), want);
}

#[test]
fn the_same_meaning_in_another_shape_keeps_everything() {
    let a = instance("a", 1, "priority 100", &["10.0.0.1/24"]) + &instance("b", 2, "", &["10.0.0.2/24"]);
    let b =
        instance("b", 2, "advert_int 1", &["10.0.0.2/24"]) + "\n# moved\n" + &instance("a", 1, "", &["10.0.0.1/24"]);
    let plan = plan(&a, &b);
    assert!(plan.is_empty(), "{plan}");
    assert_eq!(
        plan.to_string(),
        "virtual routers: 2 kept, 0 altered, 0 added, 0 removed\nother blocks: 1 kept, 0 altered, 0 added, 0 removed\n"
    );
    assert_eq!(plan.of("vrrp_instance", "b"), Some(&What::Kept));
    assert_eq!(plan.of("vrrp_instance", "c"), None);
}

#[test]
fn settings_are_named_with_both_values() {
    says(
        &instance("a", 1, "priority 100", &["10.0.0.1/24", "10.0.0.2/24"]),
        &(instance("a", 1, "priority 150\n advert_int 2", &["10.0.0.2/25", "10.0.0.3"])
            + "global_defs {\n router_id here\n}\n"),
        "~ global_defs\n      router_id: not set -> here\n\
         ~ vrrp_instance a\n      priority: 100 -> 150\n      advert_int: 1 s -> 2 s\n      \
         virtual_ipaddress: 10.0.0.1/24 -> not set\n      virtual_ipaddress 10.0.0.2 prefix: 24 -> 25\n      \
         virtual_ipaddress: not set -> 10.0.0.3/32\n\
         virtual routers: 0 kept, 1 altered, 0 added, 0 removed\n\
         other blocks: 0 kept, 1 altered, 0 added, 0 removed\n",
    );
    // The order of addresses is on the wire.
    says(
        &instance("a", 1, "", &["10.0.0.1", "10.0.0.2"]),
        &instance("a", 1, "", &["10.0.0.2", "10.0.0.1"]),
        "~ vrrp_instance a\n      virtual_ipaddress order: 10.0.0.1, 10.0.0.2 -> 10.0.0.2, 10.0.0.1\n\
         virtual routers: 0 kept, 1 altered, 0 added, 0 removed\nother blocks: 1 kept, 0 altered, 0 added, 0 removed\n",
    );
}

#[test]
fn a_secret_is_compared_and_never_shown() {
    let with = |pass: &str| {
        instance("a", 1, &format!("authentication {{\nauth_type PASS\nauth_pass {pass}\n}}"), &["10.0.0.1"])
    };
    assert!(plan(&with("geheim"), &with("geheim")).is_empty());
    let plan = plan(&with("geheim"), &with("secret"));
    assert_eq!(
        plan.to_string(),
        "~ vrrp_instance a\n      authentication: ******** -> ********\n\
         virtual routers: 0 kept, 1 altered, 0 added, 0 removed\nother blocks: 1 kept, 0 altered, 0 added, 0 removed\n"
    );
    let json = plan.json().to_string();
    let bytes = format!("{:?}", b"geheim");
    for secret in ["geheim", "secret", bytes.trim_matches(['[', ']'])] {
        assert!(!json.contains(secret) && !format!("{plan:?}").contains(secret), "{json}");
    }
}

#[test]
fn an_address_moves_between_instances() {
    let a = instance("a", 1, "", &["10.0.0.1", "10.0.0.9"]) + &instance("b", 2, "", &["10.0.0.2"]);
    let b = instance("a", 1, "", &["10.0.0.1"]) + &instance("b", 2, "", &["10.0.0.2", "10.0.0.9"]);
    let plan = plan(&a, &b);
    assert_eq!(plan.moved.len(), 1);
    assert_eq!((plan.moved[0].from.as_str(), plan.moved[0].to.as_str()), ("a", "b"));
    assert_eq!(plan.moved[0].addr.to_string(), "10.0.0.9");
    assert!(plan.to_string().contains("(10.0.0.9 moves to b)\n"), "{plan}");
    assert!(plan.to_string().contains("(10.0.0.9 comes from a)\n"), "{plan}");
    // In either order of the file.
    assert_eq!(super::diff::plan(&b, &a).moved.len(), 1);
    // From the adverts to the excluded ones of the same instance is no move of the address.
    let c = instance("a", 1, "virtual_ipaddress_excluded {\n10.0.0.9\n}", &["10.0.0.1"])
        + &instance("b", 2, "", &["10.0.0.2"]);
    assert_eq!(super::diff::plan(&a, &c).moved, []);
}

#[test]
fn a_renamed_instance_goes_on() {
    let plan = plan(&instance("old", 51, "", &["10.0.0.1"]), &instance("new", 51, "", &["10.0.0.1"]));
    assert_eq!(
        plan.to_string(),
        "- vrrp_instance old\n      (same VRID 51 on eth0: goes on as new)\n      (10.0.0.1 moves to new)\n\
         + vrrp_instance new\n      (same VRID 51 on eth0: adopts the state of old)\n      (10.0.0.1 comes from old)\n\
         virtual routers: 0 kept, 1 altered, 0 added, 0 removed\n\
         other blocks: 1 kept, 0 altered, 0 added, 0 removed\n"
    );
    assert_eq!(plan.adopted.len(), 1);
    // Also when the old name still exists: the virtual router with the VRID continues, because other hosts see the VRID.
    let both = instance("old", 52, "", &["10.0.0.1"]) + &instance("new", 51, "", &["10.0.0.2"]);
    let adopted = super::diff::plan(&instance("old", 51, "", &["10.0.0.1"]), &both).adopted;
    assert_eq!((adopted.len(), adopted[0].to.as_str()), (1, "new"));
}

#[test]
fn swapped_vrids_are_two_changes_and_nothing_is_removed() {
    let a = instance("a", 1, "", &["10.0.0.1"]) + &instance("b", 2, "", &["10.0.0.2"]);
    let b = instance("a", 2, "", &["10.0.0.1"]) + &instance("b", 1, "", &["10.0.0.2"]);
    says(
        &a,
        &b,
        "~ vrrp_instance a\n      virtual_router_id: 1 -> 2\n      (same VRID 2 on eth0: adopts the state of b)\n\
         \x20     (same VRID 1 on eth0: goes on as b)\n\
         ~ vrrp_instance b\n      virtual_router_id: 2 -> 1\n      (same VRID 2 on eth0: goes on as a)\n\
         \x20     (same VRID 1 on eth0: adopts the state of a)\n\
         virtual routers: 0 kept, 2 altered, 0 added, 0 removed\n\
         other blocks: 1 kept, 0 altered, 0 added, 0 removed\n",
    );
}

#[test]
fn there_and_back_are_mirror_images() {
    let a = instance("a", 1, "priority 7", &["10.0.0.1", "10.0.0.5"]) + &instance("b", 2, "", &["10.0.0.2"]);
    let b = instance("c", 2, "nopreempt", &["10.0.0.2"]) + &instance("a", 1, "", &["10.0.0.1"]);
    let (there, back) = (plan(&a, &b).json(), plan(&b, &a).json());
    for (one, other) in [("added", "removed"), ("removed", "added"), ("kept", "kept"), ("altered", "altered")] {
        let ids = |v: &serde_json::Value, word: &str| -> Vec<String> {
            let list = v[word].as_array().unwrap().iter();
            list.map(|e| format!("{} {}", e["kind"].as_str().unwrap(), e["id"].as_str().unwrap())).collect()
        };
        assert_eq!(ids(&there, one), ids(&back, other), "{one}");
    }
    assert_eq!(there["altered"][0]["changes"][0], serde_json::json!({"field": "priority", "from": "7", "to": "100"}));
    assert_eq!(there["adopted"][0]["virtual_router_id"], 2);
}

/// What a group tracks its members track: a reload that removes the group alters them, and the plan says so.
#[test]
fn a_group_that_goes_alters_its_members() {
    let three = ["A", "B", "C"].map(|n| instance(n, n.as_bytes()[0], "", &[])).concat();
    let base = format!("vrrp_script s {{\n script \"/bin/true\"\n weight 5\n}}\n{three}");
    let group = "vrrp_sync_group G {\n group {\n A\n B\n }\n track_script {\n s weight -10\n }\n}\n";
    let plan = plan(&format!("{base}{group}"), &base);
    assert_eq!((plan.routers.kept, plan.routers.altered), (1, 2), "{plan}");
    assert!(plan.to_string().contains("~ vrrp_instance A\n      track_script: s weight -10 -> not set\n"), "{plan}");
}

/// Lines read as in the file.
#[test]
fn changes_are_named_in_the_words_of_the_file() {
    let with = |routes: &str| instance("a", 1, &format!("virtual_routes {{\n{routes}\n}}"), &["10.0.0.1"]);
    let (old, new) = ("198.51.100.0/24 via 10.0.0.9 dev eth0 no_track", "198.51.101.0/24 dev eth0 metric 5");
    let routes = plan(&with(old), &with(new)).to_string();
    for line in
        ["198.51.100.0/24 via 10.0.0.9 dev eth0 no_track -> not set", "not set -> 198.51.101.0/24 dev eth0 metric 5"]
    {
        assert!(routes.contains(&format!("      virtual_routes: {line}\n")), "{routes}");
    }
    let server = |host: u8, more: &str| format!("real_server 198.18.0.{host} 80 {{\n{more}\nTCP_CHECK {{\n}}\n}}\n");
    let with = |servers: &[String]| {
        format!("virtual_server 198.18.0.1 80 {{\nprotocol TCP\ndelay_loop 6\n{}}}\n", servers.concat())
    };
    let (old, new) = (with(&[server(2, ""), server(3, "")]), with(&[server(2, "delay_loop 9"), server(4, "")]));
    let servers = plan(&old, &new).to_string();
    for line in [
        "real_server 198.18.0.2 80 delay_loop: not set -> 9 s",
        "real_server: 198.18.0.3 80 -> not set",
        "real_server: not set -> 198.18.0.4 80",
    ] {
        assert!(servers.contains(&format!("      {line}\n")), "{servers}");
    }
}
