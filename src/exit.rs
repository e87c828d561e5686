//! Exit codes: the one list. The man page's table and `--help` follow from [`ExitCode::ALL`] (tested).
//!
//! keepalived's numbers where it has one, so that units and scripts written for it keep working.

/// The exit code of a process, by the reason why it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[derive(serde::Serialize, serde::Deserialize)]
pub enum ExitCode {
    /// Asked to stop, and stopped; or the tested configuration has no fault.
    Ok = 0,
    /// Could not go on: the ring, a socket, a clock; or the command line is wrong; or a running kalived refused what it was asked.
    Fatal = 1,
    /// The configuration cannot be run: duplicate VRID, missing virtual_router_id, nothing to run.
    Config = 2,
    /// `kalived reload` and its like: there is no kalived to ask.
    NotRunning = 3,
    /// A permission is missing (CAP_NET_RAW, CAP_NET_ADMIN).
    Permission = 4,
    /// `--config-test`: the configuration has mistakes; each was printed.
    ConfigTest = 5,
    /// The configuration file does not exist, cannot be read, or is empty. `--config-test`: scripts that run as root can be
    /// changed by others, and nothing else is wrong (keepalived gives both the same number).
    NoConfig = 6,
    /// io_uring is missing or forbidden on this system, or there is no memory for it.
    NoUring = 7,
    /// A fault inside kalived itself.
    Internal = 70,
}

impl ExitCode {
    /// Every code with the text the man page prints.
    pub const ALL: &'static [(ExitCode, &'static str)] = &[
        (ExitCode::Ok, "stopped as asked; or the tested configuration has no mistake"),
        (ExitCode::Fatal, "could not start or go on, or a wrong command line; or what was asked was refused or failed"),
        (ExitCode::Config, "the configuration cannot be run, for example a VRID used twice, or nothing to run"),
        (ExitCode::NotRunning, "reload, upgrade, handover, stop, status or record: no kalived runs with this pid file"),
        (ExitCode::Permission, "a permission is missing: CAP_NET_RAW and CAP_NET_ADMIN are needed"),
        (ExitCode::ConfigTest, "--config-test found mistakes and printed each"),
        (
            ExitCode::NoConfig,
            "the configuration file is missing, unreadable or empty; --config-test: scripts are insecure",
        ),
        (ExitCode::NoUring, "io_uring is missing, too old or forbidden, or there is too little locked memory for it"),
        (ExitCode::Internal, "a fault inside kalived; please report it"),
    ];
}
