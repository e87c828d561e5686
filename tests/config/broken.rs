//! Files with broken structure: the messages, their places and remedies; and how much of the rest is still read.

use super::common::{One, instance, short, text};
use kalived::config::{check_interfaces, load};
use kalived::exit::ExitCode;

/// A whole small instance; `{}` is the place of the damage.
fn page(damage: &str) -> String {
    format!("vrrp_instance A {{\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {{\n10.0.0.1\n}}\n{damage}}}\n")
}

#[track_caller]
fn says(file: &str, want: &[&str]) {
    let loaded = text(file);
    // The help for a keyword without effect yet is always the same.
    let cut =
        |m: String| if m.contains("but it has no effect") { m.split(" | ").next().unwrap_or("").to_owned() } else { m };
    let got: Vec<String> = short(&loaded).into_iter().map(cut).collect();
    assert_eq!(got, want, "\n{}", loaded.render(false));
}

const READS_ON: &str = "the block must end before this line; kalived reads on as if it did";
const AT_END: &str = "close the block; kalived reads it as if it ended here";

#[test]
fn braces() {
    // The last block is not closed.
    let file = page("").replace("10.0.0.1\n}\n}", "10.0.0.1\n}");
    says(
        &file,
        &[&format!(
            "6:1 error: missing `}}` at the end of the file | {AT_END} | 1:1 block `vrrp_instance A` opened here"
        )],
    );
    // A block inside is not closed, seen at the next instance.
    let file = page("").replace("10.0.0.1\n}", "10.0.0.1") + &page("").replace("A {", "B {").replace("_id 1", "_id 2");
    says(
        &file,
        &[&format!(
            "7:1 error: missing `}}` before this line: `vrrp_instance` cannot stand inside an open block | {READS_ON} | 1:1 block `vrrp_instance A` opened here"
        )],
    );
    assert_eq!(text(&file).config.instances.len(), 2);
    // The block that is not closed is found by a keyword of the outer one; nothing else is affected.
    let file = page("authentication {\nauth_type PASS\nauth_pass 1\npriority 7\nadvert_int 3\n");
    says(
        &file,
        &[&format!(
            "10:1 error: missing `}}` before this line: `priority` cannot stand inside an open block | {READS_ON} | 7:1 block `authentication` opened here"
        )],
    );
    assert_eq!(text(&file).config.instances[0].priority, 7);
    assert_eq!(text(&file).config.instances[0].advert_int.as_secs(), 3);
    // The same word in a file whose braces balance is only a misplaced word.
    let file = page("authentication {\nauth_type PASS\npriority 7\nauth_pass 1\n}\n");
    says(&file, &["9:1 error: `priority` cannot stand in authentication | `priority` belongs inside vrrp_instance"]);
    // Too many.
    says(
        &(page("") + "}\n}\n" + &page("").replace("A {", "B {").replace("_id 1", "_id 2")),
        &[
            "8:1 error: `}` without a block that is open | remove it, or add the `{` that belongs to it",
            "9:1 error: `}` without a block that is open | remove it, or add the `{` that belongs to it",
        ],
    );
    // The opening one is missing.
    let file = page("").replace("virtual_ipaddress {", "virtual_ipaddress");
    let help = "a block is opened by `{` on the same or the next line; kalived reads on as if it were there";
    says(&file, &[&format!("4:1 error: missing `{{` after `virtual_ipaddress` | {help}")]);
    assert_eq!(text(&file).config.instances[0].vips.len(), 1);
    let file = page("").replace("vrrp_instance A {", "vrrp_instance A");
    says(&file, &[&format!("1:1 error: missing `{{` after `vrrp_instance A` | {help}")]);
    // What follows belongs to the outer block: the inner one is only missing.
    let file = page("authentication\npriority 5\nvirtual_ipaddress_excluded\nadvert_int 2\n");
    says(
        &file,
        &[
            "7:1 error: `authentication` needs a block in braces; ignored | write `authentication { auth_type ... auth_pass ... }`",
            "9:1 error: `virtual_ipaddress_excluded` needs a block in braces; ignored | write `virtual_ipaddress_excluded { <address line> ... }`",
        ],
    );
    assert_eq!(
        (text(&file).config.instances[0].priority, text(&file).config.instances[0].advert_int.as_secs()),
        (5, 2)
    );
    // A brace alone.
    says(&page("{\nx\n}\n"), &["7:1 error: `{` without a keyword: this block is ignored"]);
    says(&page("priority 5 {\n}\n"), &["7:12 error: `priority` takes no block; what is in the braces is ignored"]);
    says(
        &page("authentication\n"),
        &[
            "7:1 error: `authentication` needs a block in braces; ignored | write `authentication { auth_type ... auth_pass ... }`",
        ],
    );
}

#[test]
fn nesting_without_end() {
    let loaded = text(&("x {\n".repeat(50_000) + &"}\n".repeat(50_000) + &page("")));
    assert_eq!(
        short(&loaded),
        [
            "1:1 error: unknown keyword `x` at the top level; its block is ignored",
            "17:3 error: more than 16 blocks inside each other: ignored",
        ]
    );
    assert_eq!(loaded.config.instances.len(), 1);
}

#[test]
fn words() {
    says(
        &page("prioirty 5\nadvert_int 2\n"),
        &[
            "7:1 error: unknown keyword `prioirty` in vrrp_instance | did you mean `priority`? Without it: 100; 255 if state MASTER",
        ],
    );
    says(
        &page("Priority 5\n"),
        &[
            "7:1 error: unknown keyword `Priority` in vrrp_instance | did you mean `priority`? Without it: 100; 255 if state MASTER",
        ],
    );
    says(
        &page("priority\u{a0}5\n"),
        &[
            "7:1 error: unknown keyword `priority\u{a0}5` in vrrp_instance | it contains U+00A0 (no-break blank): write a plain blank; did you mean `priority`, followed by a blank? Without it: 100; 255 if state MASTER",
        ],
    );
    says(
        &page("priority=5\n"),
        &[
            "7:1 error: unknown keyword `priority=5` in vrrp_instance | keyword and value are separated by a blank: write `priority 5`",
        ],
    );
    says(
        &page("virtual _ipaddress {\n10.0.0.2\n}\n"),
        &[
            "7:1 error: unknown keyword `virtual` in vrrp_instance; its block is ignored | did you mean `virtual_ipaddress`, without the blank?",
        ],
    );
    says(
        &page("frobnicate {\nstate X\n{\n}\n}\npriority 5\n"),
        &["7:1 error: unknown keyword `frobnicate` in vrrp_instance; its block is ignored"],
    );
    says(
        &page("router_id x\n"),
        &["7:1 error: `router_id` cannot stand in vrrp_instance | `router_id` belongs inside global_defs"],
    );
    says(
        &(page("") + "global_defs {\nlvs_id x\nroute_id y\n}\n"),
        &[
            "9:1 error: unknown keyword `lvs_id` in global_defs | keepalived dropped `lvs_id` long ago; it is `router_id` now",
            "10:1 error: unknown keyword `route_id` in global_defs | did you mean `router_id`? Without it: the host name",
        ],
    );
    says(
        &(page("") + "track_script {\nx\n}\n"),
        &[
            "8:1 error: `track_script` cannot stand at the top level; its block is ignored | `track_script` belongs inside vrrp_instance or vrrp_sync_group",
        ],
    );
    says(
        &(page("") + "priority 5\n"),
        &["8:1 error: `priority` cannot stand at the top level | `priority` belongs inside vrrp_instance"],
    );
    says(
        &(page("")
            + "virtual_server 1.2.3.4 80 {\nlb_alg rr\nprotocol TCP\nlb_kind NAT\nlb_algo wrr\nreal_server 1.2.3.5 80 {\nTCP_CHEK {\nx\n}\n}\n}\n"),
        &[
            "9:1 error: unknown keyword `lb_alg` in virtual_server | did you mean `lb_algo`? Without it: wlc",
            "14:1 error: unknown keyword `TCP_CHEK` in real_server; its block is ignored | did you mean `TCP_CHECK`?",
        ],
    );
    says(&page("priority 5 6\n"), &["7:12 note: more words than the keyword takes: ignored"]);
    says(
        &page("priority 5\npriority 6\n"),
        &["8:1 note: `priority` a second time in this block: the last one counts | 7:1 before here"],
    );
    says(&page("priority\n"), &["7:1 fatal: `priority` without a value | write `priority <1..255>`"]);
}

#[test]
fn text_that_is_none() {
    says(&page("auth\0x\npriority 5\n"), &["7:5 error: a NUL byte: the line is ignored | is this a text file?"]);
    says(
        &page("notify \"/bin/x\n"),
        &["7:8 error: unclosed quote | a quoted text ends on the line on which it starts; add the closing \""],
    );
    let page_with = |bytes: &[u8]| super::common::bytes(&[b"vrrp_instance A {\n", bytes, b"\n}\n"].concat());
    assert!(
        short(&page_with(b"pri\xffrity 5")).contains(
            &"2:1 error: unknown keyword `pri\u{FFFD}rity` in vrrp_instance | did you mean `priority`? Without it: 100; 255 if state MASTER"
                .into()
        )
    );
    assert!(
        short(&page_with(b"\xff\xfe 5")).contains(
            &"2:1 error: unknown keyword `\u{FFFD}\u{FFFD}` in vrrp_instance | the word holds bytes that are not UTF-8"
                .into()
        )
    );
    let pass = page_with(b"authentication {\nauth_type PASS\nauth_pass \xff\n}");
    assert!(
        short(&pass).contains(
            &"4:11 fatal: `auth_pass` holds bytes that are not UTF-8 | write it in UTF-8, best in ASCII".into()
        )
    );
    // A binary file: the number of messages is bounded, and no control character reaches the terminal.
    let binary: Vec<u8> = (0..200_000u32).map(|i| ((i.wrapping_mul(2_654_435_761) >> 13) as u8).max(1)).collect();
    let out = super::common::bytes(&binary).render(false);
    assert!(out.len() < 200_000, "{}", out.len());
    assert!(!out.chars().any(|c| c.is_control() && c != '\n'));
    assert!(out.lines().any(|l| l.starts_with("  and ") && l.contains(" more like it: ")), "{out}");
}

#[test]
fn instances() {
    says(
        "vrrp_instance A {\nvirtual_ipaddress {\n10.0.0.1\n}\n}\n",
        &[
            "1:1 fatal: vrrp_instance `A` has no interface | add `interface <name>`; only unicast peers with `unicast_src_ip` can do without",
            "1:1 fatal: vrrp_instance `A` has no virtual_router_id | add `virtual_router_id <1..255>`, the same on all routers of this group",
        ],
    );
    for bad in ["0", "256", "x", "5x"] {
        let loaded = text(&page("").replace("_id 1", &format!("_id {bad}")));
        assert_eq!(loaded.fatal(), Some(ExitCode::Config), "{bad}");
        assert!(short(&loaded)[0].starts_with("3:19 fatal: "), "{:?}", short(&loaded));
    }
    says(
        &(page("") + &page("").replace("A {", "B {")),
        &[
            "10:19 fatal: virtual_router_id 1 is used twice on eth0 for IPv4 | give one of them another virtual_router_id, on all its routers | 3:19 first used here",
        ],
    );
    // Same VRID on another interface or for IPv6: two virtual routers.
    says(&(page("") + &page("").replace("A {", "B {").replace("eth0", "eth1")), &[]);
    says(&(page("") + &page("").replace("A {", "B {").replace("10.0.0.1", "fe80::1/64")), &[]);
    says(
        &(page("") + &page("").replace("_id 1", "_id 2")),
        &[
            "8:1 error: a second vrrp_instance `A`: this block is ignored | give it another name | 1:1 the first one is here",
        ],
    );
    says(
        &page("").replace("vrrp_instance A", "vrrp_instance"),
        &["1:1 fatal: `vrrp_instance` without a value | write `vrrp_instance <name> { ... }`"],
    );
    says(&page("").replace("eth0", "lo"), &["2:11 fatal: VRRP cannot run on the loopback interface"]);
    says(
        &page("").replace("eth0", "interface-too-long"),
        &[
            "2:11 fatal: no interface can have the name `interface-too-long`; ignored | a name has 1 to 15 bytes, without blanks, / and :",
        ],
    );
    says(
        &page("version 3\n").replace("10.0.0.1\n", ""),
        &[
            "1:1 fatal: vrrp_instance `A` has no virtual_ipaddress, which version 3 needs | add an address to `virtual_ipaddress`, or say `no_virtual_ipaddress`",
        ],
    );
    says(
        &page("").replace("10.0.0.1\n", ""),
        &[
            "1:1 warning: vrrp_instance `A` has no virtual_ipaddress | add an address to `virtual_ipaddress`, or say `no_virtual_ipaddress`",
        ],
    );
    says(
        &page("version 2\n").replace("10.0.0.1", "fe80::1/64"),
        &["7:9 error: version 2 has no IPv6: version 3 is used | remove `version 2`"],
    );
    says(
        &page("authentication {\nauth_type PASS\n}\n"),
        &[
            "8:11 error: `auth_pass` is missing: adverts of `A` are not authenticated | add `auth_pass <at most 8 bytes>`",
        ],
    );
    says(
        &page("authentication {\nauth_pass x\n}\n"),
        &["7:1 error: `auth_type` is missing: adverts of `A` are not authenticated | add `auth_type PASS`"],
    );
    says(
        &page("authentication {\nauth_type pass\nauth_pass x\n}\n"),
        &["8:11 error: unknown auth_type `pass`: adverts are not authenticated | PASS or AH, in capitals"],
    );
    says(
        &page("unicast_peer {\n}\n"),
        &[
            "7:1 warning: `unicast_peer` without a peer: adverts go to the multicast group, or with `unicast_fault_no_peer` the instance is in FAULT",
        ],
    );
}

/// Trap 69: an address of the other family in a block; trap 55: one link-local address twice (above).
#[test]
fn addresses() {
    let vip = |line: &str, want: &[&str]| says(&page("").replace("10.0.0.1", &format!("10.0.0.1\n{line}")), want);
    let other = "move it to `virtual_ipaddress_excluded` of this instance, or make a second vrrp_instance for IPv6";
    vip(
        "fe80::1",
        &[&format!("6:1 error: fe80::1 in an IPv4 instance: adverts carry one address family only; ignored | {other}")],
    );
    vip(
        "10.0.0.1/24",
        &["6:1 error: 10.0.0.1 stands twice in this instance; adverts have it as often | 5:1 first here"],
    );
    vip("10.0.0.1 dev eth1", &[]);
    vip(
        "10.0.0.2 10.0.0.3",
        &["6:10 error: unknown word `10.0.0.3` in an address line; ignored | one address per line"],
    );
    vip(
        "10.0.0.300",
        &[
            "6:1 error: `10.0.0.300` is not an IP address; the line is ignored | an IPv4 address has four numbers of 0..255, with points between them",
        ],
    );
    vip("10.0.0.2/33", &["6:1 error: bad prefix length in `10.0.0.2/33`: /32 is used | allowed: 0..32"]);
    vip(
        "10.0.0.2/24,",
        &["6:1 error: bad prefix length in `10.0.0.2/24,`: /24 is used | one address per line, without `,`"],
    );
    vip("10.0.0.2/", &["6:1 error: bad prefix length in `10.0.0.2/`: /32 is used | allowed: 0..32"]);
    vip("224.0.0.1", &["6:1 error: `224.0.0.1` cannot be the address of a host; the line is ignored"]);
    vip("0.0.0.0", &["6:1 error: `0.0.0.0` cannot be the address of a host; the line is ignored"]);
    vip("10.0.0.2 dev", &["6:10 error: `dev` without a value; ignored | write `dev <if>`"]);
    vip(
        "10.0.0.2 lable x",
        &[
            "6:10 error: unknown word `lable` in an address line; ignored | did you mean `label`?",
            "6:16 error: unknown word `x` in an address line; ignored",
        ],
    );
    vip("10.0.0.2 label a-label-of-15by", &[]);
    vip(
        "10.0.0.2 label a-label-too-long-by-far",
        &["6:16 error: label `a-label-too-long-by-far` has not 1 to 15 bytes; ignored"],
    );
    vip(
        "10.0.0.2/32 brd +",
        &[
            "6:17 warning: a /32 has no broadcast address; ignored | write the prefix length of the network, for example /24",
        ],
    );
    vip("10.0.0.2/24 brd x", &["6:17 error: `x` is not an IPv4 address; ignored | an address, + or -"]);
    vip(
        "10.0.0.2 scope wide",
        &["6:16 error: unknown scope `wide`; ignored | global, site, link, host, nowhere or 0..255"],
    );
    vip("10.0.0.2 peer fe80::1", &["6:15 error: the peer is of the other address family; ignored"]);
    vip("10.0.0.2 home", &["6:1 warning: `home` needs an IPv6 address: it is ignored"]);
    vip("10.0.0.2 preferred_lft 30", &["6:24 note: a limited `preferred_lft` is not supported yet: forever is used"]);
    vip(
        "10.0.0.2 {",
        &[
            "6:10 error: an address line takes no block; what is in the braces is ignored",
            &format!(
                "8:1 error: missing `}}` at the end of the file | {AT_END} | 1:1 block `vrrp_instance A` opened here"
            ),
        ],
    );
    says(
        &page("").replace("10.0.0.1", "fe80::1/64 label x brd +"),
        &[
            "5:18 error: IPv6 addresses have no label; ignored",
            "5:24 error: IPv6 addresses have no broadcast address; ignored",
        ],
    );
}

#[test]
fn files() {
    let missing = load(&One(Vec::new()), "/etc/no.conf");
    assert_eq!(
        missing.render(false),
        "/etc/no.conf:1:1: fatal: cannot read the configuration: No such file or directory\n  help: create the file, or name another one with --config\n"
    );
    for (file, text_) in [
        (missing, None),
        (text(""), Some("the configuration is empty")),
        (text("# nothing\n\n  ! here\n"), Some("the configuration is empty")),
    ] {
        assert_eq!((file.fatal(), file.config_test_exit()), (Some(ExitCode::NoConfig), ExitCode::NoConfig));
        assert!(short(&file)[0].starts_with("1:1 fatal: "));
        assert!(short(&file)[0].contains(text_.unwrap_or("")));
    }
    // What cannot be run fails a test.
    for file in ["global_defs {\n}\n", "x\n"] {
        let loaded = text(file);
        assert_eq!(
            (loaded.fatal(), loaded.config_test_exit()),
            (Some(ExitCode::Config), ExitCode::ConfigTest),
            "{file}"
        );
        assert!(short(&loaded).iter().any(|m| m.starts_with("1:1 fatal: nothing to run: ")), "{file}");
    }
}

#[test]
fn interfaces_of_this_machine() {
    let loaded = instance("track_interface {\neht1\n}\nvirtual_ipaddress_excluded {\n10.0.0.2 dev wan\n}");
    let have = ["eth0", "eth1"];
    let diags = check_interfaces(&loaded, &|n| have.contains(&n), &have);
    assert_eq!(
        loaded.render_these(&diags, false),
        "k.conf:7:1: warning: interface `eht1` of vrrp_instance V does not exist [interface-missing]\n     7 | eht1\n       | ^^^^\n\
         \x20 help: did you mean `eth1`? otherwise kalived waits until `eht1` appears\n\
         k.conf:10:14: warning: interface `wan` of vrrp_instance V does not exist [interface-missing]\n    10 | 10.0.0.2 dev wan\n       |              ^^^\n\
         \x20 help: kalived waits until `wan` appears\n"
    );
}
