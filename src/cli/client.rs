//! `kalived reload` and the other requests: connect, send one request, wait for the answer, print it.
//!
//! Exit codes: 0 done, 1 refused or failed, 3 no kalived runs (as in LSB init scripts). Read first: `process/request.rs`; `guard/ctl.rs`,
//! the other side.

use super::{Ask, Format, elsewhere, metrics, recordings, status, tools};
use crate::config::image;
use crate::exit::ExitCode;
use crate::process::reading::Reading;
use crate::process::report;
use crate::process::request::{self, MAX_ANSWER, Request};
use crate::report::{Daemon, Report};
use crate::sys::{clock, lockfile, unixsock};
use crate::time::Duration;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The longest wait for an answer: a reload of the largest known file takes a tenth of it; a stop at most 10 s.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// No process listens: no kalived runs there.
    NotRunning,
    /// Any other reason, as a sentence.
    Other(String),
}

/// The answer: whether the request succeeded, a text, and a file descriptor where one was requested.
pub type Answer = (bool, String, Option<OwnedFd>);

/// Sends a request to the kalived that listens at `socket`, and waits for its answer at most `limit`.
pub fn exchange(socket: &Path, what: Request, limit: Duration) -> Result<Answer, Failure> {
    let other = |e: io::Error| {
        Failure::Other(match e.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                format!("no answer within {} s; what became of it is in the log", limit.as_secs())
            }
            io::ErrorKind::PermissionDenied => {
                format!("{}: permission denied: root and the user kalived runs as may ask", socket.display())
            }
            _ => format!("{}: {e}", socket.display()),
        })
    };
    let fd = unixsock::connect(socket, limit).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            use std::os::unix::fs::FileTypeExt;
            match std::fs::symlink_metadata(socket) {
                Ok(m) if !m.file_type().is_socket() => Failure::Other(format!(
                    "{} is not a socket: a kalived that started beside it could not listen there; remove it and restart",
                    socket.display()
                )),
                _ => Failure::NotRunning,
            }
        }
        _ => other(e),
    })?;
    // A refusal may come before the request is sent, and the connection may end with it: the answer contains the reason, not the send.
    let sent = unixsock::send(fd.as_fd(), what.word().as_bytes(), None);
    let mut buf = vec![0; MAX_ANSWER];
    let (n, gift) = loop {
        match unixsock::recv_with_fd(fd.as_fd(), &mut buf) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(other(sent.err().unwrap_or(e))),
            Ok(got) => break got,
        }
    };
    match request::decode(buf.get(..n).unwrap_or_default()) {
        Some((ok, text)) => Ok((ok, text, gift)),
        None if n == 0 => Err(Failure::Other("it ended without an answer; what became of it is in the log".to_owned())),
        None => Err(Failure::Other("an answer that makes no sense: is that another version of kalived?".to_owned())),
    }
}

/// The kalived that is asked does not listen and holds no lock. `others`: all that run, with their pid files.
fn not_running(pid_file: &Path, others: &[(u32, PathBuf)]) -> String {
    let at = pid_file.display();
    let absolute = std::path::absolute(pid_file).unwrap_or(pid_file.to_owned());
    if let Some((pid, _)) = others.iter().find(|(_, file)| *file == absolute || file == pid_file) {
        return format!("the kalived with the pid file {at} (process {pid}) is starting or ending: try again");
    }
    let one = |(pid, file): &(u32, PathBuf)| format!("; process {pid} runs with `-p {}`", file.display());
    format!("no kalived runs with the pid file {at}{}", others.iter().map(one).collect::<String>())
}

/// Executes the whole command.
pub fn run(ask: &Ask, how: &Reading) -> ExitCode {
    let socket = request::socket_path(&ask.pid_file);
    let (ok, text, gift) = match exchange(&socket, ask.request, LIMIT) {
        Ok(answer) => answer,
        Err(Failure::NotRunning) => {
            let lock = lockfile::lock_path(&ask.pid_file);
            if lockfile::runs(&lock) {
                say(&format!(
                    "a kalived runs with the pid file {} ({} is locked), but it does not listen at {}; its log says why",
                    ask.pid_file.display(),
                    lock.display(),
                    socket.display()
                ));
                return ExitCode::Fatal;
            }
            say(&not_running(&ask.pid_file, &elsewhere::running()));
            return ExitCode::NotRunning;
        }
        Err(Failure::Other(why)) => {
            say(&why);
            return ExitCode::Fatal;
        }
    };
    if !ok {
        say(&text);
        return ExitCode::Fatal;
    }
    if ask.request == Request::Status {
        return show(&text, gift, ask.format);
    }
    if ask.request == Request::Record {
        let saved = gift.ok_or("the recording did not come with the answer".to_owned());
        return match saved.and_then(|fd| recordings::save(fd, &ask.out)) {
            Ok(text) => {
                let _ = writeln!(io::stdout(), "{}", tools::visible(&text));
                ExitCode::Ok
            }
            Err(why) => {
                say(&why);
                ExitCode::Fatal
            }
        };
    }
    let Some(file) = &ask.dry_run else {
        if !text.is_empty() {
            // A reader that closed the pipe early is no failure: the request succeeded.
            let _ = writeln!(io::stdout(), "{}", tools::visible(text.trim_end()));
        }
        return ExitCode::Ok;
    };
    // The answer with the image contains the name of the file that the image was made from.
    let file = file.as_deref().unwrap_or(text.trim_end());
    let running =
        gift.ok_or("the configuration that runs did not come with the answer".to_owned()).and_then(read_image);
    match running {
        Ok(running) => tools::dry_run(&running, file, how),
        Err(why) => {
            say(&why);
            ExitCode::Fatal
        }
    }
}

/// Prints a report: the processes as text, the rest in the file. A running kalived 0.1.0 sends lines for people and no file.
fn show(text: &str, report: Option<OwnedFd>, format: Format) -> ExitCode {
    clock::load_zone();
    let read = match (serde_json::from_str::<Daemon>(text), report) {
        (Err(_), None) if format == Format::Text => Ok(text.trim_end().to_owned()),
        (Err(_), _) => Err("the kalived that runs is of an older version: `kalived upgrade` first".to_owned()),
        (Ok(daemon), report) => {
            let report = report.map_or(Ok(Report::default()), |fd| report::read(&File::from(fd)));
            report.map(|r| Report { daemon, ..r }).and_then(|r| render(&r, format))
        }
    };
    match read {
        Ok(text) => {
            let text = text.trim_end();
            let shown = if format == Format::Json { tools::visible_json(text) } else { tools::visible(text) };
            // A reader that closed the pipe early is no failure.
            let _ = writeln!(io::stdout(), "{shown}");
            ExitCode::Ok
        }
        Err(why) => {
            say(&why);
            ExitCode::Fatal
        }
    }
}

fn render(report: &Report, format: Format) -> Result<String, String> {
    match format {
        Format::Text => Ok(status::render(report, clock::utc_offset)),
        Format::Json => serde_json::to_string_pretty(report).map_err(|e| e.to_string()),
        Format::OpenMetrics => Ok(metrics::render(report)),
    }
}

fn read_image(fd: OwnedFd) -> Result<crate::config::model::Config, String> {
    let file = File::from(fd);
    let wrong = |e: &dyn std::fmt::Display| format!("the image of the configuration that runs cannot be read: {e}");
    let len = file.metadata().map_err(|e| wrong(&e))?.len();
    let len = usize::try_from(len).ok().filter(|n| *n <= image::MAX_IMAGE).ok_or_else(|| wrong(&"it is too large"))?;
    let mut bytes = vec![0; len];
    // Read at a position: the file offset is shared with the process that sent the descriptor.
    file.read_exact_at(&mut bytes, 0).map_err(|e| wrong(&e))?;
    image::decode(&bytes).map_err(|e| wrong(&e))
}

fn say(text: &str) {
    let _ = writeln!(io::stderr(), "kalived: {}", tools::visible(text.trim_end()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kalived_that_does_not_listen_is_told_from_none_and_from_others() {
        let says = |others: &[(u32, &str)]| {
            let others: Vec<(u32, PathBuf)> = others.iter().map(|(pid, file)| (*pid, file.into())).collect();
            not_running(Path::new("/run/k.pid"), &others)
        };
        assert_eq!(says(&[]), "no kalived runs with the pid file /run/k.pid");
        assert_eq!(
            says(&[(7, "/run/a.pid"), (9, "/run/b.pid")]),
            "no kalived runs with the pid file /run/k.pid; process 7 runs with `-p /run/a.pid`; process 9 runs with `-p /run/b.pid`"
        );
        let starting = "the kalived with the pid file /run/k.pid (process 9) is starting or ending: try again";
        assert_eq!(says(&[(7, "/run/a.pid"), (9, "/run/k.pid")]), starting);
    }
}
