//! Which processes a `vrrp_track_process` matches, by their name and command line. Pure.
//!
//! As in keepalived: without parameters and `full_command` the kernel's name of the process (`comm`, 15 bytes) is compared; otherwise the
//! first word of the command line, as a whole, and then the parameters. `partial`: the first parameters are equal; `initial`: in addition
//! the last of them may be longer; bare `param_match`: the parameters are equal, without further ones. Beyond keepalived, a program that
//! is configured with its path also matches its name.

use crate::config::model::vrrp::ParamMatch;

/// Bytes of a process name without the NUL behind it.
const COMM: usize = 15;

/// A pattern for processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    program: Vec<u8>,
    /// Each with a NUL behind it, as in /proc.
    params: Vec<u8>,
    compare: ParamMatch,
    /// The command line is compared.
    full: bool,
}

impl Pattern {
    /// `argv`: program and parameters.
    pub fn new(argv: &[String], compare: ParamMatch, full_command: bool) -> Pattern {
        let mut words = argv.iter();
        let program = words.next().map(|w| w.as_bytes().to_vec()).unwrap_or_default();
        let params: Vec<u8> = words.flat_map(|w| w.bytes().chain([0])).collect();
        let compare = match compare {
            ParamMatch::Unset if !params.is_empty() => ParamMatch::Exact,
            c => c,
        };
        Pattern { program, params, compare, full: full_command || compare != ParamMatch::Unset }
    }

    /// How many bytes of a command line decide the match; `None`: none.
    pub fn needs(&self) -> Option<usize> {
        // One byte more than the words have, and the NUL behind the program.
        self.full.then(|| self.program.len() + self.params.len() + 2)
    }

    /// Whether the process matches. `cmdline`: words each with a NUL behind it, at least [`Pattern::needs`] bytes if there are so many.
    pub fn matches(&self, comm: &[u8], cmdline: &[u8]) -> bool {
        if !self.full {
            return self.is_named(comm);
        }
        let end = cmdline.iter().position(|b| *b == 0).unwrap_or(cmdline.len());
        let (program, rest) = cmdline.split_at(end);
        let params = rest.get(1..).unwrap_or_default();
        // A kernel thread has no command line.
        program == self.program && !cmdline.is_empty() && self.has(params)
    }

    fn is_named(&self, comm: &[u8]) -> bool {
        let cut = |name: &[u8]| name.get(..COMM).unwrap_or(name).to_vec();
        if cut(comm) == cut(&self.program) {
            return true;
        }
        let base = self.program.strip_prefix(b"/").and_then(|p| p.rsplit(|b| *b == b'/').next());
        base.is_some_and(|b| !b.is_empty() && cut(b) == cut(comm))
    }

    fn has(&self, params: &[u8]) -> bool {
        match self.compare {
            ParamMatch::Unset => true,
            ParamMatch::Exact => params == self.params,
            ParamMatch::Partial => params.starts_with(&self.params),
            // Without the NUL behind the last.
            ParamMatch::Initial => params.starts_with(self.params.strip_suffix(b"\0").unwrap_or_default()),
        }
    }
}

/// Name and state from `/proc/PID/stat`. The name may contain any bytes, also spaces and parentheses.
pub fn stat(text: &[u8]) -> Option<(&[u8], u8)> {
    let open = text.iter().position(|b| *b == b'(')?;
    let close = text.iter().rposition(|b| *b == b')')?;
    Some((text.get(open + 1..close)?, *text.get(close + 2)?))
}

/// Whether a process in this state counts: a zombie does not.
pub fn lives(state: u8) -> bool {
    !matches!(state, b'Z' | b'X' | b'x')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(words: &str, compare: ParamMatch, full: bool) -> Pattern {
        let argv: Vec<String> = words.split(' ').map(str::to_owned).collect();
        Pattern::new(&argv, compare, full)
    }
    fn line(words: &str) -> Vec<u8> {
        words.split(' ').flat_map(|w| w.bytes().chain([0])).collect()
    }

    #[test]
    fn a_name_is_fifteen_bytes() {
        let p = |w| pattern(w, ParamMatch::Unset, false);
        assert!(p("nginx").matches(b"nginx", b"") && !p("nginx").matches(b"nginx2", b""));
        assert!(!p("ssh").matches(b"sshd", b"") && !p("sshd").matches(b"ssh", b""));
        let long = "a-very-long-daemon-name";
        assert!(p(long).matches(&long.as_bytes()[..15], b"") && !p(long).matches(&long.as_bytes()[..14], b""));
        // By its path, too; and a name that contains a slash itself.
        assert!(p("/usr/sbin/nginx").matches(b"nginx", b"") && !p("/usr/sbin/nginx").matches(b"sbin", b""));
        assert!(p("/opt/a-very-long-daemon-name").matches(b"a-very-long-dae", b""));
        assert!(p("kworker/0:1").matches(b"kworker/0:1", b"") && !p("x/nginx").matches(b"nginx", b""));
        assert!(!p("/usr/").matches(b"", b"") && p("nginx").needs().is_none());
        assert!(Pattern::new(&["a b)".into()], ParamMatch::Unset, false).matches(b"a b)", b""));
    }

    #[test]
    fn parameters_are_compared_as_asked_for() {
        use ParamMatch::{Exact, Initial, Partial, Unset};
        // The pattern; the command line; which of unset, exact, initial, partial match.
        for (want, have, expect) in [
            ("/bin/d -c x", "/bin/d -c x", [true, true, true, true]),
            ("/bin/d -c x", "/bin/d -c xy", [false, false, true, false]),
            ("/bin/d -c x", "/bin/d -c x -v", [false, false, true, true]),
            ("/bin/d -c x", "/bin/d -c", [false, false, false, false]),
            ("/bin/d -c x", "/bin/e -c x", [false, false, false, false]),
            ("/bin/d -c x", "d -c x", [false, false, false, false]),
            ("/bin/d", "/bin/d", [true, true, true, true]),
            ("/bin/d", "/bin/d -c", [true, false, true, true]),
            ("/bin/d", "/bin/dd", [false, false, false, false]),
        ] {
            for (compare, expect) in [Unset, Exact, Initial, Partial].into_iter().zip(expect) {
                let p = pattern(want, compare, true);
                let have = line(have);
                assert_eq!(p.matches(b"other", &have), expect, "{want} {compare:?}");
                // The bytes that are read of a longer command line give the same result.
                let read = &have[..have.len().min(p.needs().unwrap())];
                assert_eq!(p.matches(b"other", read), expect, "{want} {compare:?} cut");
            }
        }
        // Parameters or param_match select the command line.
        assert!(pattern("d x", Unset, false).needs().is_some() && pattern("d", Exact, false).needs().is_some());
        assert!(!pattern("d", Exact, false).matches(b"d", b"") && !pattern("", Unset, true).matches(b"d", b""));
    }

    #[test]
    fn a_name_cannot_pretend_to_be_a_state() {
        assert_eq!(stat(b"12 (nginx) S 1 2"), Some((&b"nginx"[..], b'S')));
        assert_eq!(stat(b"12 (a) Z (b) R 1"), Some((&b"a) Z (b"[..], b'R')));
        assert_eq!(stat(b"12 (a b\n) Z 1"), Some((&b"a b\n"[..], b'Z')));
        assert!(lives(b'S') && !lives(b'Z') && !lives(b'X'));
        for odd in [&b""[..], b")(", b"(", b"()", b"() "] {
            assert_eq!(stat(odd), None);
        }
    }
}
