//! `bfd_instance`. Read first: `setting.rs`.

use super::setting::{Weight, block};
use core::net::IpAddr;
use core::time::Duration;
use serde::{Deserialize, Serialize};

block! {
    /// One `bfd_instance`: a BFD session with one neighbor.
    pub struct BfdInstance {
        /// At most 31 bytes; unique.
        pub name: Box<str>,
        pub source_ip: Option<IpAddr> => "source_ip",
        pub neighbor_ip: Option<IpAddr> => "neighbor_ip" | "neighbour_ip",
        pub min_rx: Duration = Duration::from_millis(10) => "min_rx",
        pub min_tx: Duration = Duration::from_millis(10) => "min_tx",
        pub idle_tx: Duration = Duration::from_secs(1) => "idle_tx",
        pub multiplier: u8 = 5 => "multiplier",
        pub passive: bool => "passive",
        pub ttl: Option<u8> => "ttl" | "hoplimit",
        pub max_hops: i16 => "max_hops",
        pub multihop: bool => "multihop",
        pub weight: Weight => "weight",
        pub vrrp: bool => "vrrp",
        pub checker: bool => "checker",
    }
}
