//! Files in memory, and short functions to load them.

use kalived::config::diag::Severity;
use kalived::config::model::InstanceConfig;
use kalived::config::source::{FileError, Files};
use kalived::config::{Loaded, load};

/// One file.
pub struct One(pub Vec<u8>);

impl Files for One {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        match path {
            "k.conf" => Ok(self.0.clone()),
            // With a key.
            "/k" => Ok(b"0123456789abcdef0123456789abcdef\n".to_vec()),
            _ => Err(FileError { errno: Some(2), reason: "No such file or directory".into() }),
        }
    }
}

pub fn bytes(text: &[u8]) -> Loaded {
    load(&One(text.to_vec()), "k.conf")
}

pub fn text(text: &str) -> Loaded {
    bytes(text.as_bytes())
}

/// An instance with everything required, and these lines; on line 2 and after.
pub fn instance(lines: &str) -> Loaded {
    text(&format!(
        "vrrp_instance V {{ interface eth0\nvirtual_router_id 5\nvirtual_ipaddress {{\n10.0.0.1/24\n}}\n{lines}\n}}\n"
    ))
}

/// The only instance of a file without a message.
#[track_caller]
pub fn clean(loaded: &Loaded) -> &InstanceConfig {
    assert_eq!(loaded.render(false), "");
    assert_eq!(loaded.config.instances.len(), 1);
    &loaded.config.instances[0]
}

/// Messages in one line each: "3:5 error: text | help | 1:1 related".
pub fn short(loaded: &Loaded) -> Vec<String> {
    let one = |d: &kalived::config::diag::Diag| {
        let word = match d.severity {
            Severity::Fatal => "fatal",
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        let mut out = format!("{}:{} {word}: {}", d.place.line, d.place.column, d.message);
        if let Some(h) = &d.help {
            out += &format!(" | {h}");
        }
        for (p, _, text) in &d.related {
            out += &format!(" | {}:{} {text}", p.line, p.column);
        }
        out
    };
    loaded.diags.iter().map(one).collect()
}
