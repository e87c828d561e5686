//! A virtual router. Read first: `mod.rs`.

use super::Moment;
use super::describe::{Described, Shape, record, words};
use crate::vrrp::State;
use core::net::IpAddr;
use std::collections::BTreeMap;

impl Described for State {
    fn shape() -> Shape {
        Shape::Words(&["INIT", "BACKUP", "MASTER", "FAULT"])
    }
}

words! {
    /// The family of a virtual router's addresses.
    pub enum Family { IPv4 = "ipv4", IPv6 = "ipv6" }
}

words! {
    /// What is wrong with a virtual router, or worth a look. The texts stand in kalived(8).
    pub enum Name {
        DualMaster = "DUAL_MASTER",
        Fault = "FAULT",
        Waiting = "WAITING",
        SendFailing = "SEND_FAILING",
        PeersUnreached = "PEERS_UNREACHED",
        AddressesMissing = "ADDRESSES_MISSING",
        AdvertsRefused = "ADVERTS_REFUSED",
        PriorityLowered = "PRIORITY_LOWERED",
        AddressesNotAdvertised = "ADDRESSES_NOT_ADVERTISED",
    }
}

record! {
    /// A virtual router.
    pub struct Instance {
        /// Its name in the file.
        pub name: String,
        /// Its interface; empty: whichever has the source address of its unicast adverts.
        pub interface: String,
        /// Its virtual_router_id, 1 to 255.
        pub vrid: u8,
        /// The family of its adverts.
        pub family: Family,
        /// Version of the protocol.
        pub version: u8,
        /// Its state: INIT, BACKUP, MASTER or FAULT.
        pub state: State,
        /// Since when it has that state.
        pub since: Moment,
        /// Why it has that state; empty: because it was started.
        pub cause: String,
        /// Conditions: what is wrong or worth a look; empty: nothing.
        pub conditions: Vec<Condition>,
        /// The last transitions, newest first, at most eight.
        pub transitions: Vec<Transition>,
        /// Priority in the file, 1 to 255.
        pub priority: u8,
        /// Priority with the weights of what is tracked: the one in adverts.
        pub effective_priority: u8,
        /// Why it is in FAULT, or what moved its priority; empty: neither.
        pub reasons: String,
        /// The Master that it follows; null: itself, or none.
        pub master: Option<IpAddr>,
        /// Priority of that Master; 0: none.
        pub master_priority: u8,
        /// Source address of its adverts; null: it has none.
        pub source: Option<IpAddr>,
        /// Destinations of its adverts: the group, or the unicast peers.
        pub destinations: Vec<IpAddr>,
        /// Interval between adverts in the file (advert_int).
        pub advert_interval_seconds: f64,
        /// The interval in use: with version 3 that of the Master it follows.
        pub master_advert_interval_seconds: f64,
        /// Silence after which it takes over.
        pub master_down_interval_seconds: f64,
        /// When it takes over unless an advert comes; null: it is not waiting.
        pub master_down_in_seconds: Option<f64>,
        /// Adverts that the kernel has been given ahead of time.
        pub adverts_armed: u64,
        /// Virtual addresses that are held.
        pub addresses_held: u64,
        /// Virtual addresses, in the order of the file, advertised ones first.
        pub addresses: Vec<Address>,
        /// Every router heard with this VRID, the latest first, at most sixteen.
        pub senders: Vec<Sender>,
        /// Routers that were dropped from that list because there were more.
        pub senders_dropped: u64,
        /// What it has sent, received and refused, and its changes of state.
        pub counters: Counters,
    }
}

record! {
    /// Something that is wrong with a virtual router, or worth a look.
    pub struct Condition {
        /// Name of the condition; kalived(8) explains each.
        pub name: Name,
        /// Since when; null: not known.
        pub since: Option<Moment>,
        /// What was observed.
        pub detail: String,
        /// What to look at; empty: see detail.
        pub look_at: String,
    }
}

record! {
    /// A change of state.
    pub struct Transition {
        /// When the state changed.
        pub at: Moment,
        /// The state before.
        pub from: State,
        /// The state after.
        pub to: State,
        /// The cause, as in the log.
        pub cause: String,
    }
}

record! {
    /// A virtual address.
    pub struct Address {
        /// The address without its prefix.
        pub address: String,
        /// Length of its prefix.
        pub prefix_length: u8,
        /// Name of the interface that it belongs to.
        pub interface: String,
        /// It is in virtual_ipaddress, not in virtual_ipaddress_excluded.
        pub advertised: bool,
        /// The kernel has confirmed that it is there.
        pub held: bool,
    }
}

record! {
    /// A router that was heard. Counts of one that was dropped from the list and comes back begin anew.
    pub struct Sender {
        /// Source address of its adverts.
        pub address: String,
        /// The first one.
        pub first: Moment,
        /// The last one.
        pub last: Moment,
        /// Version of the protocol in the last one; null: it could not be read.
        pub version: Option<u8>,
        /// Priority in the last one; 0 is a farewell; null: it could not be read.
        pub priority: Option<u8>,
        /// Interval in the last one; null: it could not be read.
        pub advert_interval_seconds: Option<f64>,
        /// Adverts of it that were accepted.
        pub accepted: u64,
        /// Adverts of it that were refused.
        pub refused: u64,
        /// The last one that was accepted.
        pub last_accepted: Option<Moment>,
        /// The last one that was refused.
        pub last_refused: Option<Moment>,
        /// Why that one was refused, a name as in rejected.
        pub last_refused_reason: Option<String>,
    }
}

record! {
    /// Counters of a virtual router. An upgrade or a restart with hand-over keeps them but for peer_packets_not_sent, other_addresses
    /// and dual_master.
    pub struct Counters {
        /// Adverts that passed every check, in the states BACKUP and MASTER.
        pub adverts_received: u64,
        /// Adverts that left.
        pub adverts_sent: u64,
        /// Adverts that could not be sent.
        pub adverts_not_sent: u64,
        /// Packets to unicast peers that did not leave while those to others did.
        pub peer_packets_not_sent: u64,
        /// Times it became Master.
        pub became_master: u64,
        /// Times it stopped being Master.
        pub released_master: u64,
        /// Adverts with priority 0 accepted.
        pub priority_zero_received: u64,
        /// Adverts with priority 0 sent.
        pub priority_zero_sent: u64,
        /// Virtual addresses put back after another program removed them.
        pub addresses_restored: u64,
        /// Adverts accepted although they list other addresses.
        pub other_addresses: u64,
        /// Times that another Master was seen (DUAL_MASTER).
        pub dual_master: u64,
        /// Packets refused, by reason; only reasons that occurred.
        pub rejected: BTreeMap<String, u64>,
    }
}
