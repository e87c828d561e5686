//! The VRRP machines. Pure: time and bytes come in as arguments, effects go out as values.
//!
//! Read in this order: `fsm` (the transition table), `timing` (Skew_Time, Master_Down_Interval, the advert grid), `instance` (one virtual
//! router), `group` (those that change state together), then `address` (VIPs as wanted and confirmed) and `announce` (gratuitous ARP and
//! unsolicited NA). `advert` verifies received packets, `senders` records the senders, `seal` signs adverts and checks whether a signed
//! one is new (`replay`); `change` is a change for hooks, pipes and mail; `text` contains every log line.

pub mod address;
pub mod advert;
pub mod announce;
pub mod change;
pub mod fsm;
pub mod group;
pub mod instance;
pub mod replay;
pub mod seal;
pub mod senders;
pub mod text;
pub mod timing;

pub use fsm::State;
pub use instance::Instance;
