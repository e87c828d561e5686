//! Adverts that are sent at once, and the route of a packet: which socket, to which address.
//!
//! Read first: `effect.rs` (`Packets`), `adverts.rs` (armed adverts). An advert with several destinations is several sends and one
//! answer: it failed when none of its packets left.

use super::token::{AdvertToken, Token};
use crate::effect::{Packet, Packets};
use crate::event::{AdvertEv, Errno, Event};
use crate::id::{Arena, Key, VrKey};
use crate::sys::op::{Fd, Link};
use crate::sys::os::Ops;
use crate::sys::ring::How;
use crate::sys::socket::SockAddr;
use crate::wire::ether;
use bytes::Bytes;
use std::rc::Rc;

/// What a [`SendKey`] names: one advert that is being sent to its destinations.
pub enum SendMark {}
/// Name of an advert that was sent at once.
pub type SendKey = Key<SendMark>;

/// The destination of packets.
#[derive(Clone)]
pub enum To {
    /// The address that the socket is connected to.
    Connected,
    /// All to one address: the group.
    One(Rc<SockAddr>),
    /// Each packet to its own destination; the interface is the scope of a link-local one.
    Each(u32),
}

/// The socket and the destination of packets.
#[derive(Clone)]
pub struct Way {
    /// The socket that the packet is sent on.
    pub fd: Fd,
    /// The destination address of the packet.
    pub to: To,
    /// For packets that leave from another Ethernet address than the interface's: the socket, and the interface.
    pub frames: Option<(Fd, u32)>,
}

/// A packet as it is given to the kernel: by which socket, to which address, which bytes.
pub type Given<'a> = (&'a Fd, Option<Rc<SockAddr>>, Bytes);

impl Way {
    /// How one packet is given to the kernel. One that leaves from an Ethernet address of its own is a whole frame.
    pub fn give(&self, packet: &Packet) -> Given<'_> {
        if let (Some(mac), Some((fd, ifindex))) = (packet.from, &self.frames)
            && let Some(frame) = ether::to_group(mac, packet.to, &packet.bytes)
        {
            return (fd, SockAddr::frame(*ifindex, &frame).map(Rc::new), frame);
        }
        (&self.fd, self.to(packet), packet.bytes.clone())
    }

    /// The address for one packet; `None`: where the socket is connected to.
    fn to(&self, packet: &Packet) -> Option<Rc<SockAddr>> {
        match &self.to {
            To::Connected => None,
            To::One(to) => Some(to.clone()),
            To::Each(ifindex) => Some(Rc::new(SockAddr::ip(packet.to, *ifindex))),
        }
    }
}

struct Sending {
    vr: VrKey,
    open: usize,
    tally: Tally,
}

/// The results of the packets of one advert.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    left: bool,
    failed: Option<Errno>,
}

impl Tally {
    /// Counts the result of one send: zero or more is success, below zero is a negated errno.
    pub fn count(&mut self, result: i32) {
        self.left |= result >= 0;
        if result < 0 {
            self.failed.get_or_insert(Errno(-result));
        }
    }
    /// The errno if none left; `None`: at least one did.
    pub fn failed(&self) -> Option<Errno> {
        self.failed.filter(|_| !self.left)
    }
}

/// Adverts that are sent at once, and how many of their sends have not completed.
#[derive(Default)]
pub struct Sends {
    sending: Arena<SendMark, Sending>,
}

impl Sends {
    /// Submits one send for each packet of an advert. Its failure is reported once, when the last send has completed.
    pub fn send(&mut self, ring: &mut impl Ops<Token>, vr: VrKey, packets: &Packets, way: &Way) {
        let key = self.sending.insert(Sending { vr, open: packets.len(), tally: Tally::default() });
        for p in packets.iter() {
            let (fd, to, bytes) = way.give(p);
            ring.send(Token::Advert(AdvertToken::Now(key)), fd, bytes, to, Link::Last, How::NoWait);
        }
    }

    /// A send of an advert completed. Returns the event for the machines, if there is one.
    pub fn on_done(&mut self, key: SendKey, result: i32) -> Option<Event<'static>> {
        let s = self.sending.get_mut(key)?;
        s.tally.count(result);
        s.open = s.open.saturating_sub(1);
        if s.open > 0 {
            return None;
        }
        let s = self.sending.remove(key)?;
        s.tally.failed().map(|errno| Event::Advert(AdvertEv::SendFailed { vr: s.vr, errno }))
    }

    /// Adverts whose completion is outstanding.
    pub fn len(&self) -> usize {
        self.sending.len()
    }

    /// Whether there is none in flight.
    pub fn is_empty(&self) -> bool {
        self.sending.is_empty()
    }
}
