//! Ordinary files in different forms: each is read without a message, and to the same model.

use super::common::{bytes, clean, short, text};
use kalived::exit::ExitCode;

const PLAIN: &str = "vrrp_instance V {
    interface eth0
    virtual_router_id 5
    virtual_ipaddress {
        10.0.0.1/24
    }
}
";

#[test]
fn one_meaning_in_many_shapes() {
    let plain = text(PLAIN);
    let want = clean(&plain);
    let shapes: &[&str] = &[
        &PLAIN.replace('\n', "\r\n"),
        &PLAIN.replace("    ", "\t"),
        &PLAIN.replace(" {", "\n{"),
        &PLAIN.replace(" {", "{"),
        &PLAIN.replace(" {", "\n# why\n\n\t{ ! because"),
        &PLAIN.replace('\n', " # 注释 \"\n"),
        &PLAIN.replace('\n', "!x{}\n"),
        &PLAIN.replace("V {", "\"V\" {"),
        &format!("\u{FEFF}{PLAIN}"),
        PLAIN.trim_end(),
        "vrrp_instance V { interface eth0\nvirtual_router_id 5\nvirtual_ipaddress { 10.0.0.1/24 } }",
    ];
    for shape in shapes {
        let loaded = text(shape);
        let mut got = clean(&loaded).clone();
        // Only places may differ.
        got.place = want.place.clone();
        got.vips[0].place = want.vips[0].place.clone();
        assert_eq!(&got, want, "{shape}");
    }
}

#[test]
fn comments_in_any_encoding() {
    // GBK, as in tutorials.
    let loaded = bytes(&[b"# \xD6\xF7\xBB\xFA {\"\n".as_slice(), PLAIN.as_bytes()].concat());
    assert_eq!(clean(&loaded).place.line, 2);
    assert_eq!(loaded.fatal(), None);
    assert_eq!(loaded.config_test_exit(), ExitCode::Ok);
}

#[test]
fn blocks_of_virtual_servers_are_read_to_their_end() {
    let more = "virtual_server 10.0.0.1 80 { lb_algo rr
        lb_kind NAT
        protocol TCP
        real_server 1.2.3.4 80 { TCP_CHECK { retry 2 } }
        real_server 1.2.3.5 80 { MISC_CHECK { misc_path '/bin/x { # ' } notify_up \"/bin/y }\" root }
        sorry_server 1.2.3.6
    }\n";
    let loaded = text(&format!("{more}{more}{PLAIN}"));
    assert_eq!(short(&loaded), [""; 0]);
    let servers: Vec<usize> = loaded.config.virtual_servers.iter().map(|v| v.real_servers.len()).collect();
    assert_eq!(
        (loaded.config.instances.len(), &servers[..], loaded.config_test_exit()),
        (1, &[2, 2][..], ExitCode::Ok)
    );
}

#[test]
fn places_count_characters() {
    let loaded = text("vrrp_instance 实例 { 优先 1\r\n");
    assert_eq!(short(&loaded)[3], "1:20 error: unknown keyword `优先` in vrrp_instance");
}
