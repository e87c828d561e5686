//! Snapshots in a file of memory that outlives this process.
//!
//! ```text
//! slot A | slot B         each: magic 8 | sequence 8 | length 4 | CRC-32C of sequence, length and snapshot 4 | snapshot
//! ```
//! Written in turns, so that a process that dies while it writes one leaves the other whole. Read first: `snapshot/`. Where the slots are
//! and what their headers say never changes: a process of any release may find them.

use super::Machine;
use super::exec::Exec;
use super::os::Os;
use crate::envelope::{CRC32C, Unusable};
use crate::note::{Level, Note};
use crate::snapshot::{self, Snapshot};
use crate::time::{Duration, Instant, Now, earliest};
use bytes::{Buf, BufMut};
use std::fs::File;
use std::os::unix::fs::FileExt;

const MAGIC: [u8; 8] = *b"KALSHOT1";
const HEADER: usize = 24;
/// Bytes of a slot. A router and its trackers take some 600: this is for 7,000 of them. Memory is used for what is written only.
const SLOT: u64 = 4 << 20;
/// Between two snapshots: 255 takeovers in a second are not 255 times 40 KiB in the way of the next takeover.
const PAUSE: Duration = Duration::from_millis(20);
/// From a change to the line about it, and so between two such lines.
const SUMMARY_PAUSE: Duration = Duration::from_secs(1);

/// A takeover that is due within this time goes first: for a snapshot of 255 routers, which take over together, a slow processor needs
/// 2 to 4 ms. The first is for when it is not known yet; after that it is twice as long as the last one took, and at most the second:
/// virtual routers that take over and yield all the time do not keep it back for ever.
const TAKEOVER_NEAR: (Duration, Duration) = (Duration::from_millis(3), Duration::from_millis(10));

/// Whether a file of this length with these first bytes is such a file: what is written first goes to the second slot.
pub fn is_slots(len: u64, first: &[u8]) -> bool {
    first.starts_with(&MAGIC) || (len > SLOT && first.iter().all(|b| *b == 0))
}

/// See the module.
pub struct Slots {
    file: File,
    sequence: u64,
    /// The layout that is written: what whoever goes on understands.
    layout: u16,
    /// Not before.
    after: Instant,
    /// To be asked again then.
    again: bool,
    /// How long the last one took.
    took: Duration,
}

impl Slots {
    /// In `file`, behind the newest one that is there.
    pub fn new(file: File) -> Slots {
        let (after, took) = (Instant::default(), Duration::ZERO);
        let mut slots = Slots { file, sequence: 0, layout: snapshot::VERSION, after, again: false, took };
        slots.sequence = slots.read_newest().map_or(0, |(sequence, _)| sequence);
        slots
    }

    /// The newest snapshot that is whole; `None`: there is none. One that is whole and cannot be understood is an error: the one before it
    /// says what is not so any more.
    pub fn newest(&mut self) -> Result<Option<Snapshot>, Unusable> {
        let Some((sequence, body)) = self.read_newest() else { return Ok(None) };
        // Another process may have written since; what is written next goes behind that.
        self.sequence = self.sequence.max(sequence);
        Snapshot::decode(&body).map(Some)
    }

    /// What is written next has this layout.
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

    /// Writes one beside the one before. The error is for people.
    pub fn write(&mut self, shot: &Snapshot) -> Result<(), String> {
        let body = shot.encode_as(self.layout);
        if body.is_empty() || body.len() as u64 > SLOT - HEADER as u64 {
            return Err(format!("a snapshot of {} bytes is too large", body.len()));
        }
        let sequence = self.sequence + 1;
        let mut bytes = Vec::with_capacity(HEADER + body.len());
        bytes.put_slice(&MAGIC);
        bytes.put_u64_le(sequence);
        bytes.put_u32_le(body.len() as u32);
        bytes.put_u32_le(check(sequence, &body));
        bytes.put_slice(&body);
        self.file.write_all_at(&bytes, sequence % 2 * SLOT).map_err(|e| e.to_string())?;
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

/// A copy of memory into memory: the file is the guard's, and no disk is waited for.
fn write_recording(file: &File, bytes: &[u8]) -> Result<(), String> {
    match bytes {
        [] => Err("nothing is recorded at the moment; try again in a second".to_owned()),
        bytes => file.write_all_at(bytes, 0).map_err(|e| e.to_string()),
    }
}

fn note(text: String) -> Note {
    Note { level: Level::Warning, text }
}

impl<O: Os> Exec<O> {
    /// After a turn: keeps what the next process must know, and tells the guard what it waits for.
    pub(super) fn keep(&mut self, now: Now, machine: &mut dyn Machine) {
        if self.line.is_none() {
            return;
        }
        if self.frozen() {
            self.summary_at = None;
            if let Some(slots) = self.slots.take() {
                // The last one, whatever was kept before; then nobody writes but who takes over.
                let shot = machine.last_snapshot(now);
                self.write_shot(slots, now, shot);
                self.slots = None;
                self.tell_frozen();
            }
            return;
        }
        self.started();
        let took = self.slots.as_ref().map_or(Duration::ZERO, |s| s.took);
        let wait = (took * 2).clamp(TAKEOVER_NEAR.0, TAKEOVER_NEAR.1);
        let near = self.next_takeover().is_some_and(|at| at <= now.mono + wait);
        self.write_report(now, near, machine);
        if !near {
            machine.checkpoint();
            if let Some(file) = self.record_to() {
                self.flush();
                let written = write_recording(&file, &machine.recorded());
                self.tell_recorded(written);
            }
        }
        let Some(slots) = &mut self.slots else { return };
        if near {
            slots.after = slots.after.max(now.mono + wait);
            self.summary_at = self.summary_at.map(|at| at.max(now.mono + wait));
        }
        slots.again = now.mono < slots.after;
        let from = self.os.mono();
        if !slots.again
            && let Some(shot) = machine.snapshot(now)
            && let Some(slots) = self.slots.take()
        {
            self.write_shot(slots, now, Some(shot));
            let took = self.os.mono().since(from);
            if let Some(slots) = &mut self.slots {
                slots.took = took;
            }
            // What is worth a snapshot may be worth a line; a takeover has better things to do.
            self.summary_at.get_or_insert(now.mono + SUMMARY_PAUSE);
        }
        if self.summary_at.is_some_and(|at| now.mono >= at) {
            self.summary_at = None;
            self.tell_summary(machine.summary());
        }
    }

    fn write_shot(&mut self, mut slots: Slots, now: Now, shot: Option<Snapshot>) {
        if let Some(shot) = shot {
            // What the turn asked for is under way before this.
            self.flush();
            let written = slots.write(&shot);
            slots.after = now.mono + PAUSE;
            slots.again = true;
            if let Err(why) = written {
                self.log.note(now, note(format!("no snapshot kept: {why}")));
            }
        }
        self.slots = Some(slots);
    }

    /// Snapshots are written in this layout from now on, and one at once: whoever goes on may do so for a process that dies.
    pub(super) fn write_layout(&mut self, now: Now, layout: u16) {
        let Some(slots) = &mut self.slots else { return };
        slots.layout = layout;
        let written = slots.newest().map_err(|e| e.to_string()).and_then(|s| s.map_or(Ok(()), |s| slots.write(&s)));
        if let Err(why) = written {
            self.log.note(now, note(format!("no snapshot kept in layout {layout}: {why}")));
        }
    }

    /// When to look whether there is something to keep.
    pub(super) fn keep_deadline(&self) -> Option<Instant> {
        let again = self.slots.as_ref().filter(|s| s.again).map(|s| s.after);
        earliest(earliest(again, self.report_deadline()), self.summary_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::InstanceShot;
    use crate::sys::memfd;

    fn shot(at: u64) -> Snapshot {
        let one = InstanceShot { name: format!("VI_{at}"), ..InstanceShot::default() };
        Snapshot { at, instances: vec![one], ..Snapshot::default() }
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
        // Who comes next goes on behind the newest.
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

    // A process of another release wrote last: what came before it is not what is so now.
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
