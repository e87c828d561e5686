//! The subcommands that send a request to a running kalived: `reload`, `upgrade`, `handover`, `stop`, `status`, `record`.
//!
//! Read first: `cli.rs`; `cli/client.rs` executes them.

use super::{DEFAULT_PID_FILE, given, no_name, pid_file_in, report, report_args};
use crate::process::reading::Reading;
use crate::process::request::Request;
use crate::sys::namespace::is_name;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::path::PathBuf;

/// A request to the running kalived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The request that is sent to the control socket.
    pub request: Request,
    /// The pid file of that kalived; the control socket is next to it.
    pub pid_file: PathBuf,
    /// `reload --dry-run`: compare only; with this file, `None`: the file that the running kalived uses.
    pub dry_run: Option<Option<String>>,
    /// `record -o`: the file for the recording.
    pub out: String,
    /// How the answer to `status` is printed.
    pub format: Format,
}

/// How a report is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Text for people.
    #[default]
    Text,
    /// The complete report, as `docs/status.schema.json` defines it.
    Json,
    /// For Prometheus and similar programs.
    OpenMetrics,
}

/// The words after `--format=`.
const FORMATS: [(&str, Format); 3] =
    [("text", Format::Text), ("json", Format::Json), ("openmetrics", Format::OpenMetrics)];

/// The file for a recording without `-o`.
pub const RECORDING: &str = "kalived.kalrec";

const ASKED: [(Request, &str); 6] = [
    (Request::Reload, "Have the running kalived read its configuration again; wait for the result"),
    (Request::Upgrade, "Have the running kalived continue as the binary that is installed now, without a failover"),
    (Request::Handover, "End the running kalived so that the next one goes on without a failover"),
    (Request::Stop, "End the running kalived: farewell adverts, addresses removed"),
    (Request::Status, "Print who is Master, since when and why, and what is wrong"),
    (Request::Record, "Write the last events and decisions of the running kalived to a file, for `kalived replay`"),
];

/// The subcommands for the command line.
pub(super) fn subcommands() -> impl Iterator<Item = Command> {
    ASKED.into_iter().map(|(request, about)| {
        let c = Command::new(request.word())
            .about(about)
            .disable_help_flag(true)
            .args_override_self(true)
            .arg(Arg::new("help").short('h').long("help").help("Print this help").action(ArgAction::Help))
            .arg(
                Arg::new("pid")
                    .short('p')
                    .long("pid")
                    .value_name("FILE")
                    .help(format!("Pid file of the kalived that is asked [default: {DEFAULT_PID_FILE}]")),
            )
            .arg(
                Arg::new("namespace")
                    .short('s')
                    .long("namespace")
                    .value_name("NAME")
                    .help("Ask the kalived of this network namespace"),
            );
        if request == Request::Status {
            return c.arg(
                Arg::new("format")
                    .long("format")
                    .value_name("FORMAT")
                    .value_parser(FORMATS.map(|f| f.0))
                    .default_value("text")
                    .help("text for people; json for programs; openmetrics for monitoring"),
            );
        }
        if request == Request::Record {
            return c.arg(
                Arg::new("output")
                    .short('o')
                    .long("output")
                    .value_name("FILE")
                    .default_value(RECORDING)
                    .help("Where it goes; mode 0600, and never over a file that is no recording"),
            );
        }
        if request != Request::Reload {
            return c;
        }
        c.arg(
            Arg::new("dry-run")
                .long("dry-run")
                .action(ArgAction::SetTrue)
                .help("Change nothing: print what the reload would keep, alter, add and remove"),
        )
        .arg(
            Arg::new("force")
                .long("force")
                .action(ArgAction::SetTrue)
                .conflicts_with("dry-run")
                .help("Also a file that fails --config-test, unless it cannot be run"),
        )
        .arg(
            Arg::new("config")
                .long("config")
                .short('f')
                .visible_alias("use-file")
                .value_name("FILE")
                .requires("dry-run")
                .help("With --dry-run: this file instead of the one kalived runs with"),
        )
        .args(report_args())
    })
}

/// The request, if there is one. The error is the text to print.
pub(super) fn parse(m: &ArgMatches) -> Result<Option<(Ask, Reading)>, String> {
    let Some((name, sub)) = m.subcommand() else { return Ok(None) };
    let Some((request, _)) = ASKED.into_iter().find(|a| a.0.word() == name) else { return Ok(None) };
    // `kalived -p FILE reload` means the same.
    let pid_file = sub.get_one::<String>("pid").or_else(|| m.get_one("pid").filter(|_| given(m, "pid")));
    let namespace = sub.get_one::<String>("namespace").or_else(|| m.get_one("namespace"));
    let pid_file = match (pid_file, namespace) {
        (Some(file), _) => file.into(),
        (None, Some(name)) if is_name(name) => pid_file_in(name),
        (None, Some(name)) => return Err(no_name(name)),
        (None, None) => DEFAULT_PID_FILE.into(),
    };
    let ask = Ask { request, pid_file, dry_run: None, format: Format::default(), out: String::new() };
    if request == Request::Record {
        let out = sub.get_one::<String>("output").cloned().unwrap_or_default();
        return Ok(Some((Ask { out, ..ask }, Reading::default())));
    }
    if request == Request::Status {
        let word = sub.get_one::<String>("format");
        let format = FORMATS.into_iter().find(|f| word.is_some_and(|w| w == f.0)).map_or(Format::Text, |f| f.1);
        return Ok(Some((Ask { format, ..ask }, Reading::default())));
    }
    if request != Request::Reload {
        return Ok(Some((ask, Reading::default())));
    }
    let how = report(sub)?;
    Ok(Some(match sub.get_flag("dry-run") {
        false if sub.get_flag("force") => (Ask { request: Request::ForceReload, ..ask }, how),
        false => (ask, how),
        true => {
            let file = sub.get_one::<String>("config").cloned();
            (Ask { request: Request::Image, dry_run: Some(file), ..ask }, how)
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::super::{Parsed, parse};
    use super::*;
    use crate::exit::ExitCode;
    use std::ffi::OsString;

    fn of(line: &str) -> Parsed {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn questions() {
        let ask = |line: &str| match of(line) {
            Parsed::Ask(ask, _) => (ask.request, ask.pid_file.display().to_string(), ask.dry_run),
            other => panic!("{line}: {other:?}"),
        };
        let default = || DEFAULT_PID_FILE.to_owned();
        assert_eq!(ask("kalived reload"), (Request::Reload, default(), None));
        assert_eq!(ask("kalived upgrade -p /x.pid"), (Request::Upgrade, "/x.pid".into(), None));
        assert_eq!(ask("kalived -p /x.pid stop"), (Request::Stop, "/x.pid".into(), None));
        assert_eq!(ask("kalived status --pid=/y.pid"), (Request::Status, "/y.pid".into(), None));
        let format = |line: &str| if let Parsed::Ask(ask, _) = of(line) { Some(ask.format) } else { None };
        assert_eq!(format("kalived status"), Some(Format::Text));
        assert_eq!(format("kalived status --format=json"), Some(Format::Json));
        assert_eq!(
            (format("kalived status --format openmetrics"), format("kalived status --format=x")),
            (Some(Format::OpenMetrics), None)
        );
        assert_eq!(ask("kalived handover").0, Request::Handover);
        assert_eq!(ask("kalived record -p /x.pid -o y"), (Request::Record, "/x.pid".into(), None));
        assert_eq!(ask("kalived reload --force").0, Request::ForceReload);
        assert_eq!(ask("kalived reload --dry-run"), (Request::Image, default(), Some(None)));
        assert_eq!(ask("kalived reload --dry-run -f x").2, Some(Some("x".into())));
        for wrong in [
            "kalived reload -f x",
            "kalived stop --dry-run",
            "kalived reload --force --dry-run",
            "kalived stop --force",
            "kalived relaod",
            "kalived reload now",
        ] {
            assert!(matches!(of(wrong), Parsed::Say(_, ExitCode::Fatal)), "{wrong}");
        }
        assert!(matches!(of("kalived reload --help"), Parsed::Say(text, ExitCode::Ok) if text.contains("--dry-run")));
    }
}
