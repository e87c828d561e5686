//! BFD sessions. Read first: `mod.rs`.

use super::Moment;
use super::describe::record;

record! {
    /// A BFD session.
    pub struct BfdSession {
        /// Its name in the file.
        pub name: String,
        /// Address of the peer.
        pub neighbor: String,
        /// Address that its packets come from; null: the kernel chooses it.
        pub source: Option<String>,
        /// RFC 5883, UDP port 4784; else RFC 5881, port 3784.
        pub multihop: bool,
        /// Whether trackers and checks see it up; null: it began a short time ago and has not come up yet.
        pub up: Option<bool>,
        /// AdminDown, Down, Init or Up.
        pub state: String,
        /// Since when it has that state.
        pub since: Moment,
        /// Why it last left Up, by RFC 5880.
        pub local_diagnostic: String,
        /// The state that the peer reports; null: the peer is not heard.
        pub remote_state: Option<String>,
        /// Why the peer's session last left Up; null: the peer is not heard.
        pub remote_diagnostic: Option<String>,
        /// Its own discriminator.
        pub local_discriminator: u32,
        /// The discriminator of the peer; 0: the peer is not heard.
        pub remote_discriminator: u32,
        /// Interval between two packets, before jitter; null: none are sent periodically.
        pub transmit_interval_seconds: Option<f64>,
        /// Silence after which the peer is lost; null: the peer is not heard.
        pub detection_time_seconds: Option<f64>,
        /// Control packets that were sent.
        pub packets_sent: u64,
        /// Packets that could not be sent.
        pub packets_not_sent: u64,
        /// Control packets that were accepted.
        pub packets_received: u64,
        /// Times it came up.
        pub times_up: u64,
        /// Times it left Up.
        pub times_lost: u64,
        /// Why one of its sockets is not open; null: both are.
        pub error: Option<String>,
    }
}
