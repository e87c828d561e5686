//! Expansion of text: `include`, `@id`, `$NAME`, `~SEQ`, `~LST`. Each rule has an example and the statements that it leads to.

use super::common::short;
use kalived::config::diag::Diags;
use kalived::config::source::{FileError, Files, Kind, Sources};
use kalived::config::tree::{self, Stmt};
use kalived::config::{Limits, Loaded, Options, input, load_with};
use kalived::exit::ExitCode;
use std::collections::BTreeMap;

/// Files in memory: path to text. A text "-> x" is a symbolic link, "x!" in the name an executable file.
pub struct Tree(BTreeMap<String, String>);

impl Tree {
    pub fn new(files: &[(&str, &str)]) -> Tree {
        Tree(files.iter().map(|(p, t)| (p.to_string(), t.to_string())).collect())
    }
    fn get(&self, path: &str) -> Option<&String> {
        let text = self.0.get(path)?;
        text.strip_prefix("-> ").map_or(Some(text), |to| self.get(to))
    }
}

impl Files for Tree {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        let missing = || FileError { errno: Some(2), reason: "No such file or directory".into() };
        self.get(path).map(|t| t.clone().into_bytes()).ok_or_else(missing)
    }
    fn kind(&self, path: &str) -> Result<Kind, FileError> {
        let below = format!("{}/", path.trim_end_matches('/'));
        match self.0.keys().any(|k| k.starts_with(&below)) {
            true => Ok(Kind::Directory),
            false => self.read(path).map(|_| Kind::File { executable: path.ends_with('!') }),
        }
    }
    fn list(&self, directory: &str) -> Result<Vec<String>, FileError> {
        let below = self.0.keys().filter_map(|k| k.strip_prefix(directory));
        let mut names: Vec<String> = below.filter_map(|k| k.split('/').next()).map(str::to_owned).collect();
        names.dedup();
        Ok(names)
    }
    fn working_directory(&self) -> String {
        "/here".to_owned()
    }
}

fn env(name: &str) -> Option<String> {
    (name == "HOME").then(|| "/root".to_owned())
}

pub fn options() -> Options<'static> {
    Options { config_id: "main", env: &env, seed: 7, ..Options::default() }
}

fn show(src: &Sources, stmts: &[Stmt], out: &mut Vec<String>) {
    for s in stmts {
        let words: Vec<&str> = s.words.iter().map(|w| w.text(src)).collect();
        let open = if s.block.is_some() { " {" } else { "" };
        out.push(words.join("|") + open);
        if let Some(b) = &s.block {
            show(src, &b.stmts, out);
            out.push("}".to_owned());
        }
    }
}

/// The statements, one per line, words parted by `|`; and the messages.
fn statements(files: &Tree, path: &str, options: &Options<'_>) -> (String, Vec<String>) {
    let (mut src, mut diags) = (Sources::default(), Diags::default());
    let text = input::read(files, path, options, &mut src, &mut diags).unwrap_or_default();
    let tree = tree::parse(&src, &text, &mut diags);
    let mut out = Vec::new();
    show(&src, &tree.stmts, &mut out);
    let (list, _) = diags.finish(&src);
    (out.join("\n"), list.iter().map(|d| format!("{}: {}", d.place, d.message)).collect())
}

fn one(text: &str) -> (String, Vec<String>) {
    statements(&Tree::new(&[("k.conf", text)]), "k.conf", &options())
}

#[track_caller]
fn same(text: &str, want: &str) {
    let (got, said) = one(text);
    assert_eq!((got.as_str(), said), (want, Vec::<String>::new()), "{text}");
}

#[test]
fn conditions() {
    same("@main a\n@other b\n@^main c\n@^other d", "a\nd");
    same("@main @^other a\n@main @other b\n  @main\tc # why", "a\nc");
    same("x { @main a\n@other b }\n}\ny { @other a b\n}", "x {\na\n}\ny {\n}");
    same("mail { a@b.c\n }\nc @main d", "mail {\na@b.c\n}\nc|@main|d");
    assert_eq!(
        one("@main\nx"),
        ("x".into(), vec!["k.conf:1:1: a condition without anything after it: no effect".into()])
    );
}

#[test]
fn names() {
    same("$A=1\nx $A ${A} ${A}y z$A\n$A=2\nx $A/24 ($A) $A,3", "x|1|1|1y|z1\nx|2/24|(2)|2,3");
    same("$A=$B\n$B=  v w  # comment\nx $A", "x|v|w");
    same("$BASE=10.2.${SUB}\n$SUB=0\n${BASE}.1\n$SUB=10\n${BASE}.1", "10.2.0.1\n10.2.10.1");
    same("$E=\nx $E y${E}z\n$Q=\"a # b\"\nq $Q", "x|yz\nq|a # b");
    same("x $UNKNOWN ${UNKNOWN}a $1 $ a$", "x|$UNKNOWN|${UNKNOWN}a|$1|$|a$");
    same("$A =1\nx $A", "$A|=1\nx|$A");
    same("@other $P=1\n@main $P=2\nx $P\n$IF=@main\n$NOT=@other\n$IF y\n$NOT z", "x|2\ny");
    same("$N=A\n$AB=deep\nx ${${N}B}", "x|deep");
    same("x {$A=1\n}\ny $A", "x {\n}\ny|1");
}

#[test]
fn names_of_several_lines() {
    let block = "$I= \\\nvrrp_instance V${N} { \\\n  interface eth0 # why \\\n@other x \\\n@main y { \\\n } \\\n}\n";
    let block = block.replace(" # why", "");
    let want = |n: &str| format!("vrrp_instance|V{n} {{\ninterface|eth0\ny {{\n}}\n}}");
    same(&format!("{block}$N=0\n$I\n$N=1\n$I"), &format!("{}\n{}", want("0"), want("1")));
    same("$M=a \\\n b\nx $M\ny", "x|a\nb\ny");
    same("$M=a \\\n b \\\n\nc\n$M", "c\na\nb");
    same("$IN= \\\n i${K} \\\n j\n$OUT= \\\n $K=1 \\\n $IN \\\n $K=2 \\\n $IN \\\n end\n$OUT", "i1\nj\ni2\nj\nend");
    let (got, said) = one("$M=a \\\n b\nx $M y");
    assert_eq!(got, "x|$M|y");
    assert_eq!(said, ["k.conf:3:3: `$M` has several lines: nothing may follow it on its line"]);
}

#[test]
fn names_that_are_always_there() {
    same("x ${_INSTANCE} ${_ENV HOME} a${_ENV NOT}b", "x|main|/root|ab");
    same("x a${_HASH}b ${_BANG} \"${_HASH} ${_BANG}\" # c", "x|a#b|!|# !");
    same("$_HASH=own\nx ${_HASH}", "x|own");
    same("x ${_PWD}", "x|/here");
    let files = Tree::new(&[("etc/k.conf", "x ${_PWD}\ninclude d/a\ny ${_PWD}"), ("etc/d/a", "z ${_PWD}")]);
    assert_eq!(statements(&files, "etc/k.conf", &options()).0, "x|/here/etc\nz|/here/etc/d\ny|/here/etc");
    let (a, _) = one("${_RANDOM} ${_RANDOM 5 6} ${_RANDOM 9 9}");
    let n: Vec<u32> = a.split('|').map(|n| n.parse().unwrap()).collect();
    assert!(n[0] < 32768 && (5..=6).contains(&n[1]) && n[2] == 9);
    assert_eq!(one("${_RANDOM} ${_RANDOM 5 6} ${_RANDOM 9 9}").0, a, "the seed alone decides");
    let (got, said) = one("${_RANDOM 6 5}");
    assert_eq!((got.as_str(), said.len()), ("6", 1));
}

#[test]
fn repetitions() {
    same("~SEQ(x, 1, 3) a${x} b", "a1|b\na2|b\na3|b");
    same("~SEQ(x,2) ~SEQ(y,2,1) $x ${y}", "1|2\n1|1\n2|2\n2|1");
    // A definition whose name is built of a name has the value of this time.
    same("~SEQ(i, 1, 3) $X${i}=${i}0\n${X1} ${X3}", "10|30");
    same("~SEQ(x,-2) a${x}\n~SEQ(x, 5, -2, 1) b${x}", "a-1\na-2\nb5\nb3\nb1");
    same("~SEQx(x, 144, 16, 192) ${x}:\n~SEQx(x, 0x12, -1, 0x10) ${x}", "90:\na0:\nb0:\nc0:\n12\n11\n10");
    same("~LST(x, a b, c) l ${x}\n~LST({v, w}, {1,2},{3,4}) ${v}.${w}", "l|a|b\nl|c\n1.2\n3.4");
    same("$M=a${x} \\\n b${y} {\\\n }\n~SEQ(x,2) ~LST(y,p,q) $M", "a1\nbp {\n}\na1\nbq {\n}\na2\nbp {\n}\na2\nbq {\n}");
    same("$x=old\n~SEQ(x,1) a$x\nb $x\n~SEQ(z,1) c\n$z", "a1\nb|old\nc\n$z");
    same("$N=2\n~SEQ(x,$N) a${x}\nv { ~SEQ(x,2) ${x}\n}\nfoo ~SEQ(x,2) b", "a1\na2\nv {\n1\n2\n}\nfoo|~SEQ(x,2)|b");
    for bad in [
        "~SEQ(x,1,-1,3) a",
        "~SEQ(x,a) b",
        "~SEQ(1,2) a",
        "~SEQ(x) a",
        "~LST(x) a",
        "~LST({a,b},{1}) x",
        "~SEQ(x,1,0,2) a",
        "~SEQ(x,1 a",
    ] {
        let (got, said) = one(bad);
        assert_eq!((got.as_str(), said.len()), ("", 1), "{bad}: {said:?}");
    }
}

#[test]
fn commands_and_regular_expressions() {
    same("script a\"b c\"'d e' \"it's\" '\"' a\\ b", "script|ab cd e|it's|\"|a\\ b");
    same("word a\\ b\\#c", "word|a\\|b#c");
    same("script \"a \\\"b\\\" \" c", "script|a \\\"b\\\" |c");
    same("notify /x # c\nnotify '/x # c {' d { \n}", "notify|/x\nnotify|/x # c {|d {\n}");
    same(r#"regex "a\tb\x41\101\cA\.\\\"c" 'd\n'"#, "regex|a\tbAA\u{1}.\\\"c|d\\n");
    same("state 'a b'", "state|'a|b'");
}

const INNER: &str = "interface eth0\nvirtual_router_id 5\nvirtual_ipaddress {\n10.0.0.1/24\n}\n";

fn run(files: &[(&str, &str)]) -> Loaded {
    load_with(&Tree::new(files), "k.conf", &options())
}

/// Trap 100.
#[test]
fn an_included_file_means_what_it_would_in_place() {
    let inlined = format!("vrrp_instance V {{\n{INNER}}}\n");
    let (want, _) = statements(&Tree::new(&[("k.conf", &inlined)]), "k.conf", &options());
    let whole = inlined.as_str();
    let cases: &[&[(&str, &str)]] = &[
        &[("k.conf", "include a.conf"), ("a.conf", whole)],
        &[("k.conf", "vrrp_instance V {\ninclude d/*.conf\n}\n"), ("d/i.conf", INNER), ("d/x.txt", "no")],
        &[("k.conf", "vrrp_instance V { include d/i }\n"), ("d/i", "-> real"), ("real", INNER)],
        &[
            ("k.conf", "vrrp_instance V {\nincludea \"d/{a,b c}\"\n}"),
            ("d/a", "interface eth0"),
            ("d/b c", INNER.split_once('\n').unwrap().1),
        ],
        &[("k.conf", "$F=a\n@main include ${F}.conf\n@other include b.conf"), ("a.conf", whole)],
        &[
            ("k.conf", "include d/a"),
            ("d/a", "vrrp_instance V {\ninclude b\ninclude ../none/../c\n}"),
            ("d/b", INNER),
            ("d/../none/../c", ""),
        ],
    ];
    for files in cases {
        let (got, said) = statements(&Tree::new(files), "k.conf", &options());
        assert_eq!((got.as_str(), said), (want.as_str(), vec![]), "{files:?}");
    }
    let twice = [("k.conf", "v {\ninclude a\n}\nw {\ninclude a\n}"), ("a", "x ${_PWD}")];
    assert_eq!(statements(&Tree::new(&twice), "k.conf", &options()).0, "v {\nx|/here\n}\nw {\nx|/here\n}");
}

#[test]
fn what_cannot_be_included_is_told_and_fatal_only_where_demanded() {
    let main = |line: &str| format!("{line}\nvrrp_instance V {{\n{INNER}}}\n");
    let ask = |line: &str, strict: bool| {
        let text = main(line);
        let files = [("k.conf", text.as_str()), ("d/dir/x", ""), ("d/run!", "x"), ("d/ok", "")];
        let loaded = load_with(&Tree::new(&files), "k.conf", &Options { strict_include: strict, ..options() });
        (short(&loaded).len(), loaded.fatal(), loaded.config_test_exit())
    };
    let (fine, told) = ((0, None, ExitCode::Ok), (1, None, ExitCode::Ok));
    let fatal = (1, Some(ExitCode::NoConfig), ExitCode::NoConfig);
    for (line, want) in [
        ("include d/ok", fine),
        ("include none", told),
        ("include none*", told),
        ("include d/dir", told),
        ("include d/run!", told),
        ("include d/{ok,none}", fine),
        ("includer none", told),
        ("includer d/dir", fatal),
        ("includem none", fatal),
        ("includem none*", told),
        ("includew none*", fatal),
        ("includeb d/{ok,none}", fatal),
        ("includeb none*", told),
        ("includea none*", fatal),
        ("includea d/ok", fine),
    ] {
        assert_eq!(ask(line, false), want, "{line}");
    }
    assert_eq!(ask("include none", true), fatal);
    let check = |words: &str, line: &str| {
        let (said, code, _) = ask(&format!("global_defs {{\ninclude_check {words}\n}}\n{line}"), false);
        (said, code)
    };
    let demanded = Some(ExitCode::NoConfig);
    assert_eq!(check("", "include none*"), (1, demanded));
    assert_eq!(check("match", "include none*"), (1, None));
    assert_eq!(check("match", "include none"), (1, demanded));
    assert_eq!(check("+match -wildcard_match", "include none"), (1, demanded));
    assert_eq!(check("read", "include none"), (1, None));
    // A definition in an included file ends with it.
    let files = [("k.conf", "include a\ninclude none\nx"), ("a", "global_defs {\ninclude_check\n}")];
    assert_eq!(run(&files).fatal().map(|_| ()), Some(()), "nothing to run");
    assert!(!run(&files).diags.iter().any(|d| d.exit == ExitCode::NoConfig));
}

#[test]
fn the_main_path_may_be_a_pattern() {
    let a = format!("vrrp_instance A {{\n{INNER}}}\n");
    let b = a.replace("A {", "B {").replace("id 5", "id 6").replace(".1/", ".2/");
    let files = Tree::new(&[("d/1.conf", &a), ("d/2.conf", &b)]);
    let loaded = load_with(&files, "d/*.conf", &options());
    assert_eq!(short(&loaded), ["1:1 note: 2 files match `d/*.conf`: all are read, in this order, as one"]);
    assert_eq!(loaded.config.instances.len(), 2);
    assert_eq!(load_with(&files, "e/*.conf", &options()).fatal(), Some(ExitCode::NoConfig));
}

#[test]
fn messages_tell_the_places_that_led_there() {
    let loaded =
        run(&[("k.conf", "$P=300\nvrrp_instance V {\ninclude d/i\n}\n"), ("d/i", "priority $P\nauth_pas hidden\n")]);
    let text = loaded.render(false);
    let want = "d/i:1:10: error: 300 is out of range: 100 is used\n     1 | priority $P\n       |          ^^\n     = | priority 300\n       |          ^^^\n";
    let start = text.find("d/i:1:10").unwrap_or_else(|| panic!("{text}"));
    let found = &text[start..];
    assert_eq!(found.lines().skip(1).take(4).collect::<Vec<_>>(), want.lines().skip(1).collect::<Vec<_>>(), "{text}");
    assert!(
        found.contains(
            "  k.conf:1:1: `$P` is defined here\n     1 | $P=300\n       | ^^^^^^\n  k.conf:3:1: included from here\n"
        ),
        "{text}"
    );
    assert!(!text.contains("hidden") && text.contains("     2 | auth_pas ********\n"), "{text}");
    // In the order of the text.
    let loaded = run(&[("k.conf", "a1\ninclude i\na3\n"), ("i", "b1\nb2\n")]);
    let order: Vec<String> =
        loaded.diags.iter().filter(|d| d.message.starts_with("unknown")).map(|d| d.place.to_string()).collect();
    assert_eq!(order, ["k.conf:1:1", "i:1:1", "i:2:1", "k.conf:3:1"]);
}

#[test]
fn a_password_is_never_shown() {
    let secret = "s3cr3t-xyz";
    for text in [
        format!("vrrp_instance V {{\nauthentication {{\nauth_type PASS\nauth_pass {secret} more\n}}\n}}\n"),
        format!("$PW={secret}\nvrrp_instance V {{\nauthentication {{\nauth_pass $PW x\nauth_pass ${{PW}}x\n}}\n}}\n"),
        format!("auth_pass {secret}"),
        format!("authentication {{ auth_pass \"{secret} a\" }} }}"),
        format!("@main auth_pas {secret}\nauth_hmac {{ key 1 {secret} }} }}\n"),
        format!("auth_pass \"{secret}\nauth_pass {{ {secret}"),
        format!("$A={secret}\n$B=$A\n~SEQ(i,1,2) auth_pass $B"),
        // Misspelt, misplaced, and words of a secret where a number or a keyword should stand.
        block(&format!("auth_hmac {{\nkey {secret}\n}}")),
        block(&format!("auth_hmac {{\nactive_key {secret}\nkey 2 x {secret}\n}}")),
        block(&format!("auth_hmac {{\nkeyy 2 {secret}\nfoo {secret}\nkey 300 {secret}\nkey 2 x {{{secret}\n}}\n}}")),
        block(&format!("auth_hmac {{\n{secret}\n{secret} {{ {secret} }}\n\"{secret}\" 1\nactive_key \"{secret}\n}}")),
        block(&format!("auth_hmac\n{{\nkey\n2 {secret}\n}}")),
        block(&format!("auth_hmca {{\nsecret {secret}\n}}")),
        block(&format!("auth_hmac {{\nkey 9{secret}\nkey 2 {secret}\nkey 2 {secret}\nactive_key 2{secret}")),
        block(&format!("auth_hmac key 1 {secret}")),
        block(&format!("authentication auth_pass {secret}")),
        block(&format!("authentication pass {secret}\nauthentification {{\nword {secret}\n}}")),
        block(&format!("authentication {{\nauth_type PASS {secret}\npass {secret}\npriority {secret}\n}}")),
        block(&format!("authentication {{\nauth_type PASS\nauth_pass\n{secret}\n}}")),
        block(&format!("authentication {{\nauth_pass {{ {secret}\n{secret} x }}\nauth_pass x\n}}")),
        block(&format!("priority 1 auth_pass {secret}\nstate auth_pass {secret}\nauth_pass {secret} {{\n{secret}\n}}")),
        format!("$K={secret}\n$L=$K\n{}", block("auth_hmac {\nkey $L\nkeyy 2 ${K}\nactive_key $K\n}")),
        format!("$M= \\\nactive_key {secret} \\\nkey {secret}\n{}", block("auth_hmac {\n$M\n}")),
        block(&format!("auth_hmac {{\n~SEQ(i,1,2) active_key $i{secret}\n@main key {secret}\n}}")),
        format!("SSL {{\npassword {secret} x\npasswrd {secret}\npassword\n}}\nSSL password {secret}\n"),
        format!("SSL {{\n{}\n", block(&format!("auth_hmac {{ active_key {secret}"))),
    ] {
        let loaded = run(&[("k.conf", &text)]);
        let shown = loaded.render(true);
        assert!(!shown.is_empty() && !shown.contains(secret), "{text}\n{shown}");
        let json = kalived::config::report::json(&loaded.diags, loaded.cut, &loaded.sources).to_string();
        assert!(!json.contains(secret), "{text}\n{json}");
    }
    // In a file that is included, and the names of settings stay to be seen.
    let shown = run(&[("k.conf", &block("include k")), ("k", &format!("auth_hmac {{\nactive_key {secret}\n}}\n"))])
        .render(false);
    assert!(
        !shown.contains(secret) && shown.contains("error: `********` is not a number: `active_key` is ignored"),
        "{shown}"
    );
    let shown = run(&[("k.conf", &block("auth_hmac {\nmode enforc\nkey 300 x\n}\nauthentication {\nauth_typ AH\n}"))])
        .render(false);
    for want in ["mode enforc", "unknown keyword `auth_typ` in authentication"] {
        assert!(shown.contains(want), "{shown}");
    }
}

/// A virtual router with this text in it.
fn block(text: &str) -> String {
    format!("vrrp_instance V {{\ninterface eth0\nvirtual_router_id 5\n{text}\n}}\n")
}

#[test]
fn bounds() {
    let fatal = |files: &[(&str, &str)], limits: Limits, want: &str| {
        let loaded = load_with(&Tree::new(files), "k.conf", &Options { limits, ..options() });
        let text = loaded.render(false);
        assert!(text.contains(want), "{text}");
        assert!(text.len() < 500_000 && loaded.fatal().is_some());
    };
    let usual = Limits::default();
    fatal(
        &[("k.conf", "include a"), ("a", "\ninclude k.conf")],
        usual,
        "a:2:1: fatal: a file includes itself: k.conf -> a -> k.conf",
    );
    let deep: Vec<(String, String)> = (0..20).map(|i| (format!("f{i}"), format!("include f{}", i + 1))).collect();
    let mut deep: Vec<(&str, &str)> = deep.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    deep.push(("k.conf", "include f0"));
    fatal(&deep, usual, "f14:1:1: fatal: more than 16 files inside each other: k.conf -> f0 -> ");
    let few = Limits { lines: 10_000, names: 20_000, files: 5, ..usual };
    let many = "~SEQ(x,1,1000000) ~SEQ(y,1,1000000) ~SEQ(z,1,1000000) a ${x} ${y}\nb\n";
    fatal(&[("k.conf", many)], few, "k.conf:1:37: fatal: repetitions make more than 10000 lines");
    fatal(&[("k.conf", "~SEQ(x,1,1000000) @other a\n")], few, "repetitions make more than 10000 lines");
    fatal(&[("k.conf", "~SEQ(x,1,9000) a $x $x $x")], few, "more than 20000 names are replaced");
    fatal(&[("k.conf", "~SEQ(x,1,9) include f"), ("f", "a")], few, "more than 5 files");
    fatal(
        &[("k.conf", "~SEQ(x,1,1000) $x aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")],
        Limits { replaced: 9999, ..usual },
        "make more than 9999 bytes",
    );
    let circle = "$A=$B\n$B=$A\nx $A\n$M=x \\\n y \\\n $M\n$M\n";
    fatal(
        &[("k.conf", circle)],
        Limits { lines: 1000, ..usual },
        "k.conf:3:3: error: `$B` is defined by itself: the line is ignored",
    );
    let rounds = format!("v {}\n", "{ @main ".repeat(200));
    fatal(&[("k.conf", &rounds)], usual, "more than 100 conditions and names in a line");
    let mut laughs = "$L0=ha-ha-ha-ha-ha-ha-ha-ha-ha-ha-ha-ha-ha-ha\n".to_owned();
    (1..30).for_each(|i| laughs += &format!("$L{i}=${{L{0}}}${{L{0}}}\n", i - 1));
    fatal(&[("k.conf", &(laughs.clone() + "x $L29\n"))], usual, "makes a line of more than 16384 bytes: it is ignored");
    fatal(
        &[("k.conf", &(laughs.replace("=ha-ha-ha-ha-ha-ha-ha-ha-ha-ha-ha-ha-ha-ha", "=") + "x $L29\n"))],
        usual,
        "makes a line of more than 1024 names: it is ignored",
    );
}

mod arbitrary {
    use super::*;
    use proptest::prelude::*;

    const PARTS: &[&str] = &[
        "$A=",
        "$B=",
        "$A",
        "${B}",
        "${A",
        "$",
        "${_RANDOM 1 2}",
        "${_HASH}",
        "\\\n",
        "\n",
        "\n",
        " ",
        "@main ",
        "@x ",
        "@^",
        "~SEQ(A,1,3) ",
        "~SEQ(B,$A) ",
        "~LST({A,B},{1,2},{$A,4}) ",
        "~SEQx(",
        "~LST(",
        "include k.conf\n",
        "include a*",
        "include {a,b",
        "includea b",
        "{",
        "}",
        "\"",
        "'",
        "#",
        "!",
        "vrrp_instance V {",
        "script ",
        "regex ",
        "auth_pass ",
        "\\",
        "\u{3000}",
        "\u{1F600}",
        "\0",
        "include_check +match",
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn mixtures_end_and_point_into_files(words in proptest::collection::vec((0..PARTS.len(), 0usize..3), 0..60), cut in 0usize..60) {
            let text = |w: &[(usize, usize)]| w.iter().map(|(i, f)| PARTS[*i].to_owned() + ["", " ", "\n"][*f]).collect::<String>();
            let (one, two) = words.split_at(cut.min(words.len()));
            let files = Tree::new(&[("k.conf", &text(one)), ("a", &text(two)), ("b", &text(one))]);
            let limits = Limits { lines: 2000, names: 20_000, replaced: 1 << 20, files: 200, ..Limits::default() };
            let loaded = load_with(&files, "k.conf", &Options { limits, ..options() });
            for d in &loaded.diags {
                prop_assert!(["k.conf", "a", "b"].contains(&&*d.place.file) && d.place.line >= 1 && d.place.column >= 1, "{d:?}");
                prop_assert!(d.related.len() <= 60 && d.related.iter().all(|(p, _, _)| p.line >= 1), "{d:?}");
            }
            prop_assert!(loaded.render(true).len() < 1 << 20);
        }
    }
}
