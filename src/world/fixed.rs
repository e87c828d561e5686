//! `static_ipaddress`: addresses that are in the kernel in any state of the virtual routers.
//!
//! Read first: `mod.rs`, `vrrp/address.rs`. An address waits for its interface. One that exists already without kalived's tag is the
//! operator's and stays; the others are removed at the end. They are ordinary addresses: adverts may leave from them, and they are not
//! announced.

use super::*;
use crate::effect::STATIC_PROTO;
use crate::snapshot::Snapshot;
use crate::vrrp::address::FILE;

/// The interface of a static address without `dev`, as with keepalived.
const DEFAULT_INTERFACE: &str = "eth0";

impl World {
    // Those whose interfaces exist now.
    fn fixed_specs(&self) -> Vec<AddrSpec> {
        let default = self.base.global.more.default_interface.as_deref().unwrap_or(DEFAULT_INTERFACE);
        let spec = |v: &crate::config::model::Vip| {
            Some(AddrSpec {
                ifindex: self.links.by_name(v.dev.as_deref().unwrap_or(default))?.ifindex,
                addr: v.addr,
                prefix: v.prefix,
                brd: v.brd,
                scope: v.scope,
                label: v.label.clone(),
                deprecated: v.deprecated,
                noprefixroute: v.noprefixroute,
                flags: v.flags(),
                peer: v.peer,
                tag: STATIC_PROTO,
                metric: 0,
            })
        };
        self.base.static_addresses.iter().filter_map(spec).collect()
    }

    // What the file has is wanted, and nothing else of it. At a start, after a reload, and when an interface comes.
    pub(super) fn fix_addresses(&mut self) {
        if self.base.static_addresses.is_empty() && self.addrs.wanted(FILE) == 0 {
            return;
        }
        let specs = self.fixed_specs();
        let keep: BTreeSet<AddrId> = specs.iter().map(|s| (s.ifindex, s.addr, s.prefix)).collect();
        for spec in specs {
            let _ = self.addrs.adopt(FILE, spec, true, &self.links);
        }
        self.addrs.keep_only(FILE, &keep);
    }

    // What a process before added that the file does not have any more.
    pub(super) fn drop_fixed(&mut self, before: &Snapshot) {
        for id in &before.fixed {
            if let Some(a) = self.links.addr(*id).filter(|a| a.proto == STATIC_PROTO) {
                let spec = AddrSpec::from(a);
                // Not what is wanted again.
                self.addrs.remove(spec);
            }
        }
    }

    // An interface came, or has another name.
    pub(super) fn fix_on(&mut self, names: &[String]) {
        let running = matches!(self.phase, Phase::Cleaning | Phase::Running);
        let default = self.base.global.more.default_interface.as_deref().unwrap_or(DEFAULT_INTERFACE);
        let ours = |v: &crate::config::model::Vip| names.iter().any(|n| n == v.dev.as_deref().unwrap_or(default));
        if running && self.base.static_addresses.iter().any(ours) {
            self.fix_addresses();
        }
    }

    /// Addresses of `static_ipaddress` that are there.
    pub fn fixed_addresses(&self) -> usize {
        self.addrs.held(FILE).count()
    }
}
