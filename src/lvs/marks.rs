//! `nftables_ipvs`: the mark of each virtual server with a group, and which packets have it.
//!
//! Read first: `farm.rs`, `filter/marking.rs`. A group of addresses is one service of the kernel's table for each family, by a mark;
//! nf_tables gives packets to the addresses this mark. A group with a mark of its own is served as without `nftables_ipvs`, as by
//! keepalived.
//!
//! Marks are allotted in the order of the file, from `nftables_ipvs_start_fwmark` on, except those that the file uses. A virtual server
//! keeps its mark as long as it is configured, over a reload and an upgrade, so that its connections continue.

use crate::config::model::lvs::GroupEntry;
use crate::wire::netlink::ipvs::Protocol;
use crate::wire::netlink::nft::{MarkKey, Marked, Marks};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The firewall mark of each virtual server with a group, and the packets that have it; kept over a reload.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Allotment {
    // The first mark; None: the setting is off.
    start: Option<u32>,
    // Marks that the file uses.
    taken: BTreeSet<u32>,
    // By what the virtual server serves: its mark, and whether the configuration that is being read has it so far.
    own: BTreeMap<Box<str>, (u32, bool)>,
    in_use: BTreeSet<u32>,
    // Of the previous process, until a configuration was read.
    before: BTreeMap<Box<str>, u32>,
    reserved: BTreeSet<u32>,
    // Smaller ones from the start on are not free.
    next: u32,
    // Of the configuration that is being read; and of the last one that was read to its end, until it is taken.
    building: Marks,
    built: Option<Arc<Marks>>,
}

impl Allotment {
    /// Another configuration is read. `start`: the first mark, where the setting is on.
    pub fn begin(&mut self, start: Option<u32>) {
        self.start = start;
        self.next = start.unwrap_or(1).max(1);
        self.taken.clear();
        self.building.clear();
        self.own.values_mut().for_each(|(_, listed)| *listed = false);
    }

    /// Marks that the file uses. Virtual servers that had one of them have none now.
    pub fn take(&mut self, marks: &[u32]) {
        self.taken.extend(marks);
        if marks.iter().any(|mark| self.in_use.contains(mark)) {
            self.own.retain(|_, (mark, _)| {
                let lost = self.taken.contains(mark);
                if lost {
                    self.in_use.remove(mark);
                }
                !lost
            });
        }
    }

    /// The mark of a virtual server with this group; `None`: its members are services of their own.
    pub fn mark(&mut self, id: &str, entries: &[GroupEntry]) -> Option<u32> {
        self.start?;
        if entries.is_empty() || entries.iter().any(|e| matches!(e, GroupEntry::Mark(..))) {
            return None;
        }
        if let Some((mark, _)) = self.own.get(id) {
            return Some(*mark);
        }
        let before = self.before.remove(id).filter(|m| *m != 0 && !self.taken.contains(m) && !self.in_use.contains(m));
        let mark = before.unwrap_or_else(|| self.free());
        self.in_use.insert(mark);
        self.own.insert(id.into(), (mark, false));
        Some(mark)
    }

    // There are fewer virtual servers than marks, so one is free.
    fn free(&mut self) -> u32 {
        loop {
            let mark = self.next;
            self.next = mark.checked_add(1).unwrap_or(1);
            if ![&self.taken, &self.in_use, &self.reserved].iter().any(|all| all.contains(&mark)) {
                return mark;
            }
        }
    }

    /// A virtual server has its mark in the configuration that is being read: packets to members of these families have it. Returns the
    /// number of members that another virtual server has in whole or in part.
    pub fn list(&mut self, id: &str, protocol: Protocol, entries: &[GroupEntry], v4: bool, v6: bool) -> usize {
        let Some((mark, listed)) = self.own.get_mut(id) else { return 0 };
        *listed = true;
        let mark = *mark;
        let mut others = 0;
        for entry in entries {
            let GroupEntry::Range(first, more, port) = *entry else { continue };
            if if first.is_ipv6() { v6 } else { v4 } {
                let key = MarkKey { v6: first.is_ipv6(), protocol, port, first };
                others += usize::from(!add(&mut self.building, key, nth(first, more), mark));
            }
        }
        others
    }

    /// It was read to its end.
    pub fn end(&mut self) {
        self.before.clear();
        self.reserved.clear();
        self.own.retain(|_, (mark, listed)| {
            if !*listed {
                self.in_use.remove(mark);
            }
            *listed
        });
        self.built = Some(Arc::new(core::mem::take(&mut self.building)));
    }

    /// What is to be marked, when a configuration was read to its end: once.
    pub fn take_built(&mut self) -> Option<Arc<Marks>> {
        self.built.take()
    }

    /// The mark of a virtual server that has one.
    pub fn of(&self, id: &str) -> Option<u32> {
        self.own.get(id).map(|(mark, _)| *mark)
    }

    /// Virtual servers and their marks, at most so many, for the next process.
    pub fn shots(&self, most: usize) -> Vec<(Box<str>, u32)> {
        let own = self.own.iter().map(|(id, (mark, _))| (id, *mark));
        own.chain(self.before.iter().map(|(id, mark)| (id, *mark))).take(most).map(|(id, m)| (id.clone(), m)).collect()
    }

    /// Those of the previous process.
    pub fn inherit(&mut self, before: Vec<(Box<str>, u32)>) {
        self.before = before.into_iter().collect();
        self.reserved = self.before.values().copied().collect();
    }
}

/// The n-th address after one; at most the last one.
fn nth(first: IpAddr, n: u32) -> IpAddr {
    match first {
        IpAddr::V4(a) => IpAddr::V4(Ipv4Addr::from_bits(a.to_bits().saturating_add(n))),
        IpAddr::V6(a) => IpAddr::V6(Ipv6Addr::from_bits(a.to_bits().saturating_add(u128::from(n)))),
    }
}

fn before(addr: IpAddr) -> Option<IpAddr> {
    match addr {
        IpAddr::V4(a) => a.to_bits().checked_sub(1).map(|n| IpAddr::V4(Ipv4Addr::from_bits(n))),
        IpAddr::V6(a) => a.to_bits().checked_sub(1).map(|n| IpAddr::V6(Ipv6Addr::from_bits(n))),
    }
}

fn after(addr: IpAddr) -> Option<IpAddr> {
    match addr {
        IpAddr::V4(a) => a.to_bits().checked_add(1).map(|n| IpAddr::V4(Ipv4Addr::from_bits(n))),
        IpAddr::V6(a) => a.to_bits().checked_add(1).map(|n| IpAddr::V6(Ipv6Addr::from_bits(n))),
    }
}

/// Adds what no other range has yet: the kernel takes no ranges that overlap. False: a range with another mark has some of it.
pub fn add(all: &mut Marks, key: MarkKey, last: IpAddr, mark: u32) -> bool {
    let MarkKey { v6, protocol, port, first } = key;
    let at = |first| MarkKey { v6, protocol, port, first };
    let mut from = Some(first);
    let mut alone = true;
    let begins = all.range(..=key).next_back().filter(|(k, m)| at(k.first) == **k && m.last >= first).map(|(k, _)| *k);
    let there: Vec<(IpAddr, Marked)> =
        all.range(begins.unwrap_or(key)..=at(last)).map(|(k, m)| (k.first, *m)).collect();
    for (begin, other) in there {
        alone &= other.mark == mark;
        if let Some(f) = from
            && let Some(end) = before(begin).filter(|end| *end >= f)
        {
            all.insert(at(f), Marked { last: end, mark });
        }
        from = after(other.last);
    }
    if let Some(f) = from.filter(|f| *f <= last) {
        all.insert(at(f), Marked { last, mark });
    }
    alone
}
