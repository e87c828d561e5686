//! Every log line about virtual servers, once: keepalived's wording where operators grep for it.

use crate::event::{ChildEnd, Errno};
use crate::note::{Level, Note};
use crate::wire::netlink::ipvs::{DestinationKey, Protocol, Service, ServiceKey};
use crate::words::errno;
use core::net::IpAddr;

fn note(level: Level, text: String) -> Note {
    Note { level, text }
}

fn key(key: &ServiceKey) -> String {
    match key {
        ServiceKey::Address(protocol, addr, port) => {
            let word = match protocol {
                Protocol::Tcp => "tcp",
                Protocol::Udp => "udp",
                Protocol::Sctp => "sctp",
            };
            format!("[{addr}]:{word}:{port}")
        }
        ServiceKey::Mark(mark, v6) => format!("FWM {mark}{}", if *v6 { " inet6" } else { "" }),
    }
}

/// A real server comes into the pool of its virtual server or leaves it.
pub fn server(up: bool, inhibit: bool, server: &str, of: &str) -> Note {
    let text = match (up, inhibit) {
        (true, false) => format!("Adding service {server} to VS {of}"),
        (false, false) => format!("Removing service {server} from VS {of}"),
        (true, true) => format!("Enabling service {server} of VS {of}"),
        (false, true) => format!("Disabling service {server} of VS {of}"),
    };
    note(Level::Notice, text)
}
/// The quorum was gained or lost.
pub fn quorum(up: bool, quorum: i64, hysteresis: i64, sum: i64, of: &str) -> Note {
    let text = match up {
        true => format!("Gained quorum {quorum}+{hysteresis}={} <= {sum} for VS {of}", quorum + hysteresis),
        false => format!("Lost quorum {quorum}-{hysteresis}={} > {sum} for VS {of}", quorum - hysteresis),
    };
    note(Level::Notice, text)
}
/// Too few servers serve, or enough again.
pub fn panic(is: bool, serving: usize, all: usize, percent: u8, of: &str) -> Note {
    let text = match is {
        true => format!(
            "VS {of}: {serving} of {all} servers are up, fewer than {percent} % (panic_threshold): those that fail stay in the table. Look at \
             what all checks have in common"
        ),
        false => format!(
            "VS {of}: {serving} of {all} servers are up: those that fail leave the table again (panic_threshold)"
        ),
    };
    note(if is { Level::Error } else { Level::Notice }, text)
}
/// A virtual server begins without its quorum, and its sorry server is in charge.
pub fn starts_down(quorum: i64, hysteresis: i64, sum: i64, of: &str) -> Note {
    let text = format!("Starting with quorum down {quorum}-{hysteresis}={} > {sum} for VS {of}", quorum - hysteresis);
    note(Level::Notice, text)
}
/// What a line about a quorum says of it without the name: for mail and scripts.
pub fn cause(note: &Note) -> String {
    note.text.split(" for VS ").next().unwrap_or_default().to_owned()
}
/// The sorry server comes or goes.
pub fn sorry(comes: bool, inhibit: bool, server: &str, of: &str) -> Note {
    let text = match (comes, inhibit) {
        (true, false) => format!("Adding sorry server {server} to VS {of}"),
        (false, false) => format!("Removing sorry server {server} from VS {of}"),
        (true, true) => format!("Enabling sorry server {server} of VS {of}"),
        (false, true) => format!("Disabling sorry server {server} of VS {of}"),
    };
    note(Level::Notice, text)
}
/// The sorry server was replaced by the real servers that are up (`come`), or replaces them.
pub fn alive(come: bool, of: &str) -> Note {
    note(
        Level::Notice,
        match come {
            true => format!("Adding alive servers to the pool for VS {of}"),
            false => format!("Removing alive servers from the pool for VS {of}"),
        },
    )
}
/// A real server has another weight; `active` if it is up.
pub fn weight(from: i64, to: i64, active: bool, server: &str, of: &str) -> Note {
    let active = if active { "active" } else { "inactive" };
    note(Level::Notice, format!("Changing weight from {from} to {to} for {active} service {server} of VS {of}"))
}
/// A reload took a real server away.
pub fn no_longer(server: &str, of: &str) -> Note {
    note(Level::Notice, format!("service {server} no longer exist, removing it from VS {of}"))
}
/// A reload took a virtual server away.
pub fn removed(of: &str) -> Note {
    note(Level::Notice, format!("Removing Virtual Server {of}"))
}
/// Two blocks of one file.
pub fn twice(of: &str) -> Note {
    note(Level::Warning, format!("virtual_server {of} is in the configuration twice; the first one counts"))
}
/// Services whose family none of the servers has.
pub fn of_other_family(of: &str, service: &ServiceKey, count: usize, ignored: bool) -> Note {
    let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
    let then = if ignored { "the virtual_server is ignored" } else { "nothing is served there" };
    let text = format!("VS {of}: {}{more}: address family doesn't match the real servers; {then}", key(service));
    note(Level::Error, text)
}
/// Two virtual servers want one service: a mark of a group has no protocol.
pub fn served_already(of: &str, service: &ServiceKey) -> Note {
    note(
        Level::Warning,
        format!("VS {of}: {} is served by another virtual_server already, which keeps it", key(service)),
    )
}

/// Members of a group that another virtual server marks.
pub fn marked_already(of: &str, members: usize) -> Note {
    note(
        Level::Warning,
        format!(
            "VS {of}: {members} members of its group have addresses that another virtual_server of this protocol has already, which keeps them"
        ),
    )
}

/// There is no IPVS.
pub fn no_ipvs(e: Errno, loading: Option<ChildEnd>) -> Note {
    let why = match (e.0, loading) {
        (1, _) => "kalived may not use it (it needs CAP_NET_ADMIN)".to_owned(),
        (_, Some(ChildEnd::Exited(code))) => format!("`modprobe ip_vs` ended with status {code}"),
        (_, Some(ChildEnd::Signaled(n))) => format!("`modprobe ip_vs` was ended by signal {n}"),
        (_, Some(ChildEnd::NotStarted(e))) => format!("`modprobe ip_vs` could not be run: {}", errno(e)),
        (_, None) => errno(e),
    };
    note(
        Level::Error,
        format!(
            "IPVS: Can't initialize ipvs: the kernel offers none: {why}. Virtual servers are not served and have no quorum; virtual routers go on. Load \
             the module ip_vs (in a container: on its host) or run a kernel that has it; kalived asks again every minute"
        ),
    )
}
/// The kernel has IPVS now; before, a line reported that it had none.
pub fn ipvs_there() -> Note {
    note(Level::Notice, "IPVS is there: virtual servers are served from now on".to_owned())
}
/// The kernel refused to empty the IPVS table (`lvs_flush`, `lvs_flush_on_stop`).
pub fn not_flushed(e: Errno) -> Note {
    note(Level::Warning, format!("the IPVS table could not be emptied: {}", errno(e)))
}
/// The kernel refused `lvs_timeouts`.
pub fn no_timeouts(e: Errno) -> Note {
    note(Level::Warning, format!("lvs_timeouts: the kernel does not take them: {}", errno(e)))
}
/// The kernel refused to start or stop a thread of `lvs_sync_daemon`.
pub fn no_sync(start: bool, interface: &str, e: Errno) -> Note {
    let what = if start { "started" } else { "stopped" };
    let why = match e.0 {
        19 => format!("there is no interface {interface}"),
        22 if start => "the kernel does not take its settings (a server of another family than its service is in the table, or the \
                        group is no multicast address)"
            .to_owned(),
        _ => errno(e),
    };
    note(
        Level::Error,
        format!("lvs_sync_daemon: synchronisation of connections cannot be {what}: {why}; it is tried again"),
    )
}
/// A thread of `lvs_sync_daemon` is not as it was started.
pub fn sync_changed(master: bool, runs: bool) -> Note {
    let role = if master { "master" } else { "backup" };
    let what = if runs { "started" } else { "stopped" };
    note(Level::Warning, format!("lvs_sync_daemon: the {role} thread was {what} by another program; putting it right"))
}
/// `ha_suspend`: checks of a virtual server are suspended (`is`) or resumed, because its address left or reached this host.
pub fn suspended(is: bool, addr: IpAddr, of: &str) -> Note {
    let text = match is {
        true => format!("Suspending healthchecker for VS {of}: {addr} is not on this host"),
        false => format!("Activating healthchecker for VS {of}: {addr} is on this host"),
    };
    note(Level::Info, text)
}
/// The virtual servers of a configuration image cannot be read.
pub fn unreadable(why: &str) -> Note {
    note(
        Level::Error,
        format!(
            "the virtual servers of the configuration cannot be read: {why}; those of before stay. Reload to try again"
        ),
    )
}
/// The kernel does not take a service.
pub fn service_refused(of: &str, service: &Service, e: Errno) -> Note {
    let why = match e.0 {
        2 if service.engine.is_empty() => {
            format!("this kernel has no scheduler {} (modprobe ip_vs_{0})", service.scheduler)
        }
        2 => format!(
            "this kernel has no scheduler {} or no persistence engine {} (modprobe ip_vs_{0}, ip_vs_pe_{1})",
            service.scheduler, service.engine
        ),
        93 => "this kernel has no IPVS for its protocol".to_owned(),
        105 => "the answer was lost".to_owned(),
        _ => errno(e),
    };
    note(Level::Error, format!("VS {of} is not served: {why}; it is tried again"))
}
/// The kernel does not take it away.
pub fn service_stuck(service: &ServiceKey, e: Errno) -> Note {
    note(Level::Error, format!("the IPVS service {} cannot be removed: {}; remove it by hand", key(service), errno(e)))
}
/// The kernel does not take a destination.
pub fn destination_refused(to: &DestinationKey, of: &str, e: Errno) -> Note {
    let why = match e.0 {
        22 => "the kernel does not take it (a multicast address; or of another family than the service while lvs_sync_daemon runs)"
            .to_owned(),
        34 => "lthreshold is above uthreshold".to_owned(),
        105 => "the answer was lost".to_owned(),
        _ => errno(e),
    };
    note(
        Level::Error,
        format!("real server [{}]:{} of VS {of} is not in the table: {why}; it is tried again", to.addr, to.port),
    )
}
/// The kernel does not take it away.
pub fn destination_stuck(to: &DestinationKey, of: &str, e: Errno) -> Note {
    note(
        Level::Error,
        format!("real server [{}]:{} of VS {of} cannot be removed from the table: {}", to.addr, to.port, errno(e)),
    )
}
/// Somebody deleted or changed destinations.
pub fn put_back(n: usize, of: &str) -> Note {
    note(
        Level::Warning,
        format!(
            "{n} real servers of VS {of} were changed or removed in the IPVS table by another program; putting them right"
        ),
    )
}
/// Somebody deleted a service.
pub fn service_gone(of: &str) -> Note {
    note(Level::Warning, format!("VS {of} was removed from the IPVS table by another program; putting it back"))
}
/// Destinations that are not configured, or have no place in the table now: down, or a sorry server that is not in charge.
pub fn strangers(n: usize, of: &str) -> Note {
    note(Level::Notice, format!("{n} destinations of VS {of} in the IPVS table have no place there now; removing them"))
}
