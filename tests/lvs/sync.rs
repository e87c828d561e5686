//! `lvs_sync_daemon` with the table: also without a virtual server, and what another program does to its threads. Read first: `kernel.rs`,
//! `src/lvs/sync.rs`.

use crate::farm::{real, web};
use crate::kernel::Bench;
use kalived::config::model::global::LvsSync;
use kalived::lvs::table::AUDIT;
use kalived::wire::netlink::ipvs::SyncDaemon;

fn with_sync() -> Bench {
    let mut b = Bench::new();
    let cfg = LvsSync { interface: "eth1".into(), instance: Some("VI_1".into()), id: Some(51), ..LvsSync::default() };
    b.director.sync().set(Some(cfg));
    b.director.sync().on_role(true);
    b
}
fn roles(b: &Bench) -> Vec<(bool, &str)> {
    b.syncs.iter().map(|d| (d.master, &*d.interface)).collect()
}

#[test]
fn it_runs_without_a_virtual_server_as_with_keepalived() {
    let mut b = with_sync();
    b.load(&[], &[]);
    assert_eq!(roles(&b), [(true, "eth1")]);
    b.director.sync().on_role(false);
    b.settle();
    assert_eq!(roles(&b), [(false, "eth1")]);
    b.stop();
    assert!(b.director.idle() && b.syncs.is_empty());
}

#[test]
fn a_thread_that_another_program_stopped_or_replaced_is_put_right_within_30_s_and_at_a_reload() {
    for servers in [vec![], vec![web(&[real(11, 1)])]] {
        let mut b = with_sync();
        b.load(&[], &servers);
        b.syncs.clear();
        b.later(AUDIT * 2);
        assert_eq!((roles(&b), b.director.restored()), (vec![(true, "eth1")], 1));
        assert_eq!(b.said.iter().filter(|t| t.contains("the master thread was stopped")).count(), 1, "{:?}", b.said);
        // `ipvsadm --start-daemon backup --mcast-interface lo --syncid 3` in its place.
        b.syncs = vec![SyncDaemon { interface: "lo".into(), id: 3, ..SyncDaemon::default() }];
        b.load(&[], &servers);
        assert_eq!((roles(&b), b.director.restored()), (vec![(true, "eth1")], 3));
        let asked = b.asked.len();
        b.later(AUDIT * 3);
        assert_eq!(b.asked.len(), asked, "{:?}", b.asked);
    }
}
