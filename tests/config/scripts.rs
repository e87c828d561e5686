//! Commands on a machine in memory: their users, their programs, and which are refused.

use super::common::text;
use kalived::config::Loaded;
use kalived::config::check::Look;
use kalived::config::model::global::Login;
use kalived::config::model::setting::Ready;
use kalived::config::scripts::{Prepare, ScriptHost, commands};
use kalived::config::secure::{Acl, Kind, Stat};
use kalived::exit::ExitCode;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Users `root`, `joe` (1000) and maybe `keepalived_script` (500); groups `root`, `wheel` (10).
struct Host {
    files: BTreeMap<String, Stat>,
    heads: BTreeMap<String, Vec<u8>>,
    texts: BTreeMap<String, String>,
    users: Vec<(&'static str, u32)>,
    made: RefCell<Vec<String>>,
    acls: BTreeMap<String, Acl>,
    us: (u32, u32),
}

impl Host {
    fn new() -> Host {
        let mut host = Host {
            files: BTreeMap::new(),
            heads: BTreeMap::new(),
            texts: BTreeMap::new(),
            users: vec![("root", 0), ("joe", 1000)],
            made: RefCell::default(),
            acls: BTreeMap::new(),
            us: (0, 0),
        };
        for dir in ["/", "/bin", "/usr", "/usr/bin", "/etc", "/etc/kalived", "/opt"] {
            host.put(dir, Kind::Directory, 0o755, (0, 0));
        }
        host.put("/tmp", Kind::Directory, 0o1777, (0, 0));
        for file in ["/bin/sh", "/bin/bash", "/bin/x", "/usr/bin/killall", "/etc/kalived/a.sh"] {
            host.put(file, Kind::File, 0o755, (0, 0));
        }
        host
    }
    fn put(&mut self, path: &str, kind: Kind, mode: u32, (uid, gid): (u32, u32)) {
        self.files.insert(path.into(), Stat { kind, mode, uid, gid });
    }
    fn link(&mut self, path: &str, to: &str) {
        self.put(path, Kind::Link(to.into()), 0o777, (0, 0));
    }
}

impl ScriptHost for Host {
    fn user(&self, name: &str) -> Option<(u32, u32)> {
        self.users.iter().find(|u| u.0 == name).map(|u| (u.1, u.1))
    }
    fn group(&self, name: &str) -> Option<u32> {
        [("root", 0), ("wheel", 10)].iter().find(|g| g.0 == name).map(|g| g.1)
    }
    fn user_name(&self, uid: u32) -> String {
        self.users.iter().find(|u| u.1 == uid).map_or(uid.to_string(), |u| u.0.to_owned())
    }
    fn group_name(&self, gid: u32) -> String {
        if gid == 10 { "wheel".into() } else { self.user_name(gid) }
    }
    fn stat(&self, path: &str) -> Result<Stat, String> {
        self.files.get(path).cloned().ok_or_else(|| "No such file or directory".to_owned())
    }
    fn head(&self, path: &str) -> Vec<u8> {
        self.heads.get(path).cloned().unwrap_or_else(|| b"\x7FELF".to_vec())
    }
    fn text(&self, path: &str) -> Option<String> {
        self.texts.get(path).cloned()
    }
    fn search_path(&self) -> String {
        "/sbin:/usr/bin:/bin".to_owned()
    }
    fn us(&self) -> (u32, u32) {
        self.us
    }
    fn login(&self, uid: u32) -> Option<Login> {
        let name: Box<str> = self.users.iter().find(|u| u.1 == uid)?.0.into();
        Some(Login { uid, home: format!("/srv/{name}").into(), name, shell: "/bin/sh".into() })
    }
    fn acl(&self, path: &str, _gid: u32) -> Result<Acl, String> {
        Ok(self.acls.get(path).cloned().unwrap_or_default())
    }
    fn make_file(&self, path: &str, value: i32, overwrite: bool) -> Result<(), String> {
        self.made.borrow_mut().push(format!("{path} {value} {overwrite}"));
        if path.starts_with("/none/") { Err("No such file or directory".to_owned()) } else { Ok(()) }
    }
}

/// A file with these lines in global_defs and in the instance.
fn file(global: &str, lines: &str) -> String {
    format!(
        "global_defs {{\n{global}\n}}\nvrrp_instance V {{\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {{\n10.0.0.1\n}}\n{lines}\n}}\n"
    )
}

fn look(host: &Host, file: &str, make_files: bool) -> Loaded {
    let mut loaded = text(file);
    let scripts = Some(Prepare { host, make_files, strict: false });
    loaded.look(Look { scripts, ..Look::default() });
    loaded
}

/// The result of one `notify`, and the messages.
fn notify(host: &Host, global: &str, command: &str) -> (Ready, Vec<Box<str>>, Vec<String>, ExitCode) {
    let loaded = look(host, &file(global, &format!("notify {command}")), false);
    let script = loaded.config.instances[0].more.notify.any.clone().unwrap();
    assert_eq!(loaded.fatal(), None);
    let said = loaded.diags.iter().map(|d| format!("{}: {}", d.code(), d.message)).collect();
    (script.ready, script.argv, said, loaded.config_test_exit())
}

fn refused(ready: &Ready) -> &str {
    match ready {
        Ready::Refused(why) => why,
        other => panic!("{other:?}"),
    }
}

const ROOT: &str = "script_user root";

#[test]
fn as_whom() {
    let plain = Host::new();
    let mut with_user = Host::new();
    with_user.users.push(("keepalived_script", 500));
    let ids = |host: &Host, global: &str, who: &str| notify(host, global, &format!("/bin/x {who}")).0;
    assert_eq!(ids(&plain, "", ""), Ready::As { uid: 0, gid: 0 });
    assert_eq!(ids(&with_user, "", ""), Ready::As { uid: 500, gid: 500 });
    assert_eq!(ids(&with_user, ROOT, ""), Ready::As { uid: 0, gid: 0 });
    assert_eq!(ids(&plain, "script_user joe wheel", ""), Ready::As { uid: 1000, gid: 10 });
    assert_eq!(ids(&with_user, ROOT, "joe"), Ready::As { uid: 1000, gid: 1000 });
    assert_eq!(ids(&plain, "", "joe root"), Ready::As { uid: 1000, gid: 0 });
    // The block's own user.
    let own = file(ROOT, "track_script {\ns\n}") + "vrrp_script s {\nscript /bin/x\nuser joe wheel\n}\n";
    let script = look(&plain, &own, false).config.scripts[0].script.clone().unwrap();
    assert_eq!(script.ready, Ready::As { uid: 1000, gid: 10 });
}

/// Trap 74: with a missing user the check fails; it is never left out without a message.
#[test]
fn a_user_that_is_missing() {
    let host = Host::new();
    for (global, who, why) in [
        ("script_user nobody-here", "", "there is no user `nobody-here`"),
        (ROOT, "jo", "there is no user `jo`"),
        (ROOT, "joe whel", "there is no group `whel`"),
    ] {
        let (ready, _, said, exit) = notify(&host, global, &format!("/bin/x {who}"));
        assert_eq!(refused(&ready), why);
        assert_eq!(
            said,
            [format!("no-script-user: `notify` of vrrp_instance `V`: {why} on this machine: it is not run")]
        );
        assert_eq!(exit, ExitCode::ConfigTest);
    }
    let (ready, _, said, exit) = notify(&host, "enable_script_security", "/bin/x");
    assert_eq!(refused(&ready), "there is neither script_user nor the user keepalived_script");
    assert_eq!((said.len(), exit), (1, ExitCode::ConfigTest));
    assert_eq!(notify(&host, "", "/bin/x").3, ExitCode::Ok);
}

#[test]
fn programs_are_found_at_load() {
    let host = Host::new();
    let of = |command: &str| {
        let (ready, argv, said, exit) = notify(&host, ROOT, command);
        // A command that cannot run fails a test, as in keepalived.
        let runs = matches!(ready, Ready::As { .. });
        assert_eq!(exit, if runs { ExitCode::Ok } else { ExitCode::ConfigTest }, "{command}");
        (ready, argv.join("|"), said)
    };
    let root = Ready::As { uid: 0, gid: 0 };
    let path = "script-without-path: script `killall` resolved by path search to `/usr/bin/killall`. Please specify full path.";
    assert_eq!(of("\"killall -0 nginx\""), (root.clone(), "/usr/bin/killall|-0|nginx".into(), vec![path.into()]));
    assert_eq!(of("\"/usr/bin/killall -0 httpd\""), (root.clone(), "/usr/bin/killall|-0|httpd".into(), vec![]));
    assert_eq!(of("/etc/kalived/a.sh").1, "/etc/kalived/a.sh");
    assert_eq!(
        of("\"if [ -f /x ]; then exit 0; else exit 1; fi\""),
        (root, "/bin/sh|-c|if [ -f /x ]; then exit 0; else exit 1; fi".into(), vec![])
    );
    for (command, why) in [
        ("\"kilall -0 x\"", "kilall: not found in /sbin:/usr/bin:/bin"),
        ("/etc/kalived/b.sh", "/etc/kalived/b.sh: No such file or directory"),
        ("/etc/kalived", "/etc/kalived: not a file"),
        ("scripts/a.sh", "scripts/a.sh: not an absolute path"),
    ] {
        let (ready, _, said) = of(command);
        assert_eq!(refused(&ready), why);
        assert!(said.len() == 1 && said[0].starts_with("script-missing: `notify` of vrrp_instance `V`: "), "{said:?}");
    }
}

#[test]
fn the_bit_to_execute_is_that_of_the_user() {
    let mut host = Host::new();
    host.put("/opt/a", Kind::File, 0o744, (0, 0));
    assert_eq!(notify(&host, ROOT, "/opt/a").0, Ready::As { uid: 0, gid: 0 });
    assert_eq!(refused(&notify(&host, ROOT, "/opt/a joe").0), "/opt/a: not executable by joe");
    host.put("/opt/a", Kind::File, 0o644, (0, 0));
    assert_eq!(refused(&notify(&host, ROOT, "/opt/a").0), "/opt/a: not executable by root");
}

#[test]
fn a_script_without_its_first_line_runs_with_a_warning() {
    let mut host = Host::new();
    host.heads.insert("/etc/kalived/a.sh".into(), b"exit".to_vec());
    let (ready, _, said, exit) = notify(&host, ROOT, "/etc/kalived/a.sh");
    assert_eq!((ready, exit), (Ready::As { uid: 0, gid: 0 }, ExitCode::Ok));
    assert_eq!(said, ["no-shebang: Please add a #! shebang to script /etc/kalived/a.sh"]);
    host.heads.insert("/etc/kalived/a.sh".into(), b"#!/b".to_vec());
    assert!(notify(&host, ROOT, "/etc/kalived/a.sh").2.is_empty());
}

/// Trap 79: the arguments of a program are passed unchanged.
#[test]
fn arguments_are_passed_as_they_stand() {
    let host = Host::new();
    let (_, argv, said, _) = notify(&host, ROOT, "\"/bin/x it's $(id) `id` a;b $HOME *\"");
    assert_eq!(argv.join("|"), "/bin/x|it's|$(id)|`id`|a;b|$HOME|*");
    assert!(said.is_empty(), "{said:?}");
    let (_, argv, said, exit) = notify(&host, ROOT, "\"/bin/x a | /bin/x b\"");
    assert_eq!(argv.join(" "), "/bin/x a | /bin/x b");
    assert_eq!(said, ["no-shell: `|` is an argument of /bin/x here: no shell runs the command"]);
    assert_eq!(exit, ExitCode::Ok);
}

/// Trap 73: the message has the component with its owner and mode, on the written and on the resolved path.
#[test]
fn what_others_can_change_does_not_run_as_root() {
    let mut host = Host::new();
    host.put("/opt/a", Kind::Directory, 0o775, (0, 10));
    host.put("/opt/a/x", Kind::File, 0o755, (0, 0));
    host.put("/opt/b", Kind::Directory, 0o775, (0, 0));
    host.put("/opt/b/x", Kind::File, 0o755, (0, 0));
    host.put("/opt/world", Kind::File, 0o757, (0, 0));
    host.put("/opt/joe", Kind::File, 0o700, (1000, 1000));
    host.put("/tmp/x", Kind::File, 0o755, (0, 0));
    host.put("/opt/link", Kind::Link("/bin/x".into()), 0o777, (1000, 1000));
    host.put("/opt/suid", Kind::File, 0o4757, (0, 0));
    host.link("/etc/kalived/direct", "/opt/a/x");
    host.link("/etc/kalived/relative", "../../opt/a/x");
    host.link("/etc/kalived/dir", "/opt/a");
    host.link("/etc/kalived/good", "/bin/x");
    let secure = "script_user root\nenable_script_security";
    let wheel = "`/opt/a` is writable by group wheel (drwxrwxr-x root:wheel)";
    for (path, why) in [
        ("/opt/a/x", wheel),
        ("/etc/kalived/direct", wheel),
        ("/etc/kalived/relative", wheel),
        ("/etc/kalived/dir/x", wheel),
        ("/etc/kalived/../../opt/a/x", wheel),
        ("/opt/world", "`/opt/world` is writable by everybody (-rwxr-xrwx root:root)"),
        ("/opt/joe", "`/opt/joe` is owned by joe (-rwx------ joe:joe)"),
        ("/opt/link", "`/opt/link` is owned by joe (lrwxrwxrwx joe:joe)"),
        ("\"/opt/suid\" joe", "`/opt/suid` is writable by everybody (-rwsr-xrwx root:root)"),
        ("\"/bin/x\" joe root", ""),
        ("/opt/b/x", ""),
        ("/etc/kalived/good", ""),
        ("\"/opt/a/x\" joe", ""),
    ] {
        let (ready, _, said, exit) = notify(&host, secure, path);
        if why.is_empty() {
            assert!(matches!(ready, Ready::As { .. }) && said.is_empty(), "{path}: {said:?}");
            assert_eq!(exit, ExitCode::Ok);
            continue;
        }
        assert_eq!(refused(&ready), why, "{path}");
        assert!(said.len() == 1 && said[0].contains("disabling") && said[0].ends_with(why), "{said:?}");
        assert_eq!(exit as u8, 6);
        // Without the keyword it runs, with a message; the exit code of keepalived's test is 6.
        let (ready, _, said, exit) = notify(&host, ROOT, path);
        assert!(matches!(ready, Ready::As { .. }), "{path}");
        let told = format!(
            "insecure-script: SECURITY VIOLATION - scripts are being executed but script_security not enabled: {why}"
        );
        assert_eq!((said, exit as u8), (vec![told], 6), "{path}");
    }
}

/// After root has removed a script there, any user may make it anew.
#[test]
fn a_shared_directory_is_not_secure_because_it_is_sticky() {
    let mut host = Host::new();
    host.put("/tmp/x", Kind::File, 0o755, (0, 0));
    host.link("/etc/kalived/link", "/tmp/x");
    for path in ["/tmp/x", "/etc/kalived/link"] {
        let (ready, ..) = notify(&host, "script_user root\nenable_script_security", path);
        assert_eq!(refused(&ready), "`/tmp` is writable by everybody (drwxrwxrwt root:root)");
        assert_eq!(notify(&host, ROOT, path).0, Ready::As { uid: 0, gid: 0 }, "only where it is asked for");
    }
    assert_eq!(notify(&host, "enable_script_security", "/tmp/x joe").0, Ready::As { uid: 1000, gid: 1000 });
}

#[test]
fn who_an_access_control_list_lets_write_may_not_choose_what_root_runs() {
    let secure = "script_user root\nenable_script_security";
    let of = |mode: u32, acl: Acl| {
        let mut host = Host::new();
        host.put("/opt/a", Kind::File, mode, (0, 0));
        host.acls.insert("/opt/a".into(), acl);
        notify(&host, secure, "/opt/a").0
    };
    let user = Acl { user_writes: Some(1000), ..Acl::default() };
    let group = Acl { group_writes: Some(10), ..Acl::default() };
    let why = "`/opt/a` is writable by joe through its access control list (-rwxrwxr-x root:root)";
    assert_eq!(refused(&of(0o775, user.clone())), why);
    let why = "`/opt/a` is writable by group wheel through its access control list (-rwxrwxr-x root:root)";
    assert_eq!(refused(&of(0o775, group)), why);
    let root = Ready::As { uid: 0, gid: 0 };
    assert_eq!(of(0o755, user), root, "the mask takes it away");
    assert_eq!(of(0o775, Acl::default()), root);
    // One that lets a user execute what the mode does not.
    let mut host = Host::new();
    host.put("/opt/a", Kind::File, 0o750, (0, 0));
    host.acls.insert("/opt/a".into(), Acl { execute: vec![(true, 1000)], ..Acl::default() });
    assert_eq!(notify(&host, secure, "/opt/a joe").0, Ready::As { uid: 1000, gid: 1000 });
}

/// Without root's rights it runs them as itself.
#[test]
fn a_kalived_that_is_not_root_runs_scripts_as_itself_and_says_nothing_of_root() {
    let mut host = Host::new();
    host.users.push(("keepalived_script", 500));
    host.us = (990, 991);
    let (ready, _, said, _) = notify(&host, "", "/bin/x");
    assert_eq!((ready, said), (Ready::As { uid: 990, gid: 991 }, vec![]));
    let loaded = look(&host, &file("notify_fifo /run/f", ""), false);
    let fifo = loaded.config.global.more.notify_fifo.clone().unwrap();
    assert_eq!(fifo.ready, Ready::As { uid: 990, gid: 991 });
}

#[test]
fn programs_know_the_user_they_run_as() {
    let loaded = look(&Host::new(), &file("script_user joe", "notify /bin/x\nnotify_master /bin/x root"), false);
    let logins = &loaded.config.global.more.logins;
    let seen: Vec<_> = logins.iter().map(|l| (l.uid, &*l.name, &*l.home)).collect();
    assert_eq!(seen, [(0, "root", "/srv/root"), (1000, "joe", "/srv/joe")]);
}

#[test]
fn another_mistake_counts_more_than_an_insecure_script() {
    let mut host = Host::new();
    host.put("/opt/world", Kind::File, 0o777, (0, 0));
    let (.., exit) = notify(&host, ROOT, "/opt/world\nprioirty 5");
    assert_eq!(exit, ExitCode::ConfigTest);
    // The machine is not checked.
    assert_eq!(text(&file(ROOT, "notify /opt/world")).config_test_exit(), ExitCode::Ok);
}

#[test]
fn links_to_another_name_keep_their_name() {
    let mut host = Host::new();
    host.put("/bin/busybox", Kind::File, 0o755, (0, 0));
    host.link("/usr/bin/pgrep", "/bin/busybox");
    host.link("/usr/bin/x", "/bin/x");
    assert_eq!(notify(&host, ROOT, "/usr/bin/pgrep").1[0].as_ref(), "/usr/bin/pgrep");
    assert_eq!(notify(&host, ROOT, "/usr/bin/x").1[0].as_ref(), "/bin/x");
    assert_eq!(notify(&host, "script_user root\nuse_symlink_paths", "/usr/bin/x").1[0].as_ref(), "/usr/bin/x");
    host.link("/opt/round", "/opt/round");
    assert_eq!(refused(&notify(&host, ROOT, "/opt/round").0), "/opt/round: Too many levels of symbolic links");
}

#[test]
fn text_for_bash_where_there_is_none() {
    let mut host = Host::new();
    let of = |host: &Host| notify(host, ROOT, "\"[[ -f /x ]]\"").1.join("|");
    assert_eq!(of(&host), "/bin/bash|-c|[[ -f /x ]]");
    host.files.remove("/bin/bash");
    assert_eq!(of(&host), "/bin/sh|-c|[[ -f /x ]]");
}

#[test]
fn every_command_that_runs_is_looked_at() {
    let host = Host::new();
    let hooks = "notify /bin/x\nnotify_master /bin/x\nnotify_backup /bin/x\nnotify_fault /bin/x\nnotify_stop /bin/x\n\
                 notify_deleted /bin/x\nnotify_master_rx_lower_pri /bin/x\ntrack_script {\ns\nt\n}";
    let global = "script_user joe\nnotify_fifo /run/f\nnotify_fifo_script /bin/x\nvrrp_notify_fifo /run/v joe wheel\nvrrp_notify_fifo_script /bin/x";
    let text = "vrrp_script s {\nscript /bin/x\n}\nvrrp_script t {\nscript </dev/tcp/127.0.0.1/80\n}\n".to_owned()
        + &file(global, hooks);
    let loaded = look(&host, &text, false);
    assert_eq!(loaded.render(false), "");
    let joe = Ready::As { uid: 1000, gid: 1000 };
    let (more, n) = (&loaded.config.global.more, &loaded.config.instances[0].more.notify);
    let hooks = [&n.any, &n.master, &n.backup, &n.fault, &n.stop, &n.master_rx_lower_pri, n.deleted.as_ref().unwrap()];
    let all = hooks.into_iter().chain([&more.notify_fifo_script, &more.vrrp_notify_fifo_script]);
    assert!(all.map(|s| &s.as_ref().unwrap().ready).all(|r| *r == joe));
    let [s, t] = &loaded.config.scripts[..] else { panic!() };
    assert_eq!(s.script.as_ref().unwrap().ready, joe);
    assert_eq!((t.native.is_some(), &t.script.as_ref().unwrap().ready), (true, &joe));
    // No program is run for it, so there is no message about its command.
    let mut bare = Host::new();
    bare.put("/bin/bash", Kind::File, 0o777, (1000, 1000));
    let native = "vrrp_script t {\nscript </dev/tcp/127.0.0.1/80\n}\n".to_owned() + &file(ROOT, "track_script {\nt\n}");
    assert_eq!(look(&bare, &native, false).render(false), "");
    // These commands may be started; kalived's own check starts none.
    assert_eq!(commands(&loaded.config).iter().filter(|(check, _)| *check).count(), 1);
    assert_eq!(commands(&loaded.config).len(), 10);
    assert_eq!(more.notify_fifo.as_ref().unwrap().ready, Ready::As { uid: 0, gid: 0 });
    assert_eq!(more.vrrp_notify_fifo.as_ref().unwrap().ready, Ready::As { uid: 1000, gid: 10 });
    let bad = look(&host, &file("script_user joe\nnotify_fifo run/f\nvrrp_notify_fifo /run/v jo", ""), false);
    let more = &bad.config.global.more;
    assert_eq!(refused(&more.notify_fifo.as_ref().unwrap().ready), "not an absolute path");
    assert_eq!(refused(&more.vrrp_notify_fifo.as_ref().unwrap().ready), "there is no user `jo`");
}

/// Those of a sync group too: what is not looked at is never run.
#[test]
fn commands_of_a_sync_group_are_looked_at() {
    let words = ["notify", "notify_master", "notify_backup", "notify_fault", "notify_stop"];
    let hooks: String = words.iter().map(|w| format!("{w} /bin/x\n")).collect();
    let text = file("script_user joe", "") + "vrrp_sync_group g {\ngroup {\nV\n}\n" + &hooks + "}\n";
    let loaded = look(&Host::new(), &text, false);
    let n = &loaded.config.sync_groups[0].notify;
    let joe = Ready::As { uid: 1000, gid: 1000 };
    for hook in [&n.any, &n.master, &n.backup, &n.fault, &n.stop] {
        assert_eq!(hook.as_ref().unwrap().ready, joe);
    }
    assert_eq!(commands(&loaded.config).len(), words.len());
    // A program that is missing is said, with the group's name.
    let missing = text.replace("notify_stop /bin/x", "notify_stop /bin/none");
    let said = look(&Host::new(), &missing, false).render(false);
    assert!(said.contains("/bin/none"), "{said}");
}

#[test]
fn files_of_init_file_are_made_unless_it_is_a_test() {
    let blocks = "track_file a {\nfile /run/a\ninit_file 5 overwrite\n}\ntrack_file b {\nfile /run/b\n}\n\
                  track_file c {\nfile /none/c\ninit_file\n}\n";
    let text = file("", "") + blocks;
    let host = Host::new();
    assert_eq!(look(&host, &text, false).render(false), "");
    assert!(host.made.borrow().is_empty());
    let loaded = look(&host, &text, true);
    assert_eq!(*host.made.borrow(), ["/run/a 5 true", "/none/c 0 false"]);
    let said: Vec<String> = loaded.diags.iter().map(|d| format!("{} {}", d.place.line, d.message)).collect();
    assert_eq!(said, ["19 track_file `c`: /none/c could not be made: No such file or directory"]);
}

/// Messages have the place of the command, and can be silenced there.
#[test]
fn messages_have_a_place() {
    let mut host = Host::new();
    host.put("/opt/a", Kind::File, 0o644, (0, 0));
    let head = "vrrp_script s {\ninterval 2\nscript /no/such\n}\n";
    let text = head.to_owned()
        + &file(ROOT, "track_script {\ns\n}\nnotify_master /opt/a\nnotify_backup \u{201C}/bin/x\u{201D}");
    let loaded = look(&host, &text, false);
    let said: Vec<String> = loaded
        .diags
        .iter()
        .map(|d| format!("{}:{} {} | {}", d.place.line, d.place.column, d.message, d.help.as_deref().unwrap_or("")))
        .collect();
    assert_eq!(
        said,
        [
            "3:8 vrrp_script `s`: /no/such cannot be run: `/no`: No such file or directory | install the script, or correct its path",
            "17:15 `notify_master` of vrrp_instance `V`: /opt/a cannot be run: not executable by root | make it executable: chmod +x /opt/a",
            "18:15 `notify_backup` of vrrp_instance `V`: \u{201C}/bin/x\u{201D} cannot be run: not an absolute path | typographic quotes mean nothing here: write \"...\" around the whole command",
        ]
    );
    assert_eq!(loaded.config_test_exit(), ExitCode::ConfigTest);
    // A lint does not say the same again.
    let (mut both, told) = (super::common::text(&text), said.len());
    let how = Prepare { host: &host, make_files: false, strict: false };
    both.look(Look { scripts: Some(how), lints: true, ..Look::default() });
    assert_eq!(both.diags.len(), told, "{}", both.render(false));
    let text = head.to_owned() + &file(ROOT, "track_script {\ns\n}");
    let allowed = text.replace("script /no/such", "script /no/such # kalived: allow(script-missing)");
    assert_eq!(look(&host, &allowed, false).render(false), "");
}

/// In tutorials a check ends keepalived; with kalived that has no effect, and the check is up.
#[test]
fn a_script_that_stops_keepalived_is_told() {
    let mut host = Host::new();
    host.texts.insert(
        "/etc/kalived/a.sh".into(),
        "#!/bin/sh\nif ! pidof nginx; then\n  service keepalived stop\nfi\n".into(),
    );
    let found = |host: &Host, command: &str| {
        let (ready, _, said, exit) = notify(host, ROOT, command);
        assert_eq!((matches!(ready, Ready::As { .. }), exit), (true, ExitCode::Ok));
        said.into_iter().filter(|m| m.starts_with("stops-keepalived: ")).collect::<Vec<_>>()
    };
    let at = "line 3 of /etc/kalived/a.sh stops keepalived, not kalived: `service keepalived stop`";
    for command in ["/etc/kalived/a.sh", "\"/bin/sh /etc/kalived/a.sh\"", "\"/bin/sh -x /etc/kalived/a.sh 5\""] {
        assert!(matches!(&found(&host, command)[..], [one] if one.ends_with(at)), "{command}");
    }
    assert_eq!(found(&host, "\"/usr/bin/killall keepalived\"").len(), 1);
    host.texts.insert("/etc/kalived/a.sh".into(), "#!/bin/sh\n# service keepalived stop\nexit 1\n".into());
    assert_eq!(found(&host, "/etc/kalived/a.sh").len(), 0);
}
