//! A kernel's IPVS table as a map: the effect of a change, and the content of a dump.

use kalived::effect::LvsOp;
use kalived::event::Errno;
use kalived::wire::netlink::ipvs::*;
use std::collections::BTreeMap;

/// Services and their destinations.
pub type Entries = BTreeMap<ServiceKey, (Service, BTreeMap<DestinationKey, Destination>)>;

/// Executes a request as the kernel does.
pub fn change(table: &mut Entries, op: LvsOp) -> Result<(), Errno> {
    match op {
        LvsOp::Service(act, key, service) => match (act, table.contains_key(&key)) {
            (Act::New, true) => Err(Errno::EEXIST),
            (Act::Set | Act::Delete, false) => Err(Errno::ESRCH),
            (Act::New, false) => {
                table.insert(key, (*service, BTreeMap::new()));
                Ok(())
            }
            (Act::Set, true) => {
                table.get_mut(&key).expect("there").0 = *service;
                Ok(())
            }
            (Act::Delete, true) => {
                table.remove(&key);
                Ok(())
            }
        },
        LvsOp::Destination(act, of, key, to) => {
            let Some((_, all)) = table.get_mut(&of) else { return Err(Errno::ESRCH) };
            if key.addr.is_ipv6() != of.is_ipv6() && !matches!(to.forward, Forward::Tunnel(_)) {
                return Err(Errno(22));
            }
            match (act, all.contains_key(&key)) {
                (Act::New, true) => Err(Errno::EEXIST),
                (Act::Set | Act::Delete, false) => Err(Errno::ENOENT),
                (Act::New | Act::Set, _) => {
                    all.insert(key, to);
                    Ok(())
                }
                (Act::Delete, true) => {
                    all.remove(&key);
                    Ok(())
                }
            }
        }
        LvsOp::Flush => {
            table.clear();
            Ok(())
        }
        LvsOp::Timeouts(_) | LvsOp::AskTimeouts | LvsOp::Sync(..) => Ok(()),
    }
}

/// All services, or the destinations of one.
pub fn dump(table: &Entries, of: Option<ServiceKey>) -> Vec<Message> {
    match of {
        None => table.iter().map(|(k, (s, _))| Message::Service(*k, s.clone())).collect(),
        Some(of) => {
            let all = table.get(&of).into_iter().flat_map(|(_, d)| d);
            all.map(|(k, d)| Message::Destination(*k, *d, Connections::default())).collect()
        }
    }
}
