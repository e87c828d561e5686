//! Signed adverts of a recording: each key has a replacement, and what was signed with the key is signed with the replacement. A wrong
//! signature stays wrong, so the decisions stay the same.
//!
//! Read first: `file.rs`, `wire/ah.rs`, `wire/hmac.rs`.

use crate::config::model::setting::Secret;
use crate::config::model::vrrp::HmacKey;
use crate::net::Family;
use crate::wire::hmac::{self, Context, Trailer};
use crate::wire::vrrp::Fixed;
use crate::wire::{ah, checksum, ipv4, ipv6};
use core::net::IpAddr;

/// The keys of one recording, each with its replacement.
#[derive(Default)]
pub(super) struct Keys {
    ah: Vec<([u8; 8], [u8; 8])>,
    hmac: Vec<(Vec<u8>, String)>,
}

impl Keys {
    /// Adds the replacement of a key of AH.
    pub(super) fn add_ah(&mut self, key: [u8; 8], stand_in: [u8; 8]) {
        if !self.ah.contains(&(key, stand_in)) {
            self.ah.push((key, stand_in));
        }
    }
    /// Puts a replacement in place of a key of `auth_hmac`.
    pub(super) fn hide(&mut self, key: &mut HmacKey) {
        let bytes = key.bytes();
        let known = self.hmac.iter().find(|(k, _)| *k == bytes).map(|(_, s)| s.clone());
        let stand_in = known.unwrap_or_else(|| {
            let stand_in = format!("hidden-key-number-{:014}", self.hmac.len());
            self.hmac.push((bytes, stand_in.clone()));
            stand_in
        });
        key.secret = Secret(stand_in.into());
    }
    /// A packet with an Authentication Header or a trailer that one of the keys made, signed anew; `None`: it needs no change. `src`: the
    /// sender of an IPv6 message without its header.
    pub(super) fn packet(&self, bytes: &[u8], src: Option<IpAddr>) -> Option<Vec<u8>> {
        if self.ah.is_empty() && self.hmac.is_empty() {
            return None;
        }
        match bytes.first()? >> 4 {
            4 => {
                let (header, payload) = ipv4::parse(bytes).ok()?;
                let (at, src) = (header.header_len, header.src.into());
                match header.proto {
                    ah::PROTO => self.ah(bytes, at, payload),
                    _ => self.trailer(bytes, at, at + payload.len(), Family::V4, src),
                }
            }
            6 => {
                let (header, payload) = ipv6::parse(bytes).ok()?;
                let end = ipv6::HEADER + payload.len();
                self.trailer(bytes, ipv6::HEADER, end, Family::V6, header.src.into())
            }
            _ => self.trailer(bytes, 0, bytes.len(), Family::V6, src?),
        }
    }
    fn ah(&self, bytes: &[u8], at: usize, payload: &[u8]) -> Option<Vec<u8>> {
        let (header, _) = ah::parse(payload).ok()?;
        let whole = bytes.get(..at + payload.len()).filter(|_| at == ipv4::HEADER)?;
        let ways = self.ah.iter().flat_map(|keys| [(keys, true), (keys, false)]);
        let ((_, new), multicast) =
            ways.into_iter().find(|((old, _), multicast)| ah::verifies(whole, at, old, *multicast))?;
        let mut out = bytes.to_vec();
        ah::sign(out.get_mut(..whole.len())?, header, new, multicast).ok()?;
        Some(out)
    }
    fn trailer(&self, bytes: &[u8], start: usize, end: usize, family: Family, src: IpAddr) -> Option<Vec<u8>> {
        let payload = bytes.get(start..end)?;
        let fixed = Fixed::parse(payload).ok()?;
        let at = fixed.length(family);
        let (message, trailer) = payload.split_at_checked(at).filter(|(_, t)| t.len() == hmac::LEN)?;
        let said: Trailer = hmac::parse(trailer).ok()?;
        let context = Context { version: fixed.version, vrid: fixed.vrid, src };
        let (_, new) = self.hmac.iter().find(|(old, _)| hmac::verifies(&context, message, trailer, old))?;
        let signed = hmac::sign(&context, message, said, new.as_bytes());
        let mut out = bytes.to_vec();
        out.get_mut(start + at..end)?.copy_from_slice(&signed);
        if family == Family::V6 {
            // Over IPv6 the checksum covers the trailer, whose words begin at even offsets.
            let sum = out.get(start + 6..start + 8)?.try_into().ok()?;
            let sum = checksum::replaced(u16::from_be_bytes(sum), trailer, &signed);
            out.get_mut(start + 6..start + 8)?.copy_from_slice(&sum.to_be_bytes());
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::{Auth, ChecksumMode, Version, default_group};
    use crate::wire::vrrp::{AdvertSpec, checksum_ok, packet};
    use core::time::Duration;

    fn advert(family: Family, auth: &Auth) -> (Vec<u8>, IpAddr, IpAddr) {
        let v6 = family == Family::V6;
        let src: IpAddr = if v6 { "fe80::30".parse() } else { "10.0.0.3".parse() }.expect("an address");
        let vip: IpAddr = if v6 { "fe80::64".parse() } else { "10.0.0.9".parse() }.expect("an address");
        let spec = AdvertSpec {
            family,
            version: if matches!(auth, Auth::Ah(_)) { Version::V2 } else { Version::V3 },
            checksum: ChecksumMode::PseudoHeader,
            src,
            dst: default_group(family),
            vrid: 51,
            priority: 100,
            interval: Duration::from_secs(1),
            auth,
            addrs: &[vip],
        };
        (packet(&spec).to_vec(), src, spec.dst)
    }

    #[test]
    fn what_was_right_is_right_with_the_stand_in_and_what_was_wrong_is_wrong() {
        let text = "0123456789abcdef0123456789abcdef";
        let mut key = HmacKey { id: 3, secret: Secret(text.into()) };
        let mut keys = Keys::default();
        let (old, new) = (*b"kalived1", *b"hid00000");
        keys.add_ah(old, new);
        keys.hide(&mut key);
        assert!(key.secret.0.len() == 32 && *key.secret.0 != *text);
        let trailer = Trailer { key_id: 3, sequence: 77 };
        for (family, header) in [(Family::V4, ipv4::HEADER), (Family::V6, ipv6::HEADER)] {
            let (plain, src, dst) = advert(family, &Auth::None);
            assert_eq!(keys.packet(&plain, None), None, "nothing to do");
            let signed = hmac::append(&plain, header, src, trailer, text.as_bytes()).expect("long enough");
            let context = Context { version: 3, vrid: 51, src };
            let good = |p: &[u8], key: &[u8]| {
                let (message, trailer) = p.split_at(p.len() - hmac::LEN);
                hmac::verifies(&context, message, trailer, key)
            };
            let hidden = keys.packet(&signed, None).expect("signed");
            assert!(good(&hidden[header..], &key.bytes()) && !good(&hidden[header..], text.as_bytes()));
            if family == Family::V6 {
                let sum = |p: &[u8]| checksum_ok(Version::V3, ChecksumMode::PseudoHeader, src, dst, p);
                assert!(sum(&signed[header..]) && sum(&hidden[header..]));
                // As received: without its header.
                assert_eq!(keys.packet(&signed[header..], Some(src)).as_deref(), Some(&hidden[header..]));
            }
            let mut wrong = signed.to_vec();
            *wrong.last_mut().expect("long") ^= 1;
            assert_eq!(keys.packet(&wrong, None), None, "it stays as wrong as it is");
            for n in 0..signed.len() {
                let _ = keys.packet(&signed[..n], Some(src));
            }
        }
        let (plain, src, _) = advert(Family::V4, &Auth::Ah(old));
        let IpAddr::V4(spi) = src else { panic!("IPv4") };
        for multicast in [true, false] {
            let signed = ah::wrap(&plain, ah::Header { spi, sequence: 9 }, &old, multicast).expect("long enough");
            let hidden = keys.packet(&signed, None).expect("signed");
            assert!(ah::verifies(&hidden, 20, &new, multicast) && !ah::verifies(&hidden, 20, &old, multicast));
        }
    }
}
