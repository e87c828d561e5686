//! Names that one block uses and another must define: scripts, files, processes, BFD sessions, instances, groups. They are checked after
//! the whole file is read, so a block may be defined after its use. Read first: `mod.rs`.

use super::Cx;
use crate::config::keyword::nearest::distance;
use crate::config::kind;
use crate::config::model::check::CheckKind;
use crate::config::model::vrrp::Tracks;
use crate::config::model::{Config, InstanceConfig};
use crate::config::source::{Sources, Span};
use crate::config::tree::Stmt;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The kind of thing that a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Interface,
    Script,
    Check,
    File,
    Process,
    Bfd,
    Instance,
    ServerGroup,
    VirtualServer,
}

impl Kind {
    fn block(self) -> &'static str {
        match self {
            Kind::Interface => "interface",
            Kind::Script => "vrrp_script",
            Kind::Check => "vrrp_check",
            Kind::File => "track_file",
            Kind::Process => "vrrp_track_process",
            Kind::Bfd => "bfd_instance",
            Kind::Instance => "vrrp_instance",
            Kind::ServerGroup => "virtual_server_group",
            Kind::VirtualServer => "virtual_server",
        }
    }
}

/// One use of a name.
#[derive(Clone, Debug)]
pub(super) struct Use {
    pub(super) kind: Kind,
    pub(super) name: Box<str>,
    pub(super) span: Span,
    /// The weight in its line.
    pub(super) weight: Option<i32>,
    /// The keyword that it follows; none where the head of the block has it.
    pub(super) word: Option<&'static str>,
    /// The block of that keyword.
    pub(super) owner: Owner,
}

/// A block, by its keyword and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) block: &'static str,
    pub(super) name: Box<str>,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.block, if self.name.is_empty() { "" } else { " " }, self.name)
    }
}

impl Use {
    /// The use in words, for a message: "track_script of vrrp_instance VI_1".
    fn place(&self) -> String {
        self.word.map_or_else(|| format!("a {}", self.owner), |w| format!("{w} of {}", self.owner))
    }
}

/// Reports trackers with a weight in an instance with priority 255, which a weight never changes.
fn owners(cx: &mut Cx<'_>, config: &Config) {
    let owners: BTreeSet<&str> = config.instances.iter().filter(|i| i.priority == 255).map(|i| &*i.name).collect();
    let mut weights: BTreeMap<(Kind, &str), i32> = BTreeMap::new();
    weights.extend(config.scripts.iter().map(|s| ((Kind::Script, &*s.name), s.weight.weight)));
    weights.extend(config.checks.iter().map(|s| ((Kind::Check, &*s.name), s.weight.weight)));
    weights.extend(config.track_files.iter().map(|s| ((Kind::File, &*s.name), s.weight.weight)));
    weights.extend(config.track_processes.iter().map(|s| ((Kind::Process, &*s.name), s.weight.weight)));
    weights.extend(config.bfd.iter().map(|s| ((Kind::Bfd, &*s.name), s.weight.weight)));
    let told = |u: &&Use| {
        let weight = u.weight.or(weights.get(&(u.kind, &*u.name)).copied());
        let owner = u.owner.block == "vrrp_instance" && owners.contains(&*u.owner.name);
        owner && weight.is_some_and(|w| w != 0)
    };
    let found: Vec<(Span, String)> = cx.uses.iter().filter(told).map(|u| (u.span, u.name.to_string())).collect();
    for (span, name) in found {
        cx.say(span, kind::weight_of_owner(&name)).help("choose a priority below 255, or a weight of 0");
    }
}

/// Reports what both an instance and its sync group track.
fn both(cx: &mut Cx<'_>, config: &Config) {
    let instances: BTreeMap<&str, &InstanceConfig> = config.instances.iter().map(|i| (&*i.name, i)).collect();
    for group in &config.sync_groups {
        for i in group.members.iter().filter_map(|m| instances.get(&**m)) {
            let own =
                i.track_interfaces.iter().map(|t| &*t.name).chain(i.more.tracks.interfaces.iter().map(|t| &*t.name));
            let own: BTreeSet<&str> = own.collect();
            let (a, b) = (&i.more.tracks, &group.tracks);
            let pairs = [
                (&a.scripts, &b.scripts),
                (&a.checks, &b.checks),
                (&a.files, &b.files),
                (&a.processes, &b.processes),
                (&a.bfds, &b.bfds),
                (&a.virtual_servers, &b.virtual_servers),
            ];
            let shared = pairs.into_iter().flat_map(|(a, b)| b.iter().filter(|t| a.iter().any(|o| o.name == t.name)));
            let shared =
                shared.chain(b.interfaces.iter().filter(|t| own.contains(&*t.name) || *t.name == *i.interface));
            let names: Vec<Box<str>> = shared.map(|t| t.name.clone()).collect();
            for name in names {
                let text = kind::tracked_twice(&name, &i.name, &group.name);
                let span = crate::config::lint::span_of(cx.src, &group.place);
                cx.say(span, text).help("track it in the group alone");
            }
        }
    }
}

/// Each instance is in one group, once; a group has only address owners, or none.
fn one_group_each(cx: &mut Cx<'_>, config: &mut Config) {
    let owners: BTreeSet<&str> = config.instances.iter().filter(|i| i.priority == 255).map(|i| &*i.name).collect();
    let mut seen: BTreeMap<Box<str>, Box<str>> = BTreeMap::new();
    for group in &mut config.sync_groups {
        let span = crate::config::lint::span_of(cx.src, &group.place);
        let name = &group.name;
        group.members.retain(|m| match seen.insert(m.clone(), name.clone()) {
            None => true,
            Some(first) => {
                let text = match first == *name {
                    true => kind::member_twice(name, m),
                    false => kind::member_of_other_group(m, &first, name),
                };
                cx.say(span, text).help("an instance is in one group, once");
                seen.insert(m.clone(), first);
                false
            }
        });
        let owned = group.members.iter().filter(|m| owners.contains(&***m)).count();
        if owned > 0 && owned < group.members.len() {
            cx.say(span, kind::owners_and_others(name)).help("give all members priority 255, or none");
        }
    }
    // Missing members are reported already, name by name.
    config.sync_groups.retain(|g| !g.members.is_empty());
}

/// Reports and drops every name that is not defined; returns the names of scripts and checks that are used.
pub(super) fn check(cx: &mut Cx<'_>, config: &mut Config) -> BTreeSet<Box<str>> {
    let used = cx.uses.iter().any(|u| u.kind == Kind::VirtualServer);
    let servers: Vec<String> = config.virtual_servers.iter().filter(|_| used).map(|s| s.track_name()).collect();
    let mut known: BTreeSet<(Kind, &str)> = servers.iter().map(|s| (Kind::VirtualServer, &**s)).collect();
    known.extend(config.scripts.iter().map(|s| (Kind::Script, &*s.name)));
    known.extend(config.checks.iter().map(|s| (Kind::Check, &*s.name)));
    known.extend(config.track_files.iter().map(|s| (Kind::File, &*s.name)));
    known.extend(config.track_processes.iter().map(|s| (Kind::Process, &*s.name)));
    known.extend(config.bfd.iter().map(|s| (Kind::Bfd, &*s.name)));
    known.extend(config.instances.iter().map(|s| (Kind::Instance, &*s.name)));
    known.extend(config.server_groups.iter().map(|s| (Kind::ServerGroup, &*s.name)));
    let mut missing: BTreeSet<(Kind, Box<str>)> = BTreeSet::new();
    owners(cx, config);
    both(cx, config);
    let fatal = cx.diags.has_fatal();
    let mut tracked = BTreeSet::new();
    for used in std::mem::take(&mut cx.uses) {
        if matches!(used.kind, Kind::Script | Kind::Check) {
            tracked.insert(used.name.clone());
        }
        let defined = cx.names.get(&(used.kind.block(), &*used.name)).copied();
        if known.contains(&(used.kind, &*used.name)) {
            // keepalived looks up these in the line that uses them, and the others after the whole file.
            let at_once = matches!(used.kind, Kind::Script | Kind::File | Kind::Process | Kind::Bfd);
            if let Some(at) = defined.filter(|at| at_once && after(cx.src, *at, used.span)) {
                let (src, block) = (cx.src, used.kind.block());
                cx.say(used.span, kind::defined_below(&used.name))
                    .also(src, at, "defined here")
                    .help(format!("move the {block} above, where keepalived reads the same file"));
            }
            continue;
        }
        // A block that was dropped is reported already.
        let lost = defined.is_some() || (used.kind == Kind::Instance && fatal);
        if !lost {
            let what = used.kind.block();
            let near = known.iter().filter(|(k, _)| *k == used.kind).map(|(_, n)| (distance(&used.name, n), *n)).min();
            let help = match near {
                Some((d, n)) if d <= 3 && used.name.len() <= 64 => {
                    // The line probably means this one, so it counts as used: one mistake is one message.
                    tracked.insert(n.into());
                    format!("did you mean `{n}`?")
                }
                _ if used.kind == Kind::VirtualServer => {
                    "name it as the log does: `[10.0.0.1]:tcp:80`, `fwmark:7` or `group:NAME`".to_owned()
                }
                _ => format!("add `{what} {} {{ ... }}`, or remove the line", used.name),
            };
            cx.say(used.span, kind::undefined_name(&used.name, used.place(), what)).help(help);
        }
        missing.insert((used.kind, used.name));
    }
    if missing.is_empty() {
        one_group_each(cx, config);
        return tracked;
    }
    let has = |kind, name: &str| missing.contains(&(kind, Box::from(name)));
    let prune = |t: &mut Tracks| {
        t.scripts.retain(|x| !has(Kind::Script, &x.name));
        t.checks.retain(|x| !has(Kind::Check, &x.name));
        t.files.retain(|x| !has(Kind::File, &x.name));
        t.processes.retain(|x| !has(Kind::Process, &x.name));
        t.virtual_servers.retain(|x| !has(Kind::VirtualServer, &x.name));
        t.bfds.retain(|x| !has(Kind::Bfd, &x.name));
    };
    // As keepalived: what cannot be checked does not fail.
    for rs in config.virtual_servers.iter_mut().flat_map(|vs| &mut vs.real_servers) {
        rs.checks.retain(|check| match &check.kind {
            CheckKind::File(file) => !file.track_file.as_ref().is_some_and(|name| has(Kind::File, name)),
            CheckKind::Bfd(bfd) => !bfd.name.as_ref().is_some_and(|name| has(Kind::Bfd, name)),
            _ => true,
        });
    }
    config.instances.iter_mut().for_each(|i| prune(&mut i.more.tracks));
    for group in &mut config.sync_groups {
        prune(&mut group.tracks);
        group.members.retain(|m| !has(Kind::Instance, m));
    }
    config.track_groups.iter_mut().for_each(|g| g.members.retain(|m| !has(Kind::Instance, m)));
    one_group_each(cx, config);
    tracked
}

/// Adds the names of scripts and checks that a mistake keeps from being used: in a line of their own, or after a `track_` keyword.
pub(super) fn tracked_in_vain(src: &Sources, stmts: &[Stmt], config: &Config, tracked: &mut BTreeSet<Box<str>>) {
    let names = config.scripts.iter().map(|s| &s.name).chain(config.checks.iter().map(|c| &c.name));
    let left: BTreeSet<&str> = names.filter(|n| !tracked.contains(*n)).map(|n| &**n).collect();
    let mut todo: Vec<&Stmt> = if left.is_empty() { Vec::new() } else { stmts.iter().collect() };
    while let Some(stmt) = todo.pop() {
        let mut words = stmt.words.iter().map(|w| w.text(src));
        let first = words.next().unwrap_or("");
        if !matches!(first, "vrrp_script" | "vrrp_check") {
            let behind = words.filter(|_| first.starts_with("track_"));
            tracked.extend(std::iter::once(first).chain(behind).filter(|w| left.contains(w)).map(Box::from));
        }
        todo.extend(stmt.block.iter().flat_map(|b| &b.stmts));
    }
}

/// Whether the first place is read after the second one.
fn after(src: &Sources, a: Span, b: Span) -> bool {
    if a.file == b.file { a.start > b.start } else { src.order(a) > src.order(b) }
}
