//! Layouts 2 and 3: postcard, whose fields have no names, so that only their order identifies them. These structures are never changed.
//!
//! The releases before layout 4 wrote and read layout 3; it is still written for them. Layout 2 had no routes.

use super::{InstanceShot, Snapshot, TrackShot};
use crate::route::RouteId;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Layout2 {
    at: u64,
    last: bool,
    instances: Vec<Instance>,
    tracks: Vec<Track>,
    going: Vec<(u32, IpAddr, u8)>,
}

#[derive(Serialize, Deserialize)]
struct Layout3 {
    old: Layout2,
    routes: Vec<Route>,
}

#[derive(Serialize, Deserialize)]
struct Instance {
    name: String,
    vrid: u8,
    interface: String,
    v6: bool,
    ifindex: u32,
    state: u8,
    since: (u64, u64),
    priority: u8,
    master_interval: u64,
    master: Option<IpAddr>,
    master_down: Option<u64>,
    preempt_at: Option<u64>,
    preempt_over: bool,
    last_armed: Option<u64>,
    addrs: Vec<(u32, IpAddr, u8)>,
    announce: bool,
    stats: Vec<u64>,
    notified: Option<u8>,
    piped: Option<u8>,
}

#[derive(Serialize, Deserialize)]
struct Track {
    kind: String,
    name: String,
    value: Option<i64>,
}

#[derive(Serialize, Deserialize)]
struct Route {
    table: u32,
    to: (IpAddr, u8),
    from: (IpAddr, u8),
    tos: u8,
    metric: u32,
}

/// The body in layout 3.
pub(super) fn write(s: &Snapshot, out: &mut Vec<u8>) -> Result<(), postcard::Error> {
    let instances = s.instances.iter().map(|i| Instance {
        name: i.name.clone(),
        vrid: i.vrid,
        interface: i.interface.clone(),
        v6: i.v6,
        ifindex: i.ifindex,
        state: i.state,
        since: i.since,
        priority: i.priority,
        master_interval: i.master_interval,
        master: i.master,
        master_down: i.master_down,
        preempt_at: i.preempt_at,
        preempt_over: i.preempt_over,
        last_armed: i.last_armed,
        addrs: i.addrs.clone(),
        announce: i.announce,
        stats: i.stats.clone(),
        notified: i.notified,
        piped: i.piped,
    });
    let tracks = s.tracks.iter().map(|t| Track { kind: t.kind.clone(), name: t.name.clone(), value: t.value });
    let routes = s.routes.iter().chain(&s.virtual_routes).map(|r| Route {
        table: r.table,
        to: r.to,
        from: r.from,
        tos: r.tos,
        metric: r.metric,
    });
    let whole = Layout3 {
        old: Layout2 {
            at: s.at,
            last: s.last,
            instances: instances.collect(),
            tracks: tracks.collect(),
            going: s.going.clone(),
        },
        routes: routes.collect(),
    };
    postcard::to_io(&whole, out).map(|_| ())
}

/// Reads the body of layout 2 or 3. A length without its bytes allocates at most 1 MiB (serde's limit); decoding is not recursive.
pub(super) fn read(layout: u16, body: &[u8]) -> Result<Snapshot, String> {
    let whole = match layout {
        2 => postcard::take_from_bytes(body).map(|(old, rest)| (Layout3 { old, routes: Vec::new() }, rest)),
        _ => postcard::take_from_bytes(body),
    };
    let (Layout3 { old, routes }, rest) = whole.map_err(|e| e.to_string())?;
    if !rest.is_empty() {
        return Err(format!("{} bytes are left over", rest.len()));
    }
    let instances = old.instances.into_iter().map(|i| InstanceShot {
        name: i.name,
        vrid: i.vrid,
        interface: i.interface,
        v6: i.v6,
        ifindex: i.ifindex,
        state: i.state,
        since: i.since,
        priority: i.priority,
        master_interval: i.master_interval,
        master: i.master,
        master_down: i.master_down,
        preempt_at: i.preempt_at,
        preempt_over: i.preempt_over,
        last_armed: i.last_armed,
        addrs: i.addrs,
        announce: i.announce,
        stats: i.stats,
        notified: i.notified,
        piped: i.piped,
        willing: false,
        ..InstanceShot::default()
    });
    let tracks = old.tracks.into_iter().map(|t| TrackShot { kind: t.kind, name: t.name, value: t.value });
    let routes =
        routes.into_iter().map(|r| RouteId { table: r.table, to: r.to, from: r.from, tos: r.tos, metric: r.metric });
    Ok(Snapshot {
        at: old.at,
        last: old.last,
        instances: instances.map(Into::into).collect(),
        tracks: tracks.collect(),
        going: old.going,
        routes: routes.collect(),
        ..Snapshot::default()
    })
}
