//! What a completion belongs to: the tag of every operation the daemon submits, by the service that submitted it.

use super::adverts::{ChainKey, StopKey};
use super::sends::SendKey;
use crate::id::{ConnKey, FifoKey, SockKey};

/// Of the sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SockToken {
    /// The multishot receive on a VRRP socket.
    Rx(SockKey),
    /// The multishot receive on the packet socket beside it.
    Local(SockKey),
}

/// Of the adverts.
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

/// Of a netlink socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetToken {
    /// The multishot receive.
    Rx,
    /// A batch of requests left.
    Tx,
}

/// Of a stream connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnToken {
    /// It is being opened.
    Open,
    /// Its receive.
    Rx,
    /// Its send.
    Tx,
}

/// Of the line to the helper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelperToken {
    /// The helper said something, or is gone.
    Rx,
    /// The helper can be told more.
    Tx,
    /// A named pipe that was full has room.
    Room(FifoKey),
}

/// Tag of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// The signal pipe was read.
    Signals,
    /// The guard said something.
    Guard,
    /// Of the sockets.
    Sock(SockToken),
    /// Of the adverts.
    Advert(AdvertToken),
    /// There is room for more Ethernet frames on the interface with this index.
    Frames(u32),
    /// Of rtnetlink.
    Net(NetToken),
    /// Of IPVS.
    Ipvs(NetToken),
    /// Of nf_tables.
    Filter(NetToken),
    /// Of a stream connection.
    Conn(ConnKey, ConnToken),
    /// Of the line to the helper.
    Helper(HelperToken),
    /// A log write.
    Log,
    /// A cancellation; what it did is seen in the completions of what it cancelled.
    Cancel,
}
