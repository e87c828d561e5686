//! The program. Read `cli.rs` for the options, `start.rs` for the start, `daemon/mod.rs` for the loop.

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    kalived::start::program().into()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("kalived needs Linux: io_uring, rtnetlink and raw sockets");
    std::process::exit(1);
}
