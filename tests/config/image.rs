//! The compiled image: it decodes to the same model, and no other bytes are accepted as an image.

use super::common::bytes;
use kalived::config::image::{self, HEADER, ImageError};
use kalived::config::model::Config;
use proptest::prelude::*;

/// Every configuration of the seeds.
fn seeds() -> Vec<(String, Config)> {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/seed");
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "conf"));
    paths.sort();
    paths.into_iter().map(|p| (p.display().to_string(), bytes(&std::fs::read(&p).unwrap()).config)).collect()
}

#[test]
fn the_same_model_comes_back() {
    let seeds = seeds();
    assert!(seeds.len() > 20);
    for (name, config) in seeds {
        let made = image::encode(&config).unwrap();
        assert_eq!(image::decode(&made), Ok(config.clone()), "{name}");
        let header = image::Header::read(&made).unwrap();
        let vrrp = header.vrrp(&made[header.vrrp_at()]).unwrap();
        assert_eq!(vrrp.instances, config.instances, "{name}");
        assert_eq!(image::encode(&config).unwrap(), made, "{name}: one model, one image");
    }
}

#[test]
fn an_image_is_a_configuration_file_like_any_other_and_a_damaged_one_is_refused() {
    let text =
        bytes(b"vrrp_instance a {\n interface eth0\n virtual_router_id 1\n virtual_ipaddress {\n 192.0.2.1\n }\n}\n");
    let made = image::encode(&text.config).unwrap();
    let back = bytes(&made);
    assert_eq!((back.config, back.diags.len()), (text.config, 0));
    for (harm, says) in [
        (made[..made.len() - 1].to_vec(), "cut off"),
        (
            {
                let mut b = made.clone();
                b[40] ^= 1;
                b
            },
            "damaged",
        ),
    ] {
        let refused = bytes(&harm);
        assert_eq!(refused.fatal(), Some(kalived::exit::ExitCode::NoConfig));
        let said = refused.render(false);
        assert!(said.contains(says) && said.contains("compile it again"), "{said}");
    }
}

/// Corrects the CRCs, so that the bytes that they protect are decoded.
fn sealed(bytes: &[u8], vrrp: usize) -> Vec<u8> {
    let (vrrp, lvs) = bytes[HEADER..].split_at(vrrp);
    image::seal(vrrp, lvs).unwrap()
}

fn sample() -> Vec<u8> {
    let config = bytes(include_bytes!("seed/seed-001-lvs-master.conf")).config;
    image::encode(&config).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(image::decode(&bytes).is_err());
    }
    #[test]
    fn damage_is_found(at in any::<prop::sample::Index>(), with in 1u8..) {
        let mut bytes = sample();
        let at = at.index(bytes.len());
        bytes[at] ^= with;
        prop_assert!(image::decode(&bytes).is_err());
    }
    #[test]
    fn a_cut_is_found(at in any::<prop::sample::Index>()) {
        let bytes = sample();
        let cut = &bytes[..at.index(bytes.len())];
        prop_assert!(matches!(image::decode(cut), Err(ImageError::Truncated(..))), "{:?}", image::decode(cut));
    }
    /// Damage with a right CRC: any result, no panic, no allocation that is much larger than the image.
    #[test]
    fn damage_behind_a_right_crc(edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
        let mut bytes = sample();
        let vrrp = image::Header::read(&bytes).unwrap().vrrp_at().len();
        for (at, byte) in edits {
            let at = HEADER + at.index(bytes.len() - HEADER);
            bytes[at] = byte;
        }
        if let Ok(config) = image::decode(&sealed(&bytes, vrrp)) {
            let again = image::encode(&config).unwrap();
            prop_assert_eq!(image::decode(&again), Ok(config));
        }
    }
}

/// A new field, another type, another order: every one of them changes the bytes, and then the version must go up.
#[test]
fn the_version_goes_up_with_the_model() {
    let body = &sample()[HEADER..];
    let print = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(body);
    let said = (image::VERSION, body.len(), print);
    assert_eq!(
        said,
        (4, 779, 3801623356),
        "raise image::VERSION, unless it has not been released yet, and write the new numbers here"
    );
}
