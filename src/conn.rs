//! Stream connections, and the part of the world that is notified of their events. As in `child.rs`, names are never reused.
//!
//! Read first: `effect.rs` (`Lookup`, `Connect`, `Write`, `CloseConn`), `child.rs`.

use crate::effect::{ConnFx, Effect, Effects, Peer, Way};
use crate::id::{Arena, CheckId, ConnKey, ConnMark, TrackKey};

/// The owner of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum For {
    /// A native check.
    Check(TrackKey),
    /// A health check of real servers.
    Lvs(CheckId),
    /// The mail that is being sent.
    Mail,
}

/// The names of open connections and of look-ups under way, and for each the part of the world that is notified of its events.
#[derive(Default, serde::Serialize, serde::Deserialize)]
pub struct Conns(Arena<ConnMark, For>);

impl Conns {
    /// A name only: for a `Lookup` whose answer contains the address to connect to.
    pub fn name(&mut self, whom: For) -> ConnKey {
        self.0.insert(whom)
    }
    /// A name, and the request for the connection.
    pub fn connect(&mut self, whom: For, to: Peer, fx: &mut Effects) -> ConnKey {
        self.connect_by(whom, to, None, fx)
    }
    /// As [`Conns::connect`], with the options of the connection.
    pub fn connect_by(&mut self, whom: For, to: Peer, way: Option<Box<Way>>, fx: &mut Effects) -> ConnKey {
        let conn = self.name(whom);
        fx.push(Effect::Conn(ConnFx::Connect { conn, to, way }));
        conn
    }
    /// The owner of a connection; `None`: it is closed.
    pub fn whose(&self, conn: ConnKey) -> Option<For> {
        self.0.get(conn).copied()
    }
    /// The connection ended by itself (`Stream::Failed`); its name is invalid from now on.
    pub fn forget(&mut self, conn: ConnKey) {
        self.0.remove(conn);
    }
    /// Closes a connection; its name is invalid from now on.
    pub fn close(&mut self, conn: ConnKey, fx: &mut Effects) {
        if self.0.remove(conn).is_some() {
            fx.push(Effect::Conn(ConnFx::Close { conn }));
        }
    }
    /// The number of connections.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Whether there is no connection.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
