//! kalived.conf(5) lists every lint and every name of a message.

use kalived::config::man::messages_section;
use std::path::Path;

const BEGIN: &str =
    ".\\\" BEGIN MESSAGES, made from src/config/kind.rs and lint.rs by KALIVED_BLESS=1 cargo test --test config man\n";
const END: &str = ".\\\" END MESSAGES\n";

#[test]
fn message_sections_are_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("man/kalived.conf.5");
    let page = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = page.split_once(BEGIN).unwrap();
    let (section, tail) = rest.split_once(END).unwrap();
    let want = messages_section();
    if std::env::var_os("KALIVED_BLESS").is_some() {
        std::fs::write(&path, format!("{head}{BEGIN}{want}{END}{tail}")).unwrap();
    } else {
        assert_eq!(section, want, "run: KALIVED_BLESS=1 cargo test --test config man");
    }
}
