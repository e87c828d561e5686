//! A large file without its virtual servers: enough to start the virtual routers. The whole file is read after that, by the compiler.
//!
//! Read first: `start.rs`, `guard/reload.rs`. Of a file with 37,000 real servers nearly all text is virtual servers, and reading all of it
//! takes a slow processor a second, in which no advert leaves. Here only the shape of these blocks is looked at: their braces, and that no
//! keyword in them lacks a value it must have. So a file that cannot be run starts nothing, as before: where anything is unusual
//! ([`without_servers`] is `None`) the whole file is read first. In place of the blocks empty lines remain, so that places in messages are
//! those of the file.

use super::keyword::{self, Form, Scope};
use super::source::{FileError, Files, Kind};
use super::tree::MAX_LINE;
use std::collections::BTreeSet;

/// Smaller files are read as a whole: that takes some milliseconds.
pub const LARGE: usize = 256 << 10;

/// One file with another text, and the disk for the rest.
pub struct Reduced<'a> {
    /// Path of the file whose text is replaced.
    pub path: &'a str,
    /// The text in its place.
    pub text: &'a str,
    /// The files of the machine, for every other path.
    pub disk: &'a dyn Files,
}

impl Files for Reduced<'_> {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        if path == self.path { Ok(self.text.as_bytes().to_vec()) } else { self.disk.read(path) }
    }
    fn begins_with(&self, path: &str, bytes: &[u8]) -> Result<bool, FileError> {
        if path == self.path { Ok(self.text.as_bytes().starts_with(bytes)) } else { self.disk.begins_with(path, bytes) }
    }
    fn kind(&self, path: &str) -> Result<Kind, FileError> {
        self.disk.kind(path)
    }
    fn list(&self, directory: &str) -> Result<Vec<String>, FileError> {
        self.disk.list(directory)
    }
    fn others_may_read(&self, path: &str) -> bool {
        self.disk.others_may_read(path)
    }
    fn working_directory(&self) -> String {
        self.disk.working_directory()
    }
}

/// The text with an empty line for each line of a `virtual_server` or `virtual_server_group`. `None`: there is none, or the file has
/// something that only the whole reader understands.
pub fn without_servers(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len() / 8);
    let inside = Scope::VirtualServer.within();
    let mut scan = Scan { depth: 0, cutting: false, inside, known: BTreeSet::new() };
    let (mut from, mut cut) = (0, false);
    let bytes = text.as_bytes();
    while from < bytes.len() {
        let end = memchr::memchr(b'\n', bytes.get(from..)?).map_or(bytes.len(), |n| from + n + 1);
        let line = text.get(from..end)?;
        if scan.line(line)? {
            out.push('\n');
            cut = true;
        } else {
            out.push_str(line);
        }
        from = end;
    }
    (cut && scan.depth == 0).then_some(out)
}

struct Scan<'t> {
    depth: usize,
    // Within a block that is left out.
    cutting: bool,
    // The scopes of a `virtual_server` and of the blocks in it.
    inside: Vec<Scope>,
    // Words that may stand alone.
    known: BTreeSet<&'t str>,
}

impl<'t> Scan<'t> {
    // Whether the line is left out; `None`: it is unusual.
    fn line(&mut self, line: &'t str) -> Option<bool> {
        let bytes = line.as_bytes();
        if bytes.len() > MAX_LINE {
            return None;
        }
        let start = bytes.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(bytes.len());
        let begin = line.get(start..)?;
        // Text that is worked on before keywords are read.
        if matches!(begin.as_bytes().first(), Some(b'@' | b'$' | b'~')) || begin.starts_with("include") {
            return None;
        }
        let (mut quotes, mut braces) = (0, false);
        let mut end = bytes.len();
        for (i, b) in bytes.iter().enumerate().skip(start) {
            match b {
                b'"' => quotes += 1,
                b'{' | b'}' => braces = true,
                b'$' | b'\\' | 0 => return None,
                b'#' | b'!' if quotes == 0 => {
                    end = i;
                    break;
                }
                _ => {}
            }
        }
        if quotes > 0 && (quotes % 2 == 1 || braces) {
            return None;
        }
        let code = line.get(start..end)?;
        if !self.cutting {
            let first = code.split([' ', '\t', '{']).next().unwrap_or("");
            if self.depth == 0 && first == "SSL" {
                // It belongs to the virtual servers, and such files are few.
                return None;
            }
            if self.depth == 0 && matches!(first, "virtual_server" | "virtual_server_group") {
                if !code.contains('{') {
                    return None;
                }
                self.cutting = true;
                self.cut(code, true)?;
                return Some(true);
            }
            for b in code.bytes() {
                match b {
                    b'{' => self.depth += 1,
                    b'}' => self.depth = self.depth.checked_sub(1)?,
                    _ => {}
                }
            }
            return Some(false);
        }
        self.cut(code, false)?;
        Some(true)
    }

    // A line of a block that is left out. `head`: the first one.
    fn cut(&mut self, code: &'t str, head: bool) -> Option<()> {
        let mut rest = code;
        let mut head = head;
        loop {
            let at = rest.bytes().position(|b| b == b'{' || b == b'}');
            let (stmt, brace) = (rest.get(..at.unwrap_or(rest.len()))?, at.and_then(|at| rest.as_bytes().get(at)));
            let mut words = stmt.split_ascii_whitespace();
            if let Some(first) = words.next() {
                if !self.cutting {
                    // Something behind the block.
                    return None;
                }
                let alone = words.next().is_none();
                let fits = head || !keyword::only_at_root(first);
                if !fits || (alone && (head || !self.may_stand_alone(first, brace == Some(&b'{')))) {
                    return None;
                }
            } else if brace == Some(&b'{') {
                return None;
            }
            head = false;
            match brace {
                Some(b'{') => self.depth += 1,
                Some(_) => {
                    self.depth = self.depth.checked_sub(1)?;
                    self.cutting = self.depth > 0;
                }
                None => return Some(()),
            }
            rest = rest.get(at? + 1..)?;
        }
    }

    // No keyword of this name, inside a virtual server, needs a word behind it.
    fn may_stand_alone(&mut self, word: &'t str, block: bool) -> bool {
        if self.known.contains(word) {
            return true;
        }
        let needs = |scope: &Scope| {
            keyword::find(*scope, word).is_some_and(|k| match k.form {
                Form::Flag | Form::Bool | Form::OptInt(..) | Form::OptText(_) => false,
                Form::Block(_) | Form::Entries(_) => !block || k.args.starts_with('<'),
                _ => true,
            })
        };
        let may = !self.inside.iter().any(needs);
        if may {
            self.known.insert(word);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = "virtual_server 10.0.0.1 80 {\n  lb_algo rr # {\n  ha_suspend\n  real_server 10.0.0.2 80 {\n    TCP_CHECK { retry 2 }\n  }\n}\n";

    #[test]
    fn the_blocks_leave_empty_lines() {
        let text = format!("vrrp_instance a {{\n}}\n{SERVER}global_defs {{\n}}\n");
        let want = format!("vrrp_instance a {{\n}}\n{}global_defs {{\n}}\n", "\n".repeat(SERVER.lines().count()));
        assert_eq!(without_servers(&text).as_deref(), Some(&*want));
        assert_eq!(without_servers("virtual_server_group g { 10.0.0.1 80 }").as_deref(), Some("\n"));
    }

    #[test]
    fn what_is_unusual_is_left_to_the_whole_reader() {
        assert_eq!(without_servers("vrrp_instance a {\n}\n"), None, "nothing to leave out");
        let with = |line: &str| SERVER.replace("  ha_suspend\n", line);
        assert!(without_servers(&with("  quorum_up \"/bin/x y\"\n")).is_some());
        for line in [
            "  quorum\n",
            "  protocol {\n",
            "  quorum_up \"/bin/x\n",
            "  quorum_up \"{\"\n",
            "  include /x\n",
            "  $X=1\n",
            "  weight $W\n",
            "  ~SEQ(a, 1, 2) x\n",
            "  @a weight 2\n",
            "}\n",
            "}}\n",
            "{\n",
            "  real_server {\n  }\n",
            "  real_server 10.0.0.9 80\n  {\n  }\n",
            "  vrrp_instance b {\n",
            "  x\0\n",
            "  TCP_CHECK { connect_port }\n",
            "} vrrp_instance b {\n}\n",
        ] {
            assert_eq!(without_servers(&with(line)), None, "{line}");
        }
        assert_eq!(without_servers("virtual_server 10.0.0.1 80\n{\n}\n"), None);
        assert_eq!(without_servers("virtual_server {\n}\n"), None);
    }
}
