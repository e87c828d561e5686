//! A second look at what is wrong: habits of other languages, characters that only look right, and the indentation as
//! a witness of where a brace was forgotten. Changes help and adds places; what a file means is decided elsewhere.
//!
//! Runs once, after everything else, and only over a bounded number of messages. Read first: `diag.rs`.

use super::diag::{Diag, Severity};
use super::keyword::nearest;
use super::source::{Sources, Span};
use core::net::Ipv4Addr;

/// Most messages looked at: more are rarely shown.
const MAX_LOOKED_AT: usize = 200;

/// Adds what a person would notice.
pub fn add(src: &Sources, diags: &mut Vec<Diag>) {
    one_nul_is_enough(src, diags);
    let mut braces_told = false;
    for d in diags.iter_mut().filter(|d| d.severity < Severity::Note).take(MAX_LOOKED_AT) {
        match d.code() {
            "missing-close-brace" | "stray-close-brace" if !braces_told => {
                if let Some((span, text)) = by_indentation(src, d.span.file, d.code() == "stray-close-brace") {
                    braces_told = true;
                    if !d.related.iter().any(|r| overlaps(r.1, span)) && !overlaps(d.span, span) {
                        d.related.push((src.place(span), span, text.to_owned()));
                    }
                }
            }
            _ => {}
        }
        if let Some(help) = better_help(src, d) {
            d.help = Some(help);
        }
    }
}

fn overlaps(a: Span, b: Span) -> bool {
    a.file == b.file && a.start < b.end && b.start < a.end
}

/// The line of a message.
fn line_of(src: &Sources, span: Span) -> &str {
    src.slice(src.line_of(span))
}

fn better_help(src: &Sources, d: &Diag) -> Option<String> {
    let code = d.code();
    let word = src.slice(d.span);
    if word.len() > 200 {
        return None;
    }
    let about_words = matches!(
        code,
        "unknown-keyword"
            | "unknown-word"
            | "not-a-number"
            | "out-of-range"
            | "bad-address"
            | "bad-prefix"
            | "extra-words"
            | "missing-open-brace"
            | "misplaced-keyword"
            | "block-not-allowed"
            | "missing-value"
            | "unknown-state"
            | "bad-choice"
            | "bad-port"
    );
    if !about_words {
        return None;
    }
    let line = line_of(src, d.span).trim();
    if line.contains("{{") || line.contains("{%") {
        return Some("this looks like a template that was not filled in".to_owned());
    }
    if ["<<<<<<<", "=======", ">>>>>>>"].iter().any(|m| word.starts_with(m)) {
        return Some("this looks like a merge conflict: keep one side and remove the marks".to_owned());
    }
    if word.starts_with("//") || word.starts_with("/*") || word.starts_with("--") || word.starts_with("<!--") {
        return Some("a comment starts with `#` or `!`".to_owned());
    }
    if word == "\\" || (code == "extra-words" && word.ends_with('\\')) {
        return Some("a line cannot be continued on the next one: write it on one line".to_owned());
    }
    if let Some(plain) = narrow(word) {
        return Some(format!("these only look like ASCII characters: write `{plain}`"));
    }
    if word.contains(['\u{201C}', '\u{201D}', '\u{201E}', '\u{2018}', '\u{2019}']) {
        return Some("typographic quotes mean nothing here: write \"".to_owned());
    }
    if code == "missing-open-brace" {
        let wrong = word.chars().last().filter(|c| matches!(c, '(' | '[' | '<' | ':'))?;
        return Some(format!("a block is opened by `{{`, not by `{wrong}`"));
    }
    if line.starts_with('[') && line.ends_with(']') {
        return Some("this is no INI file: a block is `vrrp_instance <name> { ... }`".to_owned());
    }
    if word == "-" || word.starts_with("- ") {
        return Some("this is no YAML: write `keyword value`, and blocks in braces".to_owned());
    }
    if word == "=" || (code == "unknown-keyword" && word.contains('=')) {
        return Some(format!(
            "keyword and value are separated by a blank: write `{}`",
            line.replacen('=', " ", 1).split_whitespace().collect::<Vec<_>>().join(" ")
        ));
    }
    if let Some(bare) = word.strip_suffix(';').filter(|b| !b.is_empty()) {
        return Some(format!("a line ends without `;`: write `{bare}`"));
    }
    if let Some(bare) = word.strip_suffix(',').filter(|b| !b.is_empty()) {
        return Some(match code {
            "bad-prefix" | "bad-address" => "one address per line, without `,`".to_owned(),
            _ => format!("words are separated by blanks: write `{bare}`"),
        });
    }
    // An address that is one, of the wrong kind, needs no lesson.
    let is_address = word.split('/').next().is_some_and(|a| a.parse::<core::net::IpAddr>().is_ok());
    let code = if (is_address || d.help.is_some()) && code == "bad-address" { "" } else { code };
    number(code, word).or_else(|| address(code, word)).or_else(|| keyword(code, word, line, d.help.is_some()))
}

fn number(code: &str, word: &str) -> Option<String> {
    if !matches!(code, "not-a-number" | "out-of-range") {
        return None;
    }
    if let Some((a, b)) = word.split_once(',')
        && [a, b].iter().all(|p| !p.is_empty() && p.bytes().all(|c| c.is_ascii_digit()))
    {
        return Some(format!("write {a}.{b}, with a point"));
    }
    if let Some(n) = word.strip_suffix("ms").and_then(|n| n.parse::<u32>().ok()) {
        return Some(format!("the unit is seconds and not written: {}", f64::from(n) / 1000.0));
    }
    let bare = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = word.get(bare.len()..).unwrap_or("");
    if matches!(unit, "s" | "sec" | "secs" | "second" | "seconds") && bare.parse::<f64>().is_ok() {
        return Some(format!("the unit is seconds and not written: {bare}"));
    }
    if word.starts_with('$') && word.len() > 1 {
        return Some(format!("`{word}` is not defined; a definition is a line `{word}=value`, and its use `{word}`"));
    }
    None
}

fn address(code: &str, word: &str) -> Option<String> {
    if let Some((ip, mask)) = word.split_once('/') {
        if let (Ok(_), Ok(mask)) = (ip.parse::<Ipv4Addr>(), mask.parse::<Ipv4Addr>()) {
            let ones = mask.to_bits().leading_ones();
            if mask.to_bits().count_ones() == ones {
                return Some(format!("write the netmask as a prefix length: `{ip}/{ones}`"));
            }
        }
        if code == "unknown-word" && ip.is_empty() && mask.parse::<u8>().is_ok() {
            return Some("the prefix length follows the address without a blank".to_owned());
        }
    }
    if code != "bad-address" {
        return None;
    }
    let ip = word.split('/').next().unwrap_or(word);
    Some(match ip.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        true => "an IPv4 address has four numbers of 0..255, with points between them".to_owned(),
        false if ip.contains(':') => {
            "an IPv6 address has up to eight groups of hexadecimal digits; `::` once".to_owned()
        }
        false if ip.parse::<Ipv4Addr>().is_ok() => return None,
        false => "an address is wanted here, not a name: `192.0.2.1` or `2001:db8::1`".to_owned(),
    })
}

fn keyword(code: &str, word: &str, line: &str, helped: bool) -> Option<String> {
    if code != "unknown-keyword" {
        return if code == "unknown-word" && !helped && word == "device" {
            Some("did you mean `dev`?".to_owned())
        } else {
            None
        };
    }
    if word == "HTTP_CHECK" || word == "HTTPS_GET" || word == "HTTPS_CHECK" {
        let right = if word == "HTTP_CHECK" { "HTTP_GET" } else { "SSL_GET" };
        return Some(format!("did you mean `{right}`?"));
    }
    if helped {
        return None;
    }
    let head = word.trim_end_matches(|c: char| c.is_ascii_digit());
    if head.len() < word.len() && nearest::is_known(head) {
        return Some(format!("did you mean `{head} {}`?", word.get(head.len()..).unwrap_or("")));
    }
    let next = line.split_whitespace().nth(1).unwrap_or("");
    let joined = format!("{word}_{next}");
    if nearest::is_known(&joined) {
        return Some(format!("did you mean `{joined}`?"));
    }
    None
}

/// Full-width forms as the ASCII characters they stand for.
fn narrow(word: &str) -> Option<String> {
    let one = |c: char| match c as u32 {
        n @ 0xFF01..=0xFF5E => char::from_u32(n - 0xFEE0).unwrap_or(c),
        _ => c,
    };
    let plain: String = word.chars().map(one).collect();
    (plain != word).then_some(plain)
}

/// A file with NUL bytes is not broken in one line: one message says it for all.
fn one_nul_is_enough(src: &Sources, diags: &mut Vec<Diag>) {
    let all = diags.iter().filter(|d| d.code() == "nul-byte").count();
    let Some(first) = diags.iter().position(|d| d.code() == "nul-byte") else { return };
    let file = diags.get(first).map_or(0, |d| d.span.file);
    let mut n = 0;
    diags.retain(|d| {
        n += 1;
        n <= first + 1 || d.code() != "nul-byte"
    });
    let Some(d) = diags.get_mut(first) else { return };
    if all > 1 {
        d.message = format!(
            "{} (and in {} more)",
            d.message,
            if all == 2 { "1 line".to_owned() } else { format!("{} lines", all - 1) }
        );
    }
    let text = src.file(file).map_or("", |f| f.text.as_str());
    let nuls = text.bytes().take(400).filter(|b| *b == 0).count();
    if nuls * 3 > text.len().min(400) {
        d.help = Some("this looks like UTF-16: save the file as UTF-8".to_owned());
    }
}

/// Where the braces and the indentation first tell different stories.
fn by_indentation(src: &Sources, file: u32, stray: bool) -> Option<(Span, &'static str)> {
    let text = &src.file(file)?.text;
    let mut open: Vec<(usize, Span)> = Vec::new();
    let mut offset = 0usize;
    for line in text.split_inclusive('\n') {
        let body = line.trim_start();
        let indent = line.len() - body.len();
        let code = code_of(body);
        let span =
            |from: usize, len: usize| Span { file, start: (offset + from) as u32, end: (offset + from + len) as u32 };
        let mut first = true;
        for c in code.chars().filter(|c| !c.is_whitespace()) {
            match c {
                '{' => open.push((indent, span(indent, code.trim_end().trim_end_matches('{').trim_end().len().max(1)))),
                '}' if first && !stray => {
                    let (deeper, at) = open.pop()?;
                    if deeper > indent {
                        return Some((at, "by its indentation this block has no `}`"));
                    }
                }
                '}' if first => {
                    let (outer, _) = open.pop()?;
                    if outer < indent {
                        return Some((span(indent, 1), "by its indentation this `}` closes a block too early"));
                    }
                }
                '}' => {
                    open.pop();
                }
                _ => {}
            }
            first = false;
        }
        offset += line.len();
    }
    None
}

/// Without comment and quoted text, roughly: a witness, no parser.
fn code_of(line: &str) -> &str {
    let end = line.find(['#', '!', '"', '\'']).unwrap_or(line.len());
    line.get(..end).unwrap_or("")
}
