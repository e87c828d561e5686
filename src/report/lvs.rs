//! Virtual servers and their real servers. Read first: `mod.rs`.

use super::Moment;
use super::describe::{record, words};

words! {
    /// What is known of a real server.
    pub enum ServerState { Unchecked = "unchecked", Awaited = "awaited", Up = "up", Down = "down" }
}

record! {
    /// A virtual server.
    pub struct VirtualServer {
        /// As in the log: address, protocol and port; FWM and mark; or group and number.
        pub name: String,
        /// Name of the kernel's scheduler, such as wlc.
        pub scheduler: String,
        /// It has its quorum.
        pub up: bool,
        /// When it gained or lost its quorum.
        pub since: Moment,
        /// Why it has no quorum; empty: it has.
        pub reason: String,
        /// Sum of the weights of its servers that take connections.
        pub weight: u64,
        /// Weight that it needs.
        pub quorum: u64,
        /// So far above the quorum the weight must rise to gain it, and so far below fall to lose it.
        pub hysteresis: u64,
        /// Its sorry server: address, protocol and port; null: none.
        pub sorry_server: Option<String>,
        /// The sorry server replaces the other servers.
        pub sorry_active: bool,
        /// Its checks rest, because this host does not have its address (ha_suspend).
        pub suspended: bool,
        /// Mark of the packets to its group (nftables_ipvs); null: none.
        pub fwmark: Option<u32>,
        /// Services in the kernel's table: one, or one for each member of its group, or one for each family of them.
        pub services: u64,
        /// Of these in the table now.
        pub services_held: u64,
        /// Its real servers, in the order of the file.
        pub real_servers: Vec<RealServer>,
    }
}

record! {
    /// A real server.
    pub struct RealServer {
        /// As in the log: address, protocol and port.
        pub name: String,
        /// unchecked: no check has ended, it takes part; awaited: none has ended, it does not (alpha).
        pub state: ServerState,
        /// When it entered that state.
        pub since: Moment,
        /// Why; empty: nothing changed since it was configured.
        pub reason: String,
        /// Its weight now.
        pub weight: u64,
        /// A failed server stays in the table with weight 0 (inhibit_on_failure).
        pub inhibit_on_failure: bool,
        /// Its health checks, in the order of the file.
        pub checks: Vec<HealthCheck>,
    }
}

record! {
    /// A health check of a real server.
    pub struct HealthCheck {
        /// Its kind in keepalived's words of the log: TCP_CHECK, HTTP_CHECK, SSL_CHECK (HTTP_GET, SSL_GET), ICMP CHECK, Misc check.
        pub kind: String,
        /// It succeeds; null: it has not ended yet.
        pub up: Option<bool>,
        /// Since when; null: it has not ended yet.
        pub since: Option<Moment>,
        /// How long ago it ended last; null: not yet.
        pub last_age_seconds: Option<f64>,
        /// Its last result in words; empty: none yet.
        pub result: String,
        /// Failures in a row that do not count yet.
        pub failures: u64,
    }
}

record! {
    /// The kernel's IPVS table.
    pub struct Ipvs {
        /// Whether the kernel executes requests; null: none was made.
        pub available: Option<bool>,
        /// Entries that were corrected because another program had changed them.
        pub restored: u64,
    }
}
