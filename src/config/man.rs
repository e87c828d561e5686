//! The sections of kalived.conf(5) about messages, generated from the tables of lints and of kinds of messages.

use super::kind::KINDS;
use super::lint::LINTS;
use std::fmt::Write;

/// In roff: every lint, then the names of all other messages with the shape of their text.
pub fn messages_section() -> String {
    let mut out = String::from(".SH LINTS\n");
    out.push_str(
        "Settings that are allowed and have unwanted effects.\n\
         .B kalived \\-\\-config\\-test\n\
         reports them as warnings, which do not fail the test unless\n\
         .B \\-\\-strict\\-lints\n\
         is given.\n\
         Those that are mistakes for another reason, too, always fail it.\n",
    );
    for lint in LINTS {
        let _ = writeln!(out, ".TP\n.B {}", roff(lint.name));
        let _ =
            writeln!(out, "{}.\nWhy: {}.\nRemedy: {}.", roff(&capital(lint.what)), roff(lint.why), roff(lint.remedy));
    }
    out.push_str(".SH NAMES OF MESSAGES\n");
    out.push_str(
        "Each kind of message has a name that never changes; its text may change.\nHere * stands for a word of the file, or for what is done about it.\n.nf\n",
    );
    let lint = |code: &str| LINTS.iter().any(|l| l.name == code && l.check.is_some());
    let mut rows: Vec<(&str, String)> = KINDS.iter().filter(|k| !lint(k.code)).map(|k| (k.code, k.shape())).collect();
    rows.sort_by_key(|k| k.0);
    let mut last = "";
    for (name, shape) in rows {
        let _ = writeln!(out, "{:<26} {}", roff(if name == last { "" } else { name }), roff(&shape));
        last = name;
    }
    out.push_str(".fi\n");
    out
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |c| c.to_uppercase().collect::<String>() + chars.as_str())
}

/// Text for a line of its own, escaped: no part of it is a roff request or an escape.
fn roff(text: &str) -> String {
    let text =
        text.replace('\\', "\\e").replace('-', "\\-").replace('~', "\\(ti").replace('^', "\\(ha").replace('`', "\\(ga");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}
