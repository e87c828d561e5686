//! Messages about a configuration as entries of the log: one message is one entry, with the syslog priority of its severity.
//!
//! A message that has several lines on a terminal (the line, a caret, help) is one line here; the position refers to the file. Between
//! the compiler's process and the guard an entry is a line with its priority in front, `<3>` for an error, in the form that systemd reads
//! too.

use crate::config::Loaded;
use crate::config::diag::{Diag, MAX_SHOWN, Severity};
use crate::note::{Level, Note};

/// The priority of a message in the log: fatal and error 3, warning 4, note 5.
pub fn level(severity: Severity) -> Level {
    match severity {
        Severity::Fatal | Severity::Error => Level::Error,
        Severity::Warning => Level::Warning,
        Severity::Note => Level::Notice,
    }
}

/// Every message, in file order; at most as many as on a terminal; the most severe are kept.
pub fn entries(loaded: &Loaded) -> Vec<Note> {
    let all = [Severity::Fatal, Severity::Error, Severity::Warning, Severity::Note];
    let mut shown: Vec<usize> = Vec::new();
    for severity in all {
        let of = |(i, d): (usize, &Diag)| (d.severity == severity).then_some(i);
        shown.extend(loaded.diags.iter().enumerate().filter_map(of).take(MAX_SHOWN - shown.len()));
    }
    shown.sort_unstable();
    let mut out: Vec<Note> = shown.iter().filter_map(|i| loaded.diags.get(*i)).map(one).collect();
    let more = loaded.diags.len() - out.len() + loaded.cut.messages;
    if more > 0 {
        out.push(Note { level: Level::Notice, text: format!("and {more} more messages about the configuration") });
    }
    out
}

fn one(d: &Diag) -> Note {
    let mut text = format!("{}: {}: {}", d.place, d.severity.word(), d.message);
    if d.severity >= Severity::Warning {
        text += &format!(" [{}]", d.code());
    }
    for (place, _, what) in &d.related {
        text += &format!("; {place}: {what}");
    }
    if let Some(help) = &d.help {
        text += &format!("; help: {help}");
    }
    Note { level: level(d.severity), text: text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect() }
}

/// Whether it is logged once, as long as the file says the same: a note, or a lint of a start (`config/lint.rs`).
pub fn says_once(note: &Note) -> bool {
    note.level >= Level::Notice || note.level == Level::Warning && note.text.contains(" [ipvs-")
}

/// Formats an entry as a line, without its end.
pub fn write(note: &Note) -> String {
    format!("<{}>{}", note.level as u8, note.text)
}

/// Parses the result of [`write()`]. A line without a priority counts as a warning.
pub fn parse(line: &str) -> Note {
    let read = || {
        let (number, text) = line.strip_prefix('<')?.split_once('>')?;
        let levels = [Level::Error, Level::Warning, Level::Notice, Level::Info, Level::Detail];
        let level = levels.into_iter().find(|l| number == (*l as u8).to_string())?;
        Some(Note { level, text: text.to_owned() })
    };
    read().unwrap_or_else(|| Note { level: Level::Warning, text: line.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;
    use crate::config::source::{FileError, Files};

    struct One<'a>(&'a str);
    impl Files for One<'_> {
        fn read(&self, _: &str) -> Result<Vec<u8>, FileError> {
            Ok(self.0.as_bytes().to_vec())
        }
    }

    #[test]
    fn a_message_is_one_entry_with_its_priority() {
        let text = "vrrp_instance a {\n interface eth0\n virtual_router_id 1\n priorty 300\n advert_int 0x2\n lvs_sync_daemon\n}\n\
                    vrrp_instance b {\n interface eth0\n virtual_router_id 1\n}\n";
        let loaded = load(&One(text), "k.conf");
        let all = entries(&loaded);
        assert_eq!(all.len(), loaded.diags.len());
        for (note, d) in all.iter().zip(&loaded.diags) {
            let number = match d.severity {
                Severity::Fatal | Severity::Error => 3,
                Severity::Warning => 4,
                Severity::Note => 5,
            };
            assert_eq!(note.level as u8, number, "{}", note.text);
            assert!(note.text.contains(&d.message) && !note.text.contains('\n'), "{}", note.text);
            assert!(d.help.iter().all(|h| note.text.contains(&format!("; help: {h}"))), "{}", note.text);
            assert_eq!(parse(&write(note)), *note);
        }
        let severities: std::collections::BTreeSet<Severity> = loaded.diags.iter().map(|d| d.severity).collect();
        assert!(severities.len() >= 2, "{severities:?}");
        assert_eq!(parse("what?").level, Level::Warning);
        assert_eq!(parse("<9>x").text, "<9>x");
    }

    #[test]
    fn of_very_many_the_worst_are_said() {
        let mut text = String::from("vrrp_instance a {\n interface eth0\n virtual_router_id 1\n");
        (0..300).for_each(|n| text.push_str(&format!(" nonsense{n} 1\n")));
        text.push_str("}\nvrrp_instance b {\n interface eth0\n virtual_router_id 1\n}\n");
        let loaded = load(&One(&text), "k.conf");
        let all = entries(&loaded);
        assert_eq!(all.len(), MAX_SHOWN + 1);
        assert!(all.iter().any(|n| n.text.contains(": fatal: ")), "the last in the file");
        assert!(all.last().is_some_and(|n| n.text.starts_with("and ")));
    }
}
