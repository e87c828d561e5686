//! Arbitrary bytes and arbitrary damage: a result, never a panic, and a bounded amount of messages.

use super::common::bytes;
use proptest::prelude::*;

const SEEDS: &[&str] = &[
    include_str!("seed/seed-000-template-full.conf"),
    include_str!("seed/seed-001-lvs-master.conf"),
    include_str!("seed/seed-002-frag-port-broken.conf"),
    include_str!("seed/seed-002-httpd-master.conf"),
    include_str!("seed/seed-003-mutual-126.conf"),
];

/// Words that break the structure at any place.
const ODD: &[&str] = &[
    "{",
    "}",
    "\"",
    "'",
    "\\",
    "#",
    "!",
    "\n",
    "\r\n",
    "\0",
    "$",
    "${",
    "@x ",
    "~SEQ(",
    "$a=\\\n",
    "include x\n",
    "vrrp_instance",
    "virtual_ipaddress",
    "priority",
    "state",
    "advert_int 99999999999999999999",
    "-1",
    "0.0000000001",
    "::1/129",
    "10.0.0.1/24 brd +",
    "global_defs",
    "vrrp_cpu_affinity ",
    "\u{3000}",
    "weight -999",
];

fn holds(text: &[u8]) {
    let loaded = bytes(text);
    let shown = loaded.render(true);
    assert!(loaded.diags.len() <= 2500 && shown.len() < 1 << 20);
    // Every message points into the file.
    for d in &loaded.diags {
        assert!(d.place.line >= 1 && d.place.column >= 1, "{d:?}");
    }
    // A configuration that would run is valid for any file.
    if loaded.fatal().is_none() {
        for i in &loaded.config.instances {
            assert!(
                i.vrid > 0
                    && i.priority > 0
                    && !i.advert_int.is_zero()
                    && !i.interface.is_empty()
                    && i.vips.len() <= 255
            );
            assert!(i.vips.iter().all(|v| v.addr.is_ipv4() == i.vips[0].addr.is_ipv4()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes(text in proptest::collection::vec(any::<u8>(), 0..2000)) {
        holds(&text);
    }
    #[test]
    fn arbitrary_words(words in proptest::collection::vec((0..ODD.len(), "[ \n]"), 0..300)) {
        holds(words.iter().map(|(i, gap)| format!("{}{gap}", ODD[*i])).collect::<String>().as_bytes());
    }
    #[test]
    fn damaged_files(seed in 0..SEEDS.len(), cuts in proptest::collection::vec((any::<prop::sample::Index>(), 0usize..30, 0..ODD.len()), 1..12)) {
        let mut text = SEEDS[seed].as_bytes().to_vec();
        for (at, len, odd) in cuts {
            let at = at.index(text.len() + 1);
            let end = (at + len).min(text.len());
            text.splice(at..end, ODD[odd].bytes());
        }
        holds(&text);
    }
}

#[test]
fn long_and_many() {
    holds("a".repeat(1 << 20).as_bytes());
    holds("a { b } ".repeat(2 << 10).as_bytes());
    holds("\"".repeat(1 << 16).as_bytes());
    holds("\\".repeat(1 << 16).as_bytes());
    holds("${".repeat(1 << 12).as_bytes());
    holds("'".repeat(1 << 16).as_bytes());
    holds("{".repeat(1 << 16).as_bytes());
    holds("x\n".repeat(1 << 16).as_bytes());
    holds(format!("vrrp_instance a {{ {}", "script '".repeat(1 << 12)).as_bytes());
}
