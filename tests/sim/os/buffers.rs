//! Provided buffers of the simulated ring: a pool from which the kernel takes buffers and to which the services return them.
//!
//! The holder of each buffer is known at any time, so a buffer that is returned twice, or that the kernel never handed out, is
//! detected at once.

use kalived::sys::bufring::Received;
use kalived::sys::op::Header;
use kalived::sys::os::Buffers;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// The content of a receive.
#[derive(Clone, Debug, Default)]
pub struct Datagram {
    /// The sender's raw address.
    pub name: Vec<u8>,
    /// Raw ancillary data.
    pub control: Vec<u8>,
    /// The datagram.
    pub payload: Vec<u8>,
}

/// The kernel's side.
#[derive(Debug, Default)]
pub struct Pool {
    free: Vec<u16>,
    filled: BTreeMap<u16, Datagram>,
    /// The first mistake of a service.
    pub wrong: Option<String>,
    /// How many were returned.
    pub given: u64,
    /// Sometimes one is returned twice (a canary).
    pub twice: bool,
}

impl Pool {
    /// All of them offered.
    pub fn new(entries: u16) -> Rc<RefCell<Pool>> {
        Rc::new(RefCell::new(Pool { free: (0..entries).rev().collect(), ..Pool::default() }))
    }
    /// Puts a datagram into a buffer; `None`: there is none.
    pub fn fill(&mut self, d: Datagram) -> Option<u16> {
        let id = self.free.pop()?;
        self.filled.insert(id, d);
        Some(id)
    }
    /// Whether one is left.
    pub fn has(&self) -> bool {
        !self.free.is_empty()
    }
    /// How many the services hold.
    pub fn held(&self) -> usize {
        self.filled.len()
    }
    fn give(&mut self, id: u16) {
        if self.filled.remove(&id).is_none() {
            self.wrong.get_or_insert(format!("buffer {id} was given back, and the kernel had it already"));
            return;
        }
        self.given += 1;
        self.free.push(id);
    }
}

/// The services' side.
pub struct SimBuffers {
    pool: Rc<RefCell<Pool>>,
    current: Datagram,
}

impl SimBuffers {
    /// Of this pool.
    pub fn new(pool: Rc<RefCell<Pool>>) -> SimBuffers {
        SimBuffers { pool, current: Datagram::default() }
    }
}

impl Buffers for SimBuffers {
    fn datagram(&mut self, id: u16, _len: i32, _header: &Header) -> Option<Received<'_>> {
        self.current = self.pool.borrow().filled.get(&id).cloned()?;
        let Datagram { name, control, payload } = &self.current;
        Some(Received { name, control, payload, truncated: false })
    }
    fn give(&mut self, id: u16) {
        let mut pool = self.pool.borrow_mut();
        pool.give(id);
        if pool.twice && pool.given.is_multiple_of(50) {
            pool.give(id);
        }
    }
}
