//! A health check that takes the way of a client: through the virtual address and IPVS, as in kalived.conf(5), EXAMPLES.
//!
//! Needs a kernel with IPVS; `scripts/test vm61` has one. Read first: `lvs.rs`.

use crate::lab::{pause, until_true};
use crate::lvs::{backend, kalived, lab, reach, sorted, table};

/// Each real server has a service of its own by a mark, and its check connects to the virtual address with that mark.
fn probed(own: &str) -> String {
    let real = |n: u32| {
        format!(
            "  real_server 198.18.0.{n} 80 {{\n    TCP_CHECK {{\n      connect_ip 10.77.6.1\n      connect_port 80\n      bindto {own}\n      \
             fwmark {n}\n      connect_timeout 2\n      retry 1\n      delay_before_retry 1\n    }}\n  }}\n"
        )
    };
    let by_mark = |n: u32| {
        format!(
            "virtual_server fwmark {n} {{\n  lb_algo rr\n  lb_kind NAT\n  real_server 198.18.0.{n} 80 {{\n  }}\n}}\n"
        )
    };
    format!(
        "{}{}virtual_server 10.77.6.1 80 {{\n  delay_loop 1\n  alpha\n  lb_algo rr\n  lb_kind NAT\n  protocol TCP\n{}{}}}\n",
        by_mark(111),
        by_mark(112),
        real(111),
        real(112)
    )
}

fn lines(up: &[u32]) -> Vec<String> {
    let mut all: Vec<String> = [111, 112]
        .iter()
        .flat_map(|n| [format!("FWM {n} rr"), format!("-> 198.18.0.{n}:80 Masq 1")])
        .chain(["TCP 10.77.6.1:80 rr".to_owned()])
        .collect();
    all.extend(up.iter().map(|n| format!("-> 198.18.0.{n}:80 Masq 1")));
    sorted(all)
}

#[test]
fn a_check_through_the_virtual_address_reaches_the_server_that_it_is_about() {
    let Some((lab, host)) = lab("a_check_through_the_virtual_address_reaches_the_server_that_it_is_about") else {
        return;
    };
    let far = lab.host("backends", 30);
    far.script("ip addr add 198.18.0.111/16 dev eth0\nip addr add 198.18.0.112/16 dev eth0\n");
    let _serves = backend(&far, "0.0.0.0");
    host.run("ip addr add 10.77.6.1/32 dev lo");
    let daemon = kalived(&lab, &host, &probed(&host.v4()));
    reach(&host, "both answer", &lines(&[111, 112]));
    let connections = host.run("ipvsadm -Lnc");
    for n in [111, 112] {
        let through = |l: &str| {
            let words: Vec<&str> = l.split_whitespace().collect();
            words.len() == 6
                && words[3].starts_with(&format!("{}:", host.v4()))
                && words[4..] == ["10.77.6.1:80".to_owned(), format!("198.18.0.{n}:80")]
        };
        assert!(connections.lines().any(through), "{n}:\n{connections}");
    }
    far.run("ip addr del 198.18.0.112/16 dev eth0");
    reach(&host, "one is gone", &lines(&[111]));
    far.run("ip addr add 198.18.0.112/16 dev eth0");
    reach(&host, "it is back", &lines(&[111, 112]));
    let (code, log) = daemon.stop();
    assert_eq!(code, Some(0), "log:\n{log}");
    until_true("an empty table", || {
        pause(200);
        table(&host).is_empty()
    });
}
