//! Multicast groups are joined and left off the loop: another process holds the kernel's lock for that, and the loop goes on.

use crate::PATIENCE;
use bytes::Bytes;
use kalived::daemon::exec::Exec;
use kalived::daemon::log::Sink;
use kalived::effect::{AdvertFx, Effect, Effects, Packets, SockFx, SockSpec};
use kalived::event::{AdvertEv, Event, SockEv};
use kalived::id::{Arena, SockKey, SockMark, VrKey, VrMark};
use kalived::process::line::Target;
use kalived::sys::ring::Ring;
use kalived::sys::{clock, seqpacket, signal};
use kalived::time::Duration;
use std::io::{BufRead, BufReader, Read};
use std::net::IpAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

/// The process that holds the lock, until it is dropped or its own limit is reached.
struct Holder(Child, BufReader<ChildStdout>);

impl Holder {
    /// `None` where a process cannot hold it.
    fn start() -> Option<Holder> {
        let mut python = Command::new("python3");
        python.args(["-B", "-c", include_str!("../lab/hold_rtnl.py")]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = python.spawn().map_err(|e| println!("skipped: {e}")).ok()?;
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let holder = Holder(child, out);
        if line != "held\n" {
            println!("skipped: the lock cannot be held here");
            return None;
        }
        Some(holder)
    }
    /// Releases it; whether it was held until now.
    fn end(mut self) -> bool {
        drop(self.0.stdin.take());
        let mut rest = String::new();
        self.1.read_to_string(&mut rest).unwrap();
        rest.is_empty()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The loop without a World, and a real helper.
struct Core {
    exec: Exec,
    helper: Child,
    ready: Vec<SockKey>,
    sent: usize,
}

impl Core {
    /// `None` where this process may not open the sockets, or there is no io_uring.
    fn new() -> Option<Core> {
        if kalived::sys::host::user() != 0 {
            println!("skipped: wants root");
            return None;
        }
        let ring = Ring::new().map_err(|e| println!("skipped: {e}")).ok()?;
        let exec = Exec::new(ring, signal::install().unwrap(), Sink::new(Target::Nowhere, false), true);
        let mut exec = exec.map_err(|e| println!("skipped: {e}")).ok()?;
        let (ours, theirs) = seqpacket::pair().unwrap();
        exec.attach_helper(ours);
        let script = "exec 3<&0 </dev/null; exec \"$@\"";
        let mut helper = Command::new("sh");
        helper.args(["-c", script, "sh", env!("CARGO_BIN_EXE_kalived"), "--helper"]).stdin(Stdio::from(theirs));
        Some(Core { exec, helper: helper.spawn().unwrap(), ready: Vec::new(), sent: 0 })
    }
    fn apply(&mut self, effects: impl IntoIterator<Item = Effect>) {
        let mut fx = Effects::default();
        effects.into_iter().for_each(|e| fx.push(e));
        self.exec.apply(clock::now(), &mut fx);
    }
    fn until(&mut self, enough: impl Fn(&Core) -> bool) {
        let deadline = clock::mono() + PATIENCE;
        while !enough(self) {
            assert!(clock::mono() < deadline, "nothing more comes: {:?} ready, {} sent", self.ready, self.sent);
            self.exec.wait(Some(deadline), None, false).unwrap();
            let (ready, sent) = (&mut self.ready, &mut self.sent);
            self.exec.events(clock::now(), &mut |e| match e {
                Event::Sock(SockEv::Ready { sock, result }) => {
                    assert_eq!(result, Ok(()));
                    ready.push(sock);
                }
                Event::Advert(AdvertEv::Sent { result, .. }) => {
                    assert_eq!(result, Ok(()));
                    *sent += 1;
                }
                _ => {}
            });
            self.apply([]);
        }
    }
    /// An advert of another router, armed and reported.
    fn advertise(&mut self, vr: VrKey, sock: SockKey) {
        let mut p = vec![0x45, 0xc0, 0, 28, 0, 1, 0, 0, 255, 112, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1];
        p.extend([0x21, 1, 100, 0, 0, 1, 0, 0]);
        let packets = Packets::one([127, 0, 0, 1].into(), Bytes::from(p));
        let at = clock::mono() + Duration::from_millis(10);
        let before = self.sent;
        self.apply([Effect::Advert(AdvertFx::At { vr, sock, epoch: 1, at, packets })]);
        self.until(|core| core.sent > before);
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        let _ = self.helper.kill();
        let _ = self.helper.wait();
    }
}

/// Opens a socket on the loopback interface, for this group.
fn open(sock: SockKey, group: &str) -> Effect {
    let spec = SockSpec::Multicast { ifindex: 1, group: group.parse::<IpAddr>().unwrap(), ah: false };
    Effect::Sock(SockFx::Open { sock, spec })
}

#[test]
fn the_loop_goes_on_while_another_process_keeps_a_group_from_being_joined_or_left() {
    let Some(mut core) = Core::new() else { return };
    let mut names = Arena::<SockMark, ()>::default();
    let [other, v4, v6] = [(); 3].map(|()| names.insert(()));
    let vr = Arena::<VrMark, ()>::default().insert(());
    core.apply([Effect::Sock(SockFx::Open {
        sock: other,
        spec: SockSpec::Unicast { local: [127, 0, 0, 1].into(), ifindex: 0, ah: false },
    })]);
    core.until(|core| core.ready == [other]);

    let Some(holder) = Holder::start() else { return };
    core.apply([open(v4, "224.0.0.18"), open(v6, "ff02::12")]);
    core.advertise(vr, other);
    assert!(!core.ready.contains(&v4), "it is not ready before it has joined");
    assert!(holder.end(), "the loop waited for the lock");
    core.until(|core| core.ready.contains(&v4) && core.ready.contains(&v6));

    let holder = Holder::start().expect("it was possible before");
    core.apply([v4, v6].map(|sock| Effect::Sock(SockFx::Close { sock })));
    core.advertise(vr, other);
    assert!(holder.end(), "the loop waited for the lock");
    // The next ones join as the first ones did, after those have left.
    core.ready.clear();
    core.apply([open(v4, "224.0.0.18"), open(v6, "ff02::12")]);
    core.until(|core| core.ready.len() == 2);
}

/// Without a helper the loop joins itself, also where the helper ends before it has answered, or where the core has just started.
#[test]
fn a_group_is_joined_without_a_helper() {
    let Some(mut core) = Core::new() else { return };
    let mut names = Arena::<SockMark, ()>::default();
    let [first, second, third] = [(); 3].map(|()| names.insert(()));
    // A helper that takes the request and does not answer.
    let (ours, theirs) = seqpacket::pair().unwrap();
    core.exec.attach_helper(ours);
    core.apply([open(first, "224.0.0.18")]);
    assert!(seqpacket::recv(&theirs, &mut [0; 64]).unwrap().is_some_and(|(_, fds)| fds.len() == 1));
    drop(theirs);
    core.until(|core| core.ready == [first]);
    core.apply([open(second, "224.0.0.18")]);
    core.until(|core| core.ready == [first, second]);
    // Nor does a core that has just started wait for its helper.
    let (ours, _silent) = seqpacket::pair().unwrap();
    core.exec.attach_helper(ours);
    core.exec.join_alone_until(clock::mono() + PATIENCE);
    core.apply([open(third, "224.0.0.18")]);
    core.until(|core| core.ready == [first, second, third]);
}

/// Each join of a helper that ended is asked of the next one; where there is none, the loop does some in each turn.
#[test]
fn joins_of_a_helper_that_ended_are_asked_again_or_done_some_in_each_turn() {
    let Some(mut core) = Core::new() else { return };
    let mut names = Arena::<SockMark, ()>::default();
    let all: Vec<SockKey> = (0..20).map(|_| names.insert(())).collect();
    let asked = |theirs: &std::os::fd::OwnedFd| {
        (0..all.len()).all(|_| seqpacket::recv(theirs, &mut [0; 64]).unwrap().is_some_and(|(_, fds)| fds.len() == 1))
    };
    let (ours, first) = seqpacket::pair().unwrap();
    core.exec.attach_helper(ours);
    core.apply(all.iter().map(|sock| open(*sock, "224.0.0.18")));
    assert!(asked(&first));
    let (ours, second) = seqpacket::pair().unwrap();
    core.exec.attach_helper(ours);
    core.apply([]);
    assert!(asked(&second) && core.ready.is_empty());
    drop((first, second));
    let mut most = 0;
    while core.ready.len() < all.len() {
        let before = core.ready.len();
        core.until(|core| core.ready.len() > before);
        most = most.max(core.ready.len() - before);
    }
    assert!(most <= 8, "{most} in one turn");
}
