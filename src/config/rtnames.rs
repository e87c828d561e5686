//! Names for numbers of routes: tables, protocols, scopes, realms and TOS values, as iproute2's files give them.
//!
//! The files belong to the system and may be missing; what every system knows is built in. Read where the configuration is compiled,
//! so that the daemon opens none of them.

use super::source::Files;
use std::collections::BTreeMap;

/// Where iproute2 looks, the later first in force. Beside each file a directory `<file>.d` with files `*.conf`.
const DISTRIBUTION: [&str; 2] = ["/usr/share/iproute2", "/usr/lib/iproute2"];
const ADMINISTRATOR: [&str; 1] = ["/etc/iproute2"];

/// `iproute_usr_dir` and `iproute_etc_dir`: in the place of the directories of a distribution and of an administrator.
#[derive(Clone, Copy, Debug, Default)]
pub struct Places<'a> {
    /// `iproute_usr_dir`; `None`: the directories of a distribution.
    pub usr: Option<&'a str>,
    /// `iproute_etc_dir`; `None`: the directory of an administrator.
    pub etc: Option<&'a str>,
}

/// What a name is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Space {
    /// Routing tables (`rt_tables`).
    Table,
    /// Protocol numbers (`rt_protos`).
    Protocol,
    /// Scopes (`rt_scopes`).
    Scope,
    /// Realms (`rt_realms`).
    Realm,
    /// TOS values (`rt_dsfield`).
    Tos,
}

impl Space {
    const ALL: [Space; 5] = [Space::Table, Space::Protocol, Space::Scope, Space::Realm, Space::Tos];
    /// Name of the file.
    pub fn file(self) -> &'static str {
        match self {
            Space::Table => "rt_tables",
            Space::Protocol => "rt_protos",
            Space::Scope => "rt_scopes",
            Space::Realm => "rt_realms",
            Space::Tos => "rt_dsfield",
        }
    }
    /// The largest number that a name may stand for.
    pub fn max(self) -> u32 {
        match self {
            Space::Table => u32::MAX,
            Space::Realm => 0xffff,
            Space::Protocol | Space::Scope | Space::Tos => 255,
        }
    }
    fn built_in(self) -> &'static [(&'static str, u32)] {
        match self {
            Space::Table => &[("default", 253), ("main", 254), ("local", 255)],
            Space::Protocol => &[
                ("kernel", 2),
                ("boot", 3),
                ("static", 4),
                ("ra", 9),
                ("zebra", 11),
                ("bird", 12),
                ("dhcp", 16),
                ("keepalived", 18),
                ("bgp", 186),
                ("isis", 187),
                ("ospf", 188),
                ("rip", 189),
            ],
            Space::Scope => &[("global", 0), ("site", 200), ("link", 253), ("host", 254), ("nowhere", 255)],
            Space::Realm => &[("cosmos", 0)],
            Space::Tos => &[],
        }
    }
}

/// The names of a system.
#[derive(Clone, Debug, Default)]
pub struct RtNames(BTreeMap<Space, BTreeMap<String, u32>>);

impl RtNames {
    /// Reads the files of iproute2. A missing file is no error: what every system knows is built in.
    pub fn load(files: &dyn Files, places: Places<'_>) -> RtNames {
        let mut names = RtNames::default();
        let usr = places.usr.map_or(DISTRIBUTION.to_vec(), |d| vec![d]);
        let etc = places.etc.map_or(ADMINISTRATOR.to_vec(), |d| vec![d]);
        let directories = [usr, etc].concat();
        for space in Space::ALL {
            for directory in &directories {
                let path = format!("{directory}/{}", space.file());
                names.read(files, space, &path);
                let mut more = files.list(&format!("{path}.d")).unwrap_or_default();
                more.retain(|n| n.ends_with(".conf"));
                more.sort();
                more.iter().for_each(|n| names.read(files, space, &format!("{path}.d/{n}")));
            }
        }
        names
    }
    fn read(&mut self, files: &dyn Files, space: Space, path: &str) {
        let Ok(bytes) = files.read(path) else { return };
        for line in String::from_utf8_lossy(&bytes).lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            if let (Some(n), Some(name)) = (words.next().and_then(number), words.next())
                && n <= space.max()
            {
                self.0.entry(space).or_default().insert(name.to_owned(), n);
            }
        }
    }
    /// The number that a word stands for: itself, or what the files or every system say.
    pub fn number(&self, space: Space, word: &str) -> Option<u32> {
        let named = || self.0.get(&space).and_then(|m| m.get(word)).copied();
        let built_in = || space.built_in().iter().find(|(n, _)| *n == word).map(|(_, v)| *v);
        number(word).filter(|n| *n <= space.max()).or_else(named).or_else(built_in)
    }
}

fn number(word: &str) -> Option<u32> {
    match word.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => word.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::FileError;

    struct Fake;

    impl Files for Fake {
        fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
            match path {
                "/usr/share/iproute2/rt_tables" => Ok(b"# reserved\n254 main\n100 isp1\n7 seven".to_vec()),
                "/etc/iproute2/rt_tables" => Ok(b"0x65\tisp1 # moved\n x y\n99999999999 huge\n\xff\xfe\n".to_vec()),
                "/etc/iproute2/rt_tables.d/vpn.conf" => Ok(b"300 vpn\n".to_vec()),
                _ => Err(FileError { errno: Some(2), reason: "no".to_owned() }),
            }
        }
        fn list(&self, directory: &str) -> Result<Vec<String>, FileError> {
            match directory {
                "/etc/iproute2/rt_tables.d" => Ok(vec!["README".to_owned(), "vpn.conf".to_owned()]),
                _ => Err(FileError { errno: Some(2), reason: "no".to_owned() }),
            }
        }
    }

    #[test]
    fn numbers_files_and_what_every_system_knows() {
        let n = RtNames::load(&Fake, Places::default());
        let table = |w: &str| n.number(Space::Table, w);
        assert_eq!((table("isp1"), table("seven"), table("vpn")), (Some(0x65), Some(7), Some(300)));
        assert_eq!(
            (table("main"), table("default"), table("1000"), table("0x10")),
            (Some(254), Some(253), Some(1000), Some(16))
        );
        assert_eq!((table("huge"), table("x"), table("")), (None, None, None));
        assert_eq!(n.number(Space::Protocol, "keepalived"), Some(18));
        assert_eq!(n.number(Space::Protocol, "256"), None);
        assert_eq!(n.number(Space::Scope, "link"), Some(253));
        let places = Places { usr: Some("/etc/iproute2"), etc: Some("/nowhere") };
        let n = RtNames::load(&Fake, places);
        let table = |w: &str| n.number(Space::Table, w);
        assert_eq!((table("isp1"), table("seven"), table("vpn")), (Some(0x65), None, Some(300)));
    }
}
