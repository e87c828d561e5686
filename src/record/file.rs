//! A recording in a file: the content of a core's ring, without secrets, with the names of its fields (CBOR in the envelope).
//!
//! CBOR, where a snapshot is JSON: packets are bytes, and keys of maps are more than text. A recording that begins with a configuration
//! ([`Base::Born`]) contains configuration, events and effects with their names; one that begins with a running world contains the world
//! as bytes, and only the release that made it can read it.
//!
//! Secrets: a password of version 2 is eight bytes in the clear in every advert. Here another value replaces it, the same everywhere, and
//! the checksums are corrected (or left wrong), so the decisions stay the same. Signed adverts are signed anew: `signatures.rs`. Read
//! first: `mod.rs`.

use super::signatures::Keys;
use super::{Base, Input, RELEASE};
use crate::config::model::{Auth, Config, InstanceConfig};
use crate::effect::{AdvertFx, Effect, Packet, Packets};
use crate::envelope::{Kind, Unusable};
use crate::event::{Event, GuardEv, SockEv};
use crate::time::Now;
use crate::wire::vrrp::mask_auth;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const KIND: Kind = Kind { magic: *b"KALREC\r\n", name: "recording", layouts: 1..=1, max: 256 << 20 };

/// The first bytes of a recording, by which an existing file is recognised before it is overwritten.
pub const MAGIC: [u8; 8] = KIND.magic;

/// One input and its effects.
#[derive(Serialize, Deserialize)]
pub struct Step {
    /// The time of the turn.
    pub at: Now,
    /// The event, or the timers that fired.
    pub input: Input,
    /// The effects, in order.
    pub effects: Vec<Effect>,
}

/// The content of a recording: where it begins, and the steps from there on.
#[derive(Serialize, Deserialize)]
pub struct Recording {
    /// The release of the kalived that made it.
    pub release: String,
    /// The number of inputs before the first one here.
    pub first: u64,
    /// The state at the beginning.
    pub base: Base,
    /// The inputs from then on.
    pub steps: Vec<Step>,
}

/// The fields that identify the release.
#[derive(Deserialize)]
struct Head {
    release: String,
}

impl Recording {
    /// Encodes the recording. Empty, which is no recording, when it would be too long.
    pub fn encode(&self) -> Vec<u8> {
        KIND.seal(1, |out| ciborium::into_writer(self, out))
    }

    /// Decodes the result of [`Recording::encode`]. Nesting is limited to 256 levels, and a length without its bytes allocates nothing
    /// (ciborium).
    pub fn decode(bytes: &[u8]) -> Result<Recording, Unusable> {
        let (_, body) = KIND.open(bytes)?;
        let mut rest = body;
        let whole: Recording = ciborium::from_reader(&mut rest).map_err(|e| {
            let by = ciborium::from_reader::<Head, _>(body).map(|h| h.release).ok();
            let by = by.map_or_else(String::new, |r| format!("; kalived {r} made it, and may read it"));
            KIND.malformed(format!("{e}{by}"))
        })?;
        match whole.base {
            _ if !rest.is_empty() => Err(KIND.malformed("bytes are left over")),
            Base::World(_) if whole.release != RELEASE => {
                Err(KIND.malformed(format!("kalived {} made it, and may read it", whole.release)))
            }
            _ => Ok(whole),
        }
    }

    /// Replaces the secrets.
    pub fn hide_secrets(&mut self) {
        let mut hidden = Hidden::default();
        match &mut self.base {
            Base::Born { config, .. } => hidden.config(config),
            Base::World(world) => world.hide_secrets(&mut hidden),
        }
        for step in &mut self.steps {
            if let Input::Event(event) = &mut step.input {
                match &mut **event {
                    Event::Sock(SockEv::Datagram { meta, bytes, .. } | SockEv::LocalDatagram { meta, bytes, .. }) => {
                        if let Some(masked) = hidden.packet(bytes, Some(meta.src)) {
                            *bytes = masked.leak();
                        }
                    }
                    Event::Guard(GuardEv::Config(config)) => hidden.config(config),
                    Event::Guard(GuardEv::Go { snapshot: Some(s), .. }) => {
                        for f in s.instances.iter_mut().filter_map(|i| i.farewell.as_mut()) {
                            if let Some(mut all) = Packets::of(core::mem::take(&mut f.packets)) {
                                hidden.packets(&mut all);
                                f.packets = all.iter().cloned().collect();
                            }
                        }
                    }
                    _ => {}
                }
            }
            for effect in &mut step.effects {
                if let Effect::Advert(advert) = effect {
                    match advert {
                        AdvertFx::Send { packets, .. } | AdvertFx::At { packets, .. } => hidden.packets(packets),
                        AdvertFx::Stop { farewell, .. } => farewell.iter_mut().for_each(|p| hidden.packets(p)),
                    }
                }
            }
        }
    }
}

/// The replacement of each password: another eight bytes, the same for the same password, and different for different passwords.
#[derive(Default)]
pub(crate) struct Hidden(BTreeMap<[u8; 8], [u8; 8]>, Keys);

impl Hidden {
    fn stand_in(&mut self, secret: [u8; 8]) -> [u8; 8] {
        let n = self.0.len() % 100_000;
        *self.0.entry(secret).or_insert_with(|| {
            let mut out = *b"hid00000";
            out.iter_mut().skip(3).zip(format!("{n:05}").bytes()).for_each(|(to, b)| *to = b);
            out
        })
    }

    pub(crate) fn config(&mut self, config: &mut Config) {
        config.instances.iter_mut().for_each(|i| self.instance(i));
    }

    pub(crate) fn instance(&mut self, i: &mut InstanceConfig) {
        if let Auth::Pass(secret) | Auth::Ah(secret) = &mut i.auth {
            let key = core::mem::replace(secret, self.stand_in(*secret));
            self.1.add_ah(key, *secret);
        }
        i.more.hmac.iter_mut().flat_map(|h| &mut h.keys).for_each(|key| self.1.hide(key));
    }

    fn packet(&mut self, bytes: &[u8], src: Option<IpAddr>) -> Option<Vec<u8>> {
        self.1.packet(bytes, src).or_else(|| self.password(bytes))
    }

    fn password(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        mask_auth(bytes, &mut |secret| self.stand_in(secret))
    }

    pub(crate) fn packets(&mut self, packets: &mut Packets) {
        let masked: Vec<Option<Vec<u8>>> = packets.iter().map(|p| self.packet(&p.bytes, None)).collect();
        if masked.iter().any(Option::is_some) {
            let with = |(p, m): (&Packet, Option<Vec<u8>>)| Packet {
                to: p.to,
                bytes: m.map_or_else(|| p.bytes.clone(), Into::into),
                from: p.from,
            };
            if let Some(all) = Packets::of(packets.iter().zip(masked).map(with).collect()) {
                *packets = all;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::{ChecksumMode, Family, Version};
    use crate::wire::vrrp::{AdvertSpec, checksum_ok, packet};
    use core::time::Duration;

    fn advert(secret: [u8; 8]) -> Vec<u8> {
        let auth = Auth::Pass(secret);
        let (src, dst) = ([10, 0, 0, 1].into(), [224, 0, 0, 18].into());
        packet(&AdvertSpec {
            family: Family::V4,
            version: Version::V2,
            checksum: ChecksumMode::PseudoHeader,
            src,
            dst,
            vrid: 51,
            priority: 100,
            interval: Duration::from_secs(1),
            auth: &auth,
            addrs: &[[10, 0, 0, 100].into()],
        })
        .to_vec()
    }

    #[test]
    fn a_password_is_another_one_afterwards_and_the_checksum_is_as_right_as_before() {
        let mut hidden = Hidden::default();
        let (one, other) = (advert(*b"secret\0\0"), advert(*b"Secret\0\0"));
        let masked = hidden.password(&one).expect("a password");
        assert_eq!(masked.len(), one.len());
        assert!(!masked.windows(6).any(|w| w == b"secret"));
        let (src, dst) = ([10, 0, 0, 1].into(), [224, 0, 0, 18].into());
        let ok = |p: &[u8]| checksum_ok(Version::V2, ChecksumMode::PseudoHeader, src, dst, &p[20..]);
        assert!(ok(&one) && ok(&masked));
        assert_eq!(hidden.password(&one), Some(masked.clone()), "the same each time");
        assert_ne!(hidden.password(&other).expect("a password")[20..], masked[20..]);
        let mut wrong = one.clone();
        wrong[26] ^= 1;
        assert!(!ok(&wrong) && !ok(&hidden.password(&wrong).expect("a password")));
        // Cut anywhere, or with any content: nothing panics, and every part of a password is replaced.
        for n in 0..one.len() {
            let _ = hidden.password(&one[..n]);
            let mut bad = one.clone();
            bad[n] = 0xff;
            let _ = hidden.password(&bad);
        }
        let mut i = InstanceConfig::new("a", "eth0", 51, Family::V4);
        i.auth = Auth::Pass(*b"secret\0\0");
        hidden.instance(&mut i);
        assert!(i.auth == Auth::Pass(masked[masked.len() - 8..].try_into().expect("eight")), "as in the packets");
    }
}
