//! Every log line of the VRRP machines. keepalived's wording where operators grep for it, then the cause of the change.
//!
//! Read first: `note.rs`. Deliberately absent: one line per gratuitous ARP; a burst is one line.

use super::fsm::State;
use crate::event::{Doer, Errno};
use crate::note::{Level, Note};
use crate::time::Duration;
use crate::words;
use core::net::IpAddr;

pub use crate::words::{Limit, errno, span};

fn note(level: Level, text: String) -> Note {
    Note { level, text }
}

/// Adverts are repeatedly handled late.
pub fn too_slow() -> Note {
    let text = "this machine does not keep up with its virtual routers: their adverts are sent in larger groups; fewer virtual routers, \
                longer intervals or a faster processor help";
    note(Level::Warning, text.to_owned())
}

/// "(VI_1) Entering MASTER STATE: cause".
pub fn entering(name: &str, state: State, init: bool, cause: &str) -> Note {
    let init = if init { " (init)" } else { "" };
    let cause = if cause.is_empty() { String::new() } else { format!(": {cause}") };
    note(Level::Notice, format!("({name}) Entering {} STATE{init}{cause}", state.word()))
}
/// A sync group's members follow it.
pub fn group_syncs(name: &str, state: State, why: &str) -> Note {
    // The members' lines have the group's name in their causes.
    let why = why.strip_prefix(&format!("vrrp_sync_group {name}: ")).unwrap_or(why);
    note(Level::Notice, format!("VRRP_Group({name}) Syncing instances to {} state: {why}", state.word()))
}
/// One more or one less reason while in FAULT.
pub fn still_fault(name: &str, reasons: &str) -> Note {
    note(Level::Info, format!("({name}) still in FAULT state: {reasons}"))
}
/// Neither Backup nor FAULT before a tracker has its first result.
pub fn waits(name: &str, what: &str) -> Note {
    note(Level::Info, format!("({name}) not started: {what}"))
}
/// The daemon stops, and with it a virtual router that was in the state `was`.
pub fn stopped(name: &str, was: State) -> Note {
    note(Level::Notice, format!("({name}) Stopped; was {}", was.word()))
}
/// The priority-0 advert was passed to the kernel.
pub fn sent_zero(name: &str) -> Note {
    note(Level::Info, format!("({name}) sent 0 priority"))
}
/// The priority-0 advert could not be sent.
pub fn zero_not_sent(name: &str, e: Errno) -> Note {
    note(
        Level::Warning,
        format!(
            "({name}) the priority 0 advert could not be sent: {}; the others wait for Master_Down_Interval",
            errno(e)
        ),
    )
}
/// A priority-0 advert was received.
pub fn got_zero(name: &str, state: State, from: IpAddr) -> Note {
    let text = match state {
        State::Master => format!("({name}) Master received priority 0 message from {from}"),
        _ => format!("({name}) Backup received priority 0 advertisement from {from}"),
    };
    note(Level::Info, text)
}
/// A Backup that preempts receives an advert of the Master that it will replace.
pub fn discarding_lower(name: &str, from: IpAddr, priority: u8) -> Note {
    note(Level::Info, format!("({name}) received lower priority ({priority}) advert from {from} - discarding"))
}
/// A Master receives an advert of lower priority.
pub fn lower(name: &str, from: IpAddr, priority: u8, ours: u8, answered: bool) -> Note {
    let tail = if answered { ", forcing new election" } else { "" };
    note(
        Level::Notice,
        format!("({name}) Received advert from {from} with lower priority {priority}, ours {ours}{tail}"),
    )
}
/// A Master receives an advert of its own priority from a smaller address.
pub fn equal_less(name: &str, from: IpAddr, priority: u8) -> Note {
    note(
        Level::Notice,
        format!(
            "({name}) Received advert from {from} with same priority {priority} but lower IP address than ours, forcing new election"
        ),
    )
}
/// A Master yields to a higher priority.
pub fn higher(name: &str, from: IpAddr, priority: u8, ours: u8) -> Note {
    note(
        Level::Notice,
        format!("({name}) Master received advert from {from} with higher priority {priority}, ours {ours}"),
    )
}
/// A Master yields to a greater address.
pub fn equal_greater(name: &str, from: IpAddr, priority: u8) -> Note {
    note(
        Level::Notice,
        format!(
            "({name}) Master received advert from {from} with same priority {priority} but higher IP address than ours"
        ),
    )
}
/// Adverts are received from our own address.
pub fn same_address(name: &str, from: IpAddr) -> Note {
    note(
        Level::Error,
        format!(
            "({name}) received an advert with our own address {from} and priority: another router has this address, or the \
             network reflects our packets; give each router an address of its own"
        ),
    )
}
/// A second router sends adverts with priority 255, of an address owner.
pub fn two_owners(name: &str, from: IpAddr) -> Note {
    note(
        Level::Error,
        format!("({name}) {from} advertises priority 255 as we do: at most one router may own the addresses"),
    )
}
/// v3: another interval than ours.
pub fn other_interval(name: &str, from: IpAddr, ours: Duration, theirs: Duration) -> Note {
    note(
        Level::Warning,
        format!(
            "({name}) advertisement interval mismatch with {from} mine={} rcv'd={}; following it",
            span(ours),
            span(theirs)
        ),
    )
}
/// a learned interval that makes takeover slow.
pub fn slow_takeover(name: &str, from: IpAddr, down: Duration) -> Note {
    note(
        Level::Warning,
        format!("({name}) {from} advertises so rarely that taking over from it would need {}", span(down)),
    )
}
/// An accepted advert lists other addresses than ours.
pub fn other_vips(name: &str, from: IpAddr) -> Note {
    note(
        Level::Warning,
        format!("({name}) the advert from {from} lists other addresses than our virtual_ipaddress; using it anyway"),
    )
}
/// The Master changed.
pub fn master_is(name: &str, old: Option<IpAddr>, new: IpAddr, priority: u8) -> Note {
    let text = match old {
        None => format!("({name}) master set to {new}, priority {priority}"),
        Some(old) => format!("({name}) master changed from {old} to {new}, priority {priority}"),
    };
    note(Level::Info, text)
}
/// Two routers have one priority: the address decides.
pub fn same_priority(name: &str, from: IpAddr, priority: u8) -> Note {
    note(
        Level::Info,
        format!(
            "({name}) {from} has our priority {priority}: between the two of us the higher address wins; give each router its own"
        ),
    )
}
/// The router took over from a Master that was alive.
pub fn flapping(name: &str, from: IpAddr, held: Duration) -> Note {
    note(
        Level::Warning,
        format!(
            "({name}) {from} was Master all the time, or came back: no advert of it came for longer than we wait, and we were Master \
             for {} only; if it did not stop, look for congestion, or use a longer advert_int",
            span(held)
        ),
    )
}
/// `preempt_delay` runs for `d`.
pub fn preempt_delay(name: &str, d: Duration) -> Note {
    note(Level::Info, format!("({name}) start preempt delay ({}.{:06})", d.as_secs(), d.subsec_micros()))
}
/// `preempt_delay` ended early.
pub fn preempt_delay_stopped(name: &str) -> Note {
    note(Level::Info, format!("({name}) stop preempt delay"))
}
/// Taken over from a process that froze. Master: how long its adverts still leave; Backup: how long Master_Down_Timer still runs.
pub fn goes_on(name: &str, state: State, left: Duration) -> Note {
    let what = if state == State::Master { "adverts are armed for another" } else { "Master_Down_Timer has another" };
    note(Level::Notice, format!("({name}) goes on as {} after the hand-over; {what} {}", state.word(), span(left)))
}
/// A Master again after a crash, soon enough.
pub fn resumes(name: &str, silent: Duration) -> Note {
    note(Level::Warning, format!("({name}) resumes as MASTER, silent for {}", span(silent)))
}
/// A snapshot that cannot be resumed.
pub fn cold(name: &str, why: &str) -> Note {
    note(Level::Warning, format!("({name}) starts anew: {why}"))
}
/// A reason for [`cold`]: a value of the snapshot is out of its range.
pub const SNAPSHOT_SENSELESS: &str = "what the process before left makes no sense";
/// A reason for [`cold`]: a former Master sent nothing for longer than peers wait.
pub fn silent_too_long(silent: Duration, limit: Duration) -> String {
    format!("was Master, but silent for {}; after {} a peer takes over", span(silent), span(limit))
}
/// A reason for [`cold`]: VRID, interface or family differs from the configuration.
pub const ANOTHER_ROUTER: &str = "what the process before left is of another VRID, interface or family";
/// A reason for [`cold`]: the interface of a former Master has another index, or does not exist.
pub const ANOTHER_INTERFACE: &str = "was Master, but its interface is gone or another one now";
/// Addresses of the previous process that the configuration does not have any more.
pub fn dropped_addresses(n: usize) -> Note {
    note(Level::Notice, format!("removing {} that this configuration does not have any more", addresses(n)))
}
/// Tracking changed the priority.
pub fn priority(name: &str, from: u8, to: u8, why: &str) -> Note {
    note(Level::Notice, format!("({name}) Changing effective priority from {from} to {to}: {why}"))
}
/// A packet was dropped; `more` of its kind were not logged.
pub fn rejected(name: &str, reason: &str, from: IpAddr, total: u64, more: u64) -> Note {
    let more = if more > 0 { format!("; {more} more since the last line") } else { String::new() };
    note(Level::Warning, format!("({name}) dropped advert from {from}: {reason} ({total} so far{more})"))
}
/// Packets for a VRID that no virtual router here has.
pub fn unknown_vrid(interface: &str, vrid: u8, from: IpAddr, total: u64) -> Note {
    note(
        Level::Detail,
        format!("{interface}: advert from {from} for unknown VRID {vrid} ({total} such on this socket so far)"),
    )
}
/// Adverts cannot be sent.
pub fn send_failed(name: &str, e: Errno) -> Note {
    note(
        Level::Error,
        format!(
            "({name}) cannot send adverts: {}; a firewall rule for IP protocol 112? Trying again within the interval",
            errno(e)
        ),
    )
}
/// Adverts can be sent again.
pub fn send_recovered(name: &str, failures: u64) -> Note {
    note(Level::Notice, format!("({name}) adverts leave again; {failures} could not be sent"))
}
/// An advert left, but not to this peer.
pub fn peer_missed(name: &str, peer: IpAddr, e: Errno) -> Note {
    note(Level::Warning, format!("({name}) adverts to peer {peer} do not leave: {}; those to other peers do", errno(e)))
}
/// The peer is reached again.
pub fn peer_reached(name: &str, peer: IpAddr) -> Note {
    note(Level::Notice, format!("({name}) adverts to peer {peer} leave again"))
}
/// `unicast_peer` names our own address.
pub fn own_peer(name: &str, own: IpAddr) -> Note {
    note(Level::Notice, format!("({name}) unicast_peer {own} is our own address: nothing is sent to it"))
}
/// Another process deleted an address of `static_ipaddress`.
pub fn fixed_taken(addr: IpAddr, prefix: u8, dev: &str, by: Doer) -> Note {
    note(
        Level::Warning,
        format!("static address {addr}/{prefix} on {dev} was removed by {}; putting it back", words::by(by)),
    )
}
/// `vrrp_startup_delay` or `vrrp_delay_after_boot` runs for `wait`: the virtual routers start later.
pub fn held_back(wait: Duration) -> Note {
    note(Level::Notice, format!("Delaying startup for {}: nothing is sent, and adverts are not heeded", span(wait)))
}
/// The signature of an advert is fresh, but more than half of `time_window` away from this clock.
pub fn clocks_apart(name: &str, from: IpAddr) -> Note {
    let what = "was signed by a clock that differs from ours by more than half of time_window; accepted. Look at the time on both";
    note(Level::Warning, format!("({name}) advert from {from} {what}"))
}
/// An advert has the old checksum of unicast adverts and was accepted.
pub fn old_checksum(name: &str, from: IpAddr) -> Note {
    let what = "has the old checksum of unicast adverts; accepted. Should it not accept ours: old_unicast_checksum";
    note(Level::Warning, format!("({name}) advert from {from} {what}"))
}
/// The process did not run for so long that a peer may have taken over.
pub fn was_late(name: &str, late: Duration) -> Note {
    note(
        Level::Warning,
        format!("({name}) this process stood still for {}: reading what arrived, then announcing again", span(late)),
    )
}
fn addresses(n: usize) -> String {
    if n == 1 { "1 virtual address".to_owned() } else { format!("{n} virtual addresses") }
}
fn plain(n: usize) -> String {
    if n == 1 { "1 address".to_owned() } else { format!("{n} addresses") }
}
/// One burst of GARP or NA.
pub fn announcing(name: &str, n: usize, times: u32) -> Note {
    note(
        Level::Detail,
        format!("({name}) Sending/queueing gratuitous ARPs and unsolicited NAs for {}, {times} each", plain(n)),
    )
}
/// An address could not be added.
pub fn address_refused(name: &str, addr: IpAddr, prefix: u8, dev: &str, e: Errno) -> Note {
    note(Level::Error, format!("({name}) cannot add {addr}/{prefix} to {dev}: {}; trying again", errno(e)))
}
/// An address could not be deleted.
pub fn address_stuck(addr: IpAddr, prefix: u8, dev: &str, e: Errno) -> Note {
    note(Level::Error, format!("cannot remove {addr}/{prefix} from {dev}: {}; remove it by hand", errno(e)))
}
/// Another process deleted a VIP.
pub fn address_taken(name: &str, addr: IpAddr, prefix: u8, dev: &str, by: Doer) -> Note {
    note(
        Level::Warning,
        format!("({name}) {addr}/{prefix} was removed from {dev} by {}; putting it back", words::by(by)),
    )
}
/// The kernel deleted a VIP together with one that we deleted.
pub fn address_swept(name: &str, addr: IpAddr, prefix: u8, dev: &str, first: IpAddr) -> Note {
    note(
        Level::Info,
        format!(
            "({name}) {addr}/{prefix} went from {dev} together with {first}, the first address of its subnet, which we removed \
             (net.ipv4.conf.{dev}.promote_secondaries is 0); putting it back"
        ),
    )
}
/// The advert would not fit the MTU.
pub fn spilled(name: &str, n: usize, dev: &str, mtu: u32) -> Note {
    note(
        Level::Warning,
        format!(
            "({name}) the last {n} of virtual_ipaddress do not fit into an advert on {dev} (MTU {mtu}): held as Master, not \
             advertised; list them under virtual_ipaddress_excluded on every router"
        ),
    )
}
/// Left-overs of a killed daemon.
pub fn leftovers(n: usize) -> Note {
    note(
        Level::Notice,
        format!(
            "removing {} that {} left behind by a daemon that did not stop cleanly",
            addresses(n),
            if n == 1 { "was" } else { "were" }
        ),
    )
}
/// Addresses that a kalived added and this configuration does not have.
pub fn strangers(names: &[String]) -> Note {
    // The length of a line is limited: eight are named.
    let (shown, more) = (names.len().min(8), names.len().saturating_sub(8));
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    note(
        Level::Warning,
        format!(
            "left alone: {}{more}: added by a kalived, not in this configuration; remove what no other kalived here holds",
            names[..shown].join(", ")
        ),
    )
}
/// A tracked interface went up or down.
pub fn link_state(name: &str, up: bool) -> Note {
    note(Level::Notice, format!("Netlink reports {name} {}", if up { "up" } else { "down" }))
}
/// A tracked interface was added or removed.
pub fn link_known(name: &str, there: bool) -> Note {
    note(Level::Notice, format!("Interface {name} {}", if there { "added" } else { "deleted" }))
}
/// Netlink messages were lost, and the kernel's state is read again.
pub fn netlink_lost() -> Note {
    note(Level::Warning, "netlink messages were lost; reading all interfaces and addresses again".into())
}
/// A dump could not be completed.
pub fn resync_failed() -> Note {
    note(Level::Warning, "the list of interfaces changed while it was read; reading it again".into())
}
/// A socket could not be opened.
pub fn socket_failed(interface: &str, e: Errno) -> Note {
    note(Level::Error, format!("{interface}: cannot open the VRRP socket: {}; trying again", errno(e)))
}
/// There is no packet socket for adverts from our own addresses.
pub fn no_local(e: Errno) -> Note {
    note(
        Level::Warning,
        format!(
            "cannot open a packet socket: {}; an address owner that returns is not heard while we hold its address",
            errno(e)
        ),
    )
}
/// A stop is requested.
pub fn stopping(signal: &str) -> Note {
    note(Level::Notice, format!("Stopping ({signal})"))
}
/// A hand-over without a successor.
pub fn no_successor(name: &str) -> Note {
    note(Level::Error, format!("({name}) was handed over and no process went on with it: its addresses are removed"))
}
/// The stop is complete.
pub fn all_stopped() -> Note {
    note(Level::Notice, "Stopped".into())
}
/// A reload is requested.
pub fn reloading() -> Note {
    note(Level::Notice, "Reloading ...".into())
}
/// A configuration is being put in force.
pub fn reload_begins() -> Note {
    note(Level::Notice, "Reloading".into())
}
/// The configuration is in force.
pub fn reloaded(what: &str) -> Note {
    note(Level::Notice, format!("Reloaded: {what}"))
}
/// The configuration is not, or not completely, in force.
pub fn not_reloaded(why: &str) -> Note {
    note(Level::Error, format!("Reload refused: {why}"))
}
/// The result of a reload during `vrrp_startup_delay`.
pub fn reload_waits(left: Duration) -> String {
    format!("in force when the startup delay is over, in {}", crate::words::span(left))
}
/// Of a reload: the changes that only a new process can apply.
pub fn kept_until_restart(what: &str) -> Note {
    note(Level::Warning, format!("kept as it is until kalived is restarted: {what}"))
}
/// Of a reload: one virtual router.
pub fn altered(name: &str, changes: &str) -> Note {
    note(Level::Notice, format!("({name}) altered: {changes}"))
}
/// Of a reload: another virtual router on the wire under an existing name.
pub fn renewed(name: &str, changes: &str) -> Note {
    note(Level::Notice, format!("({name}) altered, and starts anew: {changes}"))
}
/// Of a reload: a new one.
pub fn added(name: &str) -> Note {
    note(Level::Notice, format!("({name}) added"))
}
/// Of a reload: one that was removed.
pub fn removed(name: &str, was: State) -> Note {
    note(Level::Notice, format!("({name}) removed; was {}", was.word()))
}
/// `reload_time_file` was read. keepalived logs the time; the remaining time is the same in every time zone.
pub fn reload_scheduled(wait: Duration) -> Note {
    note(Level::Notice, format!("Reload scheduled in {} s", wait.as_secs()))
}
/// The file was removed, or its content is invalid.
pub fn reload_unscheduled() -> Note {
    note(Level::Notice, "Scheduled reload cancelled".into())
}
/// A date in the past.
pub fn reload_time_passed() -> Note {
    note(Level::Notice, "Scheduled reload ignored: its time has passed".into())
}
/// The scheduled reload is due.
pub fn reload_now() -> Note {
    note(Level::Notice, "Reloading as scheduled".into())
}
/// The content has none of the valid forms.
pub fn reload_time_wrong(path: &str) -> Note {
    note(
        Level::Warning,
        format!("{path}: no time to reload at: HH:MM:SS or [YY]YY-MM-DD HH:MM:SS, then Z for UTC, expected"),
    )
}
/// The file exists and cannot be read.
pub fn reload_time_unreadable(path: &str, e: Errno) -> Note {
    note(Level::Warning, format!("{path}: cannot be read: {}", errno(e)))
}
/// The cause of a state that another process entered.
pub const TAKEN_OVER: &str = "goes on from the process before (upgrade, restart or crash)";
/// A second Master. keepalived has no such line.
pub fn dual_master(name: &str, seen: &str, look: &str) -> Note {
    note(Level::Error, format!("({name}) DUAL_MASTER: {seen}; {look}"))
}
/// The second Master is not received any more.
pub fn dual_master_over(name: &str, with: IpAddr, lasted: Duration) -> Note {
    note(
        Level::Notice,
        format!("({name}) DUAL_MASTER is over after {}: {with} is not heard as Master any more", span(lasted)),
    )
}

/// A line with the number of lines of its kind that were not written before it.
pub fn after(note: Note, held_back: u64) -> Note {
    match held_back {
        0 => note,
        n => Note { text: format!("{} ({n} more of this kind since the last such line)", note.text), ..note },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_many_were_held_back() {
        assert_eq!(after(note(Level::Info, "x".into()), 2).text, "x (2 more of this kind since the last such line)");
    }
}
