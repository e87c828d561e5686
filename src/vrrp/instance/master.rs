//! The state Master: armed adverts, addresses, their announcements, and the answers to other routers.
//!
//! Read first: `mod.rs`, `timing.rs` (the grid). All of it applies to a Master only; each `on_*` checks the state first, because the
//! event may have been in flight when the router yielded.

use super::own::METRIC;
use super::{Cx, Instance, SockState, say};
use crate::config::model::Vip;
use crate::effect::{ADDR_PROTO, AddrSpec, AdvertFx, Effect, Packets};
use crate::event::{Doer, Errno};
use crate::id::SockKey;
use crate::links::Links;
use crate::time::{Duration, Instant};
use crate::timers::Due;
use crate::vrrp::advert::Heard;
use crate::vrrp::change::What;
use crate::vrrp::fsm::Act;
use crate::vrrp::{text, timing};
use core::net::IpAddr;
use std::collections::BTreeSet;

/// Adverts sent at once as an answer: at most one in this time, so that a flood of packets does not cause a flood of answers.
pub(super) const ANSWER_PAUSE: Duration = Duration::from_millis(10);
/// An advert whose send failed is tried again after a quarter of the interval, within these bounds: soon enough that one lost interval
/// does not become three, and rarely enough not to load a firewall that rejects it.
const RETRY: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));
/// An advert that is due within this time is not cancelled: the kernel's timer may fire before the turn that cancels it ends.
pub const IMMINENT: Duration = Duration::from_millis(1);
/// Addresses that a new Master requests at a time. Preparing one takes the loop 2 to 3 µs, and adding it the kernel 10 to 130 µs. The
/// first part is one, so that of many routers each has one address before any has two, and hosts learn it early; the later parts are
/// larger, so that the kernel does not wait for the loop.
const CHUNK: (usize, usize) = (1, 16);
/// Between two parts; and how long the rest of a takeover (the following adverts, log lines) waits for the kernel to confirm the first
/// addresses, so that their announcement comes first. The next advert may be due within that time; it is then late by that much, and
/// still far less than an interval after the first.
pub(crate) const PREPARED: Duration = Duration::from_micros(200);
/// `notify_master_rx_lower_pri` runs at most once in this time, or once in an interval if that is longer.
const TELL_LOWER: Duration = Duration::from_secs(1);
/// After an answer to a rival, the addresses are announced once more within this time, whatever the interval.
const LAST_WORD: Duration = Duration::from_secs(1);
/// Because of other routers' adverts, addresses are announced at most once in an interval, and at most once in this time: an advert of 20
/// bytes is answered by 500 frames, and any host on the link can send one. A takeover within that time after another one, which two forged
/// adverts cause, announces each address once, because hosts may point to the other router; the repetitions come when the time is over.
const ANNOUNCE_PAUSE: Duration = Duration::from_secs(1);

impl Instance {
    /// An armed advert left, or its send failed.
    pub fn on_advert_sent(
        &mut self,
        epoch: u32,
        due: Instant,
        result: Result<(), Errno>,
        missed: &[(IpAddr, Errno)],
        cx: &mut Cx<'_>,
    ) {
        if result.is_ok() {
            self.stats.advert_sent += 1;
        }
        if !self.is_master() {
            if epoch == self.epoch {
                self.parting = false;
            }
            return;
        }
        let late = cx.now.mono.since(due);
        // Armed before the last stop and gone before it could be taken back: it was counted. It may be the only one that says that this
        // process stood still: a verdict that is older arms all anew in the same turn.
        if epoch != self.epoch {
            if due > self.since.mono {
                self.look_at_lateness(late, cx);
            }
            return;
        }
        // Nearly always the first one.
        if self.armed.front() == Some(&due) {
            self.armed.pop_front();
        } else {
            self.armed.retain(|at| *at != due);
        }
        // One that is handled so late was not sent when it was due: its send waits for this thread.
        let left = if result.is_ok() && late >= self.cfg.advert_int / 2 { cx.now.mono } else { due };
        self.last = self.last.max(left);
        match result {
            Ok(()) => {
                self.count_missed(missed, cx);
                if self.failing > 0 {
                    cx.fx.note(text::send_recovered(&self.cfg.name, core::mem::take(&mut self.failing)));
                    cx.timers.stop(Due::AdvertRetry(self.key));
                }
            }
            Err(e) => self.on_send_failed(e, cx),
        }
        if cx.grid.handled(cx.now.mono, self.cfg.advert_int, late) {
            cx.fx.note(text::too_slow());
        }
        self.look_at_lateness(late, cx);
        if self.seal.stepped(cx.now) {
            // The wall clock was set: the armed adverts are signed with the previous time.
            self.rearm_now(cx);
            return;
        }
        self.top_up(cx);
    }

    // Handled so late that a peer may have taken over meanwhile: the earliest one does Master_Down_Interval after the advert before this
    // one. What arrived is handled in this very turn, before any timer; if this router is still Master then, hosts must learn it again.
    fn look_at_lateness(&mut self, late: Duration, cx: &mut Cx<'_>) {
        if late >= self.cfg.advert_int * (self.cfg.down_timer_adverts - 1).max(1)
            && cx.timers.get(Due::Reannounce(self.key)).is_none()
        {
            cx.fx.note(text::was_late(&self.cfg.name, late));
            cx.timers.set(Due::Reannounce(self.key), cx.now.mono);
        }
    }

    /// An advert could not be sent: once more within the interval.
    pub fn on_send_failed(&mut self, e: Errno, cx: &mut Cx<'_>) {
        self.stats.send_failed += 1;
        if !self.is_master() {
            if core::mem::take(&mut self.farewell_open) {
                self.stats.pri_zero_sent = self.stats.pri_zero_sent.saturating_sub(1);
            }
            return;
        }
        self.failing += 1;
        if self.failing == 1 {
            cx.fx.note(text::send_failed(&self.cfg.name, e));
        }
        if cx.timers.get(Due::AdvertRetry(self.key)).is_none() {
            cx.timers.set(Due::AdvertRetry(self.key), cx.now.mono + (self.cfg.advert_int / 4).clamp(RETRY.0, RETRY.1));
        }
    }

    /// The priority-0 advert of `leave_master` could not be sent.
    pub fn on_farewell_failed(&mut self, e: Errno, cx: &mut Cx<'_>) {
        self.stats.send_failed += 1;
        self.stats.pri_zero_sent = self.stats.pri_zero_sent.saturating_sub(1);
        cx.fx.note(text::zero_not_sent(&self.cfg.name, e));
    }

    /// [`Due::AdvertRetry`]: sends an advert again that could not be sent.
    pub fn on_advert_retry(&mut self, cx: &mut Cx<'_>) {
        if self.is_master() && self.failing > 0 {
            self.advertise_between(cx);
        }
    }

    /// `Due::Reannounce`: still Master after a standstill: sends an advert and announces the addresses.
    pub fn on_reannounce(&mut self, cx: &mut Cx<'_>) {
        if self.is_master() {
            self.advertise_between(cx);
            self.announce_anew(self.cfg.garp.repeat, cx);
        }
    }

    // An advert beside the armed ones; if the next of them is near, they keep their distance from it.
    fn advertise_between(&mut self, cx: &mut Cx<'_>) {
        self.advertise_now(cx);
        let near = |at: &Instant| at.since(cx.now.mono) < self.cfg.advert_int / 2;
        if self.armed.iter().any(near) {
            self.rearm_now(cx);
        }
    }

    /// The kernel holds one of our addresses now.
    pub fn on_address_held(&mut self, ifindex: u32, addr: IpAddr, cx: &mut Cx<'_>) {
        if self.is_master() && self.is_heard(ifindex, cx.links) {
            let times = if self.brief { self.cfg.garp.repeat.min(1) } else { self.cfg.garp.repeat };
            let gap = self.gap(addr);
            cx.announcer.add(cx.now.mono, self.key, ifindex, addr, times, gap);
        }
    }

    /// Another process deleted one of our addresses; it is being added again. `told`: the loss is logged, with the interface and who did it; only
    /// the first of several in a row is.
    pub fn on_address_taken(&mut self, addr: IpAddr, prefix: u8, told: Option<(&str, Doer)>, cx: &mut Cx<'_>) {
        self.stats.restored += 1;
        if let Some((dev, by)) = told {
            cx.fx.note(text::address_taken(&self.cfg.name, addr, prefix, dev, by));
        }
    }

    /// The kernel deleted one of our addresses together with `first`, which we deleted; it is being added again.
    pub fn on_address_swept(&mut self, (addr, prefix): (IpAddr, u8), dev: &str, first: IpAddr, cx: &mut Cx<'_>) {
        cx.fx.note(text::address_swept(&self.cfg.name, addr, prefix, dev, first));
    }

    /// [`Due::GarpSecond`]: announces all addresses `garp_master_repeat` times again.
    pub fn on_garp_second(&mut self, cx: &mut Cx<'_>) {
        if self.is_master() {
            self.announce(self.cfg.garp.repeat, cx);
        }
    }

    /// [`Due::GarpLower`]: announces all addresses `garp_lower_prio_repeat` times, after an answer to a lower priority.
    pub fn on_garp_lower(&mut self, cx: &mut Cx<'_>) {
        if self.is_master() {
            self.announce(self.cfg.garp.lower_prio_repeat, cx);
        }
    }

    /// [`Due::GarpRefresh`]: announces all addresses `garp_master_refresh_repeat` times and sets the timer again.
    pub fn on_garp_refresh(&mut self, cx: &mut Cx<'_>) {
        if self.is_master() {
            self.announce(self.cfg.garp.refresh_repeat, cx);
            self.set_refresh(cx.now.mono, cx);
        }
    }

    /// `Due::GarpExtra`: one announcement from each interface that adverts do not leave from, so that switches keep its MAC address.
    pub fn on_garp_extra(&mut self, cx: &mut Cx<'_>) {
        let Some(extra) = self.cfg.more.garp_extra_if.filter(|_| self.is_master()) else { return };
        let adverts = self.advert_link(cx.links);
        let mut seen = BTreeSet::new();
        // One address is enough: what a switch looks at is the Ethernet header.
        for (ifindex, addr, _) in cx.addrs.held(self.key).filter(|id| self.is_heard(id.0, cx.links)) {
            let stale = extra.all || self.kept.contains(&ifindex);
            if stale && Some(ifindex) != adverts && seen.insert(ifindex) {
                cx.announcer.again(cx.now.mono, self.key, ifindex, addr, 1, self.gap(addr));
            }
        }
        self.set_extra(cx);
    }

    // The interface whose MAC address adverts leave from.
    fn advert_link(&self, links: &Links) -> Option<u32> {
        let name = match (self.cfg.own(), self.cfg.advert_mac()) {
            (Some((_, own)), Some(_)) => own,
            _ => &self.cfg.interface,
        };
        links.by_name(name).map(|l| l.ifindex)
    }

    /// [`Due::GarpLast`]: announces what the takeover left out, or what an answer to a rival postponed.
    pub fn on_garp_last(&mut self, cx: &mut Cx<'_>) {
        if !self.is_master() {
            return;
        }
        let open = cx.now.mono + self.announce_pause();
        if core::mem::take(&mut self.brief) {
            // What the takeover left out.
            self.takeover_open = open;
            self.announce(self.cfg.garp.repeat, cx);
        } else if self.cfg.garp.lower_prio_repeat > 0 {
            // In place of the postponed answer.
            if cx.now.mono >= self.announce_open {
                self.announce_open = open;
            }
            self.announce(1, cx);
        }
    }

    /// A hardware address changed (for instance a bond's new slave): hosts must learn the new one.
    pub fn on_new_mac(&mut self, cx: &mut Cx<'_>) {
        if self.is_master() {
            self.announce_anew(self.cfg.garp.repeat, cx);
        }
    }

    /// An interface of one of our addresses may exist now.
    pub fn on_interface(&mut self, cx: &mut Cx<'_>) {
        if self.is_master() {
            self.want_addresses(cx);
        }
    }

    pub(super) fn claim(&mut self, cx: &mut Cx<'_>) {
        cx.timers.stop(Due::MasterDown(self.key));
        cx.timers.stop(Due::PreemptDelay(self.key));
        self.follows();
        self.predecessor = self.master.take();
        self.master_interval = self.cfg.advert_int;
        self.failing = 0;
        self.answer_open = Instant::default();
        self.brief = cx.now.mono < self.takeover_open;
        if !self.brief {
            self.takeover_open = cx.now.mono + self.announce_pause();
            self.announce_open = Instant::default();
        }
        self.stats.become_master += 1;
        if core::mem::take(&mut self.parting) {
            self.disarm(None, cx);
        }
        // The advert first, so that the old Master deletes the addresses before our GARP. All longer work waits until this advert
        // and those of other virtual routers have left: preparing 500 addresses must not delay an advert (trap 66).
        self.advertise_now(cx);
        self.asked = 0;
        cx.announcer.asks(self.key, true);
        cx.timers.set(Due::ClaimMore(self.key), cx.now.mono);
        cx.timers.set(Due::Claim(self.key), cx.now.mono + PREPARED);
    }

    /// Whether the rest of a takeover may wait for the adverts of others: its own next advert must not be late because of it.
    pub fn claim_can_wait(&self, now: Instant) -> bool {
        now.since(self.last) < self.cfg.advert_int / 4
    }

    /// `Due::ClaimMore`: the first advert is sent; requests the addresses, some at a time. Each is announced when the kernel has
    /// confirmed it.
    pub fn on_claim_more(&mut self, cx: &mut Cx<'_>) {
        if !self.is_master() {
            return;
        }
        if self.asked == 0 {
            cx.vmacs.raise(self.key, true, cx.links);
            self.on_own_found_up(cx);
        }
        let all = self.cfg.vips.len() + self.cfg.excluded.len();
        if self.asked == 0 && self.all_stay(all, cx) {
            self.asked = all;
        }
        let chunk = if self.asked == 0 { CHUNK.0 } else { CHUNK.1 };
        self.want_some(self.asked, chunk, cx);
        self.asked = (self.asked + chunk).min(all);
        if self.asked < all {
            cx.timers.set(Due::ClaimMore(self.key), cx.now.mono + PREPARED);
        } else {
            cx.announcer.asks(self.key, false);
            self.wants_routes = true;
        }
    }

    /// `Due::Claim`: the first advert is sent, and the first addresses are requested; arms the following adverts.
    pub fn on_claim(&mut self, cx: &mut Cx<'_>) {
        if !self.is_master() {
            return;
        }
        let phase = cx.grid.join(self.cfg.advert_int, self.weight());
        self.phase = Some(phase);
        self.top_up(cx);
        if self.brief {
            cx.timers.set(Due::GarpLast(self.key), self.takeover_open);
        }
        self.set_second_burst(cx);
        self.set_refresh(cx.now.mono + self.cfg.garp.delay, cx);
        self.set_extra(cx);
        self.say_entered(cx);
    }

    pub(super) fn leave_master(&mut self, act: Act, heard: Option<&Heard>, cx: &mut Cx<'_>) {
        let farewell = (act != Act::Yield && self.sock_key().is_some()).then(|| self.build(0)).flatten();
        // R-092 (RFC 9568 §2.5): the previous Master was alive all the time; its adverts were queued or lost on the way.
        if let Some(h) = heard.filter(|h| self.predecessor == Some(h.src)) {
            let held = cx.now.mono.since(self.since.mono);
            if held < self.master_down_interval() {
                say(&mut self.limits.flapping, 1, cx, || text::flapping(&self.cfg.name, h.src, held));
            }
        }
        if act == Act::Yield && self.cfg.higher_prio_send_advert && heard.is_some() {
            self.send_now(cx);
        }
        self.farewell_open = farewell.is_some();
        if farewell.is_some() {
            // Subtracted again if the send fails.
            self.stats.pri_zero_sent += 1;
            cx.fx.note(text::sent_zero(&self.cfg.name));
        }
        let farewell = farewell.map(|packets| self.sealed_now(&packets, cx).0);
        self.disarm(farewell, cx);
        if self.farewell_open {
            self.part_after_inherited(cx);
        }
        if let Some(phase) = self.phase.take() {
            cx.grid.leave(phase);
        }
        self.stats.release_master += 1;
        self.quit(cx);
    }

    pub(super) fn quit(&mut self, cx: &mut Cx<'_>) {
        cx.timers.stop_all(self.key);
        cx.announcer.cancel(self.key);
        self.let_addresses_go(cx);
        self.wants_routes = false;
        self.master = None;
        self.preempt_delay_over = false;
    }

    pub(super) fn answer(&mut self, heard: Option<&Heard>, cx: &mut Cx<'_>) {
        let Some(h) = heard else { return };
        let now = cx.now.mono;
        let advert = !self.cfg.lower_prio_no_advert;
        let ours = self.priority;
        say(&mut self.limits.lower, 1, cx, || match h.priority == ours {
            true => text::equal_less(&self.cfg.name, h.src, h.priority),
            false => text::lower(&self.cfg.name, h.src, h.priority, ours, advert),
        });
        if now < self.answer_open {
            return;
        }
        if advert {
            self.answer_now(cx);
        } else {
            self.answer_open = now + ANSWER_PAUSE;
        }
        self.tell_lower(h, cx);
        // Hosts may have learned the other router's address.
        if now < self.announce_open {
            if cx.timers.get(Due::GarpLast(self.key)).is_none() {
                cx.timers.set(Due::GarpLast(self.key), self.announce_open);
            }
            return;
        }
        self.announce_open = now + self.announce_pause();
        let (times, delay) = (self.cfg.garp.lower_prio_repeat, self.cfg.garp.lower_prio_delay);
        if times > 0 {
            self.announce(times, cx);
            if !delay.is_zero() {
                cx.timers.set(Due::GarpLower(self.key), now + delay);
            }
            // Two routers that become Master together announce together, and the loser's announcements may arrive after ours.
            cx.timers.set(Due::GarpLast(self.key), now + self.cfg.advert_int.min(LAST_WORD));
        }
    }

    fn announce_pause(&self) -> Duration {
        self.cfg.advert_int.max(ANNOUNCE_PAUSE)
    }

    // Each run costs a process, and any host on the link can cause one with every packet.
    fn tell_lower(&mut self, h: &Heard, cx: &mut Cx<'_>) {
        if cx.now.mono < self.lower_told {
            self.lower_untold += 1;
            return;
        }
        self.lower_told = cx.now.mono + self.cfg.advert_int.max(TELL_LOWER);
        let more = match core::mem::take(&mut self.lower_untold) {
            0 => String::new(),
            n => format!("; {n} more such adverts since the last call"),
        };
        let sign = if h.priority < self.priority { "<" } else { "=" };
        self.tell(
            What::RxLowerPri,
            format!("{} has priority {} {sign} {}{more}", h.src, h.priority, self.priority),
            cx,
        );
    }

    pub(super) fn answer_now(&mut self, cx: &mut Cx<'_>) {
        if cx.now.mono >= self.answer_open {
            self.answer_open = cx.now.mono + ANSWER_PAUSE;
            self.send_now(cx);
        }
    }

    pub(super) fn set_second_burst(&mut self, cx: &mut Cx<'_>) {
        if !self.cfg.garp.delay.is_zero() {
            cx.timers.set(Due::GarpSecond(self.key), cx.now.mono + self.cfg.garp.delay);
        }
    }

    pub(super) fn set_extra(&mut self, cx: &mut Cx<'_>) {
        if let Some(extra) = self.cfg.more.garp_extra_if.filter(|extra| !extra.every.is_zero()) {
            cx.timers.set(Due::GarpExtra(self.key), cx.now.mono + extra.every);
        }
    }

    pub(super) fn set_refresh(&mut self, from: Instant, cx: &mut Cx<'_>) {
        if !self.cfg.garp.refresh.is_zero() {
            cx.timers.set(Due::GarpRefresh(self.key), from + self.cfg.garp.refresh);
        }
    }

    /// Announces all its addresses as if each had just been added.
    pub(super) fn announce_anew(&mut self, times: u32, cx: &mut Cx<'_>) {
        for (ifindex, addr, _) in cx.addrs.held(self.key).filter(|id| self.is_heard(id.0, cx.links)) {
            cx.announcer.add(cx.now.mono, self.key, ifindex, addr, times, self.gap(addr));
        }
        self.announce(times, cx);
    }

    pub(super) fn announce(&mut self, times: u32, cx: &mut Cx<'_>) {
        let mut n = 0;
        for (ifindex, addr, _) in cx.addrs.held(self.key).filter(|id| self.is_heard(id.0, cx.links)) {
            cx.announcer.again(cx.now.mono, self.key, ifindex, addr, times, self.gap(addr));
            n += 1;
        }
        // A rival that does not yield is answered at each of its adverts.
        if n > 0 && self.limits.announcing.pass(cx.now.mono).is_some() {
            cx.fx.note(text::announcing(&self.cfg.name, n, times));
        }
    }

    pub(super) fn gap(&self, addr: IpAddr) -> Duration {
        if addr.is_ipv4() { self.cfg.garp.garp_interval } else { self.cfg.garp.gna_interval }
    }

    pub(super) fn want_addresses(&mut self, cx: &mut Cx<'_>) {
        self.want_some(0, usize::MAX, cx);
    }

    // Requests `count` of its addresses, from index `from` on.
    fn want_some(&mut self, from: usize, count: usize, cx: &mut Cx<'_>) {
        let owner = self.owner();
        // Those of an own interface that is not ready yet are put there when it is.
        let some = self.vips().skip(from).take(count).filter(|v| self.takes(v, cx));
        let specs: Vec<AddrSpec> = some.filter_map(|v| self.spec(v, cx.links)).collect();
        for spec in specs {
            let (ifindex, addr) = (spec.ifindex, spec.addr);
            // Requested again after an interface came back: an address that is held was announced already.
            let known = cx.addrs.is_wanted((ifindex, addr, spec.prefix));
            match cx.addrs.want(self.key, spec, owner, cx.links) {
                Some(_) if known => {}
                Some((ifindex, addr, _)) => self.on_address_held(ifindex, addr, cx),
                None if known => {}
                None => cx.announcer.expect(cx.now.mono, self.key, ifindex, addr),
            }
        }
    }

    /// The addresses that this virtual router would hold, on the existing interfaces.
    pub fn specs<'a>(&'a self, links: &'a Links) -> impl Iterator<Item = AddrSpec> + 'a {
        self.vips().filter_map(|v| self.spec(v, links))
    }

    pub(super) fn spec(&self, v: &Vip, links: &Links) -> Option<AddrSpec> {
        let own = self.on_own(v);
        let ifindex = self.link_of(v, links)?.ifindex;
        Some(AddrSpec {
            ifindex,
            addr: v.addr,
            prefix: v.prefix,
            brd: v.brd,
            scope: v.scope,
            label: v.label.clone(),
            deprecated: v.deprecated,
            noprefixroute: v.noprefixroute,
            flags: v.flags(),
            peer: v.peer,
            tag: ADDR_PROTO,
            metric: if own { METRIC } else { 0 },
        })
    }

    /// All its addresses, advertised and excluded.
    pub fn vips(&self) -> impl Iterator<Item = &Vip> {
        self.cfg.vips.iter().chain(&self.cfg.excluded)
    }

    // ---- adverts ----

    pub(super) fn top_up(&mut self, cx: &mut Cx<'_>) {
        let (Some(phase), Some(sock), Some(packets)) = (self.phase, self.sock_key(), self.packets()) else { return };
        let depth = timing::depth(self.cfg.advert_int);
        while self.armed.len() < depth {
            // From the last armed one: no drift. After a standstill from now: one advert, not a burst.
            let at = cx.grid.next(phase, self.armed.back().copied().unwrap_or(self.last), cx.now.mono);
            // Reached only where another process has armed as many: the number of armed adverts does not grow from hand-over to
            // hand-over.
            if at > cx.now.mono + self.cfg.advert_int * (depth as u32 + 1) {
                break;
            }
            self.armed.push_back(at);
            let packets = self.sealed_for(at, &packets, cx);
            cx.fx.push(Effect::Advert(AdvertFx::At { vr: self.key, sock, epoch: self.epoch, at, packets }));
        }
    }

    pub(super) fn arm_at(&mut self, at: Instant, cx: &mut Cx<'_>) {
        if let (Some(sock), Some(packets)) = (self.sock_key(), self.packets()) {
            self.armed.push_back(at);
            let packets = self.sealed_for(at, &packets, cx);
            cx.fx.push(Effect::Advert(AdvertFx::At { vr: self.key, sock, epoch: self.epoch, at, packets }));
        }
    }

    // Signed, if the configuration requires it, with the time at which the advert leaves.
    pub(super) fn sealed_for(&mut self, at: Instant, packets: &Packets, cx: &Cx<'_>) -> Packets {
        match self.source {
            Some(source) => self.seal.arm(&self.cfg, source, packets, at, cx.now),
            None => packets.clone(),
        }
    }

    // The same for an advert that leaves now; returns whether armed ones must be signed anew.
    fn sealed_now(&mut self, packets: &Packets, cx: &Cx<'_>) -> (Packets, bool) {
        match self.source {
            Some(source) => self.seal.send(&self.cfg, source, packets, cx.now),
            None => (packets.clone(), false),
        }
    }

    /// The armed adverts are out of date.
    pub(super) fn rearm(&mut self, cx: &mut Cx<'_>) {
        // An advert that is due at this moment may leave before it is cancelled; the one that replaces it would leave as well.
        match self.armed.iter().find(|at| **at > cx.now.mono) {
            Some(next) if next.since(cx.now.mono) < IMMINENT => {
                cx.timers.set(Due::Rearm(self.key), *next + Duration::from_nanos(1));
            }
            _ => self.rearm_now(cx),
        }
    }

    /// [`Due::Rearm`]: replaces the armed adverts now that the one about to leave has left.
    pub fn on_rearm(&mut self, cx: &mut Cx<'_>) {
        if self.is_master() {
            self.rearm_now(cx);
        }
    }

    pub(super) fn rearm_now(&mut self, cx: &mut Cx<'_>) {
        if self.phase.is_none() {
            return; // nothing is armed yet
        }
        self.note_last(cx);
        cx.timers.stop(Due::Rearm(self.key));
        self.disarm(None, cx);
        self.top_up(cx);
    }

    // The advert that was due has left, although its completion was not handled yet.
    pub(super) fn note_last(&mut self, cx: &Cx<'_>) {
        if let Some(due) = self.armed.iter().rev().find(|at| **at <= cx.now.mono) {
            self.last = self.last.max(*due);
        }
    }

    pub(super) fn disarm(&mut self, farewell: Option<Packets>, cx: &mut Cx<'_>) {
        self.armed.clear();
        self.seal.disarm(cx.now.mono + IMMINENT);
        self.epoch = self.epoch.wrapping_add(1);
        if let Some(sock) = self.sock_key() {
            cx.fx.push(Effect::Advert(AdvertFx::Stop { vr: self.key, sock, farewell }));
        }
    }

    pub(super) fn send_now(&mut self, cx: &mut Cx<'_>) {
        if let (Some(sock), Some(packets)) = (self.sock_key(), self.packets()) {
            self.stats.advert_sent += 1;
            let (packets, overtaken) = self.sealed_now(&packets, cx);
            cx.fx.push(Effect::Advert(AdvertFx::Send { vr: self.key, sock, packets }));
            if overtaken {
                self.rearm_now(cx);
            }
        }
    }

    /// An advert that is no answer: the next one keeps its distance from it.
    pub(super) fn advertise_now(&mut self, cx: &mut Cx<'_>) {
        self.last = cx.now.mono;
        self.send_now(cx);
    }

    pub(super) fn sock_key(&self) -> Option<SockKey> {
        match self.sock {
            SockState::Ready(k) | SockState::Opening(k) => Some(k),
            SockState::None | SockState::Failed(_) => None,
        }
    }

    pub(super) fn packets(&mut self) -> Option<Packets> {
        if self.packets.is_none() {
            self.packets = self.build(self.priority);
        }
        self.packets.clone()
    }
}
