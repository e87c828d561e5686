//! Which commands are text for a shell. keepalived runs no shell, and neither does kalived for a command that begins with a
//! program: the program receives its words as they are written. But files also have `if [ -f x ]; then ...` and
//! `</dev/tcp/...`, which cannot be the name of a program; those become `/bin/sh -c TEXT`.

/// The shell that runs such text.
pub(super) const SH: &str = "/bin/sh";
/// The shell for text with `[[` or /dev/tcp. Where it is missing, `config/scripts.rs` uses [`SH`] instead.
pub(super) const BASH: &str = "/bin/bash";

/// Words of the shell that are never the name of a program.
const WORDS: &[&str] = &[
    "if", "for", "while", "until", "case", "select", "function", "!", "{", "(", "((", "[[", ":", ".", "source", "exit",
    "return", "eval", "exec", "set", "unset", "export", "local", "declare", "cd", "trap", "read", "let", "ulimit",
    "umask", "wait", "command",
];

/// Words of the shell that are programs, too: text for a shell only when the shell's punctuation is among the words.
const EITHER: &[&str] = &["[", "test"];

/// Words that only a shell understands, where they stand outside quotes.
const PUNCTUATION: &[&str] = &["&&", "||", ";", "|", "&", "then", "do"];

/// The command line for a shell; `None`: the words are a program and its arguments. `words`: the text, split.
pub(super) fn of(text: &str, words: &[Box<str>]) -> Option<Vec<Box<str>>> {
    let first = words.first()?;
    let bare = first.trim_end_matches(';');
    let assigned = |(name, _): (&str, &str)| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.starts_with(|c: char| c.is_ascii_digit())
    };
    let shell = WORDS.contains(&bare)
        || first.starts_with(['<', '>', '(', '$', '`'])
        || first.split_once('=').is_some_and(assigned)
        || EITHER.contains(&bare) && operator(words).is_some();
    let by = if text.contains("/dev/tcp/") || text.contains("/dev/udp/") || text.contains("[[") { BASH } else { SH };
    shell.then(|| vec![by.into(), "-c".into(), text.into()])
}

/// The first word that means nothing to a program.
pub(super) fn operator(words: &[Box<str>]) -> Option<&str> {
    let odd = |w: &&str| PUNCTUATION.contains(w) || w.ends_with(';') && w.len() > 1 || redirection(w);
    words.iter().skip(1).map(|w| &**w).find(odd)
}

/// `>/dev/null`, `2>&1`, `>`.
fn redirection(word: &str) -> bool {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '&');
    rest.starts_with('>') || rest == "<" || rest.starts_with("</")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(text: &str) -> Option<String> {
        let words: Vec<Box<str>> = super::super::script::split(text);
        of(text, &words).map(|argv| argv.join("|"))
    }

    #[test]
    fn only_what_no_program_can_be_meant_by() {
        for (text, by) in [
            ("if [ -f /run/x.pid ]; then exit 0; else exit 1; fi", SH),
            ("[ -f /x ] && exit 1 || exit 0", SH),
            ("test -e /x; exit $?", SH),
            ("exit 1", SH),
            ("</dev/tcp/127.0.0.1/80", BASH),
            ("[[ -f /x ]]", BASH),
            ("(echo >/dev/tcp/127.0.0.1/80)", BASH),
            ("LANG=C /bin/x", SH),
            ("$(which x) -a", SH),
        ] {
            assert_eq!(shell(text), Some(format!("{by}|-c|{text}")), "{text}");
        }
        for text in [
            "killall -0 nginx",
            "/usr/bin/killall -0 httpd",
            "/bin/x 'it''s' $(id)",
            "pgrep x | wc",
            "/bin/sh -c 'if true; then exit 0; fi'",
            "[ -f /x ]",
            "test -f /x",
            "/bin/x=y",
            "",
        ] {
            assert_eq!(shell(text), None, "{text}");
        }
    }
    #[test]
    fn what_a_program_would_get_as_an_argument() {
        let of = |t| operator(&super::super::script::split(t)).map(str::to_owned);
        assert_eq!(of("pgrep x | wc").as_deref(), Some("|"));
        assert_eq!(of("/bin/x >/dev/null 2>&1").as_deref(), Some(">/dev/null"));
        assert_eq!(of("/bin/x 2>&1").as_deref(), Some("2>&1"));
        assert_eq!(of("/bin/x a; exit").as_deref(), Some("a;"));
        for not in ["/bin/x -a 'b c'", "/bin/sh -c 'x | y'", "/bin/x 5 --n=<3>", "/bin/x ;x"] {
            assert_eq!(of(not), None, "{not}");
        }
    }
}
