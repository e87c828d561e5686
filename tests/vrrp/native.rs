//! A `vrrp_script` that only opens a port, from its text to a connection without a program.

use crate::bench::Bench;
use kalived::config::load;
use kalived::config::source::{FileError, Files};
use kalived::effect::{ConnFx, Effect, GuardFx, Peer};
use kalived::event::{Errno, Event, Stream};
use kalived::time::Duration;
use kalived::vrrp::State;
use kalived::world::World;

struct Text(&'static str);

impl Files for Text {
    fn read(&self, _: &str) -> Result<Vec<u8>, FileError> {
        Ok(self.0.as_bytes().to_vec())
    }
}

const FILE: &str = "vrrp_script web {
    script \"</dev/tcp/127.0.0.1/80\"
    interval 2
}
vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 51
    virtual_ipaddress {
        10.0.0.100/16
    }
    track_script {
        web
    }
}
";

#[test]
fn it_is_a_connection_and_keeps_its_name() {
    let loaded = load(&Text(FILE), "k.conf");
    assert_eq!(loaded.render(false), "");
    let mut b = Bench::of(World::new(loaded.config));
    b.start();
    b.fire();
    for (what, state, says) in [
        (Stream::Connected, State::Backup, "VRRP_Script(web) succeeded"),
        (Stream::Failed(Errno(111)), State::Fault, "VRRP_Script(web) failed (connection refused (111))"),
    ] {
        let asked = std::mem::take(&mut b.asked);
        let conns: Vec<_> = asked
            .iter()
            .filter_map(|e| match e {
                Effect::Conn(ConnFx::Connect { conn, to: Peer::Tcp(to), .. }) => Some((*conn, to.to_string())),
                _ => None,
            })
            .collect();
        assert!(!asked.iter().any(|e| matches!(e, Effect::Guard(GuardFx::Spawn { .. }))), "{asked:?}");
        let [(conn, to)] = &conns[..] else { panic!("{says}: {asked:?} {:?}", b.log) };
        assert_eq!(to, "127.0.0.1:80");
        b.event(Event::Conn { conn: *conn, what });
        assert_eq!((b.state(), b.logged(says)), (state, 1), "{:?}", b.log);
        b.asked.clear();
        b.run(Duration::from_secs(2));
    }
    assert_eq!(b.logged("due to script web"), 1, "{:?}", b.log);
}
