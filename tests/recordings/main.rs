//! Recordings of incidents (`kalived record`): a replay makes the same decisions.
//!
//! A file here is a test: copy the recording of an incident to `tests/recordings/NAME.kalrec`. The test passes while the decisions are the
//! same; after an intended change of a decision, remove the file or make it again. A recording that begins at the start of a process
//! (`kalived record` prints since when) only needs the names of events and effects. Read first: `src/record/`.

use kalived::record::file::Recording;
use kalived::record::replay::{Said, replay};
use std::path::Path;

#[test]
fn every_incident_is_decided_as_it_was() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    let mut files: Vec<_> = std::fs::read_dir(dir).expect("it is here").flatten().map(|e| e.path()).collect();
    files.retain(|p| p.extension().is_some_and(|e| e == "kalrec"));
    files.sort();
    assert!(!files.is_empty(), "no recordings");
    for file in files {
        let bytes = std::fs::read(&file).expect("a file of the source tree");
        let recording = Recording::decode(&bytes).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
        let mut lines = 0;
        let done = replay(recording, |_| 0, &mut |_, said| lines += usize::from(matches!(said, Said::Note(_))));
        let n = done.unwrap_or_else(|differs| panic!("{}: {differs}", file.display()));
        assert!(n > 0 && lines > 0, "{}: {n} events, {lines} lines", file.display());
    }
}

/// Bytes that are no recording, or one that was cut or changed: an error, whatever they are.
#[test]
fn what_is_no_recording_is_refused() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    let file = std::fs::read_dir(dir).expect("it is here").flatten().map(|e| e.path());
    let file = file.into_iter().find(|p| p.extension().is_some_and(|e| e == "kalrec")).expect("a recording");
    let good = std::fs::read(file).expect("a file of the source tree");
    assert!(Recording::decode(&good).is_ok());
    assert!(Recording::decode(b"").is_err() && Recording::decode(&[0; 100]).is_err());
    for n in (0..good.len()).step_by(good.len() / 50 + 1) {
        assert!(Recording::decode(&good[..n]).is_err());
        let mut bad = good.clone();
        bad[n] ^= 1;
        assert!(Recording::decode(&bad).is_err(), "byte {n}");
        // With a right envelope: nothing panics, and no memory is allocated for a length that is only stated.
        let body = &bad[kalived::envelope::HEADER.min(n)..n];
        let mut lie = good[..12].to_vec();
        lie.extend_from_slice(&(body.len() as u32).to_le_bytes());
        lie.extend_from_slice(&kalived::envelope::CRC32C.checksum(body).to_le_bytes());
        lie.extend_from_slice(body);
        assert!(Recording::decode(&lie).is_err(), "{n}");
    }
}
