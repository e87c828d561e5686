//! Real servers and the kernel's IPVS table that send the bytes of an input. The health checks must end, and a reported table must not
//! lead to requests beyond the wanted entries and the reported ones.
//!
//! Read first: `targets.rs`.

use super::Memory;
use kalived::child::Children;
use kalived::config::load;
use kalived::config::model::Config;
use kalived::config::model::global::GlobalMore;
use kalived::config::model::lvs::parts;
use kalived::conn::Conns;
use kalived::effect::{ConnFx, Effect, Effects, LvsFx};
use kalived::event::{LvsEv, Stream};
use kalived::id::{Arena, ConnKey, ServerMark};
use kalived::lvs::check::{self, CheckSpec, Checks, Wanted};
use kalived::lvs::director::{self, Director};
use kalived::time::{Duration, Instant, Now, Wall};
use kalived::timers::{Due, Timers};
use kalived::watch::Watches;
use kalived::wire::netlink::{frames, ipvs};

/// A web server by digest and by pattern, a mail server, a name server, two datagram servers and an echo.
const CONFIG: &str = "virtual_server 10.0.0.1 80 {\n lb_algo rr\n lb_kind NAT\n protocol TCP\n delay_loop 1\n warmup 0\n\
    real_server 10.1.0.1 80 {\n HTTP_GET {\n url {\n path /\n digest 9b3a0c85a887a256d6939da88aabd8cd\n }\n }\n\
    HTTP_GET {\n url {\n path /a\n regex \"(?i)all (is )*well\"\n regex_max_offset 99\n }\n url {\n path /b\n status_code 200-299 404\n }\n }\n\
    SMTP_CHECK {\n }\n DNS_CHECK {\n name example.net\n type TXT\n }\n UDP_CHECK {\n require_reply 01xx\n }\n UDP_CHECK {\n payload 00\n }\n\
    PING_CHECK {\n }\n }\n real_server 10.1.0.2 81 {\n weight 3\n }\n}\n\
    virtual_server fwmark 5 {\n lb_algo sh\n lb_kind DR\n ip_family inet\n real_server 10.1.0.1 {\n }\n}\n";

fn config() -> Config {
    let loaded = load(&Memory::new(CONFIG.as_bytes()), "f0");
    assert_eq!(loaded.config.virtual_servers.len(), 2, "{}", loaded.render(true));
    loaded.config
}

/// The answers of servers, in pieces that end with a byte 0xff, the same for all checks.
pub fn checks(data: &[u8]) {
    let config = config();
    let mut servers: Arena<ServerMark, ()> = Arena::default();
    let server = servers.insert(());
    let vs = &config.virtual_servers[0];
    let rs = &vs.real_servers[0];
    let specs = rs.checks.iter().flat_map(|c| CheckSpec::of(&config, vs, rs, c));
    let wanted: Vec<Wanted> = specs
        .map(|spec| Wanted { server, name: "rs".into(), service: "vs".into(), weight: 1, alpha: false, spec })
        .collect();
    assert_eq!(wanted.len(), 7);
    let mut now = Now { mono: Instant(1_000_000_000), wall: Wall(0) };
    let (mut all, mut timers, mut fx, mut children) =
        (Checks::default(), Timers::default(), Effects::default(), Children::default());
    let (mut conns, mut watches) = (Conns::default(), Watches::default());
    let mut open: Vec<ConnKey> = Vec::new();
    macro_rules! cx {
        () => {
            &mut check::Cx {
                now,
                timers: &mut timers,
                fx: &mut fx,
                children: &mut children,
                conns: &mut conns,
                watches: &mut watches,
            }
        };
    }
    macro_rules! hears {
        ($what:expr) => {
            for conn in open.clone() {
                if let Some(kalived::conn::For::Lvs(check)) = conns.whose(conn) {
                    all.on_stream(check, conn, $what, cx!());
                }
                all.check_invariants(&timers);
            }
        };
    }
    all.set(server, wanted, cx!());
    all.start(cx!());
    let pieces = data.split(|b| *b == 0xff).take(64).chain([&[][..]]);
    for piece in pieces {
        for _ in 0..100 {
            let Some((at, due)) = timers.next().filter(|(at, _)| *at <= now.mono + Duration::from_millis(300)) else {
                break;
            };
            assert_eq!(due, Due::Checks);
            now.mono = now.mono.max(at);
            timers.pop(now.mono);
            all.on_due(cx!());
            let mut fresh = Vec::new();
            for effect in fx.drain() {
                match effect {
                    Effect::Conn(ConnFx::Connect { conn, .. }) => fresh.push(conn),
                    Effect::Conn(ConnFx::Close { conn }) => open.retain(|c| *c != conn),
                    Effect::Conn(ConnFx::Write { bytes, .. }) => assert!(bytes.len() <= 4096),
                    _ => {}
                }
            }
            for conn in fresh {
                open.push(conn);
                if let Some(kalived::conn::For::Lvs(check)) = conns.whose(conn) {
                    all.on_stream(check, conn, Stream::Connected, cx!());
                }
            }
        }
        open.retain(|c| conns.whose(*c).is_some());
        assert!(open.len() <= 7, "one look of each at a time");
        hears!(Stream::Data(piece));
    }
    hears!(Stream::End);
    let views = all.views(server);
    assert!(views.iter().all(|(_, v)| v.words.len() <= 400), "{views:?}");
}

/// The kernel's messages about its IPVS table: each piece that ends with a byte 0xff is a part of the answer to a request.
pub fn ipvs(data: &[u8]) {
    let config = config();
    let mut now = Now { mono: Instant(1_000_000_000), wall: Wall(0) };
    let (mut director, mut timers, mut children, mut fx) =
        (Director::default(), Timers::default(), Children::default(), Effects::default());
    macro_rules! cx {
        () => {
            &mut director::Cx { now, timers: &mut timers, fx: &mut fx, children: &mut children }
        };
    }
    director.on_event(LvsEv::Offered, &config, cx!());
    director.begin(&GlobalMore::default(), true, cx!());
    let mut events: Vec<LvsEv> =
        vec![LvsEv::Config(Ok(parts(&None, &[], &config.virtual_servers).collect())), LvsEv::Opened(Ok(()))];
    let mut pieces = data.split(|b| *b == 0xff).take(64);
    let (mut requests, mut told) = (0, 0);
    for _ in 0..1000 {
        for event in core::mem::take(&mut events) {
            director.on_event(event, &config, cx!());
        }
        director.take_checks();
        director.pump(now.mono, &mut fx);
        for effect in fx.drain().collect::<Vec<_>>() {
            match effect {
                Effect::Lvs(LvsFx::Dump(_) | LvsFx::DumpWithSync) => {
                    let Some(piece) = pieces.next() else { continue };
                    let read = |f: Result<kalived::wire::netlink::Frame<'_>, _>| ipvs::read(f.ok()?.body, None).ok();
                    let mut found: Vec<_> = frames(piece).filter_map(read).collect();
                    found.extend(ipvs::read(piece, None).ok());
                    told += found.len();
                    assert!(found.len() <= piece.len() / 16 + 1);
                    events.extend([LvsEv::Found(found), LvsEv::Synced { complete: piece.len() % 5 != 4 }]);
                }
                Effect::Lvs(LvsFx::Change { req, .. }) => {
                    requests += 1;
                    events.push(LvsEv::Reply { req, result: Ok(()) });
                }
                _ => {}
            }
        }
        if !events.is_empty() {
            continue;
        }
        let Some((at, _)) = timers.next() else { break };
        now.mono = now.mono.max(at);
        timers.pop(now.mono);
        director.on_due(cx!());
    }
    // Five entries are wanted, and each read may report each of them as missing or different.
    assert!(requests <= 5 * 2 * 70 + 2 * told, "{requests} requests, {told} entries told");
}
