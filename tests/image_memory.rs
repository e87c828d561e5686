//! The memory that a hostile image can take: decoding stays below the bound that `config/image.rs` states.
//!
//! A separate test target, because it counts every allocation.

use kalived::config::image::{self, HEADER, MAX_GROWTH};
use kalived::config::model::lvs::{RealServer, VirtualServer};
use kalived::config::model::route::{Hop, Route, Rule};
use kalived::config::model::vrrp::{GarpGroup, SyncGroup, TrackFile, TrackProcess, VrrpCheck, VrrpScript};
use kalived::config::model::{Config, Family, InstanceConfig};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator; in addition only numbers are kept.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that decoding takes at most at one time.
fn peak(bytes: &[u8]) -> usize {
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let _ = image::decode(bytes);
    PEAK.load(Ordering::Relaxed) - before
}

/// The memory for lists that only state a great length.
const PROMISED: usize = 4 << 20;

/// One test, so that nothing else allocates meanwhile.
#[test]
fn memory_is_bounded_by_the_length() {
    const MANY: usize = 5_000;
    let hops = Route { hops: vec![Hop::default(); MANY], ..Route::default() };
    let servers = VirtualServer { real_servers: vec![RealServer::default(); MANY], ..VirtualServer::default() };
    let configs = [
        Config { instances: vec![InstanceConfig::new("", "", 1, Family::V4); MANY], ..Config::default() },
        Config { sync_groups: vec![SyncGroup::default(); MANY], ..Config::default() },
        Config { scripts: vec![VrrpScript::default(); MANY], ..Config::default() },
        Config { checks: vec![VrrpCheck::default(); MANY], ..Config::default() },
        Config { track_files: vec![TrackFile::default(); MANY], ..Config::default() },
        Config { track_processes: vec![TrackProcess::default(); MANY], ..Config::default() },
        Config { garp_groups: vec![GarpGroup::default(); MANY], ..Config::default() },
        Config { static_routes: vec![Route::default(); MANY], ..Config::default() },
        Config { static_routes: vec![hops], ..Config::default() },
        Config { static_rules: vec![Rule::default(); MANY], ..Config::default() },
        Config { virtual_servers: vec![VirtualServer::default(); MANY], ..Config::default() },
        Config { virtual_servers: vec![servers], ..Config::default() },
    ];
    let mut worst = 0;
    for (n, config) in configs.iter().enumerate() {
        let bytes = image::encode(config).unwrap();
        let (took, len) = (peak(&bytes), bytes.len());
        worst = worst.max(took / len);
        assert!(took <= MAX_GROWTH * len + PROMISED, "list {n}: {took} bytes of memory from {len}");
    }
    assert!(worst > 2, "the measurement measures nothing: {worst}");
    // Bodies that are one byte over and over: every length and every variant, promised and not held.
    for byte in 0..=255u8 {
        for split in [0, 1000, 4000] {
            let (vrrp, lvs) = ([byte; 4000], [byte; 4000]);
            let bytes = image::seal(&vrrp[..split], &lvs[split..]).unwrap();
            let took = peak(&bytes);
            assert!(took <= MAX_GROWTH * bytes.len() + PROMISED, "{byte} {split}: {took}");
        }
    }
    assert!(peak(&[0; HEADER]) < 1000);
}
