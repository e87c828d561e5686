//! Tracked files: reported at the beginning and after each change, of any kind.

use crate::{Dir, Helper};
use kalived::helper::proto::{Ask, Tell};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

const ENOENT: i32 = 2;
const EISDIR: i32 = 21;

fn is(watch: u64, text: &str) -> Tell {
    Tell::FileRead { watch, result: Ok(text.as_bytes().to_vec()) }
}
fn fails(watch: u64, errno: i32) -> Tell {
    Tell::FileRead { watch, result: Err(errno) }
}

#[test]
fn a_file_appears_changes_is_renamed_over_and_vanishes() {
    let (helper, dir) = (Helper::start(), Dir::make());
    let path = dir.path("number");
    helper.ask(Ask::WatchFile { watch: 1, path: path.clone() });
    assert_eq!(helper.says(), fails(1, ENOENT));
    fs::write(&path, "5\n").unwrap();
    helper.until(&is(1, "5\n"));
    fs::write(&path, "-254\n").unwrap();
    helper.until(&is(1, "-254\n"));
    fs::write(dir.path("new"), "7").unwrap();
    fs::rename(dir.path("new"), &path).unwrap();
    helper.until(&is(1, "7"));
    fs::remove_file(&path).unwrap();
    helper.until(&fails(1, ENOENT));
    // No more than what a number needs.
    fs::write(&path, "x".repeat(100)).unwrap();
    helper.until(&is(1, &"x".repeat(32)));
    // No other file is reported, and none whose watch has ended.
    helper.ask(Ask::Unwatch { watch: 1 });
    helper.ask(Ask::WatchFile { watch: 2, path: dir.path("") });
    assert_eq!(helper.says(), fails(2, EISDIR));
    fs::write(&path, "9").unwrap();
    helper.ask(Ask::WatchFile { watch: 3, path });
    assert_eq!(helper.says(), is(3, "9"));
    assert_eq!(helper.end(), Some(0));
}

#[test]
fn a_directory_that_comes_later_is_found() {
    let (helper, dir) = (Helper::start(), Dir::make());
    helper.ask(Ask::WatchFile { watch: 1, path: dir.path("a/b/c") });
    assert_eq!(helper.says(), fails(1, ENOENT));
    fs::create_dir_all(dir.path("a/b")).unwrap();
    fs::write(dir.path("a/b/c"), "1").unwrap();
    helper.until(&is(1, "1"));
    // Another directory with the same name.
    fs::create_dir_all(dir.path("new/b")).unwrap();
    fs::write(dir.path("new/b/c"), "2").unwrap();
    fs::rename(dir.path("a"), dir.path("old")).unwrap();
    fs::rename(dir.path("new"), dir.path("a")).unwrap();
    helper.until(&is(1, "2"));
    fs::write(dir.path("a/b/c"), "3").unwrap();
    helper.until(&is(1, "3"));
    fs::remove_dir_all(dir.path("a")).unwrap();
    helper.until(&fails(1, ENOENT));
}

#[test]
fn links_are_followed_and_every_one_of_them_is_watched() {
    let (helper, dir) = (Helper::start(), Dir::make());
    // As a container's mounted configuration is: file -> data/file, data -> v1.
    for (version, text) in [("v1", "1"), ("v2", "2")] {
        fs::create_dir(dir.path(version)).unwrap();
        fs::write(dir.path(version) + "/file", text).unwrap();
    }
    symlink("v1", dir.path("data")).unwrap();
    symlink("data/file", dir.path("file")).unwrap();
    helper.ask(Ask::WatchFile { watch: 1, path: dir.path("file") });
    assert_eq!(helper.says(), is(1, "1"));
    symlink("v2", dir.path("data.new")).unwrap();
    fs::rename(dir.path("data.new"), dir.path("data")).unwrap();
    helper.until(&is(1, "2"));
    fs::write(dir.path("v2/file"), "3").unwrap();
    helper.until(&is(1, "3"));
}

#[test]
fn two_watches_of_one_directory_are_two() {
    let (helper, dir) = (Helper::start(), Dir::make());
    for (watch, name) in [(1, "a"), (2, "b"), (3, "a")] {
        helper.ask(Ask::WatchFile { watch, path: dir.path(name) });
        assert_eq!(helper.says(), fails(watch, ENOENT));
    }
    helper.ask(Ask::Unwatch { watch: 1 });
    fs::write(dir.path("b"), "2").unwrap();
    helper.until(&is(2, "2"));
    fs::write(dir.path("a"), "3").unwrap();
    helper.until(&is(3, "3"));
}

#[test]
fn a_named_pipe_that_nobody_writes_to_holds_up_nobody() {
    let (helper, dir) = (Helper::start(), Dir::make());
    assert!(std::process::Command::new("mkfifo").arg(dir.path("pipe")).status().unwrap().success());
    helper.ask(Ask::WatchFile { watch: 1, path: dir.path("pipe") });
    assert_eq!(helper.says(), fails(1, 1), "EPERM: it is not opened at all");
    fs::write(dir.path("file"), "1").unwrap();
    helper.ask(Ask::WatchFile { watch: 2, path: dir.path("file") });
    assert_eq!(helper.says(), is(2, "1"));
}

/// Reading some of them has effects: a device, the kernel's log.
#[test]
fn what_is_no_regular_file_is_not_opened_and_a_link_lends_no_rights() {
    const EPERM: i32 = 1;
    let (helper, dir) = (Helper::start(), Dir::make());
    symlink("/dev/null", dir.path("device")).unwrap();
    let fifo = dir.path("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for (watch, path) in [(1, "/dev/zero".to_owned()), (2, dir.path("device")), (3, fifo)] {
        helper.ask(Ask::WatchFile { watch, path });
        assert_eq!(helper.says(), fails(watch, EPERM));
    }
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return;
    }
    // Another user's link to a file that only root may read.
    let (secret, link) = (dir.path("secret"), dir.path("link"));
    fs::write(&secret, "7").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    symlink(&secret, &link).unwrap();
    helper.ask(Ask::WatchFile { watch: 4, path: link.clone() });
    assert_eq!(helper.says(), is(4, "7"));
    std::os::unix::fs::lchown(&link, Some(65_534), None).unwrap();
    helper.until(&fails(4, EPERM));
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    helper.until(&is(4, "7"));
    // The kernel's log has the mode of a regular file, and a read consumes it.
    symlink("/proc/kmsg", dir.path("kmsg")).unwrap();
    for (watch, path) in [(5, "/proc/kmsg".to_owned()), (6, dir.path("kmsg"))] {
        helper.ask(Ask::WatchFile { watch, path });
        assert_eq!(helper.says(), fails(watch, EPERM));
    }
}

/// It has only the capabilities that it needs, and runs no program.
#[test]
fn it_keeps_no_right_that_it_does_not_need() {
    let (helper, dir) = (Helper::start(), Dir::make());
    helper.ask(Ask::WatchFile { watch: 1, path: dir.path("none") });
    assert_eq!(helper.says(), fails(1, ENOENT));
    let status = fs::read_to_string(format!("/proc/{}/status", helper.child.id())).unwrap();
    let field = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).unwrap().trim().to_owned();
    // CHOWN, DAC_OVERRIDE, FOWNER, NET_ADMIN, SYS_PTRACE.
    let needed = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 12 | 1u64 << 19;
    for set in ["CapEff:", "CapPrm:", "CapBnd:"] {
        let has = u64::from_str_radix(&field(set), 16).unwrap();
        // Without CAP_SETPCAP the bounding set cannot be made smaller.
        if set != "CapBnd:" || fs::metadata("/proc/self").unwrap().uid() == 0 {
            assert_eq!(has & !needed, 0, "{set} {has:x}");
        }
    }
    assert_eq!((field("NoNewPrivs:"), field("CapInh:")), ("1".into(), "0000000000000000".into()));
}
