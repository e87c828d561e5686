//! A file so large that its virtual routers start before its virtual servers are read (`src/config/quick.rs`). Read first: `../lab/mod.rs`.

use crate::guard::ask;
use crate::lab::daemon::{Conf, State, VIP, stand_in};
use crate::lab::{Lab, until_true};
use kalived::exit::ExitCode;

/// So many virtual servers with a real server each, without checks.
fn servers(count: usize) -> String {
    let one = |n: usize| {
        format!(
            "virtual_server 10.9.{}.{} 80 {{\n    lb_algo rr\n    lb_kind NAT\n    protocol TCP\n    delay_loop 60\n    real_server 10.8.0.1 80 {{\n        \
             weight 1\n    }}\n}}\n",
            n / 250,
            n % 250 + 1
        )
    };
    (0..count).map(one).collect()
}

#[test]
fn the_virtual_servers_of_a_large_file_follow_its_virtual_routers() {
    if stand_in() {
        return;
    }
    let Some(lab) = Lab::new("large file") else { return };
    let host = lab.host("a", 20);
    let text = Conf::v3(150).text() + &servers(2_000);
    assert!(text.len() > 256 << 10);
    let daemon = lab.start_program(crate::lab::daemon::under_test(), &host, &text);
    daemon.await_state(State::Master);
    until_true("the address", || host.holds(VIP));
    // The last one of the file; it has a quorum only where the kernel has IPVS.
    until_true("its virtual servers", || ask(&daemon, "status").1.contains("(virtual_server [10.9.7.250]:tcp:80)"));
    assert_eq!(daemon.lines_with("eload"), [""; 0], "it is no reload");
    // A reload compares with the whole file.
    std::fs::write(daemon.conf(), Conf::v3(150).text() + &servers(1_999)).expect("the lab's directory is writable");
    daemon.signal("HUP");
    daemon.await_line("Removing Virtual Server [10.9.7.250]:tcp:80");
    assert_eq!(daemon.lines_with("Removing Virtual Server").len(), 1, "{}", daemon.log());
    assert_eq!(daemon.times(State::Master), 1);
}

#[test]
fn a_large_file_with_a_mistake_that_forbids_a_start_starts_nothing() {
    if stand_in() {
        return;
    }
    let Some(lab) = Lab::new("large broken file") else { return };
    let host = lab.host("a", 20);
    for broken in ["    quorum\n", "    protocol {\n"] {
        let text = Conf::v3(150).text() + &servers(2_000) + &servers(1).replace("    delay_loop 60\n", broken);
        let mut daemon = lab.start_program(crate::lab::daemon::under_test(), &host, &text);
        assert_eq!(daemon.await_exit().code(), Some(ExitCode::Config as i32), "{}", daemon.log());
        assert!(!daemon.log().contains("MASTER"), "{}", daemon.log());
    }
}
