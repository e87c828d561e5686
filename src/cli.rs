//! The command line: keepalived's options, as far as they apply to kalived.
//!
//! An option that keepalived has and kalived does not (yet) is recognised: a harmless one is reported and ignored; one whose loss would
//! change what runs is refused. Only an option that neither program has is "unknown" (exit code 1). As with keepalived, version and usage
//! are written to standard error.

use crate::config::allow;
use crate::exit::ExitCode;
use crate::process::reading::{Colour, Reading};
use crate::sys::namespace::is_name;
use clap::{Arg, ArgAction, ArgMatches, Command, error::ErrorKind};
use std::ffi::OsString;
use std::path::PathBuf;

mod ask;
pub mod client;
mod elsewhere;
pub mod genhash;
pub mod metrics;
mod recordings;
pub(crate) mod saved;
pub mod status;
mod tested;
pub(crate) mod tools;

pub use ask::{Ask, Format};

/// The configuration file when no option names one: the first of these that exists.
pub const DEFAULT_FILES: [&str; 2] = ["/etc/kalived/kalived.conf", "/etc/keepalived/keepalived.conf"];
/// Pid file. It differs from keepalived's, so that both can be installed side by side and neither takes the other for itself.
pub const DEFAULT_PID_FILE: &str = "/run/kalived.pid";

/// The pid file of a kalived in this network namespace, unless `-p` names one: several may run on one host.
pub fn pid_file_in(namespace: &str) -> PathBuf {
    let default = PathBuf::from(DEFAULT_PID_FILE);
    let stem = default.file_stem().unwrap_or_default().to_string_lossy();
    default.with_file_name(format!("{stem}-{namespace}.pid"))
}

/// The number of syslog's facility local0.
const LOCAL0: u8 = 16;

/// The options and arguments of the command line, parsed and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `--config`, `-f`, `--use-file`.
    pub file: Option<String>,
    /// `-n`: stay in the foreground.
    pub foreground: bool,
    /// `-l`: log to standard error.
    pub console: bool,
    /// `-D`: log details.
    pub detail: bool,
    /// `-G`: do not use syslog.
    pub no_syslog: bool,
    /// `-S`: the facility of lines for syslog, 16 (local0) to 23 (local7); `None`: daemon.
    pub facility: Option<u8>,
    /// `-R`: a core that dies is not restarted.
    pub dont_respawn: bool,
    /// `-t`: check the configuration only; the file for the findings in place of standard error.
    pub test: Option<Option<PathBuf>>,
    /// `-p`, or the file that follows from `-s`.
    pub pid_file: PathBuf,
    /// `-s`: the network namespace, in place of the configuration's `net_namespace`.
    pub namespace: Option<String>,
    /// Neither `-p` nor `-s`: `net_namespace` may name another pid file.
    pub pid_by_default: bool,
    /// `-r`: the file for the process number of the core, beside `pid_file`.
    pub core_pid_file: Option<PathBuf>,
    /// `-c`: the pid file of the process with the health checks, which is the core.
    pub checkers_pid_file: Option<PathBuf>,
    /// The format and selection of messages about the configuration.
    pub report: Reading,
    /// Options of keepalived that have no effect here, each as a sentence for the log.
    pub ignored: Vec<String>,
}

/// A tool: prints something and ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tool {
    /// `--dump-conf[=FILE]`: print the expanded configuration.
    Dump {
        /// The file; `None`: the default one.
        file: Option<String>,
        /// `--show-secrets`: passwords and keys are printed as they are; otherwise as asterisks.
        show_secrets: bool,
    },
    /// `--compile-config FILE`: write the configuration as a compiled image.
    Compile {
        /// Path of the configuration.
        file: String,
        /// `-o`; `-`: standard output.
        out: String,
        /// `--force`: also where the test fails.
        force: bool,
        /// `--log-entries`: messages are for the log, see `process/entry.rs`.
        entries: bool,
    },
    /// `diff OLD NEW`.
    Diff {
        /// The present configuration.
        old: String,
        /// The new configuration.
        new: String,
    },
    /// `replay FILE`: repeat the decisions of a recording and compare them.
    Replay {
        /// Path of the recording.
        file: String,
        /// `-v`: every event and effect.
        verbose: bool,
    },
}

/// The result of parsing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Run, or test the configuration.
    Run(Options),
    /// Run a tool.
    Tool(Tool, Reading),
    /// Send a request to a running kalived.
    Ask(Ask, Reading),
    /// `--helper`: serve a core, see `helper/`.
    Helper,
    /// Print this and end with this code.
    Say(String, ExitCode),
    /// Print this to standard output, for other programs, and exit with 0.
    List(String),
}

/// keepalived's options without meaning here: short, long, whether a value follows, what is lost by ignoring the option.
const FOREIGN: &[(Option<char>, &str, Value, Loss)] = &[
    (
        Some('C'),
        "check",
        Value::None,
        Loss::Wrong("kalived does not run the health checks alone: it runs what the file has"),
    ),
    (Some('B'), "no_bfd", Value::None, Loss::Ignored),
    (None, "all", Value::None, Loss::Ignored),
    (Some('g'), "log-file", Value::Maybe, Loss::Ignored),
    (None, "flush-log-file", Value::None, Loss::Ignored),
    (Some('X'), "release-vips", Value::None, Loss::Ignored),
    (Some('V'), "dont-release-vrrp", Value::None, Loss::Ignored),
    (Some('I'), "dont-release-ipvs", Value::None, Loss::Ignored),
    (Some('d'), "dump-at-start", Value::None, Loss::Ignored),
    // The pid file of a process that kalived does not have: keepalived writes none either where it does not start it.
    (Some('b'), "bfd_pid", Value::Needed, Loss::Nothing),
    (Some('a'), "address-monitoring", Value::None, Loss::Ignored),
    (Some('x'), "snmp", Value::None, Loss::Ignored),
    (Some('A'), "snmp-agent-socket", Value::Needed, Loss::Ignored),
    (Some('m'), "core-dump", Value::None, Loss::Ignored),
    (Some('M'), "core-dump-pattern", Value::Maybe, Loss::Ignored),
    (Some('u'), "umask", Value::Needed, Loss::Ignored),
    (None, "ignore-sigint", Value::None, Loss::Ignored),
    (None, "debug", Value::Maybe, Loss::Ignored),
    (None, "perf", Value::Maybe, Loss::Ignored),
];

#[derive(Clone, Copy)]
enum Value {
    None,
    Maybe,
    Needed,
}

#[derive(Clone, Copy)]
enum Loss {
    // kalived does this in any case.
    Nothing,
    Ignored,
    Wrong(&'static str),
}

fn command() -> Command {
    let flag = |short: char, long: &'static str, help: &'static str| {
        Arg::new(long).short(short).long(long).help(help).action(ArgAction::SetTrue)
    };
    let mut c = Command::new("kalived")
        .version(env!("CARGO_PKG_VERSION"))
        .about("VRRP daemon with health checks for LVS, compatible with keepalived")
        .disable_version_flag(true)
        .disable_help_flag(true)
        .args_override_self(true)
        .after_help(after_help())
        .arg(
            Arg::new("config")
                .long("config")
                .short('f')
                .visible_alias("use-file")
                .value_name("FILE")
                .help("Configuration file"),
        )
        .subcommand(
            Command::new("diff")
                .about("Print what a reload from OLD to NEW would keep, alter, add and remove")
                .arg(Arg::new("help").short('h').long("help").help("Print this help").action(ArgAction::Help))
                .arg(Arg::new("old").value_name("OLD").required(true))
                .arg(Arg::new("new").value_name("NEW").required(true))
                .args(report_args()),
        )
        .subcommand(
            Command::new("replay")
                .about("Decide again what a recording of `kalived record` has, and print it in the words of the log")
                .arg(Arg::new("help").short('h').long("help").help("Print this help").action(ArgAction::Help))
                .arg(Arg::new("file").value_name("FILE").required(true))
                .arg(
                    Arg::new("verbose")
                        .short('v')
                        .long("verbose")
                        .action(ArgAction::SetTrue)
                        .help("Print every event and every effect"),
                ),
        )
        .subcommands(ask::subcommands())
        .args(report_args())
        .arg(
            Arg::new("dump-conf")
                .long("dump-conf")
                .value_name("FILE")
                .num_args(0..=1)
                .require_equals(true)
                .help("Print the configuration with everything expanded, as a configuration file, and end"),
        )
        .arg(
            Arg::new("show-secrets")
                .long("show-secrets")
                .action(ArgAction::SetTrue)
                .help("With --dump-conf: passwords and keys as they are"),
        )
        .arg(
            Arg::new("compile-config")
                .long("compile-config")
                .value_name("FILE")
                .help("Write the configuration FILE as a compiled image and end"),
        )
        .arg(
            Arg::new("output")
                .short('o')
                .long("output")
                .value_name("OUT")
                .default_value("-")
                .help("With --compile-config: where the image goes; - is standard output"),
        )
        .arg(
            Arg::new("force")
                .long("force")
                .action(ArgAction::SetTrue)
                .help("With --compile-config: also a file that fails --config-test, unless it cannot be run"),
        )
        .arg(Arg::new("log-entries").long("log-entries").action(ArgAction::SetTrue).hide(true))
        .arg(flag(
            'P',
            "vrrp",
            "Accepted for keepalived's command lines, without effect: kalived runs what the file has",
        ))
        .arg(flag('n', "dont-fork", "Stay in the foreground"))
        .arg(flag('l', "log-console", "Log to standard error instead of syslog"))
        .arg(Arg::new("log-detail").short('D').long("log-detail").help("Log details").action(ArgAction::Count))
        .arg(flag('G', "no-syslog", "Do not log to syslog"))
        .arg(
            Arg::new("log-facility")
                .short('S')
                .long("log-facility")
                .value_name("0..7")
                .value_parser(clap::value_parser!(u8).range(0..=7))
                .help("Log to syslog as local0 to local7 instead of daemon"),
        )
        .arg(flag('R', "dont-respawn", "End when the VRRP process dies, instead of starting it again"))
        .arg(Arg::new("config-test").short('t').long("config-test").value_name("LOG_FILE").num_args(0..=1).help(
            "Check the configuration and end; a word after a blank is the configuration file. Findings go to \
                     standard error, or to LOG_FILE in -tLOG_FILE and --config-test=LOG_FILE",
        ))
        .arg(Arg::new("test-file").long("test-file").value_name("FILE").hide(true))
        .arg(Arg::new("pid").short('p').long("pid").value_name("FILE").help("Pid file").default_value(DEFAULT_PID_FILE))
        .arg(
            Arg::new("vrrp_pid")
                .short('r')
                .long("vrrp_pid")
                .value_name("FILE")
                .help("Pid file of the process that speaks VRRP; none without this option"),
        )
        .arg(Arg::new("checkers_pid").short('c').long("checkers_pid").value_name("FILE").help(
            "Pid file of the process with the health checks, the same process; written while there are virtual servers",
        ))
        .arg(
            Arg::new("namespace")
                .short('s')
                .long("namespace")
                .value_name("NAME")
                .help("Run in this network namespace, in place of the one that net_namespace names"),
        )
        .arg(Arg::new("helper").long("helper").action(ArgAction::SetTrue).hide(true))
        .arg(Arg::new("signum").long("signum").value_name("NAME").help("Print the number of the signal for NAME"))
        .arg(
            Arg::new("list-keywords")
                .long("list-keywords")
                .help("Print every keyword of the configuration with its range and status")
                .action(ArgAction::SetTrue),
        )
        .arg(flag('v', "version", "Print the version"))
        .arg(flag('h', "help", "Print this help"));
    for (short, long, value, _) in FOREIGN {
        let mut a = Arg::new(*long).long(*long).hide(true);
        if let Some(s) = short {
            a = a.short(*s);
        }
        c = c.arg(match value {
            Value::None => a.action(ArgAction::Count),
            Value::Maybe => a.num_args(0..=1).require_equals(true),
            Value::Needed => a.num_args(1),
        });
    }
    c
}

/// Options of all commands that print messages about a configuration.
fn report_args() -> Vec<Arg> {
    let set = ArgAction::SetTrue;
    vec![
        Arg::new("config-id")
            .long("config-id")
            .short('i')
            .value_name("ID")
            .help("Take lines that begin with @ID; default: the node name up to its first dot"),
        Arg::new("all-config")
            .long("all-config")
            .short('e')
            .action(set.clone())
            .help("Every include must find what it names"),
        Arg::new("format")
            .long("format")
            .value_name("FORMAT")
            .value_parser(["text", "json"])
            .default_value("text")
            .help("Of the output of --config-test and diff; json goes to standard output"),
        Arg::new("color")
            .long("color")
            .visible_alias("colour")
            .value_name("WHEN")
            .value_parser(["auto", "always", "never"])
            .default_value("auto")
            .help("Colour in messages"),
        Arg::new("offline")
            .long("offline")
            .action(set.clone())
            .help("Check without looking at this machine's interfaces"),
        Arg::new("allow")
            .long("allow")
            .value_name("NAME")
            .action(ArgAction::Append)
            .value_delimiter(',')
            .help("Do not print messages of this name; may be repeated"),
        Arg::new("strict-lints").long("strict-lints").action(set).help("With --config-test: a lint fails the test"),
    ]
}

/// The error is the text to print.
fn report(m: &ArgMatches) -> Result<Reading, String> {
    let text = |name| m.get_one::<String>(name).map(String::as_str);
    let allow: Vec<String> = m.get_many::<String>("allow").into_iter().flatten().cloned().collect();
    let known = allow::all_names();
    if let Some(name) = allow.iter().find(|n| !known.contains(&n.as_str())) {
        let near = allow::nearest(name).map_or(String::new(), |n| format!("; did you mean {n}?"));
        return Err(format!("kalived: --allow: there is no message with the name {name}{near}\n"));
    }
    Ok(Reading {
        config_id: m.get_one::<String>("config-id").cloned(),
        strict_include: m.get_flag("all-config"),
        json: text("format") == Some("json"),
        colour: match text("color") {
            Some("always") => Colour::Always,
            Some("never") => Colour::Never,
            _ => Colour::Auto,
        },
        offline: m.get_flag("offline"),
        strict_lints: m.get_flag("strict-lints"),
        allow,
    })
}

/// The tool, if one is requested.
fn tool(m: &ArgMatches) -> Option<Tool> {
    let text = |m: &ArgMatches, name| m.get_one::<String>(name).cloned();
    if let Some(("diff", sub)) = m.subcommand() {
        return Some(Tool::Diff { old: text(sub, "old")?, new: text(sub, "new")? });
    }
    if let Some(("replay", sub)) = m.subcommand() {
        return Some(Tool::Replay { file: text(sub, "file")?, verbose: sub.get_flag("verbose") });
    }
    if let Some(file) = text(m, "compile-config") {
        let (force, entries) = (m.get_flag("force"), m.get_flag("log-entries"));
        return Some(Tool::Compile { file, out: text(m, "output")?, force, entries });
    }
    given(m, "dump-conf").then(|| Tool::Dump {
        file: text(m, "dump-conf").or_else(|| text(m, "config")),
        show_secrets: m.get_flag("show-secrets"),
    })
}

fn after_help() -> String {
    let mut s = format!(
        "`kalived genhash -h` prints the options of genhash, which prints the digest of a page for HTTP_GET and SSL_GET.\n\n\
         Default configuration: {}, else {}\n\nExit codes:\n",
        DEFAULT_FILES[0], DEFAULT_FILES[1]
    );
    for (code, text) in ExitCode::ALL {
        s.push_str(&format!("  {:3}  {text}\n", *code as u8));
    }
    s
}

/// Parses the command line, program name first.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Parsed {
    let mut command = command();
    let args = tested::name_the_file(&command, args.into_iter().collect());
    let m = match command.try_get_matches_from_mut(args) {
        Ok(m) => m,
        Err(e) => {
            let code = if e.kind() == ErrorKind::DisplayHelp { ExitCode::Ok } else { ExitCode::Fatal };
            return Parsed::Say(e.to_string(), code);
        }
    };
    if m.get_flag("help") {
        return Parsed::Say(command.render_help().to_string(), ExitCode::Ok);
    }
    if m.get_flag("helper") {
        return Parsed::Helper;
    }
    if m.get_flag("list-keywords") {
        return Parsed::List(crate::config::keyword::list());
    }
    if m.get_flag("version") {
        return Parsed::Say(version(), ExitCode::Ok);
    }
    if let Some(name) = m.get_one::<String>("signum") {
        return signum(name);
    }
    match ask::parse(&m) {
        Ok(None) => {}
        Ok(Some((ask, report))) => return Parsed::Ask(ask, report),
        Err(why) => return Parsed::Say(why, ExitCode::Fatal),
    }
    if let (Some(("replay", _)), Some(tool)) = (m.subcommand(), tool(&m)) {
        return Parsed::Tool(tool, Reading::default());
    }
    let report = match report(m.subcommand().map_or(&m, |s| s.1)) {
        Ok(r) => r,
        Err(why) => return Parsed::Say(why, ExitCode::Fatal),
    };
    if let Some(tool) = tool(&m) {
        return Parsed::Tool(tool, report);
    }
    let file = match (m.get_one::<String>("test-file"), m.get_one::<String>("config")) {
        (Some(word), Some(file)) if word != file => {
            return Parsed::Say(
                format!(
                    "kalived: two files to test: {word} after -t, and {file} after -f\n\
                     A word after -t is the file to test. For the name of a log, write -t{word} or --config-test={word}\n"
                ),
                ExitCode::Fatal,
            );
        }
        (word, file) => word.or(file).cloned(),
    };
    let namespace = m.get_one::<String>("namespace").cloned();
    if let Some(name) = namespace.as_ref().filter(|n| !is_name(n)) {
        return Parsed::Say(no_name(name), ExitCode::Fatal);
    }
    let mut ignored = Vec::new();
    for (short, long, _, loss) in FOREIGN.iter().filter(|f| given(&m, f.1)) {
        let name = short.map_or_else(|| format!("--{long}"), |s| format!("-{s} (--{long})"));
        match loss {
            Loss::Nothing => {}
            Loss::Ignored => ignored.push(format!("option {name} of keepalived is not supported yet: ignored")),
            Loss::Wrong(why) => {
                return Parsed::Say(
                    format!("kalived: option {name} of keepalived is not supported: {why}\n"),
                    ExitCode::Fatal,
                );
            }
        }
    }
    Parsed::Run(Options {
        file,
        foreground: m.get_flag("dont-fork"),
        console: m.get_flag("log-console"),
        detail: m.get_count("log-detail") > 0,
        no_syslog: m.get_flag("no-syslog"),
        facility: m.get_one::<u8>("log-facility").map(|n| LOCAL0 + n),
        dont_respawn: m.get_flag("dont-respawn"),
        test: given(&m, "config-test").then(|| m.get_one::<String>("config-test").map(PathBuf::from)),
        pid_file: match (m.get_one::<String>("pid"), &namespace) {
            (Some(file), _) if given(&m, "pid") => file.into(),
            (_, Some(name)) => pid_file_in(name),
            (_, None) => DEFAULT_PID_FILE.into(),
        },
        pid_by_default: !given(&m, "pid") && namespace.is_none(),
        namespace,
        core_pid_file: m.get_one::<String>("vrrp_pid").map(PathBuf::from),
        checkers_pid_file: m.get_one::<String>("checkers_pid").map(PathBuf::from),
        report,
        ignored,
    })
}

/// The syslog facility of a command line.
pub fn facility(args: impl IntoIterator<Item = OsString>) -> Option<u8> {
    match parse(args) {
        Parsed::Run(options) => options.facility,
        _ => None,
    }
}

fn no_name(name: &str) -> String {
    format!("kalived: -s {name}: expected the name of a network namespace, as `ip netns list` prints it\n")
}

fn given(m: &ArgMatches, name: &str) -> bool {
    m.value_source(name) == Some(clap::parser::ValueSource::CommandLine)
}

/// The output of `-v`.
pub fn version() -> String {
    format!(
        "Kalived v{}\n\nCompatible with keepalived's configuration files; see kalived(8).\nAs keepalived with --enable-json: SIGRTMIN+2 \
         writes a JSON file\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// keepalived's names of signals. kalived(8), SIGNALS, documents their effects.
fn signum(name: &str) -> Parsed {
    let number = match name {
        "STOP" => 15,
        "RELOAD" => 1,
        "DATA" => 10,
        "STATS" => 12,
        "STATS_CLEAR" => 63,
        "JSON" => 36,
        "TDUMP" => 64,
        _ => return Parsed::Say(format!("Unknown sigfunc {name}\n"), ExitCode::Fatal),
    };
    Parsed::Say(format!("{number}\n"), ExitCode::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Parsed {
        parse(line.split_whitespace().map(OsString::from))
    }
    fn run(line: &str) -> Options {
        match of(line) {
            Parsed::Run(o) => o,
            other => panic!("{line}: {other:?}"),
        }
    }
    fn code(line: &str) -> ExitCode {
        match of(line) {
            Parsed::Say(_, code) => code,
            Parsed::List(_) => ExitCode::Ok,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn keepalived_spellings_mean_the_same() {
        command().debug_assert();
        for line in ["kalived -f x -nlD", "kalived --use-file=x -n -l -D -D", "kalived --config x -l -n -D -P"] {
            let o = run(line);
            assert_eq!((o.file.as_deref(), o.foreground, o.console, o.detail), (Some("x"), true, true, true), "{line}");
        }
        let o = run("kalived -i main -e").report;
        assert_eq!((o.config_id.as_deref(), o.strict_include), (Some("main"), true));
        assert_eq!(run("kalived").report.config_id, None);
        assert_eq!(run("kalived -p /tmp/p").pid_file, PathBuf::from("/tmp/p"));
        assert_eq!(run("kalived").pid_file, PathBuf::from(DEFAULT_PID_FILE));
    }

    #[test]
    fn a_namespace_has_a_pid_file_of_its_own() {
        let of = |line: &str| {
            let o = run(line);
            (o.pid_file.display().to_string(), o.pid_by_default)
        };
        assert_eq!(run("kalived -s blue").namespace.as_deref(), Some("blue"));
        assert_eq!(of("kalived --namespace=blue -n"), ("/run/kalived-blue.pid".into(), false));
        assert_eq!(of("kalived -s blue -p /run/kalived.pid"), ("/run/kalived.pid".into(), false));
        assert_eq!(of("kalived -p /run/kalived.pid"), ("/run/kalived.pid".into(), false));
        assert_eq!(of("kalived"), ("/run/kalived.pid".into(), true));
    }

    #[test]
    fn a_test_may_name_its_log() {
        assert_eq!(run("kalived -f x").test, None);
        assert_eq!(run("kalived -t -f x").test, Some(None));
        assert_eq!(run("kalived -f x -t").test, Some(None));
        assert_eq!(run("kalived --config-test=/l -f x").test, Some(Some("/l".into())));
        assert_eq!(run("kalived -t/l").test, Some(Some("/l".into())));
        assert_eq!(run("kalived -t=/l").test, Some(Some("/l".into())));
        assert_eq!(run("kalived -nt/l -f x").test, Some(Some("/l".into())));
    }

    #[test]
    fn a_word_after_a_test_is_the_file() {
        for line in [
            "kalived -t x",
            "kalived --config-test x",
            "kalived -nt x",
            "kalived -t --offline x",
            "kalived --offline -t x",
            "kalived -t --allow v2-fraction x",
            "kalived -t -- x",
            "kalived -t x -f x",
        ] {
            let o = run(line);
            assert_eq!((o.test, o.file.as_deref()), (Some(None), Some("x")), "{line}");
        }
        let o = run("kalived -t/l x");
        assert_eq!((o.test, o.file.as_deref()), (Some(Some("/l".into())), Some("x")));
        for line in ["kalived -t x -f y", "kalived -f y -t x", "kalived -t x y", "kalived x"] {
            assert_eq!(code(line), ExitCode::Fatal, "{line}");
        }
    }

    #[test]
    fn tools() {
        let tool = |line: &str| match of(line) {
            Parsed::Tool(t, r) => (t, r),
            other => panic!("{line}: {other:?}"),
        };
        let dump = |file: Option<&str>, show_secrets| Tool::Dump { file: file.map(str::to_owned), show_secrets };
        assert_eq!(tool("kalived --dump-conf").0, dump(None, false));
        assert_eq!(tool("kalived --dump-conf=x --show-secrets").0, dump(Some("x"), true));
        assert_eq!(tool("kalived -f x --dump-conf").0, dump(Some("x"), false));
        let image = |out: &str| Tool::Compile { file: "x".into(), out: out.into(), force: false, entries: false };
        assert_eq!(tool("kalived --compile-config x").0, image("-"));
        assert_eq!(tool("kalived --compile-config x -o y").0, image("y"));
        let (diff, report) = tool("kalived diff a b --format=json");
        assert_eq!((diff, report.json), (Tool::Diff { old: "a".into(), new: "b".into() }, true));
        assert_eq!((code("kalived diff a"), code("kalived diff --help")), (ExitCode::Fatal, ExitCode::Ok));
        let o = run("kalived -t --offline --color=never --allow v2-fraction,duplicate-vrid --strict-lints");
        let allow = vec!["v2-fraction".to_owned(), "duplicate-vrid".to_owned()];
        let want = Reading { colour: Colour::Never, offline: true, strict_lints: true, allow, ..Reading::default() };
        assert_eq!(o.report, want);
        assert_eq!(code("kalived -t --allow=v2-fractoin"), ExitCode::Fatal);
        // keepalived's -d logs the configuration at start and continues.
        assert_eq!(run("kalived -d").ignored.len(), 1);
    }

    #[test]
    fn nothing_is_dropped_in_silence() {
        assert_eq!(code("kalived --nonsense"), ExitCode::Fatal);
        for no in ["kalived -s", "kalived -n -s a/b", "kalived -s ..", "kalived --namespace="] {
            assert_eq!(code(no), ExitCode::Fatal, "{no}");
        }
        assert_eq!(run("kalived -R -d -x").ignored.len(), 2);
        let facility = |line: &str| run(line).facility;
        assert_eq!((facility("kalived -D -S 1"), facility("kalived --log-facility=7")), (Some(17), Some(23)));
        assert_eq!(
            (facility("kalived"), code("kalived -S 8"), code("kalived -S")),
            (None, ExitCode::Fatal, ExitCode::Fatal)
        );
        assert!(run("kalived -c x -b y").ignored.is_empty());
        assert_eq!(run("kalived -B").ignored.len(), 1, "sessions run all the same");
        let core = run("kalived -r /run/vrrp.pid");
        assert!(core.ignored.is_empty() && core.core_pid_file == Some("/run/vrrp.pid".into()));
        assert_eq!((code("kalived -v"), code("kalived -h")), (ExitCode::Ok, ExitCode::Ok));
        let rows: usize = crate::config::keyword::Scope::ALL.iter().map(|s| s.rows().len()).sum();
        assert!(matches!(of("kalived --list-keywords"), Parsed::List(text) if text.lines().count() == 1 + rows));
        assert_eq!((code("kalived --signum=RELOAD"), code("kalived --signum=X")), (ExitCode::Ok, ExitCode::Fatal));
    }
}
