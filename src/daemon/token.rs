//! What a completion belongs to: the tag of every operation the daemon submits.

use super::adverts::{ChainKey, StopKey};
use super::sends::SendKey;
use crate::id::{ConnKey, FifoKey, SockKey};

/// Tag of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// The signal pipe was read.
    Signals,
    /// The guard said something.
    Guard,
    /// The multishot receive on the rtnetlink socket.
    NetlinkRx,
    /// A batch of rtnetlink requests left.
    NetlinkTx,
    /// The multishot receive on a VRRP socket.
    Rx(SockKey),
    /// The multishot receive on the packet socket beside it.
    RxLocal(SockKey),
    /// A packet of an advert sent at once.
    Send(SendKey),
    /// A priority-0 advert behind the cancellation of the armed ones.
    Farewell(StopKey),
    /// There is room for more Ethernet frames on the interface with this index.
    FrameRoom(u32),
    /// A chain's timer.
    Timer(ChainKey),
    /// The n-th send of a chain.
    Advert(ChainKey, u8),
    /// A cancellation; what it did is seen in the completions of what it cancelled.
    Cancel,
    /// A log write.
    Log,
    /// A connection is being opened.
    Connect(ConnKey),
    /// A connection's receive.
    StreamRx(ConnKey),
    /// A connection's send.
    StreamTx(ConnKey),
    /// The helper said something, or is gone.
    HelperRx,
    /// The helper can be told more.
    HelperTx,
    /// A named pipe that was full has room.
    FifoRoom(FifoKey),
}
