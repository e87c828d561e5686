//! What is fuzzed: thirteen entrances for hostile bytes. Each must return, within bounds, whatever it is given.
//!
//! Run by `scripts/fuzz`, and by `cargo test` over the corpus that is kept (`tests/config/fuzz_corpus.rs`).
//! A text input may hold several files, each ended by a NUL byte: the first is `f0`, which can include `f1` and so on.

use kalived::config::check::{Host, Look};
use kalived::config::diag::Diags;
use kalived::config::dump::dump;
use kalived::config::image;
use kalived::config::model::vrrp::ParamMatch;
use kalived::config::node::Node;
use kalived::config::source::{FileError, Files, Sources, Span};
use kalived::config::{Limits, Loaded, Options, input, load, load_with, report, tree};
use kalived::helper::matching::{self, Pattern};
use kalived::helper::proto::{Ask, Tell};
use kalived::process::proto::{ToCore, ToGuard};
use kalived::time::Duration;
use strangers::Stage;

#[path = "backends.rs"]
mod backends;
#[path = "strangers.rs"]
mod strangers;

pub use backends::{checks, ipvs};

/// The files of an input.
pub struct Memory<'a>(Vec<&'a [u8]>);

impl<'a> Memory<'a> {
    /// Cuts an input into files.
    pub fn new(data: &'a [u8]) -> Memory<'a> {
        Memory(data.split(|b| *b == 0).take(8).collect())
    }
}

impl Files for Memory<'_> {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        let number = path.rsplit('/').next().and_then(|p| p.strip_prefix('f')).and_then(|n| n.parse::<usize>().ok());
        match number.and_then(|n| self.0.get(n)) {
            Some(text) => Ok(text.to_vec()),
            None => Err(FileError { errno: Some(2), reason: "No such file or directory".into() }),
        }
    }
}

/// Bytes to lines and places.
pub fn source(data: &[u8]) {
    let mut src = Sources::default();
    let Some(file) = src.add("f", data.to_vec()) else { return };
    let len = src.file(file).map_or(0, |f| f.text.len()) as u32;
    // Every offset of a short file, some of a long one; also past the end and inside a character.
    let step = (len / 256).max(1);
    for start in (0..=len + 2).step_by(step as usize) {
        let span = Span { file, start, end: start + 3 };
        let place = src.place(span);
        assert!(place.line >= 1 && place.column >= 1);
        let _ = src.slice(span);
    }
}

/// Limits that an input of a few thousand bytes can reach.
fn options() -> Options<'static> {
    let limits = Limits { depth: 6, files: 100, bytes: 1 << 20, lines: 2_000, replaced: 1 << 18, names: 10_000 };
    Options { config_id: "low", limits, ..Options::default() }
}

/// Text, with what it includes and repeats, to statements.
pub fn tree(data: &[u8]) {
    let mut src = Sources::default();
    let mut diags = Diags::default();
    let Some(input) = input::read(&Memory::new(data), "f0", &options(), &mut src, &mut diags) else { return };
    let tree = tree::parse(&src, &input, &mut diags);
    assert!(tree.stmts.iter().all(|s| !s.words.is_empty()));
    let (list, dropped) = diags.finish(&src);
    let shown = kalived::config::diag::render(&list, dropped, &src, true);
    assert!(shown.len() < 1 << 20);
}

/// Text to a model, to messages, to text again, to an image.
pub fn lower(data: &[u8]) {
    let files = Memory::new(data);
    let options = options();
    let mut loaded: Loaded = load_with(&files, "f0", &options);
    let host = Host { interfaces: vec!["eth0".into()], addrs: Vec::new(), exists: |_| false, sysctl: |_| None };
    loaded.look(Look { host: Some(&host), lints: true, ..Look::default() });
    assert!(loaded.render(true).len() < 1 << 20);
    assert!(report::json(&loaded.diags, loaded.cut, &loaded.sources).is_array());
    let image = image::encode(&loaded.config).expect("small");
    assert_eq!(image::decode(&image).as_ref(), Ok(&loaded.config));
    let (_, text) = dump(&files, "f0", &options, true);
    if !text.starts_with("# This text does not mean") {
        let again = load(&Memory(vec![text.as_bytes()]), "f0");
        assert_eq!(Node::of(&again.config), Node::of(&loaded.config), "{text}");
    }
}

/// The messages between core and guard: a message that is decoded is encoded to the same bytes again.
pub fn line(data: &[u8]) {
    if let Some(m) = ToGuard::decode(data) {
        let again = m.encode().expect("what was sent can be sent");
        assert_eq!(ToGuard::decode(&again), Some(m));
    }
    if let Some(m) = ToCore::decode(data) {
        assert_eq!(m.encode(), data);
    }
}

/// Bytes to a model, as they are and as two sections with a header that fits: the length of the first 4, the first, the second.
pub fn image(data: &[u8]) {
    let _ = image::decode(data);
    let Some((len, body)) = data.split_first_chunk() else { return };
    let Some((vrrp, lvs)) = body.split_at_checked(u32::from_le_bytes(*len) as usize) else { return };
    let bytes = image::seal(vrrp, lvs).expect("small");
    if let Ok(config) = image::decode(&bytes) {
        let again = image::encode(&config).expect("no larger than before");
        assert_eq!(image::decode(&again), Ok(config));
    }
}

/// The messages between core and helper, in both directions; and the files that the helper reads in /proc.
pub fn helper(data: &[u8]) {
    if let Ok(ask) = Ask::decode(data) {
        assert_eq!(Ask::decode(&ask.encode().expect("within the limits")), Ok(ask));
    }
    if let Ok(tell) = Tell::decode(data) {
        assert_eq!(Tell::decode(&tell.encode().expect("within the limits")), Ok(tell));
    }
    let mut parts = data.splitn(2, |b| *b == 0xff);
    let (what, process) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if let Some((comm, state)) = matching::stat(process) {
        let _ = matching::lives(state);
        let argv: Vec<String> = String::from_utf8_lossy(what).split(' ').map(str::to_owned).collect();
        for compare in [ParamMatch::Unset, ParamMatch::Exact, ParamMatch::Initial, ParamMatch::Partial] {
            let p = Pattern::new(&argv, compare, data.len().is_multiple_of(2));
            // The part of a command line that is read leads to the same result as all of it.
            let read = process.get(..p.needs().unwrap_or(0)).unwrap_or(process);
            assert_eq!(p.matches(comm, read), p.matches(comm, process));
        }
    }
}

/// Packets of neighbours, each after two bytes of length, with 100 ms between them.
pub fn vrrp(data: &[u8]) {
    use kalived::config::model::Family;
    use kalived::wire::{ipv4, ipv6, vrrp};
    for family in [Family::V4, Family::V6] {
        if let Ok(advert) = vrrp::parse(family, data) {
            assert_eq!(advert.addrs.iter().count(), advert.addrs.len());
        }
    }
    for parsed in [ipv4::parse(data).map(|p| p.1), ipv6::parse(data).map(|p| p.1)] {
        assert!(parsed.is_ok_and(|payload| payload.len() < data.len()) || parsed.is_err());
    }
    let mut stage = Stage::new();
    stage.pass(Duration::from_secs(5));
    let before = stage.counts();
    let mut packets = 0;
    let mut rest = data;
    while let Some((len, behind)) = rest.split_first_chunk::<2>() {
        let (packet, behind) = behind.split_at(behind.len().min(usize::from(u16::from_le_bytes(*len))));
        stage.datagram(packet);
        stage.pass(Duration::from_millis(100));
        (packets, rest) = (packets + 1, behind);
    }
    // Two sockets, two kinds of each packet, and what is done at most for one, timers included.
    assert!(stage.counts().2 - before.2 <= 200 * (packets + 1), "{packets} packets: {:?}", stage.counts());
}

/// What BFD peers send: packets, each behind two bytes of length, with 7 ms between them. The first byte of each packet's length says who
/// sends it and how far it came.
pub fn bfd(data: &[u8]) {
    use kalived::wire::bfd::{LEN, parse};
    if let Ok(p) = parse(data) {
        let mut again = p.encode();
        again[3] = data[3];
        assert_eq!(&again[..], &data[..LEN]);
    }
    let mut stage = Stage::new();
    stage.pass(Duration::from_secs(5));
    let before = stage.counts();
    let (mut packets, mut rest) = (0, data);
    while let Some(([len, who], behind)) = rest.split_first_chunk::<2>() {
        let (packet, behind) = behind.split_at(behind.len().min(usize::from(*len)));
        stage.bfd(*who, packet);
        stage.pass(Duration::from_millis(7));
        (packets, rest) = (packets + 1, behind);
    }
    // An answer, a state with what follows it, and the timers of 7 ms.
    assert!(stage.counts().2 - before.2 <= 200 * (packets + 1), "{packets} packets: {:?}", stage.counts());
}

/// What the kernel says on a netlink socket.
pub fn netlink(data: &[u8]) {
    let mut stage = Stage::new();
    let n = stage.netlink(data);
    assert!(n <= data.len() / 16 + 1, "{n} messages in {} bytes", data.len());
    stage.pass(Duration::from_secs(4));
}

/// The answers of a web server, in pieces that end with a byte 0xff; the check's verdict is at most one note for each change.
pub fn http(data: &[u8]) {
    let mut stage = Stage::new();
    stage.pass(Duration::from_millis(1));
    for piece in data.split(|b| *b == 0xff) {
        stage.reply(piece);
        stage.pass(Duration::from_millis(500));
    }
    stage.end();
    assert!(stage.counts().0 <= 2, "one look and one mail at a time: {:?}", stage.counts());
}

/// Records of a server that `SSL_GET` asks, in pieces: the first byte says how long each is. With and without `verify`, and with a name and
/// without. Nothing of a session that did not begin reaches the check, and what is answered is bounded.
pub fn tls(data: &[u8]) {
    use kalived::config::model::lvs::Pem;
    use kalived::process::tls::{Common, Tls};
    thread_local! {
        static COMMON: [Option<Common>; 2] = [false, true].map(|verify| {
            let ca = include_str!("ca.pem").into();
            Common::new(&Pem { ca, ..Pem::default() }, verify).ok()
        });
    }
    let Some((piece, rest)) = data.split_first() else { return };
    COMMON.with(|all| {
        for (common, name) in all.iter().zip([None, Some("www.example")]) {
            let common = common.as_ref().expect("the certificate is good");
            let mut tls = Tls::new(common, name, [192, 0, 2, 1].into()).expect("a session");
            let mut said = tls.outgoing().len();
            assert!(said > 0, "it begins");
            for bytes in rest.chunks(usize::from(*piece).max(1)) {
                let Ok(fed) = tls.feed(bytes) else { break };
                assert!(fed.plain.is_empty() && !fed.connected && !tls.is_connected(), "nobody has the keys");
                said += tls.outgoing().len();
                if fed.end {
                    break;
                }
            }
            said += tls.outgoing().len();
            assert!(said <= 16 << 10, "{said}");
        }
    });
}

/// The answers of a mail server, likewise; the mails are those of three virtual routers that became Master.
pub fn smtp(data: &[u8]) {
    let mut bytes = data;
    let mut replies = kalived::wire::smtp::Replies::default();
    let mut seen = 0;
    while let Ok(Some(reply)) = replies.next(&mut bytes) {
        assert!((200..600).contains(&reply.code) && reply.text.len() <= 512);
        seen += 1;
    }
    assert!(seen <= data.len() / 4 + 1);
    let mut stage = Stage::new();
    stage.pass(Duration::from_secs(5));
    for piece in data.split(|b| *b == 0xff) {
        stage.reply(piece);
        stage.pass(Duration::from_millis(100));
    }
    stage.end();
    assert!(stage.counts().0 <= 2, "one look and one mail at a time: {:?}", stage.counts());
}
