//! The kernel's objects: interfaces, sockets, routes. Read first: `mod.rs`.

use super::describe::record;

record! {
    /// An interface that the configuration names.
    pub struct Interface {
        /// Name of the interface.
        pub name: String,
        /// The kernel's number of it; null: it does not exist.
        pub ifindex: Option<u32>,
        /// It is set up (IFF_UP).
        pub up: bool,
        /// It has carrier and works (IFF_RUNNING).
        pub running: bool,
        /// It can do multicast (IFF_MULTICAST).
        pub multicast: bool,
        /// Largest packet that it sends (MTU), in bytes.
        pub mtu_bytes: u32,
        /// Its hardware address; null: none of six bytes.
        pub mac: Option<String>,
    }
}

record! {
    /// A socket for adverts.
    pub struct Socket {
        /// Its interface; of unicast peers the address that they send to.
        pub name: String,
        /// The group or address that it receives for.
        pub address: String,
        /// It receives and sends.
        pub ready: bool,
        /// Why it could not be opened; null: it could, or was not tried.
        pub error: Option<String>,
        /// Virtual routers that use it.
        pub instances: u64,
        /// Packets of a VRID that no virtual router here has, or of none.
        pub packets_of_unknown_vrid: u64,
    }
}

record! {
    /// Static and virtual routes.
    pub struct Routes {
        /// Lines of static_routes.
        pub configured: u64,
        /// Of these in the kernel.
        pub held: u64,
        /// Of these waiting for an interface.
        pub waiting: u64,
        /// Virtual routes of virtual routers that are Master.
        pub virtual_wanted: u64,
        /// Of these in the kernel.
        pub virtual_held: u64,
        /// How often one was put back after another program removed it.
        pub restored: u64,
    }
}

record! {
    /// Static and virtual rules.
    pub struct Rules {
        /// Lines of static_rules.
        pub configured: u64,
        /// Of these in the kernel.
        pub held: u64,
        /// Virtual rules of virtual routers that are Master.
        pub virtual_wanted: u64,
        /// Of these in the kernel.
        pub virtual_held: u64,
        /// How often one was put back after another program removed it.
        pub restored: u64,
    }
}
