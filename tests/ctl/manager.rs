//! The messages to systemd, received by a socket in its place: over a path and in the abstract name space.

use crate::Dir;
use kalived::guard::systemd::Notifier;
use kalived::sys::unixsock;
use kalived::time::{Duration, Instant};
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

fn notifier(name: &str) -> Notifier {
    let name = name.to_owned();
    Notifier::from_env(&move |var| (var == "NOTIFY_SOCKET").then(|| name.clone()))
}

fn next(manager: &UnixDatagram) -> String {
    let mut buf = [0; 4096];
    let n = manager.recv(&mut buf).expect("a message came");
    String::from_utf8(buf[..n].to_vec()).unwrap()
}

fn quick(socket: UnixDatagram) -> UnixDatagram {
    socket.set_nonblocking(true).unwrap();
    socket
}

#[test]
fn a_service_from_start_to_end() {
    let dir = Dir::new("notify");
    let at = dir.path("notify");
    let manager = quick(UnixDatagram::bind(&at).unwrap());
    let mut n = notifier(at.to_str().unwrap());
    assert!(n.is_on());
    n.ready("3 instances\nREADY=0");
    assert_eq!(next(&manager), "READY=1\nSTATUS=3 instances READY=0");
    n.reloading(Instant(7_123_456_789));
    assert_eq!(next(&manager), "RELOADING=1\nMONOTONIC_USEC=7123456\nSTATUS=reloading");
    n.watchdog();
    assert_eq!(next(&manager), "WATCHDOG=1");
    n.status("fine");
    assert_eq!(next(&manager), "STATUS=fine");
    n.extend(Duration::from_millis(10_500));
    assert_eq!(next(&manager), "EXTEND_TIMEOUT_USEC=10500000");
    n.main_pid(42);
    assert_eq!(next(&manager), "MAINPID=42");
    n.failed(105, "no buffers");
    assert_eq!(next(&manager), "ERRNO=105\nSTATUS=no buffers");
    n.stopping("stopping");
    assert_eq!(next(&manager), "STOPPING=1\nSTATUS=stopping");
    assert_eq!(n.lost(), 0);
    // The receiver is gone: nothing waits or fails, and the lost message is counted.
    drop(manager);
    n.watchdog();
    assert_eq!(n.lost(), 1);
}

#[test]
fn a_file_descriptor_is_kept_by_the_manager() {
    let dir = Dir::new("store");
    let name = format!("kalived-test-{}", std::process::id());
    let manager = quick(UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap());
    let mut file = std::fs::File::options().read(true).write(true).create_new(true).open(dir.path("f")).unwrap();
    file.write_all(b"snapshot").unwrap();
    let mut n = notifier(&format!("@{name}"));
    n.store("snapshot", file.as_fd());
    drop(file);
    let mut buf = [0; 256];
    let (len, fd) = unixsock::recv_with_fd(manager.as_fd(), &mut buf).unwrap();
    assert_eq!(&buf[..len], b"FDSTORE=1\nFDNAME=snapshot\nFDPOLL=0");
    let mut kept = std::fs::File::from(fd.expect("a file descriptor came"));
    let mut text = String::new();
    kept.rewind().unwrap();
    kept.read_to_string(&mut text).unwrap();
    assert_eq!(text, "snapshot");
    n.forget("snapshot");
    assert_eq!(next(&manager), "FDSTOREREMOVE=1\nFDNAME=snapshot");
}

#[test]
fn a_manager_that_does_not_read_does_not_hold_us_up() {
    let dir = Dir::new("full");
    let at = dir.path("notify");
    let _manager = UnixDatagram::bind(&at).unwrap();
    let mut n = notifier(at.to_str().unwrap());
    // More than any queue of datagrams (net.unix.max_dgram_qlen) or buffer holds.
    for _ in 0..20_000 {
        n.watchdog();
    }
    assert!(n.lost() > 0);
}
