//! The tags of the operations that the daemon submits, by the service that submitted them.

use super::adverts::{ChainKey, StopKey};
use super::sends::SendKey;
use crate::effect::BfdPort;
use crate::id::{ConnKey, FifoKey, SockKey};

/// Operations of the sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SockToken {
    /// The multishot receive on a VRRP socket.
    Rx(SockKey),
    /// The multishot receive on the packet socket beside it.
    Local(SockKey),
}

/// Operations of the adverts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdvertToken {
    /// A chain's timer.
    Timer(ChainKey),
    /// The n-th send of a chain.
    Send(ChainKey, u8),
    /// A priority-0 advert behind the cancellation of the armed ones.
    Farewell(StopKey),
    /// A packet of an advert sent at once.
    Now(SendKey),
}

/// Operations of a netlink socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetToken {
    /// The multishot receive.
    Rx,
    /// The send of a batch of requests.
    Tx,
}

/// Operations of a stream connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnToken {
    /// The operation that opens the connection.
    Open,
    /// A receive of at most 4 KiB.
    Rx,
    /// A send of queued bytes that had no room at once.
    Tx,
}

/// Operations of the line to the helper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelperToken {
    /// The helper sent a message, or closed the line.
    Rx,
    /// The line to the helper has room.
    Tx,
    /// A named pipe that was full has room.
    Room(FifoKey),
}

/// The tag of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// The signal pipe was read.
    Signals,
    /// The guard sent a message.
    Guard,
    /// Of the VRRP sockets.
    Sock(SockToken),
    /// Of the adverts, armed or sent at once.
    Advert(AdvertToken),
    /// There is room for more Ethernet frames on the interface with this index.
    Frames(u32),
    /// Of the rtnetlink socket: a send or a receive.
    Net(NetToken),
    /// Of the generic netlink socket for IPVS.
    Ipvs(NetToken),
    /// Of the nfnetlink socket for nf_tables.
    Filter(NetToken),
    /// Of this stream connection.
    Conn(ConnKey, ConnToken),
    /// Of the line to the helper.
    Helper(HelperToken),
    /// The multishot receive on a BFD port.
    Bfd(BfdPort),
    /// A log write.
    Log,
    /// A cancellation; its result is in the completions of the cancelled operations.
    Cancel,
}
