//! The counters of a virtual router. Read first: `mod.rs`; `report.rs` shows them.

use crate::vrrp::advert::Reject;

/// Counters; names as in keepalived's statistics where it has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Stats {
    /// Adverts that passed every check, in the states Backup and Master.
    pub advert_rcvd: u64,
    /// Adverts that left.
    pub advert_sent: u64,
    /// Adverts that could not be sent.
    pub send_failed: u64,
    /// Times we became Master.
    pub become_master: u64,
    /// Times we stopped being Master.
    pub release_master: u64,
    /// Priority-0 adverts accepted.
    pub pri_zero_rcvd: u64,
    /// Priority-0 adverts sent.
    pub pri_zero_sent: u64,
    /// Dropped packets by reason, in the order of [`Reject::ALL`].
    pub rejected: [u64; Reject::ALL.len()],
    /// Virtual addresses added again after another process deleted them.
    pub restored: u64,
    /// Adverts accepted although they list other addresses than ours.
    pub other_vips: u64,
    /// Packets to unicast peers that were not sent while those to others were.
    pub peers_missed: u64,
    /// Times that a second Master was seen.
    pub dual_master: u64,
}
