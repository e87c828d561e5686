//! The commands of a configuration, checked on the machine that is to run them: the user, the path, and whether a user other than root
//! could change a program that runs as root. Fills [`Ready`] of every command and of every FIFO.
//!
//! Pure over [`ScriptHost`]; `process/scripthost.rs` implements it for the machine. A name service may be slow, so the check runs where a
//! file is compiled or at start, never on the loop. A command that must not or cannot run is kept and refused: a check with it then
//! counts as failed, instead of being left out silently. Read first: `secure.rs`, `model/setting.rs`. Deliberately absent: the files
//! given to an interpreter (`/bin/sh /tmp/x.sh`); only the program itself is checked.

use super::diag::{Diags, Severity};
use super::kind::{self, Message};
use super::lint::{head, span_of};
use super::lower::CommandAt;
use super::lower::Said;
use super::model::check::CheckKind;
use super::model::global::{Fifo, Login};
use super::model::lvs::{Part, Pem, RealServer};
use super::model::setting::{Ready, Script, Secret};
use super::model::{Config, Place};
use super::secure::{self, Acl, Kind, Stat};
use super::source::{Sources, Span};
use crate::exit::ExitCode;
use std::collections::{BTreeMap, BTreeSet};

/// The user of commands without a configured user, if that user exists.
pub const DEFAULT_USER: &str = "keepalived_script";
/// Commands for a shell begin with this path (`lower/shell.rs`).
const BASH: &str = "/bin/bash";

/// The queries to a machine.
pub trait ScriptHost {
    /// User id and group id of a user; `None`: there is none of that name.
    fn user(&self, name: &str) -> Option<(u32, u32)>;
    /// Group id of a group; `None`: there is none of that name.
    fn group(&self, name: &str) -> Option<u32>;
    /// Name of a user, else the number.
    fn user_name(&self, uid: u32) -> String;
    /// Name of a group, else the number.
    fn group_name(&self, gid: u32) -> String;
    /// The properties of a path, its last link not followed. The error is a text: "No such file or directory".
    fn stat(&self, path: &str) -> Result<Stat, String>;
    /// The first bytes of a file, at least four where it has them; empty when it cannot be read.
    fn head(&self, path: &str) -> Vec<u8>;
    /// The text of a small file; `None`: it cannot be read, is large, or is not text.
    fn text(&self, _path: &str) -> Option<String> {
        None
    }
    /// A file of certificates, or of a key. The error is for people.
    fn pem(&self, _path: &str) -> Result<String, String> {
        Err("it is not looked at here".to_owned())
    }
    /// Directories in which programs without a path are looked for, separated by colons.
    fn search_path(&self) -> String;
    /// User id and group id that kalived runs as here.
    fn us(&self) -> (u32, u32) {
        (0, 0)
    }
    /// The login data of a user for its programs.
    fn login(&self, _uid: u32) -> Option<Login> {
        None
    }
    /// The rights that the access control list of a file grants beyond its mode; `gid`: its group. The error is a text.
    fn acl(&self, _path: &str, _gid: u32) -> Result<Acl, String> {
        Ok(Acl::default())
    }
    /// Creates a file with this number and a line end; an existing one is overwritten if `overwrite`; a link is not followed.
    fn make_file(&self, path: &str, value: i32, overwrite: bool) -> Result<(), String>;
}

/// The parameters of the check.
#[derive(Clone, Copy)]
pub struct Prepare<'a> {
    /// The machine that the commands are to run on.
    pub host: &'a dyn ScriptHost,
    /// Create the files of `init_file`: not in a test.
    pub make_files: bool,
    /// A warning fails a test.
    pub strict: bool,
}

/// Checks every command and every FIFO that kalived uses.
pub fn prepare(
    config: &mut Config,
    how: Prepare<'_>,
    src: &Sources,
    at: &[CommandAt],
    said: &[Said],
    diags: &mut Diags,
) {
    let more = &config.global.more;
    let owners = Owners::new(src, at, said);
    let mut cx = Cx {
        how,
        src,
        diags,
        secure: more.enable_script_security,
        keep_links: more.use_symlink_paths,
        default: more.script_user.clone(),
        told_default: false,
    };
    each(config, &owners, &mut |owner, script| script.ready = cx.script(&owner, script));
    let uids: BTreeSet<u32> = commands(config)
        .into_iter()
        .filter_map(|(_, s)| if let Ready::As { uid, .. } = s.ready { Some(uid) } else { None })
        .collect();
    let more = &mut config.global.more;
    more.logins = uids.into_iter().filter_map(|uid| how.host.login(uid)).collect();
    for (word, fifo) in [
        ("notify_fifo", &mut more.notify_fifo),
        ("vrrp_notify_fifo", &mut more.vrrp_notify_fifo),
        ("lvs_notify_fifo", &mut more.lvs_notify_fifo),
    ] {
        if let Some(fifo) = fifo {
            let owner = Owner::at(format!("`{word}`"), owners.word(word));
            fifo.ready = cx.fifo(&owner, fifo);
        }
    }
    if how.make_files {
        for file in &config.track_files {
            let (Some(path), Some(init)) = (&file.file, file.init) else { continue };
            if let Err(why) = how.host.make_file(path, init.value, init.overwrite) {
                let text = kind::init_file(&file.name, path, &why);
                cx.say(&Owner::at(String::new(), owners.file(&file.name)), text).not_in_test();
            }
        }
    }
    tls(config, &mut cx);
    // What is a check of kalived's own is not run. It is made ready all the same, and nobody told: whoever takes the
    // command for one finds it sound.
    let mut quiet = Diags::default();
    let mut cx = Cx { diags: &mut quiet, ..cx };
    for s in config.scripts.iter_mut().filter(|s| s.native.is_some()) {
        if let Some(script) = &mut s.script {
            script.ready = cx.script(&Owner::at(String::new(), Span::default()), script);
        }
    }
}

/// Where systems keep the certificates of those who may vouch for a server.
const SYSTEM_CA: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

// Content of the files of `SSL`, and of the system's where `verify` needs it.
fn tls(config: &mut Config, cx: &mut Cx<'_>) {
    let checks = config.virtual_servers.iter().flat_map(|vs| &vs.real_servers).flat_map(|rs| &rs.checks);
    let verifies = checks.into_iter().any(|c| matches!(&c.kind, CheckKind::Ssl(http) if http.verify));
    if verifies {
        config.ssl.get_or_insert_default();
    }
    let Some(ssl) = &mut config.ssl else { return };
    let owner = Owner::at(String::new(), Span::default());
    let mut read = |word: &str, path: &Option<Box<str>>, marks: &[&str]| {
        let path = path.as_deref()?;
        let found = cx.how.host.pem(path).and_then(|text| match marks.iter().any(|m| text.contains(m)) {
            true => Ok(text),
            false => Err(format!("it has no `{}`", marks[0])),
        });
        found.map_err(|why| cx.say(&owner, kind::tls_file(word, path, &why)).not_in_test()).ok()
    };
    let cert = ["-----BEGIN CERTIFICATE-----"];
    let keys = ["-----BEGIN PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----", "-----BEGIN EC PRIVATE KEY-----"];
    let certificate = read("certificate", &ssl.certificate, &cert);
    let key = read("key", &ssl.key, &keys);
    let mut ca = read("ca", &ssl.ca, &cert);
    if verifies && ssl.ca.is_none() {
        ca = SYSTEM_CA.iter().find_map(|path| cx.how.host.pem(path).ok());
        if ca.is_none() {
            let _ = cx.say(&owner, kind::no_system_ca()).not_in_test();
        }
    }
    let text = |t: Option<String>| t.unwrap_or_default().into();
    *ssl.pem = Pem { ca: text(ca), certificate: text(certificate), key: Secret(text(key)) };
}

/// Every command that kalived runs, and whether it is a check.
pub fn commands(config: &Config) -> Vec<(bool, &Script)> {
    let more = &config.global.more;
    let mut all: Vec<(bool, &Script)> = Vec::new();
    let own = [
        &more.startup_script,
        &more.shutdown_script,
        &more.notify_fifo_script,
        &more.vrrp_notify_fifo_script,
        &more.lvs_notify_fifo_script,
    ];
    all.extend(own.into_iter().flatten().map(|s| (false, &**s)));
    let instances = config.instances.iter().map(|i| &i.more.notify);
    for n in instances.chain(config.sync_groups.iter().map(|g| &g.notify)) {
        let hooks = [&n.backup, &n.master, &n.fault, &n.stop, &n.any, &n.master_rx_lower_pri];
        all.extend(hooks.into_iter().flatten().map(|s| (false, &**s)));
        all.extend(n.deleted.iter().flatten().map(|s| (false, &**s)));
    }
    all.extend(
        config.scripts.iter().filter(|s| s.native.is_none()).filter_map(|s| Some((true, &**s.script.as_ref()?))),
    );
    for vs in &config.virtual_servers {
        all.extend([&vs.quorum_up, &vs.quorum_down].into_iter().flatten().map(|s| (false, &**s)));
        all.extend(commands_of_servers(&vs.real_servers));
    }
    all
}

/// Every command of these virtual servers or real servers, and whether it is a check.
pub fn commands_of(part: &Part) -> Vec<(bool, &Script)> {
    match part {
        Part::Server(vs) => [&vs.quorum_up, &vs.quorum_down].into_iter().flatten().map(|s| (false, &**s)).collect(),
        Part::Reals(all) => commands_of_servers(all),
        Part::Ssl(_) | Part::Group(_) | Part::Marks(_) | Part::End => Vec::new(),
    }
}

fn commands_of_servers(all: &[RealServer]) -> Vec<(bool, &Script)> {
    let hooks = all.iter().flat_map(|rs| [&rs.notify_up, &rs.notify_down]).flatten().map(|s| (false, &**s));
    let checks = all.iter().flat_map(|rs| &rs.checks).filter_map(|c| match &c.kind {
        CheckKind::Misc(m) => Some((true, m.misc_path.as_deref()?)),
        _ => None,
    });
    hooks.chain(checks).collect()
}

/// Calls `on` for every command that kalived runs: [`commands`], with their owners.
fn each(config: &mut Config, owners: &Owners<'_>, on: &mut dyn FnMut(Owner, &mut Script)) {
    let more = &mut config.global.more;
    for (word, script) in [
        ("startup_script", &mut more.startup_script),
        ("shutdown_script", &mut more.shutdown_script),
        ("notify_fifo_script", &mut more.notify_fifo_script),
        ("vrrp_notify_fifo_script", &mut more.vrrp_notify_fifo_script),
        ("lvs_notify_fifo_script", &mut more.lvs_notify_fifo_script),
    ] {
        if let Some(script) = script {
            on(Owner::at(format!("`{word}`"), owners.command(None, word)), script);
        }
    }
    let instances = config.instances.iter_mut().map(|i| ("vrrp_instance", &*i.name, &i.place, &mut i.more.notify));
    let groups = config.sync_groups.iter_mut().map(|g| ("vrrp_sync_group", &*g.name, &g.place, &mut g.notify));
    for (kind, name, place, n) in instances.chain(groups) {
        let hooks = [
            ("notify_backup", n.backup.as_mut()),
            ("notify_master", n.master.as_mut()),
            ("notify_fault", n.fault.as_mut()),
            ("notify_stop", n.stop.as_mut()),
            ("notify", n.any.as_mut()),
            ("notify_master_rx_lower_pri", n.master_rx_lower_pri.as_mut()),
            ("notify_deleted", n.deleted.as_mut().and_then(Option::as_mut)),
        ];
        for (word, script) in hooks {
            if let Some(script) = script {
                on(Owner::at(format!("`{word}` of {kind} `{name}`"), owners.command(Some(place), word)), script);
            }
        }
    }
    for vs in &mut config.virtual_servers {
        let place = vs.place.clone();
        let hooks = [("quorum_up", &mut vs.quorum_up), ("quorum_down", &mut vs.quorum_down)];
        for (word, script) in hooks.into_iter().filter_map(|(w, s)| Some((w, s.as_mut()?))) {
            on(Owner::at(format!("`{word}` of a virtual_server"), owners.command(Some(&place), word)), script);
        }
        for rs in &mut vs.real_servers {
            let (addr, port) = (rs.addr, rs.port);
            let misc = rs.checks.iter_mut().filter_map(|c| match &mut c.kind {
                CheckKind::Misc(m) => Some(("misc_path", m.misc_path.as_mut()?)),
                _ => None,
            });
            let hooks = [("notify_up", &mut rs.notify_up), ("notify_down", &mut rs.notify_down)];
            let hooks = hooks.into_iter().filter_map(|(w, s)| Some((w, s.as_mut()?)));
            for (word, script) in hooks.chain(misc) {
                let what = format!("`{word}` of real_server {addr} {port}");
                on(Owner::at(what, owners.command(Some(&place), word)), script);
            }
        }
    }
    // A script that is a native check is never run: no message about it is useful.
    for s in config.scripts.iter_mut().filter(|s| s.native.is_none()) {
        if let Some(script) = &mut s.script {
            let block = owners.script(&s.name);
            on(Owner::at(format!("vrrp_script `{}`", s.name), owners.command(Some(&block), "script")), script);
        }
    }
}

/// The owner of a command, for messages.
struct Owner {
    what: String,
    /// Position of the command.
    at: Span,
}

impl Owner {
    fn at(what: String, at: Span) -> Owner {
        Owner { what, at }
    }
}

/// Positions that the model does not contain.
struct Owners<'a> {
    src: &'a Sources,
    said: &'a [Said],
    commands: &'a [CommandAt],
    /// The blocks of `commands`, indexed for thousands of instances.
    blocks: BTreeMap<(&'a str, u32, u32), Vec<&'a CommandAt>>,
}

impl<'a> Owners<'a> {
    fn new(src: &'a Sources, commands: &'a [CommandAt], said: &'a [Said]) -> Owners<'a> {
        let mut blocks: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for c in commands {
            blocks.entry((&*c.block.file, c.block.line, c.block.column)).or_default().push(c);
        }
        Owners { src, said, commands, blocks }
    }
    /// The position of a command: in the block at this place, or anywhere with this keyword; else the block itself.
    fn command(&self, block: Option<&Place>, word: &str) -> Span {
        let found = match block {
            Some(b) => {
                let of = self.blocks.get(&(&*b.file, b.line, b.column));
                of.and_then(|all| all.iter().find(|c| c.word == word).copied())
            }
            None => self.commands.iter().find(|c| c.word == word),
        };
        let other = || block.map_or_else(|| self.word(word), |b| span_of(self.src, b));
        found.map_or_else(other, |c| c.span)
    }
    fn script(&self, name: &str) -> Place {
        self.src.place(head(self.said, "vrrp_script", name))
    }
    fn word(&self, word: &str) -> Span {
        self.said.iter().find(|s| s.word == word).map_or(Span::default(), |s| s.span)
    }
    fn file(&self, name: &str) -> Span {
        let is = |s: &&Said| matches!(s.word, "track_file" | "vrrp_track_file") && *s.value == *name;
        self.said.iter().find(is).map_or(Span::default(), |s| s.span)
    }
}

struct Cx<'a> {
    how: Prepare<'a>,
    src: &'a Sources,
    diags: &'a mut Diags,
    /// `enable_script_security`: a program that runs as root must not be writable by others.
    secure: bool,
    /// `use_symlink_paths`: commands keep the path as written, symbolic links included.
    keep_links: bool,
    /// `script_user`: user and group of commands that name none.
    default: Option<(Box<str>, Option<Box<str>>)>,
    told_default: bool,
}

/// Words of a command that are examined as names of scripts: `/bin/sh -x /etc/kalived/check.sh`.
const LOOKED_INTO: usize = 4;

/// The first line of a shell script that stops, restarts or signals keepalived, from 1.
fn stops_keepalived(text: &str) -> Option<usize> {
    const STOPPERS: &[&str] = &[
        "killall",
        "pkill",
        "kill",
        "skill",
        "service",
        "systemctl",
        "rc-service",
        "invoke-rc.d",
        "initctl",
        "supervisorctl",
        "sv",
    ];
    // Arguments that only query.
    const ASKS: &[&str] = &["status", "is-active", "is-enabled", "-0", "reload", "start", "enable", "show"];
    let stops = |line: &str| {
        let code = line.split('#').next().unwrap_or("");
        if !code.contains("keepalived") {
            return false;
        }
        // Each command of the line separately.
        code.split([';', '|', '&']).any(|part| {
            let split =
                |c: char| c.is_whitespace() || matches!(c, '(' | ')' | '`' | '"' | '\'' | '$' | '{' | '}' | '=');
            let words: Vec<&str> = part.split(split).filter(|w| !w.is_empty()).collect();
            let base = |w: &&str| w.rsplit('/').next().unwrap_or(w).to_owned();
            let names = words.iter().any(|w| {
                let last = base(w);
                last == "keepalived" || last.strip_prefix("keepalived.").is_some_and(|e| e == "pid" || e == "service")
            });
            let stopper = words.iter().any(|w| STOPPERS.contains(&base(w).as_str()));
            let init = part.contains("init.d/keepalived") || part.contains("rc.d/keepalived");
            names && (stopper || init) && !words.iter().any(|w| ASKS.contains(w))
        })
    };
    text.lines().position(stops).map(|n| n + 1)
}

impl Cx<'_> {
    fn say(&mut self, owner: &Owner, text: Message) -> super::diag::Handle<'_> {
        self.diags.push(self.src, owner.at, text)
    }

    /// A warning about this machine; it fails a test only in strict mode.
    fn warn(&mut self, owner: &Owner, text: Message, help: &str) {
        let strict = self.how.strict;
        let said = self.say(owner, text).help(help);
        if !strict {
            let _ = said.not_in_test();
        }
    }

    fn script(&mut self, owner: &Owner, script: &mut Script) -> Ready {
        self.stops(owner, script);
        let (uid, gid) = match self.run_as(owner, script.user.as_deref(), script.group.as_deref()) {
            Ok(ids) => ids,
            Err(why) => return Ready::Refused(why.into()),
        };
        match self.program(owner, script, uid, gid) {
            Ok(()) => Ready::As { uid, gid },
            Err(why) => Ready::Refused(why.into()),
        }
    }

    /// The user and group; errors have been reported.
    fn run_as(&mut self, owner: &Owner, user: Option<&str>, group: Option<&str>) -> Result<(u32, u32), String> {
        if let Some(user) = user {
            return self.ids(owner, user, group);
        }
        if let Some((user, group)) = self.default.clone() {
            return self.ids(owner, &user, group.as_deref());
        }
        let us = self.how.host.us();
        // Without root's privileges kalived runs commands as its own user or not at all.
        if us.0 != 0 {
            return Ok(us);
        }
        if let Some(ids) = self.how.host.user(DEFAULT_USER) {
            return Ok(ids);
        }
        let secure = self.secure;
        if !std::mem::replace(&mut self.told_default, true) {
            let severity = if secure { Severity::Error } else { Severity::Note };
            let then = if secure { "scripts without a user are not run" } else { "scripts are run as root" };
            let text = kind::no_default_user(DEFAULT_USER, then);
            let _ =
                self.say(owner, text.severity(severity)).help("make it, or write `script_user <user>` in global_defs");
        }
        if secure { Err(format!("there is neither script_user nor the user {DEFAULT_USER}")) } else { Ok((0, 0)) }
    }

    fn ids(&mut self, owner: &Owner, user: &str, group: Option<&str>) -> Result<(u32, u32), String> {
        let host = self.how.host;
        let why = match (host.user(user), group.map(|g| (g, host.group(g)))) {
            (None, _) => format!("there is no user `{user}`"),
            (_, Some((g, None))) => format!("there is no group `{g}`"),
            (Some((uid, _)), Some((_, Some(gid)))) => return Ok((uid, gid)),
            (Some(ids), None) => return Ok(ids),
        };
        let text = kind::no_such_user(&owner.what, &why);
        let _ = self.say(owner, text).help("make it, or write another one");
        Err(why)
    }

    /// Finds and checks the program; its path becomes absolute.
    fn program(&mut self, owner: &Owner, script: &mut Script, uid: u32, gid: u32) -> Result<(), String> {
        let Some(written) = script.argv.first().cloned() else { return Err("no program".to_owned()) };
        let mut path = written.to_string();
        if !path.contains('/') {
            path = self.look_up(owner, &path, uid, gid)?;
        } else if path == BASH && self.how.host.stat(BASH).is_err() {
            // Some systems have bash elsewhere or not at all; their /bin/sh may still understand the text.
            path = "/bin/sh".to_owned();
        } else if !path.starts_with('/') {
            return Err(self.cannot(owner, &written, "not an absolute path".to_owned()));
        }
        let way = match secure::follow(self.how.host, &path) {
            Ok(way) => way,
            Err(why) => return Err(self.cannot(owner, &written, why)),
        };
        if way.end.kind != Kind::File {
            return Err(self.cannot(owner, &written, format!("`{}`: not a file", way.real)));
        }
        if !secure::executable(&way.end, uid, gid) && !secure::listed(self.how.host, &way, uid, gid) {
            let who = self.how.host.user_name(uid);
            return Err(self.cannot(owner, &written, format!("`{}`: not executable by {who}", way.real)));
        }
        if uid == 0 || gid == 0 || secure::becomes_root(&way.end) {
            self.trusted(owner, &way)?;
        }
        let head = self.how.host.head(&way.real);
        if !head.is_empty() && !head.starts_with(b"#!") && !head.starts_with(b"\x7FELF") {
            let text = kind::no_shebang(&path);
            self.warn(owner, text, "write #!/bin/sh on its first line; /bin/sh runs it without");
        }
        // A program with several names (busybox) acts by its name: only a link to the same name is resolved.
        let last = |p: &str| p.rsplit('/').next().map(str::to_owned);
        if !self.keep_links && last(&path) == last(&way.real) {
            path = way.real;
        }
        if let Some(first) = script.argv.first_mut() {
            *first = path.into();
        }
        Ok(())
    }

    fn look_up(&mut self, owner: &Owner, name: &str, uid: u32, gid: u32) -> Result<String, String> {
        let host = self.how.host;
        let path = host.search_path();
        let fits = |dir: &str| {
            let full = format!("{}/{name}", dir.trim_end_matches('/'));
            let way = secure::follow(host, &full).ok()?;
            secure::executable(&way.end, uid, gid).then_some(full)
        };
        match path.split(':').filter(|d| d.starts_with('/')).find_map(fits) {
            Some(full) => {
                let text = kind::script_without_path(name, &full);
                self.warn(owner, text, "write the whole path");
                Ok(full)
            }
            None => Err(self.cannot(owner, name, format!("not found in {path}"))),
        }
    }

    /// Reports that a program cannot be run, and why.
    fn cannot(&mut self, owner: &Owner, program: &str, why: String) -> String {
        // The path is named once, where it is the one in the file.
        let why = why.strip_prefix(&format!("`{program}`: ")).unwrap_or(&why).to_owned();
        let text = kind::script_missing(&owner.what, program, &why);
        let real = why.strip_prefix('`').and_then(|w| w.split_once('`')).map_or(program, |w| w.0);
        let help = match program.chars().next() {
            _ if why.contains("not executable") => format!("make it executable: chmod +x {real}"),
            Some('"' | '\'') => "write \"...\" around the whole command".to_owned(),
            Some('\u{2018}' | '\u{2019}' | '\u{201C}' | '\u{201D}' | '\u{201E}') => {
                "typographic quotes mean nothing here: write \"...\" around the whole command".to_owned()
            }
            _ => "install the script, or correct its path".to_owned(),
        };
        let _ = self.say(owner, text).help(help);
        format!("{program}: {why}")
    }

    /// Whether the text of a script, or the command itself, stops keepalived: after the move to kalived that has no effect.
    fn stops(&mut self, owner: &Owner, script: &Script) {
        let own = script.argv.join(" ");
        let found = stops_keepalived(&own).map(|_| ("the command".to_owned(), own.clone()));
        let found = found.or_else(|| {
            let paths = script.argv.iter().take(LOOKED_INTO).filter(|a| a.starts_with('/'));
            paths.into_iter().find_map(|path| {
                let way = secure::follow(self.how.host, path).ok().filter(|w| w.end.kind == Kind::File)?;
                let text = self.how.host.text(&way.real)?;
                let line = stops_keepalived(&text)?;
                let words = text.lines().nth(line - 1).unwrap_or("").trim().to_owned();
                Some((format!("line {line} of {path}"), words))
            })
        });
        let Some((what, words)) = found else { return };
        let words: String = words.chars().take(80).collect();
        let text = kind::stops_keepalived(&owner.what, &what, &words);
        let help = "let the script exit 1 and name it in track_script; or write `systemctl stop kalived`";
        self.warn(owner, text, help);
    }

    /// Whether only root can change a program that runs as root.
    fn trusted(&mut self, owner: &Owner, way: &secure::Way) -> Result<(), String> {
        let Some(weak) = secure::weak(self.how.host, way, self.secure) else { return Ok(()) };
        let help = "let root own it and nobody else write it, or run the script as another user";
        if self.secure {
            let text = kind::insecure_script(&way.real, &weak);
            let _ = self.say(owner, text).help(help).exit(ExitCode::NoConfig);
            return Err(weak);
        }
        let text = kind::insecure_script_run(&weak);
        let _ = self.say(owner, text).help(help).exit(ExitCode::NoConfig);
        Ok(())
    }

    fn fifo(&mut self, owner: &Owner, fifo: &Fifo) -> Ready {
        if !fifo.path.starts_with('/') {
            let text = kind::relative_fifo(&owner.what, &fifo.path);
            let _ = self.say(owner, text).help("write the whole path");
            return Ready::Refused("not an absolute path".into());
        }
        let ids = match (fifo.user.as_deref(), fifo.group.as_deref()) {
            (None, _) => Ok(self.how.host.us()),
            (Some(user), group) => self.ids(owner, user, group),
        };
        match ids {
            Ok((uid, gid)) => Ready::As { uid, gid },
            Err(why) => Ready::Refused(why.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::stops_keepalived;

    #[test]
    fn what_stops_keepalived() {
        for text in [
            "service keepalived stop",
            "killall keepalived",
            "#!/bin/sh\nif ! pgrep nginx; then\n  systemctl stop keepalived.service\nfi",
            "/etc/init.d/keepalived stop",
            "pkill -9 keepalived",
            "kill `cat /var/run/keepalived.pid`",
            "kill -TERM $(pidof keepalived)",
            "[ $A -eq 0 ] && killall keepalived || exit 0",
            "sudo systemctl restart keepalived",
            "invoke-rc.d keepalived stop",
        ] {
            assert!(stops_keepalived(text).is_some(), "{text}");
        }
        assert_eq!(stops_keepalived("#!/bin/sh\n# x\nkillall keepalived"), Some(3));
        for text in [
            "# killall keepalived",
            "killall -0 keepalived",
            "systemctl is-active keepalived",
            "service keepalived status",
            "logger -t keepalived stopped",
            "/etc/keepalived/kill.sh",
            "killall nginx > /var/log/keepalived/x",
            "systemctl stop kalived",
        ] {
            assert!(stops_keepalived(text).is_none(), "{text}");
        }
    }
}
