//! The manual page agrees with the code where that can be compared: its table of exit codes is `ExitCode::ALL`.
//!
//! That it renders without a warning is checked by `scripts/test man`.

use kalived::exit::ExitCode;

/// roff to plain text, as far as the test needs it: escaped hyphens only.
fn plain(line: &str) -> String {
    line.replace("\\-", "-")
}

#[test]
fn exit_codes_of_the_page_are_those_of_the_program() {
    let page = include_str!("../man/kalived.8");
    let (_, section) = page.split_once(".SH EXIT STATUS\n").expect("the page has the section");
    let section = section.split("\n.SH ").next().unwrap_or_default();
    let in_page: Vec<(i32, String)> = section
        .split(".TP\n.B ")
        .filter_map(|entry| entry.trim_end().split_once('\n'))
        .filter_map(|(code, text)| Some((code.parse().ok()?, plain(text))))
        .collect();
    let in_code: Vec<(i32, String)> = ExitCode::ALL.iter().map(|(code, text)| (*code as i32, (*text).into())).collect();
    assert_eq!(in_page, in_code);
}

/// The table of severities has the effect of each on a test, a start, a reload and the log.
#[test]
fn severities_of_the_page_are_what_the_program_does() {
    use kalived::config::check::Look;
    use kalived::config::diag::Severity;
    use kalived::config::source::{FileError, Files};
    use kalived::config::{Loaded, load};
    use kalived::process::entry;

    struct One(String);
    impl Files for One {
        fn read(&self, _: &str) -> Result<Vec<u8>, FileError> {
            Ok(self.0.clone().into_bytes())
        }
    }
    let instance = |name: &str, more: &str| {
        format!(
            "vrrp_instance {name} {{\n interface eth0\n virtual_router_id 1\n priority 100\n{more} virtual_ipaddress {{\n 192.0.2.1/24\n }}\n}}\n"
        )
    };
    let fine = instance("a", "");
    let cases = [
        ("fatal", Severity::Fatal, format!("{fine}{}", instance("b", ""))),
        ("error", Severity::Error, instance("a", " priorty 5\n")),
        (
            "warning",
            Severity::Warning,
            instance("a", " version 3\n authentication {\n auth_type PASS\n auth_pass 1111\n }\n"),
        ),
        ("lint", Severity::Warning, format!("{fine}vrrp_script s {{\n script \"/bin/true\"\n}}\n")),
        ("note", Severity::Note, instance("a", " priority 90\n")),
    ];
    let page = plain(include_str!("../man/kalived.8"));
    let rows: Vec<Vec<&str>> =
        page.lines().map(|l| l.split("  ").map(str::trim).filter(|c| !c.is_empty()).collect()).collect();
    for (name, severity, text) in cases {
        let mut loaded: Loaded = load(&One(text.clone()), "k.conf");
        loaded.look(Look { lints: true, ..Look::default() });
        let d = loaded
            .diags
            .iter()
            .min_by_key(|d| d.severity)
            .unwrap_or_else(|| panic!("{name}: nothing is said:\n{text}"));
        assert_eq!(d.severity, severity, "{name}: {}", d.message);
        let (test, fatal) = (loaded.config_test_exit(), loaded.fatal());
        let fails = |code: ExitCode, word: &str| format!("{word}, {}", code as i32);
        let row = [
            name.to_owned(),
            if test == ExitCode::Ok { "passes".to_owned() } else { fails(test, "fails") },
            fatal.map_or("goes on".to_owned(), |code| fails(code, "refused")),
            match (fatal, test) {
                (Some(_), _) => "refused",
                (None, ExitCode::Ok) => "taken",
                (None, _) => "refused; --force takes it",
            }
            .to_owned(),
            (entry::level(d.severity) as u8).to_string(),
        ];
        assert!(rows.iter().any(|r| r == &row), "kalived(8), SEVERITIES, has no such row: {row:?} ({})", d.message);
    }
}

const BEGIN: &str = ".\\\" BEGIN REPORT, made from src/report by KALIVED_BLESS=1 cargo test --test man_page\n";
const END: &str = ".\\\" END REPORT\n";

fn file(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Every field of a report is in the page, with the description of its type.
#[test]
fn the_report_of_the_page_is_that_of_the_types() {
    let page = std::fs::read_to_string(file("man/kalived.8")).expect("the page");
    let (head, rest) = page.split_once(BEGIN).expect("the page has the mark");
    let (section, tail) = rest.split_once(END).expect("the page has the mark");
    let want = kalived::report::describe::man::<kalived::report::Report>();
    if std::env::var_os("KALIVED_BLESS").is_some() {
        std::fs::write(file("man/kalived.8"), format!("{head}{BEGIN}{want}{END}{tail}"))
            .expect("the page can be written");
    } else {
        assert_eq!(section, want, "run: KALIVED_BLESS=1 cargo test --test man_page");
    }
    for name in kalived::report::instance::Name::WORDS {
        assert!(head.contains(&format!("\n.B {name}\n")), "CONDITIONS has no {name}");
    }
}

/// The schema by which programs may validate a report.
#[test]
fn the_schema_is_that_of_the_types() {
    let schema = kalived::report::describe::schema::<kalived::report::Report>();
    let want = format!("{schema:#}\n");
    let path = file("docs/status.schema.json");
    if std::env::var_os("KALIVED_BLESS").is_some() {
        std::fs::write(&path, &want).expect("the schema can be written");
    }
    assert_eq!(
        std::fs::read_to_string(path).unwrap_or_default(),
        want,
        "run: KALIVED_BLESS=1 cargo test --test man_page"
    );
}
