//! The programs that may be started for a core: the commands of the configurations that the guard gave it, and no others.
//!
//! The core receives packets from untrusted hosts. A program that it requests is taken for a name, looked up here, and run as the
//! configuration defines it. Pure. Read first: `config/scripts.rs` (the compilation of commands), `effect.rs` (`SpawnSpec`).

use crate::config::model::Config;
use crate::config::model::global::Login;
use crate::config::model::lvs::Part;
use crate::config::model::setting::{Ready, Script};
use crate::config::scripts::{commands, commands_of};
use crate::effect::SpawnSpec;
use crate::lvs::director::MODPROBE;
use std::collections::{BTreeMap, VecDeque};

/// Configurations whose commands may run: the one in force, and those before it, because a hook of theirs may still be queued. A hook
/// that is queued for longer than seven reloads is not started.
const CONFIGS: usize = 8;
/// Most arguments after those of the configuration: a hook is given the kind of its subject, the name, the state and the priority; a
/// reader its pipe.
const MORE: usize = 4;

/// How a command is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leave {
    /// User and group; `None`: those of the guard, for programs of kalived's own.
    pub user: Option<(u32, u32)>,
    /// Only if no user but root can replace the program.
    pub secure: bool,
    /// The user's name, home and shell.
    pub login: Option<Login>,
}

struct Command {
    argv: Vec<Box<str>>,
    more: usize,
    leave: Leave,
}

/// The commands of the last eight configurations that a core was given, by the path of the program.
#[derive(Default)]
pub struct Allowed {
    configs: VecDeque<BTreeMap<Box<str>, Vec<Command>>>,
}

impl Allowed {
    /// Allows the commands of `config` from now on, too.
    pub fn add(&mut self, config: &Config) {
        let mut all: BTreeMap<Box<str>, Vec<Command>> = BTreeMap::new();
        let more = &config.global.more;
        commands(config).into_iter().for_each(|(_, script)| add(&mut all, script, config));
        // The file of a scheduled reload is removed after the reload.
        if let Some(path) = &more.reload_time_file {
            let argv = ["rm", "-f", "--", path].map(Into::into).into();
            let leave = Leave { user: None, secure: false, login: None };
            all.entry("rm".into()).or_default().push(Command { argv, more: 0, leave });
        }
        self.configs.push_front(all);
        self.configs.truncate(CONFIGS);
    }

    /// Allows the commands of these virtual servers of `config`, the configuration that was added last.
    pub fn add_part(&mut self, config: &Config, part: &Part) {
        let Some(all) = self.configs.front_mut() else { return };
        commands_of(part).into_iter().for_each(|(_, script)| add(all, script, config));
        if let Part::Server(_) = part
            && !all.contains_key(MODPROBE[0])
        {
            let leave = Leave { user: None, secure: false, login: None };
            all.entry(MODPROBE[0].into()).or_default().push(Command {
                argv: MODPROBE.map(Into::into).into(),
                more: 0,
                leave,
            });
        }
    }

    /// How `spec` is run; `None`: no configuration names it.
    pub fn find(&self, spec: &SpawnSpec) -> Option<&Leave> {
        let program = spec.argv.first()?.as_str();
        let same = |c: &&Command| {
            let more = spec.argv.len().checked_sub(c.argv.len());
            more.is_some_and(|n| n <= c.more)
                && c.argv.iter().zip(&spec.argv).all(|(a, b)| **a == **b)
                && c.leave.user.is_none_or(|u| u == (spec.uid, spec.gid))
        };
        self.configs.iter().find_map(|all| all.get(program)?.iter().find(same)).map(|c| &c.leave)
    }
}

fn add(all: &mut BTreeMap<Box<str>, Vec<Command>>, script: &Script, config: &Config) {
    let (Some(program), Ready::As { uid, gid }) = (script.argv.first(), &script.ready) else { return };
    let more = &config.global.more;
    let login = more.logins.iter().find(|l| l.uid == *uid).cloned();
    let secure = more.enable_script_security && (*uid == 0 || *gid == 0);
    let leave = Leave { user: Some((*uid, *gid)), secure, login };
    let here = all.entry(program.clone()).or_default();
    // The same hook of 255 virtual routers is one command.
    if !here.iter().any(|c| c.argv == script.argv && c.leave == leave) {
        here.push(Command { argv: script.argv.clone(), more: MORE, leave });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::{Family, InstanceConfig};

    fn script(words: &[&str], uid: u32) -> Option<Box<Script>> {
        let argv = words.iter().map(|w| (*w).into()).collect();
        Some(Box::new(Script { argv, ready: Ready::As { uid, gid: uid }, ..Script::default() }))
    }

    fn spec(words: &[&str], uid: u32) -> SpawnSpec {
        SpawnSpec { argv: words.iter().map(|w| (*w).to_owned()).collect(), uid, gid: uid, ..SpawnSpec::default() }
    }

    fn config(hook: &str) -> Config {
        let mut i = InstanceConfig::new("a", "eth0", 1, Family::V4);
        i.more.notify.any = script(&[hook, "-v"], 0);
        i.more.notify.master = script(&["/as/joe"], 1000);
        let mut config = Config { instances: vec![i], ..Config::default() };
        config.global.more.enable_script_security = true;
        config.global.more.reload_time_file = Some("/run/at".into());
        config.global.more.logins =
            vec![Login { uid: 1000, name: "joe".into(), home: "/srv/joe".into(), shell: "/bin/sh".into() }];
        config
    }

    #[test]
    fn what_no_configuration_names_is_not_started() {
        let mut allowed = Allowed::default();
        assert_eq!(allowed.find(&spec(&["/hook", "-v"], 0)), None);
        allowed.add(&config("/hook"));
        let found = allowed.find(&spec(&["/hook", "-v", "INSTANCE", "a", "MASTER", "100"], 0)).unwrap();
        assert_eq!((found.user, found.secure, &found.login), (Some((0, 0)), true, &None));
        let joe = allowed.find(&spec(&["/as/joe"], 1000)).unwrap();
        assert_eq!((joe.secure, joe.login.as_ref().map(|l| &*l.home)), (false, Some("/srv/joe")));
        for (words, uid) in [
            (&["/hook"][..], 0),
            (&["/hook", "-x"], 0),
            (&["/hook", "-v"], 1000),
            (&["/as/joe"], 0),
            (&["/hook", "-v", "1", "2", "3", "4", "5"], 0),
            (&["/bin/sh", "-c", "id"], 0),
            (&["rm", "-f", "--", "/etc/passwd"], 0),
            (&["rm", "-f", "--", "/run/at", "/etc/passwd"], 0),
        ] {
            assert_eq!(allowed.find(&spec(words, uid)), None, "{words:?} {uid}");
        }
        assert_eq!(allowed.find(&spec(&["rm", "-f", "--", "/run/at"], 0)).map(|l| l.user), Some(None));
    }

    #[test]
    fn what_an_earlier_configuration_named_may_still_run_for_a_while() {
        let mut allowed = Allowed::default();
        allowed.add(&config("/old"));
        for n in 1..CONFIGS {
            assert!(allowed.find(&spec(&["/old", "-v"], 0)).is_some(), "{n}");
            allowed.add(&config("/new"));
        }
        assert!(allowed.find(&spec(&["/old", "-v"], 0)).is_some());
        allowed.add(&config("/new"));
        assert_eq!(allowed.find(&spec(&["/old", "-v"], 0)), None);
        assert!(allowed.find(&spec(&["/new", "-v"], 0)).is_some());
    }
}
