//! Messages for programs: `--config-test --format=json`. The field names are those of kalived(8) and never change; new ones may be added.

use super::diag::{Cut, Diag};
use super::model::Place;
use super::source::{Sources, Span};
use serde_json::{Value, json};

/// An array with every message, in file order. Where messages were too many to be kept, the last element is about that: its
/// code is `messages-cut`, and `cut` says how many are missing.
pub fn json<'a>(diags: impl IntoIterator<Item = &'a Diag>, cut: Cut, src: &Sources) -> Value {
    let mut list: Vec<Value> = diags.into_iter().map(|d| one(d, src)).collect();
    if cut.messages > 0 {
        let head = json!({
            "severity": if cut.failing > 0 { "error" } else { "note" },
            "code": super::kind::CUT,
            "message": format!("{} more messages are not listed", cut.messages),
            "help": "mend what is listed and test again",
            "fails": cut.failing > 0,
            "related": [],
            "cut": cut.messages,
        });
        let start = Span::default();
        list.push(with(head, &src.place(start), start, src));
    }
    list.into()
}

fn one(d: &Diag, src: &Sources) -> Value {
    let related: Value =
        d.related.iter().map(|(place, span, text)| with(json!({ "message": text }), place, *span, src)).collect();
    let head = json!({
        "severity": d.severity.word(),
        "code": d.code(),
        "message": d.message,
        "help": d.help,
        "fails": d.fails_test,
        "related": related,
    });
    with(head, &d.place, d.span, src)
}

/// Adds file, line, column and the place after the last marked character.
fn with(mut value: Value, place: &Place, span: Span, src: &Sources) -> Value {
    let origin = src.origin(span);
    let end = src.place(Span { start: origin.end, ..origin });
    if let Some(map) = value.as_object_mut() {
        map.insert("file".to_owned(), json!(&*place.file));
        map.insert("line".to_owned(), json!(place.line));
        map.insert("column".to_owned(), json!(place.column));
        map.insert("end".to_owned(), json!({"line": end.line, "column": end.column}));
    }
    value
}
