//! What a seed draws: services, their servers, quorum and checks, and which faults there are.
//!
//! Read first: `mod.rs`. A file may lack a service or a server, or have another weight, while faults last.

use crate::rng::Rng;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;
use kalived::config::model::Config;
use kalived::config::model::check::{Check, CheckKind, DnsCheck, HttpCheck, Pace, UdpCheck, Url};
use kalived::config::model::lvs::{Method, Protocol, RealServer, Scheduler, Service, Sorry, VirtualServer};
use kalived::config::model::setting::{Ready, Script};

/// Kinds of fault; each seed has some of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A server refuses connections, or does not answer.
    Server,
    /// Another program deletes or changes an entry of the table.
    Meddle,
    /// Answers of the kernel are lost.
    Loss,
    /// Another configuration.
    Reload,
    /// The process is replaced by another one.
    Upgrade,
    /// It dies and is started anew from its last snapshot.
    Crash,
    /// It dies, and again soon after its start: the next one starts cold, with the virtual servers of the snapshot.
    Again,
    /// It dies and starts cold, without a snapshot.
    Restart,
    /// It does not run for a while.
    Pause,
}

impl Kind {
    /// All.
    pub const ALL: [Kind; 9] = [
        Kind::Server,
        Kind::Meddle,
        Kind::Loss,
        Kind::Reload,
        Kind::Upgrade,
        Kind::Crash,
        Kind::Again,
        Kind::Restart,
        Kind::Pause,
    ];
}

/// How a server is checked. Those with a connection of their own are left: programs, files and BFD sessions have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    Tcp,
    Http,
    Smtp,
    Dns,
    Udp,
    Ping,
}

impl Speaks {
    /// All.
    pub const ALL: [Speaks; 6] = [Speaks::Tcp, Speaks::Http, Speaks::Smtp, Speaks::Dns, Speaks::Udp, Speaks::Ping];

    fn check(self) -> CheckKind {
        match self {
            Speaks::Tcp => CheckKind::Tcp,
            Speaks::Http => {
                let url = Url { path: Some("/".into()), status: vec![(200, 200)], ..Url::default() };
                CheckKind::Http(Box::new(HttpCheck { urls: vec![url], ..HttpCheck::default() }))
            }
            Speaks::Smtp => CheckKind::Smtp(Box::default()),
            Speaks::Dns => CheckKind::Dns(Box::new(DnsCheck { name: "example.org".into(), ..DnsCheck::default() })),
            Speaks::Udp => {
                let reply = b"pong".iter().map(|b| (*b, 0xff)).collect();
                let payload = Some(b"ping".to_vec());
                let udp = UdpCheck { payload, require_reply: Some(reply), min_reply_length: 4, ..UdpCheck::default() };
                CheckKind::Udp(Box::new(udp))
            }
            Speaks::Ping => CheckKind::Ping,
        }
    }
}

/// One virtual server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawn1 {
    /// Server and weight.
    pub reals: Vec<(usize, i32)>,
    pub quorum: u32,
    pub hysteresis: u32,
    pub sorry: bool,
    pub inhibit: bool,
    pub sorry_inhibit: bool,
    pub alpha: bool,
    pub omega: bool,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// How many servers there are.
    pub servers: usize,
    /// How each of them is checked.
    pub speaks: Vec<Speaks>,
    pub services: Vec<Drawn1>,
    pub delay_loop: Duration,
    pub retry: u32,
    pub delay_before_retry: Duration,
    pub connect_timeout: Duration,
    pub faults: Vec<Kind>,
    /// Largest delays: of a turn, of netlink, of a program.
    pub wake: Duration,
    /// See `wake`.
    pub netlink: Duration,
    /// See `wake`.
    pub program: Duration,
}

/// What a file has of the draw: by service, whether it is there, and the weights of its servers; `None`: not in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File(pub Vec<Option<Vec<Option<i32>>>>);

impl Drawn {
    /// Draws.
    pub fn new(seed: u64) -> Drawn {
        let mut rng = Rng::stream(seed, 0x4c_56_53, 0);
        let servers = rng.range(1, 5) as usize;
        let services = (0..rng.range(1, 3)).map(|_| Drawn1::new(&mut rng, servers)).collect();
        Drawn {
            servers,
            speaks: (0..servers).map(|_| rng.pick(&Speaks::ALL)).collect(),
            services,
            delay_loop: Duration::from_millis(rng.range(500, 6000)),
            retry: rng.range(0, 3) as u32,
            delay_before_retry: Duration::from_millis(rng.range(100, 2000)),
            connect_timeout: Duration::from_millis(rng.range(200, 3000)),
            faults: Kind::ALL.into_iter().filter(|k| *k == Kind::Server || rng.permille(350)).collect(),
            wake: Duration::from_micros(rng.pick(&[5, 200])),
            netlink: Duration::from_micros(rng.pick(&[20, 1000])),
            program: Duration::from_millis(rng.pick(&[2, 50, 3000])),
        }
    }
    /// What was drawn, unchanged.
    pub fn file(&self) -> File {
        File(self.services.iter().map(|s| Some(s.reals.iter().map(|(_, w)| Some(*w)).collect())).collect())
    }
    /// A change of it.
    pub fn another(&self, rng: &mut Rng) -> File {
        let mut file = self.file();
        for service in &mut file.0 {
            for real in service.iter_mut().flatten() {
                match rng.below(6) {
                    0 => *real = None,
                    1 => *real = Some(rng.range(1, 9) as i32),
                    _ => {}
                }
            }
            if rng.permille(150) {
                *service = None;
            }
        }
        file
    }
    /// The address of a server.
    pub fn server(n: usize) -> IpAddr {
        Ipv4Addr::new(10, 77, 0, 11 + n as u8).into()
    }
    /// The address of a service.
    pub fn service(n: usize) -> IpAddr {
        Ipv4Addr::new(10, 77, 1, 1 + n as u8).into()
    }
    /// The address of a service's sorry server.
    pub fn sorry(n: usize) -> IpAddr {
        Ipv4Addr::new(10, 77, 2, 1 + n as u8).into()
    }
    /// Longest time until a server that does not answer is known as failed: the next check, its tries and the pauses between them.
    pub fn down_within(&self) -> Duration {
        let tries = self.retry + 1;
        // Each check begins at its own time within an interval.
        self.delay_loop * 2 + self.connect_timeout * tries + self.delay_before_retry * self.retry
    }

    /// As the World takes it.
    pub fn servers(&self, file: &File) -> Vec<VirtualServer> {
        let mut out = Vec::new();
        for (n, (service, reals)) in self.services.iter().zip(&file.0).enumerate() {
            let Some(weights) = reals else { continue };
            let pace = Pace {
                retry: Some(self.retry),
                delay_before_retry: Some(self.delay_before_retry),
                warmup: Some(Duration::ZERO),
                delay_loop: Some(self.delay_loop),
                alpha: Some(service.alpha),
                ..Pace::default()
            };
            let there = service.reals.iter().zip(weights).filter_map(|((s, _), weight)| Some((*s, (*weight)?)));
            let reals = there.map(|(s, weight)| {
                let mut check = Check { kind: self.speaks[s].check(), ..Check::default() };
                check.target.connect_timeout = Some(self.connect_timeout);
                RealServer {
                    addr: Drawn::server(s),
                    port: 80,
                    weight: Some(weight),
                    checks: vec![check],
                    ..RealServer::default()
                }
            });
            let sorry = Sorry { addr: Drawn::sorry(n), port: 80, inhibit: service.sorry_inhibit, method: Method::Dr };
            out.push(VirtualServer {
                service: Service::Address(Drawn::service(n), 80),
                protocol: Some(Protocol::Tcp),
                scheduler: Scheduler::Rr,
                method: Method::Dr,
                pace,
                quorum: service.quorum,
                hysteresis: service.hysteresis,
                omega: service.omega,
                inhibit_on_failure: service.inhibit,
                quorum_up: Some(hook(n, "up")),
                quorum_down: Some(hook(n, "down")),
                sorry: service.sorry.then(|| Box::new(sorry)),
                real_servers: reals.collect(),
                ..VirtualServer::default()
            });
        }
        out
    }
    /// The rest of the configuration, which is empty.
    pub fn config(&self) -> Config {
        Config::default()
    }
}

impl Drawn1 {
    fn new(rng: &mut Rng, servers: usize) -> Drawn1 {
        let mut reals: Vec<(usize, i32)> =
            (0..servers).filter(|_| rng.permille(700)).map(|s| (s, 1 + (s as i32 * 7) % 4)).collect();
        if reals.is_empty() {
            reals.push((0, 1));
        }
        let sum = reals.iter().map(|(_, w)| *w as u64).sum();
        let quorum = if rng.permille(500) { 1 } else { rng.range(1, sum) };
        Drawn1 {
            reals,
            quorum: quorum as u32,
            hysteresis: if rng.permille(700) { 0 } else { rng.below(quorum) as u32 },
            sorry: rng.permille(500),
            inhibit: rng.permille(300),
            sorry_inhibit: rng.permille(300),
            alpha: rng.permille(300),
            omega: rng.permille(300),
        }
    }
}

fn hook(service: usize, word: &str) -> Box<Script> {
    let argv = vec!["/hook".into(), service.to_string().into(), word.into()];
    Box::new(Script { argv, user: None, group: None, ready: Ready::As { uid: 0, gid: 0 } })
}
