//! The keyword section of kalived.conf(5), made from the table so that it cannot say something else.

use super::{Form, Keyword, Scope, Status};
use std::fmt::Write;

/// Scopes with keywords that work, in the order of the page.
const PAGE: &[(Scope, &str)] = &[
    (Scope::Root, "TOP LEVEL"),
    (Scope::GlobalDefs, "GLOBAL_DEFS"),
    (Scope::Instance, "VRRP_INSTANCE"),
    (Scope::Authentication, "AUTHENTICATION"),
    (Scope::AddressLine, "ADDRESS LINES"),
    (Scope::TrackLine, "TRACK_INTERFACE LINES"),
];

/// In roff: every keyword that works or is accepted, then the names of those that are not done yet.
pub fn man_section() -> String {
    let mut out = String::new();
    for &(scope, title) in PAGE {
        let _ = writeln!(out, ".SH {}", roff(title));
        for k in scope.rows().iter().filter(|k| matches!(k.status, Status::Supported | Status::Always)) {
            one(&mut out, k);
        }
    }
    out.push_str(".SH KEYWORDS NOT SUPPORTED YET\n");
    out.push_str(
        "These keywords of keepalived are known. Each that a file uses is reported once, with its place, and has no effect.\n\
         Those marked with * keep kalived from starting, because running without them would not be safe.\n",
    );
    for &scope in Scope::ALL {
        let name = |k: &Keyword| match k.status {
            Status::NotYet => Some(roff(k.name)),
            Status::Refused => Some(format!("{}*", roff(k.name))),
            _ => None,
        };
        let names: Vec<String> = scope.rows().iter().filter_map(name).collect();
        if !names.is_empty() {
            let _ = write!(out, ".TP\n.B {}\n{}.\n", roff(scope.title()), names.join(",\n"));
        }
    }
    out
}

fn one(out: &mut String, k: &Keyword) {
    let _ = write!(out, ".TP\n.BI {}", quote(k.name));
    let args = if k.args.is_empty() { String::new() } else { format!(" {}", k.args) };
    let _ = writeln!(out, " {}", quote(&args));
    let _ = writeln!(out, "{}", roff(k.doc));
    let range = match k.form {
        Form::Int(min, max) if k.range.is_empty() || k.range.starts_with("outside") => {
            let tail = if k.range.is_empty() { String::new() } else { format!("; {}", k.range) };
            match max >= i64::from(i32::MAX) {
                true => format!("{min} or more{tail}"),
                false => format!("{min}..{max}{tail}"),
            }
        }
        Form::Secs(..) if !k.range.is_empty() => k.range.to_owned(),
        Form::Secs(0, max) if max < 4_000_000_000 => format!("0..{} s", max / 1_000_000),
        _ => k.range.to_owned(),
    };
    if !range.is_empty() {
        let _ = writeln!(out, "Range: {}.", roff(&range));
    }
    if !k.default.is_empty() && k.default != "none" {
        let _ = writeln!(out, "Default: {}.", roff(k.default));
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
