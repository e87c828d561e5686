//! Netlink, whatever the protocol: the table of open requests, slices, dumps in their order, and the handling of lost messages.
//!
//! Pure: bytes to be sent come out, bytes received go in; `rtnl.rs` has the socket. Read first: `wire/netlink` (framing). Requests are
//! sent in slices, one send each, in order, each request with a sequence number of its own; the kernel answers each. One slice is in
//! flight at a time. An answer is an acknowledgement, or, where the kernel notifies of the change with the request's own number and port,
//! that notification: one message less for each address of a takeover.
//!
//! Requested dumps run one after the other: interfaces before the addresses on them. Dumps share the socket with the notifications, so
//! messages are read in the order of the kernel's changes; a notification read during a dump is newer than the part of the dump read so
//! far.

use crate::event::{Errno, ReqId};
use crate::wire::Bad;
use crate::wire::netlink::{self as wire, Control, Frame};
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeMap, VecDeque};

/// A protocol over netlink.
pub trait Protocol {
    /// What a message to the kernel asks for: one change, for example the addition of an address.
    type Request;
    /// A kind of dump.
    type Dump: Copy;
    /// The content of a dump or of a notification.
    type Report;
    /// Appends the message for a request; its answer carries `seq`.
    fn put(out: &mut BytesMut, seq: u32, request: &Self::Request);
    /// The type of the notification that answers this request when it succeeds, in place of an acknowledgement; `put` then requests none.
    fn notice(_request: &Self::Request) -> Option<u16> {
        None
    }
    /// Appends the request for a dump.
    fn put_dump(out: &mut BytesMut, seq: u32, dump: Self::Dump);
    /// Reads a message that is not one of netlink itself. `None`: the message is not used.
    fn read(frame: &Frame<'_>) -> Result<Option<Self::Report>, Bad>;
}

/// Limits. The reasons are given where they are set.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests in a slice.
    pub slice: usize,
    /// Requests not sent yet plus requests not answered yet. One more is answered with ENOBUFS at once.
    pub open: usize,
}

/// A result for the owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told<R> {
    /// The content of a dump or of a notification.
    Report(R),
    /// The answer to a request. ENOBUFS: it was lost, or the request was never sent.
    Reply {
        /// The number that the owner gave the request.
        req: ReqId,
        /// The kernel's result.
        result: Result<(), Errno>,
    },
    /// Messages were lost: the known state of the kernel may be wrong.
    Lost,
    /// A dump begins.
    DumpBegin,
    /// A dump has ended.
    Synced {
        /// False: messages were lost or the kernel's state changed meanwhile, and the dump lacks some of it.
        complete: bool,
    },
}

enum Item<P: Protocol> {
    Op(ReqId, P::Request),
    Dump(P::Dump),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Idle,
    /// Requested, not sent yet.
    Queued,
    /// Sent with this sequence number.
    Asked(u32),
}

/// The state of one netlink socket: open requests by sequence number, the slice in flight, dumps that wait, notifications.
pub struct Netlink<P: Protocol> {
    limits: Limits,
    /// Our address on the socket: a notification with it reports a change of our own.
    port: u32,
    seq: u32,
    queue: VecDeque<Item<P>>,
    /// By sequence number; with the type of the notification that answers the request.
    open: BTreeMap<u32, (ReqId, Option<u16>)>,
    /// The slice in flight.
    sending: Option<Vec<u32>>,
    step: Step,
    /// Dumps of the list that were not requested yet.
    rest: VecDeque<P::Dump>,
    interrupted: bool,
    /// Dumps that were requested while one was running: they begin when it has ended.
    again: Option<Vec<P::Dump>>,
    /// The number of invalid messages. They are counted and otherwise ignored.
    pub malformed: u64,
}

impl<P: Protocol> Netlink<P> {
    /// No request is open. `port`: ours.
    pub fn new(limits: Limits, port: u32) -> Self {
        Netlink {
            limits,
            port,
            seq: 0,
            queue: VecDeque::new(),
            open: BTreeMap::new(),
            sending: None,
            step: Step::Idle,
            rest: VecDeque::new(),
            interrupted: false,
            again: None,
            malformed: 0,
        }
    }

    /// Takes a request; `Some`: it is answered at once.
    pub fn request(&mut self, req: ReqId, request: P::Request) -> Option<Told<P::Report>> {
        if self.queue.len() + self.open.len() >= self.limits.open {
            return Some(Told::Reply { req, result: Err(Errno::ENOBUFS) });
        }
        self.queue.push_back(Item::Op(req, request));
        None
    }

    /// Requests dumps, in this order. Returns `DumpBegin`, unless a dump is running: then that dump ends without a report, and the others
    /// begin.
    pub fn resync(&mut self, dumps: &[P::Dump]) -> Option<Told<P::Report>> {
        if self.step != Step::Idle {
            self.again = Some(dumps.to_vec());
            return None;
        }
        self.interrupted = false;
        self.rest = dumps.iter().copied().collect();
        let first = self.rest.pop_front()?;
        self.step = Step::Queued;
        self.queue.push_back(Item::Dump(first));
        Some(Told::DumpBegin)
    }

    /// Whether a request waits for the kernel's answer.
    pub fn waits(&self) -> bool {
        !self.open.is_empty()
    }

    /// Whether every request was answered.
    pub fn idle(&self) -> bool {
        self.queue.is_empty() && self.open.is_empty() && self.sending.is_none()
    }

    /// Whether there is a request to send and no slice in flight.
    pub fn ready(&self) -> bool {
        self.sending.is_none() && !self.queue.is_empty()
    }

    /// The next slice to send, if none is in flight: with at most `most` requests. Returns their number too.
    pub fn slice(&mut self, most: usize) -> Option<(Bytes, usize)> {
        if !self.ready() {
            return None;
        }
        let mut out = BytesMut::new();
        let mut seqs = Vec::new();
        let count = most.clamp(1, self.limits.slice).min(self.queue.len());
        for item in self.queue.drain(..count) {
            // Notifications carry 0.
            self.seq = self.seq.wrapping_add(1).max(1);
            match item {
                Item::Op(req, request) => {
                    P::put(&mut out, self.seq, &request);
                    self.open.insert(self.seq, (req, P::notice(&request)));
                }
                Item::Dump(dump) => {
                    P::put_dump(&mut out, self.seq, dump);
                    self.step = Step::Asked(self.seq);
                }
            }
            seqs.push(self.seq);
        }
        self.sending = Some(seqs);
        Some((out.freeze(), count))
    }

    /// The slice was sent, or the send failed with an errno: then the kernel has seen none of its requests.
    pub fn on_sent(&mut self, result: Result<(), Errno>, tell: &mut dyn FnMut(Told<P::Report>)) {
        let seqs = self.sending.take().unwrap_or_default();
        if result.is_err() {
            for seq in seqs {
                self.answered(seq, result, tell);
            }
        }
    }

    /// Handles the bytes of one receive; the caller has checked that the kernel sent them.
    pub fn on_bytes(&mut self, bytes: &[u8], tell: &mut dyn FnMut(Told<P::Report>)) {
        for frame in wire::frames(bytes) {
            match frame.and_then(|f| self.on_frame(&f, tell)) {
                Ok(()) => {}
                Err(_) => self.malformed += 1,
            }
        }
    }

    /// Messages were lost, perhaps answers among them: every request that was sent is answered with ENOBUFS. (A late answer finds no
    /// entry and is ignored.) The end of a running dump is never lost, but its middle may be.
    pub fn lost(&mut self, tell: &mut dyn FnMut(Told<P::Report>)) {
        for (req, _) in core::mem::take(&mut self.open).into_values() {
            tell(Told::Reply { req, result: Err(Errno::ENOBUFS) });
        }
        self.interrupted = true;
        tell(Told::Lost);
    }

    fn on_frame(&mut self, frame: &Frame<'_>, tell: &mut dyn FnMut(Told<P::Report>)) -> Result<(), Bad> {
        self.interrupted |= frame.dump_interrupted();
        match frame.control() {
            Some(control) => match control? {
                Control::Ack(result) => self.answered(frame.seq, result, tell),
                Control::Done(result) => self.dump_step(frame.seq, result.is_ok(), tell),
                Control::Overrun => self.lost(tell),
            },
            None => {
                if let Some(report) = P::read(frame)? {
                    tell(Told::Report(report));
                }
                let answers = |(_, notice): &(ReqId, Option<u16>)| *notice == Some(frame.kind);
                if frame.pid == self.port && self.open.get(&frame.seq).is_some_and(answers) {
                    self.answered(frame.seq, Ok(()), tell);
                }
            }
        }
        Ok(())
    }

    fn answered(&mut self, seq: u32, result: Result<(), Errno>, tell: &mut dyn FnMut(Told<P::Report>)) {
        if let Some((req, _)) = self.open.remove(&seq) {
            tell(Told::Reply { req, result });
        } else if result.is_err() {
            self.dump_step(seq, false, tell);
        }
    }

    fn dump_step(&mut self, seq: u32, ok: bool, tell: &mut dyn FnMut(Told<P::Report>)) {
        if self.step != Step::Asked(seq) {
            return;
        }
        if ok
            && self.again.is_none()
            && let Some(next) = self.rest.pop_front()
        {
            self.step = Step::Queued;
            self.queue.push_back(Item::Dump(next));
            return;
        }
        self.step = Step::Idle;
        let complete = ok && !self.interrupted;
        match self.again.take() {
            Some(dumps) => self.resync(&dumps).into_iter().for_each(tell),
            None => tell(Told::Synced { complete }),
        }
    }
}

#[cfg(test)]
mod tests {
    //! A second protocol, in the manner of generic netlink: a request contains a word, which is reported and acknowledged.

    use super::*;

    const ECHO: u16 = 0x1b;
    const PORT: u32 = 4711;

    struct Echo;

    impl Protocol for Echo {
        type Request = &'static str;
        type Dump = u8;
        type Report = String;
        fn put(out: &mut BytesMut, seq: u32, word: &&'static str) {
            wire::request(out, ECHO, seq, word.as_bytes());
        }
        fn notice(word: &&'static str) -> Option<u16> {
            word.starts_with('!').then_some(ECHO)
        }
        fn put_dump(out: &mut BytesMut, seq: u32, what: u8) {
            wire::request_dump(out, ECHO, seq, &[what]);
        }
        fn read(frame: &Frame<'_>) -> Result<Option<String>, Bad> {
            match frame.kind {
                ECHO => String::from_utf8(frame.body.to_vec()).map(Some).map_err(|_| Bad::Value),
                _ => Ok(None),
            }
        }
    }

    fn netlink() -> Netlink<Echo> {
        Netlink::new(Limits { slice: 3, open: 5 }, PORT)
    }
    fn ack(seq: u32, errno: i32) -> BytesMut {
        let mut out = BytesMut::new();
        wire::request(&mut out, 2, seq, &(-errno).to_ne_bytes());
        out
    }
    fn done(seq: u32) -> BytesMut {
        let mut out = BytesMut::new();
        wire::request(&mut out, 3, seq, &0i32.to_ne_bytes());
        out
    }
    /// Sends one slice; returns its requests and dumps with their numbers.
    fn sent(n: &mut Netlink<Echo>) -> Vec<(u32, String)> {
        let bytes = n.slice(usize::MAX).map(|(bytes, _)| bytes).unwrap_or_default();
        n.on_sent(Ok(()), &mut |t| panic!("{t:?}"));
        let text = |f: Frame<'_>| String::from_utf8_lossy(f.body).into_owned();
        wire::frames(&bytes).map(|f| f.map(|f| (f.seq, text(f))).expect("our own")).collect()
    }
    fn heard(n: &mut Netlink<Echo>, bytes: &[u8]) -> Vec<Told<String>> {
        let mut all = Vec::new();
        n.on_bytes(bytes, &mut |t| all.push(t));
        all
    }
    fn reply(req: u64, errno: Option<Errno>) -> Told<String> {
        Told::Reply { req: ReqId(req), result: errno.map_or(Ok(()), Err) }
    }

    #[test]
    fn slices_answers_and_the_limit() {
        let mut n = netlink();
        for (i, word) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
            assert_eq!(n.request(ReqId(i as u64), word), None);
        }
        assert_eq!(n.request(ReqId(9), "f"), Some(reply(9, Some(Errno::ENOBUFS))), "too many are open");
        let (first, _) = n.slice(usize::MAX).expect("a slice");
        assert!(n.slice(usize::MAX).is_none(), "one at a time");
        assert_eq!(wire::frames(&first).count(), 3);
        n.on_sent(Ok(()), &mut |t| panic!("{t:?}"));
        let got = heard(&mut n, &[ack(1, 0), ack(3, 17), ack(2, 0)].concat());
        assert_eq!(got, [reply(0, None), reply(2, Some(Errno::EEXIST)), reply(1, None)]);
        assert_eq!(heard(&mut n, &ack(1, 0)), [], "an answer is given once");
        // The kernel has seen nothing of a send that failed.
        let _ = n.slice(usize::MAX);
        let mut all = Vec::new();
        n.on_sent(Err(Errno(12)), &mut |t| all.push(t));
        assert_eq!(all, [reply(3, Some(Errno(12))), reply(4, Some(Errno(12)))]);
        assert!(n.idle() && !n.waits());
    }

    /// A notification of a change by `port` with its request `seq`.
    fn notice(kind: u16, port: u32, seq: u32) -> BytesMut {
        let mut out = BytesMut::new();
        wire::request(&mut out, kind, seq, b"done");
        out[12..16].copy_from_slice(&port.to_ne_bytes());
        out
    }

    #[test]
    fn a_notification_of_our_own_doing_answers_where_it_was_asked_for() {
        let mut n = netlink();
        n.request(ReqId(1), "!a");
        n.request(ReqId(2), "b");
        n.request(ReqId(3), "!c");
        assert_eq!(sent(&mut n).len(), 3);
        let said = || Told::Report("done".to_owned());
        assert_eq!(heard(&mut n, &notice(ECHO, PORT + 1, 1)), [said()], "another's, with the same number");
        assert_eq!(heard(&mut n, &notice(ECHO + 1, PORT, 1)), [], "of something else");
        assert_eq!(heard(&mut n, &notice(ECHO, PORT, 1)), [said(), reply(1, None)]);
        assert_eq!(heard(&mut n, &notice(ECHO, PORT, 1)), [said()], "an answer is given once");
        assert_eq!(heard(&mut n, &notice(ECHO, PORT, 2)), [said()], "this one is acknowledged");
        assert_eq!(heard(&mut n, &[ack(2, 0), ack(3, 17)].concat()), [reply(2, None), reply(3, Some(Errno::EEXIST))]);
        assert!(n.idle());
    }

    #[test]
    fn dumps_come_one_after_the_other_and_reports_in_between() {
        let mut n = netlink();
        assert_eq!(n.resync(b"xyz"), Some(Told::DumpBegin));
        let mut word = BytesMut::new();
        wire::request(&mut word, ECHO, 0, b"hey!");
        for (seq, what) in [(1, "x"), (2, "y"), (3, "z")] {
            assert_eq!(sent(&mut n), [(seq, what.to_owned())]);
            assert_eq!(heard(&mut n, &word), [Told::Report("hey!".to_owned())]);
            assert_eq!(heard(&mut n, &done(seq + 7)), [], "the end of no dump of ours");
            let end = heard(&mut n, &done(seq));
            assert_eq!(end, if seq == 3 { vec![Told::Synced { complete: true }] } else { vec![] });
        }
        assert!(n.idle());
    }

    #[test]
    fn what_is_lost_answers_every_request_and_spoils_the_dump() {
        let mut n = netlink();
        n.resync(b"x");
        n.request(ReqId(1), "a");
        n.request(ReqId(2), "b");
        n.request(ReqId(3), "c");
        assert_eq!(sent(&mut n).len(), 3, "the dump and two requests");
        let mut overrun = BytesMut::new();
        wire::request(&mut overrun, 4, 0, &[]);
        let all = heard(&mut n, &overrun);
        assert_eq!(all, [reply(1, Some(Errno::ENOBUFS)), reply(2, Some(Errno::ENOBUFS)), Told::Lost]);
        assert_eq!(heard(&mut n, &[ack(2, 0), done(1)].concat()), [Told::Synced { complete: false }]);
        // The third was not sent yet, so it is not lost.
        assert_eq!(sent(&mut n), [(4, "c".to_owned())]);
        assert_eq!(heard(&mut n, &ack(4, 0)), [reply(3, None)]);
    }

    #[test]
    fn asked_for_again_it_begins_anew() {
        let mut n = netlink();
        n.resync(b"xy");
        assert_eq!(sent(&mut n).len(), 1);
        assert_eq!(n.resync(b"z"), None);
        assert_eq!(heard(&mut n, &done(1)), [Told::DumpBegin], "without the second half of the first");
        assert_eq!(sent(&mut n), [(2, "z".to_owned())]);
        assert_eq!(heard(&mut n, &done(2)), [Told::Synced { complete: true }]);
        // A dump that the kernel refuses is not complete.
        n.resync(b"x");
        assert_eq!(sent(&mut n).len(), 1);
        assert_eq!(heard(&mut n, &ack(3, 95)), [Told::Synced { complete: false }]);
    }

    #[test]
    fn what_makes_no_sense_is_counted_and_harms_nobody() {
        let mut n = netlink();
        n.request(ReqId(1), "a");
        sent(&mut n);
        let mut bad = BytesMut::new();
        wire::request(&mut bad, ECHO, 0, &[0xff, 0xfe, 0xff, 0xfe]);
        // An acknowledgement without a body, an invalid word, a message longer than the bytes received.
        wire::request(&mut bad, 2, 1, &[]);
        let good = ack(1, 0);
        let got = heard(&mut n, &[&bad[..], &good, &[200, 0, 0, 0, 1]].concat());
        assert_eq!((got, n.malformed), (vec![reply(1, None)], 3));
        for byte in 0..=255u8 {
            heard(&mut n, &vec![byte; usize::from(byte)]);
        }
        assert!(n.idle());
    }
}
