//! `lvs_sync_daemon`: the kernel's threads that send connections to other directors (master) and receive theirs (backup).
//!
//! Read first: `director.rs`. With an instance the thread follows its state, else both run. The kernel keeps the threads when a process
//! ends, so their state is unknown at a start: one that is wanted is started again with the settings of the file, the other one is
//! stopped. Later they are read with the table, and one that another program changed is put right. Without `lvs_sync_daemon` the threads are left alone. One request is under way at a time, stops before starts.

use super::text;
use crate::config::model::global::LvsSync;
use crate::config::model::{Config, InstanceConfig};
use crate::effect::{Effect, Effects, LvsFx, LvsOp};
use crate::event::{Errno, ReqId};
use crate::note::Note;
use crate::time::{Duration, Instant};
use crate::wire::netlink::ipvs::SyncDaemon;

/// Time before a refused request is repeated.
const AGAIN: Duration = Duration::from_secs(30);

/// What is known of a thread.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
enum Thread {
    #[default]
    Unknown,
    Stopped,
    Runs(SyncDaemon),
    // With settings that are not known.
    Foreign,
}

/// The wanted and the known state of the two synchronisation threads, and the request under way.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Sync {
    cfg: Option<LvsSync>,
    master: bool,
    // Master, backup.
    threads: [Thread; 2],
    // The thread that a request is under way for, and with what it is started; `None`: it is stopped.
    asked: Option<(usize, Option<SyncDaemon>)>,
    // When a refused request is repeated.
    again: Option<Instant>,
    complained: bool,
    stopping: bool,
    // The threads are being read.
    #[serde(default)]
    read: Option<Read>,
    #[serde(default)]
    restored: u64,
}

/// What was found of them so far.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Read {
    // Master, backup.
    found: [Option<SyncDaemon>; 2],
    // A request of this process was under way meanwhile, which is newer.
    stale: bool,
}

/// Whether a configuration has it in either form.
pub fn is_configured(config: &Config) -> bool {
    config.global.more.lvs_sync_daemon.is_some()
        || config.instances.iter().any(|i| i.more.lvs_sync_daemon_interface.is_some())
}

/// `lvs_sync_daemon`, or what `lvs_sync_daemon_interface` of an instance says in its place; with the number that the instance gives it.
pub fn configured(config: &Config, instances: &[&InstanceConfig]) -> Option<LvsSync> {
    let old = || {
        instances.iter().find_map(|i| {
            let interface = i.more.lvs_sync_daemon_interface.clone()?;
            Some(LvsSync { interface, instance: Some(i.name.as_str().into()), ..LvsSync::default() })
        })
    };
    let mut sync = config.global.more.lvs_sync_daemon.clone().or_else(old)?;
    if sync.id.is_none()
        && let Some(name) = &sync.instance
    {
        sync.id = instances.iter().find(|i| i.name == **name).map(|i| i.vrid);
    }
    Some(sync)
}

impl Sync {
    /// Takes another configuration; `None`: without `lvs_sync_daemon`. The threads are put right later.
    pub fn set(&mut self, cfg: Option<LvsSync>) {
        if self.cfg != cfg {
            (self.cfg, self.again) = (cfg, None);
        }
    }
    /// Whether there is one in the configuration.
    pub fn is_wanted(&self) -> bool {
        self.cfg.is_some() && !self.stopping
    }
    /// How often a thread was found stopped, or as another program started it.
    pub fn restored(&self) -> u64 {
        self.restored
    }
    /// The instance that it follows.
    pub fn follows(&self) -> Option<&str> {
        self.cfg.as_ref()?.instance.as_deref()
    }
    /// That one is Master, or is not.
    pub fn on_role(&mut self, master: bool) {
        if self.master != master {
            (self.master, self.again) = (master, None);
        }
    }
    /// The process ends: they are stopped, where they were started here.
    pub fn stop(&mut self) {
        self.stopping = true;
        self.again = None;
    }
    /// Whether no request is under way, and at the end no thread runs that was started here.
    pub fn idle(&self) -> bool {
        let runs = |t: &Thread| matches!(t, Thread::Runs(_));
        self.asked.is_none() && (!self.stopping || self.again.is_some() || !self.threads.iter().any(runs))
    }
    /// When a refused request is repeated.
    pub fn next_due(&self) -> Option<Instant> {
        self.again
    }

    /// The threads are dumped from now on.
    pub fn begin_read(&mut self) {
        self.read = Some(Read { stale: self.asked.is_some(), ..Read::default() });
    }
    /// The dump has this one.
    pub fn on_found(&mut self, daemon: SyncDaemon) {
        if let Some(read) = &mut self.read {
            let n = usize::from(!daemon.master);
            read.found[n] = Some(daemon);
        }
    }
    /// The dump has ended.
    pub fn on_synced(&mut self, complete: bool) -> Vec<Note> {
        let read = self.read.take().filter(|read| complete && !read.stale && self.is_wanted());
        let Some(Read { found, .. }) = read else { return Vec::new() };
        let mut notes = Vec::new();
        for (n, (thread, found)) in self.threads.iter_mut().zip(found).enumerate() {
            *thread = match (&*thread, &found) {
                (Thread::Runs(is), Some(found)) if is_as(found, is) => continue,
                (Thread::Stopped, None) | (Thread::Unknown | Thread::Foreign, _) => continue,
                (Thread::Runs(_), None) => Thread::Stopped,
                (Thread::Runs(_) | Thread::Stopped, Some(_)) => Thread::Foreign,
            };
            self.again = None;
            self.restored += 1;
            notes.push(text::sync_changed(n == 0, found.is_some()));
        }
        notes
    }

    fn wanted(&self, n: usize) -> Option<SyncDaemon> {
        let cfg = self.cfg.as_ref().filter(|_| !self.stopping)?;
        if cfg.instance.is_some() && (n == 0) != self.master {
            return None;
        }
        Some(SyncDaemon { master: n == 0, ..daemon(cfg) })
    }

    /// Asks for the next step.
    pub fn pump(&mut self, now: Instant, req: ReqId, fx: &mut Effects) {
        if self.asked.is_some() || self.again.is_some_and(|at| at > now) {
            return;
        }
        self.again = None;
        let of_ours = self.cfg.is_some();
        let stops = |t: &Thread, wanted: &Option<SyncDaemon>| match t {
            Thread::Runs(is) => wanted.as_ref() != Some(is),
            Thread::Unknown => of_ours && wanted.is_none(),
            Thread::Foreign => of_ours,
            Thread::Stopped => false,
        };
        let wanted = [self.wanted(0), self.wanted(1)];
        let step = (0..2)
            .find(|n| stops(&self.threads[*n], &wanted[*n]) && !self.stopping_unknown(*n))
            .map(|n| (n, None))
            .or_else(|| {
                let starts = |n: &usize| matches!(self.threads[*n], Thread::Stopped | Thread::Unknown);
                (0..2).filter(starts).find_map(|n| wanted[n].clone().map(|d| (n, Some(d))))
            });
        let Some((n, start)) = step else { return };
        let stop = || SyncDaemon { master: n == 0, ..SyncDaemon::default() };
        let op = LvsOp::Sync(start.is_some(), Box::new(start.clone().unwrap_or_else(stop)));
        self.asked = Some((n, start));
        if let Some(read) = &mut self.read {
            read.stale = true;
        }
        fx.push(Effect::Lvs(LvsFx::Change { req, op }));
    }

    // At the end, a thread that was never requested stays as it is.
    fn stopping_unknown(&self, n: usize) -> bool {
        self.stopping && matches!(self.threads[n], Thread::Unknown | Thread::Foreign)
    }

    /// The kernel answered.
    pub fn on_reply(&mut self, now: Instant, result: Result<(), Errno>) -> Option<Note> {
        let (n, start) = self.asked.take()?;
        self.threads[n] = match (start, result) {
            (Some(daemon), Ok(())) => {
                self.complained = false;
                Thread::Runs(daemon)
            }
            (Some(_), Err(Errno::EEXIST)) => Thread::Foreign,
            (None, Ok(()) | Err(Errno::ESRCH | Errno::ENOENT)) => Thread::Stopped,
            (start, Err(errno)) => {
                self.again = Some(now + AGAIN);
                let new = !core::mem::replace(&mut self.complained, true);
                let interface = self.cfg.as_ref().map_or("", |c| &c.interface);
                return new.then(|| text::no_sync(start.is_some(), interface, errno));
            }
        };
        None
    }
}

// Whether the kernel has it as it was started. Where the file says nothing, the kernel decided; the thread that receives takes no shorter
// messages than 1024 bytes.
fn is_as(found: &SyncDaemon, wanted: &SyncDaemon) -> bool {
    let least = if wanted.master { 0 } else { 1024 };
    found.interface == wanted.interface
        && found.id == wanted.id
        && (wanted.max_len == 0 || found.max_len == wanted.max_len.max(least))
        && (wanted.port == 0 || found.port == wanted.port)
        && (wanted.ttl == 0 || found.ttl == wanted.ttl)
        && (wanted.group.is_none() || found.group == wanted.group)
}

fn daemon(cfg: &LvsSync) -> SyncDaemon {
    SyncDaemon {
        master: false,
        interface: cfg.interface.to_string(),
        id: cfg.id.unwrap_or(0),
        max_len: cfg.maxlen.unwrap_or(0),
        group: cfg.group,
        port: cfg.port.unwrap_or(0),
        ttl: cfg.ttl.unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQ: ReqId = ReqId(7);

    fn sync(instance: Option<&str>) -> Sync {
        let mut s = Sync::default();
        s.set(Some(LvsSync {
            interface: "eth1".into(),
            instance: instance.map(Into::into),
            id: Some(51),
            ..LvsSync::default()
        }));
        s
    }

    // All requests until none follows, each with this answer; `+`: started, `-`: stopped.
    fn asks(s: &mut Sync, mut answer: impl FnMut(&str) -> Result<(), Errno>) -> Vec<String> {
        let mut all = Vec::new();
        for _ in 0..10 {
            let mut fx = Effects::default();
            s.pump(Instant::default(), REQ, &mut fx);
            let Some(Effect::Lvs(LvsFx::Change { op: LvsOp::Sync(start, d), .. })) = fx.drain().next() else {
                return all;
            };
            let role = if d.master { "master" } else { "backup" };
            let words = if start { format!("+{role} {} {}", d.interface, d.id) } else { format!("-{role}") };
            s.on_reply(Instant::default(), answer(&words));
            all.push(words);
        }
        panic!("it never rests: {all:?}");
    }

    #[test]
    fn it_follows_its_instance_and_what_is_to_stop_stops_first() {
        let mut s = sync(Some("VI_1"));
        assert_eq!(
            asks(&mut s, |w| if w == "-master" { Err(Errno::ESRCH) } else { Ok(()) }),
            ["-master", "+backup eth1 51"]
        );
        s.on_role(true);
        assert_eq!(asks(&mut s, |_| Ok(())), ["-backup", "+master eth1 51"]);
        assert_eq!(asks(&mut s, |_| Ok(())), Vec::<String>::new());
        s.on_role(false);
        assert_eq!(asks(&mut s, |_| Ok(())), ["-master", "+backup eth1 51"]);
        s.stop();
        assert!(!s.idle());
        assert_eq!(asks(&mut s, |_| Ok(())), ["-backup"]);
        assert!(s.idle());
    }

    #[test]
    fn without_an_instance_both_run_and_one_that_was_there_is_started_again() {
        let mut s = sync(None);
        let mut there = true;
        let answer = |w: &str| match w {
            "+master eth1 51" if core::mem::replace(&mut there, false) => Err(Errno::EEXIST),
            _ => Ok(()),
        };
        assert_eq!(asks(&mut s, answer), ["+master eth1 51", "-master", "+master eth1 51", "+backup eth1 51"]);
        s.set(None);
        assert_eq!(asks(&mut s, |_| Ok(())), ["-master", "-backup"], "the file has it no longer");
    }

    // What a dump finds; the lines that follow.
    fn reads(s: &mut Sync, found: &[SyncDaemon]) -> usize {
        s.begin_read();
        found.iter().for_each(|d| s.on_found(d.clone()));
        s.on_synced(true).len()
    }
    // As the kernel has it: with the values that it chose.
    fn runs(master: bool, interface: &str, id: u8) -> SyncDaemon {
        let group = Some([224, 0, 0, 81].into());
        SyncDaemon { master, interface: interface.into(), id, max_len: 1472, group, port: 8848, ttl: 1 }
    }

    #[test]
    fn what_another_program_does_to_the_threads_is_put_right() {
        let mut s = sync(Some("VI_1"));
        s.on_role(true);
        asks(&mut s, |_| Ok(()));
        assert_eq!(reads(&mut s, &[runs(true, "eth1", 51)]), 0);
        assert_eq!(asks(&mut s, |_| Ok(())), Vec::<String>::new());
        // `ipvsadm --stop-daemon master`
        assert_eq!((reads(&mut s, &[]), s.restored()), (1, 1));
        assert_eq!(asks(&mut s, |_| Ok(())), ["+master eth1 51"]);
        // Another interface, another number, and the other role.
        for other in [runs(true, "lo", 51), runs(true, "eth1", 3)] {
            assert_eq!(reads(&mut s, &[other]), 1);
            assert_eq!(asks(&mut s, |_| Ok(())), ["-master", "+master eth1 51"]);
        }
        assert_eq!(reads(&mut s, &[runs(true, "eth1", 51), runs(false, "lo", 3)]), 1);
        assert_eq!((asks(&mut s, |_| Ok(())), s.restored()), (vec!["-backup".to_owned()], 4));
        // An incomplete dump, and one that a request overtook.
        s.begin_read();
        assert!(s.on_synced(false).is_empty());
        s.begin_read();
        s.on_role(false);
        asks(&mut s, |_| Ok(()));
        s.on_found(runs(true, "eth1", 51));
        assert!(s.on_synced(true).is_empty());
        assert_eq!(reads(&mut s, &[runs(false, "eth1", 51)]), 0);
    }

    #[test]
    fn what_is_refused_is_said_once_and_asked_for_again_later() {
        let mut s = sync(None);
        let mut fx = Effects::default();
        s.pump(Instant::default(), REQ, &mut fx);
        assert!(s.on_reply(Instant::default(), Err(Errno::ENODEV)).is_some());
        assert_eq!(asks(&mut s, |_| Ok(())), Vec::<String>::new());
        let at = s.next_due().expect("later");
        s.pump(at, REQ, &mut fx);
        assert!(s.on_reply(at, Err(Errno::ENODEV)).is_none(), "once");
    }

    #[test]
    fn without_the_keyword_the_threads_are_not_touched() {
        let mut s = Sync::default();
        assert_eq!(asks(&mut s, |_| Ok(())), Vec::<String>::new());
        s.stop();
        assert!(s.idle());
    }
}
