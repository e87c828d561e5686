//! The snapshot that one release leaves to the next: every layout that was released is read with its old meaning.
//!
//! `layout-N.bin` is a snapshot as the first release with layout N writes it, `layout-N.json` its content. They are never changed.
//! A new layout adds its own two files: `KALIVED_WRITE_LAYOUT=1 cargo test --test snapshots`. `scripts/upgrade-from` tries a real
//! hand-over between two releases. Read first: `src/snapshot/mod.rs`.

use kalived::envelope::Unusable;
use kalived::route::RouteId;
use kalived::snapshot::{GroupShot, InstanceShot, READS, Snapshot, TrackShot, VERSION, WRITES};
use serde_json::Value;
use std::path::PathBuf;

/// Layouts that are refused, so that the old process continues: each with its reason. None so far.
const REFUSED: [u16; 0] = [];

fn file(layout: u16, kind: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/snapshots/layout-{layout}.{kind}"))
}

/// Every field of layout 4 as it was released, with a value that is not its default.
fn sample() -> Snapshot {
    let four = InstanceShot {
        name: "VI_1".into(),
        vrid: 51,
        interface: "eth0".into(),
        ifindex: 3,
        state: 2,
        since: (5, 6),
        priority: 100,
        master_interval: 10_000_000,
        master: Some([10, 0, 0, 1].into()),
        last_armed: Some(77),
        addrs: vec![(3, [10, 0, 0, 100].into(), 32), (4, [10, 0, 0, 102].into(), 24)],
        announce: true,
        stats: vec![1, 2, u64::MAX],
        notified: Some(2),
        piped: Some(1),
        ..InstanceShot::default()
    };
    let six = InstanceShot {
        name: "VI_6".into(),
        vrid: 52,
        interface: "bond0.7".into(),
        v6: true,
        ifindex: 4,
        state: 1,
        master: Some("fe80::1".parse().expect("an address")),
        master_down: Some(361_000_000),
        preempt_at: Some(8_000_000_000),
        preempt_over: true,
        ..InstanceShot::default()
    };
    let track = |kind: &str, value| TrackShot { kind: kind.into(), name: "t".into(), value };
    Snapshot {
        at: 9,
        last: true,
        instances: vec![four.into(), six.into()],
        tracks: vec![track("file", Some(-3)), track("script", None), track("check", Some(1))],
        going: vec![(3, [10, 0, 0, 101].into(), 32)],
        routes: vec![RouteId {
            table: 254,
            to: ([10, 1, 0, 0].into(), 16),
            from: ([0, 0, 0, 0].into(), 0),
            tos: 0,
            metric: 7,
        }],
        groups: vec![GroupShot { name: "G".into(), notified: Some(2), piped: Some(1) }],
        ..Snapshot::default()
    }
}

/// Whether `new` has every field of `old` with the same value; it may have more fields.
fn holds(old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            old.iter().all(|(key, value)| new.get(key).is_some_and(|new| holds(value, new)))
        }
        (Value::Array(old), Value::Array(new)) => {
            old.len() == new.len() && old.iter().zip(new).all(|(a, b)| holds(a, b))
        }
        _ => old == new,
    }
}

/// With the fields of virtual routers that are left out because they have their defaults, which every reader of layout 4 knows.
fn complete(mut snapshot: Value) -> Value {
    let blank = serde_json::to_value(InstanceShot::default()).expect("it is plain data");
    for router in snapshot["instances"].as_array_mut().expect("a list") {
        for (name, value) in blank.as_object().expect("fields") {
            router.as_object_mut().expect("fields").entry(name).or_insert_with(|| value.clone());
        }
    }
    snapshot
}

#[test]
fn every_released_layout_is_understood_or_refused_by_name() {
    if std::env::var_os("KALIVED_WRITE_LAYOUT").is_some() && !file(VERSION, "bin").exists() {
        std::fs::write(file(VERSION, "bin"), sample().encode()).expect("the source tree is writable");
        let text = serde_json::to_string_pretty(&sample()).expect("it is plain data");
        std::fs::write(file(VERSION, "json"), text + "\n").expect("the source tree is writable");
    }
    let mut seen = Vec::new();
    for layout in 1..=VERSION {
        let Ok(bytes) = std::fs::read(file(layout, "bin")) else { continue };
        seen.push(layout);
        let says = std::fs::read_to_string(file(layout, "json")).expect("both files or none");
        let says: Value = serde_json::from_str(&says).expect("JSON");
        match Snapshot::decode(&bytes) {
            Ok(shot) => {
                let now = complete(serde_json::to_value(&shot).expect("it is plain data"));
                assert!(holds(&says, &now), "layout {layout} said {says:#}\nand is read as {now:#}");
            }
            Err(why) => assert!(
                matches!(why, Unusable::Layout(_, l, _) if l == layout) && REFUSED.contains(&layout),
                "layout {layout} was released and is not understood: {why}"
            ),
        }
    }
    assert_eq!(seen.last(), Some(&VERSION), "layout {VERSION} has no files: see the head of this file");
}

/// The layout matches its number: a change of a structure without a new number is detected here.
#[test]
fn an_older_layout_is_written_as_it_was_released() {
    for layout in WRITES.into_iter().filter(|l| *l < VERSION) {
        let bytes = std::fs::read(file(layout, "bin")).expect("a layout that is written was released");
        let shot = Snapshot::decode(&bytes).expect("it is read");
        assert_eq!(shot.encode_as(layout), bytes, "layout {layout} is not written any more as that release reads it");
    }
}

/// Since layout 4 fields have names: fields may be added, and none may be removed.
#[test]
fn what_the_present_layout_says_is_said_in_the_same_words_as_ever() {
    let says = std::fs::read_to_string(file(VERSION, "json")).expect("the present layout has its files");
    let says: Value = serde_json::from_str(&says).expect("JSON");
    let bytes = std::fs::read(file(VERSION, "bin")).expect("the present layout has its files");
    let written = Snapshot::decode(&bytes).expect("it is the present one").encode();
    let body: Value = serde_json::from_slice(&written[kalived::envelope::HEADER..]).expect("the body is JSON");
    let body = complete(body);
    assert!(holds(&says, &body), "layout {VERSION} said {says:#}\nand now says {body:#}");
}

#[test]
fn a_layout_of_the_future_is_refused() {
    assert_eq!(READS.iter().max(), Some(&VERSION));
    let mut bytes = sample().encode();
    bytes[8..10].copy_from_slice(&(VERSION + 1).to_le_bytes());
    assert_eq!(Snapshot::decode(&bytes), Err(Unusable::Layout("snapshot", VERSION + 1, VERSION)));
}
