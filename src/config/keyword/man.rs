//! The keyword sections of kalived.conf(5), generated from the keyword table.

use super::{Form, Keyword, Scope, Status};
use std::fmt::Write;

/// In roff: every keyword of every scope.
pub fn man_section() -> String {
    let mut out = String::from(
        ".SH KEYWORDS\n\
         These keywords have an effect; those that have none stand in a section of their own below.\n\
         .I (accepted)\n\
         marks those that ask for what kalived always does.\n\
         .I (kalived only)\n\
         marks those that keepalived does not know.\n\
         .B kalived \\-\\-list\\-keywords\n\
         prints all keywords for programs.\n",
    );
    scopes(&mut out, |k| k.status.has_effect());
    out.push_str(
        ".SH KEYWORDS WITHOUT EFFECT\n\
         These are known, checked and kept, and kalived does not act on them, for the reason at each. One that a file uses is\n\
         reported once, with its place.\n",
    );
    scopes(&mut out, |k| k.status == Status::Never);
    out
}

/// The keywords of every scope that has such ones.
fn scopes(out: &mut String, which: fn(&Keyword) -> bool) {
    for &scope in Scope::ALL {
        let rows: Vec<&Keyword> = scope.rows().iter().filter(|k| which(k)).collect();
        if rows.is_empty() {
            continue;
        }
        let _ = writeln!(out, ".SS {}", capital(&roff(scope.title())));
        if !scope.shared().is_empty() {
            let more: Vec<String> = scope.shared().iter().map(|s| roff(s.title())).collect();
            let _ = writeln!(out, "Also the keywords of {}.", more.join(" and "));
        }
        for k in rows {
            one(out, scope, k);
        }
    }
}

/// A title begins with a capital letter, unless it is a word of the language.
fn capital(title: &str) -> String {
    match title.strip_prefix("the ").or(title.strip_prefix("a ")).or(title.strip_prefix("an ")) {
        Some(rest) => rest.chars().take(1).flat_map(char::to_uppercase).chain(rest.chars().skip(1)).collect(),
        None => title.to_owned(),
    }
}

fn one(out: &mut String, scope: Scope, k: &Keyword) {
    let _ = write!(out, ".TP\n.BI {}", quote(k.name));
    let args = if k.args.is_empty() { String::new() } else { format!(" {}", k.args) };
    let _ = writeln!(out, " {}", quote(&args));
    if super::is_own(scope, k.name) {
        out.push_str(".I (kalived only)\n");
    }
    if !matches!(k.status, Status::Supported | Status::Never) {
        let _ = writeln!(out, ".I ({})", roff(k.status.word()));
    }
    let _ = writeln!(out, "{}", roff(k.doc));
    let range = match k.form {
        // The argument names these already.
        Form::Choice(_) | Form::OneOf(_) => k.range.to_owned(),
        Form::Int(min, max) if max >= i64::from(i32::MAX) && k.range.is_empty() => format!("{min} or more"),
        Form::Secs(_, max) if max >= 4_000_000_000 && k.range.is_empty() => String::new(),
        _ => k.limits(),
    };
    if !range.is_empty() {
        let _ = writeln!(out, "Range: {}.", roff(range.trim_end_matches('.')));
    }
    if !k.default.is_empty() && k.default != "none" {
        let _ = writeln!(out, "Default: {}.", roff(k.default));
    }
    if let Some(now) = super::replaced_by(scope, k.name) {
        let _ = writeln!(out, "Old name: write {}.", roff(now));
    }
    if !super::applied_by_reload(scope, k.name) {
        out.push_str("A reload does not change it.\n");
    }
}

/// Text for a line of its own: nothing in it is a request or an escape.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('~', "\\(ti").replace('^', "\\(ha");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

/// An argument of a request.
fn quote(text: &str) -> String {
    format!("\"{}\"", roff(text).replace('"', "\\(dq"))
}
