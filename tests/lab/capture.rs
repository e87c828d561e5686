//! A capture of the packets on a link: into a pcap file, with a reader for that file, and tshark's verdict.
//!
//! Read first: `mod.rs`. The reader decodes Ethernet, IPv4, IPv6, VRRP, ARP and neighbour advertisements as far as the tests need, without
//! the codec under test, so that a mistake of that one is detected.

use super::{Host, IFACE, Lab, Owned, until_true};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// One captured frame.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Nanoseconds of the wall clock. Compared with each other, never asserted against a duration.
    pub ns: u64,
    /// From the destination MAC on.
    pub bytes: Vec<u8>,
}

/// A VRRP advert as far as the tests look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vrrp {
    /// When, as [`Frame::ns`].
    pub ns: u64,
    /// IP source.
    pub src: IpAddr,
    /// IP destination.
    pub dst: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// 2 or 3.
    pub version: u8,
    /// Virtual router.
    pub vrid: u8,
    /// Priority.
    pub priority: u8,
    /// Number of addresses claimed.
    pub count: u8,
    /// The VRRP message.
    pub message: Vec<u8>,
}

impl Frame {
    fn ip_payload(&self) -> Option<(IpAddr, IpAddr, u8, u8, &[u8])> {
        let b = &self.bytes;
        match b.get(12..14)? {
            [8, 0] => {
                let ip = b.get(14..)?;
                let ihl = usize::from(ip.first()? & 15) * 4;
                let total = usize::from(u16::from_be_bytes([*ip.get(2)?, *ip.get(3)?]));
                let src = Ipv4Addr::from(<[u8; 4]>::try_from(ip.get(12..16)?).ok()?);
                let dst = Ipv4Addr::from(<[u8; 4]>::try_from(ip.get(16..20)?).ok()?);
                Some((src.into(), dst.into(), *ip.get(8)?, *ip.get(9)?, ip.get(ihl..total)?))
            }
            [0x86, 0xdd] => {
                let ip = b.get(14..)?;
                let len = usize::from(u16::from_be_bytes([*ip.get(4)?, *ip.get(5)?]));
                let src = Ipv6Addr::from(<[u8; 16]>::try_from(ip.get(8..24)?).ok()?);
                let dst = Ipv6Addr::from(<[u8; 16]>::try_from(ip.get(24..40)?).ok()?);
                Some((src.into(), dst.into(), *ip.get(7)?, *ip.get(6)?, ip.get(40..40 + len)?))
            }
            _ => None,
        }
    }

    /// The advert in it.
    pub fn vrrp(&self) -> Option<Vrrp> {
        let (src, dst, ttl, proto, m) = self.ip_payload()?;
        if proto != 112 || m.len() < 8 {
            return None;
        }
        let message = m.to_vec();
        Some(Vrrp { ns: self.ns, src, dst, ttl, version: m[0] >> 4, vrid: m[1], priority: m[2], count: m[3], message })
    }

    /// The BFD control packet in it.
    pub fn bfd(&self) -> Option<Bfd> {
        let (src, dst, ttl, proto, m) = self.ip_payload()?;
        let port = |at: usize| Some(u16::from_be_bytes(m.get(at..at + 2)?.try_into().ok()?));
        let (sport, dport, p) = (port(0)?, port(2)?, m.get(8..32)?);
        if proto != 17 || !matches!(dport, 3784 | 4784) {
            return None;
        }
        let (diag, state, poll, fin) = (p[0] & 31, p[1] >> 6, p[1] & 0x20 != 0, p[1] & 0x10 != 0);
        let min_tx = u32::from_be_bytes(p[12..16].try_into().ok()?);
        Some(Bfd { ns: self.ns, src, dst, ttl, sport, dport, diag, state, poll, fin, min_tx })
    }

    /// The address announced by a gratuitous ARP or an unsolicited neighbour advertisement, with the MAC it is announced at.
    pub fn announces(&self) -> Option<(IpAddr, [u8; 6])> {
        let b = &self.bytes;
        if b.get(12..14)? == [8, 6] {
            let (sender, target) = (b.get(28..32)?, b.get(38..42)?);
            let addr = Ipv4Addr::from(<[u8; 4]>::try_from(sender).ok()?);
            return (sender == target).then_some((addr.into(), b.get(22..28)?.try_into().ok()?));
        }
        let (_, dst, _, proto, m) = self.ip_payload()?;
        let all_nodes = IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
        if proto != 58 || dst != all_nodes || m.first() != Some(&136) {
            return None;
        }
        let target = Ipv6Addr::from(<[u8; 16]>::try_from(m.get(8..24)?).ok()?);
        Some((target.into(), m.get(26..32)?.try_into().ok()?))
    }
}

/// A BFD control packet (RFC 5880 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the fields of the packet
pub struct Bfd {
    pub ns: u64,
    pub src: IpAddr,
    pub dst: IpAddr,
    pub ttl: u8,
    pub sport: u16,
    pub dport: u16,
    pub diag: u8,
    /// 0 AdminDown, 1 Down, 2 Init, 3 Up.
    pub state: u8,
    pub poll: bool,
    pub fin: bool,
    /// Microseconds.
    pub min_tx: u32,
}

/// A running capture on a host's interface.
pub struct Capture {
    process: Owned,
    file: PathBuf,
}

impl Lab {
    /// Captures what passes `host`'s interface, from before this returns.
    pub fn capture(&self, host: &Host, filter: &str) -> Capture {
        let file = self.path(&format!("{}.pcap", host.name));
        let program =
            host.command("tcpdump").args(["-y", "EN10MB", "-ddd", filter]).output().expect("tcpdump was found");
        assert!(program.status.success(), "{filter:?}: {}", String::from_utf8_lossy(&program.stderr));
        let mut child = host
            .command("python3")
            .args(["-u", "-c", include_str!("capture.py"), IFACE])
            .arg(&file)
            .arg(String::from_utf8_lossy(&program.stdout).into_owned())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 was found by missing()");
        let mut line = String::new();
        let out = child.stdout.take().expect("stdout is piped");
        let process = Owned(child);
        BufReader::new(out).read_line(&mut line).expect("a pipe can be read");
        assert_eq!(line.trim(), "ready", "the capture did not begin");
        Capture { process, file }
    }
}

fn u32le(b: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(b.get(at..at + 4)?.try_into().ok()?))
}

impl Capture {
    /// Every frame written so far, in order.
    pub fn frames(&self) -> Vec<Frame> {
        let data = std::fs::read(&self.file).unwrap_or_default();
        let mut frames = Vec::new();
        let mut at = 24;
        // Nanosecond pcap of this machine's own byte order; a record that is still being written ends the list.
        while let (Some(sec), Some(frac), Some(len)) = (u32le(&data, at), u32le(&data, at + 4), u32le(&data, at + 8)) {
            let Some(bytes) = data.get(at + 16..at + 16 + len as usize) else { break };
            frames.push(Frame { ns: u64::from(sec) * 1_000_000_000 + u64::from(frac), bytes: bytes.to_vec() });
            at += 16 + len as usize;
        }
        frames
    }

    /// Every advert so far.
    pub fn adverts(&self) -> Vec<Vrrp> {
        self.frames().iter().filter_map(Frame::vrrp).collect()
    }

    /// Every advert so far from one host.
    pub fn adverts_of(&self, host: &Host) -> Vec<Vrrp> {
        let all = [host.v4(), host.v6(), host.global()];
        self.adverts().into_iter().filter(|a| all.contains(&a.src.to_string())).collect()
    }

    /// Waits for `more` adverts of `host` on top of those seen already: lets protocol time pass, however slow the machine.
    pub fn await_adverts(&self, host: &Host, more: usize) {
        let n = self.adverts_of(host).len() + more;
        until_true(&format!("{more} more adverts of {}", host.name), || self.adverts_of(host).len() >= n);
    }

    /// Ends the capture and has tshark read it: number of VRRP packets with a good checksum. Panics if one is malformed or has a
    /// bad checksum. `as_v2`: whether the VRRPv3 checksum over IPv4 leaves out the pseudo-header.
    pub fn good_by_tshark(mut self, as_v2: bool) -> usize {
        // Each frame is one write, so that the file is whole whenever the capture ends.
        self.process.0.kill().expect("the capture runs");
        self.process.0.wait().expect("it is our child");
        let tshark = |filter: &str| -> usize {
            let out = Command::new("tshark")
                .arg("-r")
                .arg(&self.file)
                .args(["-o", &format!("vrrp.v3_checksum_as_in_v2:{}", if as_v2 { "TRUE" } else { "FALSE" })])
                .args(["-o", "ip.check_checksum:TRUE"])
                .args(["-Y", filter, "-T", "fields", "-e", "frame.number"])
                .stderr(Stdio::null())
                .output()
                .expect("the caller has asked for tshark");
            assert!(out.status.success(), "tshark -Y {filter:?} failed on {}", self.file.display());
            String::from_utf8_lossy(&out.stdout).lines().count()
        };
        assert_eq!(tshark("vrrp && _ws.malformed"), 0, "tshark calls packets malformed");
        // 0 is Bad, 1 is Good in every tshark that knows these fields.
        assert_eq!(tshark("vrrp.checksum.status == 0"), 0, "tshark calls VRRP checksums bad");
        assert_eq!(tshark("vrrp && ip.checksum.status == 0"), 0, "tshark calls IP checksums bad");
        tshark("vrrp.checksum.status == 1")
    }
}
