//! Stream connections we open, and who hears of them. Names are given here, so that a late answer reaches nobody else.
//!
//! Read first: `effect.rs` (`Lookup`, `Connect`, `Write`, `CloseConn`), `child.rs` (the same for programs).

use crate::effect::{ConnFx, Effect, Effects, Peer, Way};
use crate::id::{Arena, CheckId, ConnKey, ConnMark, TrackKey};

/// Whom a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum For {
    /// A native check.
    Check(TrackKey),
    /// A health check of real servers.
    Lvs(CheckId),
    /// The one mail that is under way.
    Mail,
}

/// See the module.
#[derive(Default, serde::Serialize, serde::Deserialize)]
pub struct Conns(Arena<ConnMark, For>);

impl Conns {
    /// A name only: for a `Lookup` whose answer says where to connect to.
    pub fn name(&mut self, whom: For) -> ConnKey {
        self.0.insert(whom)
    }
    /// A name, and the connection asked for.
    pub fn connect(&mut self, whom: For, to: Peer, fx: &mut Effects) -> ConnKey {
        self.connect_by(whom, to, None, fx)
    }
    /// As [`Conns::connect`], with a word on how.
    pub fn connect_by(&mut self, whom: For, to: Peer, way: Option<Box<Way>>, fx: &mut Effects) -> ConnKey {
        let conn = self.name(whom);
        fx.push(Effect::Conn(ConnFx::Connect { conn, to, way }));
        conn
    }
    /// Whose it is; `None`: nobody waits for it any more.
    pub fn whose(&self, conn: ConnKey) -> Option<For> {
        self.0.get(conn).copied()
    }
    /// It is over by itself (`Stream::Failed`); its name is dead.
    pub fn forget(&mut self, conn: ConnKey) {
        self.0.remove(conn);
    }
    /// We are done with it; its name is dead.
    pub fn close(&mut self, conn: ConnKey, fx: &mut Effects) {
        if self.0.remove(conn).is_some() {
            fx.push(Effect::Conn(ConnFx::Close { conn }));
        }
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
