//! Two configurations to a plan: what a reload keeps, alters, adds and removes.
//!
//! Blocks are found again by their name (`vrrp_instance web`) or by what identifies them (a virtual server's address,
//! port and protocol); where they stand in the file does not matter, except where the order itself means something
//! (the addresses of an advert). Settings are compared by the model's fields, so that a new keyword is compared without
//! code here. Pure. Read first: `node.rs`, `model`.

use super::model::heirs::{self, Routers};
use super::model::{Config, InstanceConfig};
use super::node::{Block, Node};
use super::shown;
use core::net::IpAddr;
use std::collections::BTreeMap;
use std::fmt;

/// How a struct of the model is called in a file, and which of its fields identify it among its kind.
const KINDS: &[(&str, &str, &[&str])] = &[
    ("InstanceConfig", "vrrp_instance", &["name"]),
    ("SyncGroup", "vrrp_sync_group", &["name"]),
    ("VrrpScript", "vrrp_script", &["name"]),
    ("VrrpCheck", "vrrp_check", &["name"]),
    ("TrackFile", "track_file", &["name"]),
    ("TrackProcess", "vrrp_track_process", &["name"]),
    ("TrackGroup", "track_group", &["name"]),
    ("GarpGroup", "garp_group", &["interfaces"]),
    ("Linkbeat", "linkbeat_interfaces", &["interface"]),
    ("LinkDelay", "interface_up_down_delays", &["interface"]),
    ("TrackInterface", "track_interface", &["name"]),
    ("Vip", "address", &["addr", "dev"]),
    ("Route", "route", &["kind", "to", "table", "metric", "tos"]),
    ("Rule", "rule", &["not", "from", "to", "preference", "fwmark", "iif", "oif", "action"]),
    ("BfdInstance", "bfd_instance", &["name"]),
    ("ServerGroup", "virtual_server_group", &["name"]),
    ("VirtualServer", "virtual_server", &["service", "protocol"]),
    ("RealServer", "real_server", &["addr", "port"]),
];

/// What happens to a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Untouched: not one timer of it moves.
    Kept,
    /// Stays, with these changes, in the order of the model.
    Altered(Vec<Change>),
    /// Only the new configuration has it.
    Added,
    /// Only the old configuration has it.
    Removed,
}

/// One setting whose value differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its word in the file, with the inner blocks that lead to it: "priority", "virtual_ipaddress 10.0.0.1 prefix".
    pub field: String,
    /// The field of the model, without the blocks around it.
    pub model: String,
    /// Before; `None`: it was not there. A secret is masked.
    pub from: Option<String>,
    /// After; `None`: it is gone.
    pub to: Option<String>,
}

/// One block of the top level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As in a file: "vrrp_instance".
    pub kind: String,
    /// Its name or identity; empty for what exists once (`global_defs`).
    pub id: String,
    /// What a reload does with the block.
    pub what: What,
    /// What a person should know beyond that.
    pub remarks: Vec<String>,
}

/// An address that stays on the machine but changes hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The address that moves.
    pub addr: IpAddr,
    /// On which interface, before and after.
    pub dev: (String, String),
    /// Name of the `vrrp_instance` before.
    pub from: String,
    /// Name of the `vrrp_instance` after.
    pub to: String,
}

/// An instance that goes on under another name: the same VRID of the same family on the same interface (`model/heirs.rs`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// Its name in the old configuration.
    pub from: String,
    /// Its name in the new configuration.
    pub to: String,
    /// The VRID, which identifies the virtual router together with interface and family.
    pub vrid: u8,
    /// Name of the interface.
    pub interface: String,
}

/// What a reload changes: the whole difference between two configurations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Blocks: by kind in the order of the model; within a kind the old ones in file order, then the new ones in file order.
    pub entries: Vec<Entry>,
    /// Addresses that change hands; nobody may remove one of them from the kernel.
    pub moved: Vec<Moved>,
    /// Instances that are one and the same on the wire and have another name.
    pub adopted: Vec<Adopted>,
    /// What becomes of the virtual routers, renamed ones taken for what they were: as the reload itself counts them.
    pub routers: Routers,
}

/// What is to be done to get from one to the other.
pub fn diff(old: &Config, new: &Config) -> Plan {
    // As the daemon does with each configuration: a member tracks what its group tracks.
    let shared = |config: &Config| {
        let mut config = config.clone();
        config.share_group_tracks();
        config
    };
    match [old, new].iter().all(|c| c.sync_groups.is_empty()) {
        true => plan(old, new),
        false => plan(&shared(old), &shared(new)),
    }
}

fn plan(old: &Config, new: &Config) -> Plan {
    let before: Vec<&InstanceConfig> = old.instances.iter().collect();
    let heirs: Vec<_> = heirs::heirs(&before, &new.instances).into_iter().map(|n| before.get(n?).copied()).collect();
    let pairs = || new.instances.iter().zip(&heirs).filter_map(|(to, from)| Some(((*from)?, to)));
    let kept = pairs().filter(|(from, to)| Node::of(*from) == Node::of(*to)).count();
    let going_on = pairs().count();
    let routers = Routers {
        kept,
        altered: going_on - kept,
        added: new.instances.len() - going_on,
        removed: before.len() - going_on,
    };
    let adopted = pairs().filter(|(from, to)| from.name != to.name).map(|(from, to)| Adopted {
        from: from.name.clone(),
        to: to.name.clone(),
        vrid: to.vrid,
        interface: to.interface.clone(),
    });
    let mut plan = Plan { entries: Vec::new(), moved: moved(old, new), adopted: adopted.collect(), routers };
    let (Node::Block(a), Node::Block(b)) = (Node::of(old), Node::of(new)) else { return plan };
    for ((field, old), (_, new)) in a.fields.iter().zip(&b.fields) {
        top(&mut plan.entries, field, old, new);
    }
    remarks(&mut plan);
    plan
}

impl Plan {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.entries.iter().all(|e| e.what == What::Kept)
    }
    /// What happens to one block.
    pub fn of(&self, kind: &str, id: &str) -> Option<&What> {
        self.entries.iter().find(|e| e.kind == kind && e.id == id).map(|e| &e.what)
    }
    /// For tools; the field names are those of kalived(8).
    pub fn json(&self) -> serde_json::Value {
        use serde_json::{Value, json};
        let changes = |list: &[Change]| -> Value {
            list.iter().map(|c| json!({"field": c.field, "from": c.from, "to": c.to})).collect()
        };
        let entries = |word: &str| -> Value {
            let of = |e: &&Entry| e.what.word() == word;
            let one = |e: &Entry| {
                let mut v = json!({"kind": e.kind, "id": e.id, "remarks": e.remarks});
                if let (What::Altered(list), Some(map)) = (&e.what, v.as_object_mut()) {
                    map.insert("changes".to_owned(), changes(list));
                }
                v
            };
            self.entries.iter().filter(of).map(one).collect()
        };
        let moved: Value = (self.moved.iter())
            .map(|m| {
                json!({"address": m.addr.to_string(), "from": m.from, "to": m.to,
                "interface_from": m.dev.0, "interface_to": m.dev.1})
            })
            .collect();
        let adopted: Value = (self.adopted.iter())
            .map(|a| json!({"from": a.from, "to": a.to, "virtual_router_id": a.vrid, "interface": a.interface}))
            .collect();
        let r = &self.routers;
        json!({"kept": entries("kept"), "altered": entries("altered"), "added": entries("added"),
            "removed": entries("removed"), "moved": moved, "adopted": adopted,
            "virtual_routers": {"kept": r.kept, "altered": r.altered, "added": r.added, "removed": r.removed}})
    }
}

impl What {
    fn word(&self) -> &'static str {
        match self {
            What::Kept => "kept",
            What::Altered(_) => "altered",
            What::Added => "added",
            What::Removed => "removed",
        }
    }
}

/// A field of `Config`: a block that exists once, or a list of blocks.
fn top(out: &mut Vec<Entry>, field: &str, old: &Node, new: &Node) {
    let entry = |kind: &str, id: String, what| Entry { kind: kind.to_owned(), id, what, remarks: Vec::new() };
    match (old, new) {
        (Node::List(a), Node::List(b)) => {
            let after = by_identity(b);
            let before = by_identity(a);
            for (key, node) in &before.order {
                let what = match after.find(key) {
                    Some(other) => changes(node, other),
                    None => What::Removed,
                };
                out.push(entry(kind_of(node).unwrap_or(field), key.0.clone(), what));
            }
            for (key, node) in after.order.iter().filter(|(key, _)| before.find(key).is_none()) {
                out.push(entry(kind_of(node).unwrap_or(field), key.0.clone(), What::Added));
            }
        }
        _ => {
            let name = match field {
                "global" => "global_defs",
                "root" => "top level",
                "ssl" => "SSL",
                other => other,
            };
            // What has no block of its own in a file needs no line as long as it stays.
            let what = changes(old, new);
            if field == "global" || what != What::Kept {
                out.push(entry(name, String::new(), what));
            }
        }
    }
}

fn changes(old: &Node, new: &Node) -> What {
    if old == new {
        return What::Kept;
    }
    let mut list = Vec::new();
    compare(&mut list, ("", ""), old, new);
    What::Altered(list)
}

// `path`: the words of the file, and the field of the model.
fn compare(out: &mut Vec<Change>, (path, model): (&str, &str), old: &Node, new: &Node) {
    if old == new {
        return;
    }
    let inner = |kind: &str, name: &str| {
        let word = shown::word(kind, name)?;
        Some(format!("{path}{}{word}", if path.is_empty() || word.is_empty() { "" } else { " " }))
    };
    match (old, new) {
        (Node::Block(a), Node::Block(b)) if a.kind == b.kind && same_fields(a, b) => {
            for ((name, old), (_, new)) in a.fields.iter().zip(&b.fields) {
                if let Some(inner) = inner(a.kind, name) {
                    compare(out, (&inner, name), old, new);
                }
            }
        }
        (Node::List(a), Node::List(b)) if [a, b].iter().all(|l| l.iter().all(|n| kind_of(n).is_some())) => {
            lists(out, (path, model), a, b);
        }
        _ => {
            let say = |n: &Node| match n {
                Node::Unset | Node::Skip => None,
                Node::List(l) if l.is_empty() => None,
                n => Some(shown::line(n)),
            };
            out.push(Change { field: path.to_owned(), model: model.to_owned(), from: say(old), to: say(new) });
        }
    }
}

fn same_fields(a: &Block, b: &Block) -> bool {
    a.fields.len() == b.fields.len() && a.fields.iter().zip(&b.fields).all(|(a, b)| a.0 == b.0)
}

/// Blocks inside a block: found again by identity.
fn lists(out: &mut Vec<Change>, (path, model): (&str, &str), old: &[Node], new: &[Node]) {
    let (before, after) = (by_identity(old), by_identity(new));
    let start = out.len();
    let name = |key: &Key| format!("{path} {}", key.0).trim_start().to_owned();
    for (key, node) in &before.order {
        match after.find(key) {
            Some(other) => compare(out, (&name(key), model), node, other),
            None => out.push(Change {
                field: path.to_owned(),
                model: model.to_owned(),
                from: Some(shown::line(node)),
                to: None,
            }),
        }
    }
    for (_, node) in after.order.iter().filter(|(key, _)| before.find(key).is_none()) {
        out.push(Change { field: path.to_owned(), model: model.to_owned(), from: None, to: Some(shown::line(node)) });
    }
    if out.len() == start {
        // The same blocks in another order, which adverts show.
        let order = |l: &Blocks<'_>| Some(l.order.iter().map(|(k, _)| k.0.as_str()).collect::<Vec<_>>().join(", "));
        out.push(Change {
            field: format!("{path} order"),
            model: model.to_owned(),
            from: order(&before),
            to: order(&after),
        });
    }
}

/// Identity, and which one of several with the same.
type Key = (String, usize);

struct Blocks<'a> {
    order: Vec<(Key, &'a Node)>,
    by_key: BTreeMap<Key, &'a Node>,
}

impl<'a> Blocks<'a> {
    fn find(&self, key: &Key) -> Option<&'a Node> {
        self.by_key.get(key).copied()
    }
}

fn by_identity(list: &[Node]) -> Blocks<'_> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let order: Vec<(Key, &Node)> = list
        .iter()
        .map(|n| {
            let id = identity(n);
            let count = seen.entry(id.clone()).or_insert(0);
            *count += 1;
            ((id, *count), n)
        })
        .collect();
    Blocks { by_key: order.iter().map(|(k, n)| (k.clone(), *n)).collect(), order }
}

fn kind_of(node: &Node) -> Option<&'static str> {
    let Node::Block(b) = node else { return None };
    Some(KINDS.iter().find(|k| k.0 == b.kind).map_or(b.kind, |k| k.1))
}

/// What identifies a block: the fields of [`KINDS`]; of another kind the first field.
fn identity(node: &Node) -> String {
    let Node::Block(b) = node else { return node.to_string() };
    if let Some(check) = shown::check(b) {
        return check.to_owned();
    }
    let fields = KINDS.iter().find(|k| k.0 == b.kind).map(|k| k.2);
    let parts: Vec<String> = match fields {
        Some(names) => names.iter().filter_map(|n| b.get(n)).filter(|n| !n.is_empty()).map(shown::line).collect(),
        None => b.fields.first().map(|f| shown::line(&f.1)).into_iter().collect(),
    };
    parts.join(" ")
}

fn addresses(config: &Config) -> impl Iterator<Item = (IpAddr, String, &InstanceConfig)> {
    let all = |i| -> Vec<_> {
        let i: &InstanceConfig = i;
        let lines = i.vips.iter().chain(&i.excluded);
        lines.map(|v| (v.addr, v.dev.clone().unwrap_or_else(|| i.interface.clone()), i)).collect()
    };
    config.instances.iter().flat_map(all)
}

fn moved(old: &Config, new: &Config) -> Vec<Moved> {
    let before: Vec<_> = addresses(old).collect();
    let mut at: BTreeMap<IpAddr, Vec<usize>> = BTreeMap::new();
    for (n, (addr, ..)) in before.iter().enumerate() {
        at.entry(*addr).or_default().push(n);
    }
    let mut out = Vec::new();
    for (addr, dev, to) in addresses(new) {
        let holders = || at.get(&addr).into_iter().flatten().filter_map(|n| before.get(*n));
        // Nothing moves where the same instance has it still, on the same interface.
        if holders().any(|(_, d, i)| i.name == to.name && *d == dev) {
            continue;
        }
        let Some((_, was, from)) = holders().next() else { continue };
        out.push(Moved { addr, dev: (was.clone(), dev), from: from.name.clone(), to: to.name.clone() });
    }
    out
}

fn remarks(plan: &mut Plan) {
    let mut add = |name: &str, text: String| {
        if let Some(e) = plan.entries.iter_mut().find(|e| e.kind == "vrrp_instance" && e.id == name) {
            e.remarks.push(text);
        }
    };
    for a in &plan.adopted {
        add(&a.from, format!("same VRID {} on {}: goes on as {}", a.vrid, a.interface, a.to));
        add(&a.to, format!("same VRID {} on {}: adopts the state of {}", a.vrid, a.interface, a.from));
    }
    for m in &plan.moved {
        if m.from == m.to {
            add(&m.to, format!("{} moves from {} to {}", m.addr, m.dev.0, m.dev.1));
        } else {
            add(&m.from, format!("{} moves to {}", m.addr, m.to));
            add(&m.to, format!("{} comes from {}", m.addr, m.from));
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for e in &self.entries {
            let sign = match e.what {
                What::Kept => continue,
                What::Altered(_) => '~',
                What::Added => '+',
                What::Removed => '-',
            };
            let gap = if e.id.is_empty() { "" } else { " " };
            writeln!(f, "{sign} {}{gap}{}", e.kind, e.id)?;
            if let What::Altered(list) = &e.what {
                for c in list {
                    match (&c.from, &c.to) {
                        (Some(a), Some(b)) => writeln!(f, "      {}: {a} -> {b}", c.field)?,
                        (Some(a), None) => writeln!(f, "      {}: {a} -> not set", c.field)?,
                        (None, Some(b)) => writeln!(f, "      {}: not set -> {b}", c.field)?,
                        (None, None) => writeln!(f, "      {}", c.field)?,
                    }
                }
            }
            for r in &e.remarks {
                writeln!(f, "      ({r})")?;
            }
        }
        let others = self.entries.iter().filter(|e| e.kind != "vrrp_instance");
        let n = |word: &str| others.clone().filter(|e| e.what.word() == word).count();
        writeln!(f, "{}", self.routers)?;
        let (kept, altered, added, removed) = (n("kept"), n("altered"), n("added"), n("removed"));
        writeln!(f, "other blocks: {kept} kept, {altered} altered, {added} added, {removed} removed")
    }
}
