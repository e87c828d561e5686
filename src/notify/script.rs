//! A command of the configuration as a program to run. Read first: `config/model/setting.rs`.

use crate::config::model::setting::{Ready, Script};
use crate::effect::SpawnSpec;

/// User and group of the command; or why it is not run.
pub fn check(script: &Script) -> Result<(u32, u32), String> {
    match &script.ready {
        _ if script.argv.is_empty() => Err("it names no program".to_owned()),
        Ready::As { uid, gid } => Ok((*uid, *gid)),
        Ready::Unknown => Err("it was not looked at on this machine".to_owned()),
        Ready::Refused(why) => Err(why.to_string()),
    }
}

/// The arguments of the command word by word, then `more`; or why it is not run.
pub fn spec(script: &Script, more: &[String]) -> Result<SpawnSpec, String> {
    let (uid, gid) = check(script)?;
    let argv = script.argv.iter().map(ToString::to_string).chain(more.iter().cloned()).collect();
    Ok(SpawnSpec { argv, env: Vec::new(), uid, gid, alone: false })
}

/// The program's name, for messages.
pub fn program(script: &Script) -> &str {
    script.argv.first().map_or("", |p| p)
}
