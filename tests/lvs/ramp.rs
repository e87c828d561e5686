//! `slow_start`: the weight of a server that comes back. Read first: `farm.rs`.

use crate::farm::{ip, real, web};
use crate::kernel::Bench;
use kalived::config::model::lvs::{Service, VirtualServer};
use kalived::time::Duration;

#[test]
fn a_server_that_comes_back_reaches_its_weight_slowly() {
    let vs = VirtualServer { slow_start: Duration::from_secs(20), ..web(&[real(11, 100), real(12, 100)]) };
    let mut b = Bench::new();
    b.load(&[], std::slice::from_ref(&vs));
    let weight = |b: &Bench| b.lines()[1].rsplit(' ').next().and_then(|w| w.parse::<u32>().ok()).expect("a weight");
    assert_eq!(weight(&b), 100, "at a start nothing comes back");
    b.verdict(0, 0, false);
    assert_eq!(b.lines().len(), 2);
    b.verdict(0, 0, true);
    assert_eq!((b.lines().len(), weight(&b)), (3, 1));
    let mut seen = vec![weight(&b)];
    for _ in 0..10 {
        b.later(Duration::from_secs(1));
        seen.push(weight(&b));
    }
    assert!(seen.windows(2).all(|w| w[0] < w[1]) && (45..=50).contains(&seen[10]), "{seen:?}");
    // A reload leaves it where it is, another process goes on from there.
    b.load(&[], &[vs.clone(), VirtualServer { service: Service::Address(ip("10.77.1.2"), 80), ..web(&[real(13, 1)]) }]);
    assert!((45..=50).contains(&weight(&b)), "{:?}", b.lines());
    let ramps = b.director.farm().ramps(10);
    assert_eq!(ramps.len(), 1);
    let mut next = Bench::new();
    (next.now, next.table) = (b.now, b.table.clone());
    next.director.resume_ramps(ramps);
    next.load(&[], std::slice::from_ref(&vs));
    assert!((45..=55).contains(&weight(&next)), "{:?}", next.lines());
    next.later(Duration::from_secs(11));
    assert_eq!((weight(&next), next.director.farm().ramps(10).len()), (100, 0));
    // One that fails meanwhile begins anew; without the word nothing is slow.
    b.verdict(0, 0, false);
    assert_eq!(b.director.farm().ramps(10).len(), 0);
    b.verdict(0, 0, true);
    assert_eq!(weight(&b), 1);
    b.load(&[], &[web(&[real(11, 100), real(12, 100)])]);
    b.later(Duration::from_secs(2));
    assert_eq!(weight(&b), 100);
}

#[test]
fn a_server_that_fails_while_its_weight_grows_has_all_of_it_in_panic() {
    let vs = VirtualServer {
        slow_start: Duration::from_secs(20),
        panic_threshold: 60,
        ..web(&[real(11, 100), real(12, 100)])
    };
    let mut b = Bench::new();
    b.load(&[], std::slice::from_ref(&vs));
    for up in [false, true] {
        (0..2).for_each(|rs| b.verdict(0, rs, up));
    }
    b.later(Duration::from_secs(4));
    (0..2).for_each(|rs| b.verdict(0, rs, false));
    let weights: Vec<String> = b.lines()[1..].iter().filter_map(|l| Some(l.rsplit(' ').next()?.to_owned())).collect();
    assert_eq!(weights, ["100", "100"], "{:?}", b.lines());
}
