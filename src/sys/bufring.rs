//! Provided buffers: the kernel chooses one for each datagram that it receives, and gets it back when the event was handled.
//!
//! VRRP packets, BFD packets and each netlink socket have a ring of their own, so that a flood of one kind does not take the buffers of
//! another. An empty ring ends the receive with ENOBUFS. The packets stay in the socket's buffer and are read when the receive is armed
//! again, so no datagram is lost. For netlink, ENOBUFS always counts as loss: the kernel reports dropped messages with the same number.

use super::op::Header;
use core::sync::atomic::{AtomicU16, Ordering};
use io_uring::types::BufRingEntry;

/// A ring of equal buffers. Its memory is never unmapped, so that no order of drops can free memory that the kernel still uses.
pub struct BufRing {
    entries: u16,
    size: u32,
    group: u16,
    ring: *mut BufRingEntry,
    bytes: *mut u8,
    tail: u16,
}

/// One received datagram, in a buffer that is given back after the event.
pub struct Received<'a> {
    /// Raw sender address.
    pub name: &'a [u8],
    /// Raw ancillary data.
    pub control: &'a [u8],
    /// The bytes of the datagram; cut, if `truncated`.
    pub payload: &'a [u8],
    /// The datagram was longer than the buffer.
    pub truncated: bool,
}

impl BufRing {
    /// Makes `entries` buffers (a power of two up to 32,768) of `size` bytes each, and offers all of them to the kernel.
    pub fn new(group: u16, entries: u16, size: u32) -> std::io::Result<BufRing> {
        if !entries.is_power_of_two() || entries > 32768 {
            return Err(std::io::ErrorKind::InvalidInput.into());
        }
        let table = usize::from(entries) * core::mem::size_of::<BufRingEntry>();
        let table = table.next_multiple_of(4096);
        let total = table + usize::from(entries) * size as usize;
        // SAFETY: a fresh anonymous mapping; no address is asked for.
        let base = unsafe {
            libc::mmap(
                core::ptr::null_mut(),
                total,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        // SAFETY: `table` is within the mapping of `total` bytes.
        let bytes = unsafe { base.cast::<u8>().add(table) };
        let mut b = BufRing { entries, size, group, ring: base.cast(), bytes, tail: 0 };
        for id in 0..entries {
            b.give(id);
        }
        Ok(b)
    }

    pub(super) fn base(&self) -> u64 {
        self.ring as u64
    }
    /// The number of buffers.
    pub fn entries(&self) -> u16 {
        self.entries
    }
    /// The number of the buffer group.
    pub fn group(&self) -> u16 {
        self.group
    }

    /// The bytes of a filled buffer; empty for a number the ring does not have.
    pub fn get(&self, id: u16, len: i32) -> &[u8] {
        let len = usize::try_from(len).unwrap_or(0).min(self.size as usize);
        if id >= self.entries {
            return &[];
        }
        // SAFETY: buffer `id` is `size` bytes inside the mapping. The kernel does not write to it between the
        // completion that named it and `give`, which takes `&mut self` and so cannot happen during this borrow.
        unsafe { core::slice::from_raw_parts(self.bytes.add(usize::from(id) * self.size as usize), len) }
    }

    /// Splits the buffer of a multishot receive into its parts; `None` when the buffer is shorter than its own header.
    pub fn datagram(&self, id: u16, len: i32, header: &Header) -> Option<Received<'_>> {
        // struct io_uring_recvmsg_out: the lengths of name, control and payload, and msg_flags; then these three parts, the first two in
        // fields of the length that the header requested.
        let b = self.get(id, len);
        let word = |i: usize| Some(u32::from_ne_bytes(b.get(4 * i..4 * i + 4)?.try_into().ok()?));
        let (name_room, control_room) = (header.0.msg_namelen as usize, header.0.msg_controllen);
        let control_at = 16 + name_room;
        let payload_at = control_at + control_room;
        let flags = word(3)? as i32;
        Some(Received {
            name: b.get(16..16 + name_room.min(word(0)? as usize))?,
            control: b.get(control_at..control_at + control_room.min(word(1)? as usize))?,
            payload: b.get(payload_at..)?,
            truncated: flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0,
        })
    }

    /// Offers a buffer to the kernel (again). At most once for each completion that named the buffer.
    pub fn give(&mut self, id: u16) {
        if id >= self.entries {
            return;
        }
        let slot = usize::from(self.tail & (self.entries - 1));
        // SAFETY: `slot` < entries, so the entry is inside the mapping; the kernel reads entries below the tail only,
        // and this one is at it.
        unsafe {
            let e = &mut *self.ring.add(slot);
            e.set_addr(self.bytes.add(usize::from(id) * self.size as usize) as u64);
            e.set_len(self.size);
            e.set_bid(id);
        }
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail lies in the first entry's reserved field, inside the mapping and aligned for u16; the
        // kernel only reads it. Release: it must not see the tail before the entry.
        unsafe {
            let tail = BufRingEntry::tail(self.ring).cast_mut().cast::<AtomicU16>();
            (*tail).store(self.tail, Ordering::Release);
        }
    }
}
