//! The manual page is true where it can be compared with the code: its table of exit codes is `ExitCode::ALL`.
//!
//! That it renders without a warning is checked by `scripts/test man`.

use kalived::exit::ExitCode;

/// roff to plain text, as far as the page needs it: escaped hyphens only.
fn plain(line: &str) -> String {
    line.replace("\\-", "-")
}

#[test]
fn exit_codes_of_the_page_are_those_of_the_program() {
    let page = include_str!("../man/kalived.8");
    let (_, section) = page.split_once(".SH EXIT STATUS\n").expect("the page has the section");
    let section = section.split("\n.SH ").next().unwrap_or_default();
    let in_page: Vec<(i32, String)> = section
        .split(".TP\n.B ")
        .filter_map(|entry| entry.trim_end().split_once('\n'))
        .filter_map(|(code, text)| Some((code.parse().ok()?, plain(text))))
        .collect();
    let in_code: Vec<(i32, String)> = ExitCode::ALL.iter().map(|(code, text)| (*code as i32, (*text).into())).collect();
    assert_eq!(in_page, in_code);
}
