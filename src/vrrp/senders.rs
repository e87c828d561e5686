//! The senders of adverts with a VRID, and whether there is a second Master among them.
//!
//! Only a Master sends adverts. So a router that sends while this one is Master, or beside the Master that this one follows, is a second
//! Master: both answer for the same addresses. Refused adverts count here, because two routers that refuse each other's adverts both
//! become Master. Pure. Read first: `advert.rs` (the reasons of a refusal); `instance/rival.rs` has the reaction.
//!
//! An attacker can send from any address: the table has [`MOST`] entries, and a packet costs a read of each. Entries of routers whose
//! adverts were never accepted are replaced first, so that forged packets replace no router whose adverts are accepted.

use super::advert::{Glimpse, Reject};
use crate::time::{Duration, Instant, Now};
use core::net::IpAddr;

/// Senders stored for each virtual router. Two at a time are a fault, and a VRRP group has rarely more than four routers: there is room
/// for a whole group, and for some unknown senders.
pub const MOST: usize = 16;
/// Adverts in a row before a sender is taken for a Master. One that yields sends one more, or two where packets cross.
const ROW: u32 = 3;
/// A sender's interval counts at most as this multiple of our own: it is not verified, and it determines how long a condition lasts.
const PACE: u32 = 3;

/// A sender of adverts.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sender {
    /// The source of its adverts.
    pub addr: IpAddr,
    /// When the first advert of this sender arrived.
    pub first: Now,
    /// When the last advert arrived.
    pub last: Now,
    /// The content of the last one; `None`: it could not be read.
    pub says: Option<Glimpse>,
    /// Adverts that were accepted.
    pub accepted: u64,
    /// Adverts that were refused.
    pub refused: u64,
    /// The last one that was accepted.
    pub last_accepted: Option<Now>,
    /// The last one that was refused.
    pub last_refused: Option<(Now, Reject)>,
    // The number of adverts in a row, when the row began, and when it was long enough.
    row: u32,
    began: Instant,
    enough: Instant,
}

impl Sender {
    /// The reason, if the last one was refused.
    pub fn refusal(&self) -> Option<Reject> {
        self.last_refused.filter(|(at, _)| self.last_accepted.is_none_or(|ok| ok.mono < at.mono)).map(|(_, why)| why)
    }
}

/// The state of this router.
#[derive(Clone, Copy, Debug)]
pub struct Own {
    /// Whether it is Master or Backup; otherwise there is no second Master.
    pub active: bool,
    /// Whether it is Master; otherwise it follows one.
    pub master: bool,
    /// Its own advertisement interval.
    pub interval: Duration,
    /// Intervals without an advert after which a Master counts as gone.
    pub adverts: u32,
}

/// The condition DUAL_MASTER: a second Master, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Dual {
    /// The other router: beside this one, or beside the Master that this one follows.
    pub with: IpAddr,
    /// When the second Master was first detected.
    pub since: Now,
    /// The condition ends at this time, unless a further advert is received.
    pub until: Instant,
}

/// The table of senders of one virtual router, at most [`MOST`], and the present [`Dual`], if there is one.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Senders {
    all: Vec<Sender>,
    dropped: u64,
    dual: Option<Dual>,
}

impl Senders {
    /// Every known sender, in no order.
    pub fn all(&self) -> &[Sender] {
        &self.all
    }
    /// The sender with this address.
    pub fn get(&self, addr: IpAddr) -> Option<&Sender> {
        self.all.iter().find(|s| s.addr == addr)
    }
    /// The number of senders that were dropped because there were more.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
    /// The present second Master; `None`: there is none.
    pub fn dual(&self) -> Option<Dual> {
        self.dual
    }

    /// An advert was received. Returns whether it is the first one that shows a second Master.
    pub fn on_advert(
        &mut self,
        now: Now,
        from: IpAddr,
        says: Option<Glimpse>,
        refused: Option<Reject>,
        own: Own,
    ) -> bool {
        let at = self.entry(now, from);
        let Some(s) = self.all.get_mut(at) else { return false };
        let silent = now.mono.since(s.last.mono) > window(s, own);
        let before = s.last.mono;
        (s.last, s.says) = (now, says);
        match refused {
            None => (s.accepted, s.last_accepted) = (s.accepted + 1, Some(now)),
            Some(why) => (s.refused, s.last_refused) = (s.refused + 1, Some((now, why))),
        }
        // A sender with priority 0 resigns; an advert that cannot be read shows no Master.
        let claims = own.active && says.is_some_and(|g| g.priority > 0) && refused != Some(Reject::OwnPacket);
        s.row = if !claims {
            0
        } else if silent {
            1
        } else {
            s.row.saturating_add(1)
        };
        if s.row == 1 {
            s.began = now.mono;
        } else if s.row == ROW {
            s.enough = now.mono;
        }
        if s.row < ROW {
            if !claims && self.dual.is_some_and(|d| d.with == from) {
                self.dual = None;
            }
            return false;
        }
        let until = now.mono + window(s, own);
        if let Some(d) = &mut self.dual {
            if d.with == from {
                d.until = until;
            }
            return false;
        }
        let (began, enough) = (s.began, s.enough);
        let second = match own.master {
            // The other router had the time to receive our adverts.
            true => now.mono.since(began) >= own.interval,
            // Another router continues to send: since both had sent enough, this one did, then the other one, and now this one again. A
            // Master that is preempted does not.
            false => self.all.iter().any(|o| {
                o.addr != from
                    && o.row >= ROW
                    && before >= enough.max(o.enough)
                    && o.last.mono > before
                    && now.mono.since(o.last.mono) <= window(o, own)
            }),
        };
        if second {
            self.dual = Some(Dual { with: from, since: now, until });
        }
        second
    }

    /// The state changed: earlier adverts have no meaning for the new state. Returns the second Master until now.
    pub fn on_state(&mut self) -> Option<Dual> {
        self.all.iter_mut().for_each(|s| s.row = 0);
        self.dual.take()
    }

    /// Returns the second Master if no advert of it was received for long enough.
    pub fn take_gone(&mut self, now: Instant) -> Option<Dual> {
        self.dual.take_if(|d| d.until <= now)
    }

    // The index of a sender, which is added if necessary: in place of one that was never accepted, and of those the one heard least
    // recently.
    fn entry(&mut self, now: Now, addr: IpAddr) -> usize {
        if let Some(at) = self.all.iter().position(|s| s.addr == addr) {
            return at;
        }
        let new = Sender {
            addr,
            first: now,
            last: now,
            says: None,
            accepted: 0,
            refused: 0,
            last_accepted: None,
            last_refused: None,
            row: 0,
            began: now.mono,
            enough: now.mono,
        };
        if self.all.len() < MOST {
            self.all.push(new);
            return self.all.len() - 1;
        }
        self.dropped += 1;
        let key = |s: &Sender| (s.accepted > 0, s.last.mono);
        let at = self.all.iter().enumerate().min_by_key(|(_, s)| key(s)).map_or(0, |(at, _)| at);
        if let Some(old) = self.all.get_mut(at) {
            *old = new;
        }
        at
    }
}

// The time without an advert after which a sender does not count as a Master any more.
fn window(s: &Sender, own: Own) -> Duration {
    let theirs = s.says.map_or(own.interval, |g| g.interval);
    theirs.clamp(own.interval, own.interval * PACE) * (own.adverts + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Wall;

    const S: Duration = Duration::from_secs(1);
    const MASTER: Own = Own { active: true, master: true, interval: S, adverts: 3 };
    const BACKUP: Own = Own { master: false, ..MASTER };

    fn at(ms: u64) -> Now {
        Now { mono: Instant(ms * 1_000_000), wall: Wall(ms * 1_000_000) }
    }
    fn from(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }
    fn says(priority: u8) -> Option<Glimpse> {
        Some(Glimpse { version: 3, priority, interval: S, no_vips: false })
    }

    #[test]
    fn a_second_master_is_one_that_goes_on() {
        let mut t = Senders::default();
        assert!(!t.on_advert(at(0), from(1), says(100), None, MASTER));
        assert!(!t.on_advert(at(1000), from(1), says(100), None, MASTER));
        assert!(t.on_advert(at(2000), from(1), says(100), Some(Reject::AuthType), MASTER), "refused or not");
        assert!(!t.on_advert(at(3000), from(1), says(100), None, MASTER), "once");
        assert_eq!(t.take_gone(at(6900).mono), None);
        assert_eq!(t.take_gone(at(7000).mono).map(|d| (d.with, d.since)), Some((from(1), at(2000))));
        // A sender that was silent begins anew, and so does one that resigns.
        for (ms, priority) in [(20_000, 100), (21_000, 100), (22_000, 0), (22_001, 100), (23_000, 100)] {
            assert!(!t.on_advert(at(ms), from(1), says(priority), None, MASTER));
        }
        assert!(t.on_advert(at(24_000), from(1), says(100), None, MASTER));
        assert_eq!(t.on_state().map(|d| d.with), Some(from(1)));
    }

    #[test]
    fn three_packets_at_once_are_no_master() {
        let mut t = Senders::default();
        for ms in [0, 1, 2, 3, 999] {
            assert!(!t.on_advert(at(ms), from(1), says(100), None, MASTER), "it had no time to hear us");
        }
        assert!(t.on_advert(at(1000), from(1), says(100), None, MASTER));
    }

    #[test]
    fn a_backup_tells_two_masters_from_one_that_follows_another() {
        let mut t = Senders::default();
        // One takes over from the other: in time, and with one packet that crosses.
        for (ms, who) in
            [(0, 1), (1000, 1), (2000, 1), (3000, 1), (3001, 2), (3500, 1), (4001, 2), (5001, 2), (6001, 2)]
        {
            assert!(!t.on_advert(at(ms), from(who), says(100), None, BACKUP), "{ms}");
        }
        // The first continues after all: both are Master, as soon as it has sent enough.
        assert!(!t.on_advert(at(6500), from(1), says(100), None, BACKUP));
        assert!(t.on_advert(at(7001), from(2), says(100), None, BACKUP), "it sends after the other had sent enough");
        assert_eq!(t.dual().map(|d| d.with), Some(from(2)));
    }

    #[test]
    fn whoever_sends_from_everywhere_grows_nothing_and_pushes_nobody_out() {
        let mut t = Senders::default();
        t.on_advert(at(0), from(1), says(100), None, BACKUP);
        for n in 0..100_000 {
            assert!(!t.on_advert(at(1 + u64::from(n)), from(1000 + n), says(255), Some(Reject::Ttl), BACKUP));
        }
        assert_eq!((t.all().len(), t.dropped()), (MOST, 100_000 - MOST as u64 + 1));
        assert!(t.all.capacity() <= 2 * MOST);
        assert_eq!(t.get(from(1)).map(|s| (s.accepted, s.refused)), Some((1, 0)), "its adverts counted");
        assert_eq!(t.dual(), None);
    }

    #[test]
    fn an_interval_is_a_claim() {
        let mut t = Senders::default();
        let long = Some(Glimpse { version: 2, priority: 100, interval: S * 255, no_vips: false });
        for ms in [0, 1000, 2000] {
            t.on_advert(at(ms), from(1), long, Some(Reject::Version), MASTER);
        }
        assert_eq!(t.dual().map(|d| d.until), Some(at(2000 + 4 * 3000).mono));
    }
}
