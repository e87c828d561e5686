//! Lints: settings that are allowed and have unwanted effects. `--config-test` reports them, each with a name, a reason and a remedy.
//!
//! A lint is a warning that does not fail a test (unless `--strict-lints`): keepalived accepts these files. One small
//! function each, over the model; those about this machine get its addresses as an argument. Some of the names belong to messages
//! that are found while the file is read; they are here so that there is one list. kalived.conf(5) has [`LINTS`]. `allow.rs` silences them.

use super::Loaded;
use super::diag::{Diags, Severity};
use super::kind::{self, Message};
use super::lower::{CommandAt, InterfaceUse, Said};
use super::model::lvs::{GroupEntry, IpFamily, Method, RealServer, Service, VirtualServer};
use super::model::setting::Script;
use super::model::vrrp::{Notify, Track, Tracks};
use super::model::{Config, Family, InstanceConfig, Place, Vip};
use super::source::{Sources, Span};
use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

/// An address that this machine has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostAddr {
    /// Name of the interface that has the address.
    pub interface: String,
    /// The address without its prefix.
    pub addr: IpAddr,
    /// Prefix length of the address.
    pub prefix: u8,
}

/// What a lint may ask of this machine.
#[derive(Clone, Copy)]
pub struct Machine<'a> {
    /// The addresses of its interfaces.
    pub addrs: &'a [HostAddr],
    /// Whether a path leads to something.
    pub exists: &'a dyn Fn(&str) -> bool,
    /// A setting of its kernel, by the name that sysctl(8) has for it; `None`: there is none of that name now.
    pub sysctl: fn(&str) -> Option<i64>,
}

/// What a lint works with.
pub struct Cx<'a> {
    config: &'a Config,
    /// `None` with `--offline`.
    host: Option<Machine<'a>>,
    src: &'a Sources,
    /// Names of scripts and checks that something tracks.
    tracked: &'a BTreeSet<Box<str>>,
    said: &'a [Said],
    /// Where commands and names of interfaces stand.
    commands: &'a [CommandAt],
    interfaces: &'a [InterfaceUse],
    diags: &'a mut Diags,
    lint: &'static Lint,
}

/// One row of the table.
pub struct Lint {
    /// Name of the lint, for `allow(...)` and `--allow`.
    pub name: &'static str,
    /// What in the file or on the machine is reported.
    pub what: &'static str,
    /// The unwanted effect.
    pub why: &'static str,
    /// What the operator should change.
    pub remedy: &'static str,
    /// `None`: found while the file is read, always; then it is an ordinary message and counts as one.
    pub check: Option<fn(&mut Cx<'_>)>,
}

/// Every lint, sorted by name.
#[rustfmt::skip]
pub static LINTS: &[Lint] = &[
    Lint { name: "address-in-two-instances", check: Some(address_in_two_instances),
        what: "the same address on the same interface in two vrrp_instance blocks",
        why: "whichever stops being Master takes the address away from the other",
        remedy: "let one instance have it, or put both into one vrrp_sync_group" },
    Lint { name: "auth-pass-too-long", check: None,
        what: "auth_pass has more than 8 bytes",
        why: "version 2 has room for 8; two passwords that differ after them are the same",
        remedy: "shorten it to 8 bytes on all routers" },
    Lint { name: "duplicate-vrid", check: None,
        what: "two instances of one address family have the same virtual_router_id on one interface",
        why: "each would take the adverts of the other for those of a peer; kalived does not start",
        remedy: "give one of them another virtual_router_id, on all its routers" },
    Lint { name: "ipv6-first-not-link-local", check: Some(ipv6_first_not_link_local),
        what: "the first address of an IPv6 instance is not link-local",
        why: "RFC 9568 section 5.2.9 wants it first, and hosts that learn their router from router advertisements need it",
        remedy: "put a link-local address, for example fe80::51/64, in front, on all routers" },
    Lint { name: "ipvs-arp", check: Some(ipvs_arp),
        what: "a real server of a virtual server with lb_kind DR is this host, and net.ipv4.conf.all.arp_ignore is 0 (not with --offline)",
        why: "it has the virtual address too, and answers ARP requests for it while it is Backup: clients reach it past the Master",
        remedy: "sysctl net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2, on every real server" },
    Lint { name: "ipvs-conn-reuse", check: Some(ipvs_conn_reuse),
        what: "virtual servers, and net.ipv4.vs.conn_reuse_mode is 0 (not with --offline)",
        why: "a client that uses a port again is sent to the server of before, also when that one was taken out",
        remedy: "sysctl net.ipv4.vs.conn_reuse_mode=1" },
    Lint { name: "ipvs-estimation", check: Some(ipvs_estimation),
        what: "more than 2,000 real servers, and net.ipv4.vs.run_estimation is 1 on a kernel before 6.2 (not with --offline)",
        why: "the kernel works out the rates of all destinations at once, within an interrupt, some 0.1 us each: adverts of all routers wait",
        remedy: "sysctl net.ipv4.vs.run_estimation=0 (ipvsadm --rate then shows nothing), or run Linux 6.2 or later" },
    Lint { name: "ipvs-loop", check: Some(ipvs_loop),
        what: "a real server of a virtual server with lb_kind DR is this host, and a vrrp_instance has the virtual address (not with --offline)",
        why: "the Backup has the same IPVS table, so it balances again what the Master sends it: packets may go to and fro for ever",
        remedy: "let packets from the other director pass IPVS: mark what does not come from its MAC address (nft: ether saddr), and serve `fwmark`" },
    Lint { name: "ipvs-persistent-quiescent", check: Some(ipvs_persistent_quiescent),
        what: "persistence_timeout together with inhibit_on_failure, and net.ipv4.vs.expire_quiescent_template is 0 (not with --offline)",
        why: "a server that failed stays in the table with weight 0, and new connections of clients it knows go on going there",
        remedy: "sysctl net.ipv4.vs.expire_quiescent_template=1" },
    Lint { name: "ipvs-removed-servers", check: Some(ipvs_removed_servers),
        what: "servers that are checked and taken out, and net.ipv4.vs.expire_nodest_conn is 0 (not with --offline)",
        why: "connections to a server that was taken out hang until they time out, after up to 15 minutes, instead of being ended",
        remedy: "sysctl net.ipv4.vs.expire_nodest_conn=1" },
    Lint { name: "mixed-families", check: None,
        what: "IPv4 and IPv6 addresses in one virtual_ipaddress block",
        why: "an advert carries one family; the addresses of the other are left out",
        remedy: "move them to virtual_ipaddress_excluded, or make a second vrrp_instance" },
    Lint { name: "nopreempt-with-master", check: None,
        what: "nopreempt together with state MASTER or priority 255",
        why: "nopreempt is then without effect: a router that comes back takes the addresses at once",
        remedy: "write state BACKUP on all routers, and a priority below 255" },
    Lint { name: "peer-is-ourselves", check: Some(peer_is_ourselves),
        what: "unicast_peer lists the address this instance sends from",
        why: "nothing is sent to it, and one router of the group is probably missing from the list",
        remedy: "list the other routers only" },
    Lint { name: "prefix-differs", check: Some(prefix_differs),
        what: "an address lies in the network of its interface but has another prefix length (not with --offline)",
        why: "with a longer prefix neighbours may be reached by another source address; with a shorter one hosts of \
              other networks are looked for on this link",
        remedy: "write the prefix length of the interface, or the full one (32 or 128) on purpose" },
    Lint { name: "quoted-program", check: Some(quoted_program),
        what: "the name of a program begins with a quote that does not group here",
        why: "typographic quotes, or a quote that is not closed, become a part of the name, and the program is not found",
        remedy: "write \"...\" around the whole command" },
    Lint { name: "script-missing", check: Some(script_missing),
        what: "a script does not exist on this machine (not with --offline)",
        why: "a check that cannot run counts as failed; a notification is lost; this one fails the test",
        remedy: "install the script, or correct its path" },
    Lint { name: "server-group-family", check: Some(server_group_family),
        what: "a virtual_server_group has an entry of an address family that no real_server of its virtual_server has, and lb_kind is not TUN",
        why: "IPVS leads to another family only in a tunnel: nothing is served there (keepalived then ignores the whole virtual_server)",
        remedy: "put the entry into a group of its own, or list real servers of its family" },
    Lint { name: "stops-keepalived", check: None,
        what: "a script stops or restarts keepalived (not with --offline)",
        why: "after the move to kalived the command finds nothing to stop and returns: the address stays where it should leave",
        remedy: "let the script exit 1 and name it in track_script; or write `systemctl stop kalived`" },
    Lint { name: "strict-hides-addresses", check: Some(strict_hides_addresses),
        what: "vrrp_strict or strict_mode without accept, for addresses that this host does not own",
        why: "strict mode drops every packet to the addresses, ping too, unless the priority is 255",
        remedy: "remove it, or say `accept` in the instance" },
    Lint { name: "suspended-by-own-address", check: Some(suspended_by_own_address),
        what: "track_virtual_server without a weight names a virtual_server with ha_suspend, at an address of the tracking instance itself",
        why: "once its quorum is lost the instance gives the address up, the checks are suspended, and neither of them ever comes back",
        remedy: "remove ha_suspend there, or give the tracking line a weight" },
    Lint { name: "sync-group-weight", check: Some(sync_group_weight),
        what: "a member of a vrrp_sync_group tracks something with a weight",
        why: "the members would come to different priorities; unless sync_group_tracking_weight is said, the weight counts as 0: failure is a FAULT",
        remedy: "track it in the group, where a weight counts for all members, or with weight 0" },
    Lint { name: "unused-check", check: Some(unused_check),
        what: "a vrrp_check that no track_check names",
        why: "it is never made; often the name in track_check is another one",
        remedy: "name it in track_check, or remove it" },
    Lint { name: "unused-script", check: Some(unused_script),
        what: "a vrrp_script that no track_script names",
        why: "it never runs; often the name in track_script is another one",
        remedy: "name it in track_script, or remove it" },
    Lint { name: "v2-fraction", check: None,
        what: "version 2 with an advert_int that is no whole number of seconds",
        why: "an advert of version 2 says its interval in whole seconds; kalived does not start",
        remedy: "write whole seconds, or version 3 on all routers" },
    Lint { name: "vip-is-own-address", check: Some(vip_is_own_address),
        what: "an address is the first address of its interface, at a priority below 255 (not with --offline)",
        why: "kalived takes it away when it starts as Backup, and with it maybe the way to this host",
        remedy: "choose another address, or priority 255 where this host owns it" },
    Lint { name: "weight-without-effect", check: Some(weight_without_effect),
        what: "a tracking weight that cannot change the priority",
        why: "priority 255 is never changed, and no priority goes above 254 or below 1",
        remedy: "choose priority and weight so that priority plus weight stays within 1..254" },
];

/// Whether a start and a reload also log this lint. They log the lints about the kernel's settings for IPVS: with such a setting clients
/// lose connections, and the kernel logs nothing about it.
pub fn says_at_start(name: &str) -> bool {
    name.starts_with("ipvs-")
}

/// Looks for those in the table that are wanted by their name. `host`: `None` when this machine does not matter.
pub fn run(loaded: &Loaded, host: Option<Machine<'_>>, which: impl Fn(&str) -> bool, strict: bool, diags: &mut Diags) {
    let Loaded { config, sources: src, tracked, said, commands, interfaces, .. } = loaded;
    let mut found = Diags::default();
    for lint in LINTS {
        if let Some(check) = lint.check.filter(|_| which(lint.name)) {
            check(&mut Cx { config, src, tracked, said, commands, interfaces, host, diags: &mut found, lint });
        }
    }
    if !strict {
        found.none_in_test();
    }
    diags.append(found);
}

impl Cx<'_> {
    fn say(&mut self, place: &Place, text: Message) {
        if self.diags.is_full(Severity::Warning) {
            return;
        }
        self.say_at(span_of(self.src, place), text);
    }
    fn say_at(&mut self, span: Span, text: Message) {
        self.diags.push(self.src, span, text).help(self.lint.remedy);
    }
    fn say_also(&mut self, place: &Place, text: Message, other: &Place, there: &str) {
        if self.diags.is_full(Severity::Warning) {
            return;
        }
        let (span, other) = (span_of(self.src, place), span_of(self.src, other));
        self.diags.push(self.src, span, text).help(self.lint.remedy).also(self.src, other, there);
    }
}

/// Where the block with this keyword and name begins.
pub(super) fn head(said: &[Said], word: &str, name: &str) -> Span {
    said.iter().find(|s| s.word == word && *s.value == *name).map_or(Span::default(), |s| s.span)
}

/// The word that stands at a place of the model.
pub fn span_of(src: &Sources, place: &Place) -> Span {
    let mut number = 0;
    while let Some(file) = src.file(number) {
        if file.name == place.file {
            let line = file.line_start(place.line) as usize;
            let rest = file.text.get(line..).unwrap_or("");
            let column = place.column.saturating_sub(1) as usize;
            let start = line + rest.char_indices().nth(column).map_or(0, |(i, _)| i);
            let word = file.text.get(start..).unwrap_or("");
            let len = word.find(|c: char| c.is_whitespace() || c == '{').unwrap_or(word.len()).max(1);
            return Span { file: number, start: start as u32, end: (start + len) as u32 };
        }
        number += 1;
    }
    Span::default()
}

fn device<'a>(instance: &'a InstanceConfig, vip: &'a Vip) -> &'a str {
    vip.dev.as_deref().unwrap_or(&instance.interface)
}

fn address_in_two_instances(cx: &mut Cx<'_>) {
    let mut first: BTreeMap<(IpAddr, &str), (&InstanceConfig, &Vip)> = BTreeMap::new();
    for i in &cx.config.instances {
        for vip in i.vips.iter().chain(&i.excluded) {
            match first.get(&(vip.addr, device(i, vip))) {
                Some((other, at)) => {
                    let text = kind::address_in_two_instances(vip.addr, &i.name, &other.name);
                    cx.say_also(&vip.place, text, &at.place, "first here");
                }
                None => {
                    first.insert((vip.addr, device(i, vip)), (i, vip));
                }
            }
        }
    }
}

fn ipv6_first_not_link_local(cx: &mut Cx<'_>) {
    for i in cx.config.instances.iter().filter(|i| i.family == Family::V6) {
        if let Some(vip) = i.vips.first()
            && !matches!(vip.addr, IpAddr::V6(a) if a.is_unicast_link_local())
        {
            cx.say(&vip.place, kind::first_not_link_local(vip.addr, &i.name));
        }
    }
}

fn prefix_differs(cx: &mut Cx<'_>) {
    for i in &cx.config.instances {
        for vip in i.vips.iter().chain(&i.excluded) {
            let full = if vip.addr.is_ipv4() { 32 } else { 128 };
            if vip.prefix == full || vip.peer.is_some() {
                continue;
            }
            let near = |h: &&HostAddr| {
                h.interface == device(i, vip)
                    && h.addr != vip.addr
                    && h.prefix < full
                    && same_network(&h.addr, &vip.addr, h.prefix.min(vip.prefix))
            };
            let addrs = cx.host.map_or(&[][..], |h| h.addrs);
            if addrs.iter().filter(near).any(|h| h.prefix == vip.prefix) {
                continue;
            }
            if let Some(h) = addrs.iter().find(near) {
                cx.say(&vip.place, kind::prefix_differs(vip.addr, vip.prefix, &h.interface, h.addr, h.prefix));
            }
        }
    }
}

fn vip_is_own_address(cx: &mut Cx<'_>) {
    let addrs = cx.host.map_or(&[][..], |h| h.addrs);
    // The kernel lists the primary address first; one that a Master added comes after it.
    let usable = |h: &&HostAddr| !matches!(h.addr, IpAddr::V6(a) if a.is_unicast_link_local());
    let first = |on: &str, v4: bool| addrs.iter().filter(usable).find(|h| h.interface == on && h.addr.is_ipv4() == v4);
    for i in cx.config.instances.iter().filter(|i| i.priority < 255) {
        for vip in i.vips.iter().chain(&i.excluded) {
            let on = device(i, vip);
            if first(on, vip.addr.is_ipv4()).is_some_and(|h| h.addr == vip.addr) {
                cx.say(&vip.place, kind::vip_is_own(vip.addr, &i.name, on, i.priority));
            }
        }
    }
}

fn same_network(a: &IpAddr, b: &IpAddr, prefix: u8) -> bool {
    let bits = |ip: &IpAddr| match ip {
        IpAddr::V4(v) => (u128::from(v.to_bits()) << 96, 32),
        IpAddr::V6(v) => (v.to_bits(), 128),
    };
    let ((a, wide), (b, other)) = (bits(a), bits(b));
    wide == other && (prefix == 0 || (a ^ b).checked_shr(128 - u32::from(prefix)).unwrap_or(0) == 0)
}

/// The line of `track_interface` with a weight for this interface.
fn tracking_line(cx: &Cx<'_>, i: &InstanceConfig, name: &str) -> Span {
    let user = format!("vrrp_instance {}", i.name);
    let weighs = |u: &&InterfaceUse| cx.src.slice(cx.src.line_of(u.span)).contains("weight");
    let found = cx.interfaces.iter().filter(|u| u.name == name && u.user == user).find(weighs);
    found.map_or_else(|| span_of(cx.src, &i.place), |u| u.span)
}

fn weight_without_effect(cx: &mut Cx<'_>) {
    for i in &cx.config.instances {
        for t in i.track_interfaces.iter().filter(|t| t.weight != 0) {
            let after = i16::from(i.priority) + t.weight;
            if i.priority == 255 || after.clamp(1, 254) == i16::from(i.priority) {
                let span = tracking_line(cx, i, &t.name);
                cx.say_at(span, kind::weight_without_effect(t.weight, &t.name, i.priority, &i.name));
            }
        }
    }
}

fn peer_is_ourselves(cx: &mut Cx<'_>) {
    for i in &cx.config.instances {
        let Some(own) = i.more.unicast_src_ip.or(i.mcast_src) else { continue };
        if i.more.unicast_peer.iter().flatten().any(|p| p.addr == own) {
            cx.say(&i.place, kind::peer_is_ourselves(&i.name, own));
        }
    }
}

/// A command of the file.
struct Command<'a> {
    /// Its block and its keyword.
    at: (Place, &'static str),
    /// The subject of the message: what runs the command.
    owner: String,
    program: &'a str,
}

impl Command<'_> {
    fn span(&self, cx: &Cx<'_>) -> Span {
        let found = cx.commands.iter().find(|c| c.block == self.at.0 && c.word == self.at.1);
        found.map_or_else(|| span_of(cx.src, &self.at.0), |c| c.span)
    }
}

fn commands<'a>(cx: &Cx<'a>) -> Vec<Command<'a>> {
    let mut out = Vec::new();
    let mut add = |place: &Place, word, owner: &str, script: &'a Script| {
        let program = script.argv.first().map_or("", |p| &**p);
        out.push(Command { at: (place.clone(), word), owner: owner.to_owned(), program });
    };
    let mut all = |place: &Place, owner: String, n: &'a Notify| {
        let list = [
            ("notify_backup", &n.backup),
            ("notify_master", &n.master),
            ("notify_fault", &n.fault),
            ("notify_stop", &n.stop),
            ("notify", &n.any),
            ("notify_master_rx_lower_pri", &n.master_rx_lower_pri),
        ];
        for (word, script) in list {
            script.iter().for_each(|s| add(place, word, &owner, s));
        }
    };
    for i in &cx.config.instances {
        all(&i.place, format!("vrrp_instance `{}`", i.name), &i.more.notify);
    }
    for g in &cx.config.sync_groups {
        all(&g.place, format!("vrrp_sync_group `{}`", g.name), &g.notify);
    }
    for s in &cx.config.scripts {
        if let Some(script) = &s.script {
            let place = cx.src.place(head(cx.said, "vrrp_script", &s.name));
            add(&place, "script", &format!("vrrp_script `{}`", s.name), script);
        }
    }
    out
}

fn quoted_program(cx: &mut Cx<'_>) {
    for c in commands(cx) {
        if c.program.starts_with(['"', '\'', '\u{2018}', '\u{2019}', '\u{201C}', '\u{201D}', '\u{201E}']) {
            cx.say_at(c.span(cx), kind::quoted_program(&c.owner, c.program));
        }
    }
}

fn script_missing(cx: &mut Cx<'_>) {
    let Some(host) = cx.host else { return };
    for c in commands(cx) {
        // A name without a path is looked up when it runs.
        if c.program.starts_with('/') && !(host.exists)(c.program) {
            cx.say_at(c.span(cx), kind::program_missing(c.program, &c.owner));
        }
    }
}

fn strict_hides_addresses(cx: &mut Cx<'_>) {
    let hidden = |i: &&InstanceConfig| i.priority != 255 && !i.more.accept && !i.vips.is_empty();
    let Some(name) = cx.config.instances.iter().find(hidden).map(|i| i.name.clone()) else { return };
    // The model has strict mode's consequences, not the word.
    for s in cx.said.iter().filter(|s| matches!(s.word, "vrrp_strict" | "strict_mode")) {
        if !matches!(&*s.value, "off" | "no" | "false") {
            cx.say_at(s.span, kind::strict_hides(&name));
        }
    }
}

// The first virtual server for which it is so, if a setting of the kernel is 0.
fn ipvs_setting(cx: &mut Cx<'_>, name: &str, hurts: impl Fn(&VirtualServer) -> bool, text: fn(&str) -> Message) {
    if cx.host.is_none_or(|h| (h.sysctl)(name) != Some(0)) {
        return;
    }
    let config = cx.config;
    if let Some(vs) = config.virtual_servers.iter().find(|vs| hurts(vs)) {
        cx.say(&vs.place, text(name));
    }
}

fn server_group_family(cx: &mut Cx<'_>) {
    let config = cx.config;
    for vs in &config.virtual_servers {
        let Service::Group(name) = &vs.service else { continue };
        let entries = config.server_groups.iter().filter(|g| g.name == *name).flat_map(|g| &g.entries);
        for entry in entries {
            let v6 = match entry {
                GroupEntry::Range(addr, ..) => addr.is_ipv6(),
                GroupEntry::Mark(_, Some(family)) => *family == IpFamily::Inet6,
                GroupEntry::Mark(_, None) => continue,
            };
            let fits =
                |rs: &RealServer| rs.addr.is_ipv6() == v6 || matches!(rs.method.unwrap_or(vs.method), Method::Tun(_));
            if !vs.real_servers.iter().any(fits) {
                let entry = match entry {
                    GroupEntry::Range(addr, ..) => addr.to_string(),
                    GroupEntry::Mark(mark, _) => format!("fwmark {mark}"),
                };
                cx.say(&vs.place, kind::group_of_other_family(vs.track_name(), entry));
            }
        }
    }
}

fn suspended_by_own_address(cx: &mut Cx<'_>) {
    let config = cx.config;
    let mut suspended: BTreeMap<String, (IpAddr, &Place)> = BTreeMap::new();
    for vs in config.virtual_servers.iter().filter(|vs| vs.ha_suspend) {
        if let Service::Address(addr, _) = vs.service
            && vs.real_servers.iter().any(|rs| !rs.checks.is_empty())
        {
            suspended.insert(vs.track_name(), (addr, &vs.place));
        }
    }
    if suspended.is_empty() {
        return;
    }
    for i in &config.instances {
        let of_groups = config.sync_groups.iter().filter(|g| g.members.iter().any(|m| **m == *i.name));
        let lines = of_groups.map(|g| &g.tracks).chain([&i.more.tracks]).flat_map(|t| &t.virtual_servers);
        for line in lines.filter(|t| t.weight.is_none_or(|w| w == 0)) {
            let Some((addr, place)) = suspended.get(&*line.name) else { continue };
            if i.vips.iter().chain(&i.excluded).any(|vip| vip.addr == *addr) {
                let text = kind::suspended_by_own(&i.name, &line.name, addr);
                cx.say_also(&i.place, text, place, "ha_suspend is here");
            }
        }
    }
}

fn inhibits(vs: &VirtualServer, rs: &RealServer) -> bool {
    rs.inhibit_on_failure.unwrap_or(vs.inhibit_on_failure)
}

fn ipvs_arp(cx: &mut Cx<'_>) {
    let addrs = cx.host.map_or(&[][..], |h| h.addrs);
    let own = |vs: &VirtualServer| {
        let direct = |rs: &&RealServer| rs.method.unwrap_or(vs.method) == Method::Dr && rs.addr.is_ipv4();
        vs.real_servers.iter().filter(direct).any(|rs| addrs.iter().any(|a| a.addr == rs.addr))
    };
    ipvs_setting(cx, "net.ipv4.conf.all.arp_ignore", own, |name| kind::ipvs_arp_of(name));
}

/// From so many on they take the kernel longer than an advert may be late.
const ESTIMATED: usize = 2_000;

fn ipvs_estimation(cx: &mut Cx<'_>) {
    let Some(host) = cx.host else { return };
    let name = "net.ipv4.vs.run_estimation";
    // Since 6.2 threads of the kernel do it, whose priority is a setting.
    if (host.sysctl)(name) != Some(1) || (host.sysctl)("net.ipv4.vs.est_nice").is_some() {
        return;
    }
    let config = cx.config;
    let count: usize = config.virtual_servers.iter().map(|vs| vs.real_servers.len()).sum();
    if let Some(vs) = config.virtual_servers.first().filter(|_| count > ESTIMATED) {
        cx.say(&vs.place, kind::ipvs_estimation_of(count, name));
    }
}

fn ipvs_loop(cx: &mut Cx<'_>) {
    let config = cx.config;
    let addrs = cx.host.map_or(&[][..], |h| h.addrs);
    for vs in &config.virtual_servers {
        let Service::Address(addr, _) = vs.service else { continue };
        let vips = config.instances.iter().flat_map(|i| i.vips.iter().chain(&i.excluded));
        let direct = |rs: &&RealServer| rs.method.unwrap_or(vs.method) == Method::Dr;
        let own = vs.real_servers.iter().filter(direct).find(|rs| addrs.iter().any(|a| a.addr == rs.addr));
        if let Some(rs) = own
            && vips.into_iter().any(|vip| vip.addr == addr)
        {
            cx.say(&vs.place, kind::ipvs_loop(rs.addr));
        }
    }
}

fn ipvs_conn_reuse(cx: &mut Cx<'_>) {
    ipvs_setting(cx, "net.ipv4.vs.conn_reuse_mode", |_| true, |name| kind::ipvs_reuse_of(name));
}

fn ipvs_persistent_quiescent(cx: &mut Cx<'_>) {
    let hurts = |vs: &VirtualServer| {
        vs.persistence_timeout > 0 && vs.real_servers.iter().any(|rs| inhibits(vs, rs) && !rs.checks.is_empty())
    };
    ipvs_setting(cx, "net.ipv4.vs.expire_quiescent_template", hurts, |name| kind::ipvs_quiescent_of(name));
}

fn ipvs_removed_servers(cx: &mut Cx<'_>) {
    let hurts = |vs: &VirtualServer| vs.real_servers.iter().any(|rs| !inhibits(vs, rs) && !rs.checks.is_empty());
    ipvs_setting(cx, "net.ipv4.vs.expire_nodest_conn", hurts, |name| kind::ipvs_removed_of(name));
}

fn sync_group_weight(cx: &mut Cx<'_>) {
    let c = cx.config;
    let own: [BTreeMap<&str, i32>; 5] = [
        c.scripts.iter().map(|s| (&*s.name, s.weight.weight)).collect(),
        c.checks.iter().map(|s| (&*s.name, s.weight.weight)).collect(),
        c.track_files.iter().map(|s| (&*s.name, s.weight.weight)).collect(),
        c.track_processes.iter().map(|s| (&*s.name, s.weight.weight)).collect(),
        BTreeMap::new(),
    ];
    for g in cx.config.sync_groups.iter().filter(|g| !g.tracking_weight) {
        for i in cx.config.instances.iter().filter(|i| g.members.iter().any(|m| **m == *i.name)) {
            let tracks = &i.more.tracks;
            let lists = [&tracks.scripts, &tracks.checks, &tracks.files, &tracks.processes, &tracks.virtual_servers];
            let given = lists.into_iter().zip(&own);
            let given = given.flat_map(|(list, own)| list.iter().map(move |t| (t, own.get(&*t.name).copied())));
            let weighted =
                given.filter(|(t, own)| t.weight.or(*own).is_some_and(|w| w != 0)).map(|(t, _)| &*t.name).next();
            let own = i.track_interfaces.iter().find(|t| t.weight != 0).map(|t| &*t.name);
            if let Some(name) = weighted.or(own) {
                cx.say(&i.place, kind::weight_in_group(&i.name, &g.name, name));
            }
        }
    }
}

fn unused_script(cx: &mut Cx<'_>) {
    let names = cx.config.scripts.iter().map(|s| &*s.name).collect();
    unused(cx, "vrrp_script", names, |t| &t.scripts);
}

fn unused_check(cx: &mut Cx<'_>) {
    let names = cx.config.checks.iter().map(|c| &*c.name).collect();
    unused(cx, "vrrp_check", names, |t| &t.checks);
}

fn unused(cx: &mut Cx<'_>, block: &str, names: Vec<&str>, of: fn(&Tracks) -> &Vec<Track>) {
    let tracks =
        cx.config.instances.iter().map(|i| &i.more.tracks).chain(cx.config.sync_groups.iter().map(|g| &g.tracks));
    let used: BTreeSet<&str> = tracks.flat_map(|t| of(t).iter().map(|s| &*s.name)).collect();
    // Also where what tracks it is not in the configuration for a mistake of its own.
    let left = names.into_iter().filter(|n| !used.contains(n) && !cx.tracked.contains(*n));
    for name in left {
        let span = head(cx.said, block, name);
        cx.say_at(span, if block == "vrrp_check" { kind::unused_check(name) } else { kind::unused_script(name) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_whole() {
        assert!(LINTS.windows(2).all(|w| w[0].name < w[1].name));
        for l in LINTS {
            assert!(l.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{}", l.name);
            assert!(!l.what.is_empty() && !l.why.is_empty() && !l.remedy.is_empty(), "{}", l.name);
            // A message of that name exists.
            assert!(super::super::kind::KINDS.iter().any(|k| k.code == l.name), "{}", l.name);
        }
    }
    #[test]
    fn networks() {
        let same = |a: &str, b: &str, n| same_network(&a.parse().unwrap(), &b.parse().unwrap(), n);
        assert!(same("10.0.0.1", "10.0.0.200", 24) && !same("10.0.0.1", "10.0.1.1", 24));
        assert!(same("10.0.0.1", "192.0.2.1", 0) && same("fe80::1", "fe80::2", 64) && !same("::1", "10.0.0.1", 0));
        assert!(!same("10.0.0.1", "10.0.0.2", 32) && same("2001:db8::1", "2001:db8::1", 128));
    }
}
