//! The remover's part for virtual servers: what a core does to the kernel's IPVS table at its end (`lvs/director.rs`), for one that cannot.
//!
//! Removed are the services of the file and of the last snapshot with their destinations, or the whole table where the file says so
//! (`lvs_flush_on_stop`). The threads of `lvs_sync_daemon` are stopped, and the timeouts that `lvs_timeouts` changed are put back. Nothing
//! is asked where there are no virtual servers: the question alone would load the kernel's module. Read first: `vips.rs`.

use super::vips::delete_of;
use crate::config::image::Header;
use crate::config::model::global::LvsFlush;
use crate::config::model::lvs::Part;
use crate::config::model::{Config, InstanceConfig};
use crate::event::Errno;
use crate::lvs::farm::Farm;
use crate::lvs::sync;
use crate::lvs::table::Table;
use crate::process::parts::Parts;
use crate::snapshot::Snapshot;
use crate::sys::netlink::Whom;
use crate::sys::{namespace, rtsync};
use crate::wire::netlink::generic::{self, CONTROLLER};
use crate::wire::netlink::ipvs::{self, Act, Message, Service, ServiceKey, SyncDaemon, Timeouts};
use crate::wire::netlink::{Control, frames};
use bytes::BytesMut;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;

/// What the remover deletes of the IPVS table, collected from configurations and the last snapshot.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ipvs {
    services: BTreeSet<ServiceKey>,
    /// The whole table goes.
    flush: bool,
    /// The kernel's threads for other directors were started.
    sync: bool,
    /// What the timeouts were before; 0: not changed.
    timeouts: Timeouts,
    /// `net_namespace_ipvs`: the network namespace of the IPVS table; `None`: the guard's own.
    namespace: Option<Box<str>>,
}

/// One deletion for the kernel: a service with its destinations, the whole table, or a synchronisation thread.
enum Gone {
    Service(ServiceKey, Service),
    Table,
    Thread(SyncDaemon),
}

impl Ipvs {
    /// The services and the timeouts that a snapshot names.
    pub(super) fn of(shot: Option<&Snapshot>) -> Ipvs {
        let services = shot.iter().flat_map(|s| &s.services).copied().collect();
        Ipvs { services, timeouts: shot.map(|s| s.timeouts).unwrap_or_default(), ..Ipvs::default() }
    }

    /// The virtual servers of an image, whose configuration is `config`. The error is a text.
    pub(super) fn add(&mut self, image: &File, config: &Config, header: &Header) -> Result<(), String> {
        let mut parts = Parts::new(image.try_clone().map_err(|e| e.to_string())?, header);
        let (mut farm, mut table) = (Farm::default(), Table::default());
        let more = &config.global.more;
        farm.begin(false, false, more.nftables_ipvs.is_some().then_some(more.nftables_ipvs_start_fwmark));
        let mut last = !parts.any();
        // Each pass takes a part, so this ends with the image.
        while !last {
            for part in parts.read()? {
                last |= part == Part::End;
                farm.part(part, config, &mut table);
            }
        }
        let there = table.ours(usize::MAX);
        self.flush |= !there.is_empty() && more.lvs_flush_on_stop == LvsFlush::All;
        let instances: Vec<&InstanceConfig> = config.instances.iter().collect();
        self.sync |= !there.is_empty() && sync::configured(config, &instances).is_some();
        self.namespace.clone_from(&config.root.net_namespace_ipvs);
        self.services.extend(there);
        Ok(())
    }

    /// Removes them. Waits for the kernel.
    pub(super) fn remove(&self) -> Result<(), String> {
        if self.services.is_empty() && self.timeouts == Timeouts::default() {
            return Ok(());
        }
        let Some(name) = &self.namespace else { return self.remove_here() };
        let done = namespace::within(name, || Ok(self.remove_here()));
        done.and_then(|r| r)
            .unwrap_or_else(|e| Err(format!("the virtual servers could not be removed: network namespace {name}: {e}")))
    }

    fn remove_here(&self) -> Result<(), String> {
        let could_not = |e: io::Error| format!("the virtual servers could not be removed: {e}");
        // Without the module there is no table.
        let Some(family) = family().map_err(could_not)? else { return Ok(()) };
        let mut gone: Vec<Gone> = match self.flush {
            true => vec![Gone::Table],
            false => {
                let there = there(family).map_err(could_not)?;
                there.into_iter().filter(|(k, _)| self.services.contains(k)).map(|(k, s)| Gone::Service(k, s)).collect()
            }
        };
        let threads = [true, false].map(|master| Gone::Thread(SyncDaemon { master, ..SyncDaemon::default() }));
        gone.extend(threads.into_iter().filter(|_| self.sync));
        let request = |out: &mut BytesMut, seq: u32, gone: &Gone| match gone {
            Gone::Service(key, service) => ipvs::service(out, family, seq, Act::Delete, key, service),
            Gone::Table => ipvs::flush(out, family, seq),
            Gone::Thread(daemon) => ipvs::sync_daemon(out, family, seq, false, daemon),
        };
        let failed = delete_of(Whom::Generic, &gone, request, Errno::ESRCH).map_err(could_not)?;
        if self.timeouts != Timeouts::default() {
            let set = |out: &mut BytesMut, seq: u32, to: &Timeouts| ipvs::set_timeouts(out, family, seq, to);
            delete_of(Whom::Generic, &[self.timeouts], set, Errno::ESRCH).map_err(could_not)?;
        }
        failed.map_or(Ok(()), |e| Err(format!("a virtual server could not be removed: errno {}", e.0)))
    }
}

/// The number of the family; `None`: the kernel has none.
fn family() -> io::Result<Option<u16>> {
    let mut id = None;
    let mut out = BytesMut::new();
    generic::get_family(&mut out, 1, ipvs::FAMILY);
    rtsync::ask_of(Whom::Generic, &out, &mut |bytes| {
        frames(bytes).flatten().any(|f| {
            if f.kind == CONTROLLER
                && let Ok(Some(found)) = generic::read_family(f.body)
            {
                id = Some(found.id);
            }
            f.control().is_some()
        })
    })?;
    Ok(id)
}

/// The services in the kernel.
fn there(family: u16) -> io::Result<BTreeMap<ServiceKey, Service>> {
    let mut all = BTreeMap::new();
    let mut out = BytesMut::new();
    ipvs::get_services(&mut out, family, 1);
    rtsync::ask_of(Whom::Generic, &out, &mut |bytes| {
        frames(bytes).flatten().any(|f| match f.control() {
            Some(Ok(Control::Overrun)) | None => {
                if f.kind == family
                    && let Ok(Message::Service(key, service)) = ipvs::read(f.body, None)
                {
                    all.insert(key, service);
                }
                false
            }
            Some(_) => true,
        })
    })?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::image;
    use crate::config::model::lvs::{self, RealServer, VirtualServer};
    use crate::sys::memfd;
    use std::os::unix::fs::FileExt;

    #[test]
    fn what_goes_is_of_the_file_and_of_the_snapshot() {
        let real = RealServer { addr: [192, 0, 2, 20].into(), port: 80, ..RealServer::default() };
        let server = |n: u8| VirtualServer {
            service: lvs::Service::Address([192, 0, 2, n].into(), 80),
            protocol: Some(lvs::Protocol::Tcp),
            real_servers: vec![real.clone()],
            ..VirtualServer::default()
        };
        let key = |n: u8| ServiceKey::Address(ipvs::Protocol::Tcp, [192, 0, 2, n].into(), 80);
        let mut config = Config { virtual_servers: vec![server(1), server(2)], ..Config::default() };
        let of = |config: &Config, shot: Option<&Snapshot>| {
            let bytes = image::encode(config).unwrap();
            let file = memfd::create("test").unwrap();
            file.write_all_at(&bytes, 0).unwrap();
            let header = Header::read(&bytes[..image::HEADER]).unwrap();
            let mut ipvs = Ipvs::of(shot);
            ipvs.add(&file, config, &header).unwrap();
            ipvs
        };
        let timeouts = Timeouts { tcp: 900, ..Timeouts::default() };
        let shot = Snapshot { services: vec![key(2), key(3)], timeouts, ..Snapshot::default() };
        let services = BTreeSet::from([key(1), key(2), key(3)]);
        assert_eq!(of(&config, Some(&shot)), Ipvs { services, timeouts, ..Ipvs::default() });
        config.global.more.lvs_flush_on_stop = LvsFlush::All;
        let services = BTreeSet::from([key(1), key(2)]);
        assert_eq!(of(&config, None), Ipvs { services, flush: true, ..Ipvs::default() });
        config.virtual_servers.clear();
        assert_eq!(of(&config, None), Ipvs::default(), "nothing of kalived is there, so nothing is emptied");
        assert_eq!(Ipvs::default().remove(), Ok(()), "and nothing asked");
    }
}
