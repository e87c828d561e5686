//! nf_tables over nfnetlink: rules that drop packets to and from virtual addresses, rules that mark packets for IPVS, and which tables
//! there are.
//!
//! Read first: `mod.rs`. Numbers in attributes are in network order, unlike elsewhere in netlink. A change is a batch: the kernel
//! executes all of its messages or none, and a packet sees the ruleset before it or after it. All messages of a batch have the sequence
//! number of its request; the last one alone asks for an acknowledgement, so that the first answer is an error wherever there is one.
//!
//! The rules, in a table `ip` and a table `ip6` of the same name, as keepalived makes them but for three points: neighbour discovery is
//! recognised behind extension headers, too; link-local addresses are matched by the interface's name, which outlives the interface;
//! and a table is there only where it has addresses.
//! ```text
//! chain in  { type filter hook input;  ip daddr @vips drop }
//! chain out { type filter hook output; ip saddr @vips drop }
//! ```
//! of IPv6 after `icmpv6 type 135-136 accept` (RFC 9568 §6.4.3: neighbour solicitations and advertisements are never dropped).
//!
//! The rules that mark packets, for each protocol that has any, with keepalived's names. Its sets know port 0 as a port; here a member
//! without a port is in a set of its own, with all ports, and one with a port comes before it.
//! ```text
//! map tcp_map { type ipv4_addr . inet_service : mark; flags interval; }
//! chain in {
//!     type filter hook input
//!     meta mark set ip daddr . tcp dport map @tcp_map return
//!     meta mark set ip daddr . tcp dport map @tcp_any_map return
//! }
//! ```

use super::ipvs::Protocol;
use super::{
    NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, attrs, put_attr, put_message,
};
use crate::wire::{Bad, array};
use bytes::{BufMut, BytesMut};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

// <linux/netlink.h>
const NLA_F_NESTED: u16 = 0x8000;

// <linux/netfilter/nfnetlink.h>: a message's type has the subsystem in its upper half.
const NFTABLES: u16 = 10 << 8;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NFPROTO_UNSPEC: u8 = 0;
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;
/// Bytes of `struct nfgenmsg`.
const NFGEN_HEADER: usize = 4;

// <linux/netfilter/nf_tables.h>
const NEWTABLE: u16 = NFTABLES;
const GETTABLE: u16 = NFTABLES | 1;
const DELTABLE: u16 = NFTABLES | 2;
const NEWCHAIN: u16 = NFTABLES | 3;
const DELCHAIN: u16 = NFTABLES | 5;
const NEWRULE: u16 = NFTABLES | 6;
const DELRULE: u16 = NFTABLES | 8;
const NEWSET: u16 = NFTABLES | 9;
const DELSET: u16 = NFTABLES | 11;
const NEWSETELEM: u16 = NFTABLES | 12;
const DELSETELEM: u16 = NFTABLES | 14;
const GETGEN: u16 = NFTABLES | 16;
/// Of a table its name; of everything in a table that table's.
const TABLE_NAME: u16 = 1;
const TABLE_USERDATA: u16 = 6;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const LIST_ELEM: u16 = 1;
const EXPR_NAME: u16 = 1;
const EXPR_DATA: u16 = 2;
const SET_NAME: u16 = 2;
const SET_FLAGS: u16 = 3;
const SET_KEY_TYPE: u16 = 4;
const SET_KEY_LEN: u16 = 5;
const SET_DATA_TYPE: u16 = 6;
const SET_DATA_LEN: u16 = 7;
const SET_DESC: u16 = 9;
const SET_ID: u16 = 10;
const SET_USERDATA: u16 = 13;
const SET_EXPRESSION: u16 = 17;
const DESC_CONCAT: u16 = 2;
const FIELD_LEN: u16 = 1;
const SET_INTERVAL: u32 = 0x4;
const SET_MAP: u32 = 0x8;
const SET_CONCAT: u32 = 0x80;
const ELEMENTS_SET: u16 = 2;
const ELEMENTS: u16 = 3;
const ELEMENT_KEY: u16 = 1;
const ELEMENT_DATA: u16 = 2;
const ELEMENT_KEY_END: u16 = 10;
const PAYLOAD_DREG: u16 = 1;
const PAYLOAD_BASE: u16 = 2;
const PAYLOAD_OFFSET: u16 = 3;
const PAYLOAD_LEN: u16 = 4;
const LOOKUP_SET: u16 = 1;
const LOOKUP_SREG: u16 = 2;
const LOOKUP_DREG: u16 = 3;
const META_DREG: u16 = 1;
const META_KEY: u16 = 2;
const META_SREG: u16 = 3;
const CMP_SREG: u16 = 1;
const CMP_OP: u16 = 2;
const CMP_DATA: u16 = 3;
const IMMEDIATE_DREG: u16 = 1;
const IMMEDIATE_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;
const NFT_RETURN: u32 = (-5i32).cast_unsigned();
const LOCAL_IN: u32 = 1;
const LOCAL_OUT: u32 = 3;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const META_MARK: u32 = 3;
const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
const META_L4PROTO: u32 = 16;
const CMP_EQ: u32 = 0;
const CMP_LTE: u32 = 3;
const CMP_GTE: u32 = 5;
/// The verdict's register; registers of 16 bytes, the second behind the first.
const VERDICT: u32 = 0;
const REG_1: u32 = 1;
const REG_2: u32 = 2;
/// The second of four bytes: behind an IPv4 address in the first.
const REG32_01: u32 = 9;
// Types as nft(8) shows them; the kernel does not look at them.
const TYPE_IPV4: u32 = 7;
const TYPE_IPV6: u32 = 8;
const TYPE_IPV6_IFNAME: u32 = 8 << 6 | 41;
const TYPE_SERVICE: u32 = 13;
const TYPE_MARK: u32 = 19;
/// Type of a table's comment in its user data (libnftnl).
const UDATA_COMMENT: u8 = 0;
/// In a set's user data: the order of bytes in which nft(8) shows its values, and that of the host.
const UDATA_DATA_ORDER: u8 = 1;
const HOST_ORDER: u32 = 1;

/// Longest name of a table, bytes (`NFT_NAME_MAXLEN` with its NUL is 256).
pub const NAME_MAX: usize = 255;
/// Longest comment, bytes: its length with a NUL is one byte, and libnftnl allows 128.
pub const COMMENT_MAX: usize = 127;
/// Elements of one message: the list is one attribute, whose length is 16 bits.
const ELEMENTS_MAX: usize = 1000;
/// The same of marks: with both ends and the mark one takes 76 bytes.
const MARKS_MAX: usize = 800;

const ICMPV6: u8 = 58;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
/// `IFNAMSIZ`: bytes of an interface name with its final zero.
const NAME_SIZE: usize = 16;

/// Packets that are marked: to addresses from `first` on, of a protocol and to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct MarkKey {
    /// The family is IPv6.
    pub v6: bool,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// Destination port; 0: any.
    pub port: u16,
    /// The first address of the range.
    pub first: IpAddr,
}

/// The rest of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Marked {
    /// The last address of the range.
    pub last: IpAddr,
    /// The firewall mark that packets get.
    pub mark: u32,
}

/// What is marked. No two ranges of a protocol, port and family overlap.
pub type Marks = BTreeMap<MarkKey, Marked>;

/// What is dropped or marked, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ruleset {
    /// Name of both tables, at most [`NAME_MAX`] bytes.
    pub table: String,
    /// By which they are known as ours, at most [`COMMENT_MAX`] bytes.
    pub comment: String,
    /// Priority of the chains in their hooks.
    pub priority: i32,
    /// Each rule counts its packets.
    pub counters: bool,
    /// The addresses; of link-local ones with their interface, of others without.
    pub addresses: BTreeSet<(IpAddr, String)>,
    /// What is marked, in a table that drops nothing.
    #[serde(default)]
    pub marks: Arc<Marks>,
}

/// A table that is there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Table {
    /// Name of the table.
    pub name: String,
    /// Of the family `ip6`; otherwise `ip` or another.
    pub v6: bool,
    /// Its comment, if it has one.
    pub comment: Option<String>,
}

/// A message that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A table is there.
    Table(Table),
    /// Something was deleted: a table of this name or something in it.
    Deleted(String),
}

/// Whether an address means nothing without its interface.
pub fn is_link_local(addr: &IpAddr) -> bool {
    matches!(addr, IpAddr::V6(a) if a.is_unicast_link_local())
}

/// Appends the batch that puts `rules` in the place of what there is of tables with its name, and removes the tables named `stale`.
pub fn put(out: &mut BytesMut, seq: u32, rules: &Ruleset, stale: &[String]) {
    let (v4, v6): (Vec<_>, Vec<_>) = rules.addresses.iter().partition(|(a, _)| a.is_ipv4());
    batch(out, seq, |b| {
        b.clear(&rules.table);
        stale.iter().for_each(|name| b.clear(name));
        if !v4.is_empty() {
            let keys: Vec<Vec<u8>> = v4.iter().map(|(a, _)| octets(a)).collect();
            let mut t = b.table(NFPROTO_IPV4, rules);
            t.set("vips", TYPE_IPV4, 4, 1, &keys);
            for (chain, hook, address) in [("in", LOCAL_IN, 16), ("out", LOCAL_OUT, 12)] {
                t.chain(chain, hook);
                t.rule(chain, NF_DROP, |e| {
                    e.payload(NETWORK_HEADER, address, 4);
                    e.lookup("vips");
                });
            }
        }
        if !v6.is_empty() {
            let (local, global): (Vec<_>, Vec<_>) = v6.into_iter().partition(|(a, _)| is_link_local(a));
            let mut t = b.table(NFPROTO_IPV6, rules);
            if !global.is_empty() {
                let keys: Vec<Vec<u8>> = global.iter().map(|(a, _)| octets(a)).collect();
                t.set("vips", TYPE_IPV6, 16, 1, &keys);
            }
            if !local.is_empty() {
                let key = |(a, dev): &&(IpAddr, String)| [octets(a), if_name(dev).to_vec()].concat();
                let keys: Vec<Vec<u8>> = local.iter().map(key).collect();
                t.set("vips_link_local", TYPE_IPV6_IFNAME, 16 + NAME_SIZE as u32, 2, &keys);
            }
            let chains = [("in", LOCAL_IN, 24, META_IIFNAME), ("out", LOCAL_OUT, 8, META_OIFNAME)];
            for (chain, hook, address, interface) in chains {
                t.chain(chain, hook);
                t.rule(chain, NF_ACCEPT, |e| {
                    e.meta(META_L4PROTO, REG_1);
                    e.cmp(CMP_EQ, ICMPV6);
                    e.payload(TRANSPORT_HEADER, 0, 1);
                    e.cmp(CMP_GTE, NEIGHBOUR_SOLICITATION);
                    e.cmp(CMP_LTE, NEIGHBOUR_ADVERTISEMENT);
                });
                if !local.is_empty() {
                    t.rule(chain, NF_DROP, |e| {
                        e.payload(NETWORK_HEADER, address, 16);
                        e.meta(interface, REG_2);
                        e.lookup("vips_link_local");
                    });
                }
                if !global.is_empty() {
                    t.rule(chain, NF_DROP, |e| {
                        e.payload(NETWORK_HEADER, address, 16);
                        e.lookup("vips");
                    });
                }
            }
        }
        for v6 in [false, true] {
            b.marks(rules, v6);
        }
    });
}

/// Appends the batch that removes the tables with these names, whether they are there or not.
pub fn remove(out: &mut BytesMut, seq: u32, names: &[String]) {
    batch(out, seq, |b| names.iter().for_each(|name| b.clear(name)));
}

/// Appends the question for all tables.
pub fn get_tables(out: &mut BytesMut, seq: u32) {
    put_message(out, GETTABLE, NLM_F_REQUEST | NLM_F_DUMP, seq, |out| put_header(out, NFPROTO_UNSPEC, 0));
}

/// Appends the question for the number of the present ruleset: acknowledged where there is nf_tables.
pub fn get_generation(out: &mut BytesMut, seq: u32) {
    put_message(out, GETGEN, NLM_F_REQUEST | NLM_F_ACK, seq, |out| put_header(out, NFPROTO_UNSPEC, 0));
}

/// Reads a message of nf_tables; `None`: one we have no use for.
///
/// # Errors
/// Lengths; a table without a name.
pub fn read(kind: u16, body: &[u8]) -> Result<Option<Message>, Bad> {
    let deleted = match kind {
        NEWTABLE => false,
        DELTABLE | DELCHAIN | DELRULE | DELSET | DELSETELEM => true,
        _ => return Ok(None),
    };
    let [family, ..]: [u8; NFGEN_HEADER] = array(body, 0)?;
    let (mut name, mut comment) = (None, None);
    for attr in attrs(&body[NFGEN_HEADER..]) {
        match attr? {
            (TABLE_NAME, value) => name = Some(text(value)),
            (TABLE_USERDATA, value) if kind == NEWTABLE => comment = self::comment(value),
            _ => {}
        }
    }
    let name = name.ok_or(Bad::Missing)?;
    Ok(Some(match deleted {
        true => Message::Deleted(name),
        false => Message::Table(Table { name, v6: family == NFPROTO_IPV6, comment }),
    }))
}

/// The comment in a table's user data: type, length, value, one after the other.
fn comment(mut data: &[u8]) -> Option<String> {
    while let [kind, len, rest @ ..] = data {
        let (value, behind) = rest.split_at_checked(usize::from(*len))?;
        if *kind == UDATA_COMMENT {
            return Some(text(value));
        }
        data = behind;
    }
    None
}

/// Names are bytes to the kernel; one of ours is text.
fn text(value: &[u8]) -> String {
    let end = memchr::memchr(0, value).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

fn octets(addr: &IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(a) => Ipv4Addr::octets(a).to_vec(),
        IpAddr::V6(a) => Ipv6Addr::octets(a).to_vec(),
    }
}

/// As the kernel loads it into a register.
fn if_name(name: &str) -> [u8; NAME_SIZE] {
    let mut out = [0; NAME_SIZE];
    out.iter_mut().zip(name.bytes().take(NAME_SIZE - 1)).for_each(|(to, from)| *to = from);
    out
}

/// `struct nfgenmsg`; `resource` of a batch is the subsystem.
fn put_header(out: &mut BytesMut, family: u8, resource: u16) {
    out.put_u8(family);
    out.put_u8(0); // NFNETLINK_V0
    out.put_u16(resource);
}

fn put_text(out: &mut BytesMut, kind: u16, text: &str) {
    put_attr(out, kind, &[text.as_bytes(), b"\0"].concat());
}

fn put_u32(out: &mut BytesMut, kind: u16, n: u32) {
    put_attr(out, kind, &n.to_be_bytes());
}

/// Appends attributes within one, whose length is filled in afterwards. Made in place: a batch has thousands of them.
fn nested(out: &mut BytesMut, kind: u16, inside: impl FnOnce(&mut BytesMut)) {
    // Whatever was appended before ends at a multiple of four.
    let start = out.len();
    out.put_u16_ne(0);
    out.put_u16_ne(kind | NLA_F_NESTED);
    inside(out);
    let len = (out.len() - start) as u16; // ELEMENTS_MAX
    out[start..start + 2].copy_from_slice(&len.to_ne_bytes());
}

fn batch(out: &mut BytesMut, seq: u32, messages: impl FnOnce(&mut Batch<'_>)) {
    let mark = |out: &mut BytesMut, kind: u16| {
        put_message(out, kind, NLM_F_REQUEST, seq, |out| put_header(out, NFPROTO_UNSPEC, NFTABLES >> 8));
    };
    mark(out, BATCH_BEGIN);
    let mut b = Batch { out, seq, last: None };
    messages(&mut b);
    if let Some(last) = b.last {
        // Behind its length and its type.
        let flags = last + 6;
        let with = u16::from_ne_bytes([b.out[flags], b.out[flags + 1]]) | NLM_F_ACK;
        b.out[flags..flags + 2].copy_from_slice(&with.to_ne_bytes());
    }
    mark(out, BATCH_END);
}

struct Batch<'a> {
    out: &'a mut BytesMut,
    seq: u32,
    /// Where the last message begins.
    last: Option<usize>,
}

impl<'a> Batch<'a> {
    fn message(&mut self, kind: u16, flags: u16, family: u8, body: impl FnOnce(&mut BytesMut)) {
        self.last = Some(self.out.len().next_multiple_of(4));
        put_message(self.out, kind, NLM_F_REQUEST | flags, self.seq, |out| {
            put_header(out, family, 0);
            body(out);
        });
    }

    /// No table of that name any more. To delete what is not there would fail the batch, so it is made first where it is not.
    fn clear(&mut self, name: &str) {
        for family in [NFPROTO_IPV4, NFPROTO_IPV6] {
            self.message(NEWTABLE, NLM_F_CREATE, family, |out| put_text(out, TABLE_NAME, name));
            self.message(DELTABLE, 0, family, |out| put_text(out, TABLE_NAME, name));
        }
    }

    fn table<'b>(&'b mut self, family: u8, rules: &'b Ruleset) -> Inside<'b, 'a> {
        self.message(NEWTABLE, NLM_F_CREATE | NLM_F_EXCL, family, |out| {
            put_text(out, TABLE_NAME, &rules.table);
            let len = (rules.comment.len() + 1) as u8; // COMMENT_MAX
            put_attr(out, TABLE_USERDATA, &[&[UDATA_COMMENT, len], rules.comment.as_bytes(), b"\0"].concat());
        });
        Inside { batch: self, family, rules }
    }
}

impl<'a> Batch<'a> {
    /// The table that marks packets of a family.
    fn marks(&mut self, rules: &Ruleset, v6: bool) {
        let (family, len, address, kind, port) = match v6 {
            false => (NFPROTO_IPV4, 4, 16, TYPE_IPV4, REG32_01),
            true => (NFPROTO_IPV6, 16, 24, TYPE_IPV6, REG_2),
        };
        let mut all = rules.marks.iter().filter(|(key, _)| key.v6 == v6).peekable();
        if all.peek().is_none() {
            return;
        }
        let mut sets: BTreeMap<(u8, bool), Vec<(&MarkKey, &Marked)>> = BTreeMap::new();
        for (key, marked) in all {
            sets.entry((key.protocol.number(), key.port == 0)).or_default().push((key, marked));
        }
        let mut t = self.table(family, rules);
        t.chain("in", LOCAL_IN);
        for (id, ((protocol, any), some)) in (1..).zip(&sets) {
            let word = some.first().map_or("", |(key, _)| key.protocol.name());
            let set = format!("{word}{}_map", if *any { "_any" } else { "" });
            t.map(&set, kind << 6 | TYPE_SERVICE, len, id, some);
            t.rule("in", NFT_RETURN, |e| {
                e.meta(META_L4PROTO, REG_1);
                e.cmp(CMP_EQ, *protocol);
                e.payload(NETWORK_HEADER, address, len);
                e.payload_into(port, TRANSPORT_HEADER, 2, 2);
                e.lookup_value(&set);
                e.set_mark();
            });
        }
    }
}

/// A table that is being filled.
struct Inside<'b, 'a> {
    batch: &'b mut Batch<'a>,
    family: u8,
    rules: &'b Ruleset,
}

impl Inside<'_, '_> {
    fn message(&mut self, kind: u16, flags: u16, body: impl FnOnce(&mut BytesMut)) {
        let rules = self.rules;
        self.batch.message(kind, NLM_F_CREATE | flags, self.family, |out| {
            put_text(out, TABLE_NAME, &rules.table);
            body(out);
        });
    }

    fn set(&mut self, name: &str, kind: u32, len: u32, id: u32, keys: &[Vec<u8>]) {
        self.message(NEWSET, NLM_F_EXCL, |out| {
            put_text(out, SET_NAME, name);
            put_u32(out, SET_KEY_TYPE, kind);
            put_u32(out, SET_KEY_LEN, len);
            put_u32(out, SET_ID, id);
        });
        for some in keys.chunks(ELEMENTS_MAX) {
            self.message(NEWSETELEM, 0, |out| {
                put_text(out, ELEMENTS_SET, name);
                nested(out, ELEMENTS, |out| {
                    for key in some {
                        nested(out, LIST_ELEM, |out| {
                            nested(out, ELEMENT_KEY, |out| put_attr(out, DATA_VALUE, key));
                        });
                    }
                });
            });
        }
    }

    /// A map from addresses of `len` bytes and ports to marks.
    fn map(&mut self, name: &str, kind: u32, len: u32, id: u32, all: &[(&MarkKey, &Marked)]) {
        let counters = self.rules.counters;
        self.message(NEWSET, NLM_F_EXCL, |out| {
            put_text(out, SET_NAME, name);
            put_u32(out, SET_FLAGS, SET_INTERVAL | SET_MAP | SET_CONCAT);
            put_u32(out, SET_KEY_TYPE, kind);
            put_u32(out, SET_KEY_LEN, len + 4);
            put_u32(out, SET_DATA_TYPE, TYPE_MARK);
            put_u32(out, SET_DATA_LEN, 4);
            nested(out, SET_DESC, |out| {
                nested(out, DESC_CONCAT, |out| {
                    for field in [len, 2] {
                        nested(out, LIST_ELEM, |out| put_u32(out, FIELD_LEN, field));
                    }
                });
            });
            put_u32(out, SET_ID, id);
            let order = [&[UDATA_DATA_ORDER, 4], &HOST_ORDER.to_ne_bytes()[..]].concat();
            put_attr(out, SET_USERDATA, &order);
            if counters {
                nested(out, SET_EXPRESSION, |out| put_text(out, EXPR_NAME, "counter"));
            }
        });
        for some in all.chunks(MARKS_MAX) {
            self.message(NEWSETELEM, 0, |out| {
                put_text(out, ELEMENTS_SET, name);
                nested(out, ELEMENTS, |out| {
                    for (key, marked) in some {
                        let last_port = if key.port == 0 { u16::MAX } else { key.port };
                        nested(out, LIST_ELEM, |out| {
                            for (end, addr, port) in
                                [(ELEMENT_KEY, key.first, key.port), (ELEMENT_KEY_END, marked.last, last_port)]
                            {
                                // A register of four bytes for the port.
                                let value = [&octets(&addr)[..], &port.to_be_bytes(), &[0, 0]].concat();
                                nested(out, end, |out| put_attr(out, DATA_VALUE, &value));
                            }
                            // As the kernel compares marks: in the order of the host.
                            nested(out, ELEMENT_DATA, |out| put_attr(out, DATA_VALUE, &marked.mark.to_ne_bytes()));
                        });
                    }
                });
            });
        }
    }

    fn chain(&mut self, name: &str, hook: u32) {
        let priority = self.rules.priority.cast_unsigned();
        self.message(NEWCHAIN, NLM_F_EXCL, |out| {
            put_text(out, CHAIN_NAME, name);
            nested(out, CHAIN_HOOK, |out| {
                put_u32(out, HOOK_NUMBER, hook);
                put_u32(out, HOOK_PRIORITY, priority);
            });
            put_u32(out, CHAIN_POLICY, NF_ACCEPT);
            put_text(out, CHAIN_TYPE, "filter");
        });
    }

    /// Appended to a chain: what `matches` matches has this verdict.
    fn rule(&mut self, chain: &str, verdict: u32, matches: impl FnOnce(&mut Expressions)) {
        let mut all = Expressions(BytesMut::new());
        matches(&mut all);
        if self.rules.counters {
            all.one("counter", |_| {});
        }
        all.one("immediate", |out| {
            put_u32(out, IMMEDIATE_DREG, VERDICT);
            nested(out, IMMEDIATE_DATA, |out| {
                nested(out, DATA_VERDICT, |out| put_u32(out, VERDICT_CODE, verdict));
            });
        });
        self.message(NEWRULE, NLM_F_APPEND, |out| {
            put_text(out, RULE_CHAIN, chain);
            put_attr(out, RULE_EXPRESSIONS | NLA_F_NESTED, &all.0);
        });
    }
}

/// Of a rule, in order.
struct Expressions(BytesMut);

impl Expressions {
    fn one(&mut self, name: &str, data: impl FnOnce(&mut BytesMut)) {
        nested(&mut self.0, LIST_ELEM, |out| {
            put_text(out, EXPR_NAME, name);
            nested(out, EXPR_DATA, data);
        });
    }
    /// Into the first register.
    fn payload(&mut self, base: u32, offset: u32, len: u32) {
        self.payload_into(REG_1, base, offset, len);
    }
    fn payload_into(&mut self, register: u32, base: u32, offset: u32, len: u32) {
        self.one("payload", |out| {
            put_u32(out, PAYLOAD_DREG, register);
            put_u32(out, PAYLOAD_BASE, base);
            put_u32(out, PAYLOAD_OFFSET, offset);
            put_u32(out, PAYLOAD_LEN, len);
        });
    }
    fn meta(&mut self, key: u32, register: u32) {
        self.one("meta", |out| {
            put_u32(out, META_KEY, key);
            put_u32(out, META_DREG, register);
        });
    }
    /// The first byte of the first register.
    fn cmp(&mut self, op: u32, value: u8) {
        self.one("cmp", |out| {
            put_u32(out, CMP_SREG, REG_1);
            put_u32(out, CMP_OP, op);
            nested(out, CMP_DATA, |out| put_attr(out, DATA_VALUE, &[value]));
        });
    }
    /// From the first register on.
    fn lookup(&mut self, set: &str) {
        self.one("lookup", |out| {
            put_text(out, LOOKUP_SET, set);
            put_u32(out, LOOKUP_SREG, REG_1);
        });
    }
    /// The value under the key from the first register on, into the first register.
    fn lookup_value(&mut self, map: &str) {
        self.one("lookup", |out| {
            put_text(out, LOOKUP_SET, map);
            put_u32(out, LOOKUP_SREG, REG_1);
            put_u32(out, LOOKUP_DREG, REG_1);
        });
    }
    /// The mark of the packet is that of the first register.
    fn set_mark(&mut self) {
        self.one("meta", |out| {
            put_u32(out, META_KEY, META_MARK);
            put_u32(out, META_SREG, REG_1);
        });
    }
}
