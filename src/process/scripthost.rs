//! This machine as `config/scripts.rs` sees it: users, paths, and the files of `init_file`.

use crate::config::model::global::Login;
use crate::config::scripts::ScriptHost;
use crate::config::secure::{Acl, Kind, Stat};
use crate::sys::{acl, host, users};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

/// The search path for programs when the environment has none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The machine that this process runs on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ThisHost;

/// "No such file or directory (os error 2)" without the part in parentheses.
fn words(e: &std::io::Error) -> String {
    let text = e.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

impl ScriptHost for ThisHost {
    fn user(&self, name: &str) -> Option<(u32, u32)> {
        users::user(name)
    }
    fn group(&self, name: &str) -> Option<u32> {
        users::group(name)
    }
    fn user_name(&self, uid: u32) -> String {
        users::user_name(uid)
    }
    fn group_name(&self, gid: u32) -> String {
        users::group_name(gid)
    }
    fn stat(&self, path: &str) -> Result<Stat, String> {
        let meta = std::fs::symlink_metadata(path).map_err(|e| words(&e))?;
        let kind = match meta.file_type() {
            t if t.is_symlink() => {
                let to = std::fs::read_link(path).map_err(|e| words(&e))?;
                Kind::Link(to.into_os_string().into_string().map_err(|_| "a link that is not UTF-8".to_owned())?)
            }
            t if t.is_dir() => Kind::Directory,
            t if t.is_file() => Kind::File,
            _ => Kind::Other,
        };
        Ok(Stat { kind, mode: meta.mode() & 0o7777, uid: meta.uid(), gid: meta.gid() })
    }
    fn head(&self, path: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        // It is a regular file: the caller has checked.
        match std::fs::File::open(path).and_then(|f| f.take(4).read_to_end(&mut bytes)) {
            Ok(_) => bytes,
            Err(_) => Vec::new(),
        }
    }
    fn text(&self, path: &str) -> Option<String> {
        // The file must be a script of limited length: not a program, nor an endless file behind a hostile link.
        const MOST: u64 = 64 << 10;
        let file =
            std::fs::File::open(path).ok().filter(|f| f.metadata().is_ok_and(|m| m.is_file() && m.len() <= MOST))?;
        let mut bytes = Vec::new();
        file.take(MOST).read_to_end(&mut bytes).ok()?;
        String::from_utf8(bytes).ok().filter(|t| !t.contains('\0'))
    }
    fn pem(&self, path: &str) -> Result<String, String> {
        // A system's bundle has some 220 KiB.
        const MOST: u64 = 1 << 20;
        let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
        if !file.metadata().is_ok_and(|m| m.is_file() && m.len() <= MOST) {
            return Err("it is no file, or has more than 1 MiB".to_owned());
        }
        let mut text = String::new();
        file.take(MOST).read_to_string(&mut text).map_err(|e| e.to_string())?;
        Ok(text)
    }
    fn search_path(&self) -> String {
        std::env::var("PATH").ok().filter(|p| !p.is_empty()).unwrap_or_else(|| PATH.to_owned())
    }
    fn us(&self) -> (u32, u32) {
        (host::user(), host::group())
    }
    fn login(&self, uid: u32) -> Option<Login> {
        let (name, home, shell) = users::login(uid)?;
        Some(Login { uid, name: name.into(), home: home.into(), shell: shell.into() })
    }
    fn acl(&self, path: &str, gid: u32) -> Result<Acl, String> {
        match acl::of(path, gid) {
            Ok(None) => Ok(Acl::default()),
            Ok(Some(acl::List { user_writes, group_writes, execute })) => {
                Ok(Acl { user_writes, group_writes, execute })
            }
            Err(errno) => Err(words(&std::io::Error::from_raw_os_error(errno))),
        }
    }
    fn make_file(&self, path: &str, value: i32, overwrite: bool) -> Result<(), String> {
        // An existing file is emptied in place, so that a process that watches it continues to watch it. It is opened first and then
        // checked; neither a symbolic link nor a second hard link is followed: a user who may create one in that directory would choose
        // which file is overwritten.
        let open = |options: &mut std::fs::OpenOptions| options.write(true).custom_flags(users::NO_FOLLOW).open(path);
        let mut file = match open(std::fs::OpenOptions::new().create_new(true).mode(0o644)) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => match self.stat(path) {
                Ok(s) if s.kind != Kind::File => return Err("not a regular file".to_owned()),
                _ if !overwrite => return Ok(()),
                _ => {
                    let file = open(&mut std::fs::OpenOptions::new()).map_err(|e| words(&e))?;
                    let meta = file.metadata().map_err(|e| words(&e))?;
                    if !meta.is_file() || meta.nlink() != 1 {
                        return Err("not a regular file with one name".to_owned());
                    }
                    file.set_len(0).map_err(|e| words(&e))?;
                    file
                }
            },
            opened => opened.map_err(|e| words(&e))?,
        };
        file.write_all(format!("{value}\n").as_bytes()).map_err(|e| words(&e))
    }
}
