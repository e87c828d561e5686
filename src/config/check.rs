//! The checks of a configuration after it was read: interfaces that this machine does not have, lints; and the silencing of messages.
//! Read first: `load.rs`, `lint.rs`, `allow.rs`.

use super::allow::Allowed;
use super::diag::{Diags, Severity};
use super::lint::{self, HostAddr, Machine};
use super::scripts::{self, Prepare};
use super::{Loaded, check_interfaces};

/// What this machine has, as far as messages care.
#[derive(Clone, Debug)]
pub struct Host {
    /// Names of its interfaces.
    pub interfaces: Vec<String>,
    /// The addresses of its interfaces.
    pub addrs: Vec<HostAddr>,
    /// Whether a path leads to something.
    pub exists: fn(&str) -> bool,
    /// A setting of its kernel.
    pub sysctl: fn(&str) -> Option<i64>,
}

/// What is examined besides the file itself.
#[derive(Clone, Copy, Default)]
pub struct Look<'a> {
    /// `None`: another machine's configuration (`--offline`).
    pub host: Option<&'a Host>,
    /// Look for lints too.
    pub lints: bool,
    /// Look at least for those of a start, [`lint::says_at_start`].
    pub starts: bool,
    /// A lint fails the test.
    pub strict_lints: bool,
    /// Names of messages nobody wants to see.
    pub allow: &'a [String],
    /// Look at the commands and fill in what they need to run here; `None`: they stay as they are, and none can run.
    pub scripts: Option<Prepare<'a>>,
}

impl Loaded {
    /// Adds these messages to its own and takes the silenced ones out.
    pub fn look(&mut self, look: Look<'_>) {
        let mut found = Diags::default();
        let allowed = Allowed::read(&self.sources, look.allow, &mut found);
        if (look.lints || look.starts) && self.diags.iter().all(|d| d.exit != crate::exit::ExitCode::NoConfig) {
            // Whoever looks at the commands tells of those that are missing.
            let told = look.scripts.is_some();
            let exists = |path: &str| told || look.host.is_some_and(|h| (h.exists)(path));
            let host = look.host.map(|h| Machine { addrs: &h.addrs, exists: &exists, sysctl: h.sysctl });
            let which = |name: &str| look.lints || lint::says_at_start(name);
            lint::run(self, host, which, look.strict_lints, &mut found);
        }
        if let Some(how) = look.scripts {
            scripts::prepare(&mut self.config, how, &self.sources, &self.commands, &self.said, &mut found);
        }
        let (mut list, cut) = found.finish(&self.sources);
        if let Some(host) = look.host {
            let names: Vec<&str> = host.interfaces.iter().map(String::as_str).collect();
            let mut missing = check_interfaces(self, &|n| names.contains(&n), &names);
            // keepalived refuses it, too, unless the file says that interfaces come and go.
            if self.says("dynamic_interfaces") {
                missing.iter_mut().for_each(|d| (d.severity, d.fails_test) = (Severity::Note, false));
            }
            list.append(&mut missing);
        }
        self.cut += cut;
        self.diags.append(&mut list);
        let src = &self.sources;
        self.diags.retain(|d| !allowed.silences(d, src));
        // Where a command cannot be run, its message has the same remedy.
        let told: Vec<_> = self.diags.iter().filter(|d| d.code() == "script-missing").map(|d| d.span).collect();
        self.diags.retain(|d| d.code() != "quoted-program" || !told.contains(&d.span));
        self.diags.sort_by_cached_key(|d| (src.order(d.span), d.severity));
    }
}
