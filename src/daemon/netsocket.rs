//! A netlink socket on the ring: what is sent, what is received, and whether the kernel dropped anything.
//!
//! Read first: `netlink.rs` (requests, dumps, lost messages; pure). `rtnl.rs`, `ipvs.rs` and `nft.rs` each have one of these and turn what
//! comes out of it into events. A send runs on a kernel worker: the kernel takes a lock for it that any process on the host may hold, and
//! while the loop waits for that lock its armed adverts are late, too.

use super::netlink::{Limits, Netlink, Protocol, Told};
use super::os::Os;
use super::slice::Slice;
use super::token::{NetToken, Token};
use crate::event::Errno;
use crate::sys::errno;
use crate::sys::netlink;
use crate::sys::op::{Fd, Header, Link};
use crate::sys::os::Buffers;
use crate::sys::ring::How;
use crate::sys::socket::SockAddr;
use crate::time::Instant;
use std::io;
use std::rc::Rc;

/// What distinguishes one socket from another.
pub struct Kind {
    /// Names its completions.
    pub token: fn(NetToken) -> Token,
    /// Group number of its buffers.
    pub group: u16,
    /// Buffers. When they run out the messages wait in the socket, and nothing is lost; they are locked memory.
    pub buffers: u16,
    /// Bytes of each. A message of a dump is at most as long as the buffer offered.
    pub size: u32,
    /// Limits of the protocol on this socket.
    pub limits: Limits,
}

/// A netlink socket on the ring, with the protocol `P` spoken on it.
pub struct NetSocket<P: Protocol, B> {
    /// The protocol: requests and dumps, and what is read of received messages.
    pub talk: Netlink<P>,
    /// The netlink socket: requests leave by it, answers and notifications arrive on it.
    pub fd: Fd,
    /// Its netlink port: a notification that bears it was caused by one of our requests.
    pub port: u32,
    token: fn(NetToken) -> Token,
    to: Rc<SockAddr>,
    header: Rc<Header>,
    buffers: B,
    slice: Slice,
    // Messages the kernel has dropped so far.
    drops: u32,
}

impl<P: Protocol, B: Buffers> NetSocket<P, B> {
    /// Starts receiving on `fd`; requests go to `to`. `several_cpus`: the kernel's workers have a processor of their own.
    pub fn new(
        os: &mut impl Os<Buffers = B>,
        (fd, to): (Fd, Rc<SockAddr>),
        kind: Kind,
        several_cpus: bool,
    ) -> io::Result<Self> {
        let buffers = os.buffers(kind.group, kind.buffers, kind.size)?;
        let header = Header::new(netlink::NAME, 0);
        let port = os.netlink_port(&fd)?;
        os.recv_multi((kind.token)(NetToken::Rx), &fd, &header, &buffers);
        let (talk, slice) = (Netlink::new(kind.limits, port), Slice::new(several_cpus));
        Ok(NetSocket { talk, fd, port, token: kind.token, to, header, buffers, slice, drops: 0 })
    }

    /// Sends the next slice, if none is on its way; whether it did. `due`: the next deadline that must not be late.
    pub fn pump(&mut self, os: &mut impl Os<Buffers = B>, due: Option<Instant>) -> bool {
        if !self.talk.ready() {
            return false;
        }
        let now = os.mono();
        let Some((bytes, asked)) = self.talk.slice(self.slice.size(now, due)) else { return false };
        self.slice.begin(now, asked);
        os.send((self.token)(NetToken::Tx), &self.fd, bytes, Some(self.to.clone()), Link::Last, How::Worker);
        true
    }

    /// A slice left, or failed to: then the kernel looked at none of it. What follows from that.
    pub fn sent(&mut self, now: Instant, result: i32) -> Vec<Told<P::Report>> {
        self.slice.end(now);
        let mut all = Vec::new();
        self.talk.on_sent(if result < 0 { Err(Errno(-result)) } else { Ok(()) }, &mut |told| all.push(told));
        all
    }

    /// A completion of the receive. The buffer is given back before anything is done about what was in it.
    pub fn received(
        &mut self,
        os: &mut impl Os<Buffers = B>,
        buffer: Option<u16>,
        result: i32,
        more: bool,
    ) -> Vec<Told<P::Report>> {
        let mut all = Vec::new();
        let mut lost = false;
        if let Some(id) = buffer {
            lost = match self.buffers.datagram(id, result, &self.header) {
                Some(d) if netlink::from_kernel(d.name) => {
                    self.talk.on_bytes(d.payload, &mut |told| all.push(told));
                    d.truncated
                }
                // Another process sent to our port: nothing was lost.
                Some(_) => false,
                None => true,
            };
            self.buffers.give(id);
        } else if result < 0 && result != errno::ECANCELED {
            // ENOBUFS: the kernel dropped messages, or our buffers ran out; the socket's own count of drops says which. After any
            // other error it is not known what was missed.
            let drops = os.netlink_drops(&self.fd);
            lost = result != errno::ENOBUFS || drops.is_none() || drops != Some(self.drops);
            self.drops = drops.unwrap_or(self.drops);
        }
        if lost {
            self.talk.lost(&mut |told| all.push(told));
        }
        if !more {
            os.recv_multi((self.token)(NetToken::Rx), &self.fd, &self.header, &self.buffers);
        }
        all
    }
}
