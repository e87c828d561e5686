//! The virtual servers of a configuration's image, read part by part: a slice in each turn of the loop.
//!
//! Read first: `config/image.rs` (records), `image.rs` (the rest of an image). The file is in memory, so reading it does not wait.

use crate::config::image::{EMPTY_LVS, Header, record};
use crate::config::model::lvs::Part;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Bytes of records decoded in one turn: some forty real servers with a check each. On a slow processor (500 MIPS) that takes some 0.2
/// ms.
const SLICE: usize = 4 << 10;

/// The virtual servers of an image, as a position in its file.
pub struct Parts {
    file: File,
    /// The part of the file that is not read yet: from `at` to `end`.
    at: u64,
    end: u64,
    /// Bytes that were read and are not decoded.
    buf: Vec<u8>,
}

impl Parts {
    /// The parts of an image with this header.
    pub fn new(file: File, header: &Header) -> Parts {
        let at = header.lvs_at();
        Parts { file, at: at.start as u64, end: at.end as u64, buf: Vec::new() }
    }

    /// Whether there is a virtual server.
    pub fn any(&self) -> bool {
        self.end - self.at > EMPTY_LVS as u64 || !self.buf.is_empty()
    }

    /// The next parts, at least one. The error is a text for the log.
    pub fn read(&mut self) -> Result<Vec<Part>, String> {
        let mut parts = Vec::new();
        let mut done = 0;
        // Bounded: each pass takes a record from the buffer, or fills the buffer up to the length of the record.
        while done < SLICE {
            match record(self.buf.get(done..).unwrap_or_default()).map_err(|e| e.to_string())? {
                Ok((part, len)) => {
                    done += len;
                    let last = part == Part::End;
                    parts.push(part);
                    if last {
                        break;
                    }
                }
                Err(_) if !parts.is_empty() => break,
                Err(need) => self.fill(need)?,
            }
        }
        self.buf.drain(..done);
        Ok(parts)
    }

    fn fill(&mut self, need: usize) -> Result<(), String> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let more = need.max(2 * SLICE).saturating_sub(self.buf.len()).min(left);
        if self.buf.len() + more < need {
            return Err("the image ends in the midst of its virtual servers".to_owned());
        }
        let had = self.buf.len();
        self.buf.resize(had + more, 0);
        let to = self.buf.get_mut(had..).unwrap_or_default();
        self.file.read_exact_at(to, self.at).map_err(|e| e.to_string())?;
        self.at += more as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::image::{self, HEADER};
    use crate::config::model::Config;
    use crate::config::model::lvs::{PART_SERVERS, RealServer, VirtualServer, parts};
    use crate::sys::memfd;

    fn reader(config: &Config, damage: Option<usize>) -> Parts {
        let mut bytes = image::encode(config).unwrap();
        let header = Header::read(bytes.get(..HEADER).unwrap()).unwrap();
        if let Some(at) = damage {
            bytes[header.lvs_at().start + at] ^= 1;
        }
        let file = memfd::create("test").unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        Parts::new(file, &header)
    }

    #[test]
    fn all_of_it_comes_in_slices() {
        let server = |n| VirtualServer { real_servers: vec![RealServer::default(); n], ..VirtualServer::default() };
        let config = Config { virtual_servers: [0, 1, 40, 3000].map(server).into(), ..Config::default() };
        let mut r = reader(&config, None);
        assert!(r.any());
        let (mut all, mut slices) = (Vec::new(), 0);
        while all.last() != Some(&Part::End) {
            let some = r.read().unwrap();
            assert!(!some.is_empty() && some.len() * 8 <= SLICE + 64 * PART_SERVERS);
            all.extend(some);
            slices += 1;
        }
        assert_eq!(all, parts(&None, &[], &config.virtual_servers).collect::<Vec<_>>());
        assert!(slices > 10, "{slices}");
        assert!(!r.any() && r.read().is_err(), "nothing is left");
        assert!(!reader(&Config::default(), None).any());
    }

    #[test]
    fn what_is_damaged_is_not_taken_for_a_configuration() {
        let config = Config { virtual_servers: vec![VirtualServer::default()], ..Config::default() };
        let whole = reader(&config, None).read().unwrap();
        for at in 0.. {
            if at >= usize::try_from(reader(&config, None).end - reader(&config, None).at).unwrap() {
                break;
            }
            let mut r = reader(&config, Some(at));
            let first = r.read();
            assert!(first.is_err() || r.read().is_err() || first.as_ref() != Ok(&whole), "byte {at}");
        }
    }
}
