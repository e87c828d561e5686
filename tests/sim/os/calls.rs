//! The system calls that services make themselves, simulated.

use super::route::PORT;
use super::{EAGAIN, Left, SimOs};
use bytes::Bytes;
use kalived::sys::op::Fd;
use kalived::sys::os::Calls;
use kalived::sys::socket::{Origin, Pair, SockAddr, Transport};
use kalived::time::{Duration, Instant, Now, Wall};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

/// The loop joined a group itself, because there was no helper; counted among the faults.
pub const JOINED_HERE: &str = "group joined by the loop";

impl Calls for SimOs {
    fn now(&self) -> Now {
        Now { mono: self.now, wall: Wall(1_700_000_000_000_000_000 + self.now.0) }
    }
    fn mono(&self) -> Instant {
        self.now
    }
    fn cpu(&self) -> Duration {
        Duration::ZERO
    }
    fn open_vrrp(&mut self, _ifindex: u32, group: IpAddr, _ah: bool) -> io::Result<Pair> {
        let pair = Pair { rx: self.open()?, tx: self.open()? };
        self.files.entry(pair.rx.as_raw_fd()).or_default().group = Some(group);
        Ok(pair)
    }
    fn join(&mut self, _rx: &Fd, _ifindex: u32, _group: IpAddr) -> io::Result<()> {
        *self.faults.entry(JOINED_HERE).or_default() += 1;
        Ok(())
    }
    fn open_unicast(&mut self, _ifindex: u32, _local: IpAddr, _ah: bool) -> io::Result<Pair> {
        Ok(Pair { rx: self.open()?, tx: self.open()? })
    }
    fn open_sender(&mut self, _ifindex: u32, _group: IpAddr) -> io::Result<Fd> {
        self.open()
    }
    fn connect_group(&mut self, _tx: &Fd, _to: &SockAddr) -> bool {
        self.rng.permille(900)
    }
    fn open_local(&mut self, _ifindex: u32, _to: Ipv4Addr, _sources: &[Ipv4Addr], _ah: bool) -> io::Result<Fd> {
        self.open()
    }
    fn filter_local(&mut self, _fd: &Fd, _to: Ipv4Addr, _sources: &[Ipv4Addr], _ah: bool) -> io::Result<()> {
        Ok(())
    }
    fn send_now(&mut self, fd: &Fd, bytes: &[u8]) -> io::Result<usize> {
        if self.happens("no room to send", self.rates.full) {
            return Err(io::Error::from_raw_os_error(-EAGAIN));
        }
        if self.happens("connection reset", self.rates.stream / 4) {
            return Err(io::Error::from_raw_os_error(-super::ECONNRESET));
        }
        let mut n = bytes.len();
        if n > 1 && self.happens("short write", 4 * self.rates.stream) {
            n = self.rng.range(1, n as u64 - 1) as usize;
        }
        self.files.entry(fd.as_raw_fd()).or_default().taken.extend(&bytes[..n]);
        Ok(n)
    }
    fn open_frames(&mut self) -> io::Result<Fd> {
        self.open_packet()
    }
    fn open_packet(&mut self) -> io::Result<Fd> {
        let fd = self.open()?;
        self.files.entry(fd.as_raw_fd()).or_default().packets = true;
        Ok(fd)
    }
    fn send_frames(&mut self, _fd: &Fd, _ifindex: u32, frames: &[Bytes]) -> (usize, Option<i32>) {
        let mut sent = 0;
        for f in frames {
            if self.happens("frame queue full", self.rates.full) {
                return (sent, Some(-EAGAIN));
            }
            if self.happens("frame not sent", self.rates.send / 4) {
                return (sent, Some(100));
            }
            self.left.push((self.now, Left::Frame(f.clone())));
            sent += 1;
        }
        (sent, None)
    }
    fn open_unix(&mut self) -> io::Result<Fd> {
        self.open()
    }
    fn open_to(&mut self, _transport: Transport, _to: SocketAddr, _origin: &Origin<'_>) -> io::Result<Fd> {
        self.open()
    }
    fn open_bfd_port(&mut self, _v6: bool, _port: u16) -> io::Result<Fd> {
        self.open()
    }
    fn open_bfd(&mut self, _source: Option<IpAddr>, _v6: bool, _port: u16, _ttl: u8) -> io::Result<Fd> {
        self.open()
    }
    fn send_datagram(&mut self, _fd: &Fd, _bytes: &[u8], _to: &SockAddr) -> io::Result<()> {
        Ok(())
    }
    fn open_netlink(&mut self) -> io::Result<(Fd, Rc<SockAddr>)> {
        let fd = self.open()?;
        self.files.entry(fd.as_raw_fd()).or_default().netlink = true;
        Ok((fd, Rc::new(SockAddr::ip(Ipv4Addr::UNSPECIFIED.into(), 0))))
    }
    fn open_generic(&mut self) -> io::Result<(Fd, Rc<SockAddr>)> {
        // EPROTONOSUPPORT: no machine of the simulation has IPVS.
        Err(io::Error::from_raw_os_error(93))
    }
    fn open_netfilter(&mut self) -> io::Result<(Fd, Rc<SockAddr>)> {
        // Nor nf_tables.
        Err(io::Error::from_raw_os_error(93))
    }
    fn netlink_port(&mut self, _fd: &Fd) -> io::Result<u32> {
        Ok(PORT)
    }
    fn watch_routes(&mut self, _fd: &Fd, _filter: &[(u16, u8, u8, u32)]) -> io::Result<()> {
        Ok(())
    }
    fn netlink_drops(&mut self, fd: &Fd) -> Option<u32> {
        self.files.get(&fd.as_raw_fd()).map(|f| f.drops)
    }
    fn send_message(&mut self, fd: &Fd, bytes: &[u8], _gift: Option<BorrowedFd<'_>>) -> io::Result<()> {
        self.line_send(fd.as_raw_fd(), bytes)
    }
    fn recv_message(&mut self, fd: &Fd, buf: &mut [u8]) -> io::Result<Option<(usize, Vec<OwnedFd>)>> {
        Ok(self.line_recv(fd.as_raw_fd(), buf)?.map(|n| (n, Vec::new())))
    }
    fn usable_fifo(&mut self, _fd: &OwnedFd) -> bool {
        true
    }
    fn write_fifo(&mut self, _fd: &Fd, _line: &[u8]) -> io::Result<()> {
        Ok(())
    }
    fn open_stderr(&mut self) -> io::Result<Fd> {
        self.open()
    }
    fn open_syslog(&mut self, _path: &str) -> io::Result<Fd> {
        self.open()
    }
    fn parent(&self) -> u32 {
        1
    }
}
