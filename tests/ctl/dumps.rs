//! keepalived's dump files, read as their readers do: one test for each row of `docs/readers.md` that needs no daemon.

use kalived::config::load;
use kalived::config::model::{Auth, Config};
use kalived::config::source::{FileError, Files};
use kalived::guard::dump;
use kalived::process::dump::Kind;
use kalived::report::{
    Address, HealthCheck, Instance, Moment, RealServer, Report, ServerState, Tracker, VirtualServer,
};
use kalived::vrrp::State;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const FILE: &str = "
vrrp_script chk { script \"/usr/bin/true\" interval 2 weight 5 }
vrrp_script chk2 { script \"/usr/bin/false\" interval 1 weight -5 rise 2 fall 3 }
vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 51
    priority 100
    authentication { auth_type PASS auth_pass secret }
    track_script { chk chk2 weight -7 }
    virtual_ipaddress { 192.0.2.100/24 dev eth0 label eth0:1 192.0.2.101 }
    virtual_ipaddress_excluded { 2001:db8::1/64 }
    notify_master \"/usr/bin/true x\"
}
vrrp_instance VI_2 {
    interface eth1
    virtual_router_id 52
    version 3
    priority 150
    advert_int 0.5
    nopreempt
    unicast_peer { 192.0.2.2 }
    virtual_ipaddress { 192.0.2.110 }
}
";

struct One(String);
impl Files for One {
    fn read(&self, _: &str) -> Result<Vec<u8>, FileError> {
        Ok(self.0.clone().into_bytes())
    }
}

// One word a line, for the blocks above stand on one line each.
fn config(global: &str) -> Config {
    let text = FILE
        .replace("{ ", "{\n")
        .replace(" }", "\n}")
        .replace(" auth_pass", "\nauth_pass")
        .replace(" 192.0.2.101", "\n192.0.2.101");
    let text = ["interval", "weight 5", "weight -5", "rise", "fall", "chk2 weight"]
        .iter()
        .fold(text, |t, word| t.replace(&format!(" {word}"), &format!("\n{word}")));
    load(&One(format!("global_defs {{\n{global}\n}}\n{text}")), "k.conf").config
}

fn moment() -> Moment {
    Moment { time: "2026-11-29T17:49:24.284673Z".to_owned(), age_seconds: 5.0 }
}

fn report() -> Report {
    let address = |a: &str, held| Address { address: a.to_owned(), held, ..Address::default() };
    let mut one = Instance {
        name: "VI_1".into(),
        interface: "eth0".into(),
        vrid: 51,
        version: 2,
        state: State::Backup,
        since: moment(),
        priority: 100,
        effective_priority: 98,
        master: Some([192, 0, 2, 9].into()),
        master_priority: 120,
        source: Some([192, 0, 2, 1].into()),
        advert_interval_seconds: 1.0,
        master_advert_interval_seconds: 1.0,
        master_down_interval_seconds: 3.609375,
        addresses: vec![address("192.0.2.100", false), address("192.0.2.101", false), address("2001:db8::1", false)],
        ..Instance::default()
    };
    one.master_down_in_seconds = Some(2.5);
    one.counters.adverts_received = 7;
    one.counters.rejected = BTreeMap::from([("ttl".to_owned(), 3), ("auth-data".to_owned(), 2)]);
    let two = Instance {
        name: "VI_2".into(),
        interface: "eth1".into(),
        vrid: 52,
        version: 3,
        state: State::Master,
        since: moment(),
        priority: 150,
        effective_priority: 150,
        advert_interval_seconds: 0.5,
        master_advert_interval_seconds: 0.5,
        addresses_held: 1,
        addresses: vec![address("192.0.2.110", true)],
        ..Instance::default()
    };
    let tracker =
        |name: &str, up| Tracker { kind: "script".into(), name: name.into(), up: Some(up), ..Tracker::default() };
    Report {
        instances: vec![one, two],
        trackers: vec![tracker("chk", true), tracker("chk2", false)],
        time: "2026-11-29T17:49:30.000000Z".into(),
        ..Report::default()
    }
}

fn text(kind: Kind) -> String {
    dump::render(kind, &report(), &config("")).expect("there are virtual routers")
}

#[test]
fn an_exporter_parses_data_and_statistics() {
    let data = text(Kind::Data);
    // Instances by their heading; fields by three blanks and " = ".
    let mut found: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    let mut vips = Vec::new();
    let mut list = "";
    for line in data.lines().skip_while(|l| !l.contains("VRRP Topology")).take_while(|l| !l.contains("Sockpool")) {
        if let Some(name) = line.strip_prefix(" VRRP Instance = ") {
            found.push((name.to_owned(), BTreeMap::new()));
        } else if let Some(vip) = line.strip_prefix("     ").filter(|_| list.starts_with("Virtual IP")) {
            vips.push((list, vip.to_owned()));
        } else if let Some(field) = line.strip_prefix("   ") {
            list = field;
            if let Some((k, v)) = field.split_once(" = ") {
                found.last_mut().unwrap().1.insert(k.to_owned(), v.to_owned());
            }
        }
    }
    let names: Vec<&str> = found.iter().map(|f| f.0.as_str()).collect();
    assert_eq!(names, ["VI_1", "VI_2"]);
    let field = |n: usize, k: &str| found[n].1.get(k).map_or("", String::as_str);
    for (key, one, two) in [
        ("State", "BACKUP", "MASTER"),
        ("Wantstate", "BACKUP", "MASTER"),
        ("Interface", "eth0", "eth1"),
        ("Gratuitous ARP delay", "5", "5"),
        ("Virtual Router ID", "51", "52"),
        ("Priority", "100", "150"),
        ("Effective priority", "98", "150"),
        ("Advert interval", "1 sec", "500 milli-sec"),
        ("Master priority", "120", ""),
        ("Password", "********", ""),
        ("VRRP Version", "2", "3"),
        ("Preempt", "enabled", "disabled"),
    ] {
        assert_eq!((field(0, key), field(1, key)), (one, two), "{key}:\n{data}");
    }
    assert!(field(0, "Read timeout").starts_with("1795974572.500000 ("), "{data}");
    assert_eq!(field(1, "Read timeout"), "DISABLED");
    assert!(field(0, "Last transition").starts_with("1795974564.284673 ("), "{data}");
    let vips: Vec<(&str, &str)> = vips.iter().map(|(k, v)| (*k, v.as_str())).collect();
    assert_eq!(
        vips,
        [
            ("Virtual IP (2):", "192.0.2.100/24 dev eth0 scope global label eth0:1"),
            ("Virtual IP (2):", "192.0.2.101 dev eth0 scope global"),
            ("Virtual IP Excluded :", "2001:db8::1/64 dev eth0 scope global preferred_lft forever"),
            ("Virtual IP (1):", "192.0.2.110 dev eth1 scope global set"),
        ]
    );
    let scripts: Vec<&str> = data.lines().filter_map(|l| l.strip_prefix(" VRRP Script = ")).collect();
    assert_eq!(scripts, ["chk", "chk2"]);
    let status: Vec<&str> = data.lines().filter_map(|l| l.strip_prefix("   Status = ")).collect();
    assert_eq!(status, ["GOOD", "BAD"]);
    assert!(!data.contains("secret"), "{data}");
    // A Nagios script: the state within six lines of the heading.
    let near = data.lines().skip_while(|l| !l.contains("VRRP Topology")).take(7).find(|l| l.contains("State"));
    assert_eq!(near, Some("   State = BACKUP"));

    // Statistics: every value is an integer, sections end with a colon, the same instances.
    let stats = text(Kind::Stats);
    let mut names = Vec::new();
    let mut values = BTreeMap::new();
    let mut section = "";
    for line in stats.lines() {
        let (key, value) = line.split_once(':').expect("a colon in each line");
        match (line.len() - line.trim_start().len(), value.trim()) {
            (0, name) => names.push(name),
            (2, "") => section = key.trim(),
            (2, n) => drop(values.insert((names.len(), "", key.trim()), n.parse::<u64>().expect("an integer"))),
            (4, n) => drop(values.insert((names.len(), section, key.trim()), n.parse::<u64>().expect("an integer"))),
            other => panic!("{other:?} in {line:?}"),
        }
    }
    assert_eq!(names, ["VI_1", "VI_2"]);
    assert_eq!(values.len(), 2 * 14);
    assert_eq!(values[&(1, "Advertisements", "Received")], 7);
    assert_eq!((values[&(1, "Packet Errors", "TTL")], values[&(1, "Authentication Errors", "Failure")]), (3, 2));
}

#[test]
fn the_json_file_has_every_key() {
    let all: Value = serde_json::from_str(&text(Kind::Json)).unwrap();
    // As Debian's keepalived 2.2.7 writes it: keys, kinds of values.
    let keys = "iname dont_track_primary skip_check_adv_addr strict_mode vmac_ifname ifp_ifname master_priority last_transition garp_delay \
                garp_refresh garp_rep garp_refresh_rep garp_lower_prio_delay garp_lower_prio_rep lower_prio_no_advert \
                higher_prio_send_advert vrid base_priority effective_priority vipset promote_secondaries adver_int master_adver_int accept \
                nopreempt preempt_delay state wantstate version smtp_alert notify_deleted vips auth_type";
    for i in all.as_array().unwrap() {
        for key in keys.split_whitespace() {
            assert!(!i["data"][key].is_null(), "{key} in {i}");
        }
        let stats = i["stats"].as_object().unwrap();
        assert!(stats.len() == 14 && stats.values().all(Value::is_u64), "{stats:?}");
    }
    let (one, two) = (&all[0]["data"], &all[1]["data"]);
    assert_eq!((&one["state"], &two["state"]), (&1.into(), &2.into()));
    assert_eq!(
        (&one["last_transition"], &one["adver_int"], &two["adver_int"]),
        (&1795974564.284673.into(), &1.into(), &0.5.into())
    );
    assert_eq!((&one["vipset"], &two["vipset"], &two["nopreempt"]), (&false.into(), &true.into(), &true.into()));
    assert_eq!((&one["auth_type"], &one["auth_data"], &two["auth_type"]), (&1.into(), &"********".into(), &0.into()));
    let mut ah = config("");
    ah.instances[0].auth = Auth::Ah(*b"secret\0\0");
    let of = |kind| dump::render(kind, &report(), &ah).unwrap();
    assert!(
        of(Kind::Json).contains("\"auth_type\":2") && of(Kind::Data).contains("   Authentication type = IPSEC_AH\n")
    );
    assert_eq!((&one["script_master"], &one["track_script"][1]), (&"'/usr/bin/true' 'x'".into(), &"chk2".into()));
    assert_eq!(two["vips"][0], "192.0.2.110 dev eth1 scope global set");
    let v2 = dump::render(Kind::Json, &report(), &config("json_version 2")).unwrap();
    let v2: Value = serde_json::from_str(&v2).unwrap();
    assert_eq!(
        (&v2["vrrp"][1]["data"]["iname"], v2["track_process"].as_array().map(Vec::len)),
        (&"VI_2".into(), Some(0))
    );
    assert_eq!(dump::render(Kind::Json, &Report::default(), &config("")), None, "keepalived writes no file then");
}

#[test]
fn files_go_where_the_configuration_says() {
    let path = |kind: Kind, global: &str| dump::path(kind, &config(global), Path::new("/dir"));
    let is = PathBuf::from;
    assert_eq!(path(Kind::Data, ""), is("/dir/keepalived.data"));
    assert_eq!(
        (path(Kind::Stats, ""), path(Kind::StatsClear, "")),
        (is("/dir/keepalived.stats"), is("/dir/keepalived.stats"))
    );
    assert_eq!(
        path(Kind::Data, "state_dump_file /run/keepalived/keepalived.data"),
        is("/run/keepalived/keepalived.data")
    );
    assert_eq!(path(Kind::Json, "json_dump_file /run/k/"), is("/run/k/keepalived.json"));
    assert_eq!(path(Kind::Stats, "stats_dump_file mine"), is("/dir/mine"));
    let with_instance = |kind: Kind| {
        let mut c = config("data_use_instance");
        c.root.instance = Some("foo".into());
        dump::path(kind, &c, Path::new("/dir"))
    };
    assert_eq!(
        (with_instance(Kind::Data), with_instance(Kind::Json)),
        (is("/dir/keepalived.foo.data"), is("/dir/keepalived.json"))
    );
}

#[test]
fn signals_are_those_that_the_command_line_names() {
    for (name, kind) in
        [("DATA", Kind::Data), ("STATS", Kind::Stats), ("JSON", Kind::Json), ("STATS_CLEAR", Kind::StatsClear)]
    {
        let out =
            std::process::Command::new(env!("CARGO_BIN_EXE_kalived")).arg(format!("--signum={name}")).output().unwrap();
        let text = String::from_utf8([out.stdout, out.stderr].concat()).unwrap();
        let number: u8 = text.trim_end().parse().expect("a bare number");
        assert_eq!((Kind::of_signal(number), text.lines().count()), (Some(kind), 1), "{name}");
    }
    assert_eq!(
        (Kind::of_signal(36), Kind::of_signal(37), Kind::of_signal(1)),
        (Some(Kind::Json), Some(Kind::Json), None)
    );
}

/// What the file of virtual servers is made from: `keepalived_check.conf`, in the state in which keepalived wrote
/// `keepalived_check.data` (Debian's 2.2.7, six seconds after its start).
fn servers(config: &Config) -> Report {
    let state = |vs: usize| if vs == 0 { ServerState::Awaited } else { ServerState::Unchecked };
    let check = |kind: &str, up| HealthCheck { kind: kind.into(), up, ..HealthCheck::default() };
    let checks = |name: &str| -> Vec<HealthCheck> {
        match name {
            "[10.77.1.1]:tcp:80" => vec![check("TCP_CHECK", None), check("FILE_CHECK", Some(true))],
            "[10.77.1.2]:tcp:80" => {
                ["HTTP_GET", "MISC_CHECK", "SMTP_CHECK", "SSL_GET"].into_iter().map(|kind| check(kind, None)).collect()
            }
            "[10.77.1.3]:udp:53" => ["DNS_CHECK", "UDP_CHECK", "PING_CHECK"].map(|kind| check(kind, None)).into(),
            _ => Vec::new(),
        }
    };
    let names = [
        ("[10.9.0.1]:tcp:80", vec![("[10.77.1.1]:tcp:80", 6), ("[10.77.1.2]:tcp:80", 3)]),
        ("[g]:0", vec![("[10.77.1.3]:udp:53", 1)]),
        ("FWM 9", vec![("[fd00::1]:none:0", 1)]),
    ];
    let server = |vs: usize, (name, weight): (&str, u64)| RealServer {
        name: name.into(),
        state: state(vs),
        weight,
        inhibit_on_failure: vs == 0,
        checks: checks(name),
        ..RealServer::default()
    };
    type Named = (&'static str, Vec<(&'static str, u64)>);
    let one = |(n, (name, servers)): (usize, Named)| VirtualServer {
        name: name.into(),
        up: n > 0,
        sorry_server: (n == 0).then(|| "[10.77.1.1]:tcp:90".into()),
        services: 1,
        services_held: 1,
        suspended: n == 0,
        real_servers: servers.into_iter().map(|s| server(n, s)).collect(),
        ..VirtualServer::default()
    };
    assert_eq!(config.virtual_servers.len(), names.len());
    let file = Tracker { kind: "file".into(), name: "tf".into(), value: Some("1".into()), ..Tracker::default() };
    Report {
        virtual_servers: names.into_iter().enumerate().map(one).collect(),
        trackers: vec![file],
        ..Report::default()
    }
}

#[test]
fn virtual_servers_are_written_as_keepalived_writes_them() {
    let config = load(&One(include_str!("keepalived_check.conf").into()), "k.conf").config;
    // Nobody looked at the programs here, so that their users are not known.
    let text = dump::checkers::render(&servers(&config), &config).replace("unknown", "0:0");
    let text = &text[text.find("------< LVS Topology").expect("its heading")..];
    // Each line of ours is the next of keepalived's that is like it: what lies between is of fields that kalived does not have.
    let theirs: Vec<&str> = include_str!("keepalived_check.data").lines().collect();
    let mut at = 0;
    for line in text.lines() {
        match theirs[at..].iter().position(|l| *l == line) {
            Some(n) => at += n + 1,
            None => panic!("{line:?} is not in keepalived's file after line {at}: {:#?}\n{text}", &theirs[at..at + 4]),
        }
    }
    assert!(at + 8 > theirs.len(), "{at} of {} lines", theirs.len());
}
