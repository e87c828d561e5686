//! AH and `auth_hmac`: the codecs compute the signatures of the wire vectors, and accept no other one.

use super::receiver::vectors;
use kalived::wire::hmac::{self, Context};
use kalived::wire::{Bad, ah, ipv4, ipv6};
use proptest::prelude::*;

const AH_KEY: &[u8; 8] = b"kalived1";

fn bytes(id: &str) -> Vec<u8> {
    vectors().into_iter().find(|v| v.id == id).unwrap_or_else(|| panic!("no vector {id}")).bytes
}

fn ah_of(id: &str) -> Result<(ah::Header, bool), Bad> {
    let packet = bytes(id);
    let (ip, payload) = ipv4::parse(&packet)?;
    let (header, _) = ah::parse(payload)?;
    Ok((header, ah::verifies(&packet, ip.header_len, AH_KEY, true)))
}

#[test]
fn ah_vectors_get_their_verdict() {
    let (header, good) = ah_of("v2-ah-ok").unwrap();
    assert!(good);
    assert_eq!(header, ah::Header { spi: [198, 18, 0, 30].into(), sequence: 1 });
    assert!(!ah_of("v2-ah-bad-icv").unwrap().1);
    assert_ne!(ah_of("v2-ah-bad-spi").unwrap().0.spi, header.spi);
    assert_eq!(ah_of("v2-ah-bad-replay").unwrap().0, header, "the sequence number is repeated");
    assert_eq!(ah_of("v2-ah-bad-next-header"), Err(Bad::Type));
}

#[test]
fn ah_signs_the_bytes_of_the_vector() {
    let want = bytes("v2-ah-ok");
    let mut packet = want.clone();
    packet[20..44].fill(0xaa);
    let header = ah::Header { spi: [198, 18, 0, 30].into(), sequence: 1 };
    ah::sign(&mut packet, header, AH_KEY, true).unwrap();
    assert_eq!(packet, want);
    assert_eq!(ah::sign(&mut [0; 43], header, AH_KEY, true), Err(Bad::Length));
}

#[test]
fn ah_covers_every_byte_that_no_router_changes() {
    let packet = bytes("v2-ah-ok");
    for at in 0..packet.len() {
        let mut other = packet.clone();
        other[at] ^= 1;
        // Set to zero before the HMAC (RFC 2402 §3.3.3.1): type of service, flags and fragment offset, header checksum.
        let changes = matches!(at, 1 | 6 | 7 | 10 | 11);
        assert_eq!(ah::verifies(&other, 20, AH_KEY, true), changes, "byte {at}");
    }
    let mut counted_down = packet.clone();
    counted_down[8] -= 1;
    assert!(!ah::verifies(&counted_down, 20, AH_KEY, true));
}

fn trailer_of(id: &str, v6: bool) -> (Context, Vec<u8>, Vec<u8>) {
    let packet = bytes(id);
    let (src, payload) = match v6 {
        false => {
            let (h, p) = ipv4::parse(&packet).unwrap();
            (h.src.into(), p.to_vec())
        }
        true => {
            let (h, p) = ipv6::parse(&packet).unwrap();
            (h.src.into(), p.to_vec())
        }
    };
    let at = payload.len() - hmac::LEN;
    (Context { version: 3, vrid: 51, src }, payload[..at].to_vec(), payload[at..].to_vec())
}

fn key() -> Vec<u8> {
    (0..32).collect()
}

#[test]
fn hmac_vectors_get_their_verdict() {
    for (id, v6) in [("v3-hmac-ok", false), ("v6-hmac-ok", true)] {
        let (context, message, trailer) = trailer_of(id, v6);
        assert!(hmac::verifies(&context, &message, &trailer, &key()), "{id}");
        let said = hmac::parse(&trailer).unwrap();
        assert_eq!((said.key_id, said.sequence), (1, 0x6800_0000_8000_0001 & !0xffff | said.sequence & 0xffff), "{id}");
        assert_eq!(hmac::sign(&context, &message, said, &key())[..], trailer[..], "{id}");
        for at in 0..trailer.len() {
            let mut other = trailer.clone();
            other[at] ^= 1;
            assert!(!hmac::verifies(&context, &message, &other, &key()), "{id}: byte {at} of the trailer");
        }
        for at in (0..message.len()).filter(|at| !(6..8).contains(at)) {
            let mut other = message.clone();
            other[at] ^= 1;
            assert!(!hmac::verifies(&context, &other, &trailer, &key()), "{id}: byte {at} of the message");
        }
        let elsewhere = Context { vrid: 52, ..context };
        assert!(!hmac::verifies(&elsewhere, &message, &trailer, &key()), "{id}: another virtual router");
    }
    let (context, message, trailer) = trailer_of("v3-hmac-bad-key", false);
    assert!(!hmac::verifies(&context, &message, &trailer, &key()));
    let (.., trailer) = trailer_of("v3-hmac-bad-keyid", false);
    assert_eq!(hmac::parse(&trailer).unwrap().key_id, 9);
    let (context, message, trailer) = trailer_of("v3-hmac-bad-stale", false);
    assert!(hmac::verifies(&context, &message, &trailer, &key()), "the signature is valid, only its time is too old");
}

proptest! {
    #[test]
    fn no_bytes_panic(packet: Vec<u8>, header_len in 0usize..80) {
        let _ = ah::parse(&packet);
        prop_assert!(!ah::verifies(&packet, header_len, AH_KEY, true));
        let context = Context { version: 3, vrid: 1, src: [10, 0, 0, 1].into() };
        let _ = hmac::parse(&packet);
        let cut = header_len.min(packet.len());
        prop_assert!(!hmac::verifies(&context, &packet[..cut], &packet[cut..], b"k"));
    }
}
