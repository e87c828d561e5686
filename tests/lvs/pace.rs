//! The pace of the work on many virtual servers. Read first: `kernel.rs`, `src/lvs/director.rs`.

use crate::farm::{real, web};
use crate::kernel::Bench;
use kalived::config::model::lvs::{Service, VirtualServer, parts};
use kalived::event::{LvsEv, ReqId};
use kalived::lvs::director::NEXT_TURN;
use kalived::time::Duration;

#[test]
fn events_that_keep_coming_do_not_put_off_the_next_turn() {
    let mut b = Bench::new();
    let servers = [web(&[real(11, 1), real(12, 1)])];
    b.offer(&[], &servers);
    let some: Vec<_> = parts(&None, &[], &servers).take(1).collect();
    b.hear(LvsEv::Config(Ok(some)));
    let at = b.due_at().expect("the next part");
    assert_eq!(at, b.now.mono + NEXT_TURN);
    for _ in 0..100 {
        b.now.mono += NEXT_TURN / 10;
        b.hear(LvsEv::Reply { req: ReqId(4 << 56), result: Ok(()) });
        assert_eq!(b.due_at(), Some(at));
    }
}

#[test]
fn a_large_file_is_in_the_table_within_five_seconds_of_pauses() {
    let servers: Vec<VirtualServer> = (0u16..2_000)
        .map(|n| {
            let [a, b] = n.to_be_bytes();
            let service = Service::Address([10, 8, a, b].into(), 80);
            VirtualServer { service, ..web(&(1..=16).map(|h| real(h, 1)).collect::<Vec<_>>()) }
        })
        .collect();
    let mut b = Bench::new();
    let from = b.now.mono;
    b.load(&[], &servers);
    assert_eq!(b.table.values().map(|(_, d)| d.len()).sum::<usize>(), 32_000);
    // The bench takes no time for anything else.
    let pauses = b.now.mono.since(from);
    assert!(pauses < Duration::from_secs(5), "{pauses:?}");
    assert!(b.most <= 128 && b.most_checks <= 16, "{} {}", b.most, b.most_checks);
}
