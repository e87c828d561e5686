//! `lvs_timeouts`: what the kernel had before is put back, whatever happens in between. Read first: `kernel.rs`, `src/lvs/timeouts.rs`.

use crate::farm::{real, web};
use crate::kernel::Bench;
use kalived::config::model::global::LvsTimeouts;
use kalived::time::Duration;
use kalived::wire::netlink::ipvs::Timeouts;

const OWN: Timeouts = Timeouts { tcp: 900, tcp_fin: 120, udp: 300 };
const S: Duration = Duration::from_secs(1);

fn with(tcp: Option<u32>, udp: Option<u32>) -> Bench {
    let mut b = Bench::new();
    b.more.lvs_timeouts = LvsTimeouts { tcp, tcpfin: None, udp };
    b
}

#[test]
fn the_values_of_the_file_hold_until_the_stop() {
    let mut b = with(Some(7), None);
    b.load(&[], &[web(&[real(11, 1)])]);
    assert_eq!((b.timeouts, b.director.timeouts_before().tcp), (OWN, 900), "first the next process must know of it");
    b.later(S);
    assert_eq!(b.timeouts, Timeouts { tcp: 7, ..OWN });
    b.stop();
    assert!(b.director.idle());
    assert_eq!(b.timeouts, OWN);
}

#[test]
fn a_stop_waits_until_they_are_put_back() {
    let mut b = with(Some(7), Some(15));
    b.load(&[], &[web(&[real(11, 1)])]);
    b.later(S);
    assert_eq!(b.timeouts, Timeouts { tcp: 7, tcp_fin: 120, udp: 15 });
    b.director.timeouts().stop();
    assert!(!b.director.idle());
    b.settle();
    assert!(b.director.idle());
    assert_eq!(b.timeouts, OWN);
}

#[test]
fn a_reload_that_removes_a_value_puts_it_back_and_leaves_the_others() {
    let mut b = with(Some(7), Some(15));
    let servers = [web(&[real(11, 1)])];
    b.load(&[], &servers);
    b.later(S);
    b.more.lvs_timeouts = LvsTimeouts { udp: Some(16), ..LvsTimeouts::default() };
    b.load(&[], &servers);
    b.later(S);
    assert_eq!(b.timeouts, Timeouts { udp: 16, ..OWN });
    // keepalived has no checker then.
    b.load(&[], &[]);
    b.later(S);
    assert_eq!(b.timeouts, OWN);
    let asked = b.asked.len();
    b.later(S * 100);
    assert_eq!(b.asked.len(), asked, "nothing is asked again");
}

#[test]
fn the_next_process_puts_back_what_the_first_one_found() {
    let mut b = with(Some(7), None);
    b.load(&[], &[web(&[real(11, 1)])]);
    b.later(S);
    // Another file, with another value; then one without virtual servers.
    let mut next = with(Some(8), None);
    (next.timeouts, next.table) = (b.timeouts, b.table.clone());
    next.director.timeouts().inherit(b.director.timeouts_before());
    next.load(&[], &[web(&[real(11, 1)])]);
    next.later(S);
    assert_eq!((next.timeouts.tcp, next.director.timeouts_before().tcp), (8, 900));
    let mut last = with(None, None);
    last.timeouts = next.timeouts;
    last.director.timeouts().inherit(next.director.timeouts_before());
    assert!(last.director.is_to_clean());
    last.clean();
    last.later(S);
    assert_eq!((last.timeouts, last.director.timeouts_before()), (OWN, Timeouts::default()));
}

#[test]
fn without_the_keyword_they_are_not_touched() {
    let mut b = with(None, None);
    b.load(&[], &[web(&[real(11, 1)])]);
    b.later(S * 100);
    b.stop();
    assert!(b.asked.iter().all(|a| !a.contains("imeouts")), "{:?}", b.asked);
}
