//! The keyword section of kalived.conf(5), made from the table so that it cannot say something else.

use super::{Form, Keyword, Scope, Status};
use std::fmt::Write;

/// In roff: every keyword of every scope.
pub fn man_section() -> String {
    let mut out = String::new();
    out.push_str(".SH KEYWORDS\n");
    out.push_str(
        "All keywords of keepalived are known, checked and kept.\n\
         .I (no effect yet)\n\
         marks those that the daemon does not act on so far; each that a file uses is reported once, with its place.\n\
         .I (no effect yet, fails a test)\n\
         marks those of them that are a part of the main work: a test fails, and a reload is refused, unless the name\n\
         .B no\\-effect\\-yet\n\
         is allowed.\n\
         .I (no effect yet, refused unless allowed)\n\
         marks those without which the file would not do what it promises: kalived does not start unless that name is\n\
         allowed.\n\
         .I (refused until it works)\n\
         marks those that keep kalived from starting, because running without them would not be safe.\n\
         .I (accepted)\n\
         marks those that ask for what kalived always does.\n\
         .I (kalived only)\n\
         marks those that keepalived does not know.\n\
         .B kalived \\-\\-list\\-keywords\n\
         prints the same list for programs.\n",
    );
    for &scope in Scope::ALL {
        let _ = writeln!(out, ".SH {}", roff(&scope.title().to_uppercase()));
        if !scope.shared().is_empty() {
            let more: Vec<String> = scope.shared().iter().map(|s| roff(s.title())).collect();
            let _ = writeln!(out, "Also the keywords of {}.", more.join(" and "));
        }
        for k in scope.rows() {
            one(&mut out, scope, k);
        }
    }
    out
}

fn one(out: &mut String, scope: Scope, k: &Keyword) {
    let _ = write!(out, ".TP\n.BI {}", quote(k.name));
    let args = if k.args.is_empty() { String::new() } else { format!(" {}", k.args) };
    let _ = writeln!(out, " {}", quote(&args));
    if super::is_own(scope, k.name) {
        out.push_str(".I (kalived only)\n");
    }
    if k.status != Status::Supported {
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
