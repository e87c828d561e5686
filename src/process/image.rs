//! The configuration that a process of kalived is given, in a sealed file in memory.
//!
//! Read first: `config/image.rs`, the format.

use crate::config::image::{self, Header};
use crate::config::model::Config;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// The configuration in an image, without its virtual servers.
pub fn image_of(file: &File) -> Result<Config, String> {
    image_with_header(file).map(|(config, _)| config)
}

/// The same, with the header of the image: only the header and the section of the configuration are read; the rest is read by
/// [`Parts`](super::parts::Parts). Bounded by the file. The file is not mapped: locked memory would be filled with the whole of it.
pub fn image_with_header(file: &File) -> Result<(Config, Header), String> {
    let failed = |e: std::io::Error| e.to_string();
    let len = file.metadata().map_err(failed)?.len();
    let mut header = [0; image::HEADER];
    let there = header.len().min(usize::try_from(len).unwrap_or(usize::MAX));
    let header = header.get_mut(..there).unwrap_or_default();
    file.read_exact_at(header, 0).map_err(failed)?;
    let header = Header::read(header).map_err(|e| e.to_string())?;
    if len != header.image_len() as u64 {
        return Err(format!("an image of {} bytes in a file of {len}", header.image_len()));
    }
    let at = header.vrrp_at();
    let mut section = vec![0; at.len()];
    file.read_exact_at(&mut section, at.start as u64).map_err(failed)?;
    Ok((header.vrrp(&section).map_err(|e| e.to_string())?, header))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::lvs::VirtualServer;
    use crate::config::model::{Family, InstanceConfig};
    use crate::sys::memfd;

    #[test]
    fn the_bytes_of_the_virtual_servers_are_not_looked_at() {
        let instances = vec![InstanceConfig::new("a", "eth0", 1, Family::V4)];
        let config = Config { instances, virtual_servers: vec![VirtualServer::default(); 10], ..Config::default() };
        let bytes = image::encode(&config).unwrap();
        let of = |bytes: &[u8]| {
            let file = memfd::create("test").unwrap();
            file.write_all_at(bytes, 0).unwrap();
            image_of(&file)
        };
        let vrrp = Config { virtual_servers: Vec::new(), ..config };
        assert_eq!(of(&bytes), Ok(vrrp.clone()));
        let with = |at: usize| {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            of(&bytes)
        };
        assert_eq!(with(bytes.len() - 1), Ok(vrrp));
        assert!(with(image::HEADER).unwrap_err().contains("damaged"));
        assert!(with(12).unwrap_err().contains("damaged"));
        assert!(of(&bytes[..bytes.len() - 1]).unwrap_err().starts_with("an image of "));
        assert!(of(&bytes[..5]).unwrap_err().contains("cut off"));
        assert!(of(b"").is_err());
    }
}
