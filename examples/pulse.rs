//! Sends adverts by the pre-armed chains and nothing else, to measure the ring without any protocol.
//!
//! `pulse IFINDEX ROUTERS INTERVAL_US SECONDS BUSY_US [coop] [rt]`: needs CAP_NET_RAW and CAP_NET_ADMIN. Capture on the peer of
//! a veth: `tcpdump -i PEER -j adapter_unsynced --time-stamp-precision=nano -w FILE proto 112`.
//! `BUSY_US` is spun in user code ten times a second: in every turn it would be all of a processor, which the kernel takes from
//! a real-time task for 50 ms a second.

use bytes::Bytes;
use kalived::daemon::exec::Exec;
use kalived::daemon::log::Sink;
use kalived::daemon::{Machine, run};
use kalived::effect::{AdvertFx, Effect, Effects, Packets, SockFx, SockSpec};
use kalived::event::{AdvertEv, Event, SockEv};
use kalived::exit::ExitCode;
use kalived::id::{Arena, SockKey, SockMark, VrKey, VrMark};
use kalived::process::line::Target;
use kalived::sys::{clock, ring::Ring, sched, signal};
use kalived::time::{Duration, Instant, Now};
use kalived::timers::Due;

struct Pulse {
    ifindex: u32,
    sock: SockKey,
    vrs: Vec<VrKey>,
    interval: Duration,
    busy: Duration,
    next_busy: Instant,
    end: Instant,
    sent: u64,
    failed: u64,
    ended: bool,
}

impl Pulse {
    fn advert(&self, vr: VrKey, at: Instant) -> Effect {
        let i = self.vrs.iter().position(|v| *v == vr).unwrap_or(0);
        // A v2 advert of VRID i, priority 100, without addresses; the kernel fills in the IP checksum.
        let mut p = vec![0x45, 0xc0, 0, 28, 0, 0, 0, 0, 255, 112, 0, 0, 10, 0, 0, 1, 224, 0, 0, 18];
        p.extend([0x21, (i + 1) as u8, 100, 0, 0, 1, 0, 0]);
        Effect::Advert(AdvertFx::At {
            vr,
            sock: self.sock,
            epoch: 0,
            at,
            packets: Packets::one([224, 0, 0, 18].into(), Bytes::from(p)),
        })
    }
    fn depth(&self) -> u64 {
        (1_000_000_000 / kalived::time::nanos(self.interval)).clamp(1, 8)
    }
}

impl Machine for Pulse {
    fn handle(&mut self, now: Now, event: Event<'_>, fx: &mut Effects) {
        match event {
            Event::Start => fx.push(Effect::Sock(SockFx::Open {
                sock: self.sock,
                spec: SockSpec::Multicast { ifindex: self.ifindex, group: [224, 0, 0, 18].into(), ah: false },
            })),
            Event::Sock(SockEv::Ready { result, .. }) => {
                result.expect("socket");
                let start = now.mono + Duration::from_millis(50);
                for k in 0..self.depth() {
                    for vr in &self.vrs {
                        fx.push(self.advert(*vr, start + self.interval * k as u32));
                    }
                }
            }
            Event::Advert(AdvertEv::Sent { vr, due, result, .. }) => {
                self.sent += 1;
                self.failed += u64::from(result.is_err());
                let next = due + self.interval * self.depth() as u32;
                if next < self.end {
                    fx.push(self.advert(vr, next));
                }
            }
            _ => {}
        }
    }
    fn fire(&mut self, now: Now, _: usize, fx: &mut Effects) -> bool {
        if now.mono >= self.next_busy {
            self.next_busy = now.mono + Duration::from_millis(100);
            while clock::mono().since(now.mono) < self.busy {}
        }
        if now.mono > self.end + Duration::from_millis(200) && !self.ended {
            self.ended = true;
            fx.push(Effect::Exit(ExitCode::Ok));
        }
        false
    }
    fn next_deadline(&self) -> Option<(Instant, Due)> {
        Some((self.end + Duration::from_millis(201), Due::Resync))
    }
}

fn main() {
    let a: Vec<u64> = std::env::args().skip(1).filter_map(|s| s.parse().ok()).collect();
    let [ifindex, routers, interval, seconds, busy] = a[..] else { panic!("see the file's head") };
    let coop = std::env::args().any(|s| s == "coop");
    let log = Sink::new(Target::Console, true);
    let ring = Ring::with_coop(coop).expect("ring");
    let signals = signal::install().expect("signals");
    let mut exec = Exec::new(ring, signals, log, true).expect("exec");
    if std::env::args().any(|s| s == "rt") {
        eprintln!("{:?}", sched::apply(&sched::Wanted::default()));
    }
    let mut keys: Arena<VrMark, ()> = Arena::default();
    let mut socks: Arena<SockMark, ()> = Arena::default();
    let mut p = Pulse {
        ifindex: ifindex as u32,
        sock: socks.insert(()),
        vrs: (0..routers).map(|_| keys.insert(())).collect(),
        interval: Duration::from_micros(interval),
        busy: Duration::from_micros(busy),
        next_busy: Instant::default(),
        end: clock::mono() + Duration::from_secs(seconds),
        sent: 0,
        failed: 0,
        ended: false,
    };
    run(&mut exec, &mut p);
    println!(
        "sent {} failed {} CPU {:?} in flight {}",
        p.sent,
        p.failed,
        clock::cpu(),
        exec.report().operations_in_flight
    );
}
