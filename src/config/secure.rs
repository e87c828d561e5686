//! Which users could change a program: the path from `/` to the file, through every symbolic link, and which of its parts a user other
//! than root can write to. Used for programs that run as root: a user who can change one of them has root's rights. Pure: the machine's
//! data come from [`ScriptHost`]. Read next: `scripts.rs`.
//!
//! The result is that at the time of compilation. Programs that run as root under `enable_script_security` are checked again when they
//! are started (`sys/walk.rs`). Deliberately absent: capabilities of files; lists that only an NFSv4 server evaluates.

use super::scripts::ScriptHost;
use std::collections::VecDeque;

/// Most symbolic links in the path of one file; the kernel's limit.
const MAX_LINKS: usize = 40;
/// Most parts of a path: limits the work for a hostile maze of links. PATH_MAX allows 2,048 names.
const MAX_PARTS: usize = 4096;

/// The kind of a file, links not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, and its target.
    Link(String),
    /// A device, a socket, a pipe.
    Other,
}

/// The kind, owner and permissions of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The kind of file.
    pub kind: Kind,
    /// The permission bits with set-id and sticky bits (0..=0o7777).
    pub mode: u32,
    /// User id of the owner.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// The rights that an access control list grants beyond the mode, without root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acl {
    /// A user that may write.
    pub user_writes: Option<u32>,
    /// A group that may write.
    pub group_writes: Option<u32>,
    /// Users (true) and groups that may execute.
    pub execute: Vec<(bool, u32)>,
}

/// The path to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Without links, `.` and `..`.
    pub real: String,
    /// The file at its end.
    pub end: Stat,
    /// Every part, from `/` to the end, links included.
    pub parts: Vec<(String, Stat)>,
}

/// Follows an absolute path. The error is a text: "`/opt/x`: No such file or directory".
pub fn follow(host: &dyn ScriptHost, path: &str) -> Result<Way, String> {
    let names = |p: &str| p.split('/').filter(|n| !n.is_empty() && *n != ".").map(str::to_owned).collect::<Vec<_>>();
    let root = host.stat("/").map_err(|e| format!("`/`: {e}"))?;
    let (mut parts, mut links) = (vec![("/".to_owned(), root.clone())], 0);
    let mut left: VecDeque<String> = names(path).into();
    // The directories down to the present one, and its properties.
    let mut at: Vec<String> = Vec::new();
    let mut end = root.clone();
    let name = |at: &[String]| format!("/{}", at.join("/"));
    while let Some(next) = left.pop_front() {
        if next == ".." {
            at.pop();
            end = root.clone();
            continue;
        }
        at.push(next);
        let here = name(&at);
        end = host.stat(&here).map_err(|e| format!("`{here}`: {e}"))?;
        parts.push((here.clone(), end.clone()));
        if parts.len() > MAX_PARTS {
            return Err(format!("`{path}`: Too many names on the way"));
        }
        if let Kind::Link(to) = end.kind.clone() {
            links += 1;
            if links > MAX_LINKS {
                return Err(format!("`{here}`: Too many levels of symbolic links"));
            }
            at.pop();
            end = root.clone();
            if to.starts_with('/') {
                at.clear();
            }
            for name in names(&to).into_iter().rev() {
                left.push_front(name);
            }
        }
    }
    Ok(Way { real: name(&at), end, parts })
}

/// The first part of the path that a user other than root can change, as text: "`/opt/x` is writable by group wheel (drwxrwxr-x
/// root:wheel)". `sticky`: also a shared directory in which only owners remove their files. No other user replaces root's files there;
/// but when root removes one, any user may create it anew.
pub fn weak(host: &dyn ScriptHost, way: &Way, sticky: bool) -> Option<String> {
    let (path, stat, why) = way.parts.iter().find_map(|(p, s)| weakness(host, p, s, sticky).map(|why| (p, s, why)))?;
    Some(format!("`{path}` is {why} ({} {}:{})", mode(stat), host.user_name(stat.uid), host.group_name(stat.gid)))
}

fn weakness(host: &dyn ScriptHost, path: &str, s: &Stat, sticky: bool) -> Option<String> {
    if s.uid != 0 {
        return Some(format!("owned by {}", host.user_name(s.uid)));
    }
    // The mode of a link has no meaning.
    let shared = s.kind == Kind::Directory && s.mode & 0o1000 != 0;
    if shared && !sticky || matches!(s.kind, Kind::Link(_)) {
        return None;
    }
    if s.mode & 0o002 != 0 {
        return Some("writable by everybody".to_owned());
    }
    // With a list, the group's bits are its mask: without `w` in the mask no user or group of the list may write.
    if s.mode & 0o020 == 0 {
        return None;
    }
    if s.gid != 0 {
        return Some(format!("writable by group {}", host.group_name(s.gid)));
    }
    match host.acl(path, s.gid) {
        Err(why) => Some(format!("of unknown permissions: its access control list cannot be read: {why}")),
        Ok(Acl { user_writes: Some(uid), .. }) => {
            Some(format!("writable by {} through its access control list", host.user_name(uid)))
        }
        Ok(Acl { group_writes: Some(gid), .. }) => {
            Some(format!("writable by group {} through its access control list", host.group_name(gid)))
        }
        Ok(_) => None,
    }
}

/// Whether an access control list lets this user or group execute the file at the end.
pub fn listed(host: &dyn ScriptHost, way: &Way, uid: u32, gid: u32) -> bool {
    let list = host.acl(&way.real, way.end.gid).unwrap_or_default();
    way.end.kind == Kind::File && list.execute.iter().any(|(user, id)| *id == if *user { uid } else { gid })
}

/// Whether this user may execute the file.
pub fn executable(s: &Stat, uid: u32, gid: u32) -> bool {
    let bits = match () {
        () if uid == 0 => 0o111,
        () if uid == s.uid => 0o100,
        () if gid == s.gid => 0o010,
        () => 0o001,
    };
    s.kind == Kind::File && s.mode & bits != 0
}

/// Whether it runs as root, whichever user starts it.
pub fn becomes_root(s: &Stat) -> bool {
    s.mode & 0o4000 != 0 && s.uid == 0 || s.mode & 0o2000 != 0 && s.gid == 0
}

/// In the form of `ls -l`.
fn mode(s: &Stat) -> String {
    let mut out = String::from(match s.kind {
        Kind::File => "-",
        Kind::Directory => "d",
        Kind::Link(_) => "l",
        Kind::Other => "?",
    });
    for (shift, special, mark) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = s.mode >> shift;
        out.push(if bits & 4 != 0 { 'r' } else { '-' });
        out.push(if bits & 2 != 0 { 'w' } else { '-' });
        out.push(match (s.mode & special != 0, bits & 1 != 0) {
            (true, true) => mark,
            (true, false) => mark.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_as_ls_writes_them() {
        let of = |kind, bits| mode(&Stat { kind, mode: bits, uid: 0, gid: 0 });
        assert_eq!(of(Kind::Directory, 0o1777), "drwxrwxrwt");
        assert_eq!(of(Kind::File, 0o4755), "-rwsr-xr-x");
        assert_eq!(of(Kind::File, 0o6644), "-rwSr-Sr--");
        assert_eq!(of(Kind::Directory, 0o775), "drwxrwxr-x");
    }
    #[test]
    fn who_may_execute() {
        let s = |mode| Stat { kind: Kind::File, mode, uid: 5, gid: 6 };
        assert!(executable(&s(0o100), 5, 9) && !executable(&s(0o011), 5, 6));
        assert!(executable(&s(0o010), 7, 6) && executable(&s(0o001), 7, 9) && !executable(&s(0o110), 7, 9));
        assert!(executable(&s(0o001), 0, 0) && !executable(&s(0o666), 0, 0));
    }
}
