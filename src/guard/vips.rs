//! The role that takes the addresses away when no core is left to do it: a dead node must not keep an address it does not answer
//! for. A process of its own, because it waits for the kernel, and somebody else may hold the lock that the kernel needs for it.
//!
//! Taken away are the file's virtual addresses that carry our tag: an operator's own address of the same value stays.

use super::start::say;
use crate::config::image;
use crate::config::model::Config;
use crate::effect::{ADDR_PROTO, AddrSpec};
use crate::event::{AddrInfo, Errno};
use crate::exit::ExitCode;
use crate::sys::{child, rtsync};
use crate::wire::netlink::{Kind, del_addr, get_addrs, messages};
use bytes::BytesMut;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;

/// Deletions in one request, so that their answers fit the socket's buffer.
const SLICE: usize = 64;

/// The role. The image is at fd 3.
pub fn role() -> ExitCode {
    child::set_name(c"kalived");
    match remove() {
        Ok(()) => ExitCode::Ok,
        Err(why) => {
            say(&why);
            ExitCode::Fatal
        }
    }
}

fn remove() -> Result<(), String> {
    let [image] = child::inherited::<1>().map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    let mut file = File::from(image);
    io::Seek::rewind(&mut file).map_err(|e| e.to_string())?;
    file.take(image::MAX_IMAGE as u64).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    let config = image::Image::open(&bytes).and_then(|i| i.vrrp()).map_err(|e| e.to_string())?;
    let ours = ours(&config, &dump().map_err(|e| format!("the addresses could not be read: {e}"))?);
    let mut failed = None;
    for slice in ours.chunks(SLICE) {
        let mut out = BytesMut::new();
        for (seq, spec) in (1..).zip(slice) {
            del_addr(&mut out, seq, spec);
        }
        let mut open = slice.len();
        let done = rtsync::ask(&out, &mut |bytes| {
            for kind in messages(bytes).flatten().map(|m| m.kind) {
                if let Kind::Ack { result, .. } = kind {
                    open -= usize::from(open > 0);
                    failed = failed.or(result.err().filter(|e| *e != Errno::EADDRNOTAVAIL));
                }
            }
            open == 0
        });
        done.map_err(|e| format!("the addresses could not be removed: {e}"))?;
    }
    match failed {
        Some(e) => Err(format!("an address could not be removed: errno {}", e.0)),
        None => Ok(()),
    }
}

fn dump() -> io::Result<Vec<AddrInfo>> {
    let mut out = BytesMut::new();
    get_addrs(&mut out, 1);
    let mut all = Vec::new();
    rtsync::ask(&out, &mut |bytes| {
        for m in messages(bytes).flatten() {
            match m.kind {
                Kind::Addr(a) => all.push(a),
                Kind::Done { .. } | Kind::Ack { .. } => return true,
                _ => {}
            }
        }
        false
    })?;
    Ok(all)
}

/// What of `there` is to go.
fn ours(config: &Config, there: &[AddrInfo]) -> Vec<AddrSpec> {
    let vips: BTreeMap<IpAddr, Option<IpAddr>> =
        config.instances.iter().flat_map(|i| i.vips.iter().chain(&i.excluded)).map(|v| (v.addr, v.peer)).collect();
    let tagged = there.iter().filter(|a| a.proto == ADDR_PROTO);
    tagged
        .filter_map(|a| {
            Some(AddrSpec {
                ifindex: a.ifindex,
                addr: a.addr,
                prefix: a.prefix,
                brd: None,
                scope: a.scope,
                label: None,
                deprecated: false,
                noprefixroute: false,
                peer: *vips.get(&a.addr)?,
            })
        })
        .collect()
}
