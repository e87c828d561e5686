//! kalived.conf(5) agrees with the keyword table, renders without a warning, and its examples load.

use super::common::text;
use kalived::config::keyword::man::man_section;
use std::path::Path;
use std::process::Command;

const BEGIN: &str =
    ".\\\" BEGIN KEYWORDS, made from src/config/keyword by KALIVED_BLESS=1 cargo test --test config man\n";
const END: &str = ".\\\" END KEYWORDS\n";

fn path() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("man/kalived.conf.5")
}

#[test]
fn keyword_section_is_up_to_date() {
    let page = std::fs::read_to_string(path()).unwrap();
    let (head, rest) = page.split_once(BEGIN).unwrap();
    let (section, tail) = rest.split_once(END).unwrap();
    let want = man_section();
    if std::env::var_os("KALIVED_BLESS").is_some() {
        std::fs::write(path(), format!("{head}{BEGIN}{want}{END}{tail}")).unwrap();
    } else {
        assert_eq!(section, want, "run: KALIVED_BLESS=1 cargo test --test config man");
    }
}

#[test]
fn renders_without_a_warning() {
    let out = match Command::new("man").args(["--warnings", "-E", "UTF-8", "-l"]).arg(path()).output() {
        Ok(out) => out,
        Err(e) => return eprintln!("skipped: man cannot be run: {e}"),
    };
    assert!(out.status.success());
    assert_eq!(String::from_utf8_lossy(&out.stderr), "");
}

#[test]
fn examples_load() {
    let page = std::fs::read_to_string(path()).unwrap();
    let section = |name: &str| page.split_once(&format!(".SH {name}\n")).unwrap().1.split("\n.SH ").next().unwrap();
    let mut count = 0;
    for part in [section("DESCRIPTION"), section("EXAMPLES"), section("TRACKING"), section("BFD")]
        .iter()
        .flat_map(|s| s.split(".EX\n").skip(1))
    {
        let file = part.split_once(".EE").unwrap().0.replace("\\-", "-").replace("\\e", "\\").replace("\\(ti", "~");
        let loaded = text(&file);
        assert_eq!(loaded.render(false), "", "{file}");
        assert!(!loaded.config.instances.is_empty());
        count += 1;
    }
    assert!(count >= 5, "{count}");
}
