//! The VRRP machines. Pure: time and bytes come in as arguments, effects go out as values.
//!
//! Read in this order: `fsm` (the transition table), `timing` (Skew_Time, Master_Down_Interval, the advert grid),
//! `instance` (one virtual router), `group` (those that change state together), then their tools `address` (VIPs as desired and
//! confirmed) and `announce` (gratuitous ARP and unsolicited NA). `advert` decides whether a received packet counts, `senders` keeps who
//! was heard, `seal` signs adverts and says whether a signed one is new (`replay`); `change` is what others are told of it; `text` holds every log line.

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
