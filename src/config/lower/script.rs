//! Commands: `notify_master "/bin/x y" user group`, and names of users and processors. Whether a command exists, and who may write it,
//! is checked in `config/scripts.rs`: here only the configuration file is read.

use super::Cx;
use super::shell;
use super::value::word;
use crate::config::keyword::Keyword;
use crate::config::kind;
use crate::config::model::global::{Cpus, Fifo};
use crate::config::model::setting::{Ready, Script};
use crate::config::tree::Stmt;

/// Keywords whose command is the whole rest of the line; another keyword names its user.
const WHOLE_LINE: &[&str] = &["script", "misc_path"];

impl<'a> Cx<'a> {
    /// A command at `next`; user and group after it where the keyword has them.
    pub(super) fn script(&mut self, k: &'static Keyword, stmt: &'a Stmt, next: &mut usize) -> Option<Box<Script>> {
        let first = self.need(k, stmt, next)?;
        let mut text = self.text(first).trim().to_owned();
        let mut script = Script { argv: split(&text), ..Script::default() };
        if WHOLE_LINE.contains(&k.name) {
            while let Some(w) = word(stmt, *next) {
                script.argv.push(self.text(w).into());
                text = format!("{text} {}", self.src.slice(w.span));
                *next += 1;
            }
        } else {
            (script.user, script.group) = self.user(stmt, next);
        }
        if script.argv.first().is_none_or(|p| p.is_empty()) {
            self.say(first.span, kind::no_program(k.name));
            return None;
        }
        match shell::of(&text, &script.argv) {
            Some(argv) => script.argv = argv,
            None => {
                if let Some(odd) = shell::operator(&script.argv) {
                    let program = script.argv.first().map_or("", |p| &**p);
                    self.say(first.span, kind::no_shell(odd, program))
                        .help("write /bin/sh -c '...' around it, or put it into a script");
                }
            }
        }
        let span = first.span;
        let block = self.src.place(self.head);
        self.commands.push(super::CommandAt { block, word: k.name, span });
        Some(Box::new(script))
    }

    /// Takes the words `[<user> [<group>]]` from `next` on.
    pub(super) fn user(&mut self, stmt: &'a Stmt, next: &mut usize) -> (Option<Box<str>>, Option<Box<str>>) {
        let mut one = || {
            let found = word(stmt, *next)?;
            *next += 1;
            Some(Box::from(self.text(found)))
        };
        let user = one();
        (user, one())
    }

    /// Reads the arguments of `user` or `script_user`; a user is required.
    pub(super) fn run_as(&mut self, k: &Keyword, stmt: &'a Stmt) -> Option<(Box<str>, Option<Box<str>>)> {
        let mut next = 1;
        self.need(k, stmt, &mut next)?;
        next = 1;
        let (user, group) = self.user(stmt, &mut next);
        self.extra(stmt, next);
        user.map(|u| (u, group))
    }

    /// `notify_fifo`, `vrrp_notify_fifo`, `lvs_notify_fifo`.
    pub(super) fn fifo(&mut self, k: &Keyword, stmt: &'a Stmt) -> Option<Fifo> {
        let mut next = 1;
        let path = self.need(k, stmt, &mut next)?;
        let (user, group) = self.user(stmt, &mut next);
        self.extra(stmt, next);
        Some(Fifo { path: self.text(path).into(), user, group, ready: Ready::Unknown })
    }

    /// `<cpu> ...`. One number that is out of range drops the whole list.
    pub(super) fn cpus(&mut self, k: &Keyword, stmt: &'a Stmt) -> Option<Vec<u16>> {
        let mut cpus = Vec::new();
        let mut next = 1;
        self.need(k, stmt, &mut next)?;
        for word in stmt.words.iter().skip(1) {
            match self.text(word).parse::<u16>() {
                // CPU_SETSIZE: what a CPU mask of the system call holds.
                Ok(n) if n < 1024 => cpus.push(n),
                _ => {
                    self.say(word.span, kind::bad_processor(self.text(word))).help("allowed: 0..1023");
                    return None;
                }
            }
        }
        cpus.sort_unstable();
        cpus.dedup();
        Some(cpus)
    }

    /// As [`Cx::cpus`], into the field of one of keepalived's processes.
    pub(super) fn cpus_into(&mut self, to: &mut Cpus, k: &Keyword, stmt: &'a Stmt) {
        if let Some(cpus) = self.cpus(k, stmt) {
            *to = Cpus(cpus);
        }
    }

    /// A priority of 1 to 99. A number outside is reported, and the nearest one used.
    pub(super) fn rt_priority(&mut self, k: &Keyword, stmt: &'a Stmt) -> Option<u8> {
        let word = self.arg(k, stmt)?;
        let Ok(n) = self.text(word).parse::<i64>() else {
            self.say(word.span, kind::not_a_priority(k.name)).help("allowed: 1..99");
            return None;
        };
        let near = n.clamp(1, 99);
        if near != n {
            self.say(word.span, kind::out_of_range_for(n, k.name, near)).help("allowed: 1..99");
        }
        u8::try_from(near).ok()
    }
}

/// A quoted command is split again: blanks separate, both quotes group.
pub(super) fn split(text: &str) -> Vec<Box<str>> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (one, after) = match first {
            '"' | '\'' => match rest.get(1..).and_then(|t| t.split_once(first)) {
                Some((inner, after)) => (inner, after),
                None => (rest, ""),
            },
            _ => rest.split_at(rest.find([' ', '\t']).unwrap_or(rest.len())),
        };
        out.push(one.into());
        rest = after.trim_start();
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn quoted_commands_are_split_again() {
        let of = |t| super::split(t).iter().map(|w| format!("[{w}]")).collect::<String>();
        assert_eq!(of("/bin/x  a 'b c' \"d e\"f"), "[/bin/x][a][b c][d e][f]");
        assert_eq!(of(" </dev/tcp/127.0.0.1/80 "), "[</dev/tcp/127.0.0.1/80]");
        assert_eq!(of("/bin/x 'open"), "[/bin/x]['open]");
        assert_eq!(of(""), "");
    }
}
