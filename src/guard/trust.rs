//! Whether the program at our path may be run in our place: which users could have changed it.
//!
//! An upgrade and a hand-over execute the program at the path. Only users who could have changed the running program may have written it:
//! root, the user kalived runs as, the owner of the program it was started from. Read first: `config/secure.rs`.

use crate::config::scripts::ScriptHost;
use crate::config::secure::{Acl, Kind, Stat, follow};

/// Why the program is not trusted. `ours`: the users who may write it.
pub fn distrust(host: &dyn ScriptHost, path: &str, ours: &[u32]) -> Option<String> {
    let way = match follow(host, path) {
        Ok(way) => way,
        Err(why) => return Some(why),
    };
    if way.end.kind != Kind::File {
        return Some(format!("`{path}` is not a regular file"));
    }
    // In a user namespace a file whose owner has no user there belongs to the host, as `/` does.
    let root = way.parts.first().map(|(_, s)| s.uid);
    let wrong = |name: &str, s: &Stat| match () {
        () if !ours.contains(&s.uid) && Some(s.uid) != root => Some(format!("is owned by {}", host.user_name(s.uid))),
        () if matches!(s.kind, Kind::Link(_)) => None,
        // In a sticky directory no user can replace a file of another user.
        () if s.kind == Kind::Directory && s.mode & 0o1000 != 0 => None,
        () if s.mode & 0o002 != 0 => Some("is writable by everybody".to_owned()),
        // With an access control list, the group's bits are its mask.
        () if s.mode & 0o020 == 0 => None,
        () if s.gid != 0 => Some(format!("is writable by group {}", host.group_name(s.gid))),
        () => listed(host, name, s.gid),
    };
    way.parts.iter().find_map(|(name, s)| Some(format!("`{name}` {}: it is not run", wrong(name, s)?)))
}

// Whom the access control list lets write. It may name further users than the one that is reported, so one of ours is not excepted.
fn listed(host: &dyn ScriptHost, path: &str, gid: u32) -> Option<String> {
    let who = match host.acl(path, gid) {
        Err(why) => return Some(format!("has an access control list that cannot be read: {why}")),
        Ok(Acl { group_writes: Some(gid), .. }) => format!("group {}", host.group_name(gid)),
        Ok(Acl { user_writes: Some(uid), .. }) => host.user_name(uid),
        Ok(_) => return None,
    };
    Some(format!("is writable by {who} through its access control list"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    struct Host(BTreeMap<&'static str, Stat>);
    impl ScriptHost for Host {
        fn user(&self, _: &str) -> Option<(u32, u32)> {
            None
        }
        fn group(&self, _: &str) -> Option<u32> {
            None
        }
        fn user_name(&self, uid: u32) -> String {
            format!("u{uid}")
        }
        fn group_name(&self, gid: u32) -> String {
            format!("g{gid}")
        }
        fn stat(&self, path: &str) -> Result<Stat, String> {
            self.0.get(path).cloned().ok_or_else(|| "No such file".to_owned())
        }
        fn head(&self, _: &str) -> Vec<u8> {
            Vec::new()
        }
        fn acl(&self, path: &str, _: u32) -> Result<Acl, String> {
            match path {
                "/bin/user" => Ok(Acl { user_writes: Some(1000), ..Acl::default() }),
                "/bin/group" => Ok(Acl { group_writes: Some(5), ..Acl::default() }),
                "/bin/hidden" => Err("Input/output error".to_owned()),
                _ => Ok(Acl::default()),
            }
        }
        fn search_path(&self) -> String {
            String::new()
        }
        fn make_file(&self, _: &str, _: i32, _: bool) -> Result<(), String> {
            Ok(())
        }
    }

    #[test]
    fn what_somebody_else_may_have_put_there_is_not_run() {
        let dir = |mode, uid| Stat { kind: Kind::Directory, mode, uid, gid: 0 };
        let file = |mode, uid, gid| Stat { kind: Kind::File, mode, uid, gid };
        let host = |bin: Stat, exe: Stat| Host(BTreeMap::from([("/", dir(0o755, 0)), ("/bin", bin), ("/bin/k", exe)]));
        let why = |bin, exe| distrust(&host(bin, exe), "/bin/k", &[0, 7]);
        let says = |got: Option<String>, what: &str| assert!(got.as_ref().is_some_and(|w| w.contains(what)), "{got:?}");
        assert_eq!(why(dir(0o755, 0), file(0o755, 0, 0)), None);
        assert_eq!(why(dir(0o1777, 0), file(0o755, 7, 9)), None, "ours, in a sticky directory");
        assert_eq!(why(dir(0o775, 0), file(0o775, 0, 0)), None, "root's group");
        says(why(dir(0o755, 0), file(0o755, 1000, 0)), "`/bin/k` is owned by u1000");
        says(why(dir(0o755, 0), file(0o777, 0, 0)), "`/bin/k` is writable by everybody");
        says(why(dir(0o755, 0), file(0o775, 0, 5)), "writable by group g5");
        says(why(dir(0o755, 1000), file(0o755, 0, 0)), "`/bin` is owned by u1000");
        says(why(dir(0o777, 0), file(0o755, 0, 0)), "`/bin` is writable by everybody");
        says(why(dir(0o755, 0), dir(0o755, 0)), "not a regular file");
        says(distrust(&host(dir(0o755, 0), file(0o755, 0, 0)), "/bin/x", &[0]), "No such file");
        // The group's bits are then the mask of the list.
        let listed = |name: &'static str, mode| {
            let parts = [("/", dir(0o755, 0)), ("/bin", dir(0o755, 0)), (name, file(mode, 0, 0))];
            distrust(&Host(BTreeMap::from(parts)), name, &[0, 7])
        };
        says(listed("/bin/user", 0o775), "`/bin/user` is writable by u1000 through its access control list");
        says(listed("/bin/group", 0o775), "writable by group g5 through its access control list");
        says(listed("/bin/hidden", 0o775), "cannot be read: Input/output error");
        assert_eq!(listed("/bin/user", 0o755), None, "the mask takes the right away");
        let mapped = Host(BTreeMap::from([("/", dir(0o755, 65534)), ("/k", file(0o755, 0, 0))]));
        assert_eq!(distrust(&mapped, "/k", &[0]), None, "in a user namespace");
    }
}
