//! Snapshots in a file in memory that outlives this process.
//!
//! ```text
//! slot A | slot B         each: magic 8 | sequence 8 | length 4 | CRC-32C of sequence, length and snapshot 4 | snapshot
//! ```
//! The slots are written in turn, so that a process that dies during a write leaves the other slot intact. Read first: `snapshot/`. The
//! offsets of the slots and the format of their headers never change: a process of any release can find them.

use crate::envelope::{CRC32C, Unusable};
use crate::snapshot::{self, Snapshot};
use bytes::{Buf, BufMut};
use std::fs::File;
use std::os::unix::fs::FileExt;

const MAGIC: [u8; 8] = *b"KALSHOT1";
const HEADER: usize = 24;
/// Bytes of a slot. A router and its trackers take some 600: the slot has room for 7,000 of them. Memory is used for written bytes only.
const SLOT: u64 = 4 << 20;

/// Whether a file of this length with these first bytes is such a file: the first snapshot is written to the second slot.
pub fn is_slots(len: u64, first: &[u8]) -> bool {
    first.starts_with(&MAGIC) || (len > SLOT && first.iter().all(|b| *b == 0))
}

/// The two slots of a snapshot file: the next snapshot goes where the older one is.
pub struct Slots {
    file: File,
    sequence: u64,
    /// The layout of the snapshots that are written: the one that the next process reads.
    layout: u16,
}

impl Slots {
    /// Continues in `file` after the newest snapshot in it.
    pub fn new(file: File) -> Slots {
        let mut slots = Slots { file, sequence: 0, layout: snapshot::VERSION };
        slots.sequence = slots.read_newest().map_or(0, |(sequence, _)| sequence);
        slots
    }

    /// The newest intact snapshot; `None`: there is none. An intact one that cannot be understood is an error: the one before it is out
    /// of date.
    pub fn newest(&mut self) -> Result<Option<Snapshot>, Unusable> {
        let Some((sequence, body)) = self.read_newest() else { return Ok(None) };
        // Another process may have written since; the next snapshot gets the sequence number after it.
        self.sequence = self.sequence.max(sequence);
        Snapshot::decode(&body).map(Some)
    }

    /// Sets the layout of the snapshots that are written next.
    pub fn set_layout(&mut self, layout: u16) {
        self.layout = layout;
    }

    fn read_newest(&self) -> Option<(u64, Vec<u8>)> {
        [0, 1].into_iter().filter_map(|slot| self.read(slot)).max_by_key(|(sequence, _)| *sequence)
    }

    fn read(&self, slot: u64) -> Option<(u64, Vec<u8>)> {
        let mut header = [0; HEADER];
        self.file.read_exact_at(&mut header, slot * SLOT).ok()?;
        let mut h = &header[8..];
        let (sequence, len, crc) = (h.get_u64_le(), h.get_u32_le(), h.get_u32_le());
        if header[..8] != MAGIC || u64::from(len) > SLOT - HEADER as u64 {
            return None;
        }
        let mut body = vec![0; len as usize];
        self.file.read_exact_at(&mut body, slot * SLOT + HEADER as u64).ok()?;
        (check(sequence, &body) == crc).then_some((sequence, body))
    }

    /// Writes a snapshot to the slot of the older one. The error is a text for the log.
    pub fn write(&mut self, shot: &Snapshot) -> Result<(), String> {
        let body = shot.encode_as(self.layout);
        if body.is_empty() || body.len() as u64 > SLOT - HEADER as u64 {
            return Err(format!("a snapshot of {} bytes is too large", body.len()));
        }
        let sequence = self.sequence + 1;
        let mut header = Vec::with_capacity(HEADER);
        header.put_slice(&MAGIC);
        header.put_u64_le(sequence);
        header.put_u32_le(body.len() as u32);
        header.put_u32_le(check(sequence, &body));
        let at = sequence % 2 * SLOT;
        let written =
            self.file.write_all_at(&body, at + HEADER as u64).and_then(|()| self.file.write_all_at(&header, at));
        written.map_err(|e| e.to_string())?;
        self.sequence = sequence;
        Ok(())
    }
}

fn check(sequence: u64, body: &[u8]) -> u32 {
    let mut digest = CRC32C.digest();
    digest.update(&sequence.to_le_bytes());
    digest.update(&(body.len() as u64).to_le_bytes());
    digest.update(body);
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::InstanceShot;
    use crate::sys::memfd;

    fn shot(at: u64) -> Snapshot {
        let one = InstanceShot { name: format!("VI_{at}"), ..InstanceShot::default() };
        Snapshot { at, instances: vec![one.into()], ..Snapshot::default() }
    }

    #[test]
    fn a_torn_write_leaves_the_one_before() {
        let file = memfd::create("test").unwrap();
        let mut slots = Slots::new(file.try_clone().unwrap());
        assert_eq!(slots.newest(), Ok(None));
        for at in 1..5 {
            slots.write(&shot(at)).unwrap();
            assert_eq!(slots.newest(), Ok(Some(shot(at))));
        }
        // The fifth was being written: any byte of its slot may be old or new.
        let mut header = [0; HEADER + 4];
        file.read_exact_at(&mut header, SLOT).unwrap();
        slots.write(&shot(5)).unwrap();
        let mut whole = [0; HEADER + 4];
        file.read_exact_at(&mut whole, SLOT).unwrap();
        for at in (0..whole.len()).filter(|i| whole[*i] != header[*i]) {
            file.write_all_at(&header[at..=at], SLOT + at as u64).unwrap();
            assert_eq!(Slots::new(file.try_clone().unwrap()).newest(), Ok(Some(shot(4))), "byte {at}");
            file.write_all_at(&whole[at..=at], SLOT + at as u64).unwrap();
        }
        // The next process continues after the newest one.
        let mut next = Slots::new(file);
        assert_eq!(next.newest(), Ok(Some(shot(5))));
        next.write(&shot(6)).unwrap();
        assert_eq!((next.newest(), next.sequence), (Ok(Some(shot(6))), 6));
    }

    #[test]
    fn a_length_that_is_only_promised_is_not_believed() {
        let file = memfd::create("test").unwrap();
        let mut header = MAGIC.to_vec();
        header.put_u64_le(1);
        header.put_u32_le(u32::MAX);
        header.put_u32_le(0);
        file.write_all_at(&header, 0).unwrap();
        assert_eq!(Slots::new(file).newest(), Ok(None));
    }

    // A process of another release wrote last: the snapshot before that is out of date.
    #[test]
    fn one_that_cannot_be_understood_is_not_passed_over_for_the_one_before() {
        let file = memfd::create("test").unwrap();
        let mut slots = Slots::new(file.try_clone().unwrap());
        slots.write(&shot(1)).unwrap();
        slots.set_layout(3);
        slots.write(&shot(2)).unwrap();
        assert_eq!(slots.newest(), Ok(Some(shot(2))), "whatever its layout");
        let mut of_tomorrow = shot(3).encode();
        of_tomorrow[8..10].copy_from_slice(&(snapshot::VERSION + 1).to_le_bytes());
        let mut bytes = MAGIC.to_vec();
        bytes.put_u64_le(3);
        bytes.put_u32_le(of_tomorrow.len() as u32);
        bytes.put_u32_le(check(3, &of_tomorrow));
        bytes.put_slice(&of_tomorrow);
        file.write_all_at(&bytes, SLOT).unwrap();
        let why = Slots::new(file).newest().unwrap_err();
        assert_eq!(why.to_string(), "the snapshot has layout 5, and this kalived reads layouts up to 4");
    }
}
