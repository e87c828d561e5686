//! Better remedies for messages: syntax of other languages, characters that look like the right ones, and missing braces, whose place
//! follows from the indentation. Changes the help of messages and adds places; the meaning of a file is not affected.
//!
//! Runs once, after everything else, and only over a bounded number of messages. Read first: `diag.rs`.

use super::diag::{Diag, Severity};
use super::keyword::nearest;
use super::kind::{self, Message};
use super::lex::{self, Token};
use super::source::{Sources, Span};
use super::tree::MAX_LINE;
use core::net::Ipv4Addr;
use std::collections::{BTreeMap, BTreeSet};

/// Most messages looked at: more are rarely shown.
const MAX_LOOKED_AT: usize = 200;

/// Adds what a person would notice.
pub fn add(src: &Sources, diags: &mut Vec<Diag>) {
    one_nul_is_enough(src, diags);
    templates(src, diags);
    odd_characters(src, diags);
    // Each look reads a whole file again.
    let mut looked: BTreeSet<(u32, bool)> = BTreeSet::new();
    let mut braces_told = false;
    for d in diags.iter_mut().take(MAX_LOOKED_AT) {
        match d.code() {
            "missing-close-brace" | "stray-close-brace" if !braces_told => {
                let stray = d.code() == "stray-close-brace";
                if looked.insert((d.span.file, stray))
                    && let Some((span, text)) = by_indentation(src, d.span.file, stray)
                {
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
        } else if d.severity < Severity::Note
            && d.code() != "odd-character"
            && d.help.as_ref().is_none_or(|h| !h.contains("U+"))
            && let Some(odd) = contains_odd(src.slice(d.span))
        {
            let near = d.help.take().filter(|h| h.starts_with("did you mean"));
            d.help = Some(near.map_or(odd.clone(), |near| format!("{odd}; {near}")));
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
    if placeholder(line).is_some() {
        return Some(FILL_IN.to_owned());
    }
    if let Some(help) = undefined(word) {
        return Some(help);
    }
    if ["<<<<<<<", "=======", ">>>>>>>"].iter().any(|m| word.starts_with(m)) {
        return Some("this looks like a merge conflict: keep one side and remove the marks".to_owned());
    }
    if word.contains("//") && !word.contains("://")
        || word.starts_with("/*")
        || word.starts_with("--")
        || word.starts_with("<!--")
    {
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
    None
}

/// What to do about the first name of a word that nothing defines.
pub(super) fn undefined(word: &str) -> Option<String> {
    let name = lex::name_used(word.get(word.find('$')?..)?)?.name;
    Some(format!("`{name}` is not defined: a definition is a line `${name}=value` above, and its use `${{{name}}}`"))
}

/// What to do about a template.
const FILL_IN: &str = "this looks like a template that was not filled in: fill it in before kalived reads it";

/// The first placeholder of a template in a line: of Jinja and Helm, ERB, shells, autoconf, Python, or what people write.
pub(super) fn placeholder(line: &str) -> Option<&str> {
    // What follows `!` may still be of a template: `{% if !x %}`.
    let comment = lex::comments(line).into_iter().find(|c| line.get(c.start..).is_some_and(|t| t.starts_with('#')));
    let code = line.get(..comment.map_or(line.len(), |c| c.start)).unwrap_or(line);
    for (open, close) in [("{{", "}}"), ("{%", "%}"), ("<%", "%>"), ("%(", ")s"), ("@@", "@@"), ("%%", "%%")] {
        if let Some(at) = code.find(open)
            && let Some(rest) = code.get(at + open.len()..)
            && let Some(end) = rest.find(close)
        {
            return code.get(at..at + open.len() + end + close.len());
        }
    }
    // `${NAME}` alone is a name of keepalived's own.
    for (at, _) in code.match_indices("${") {
        let rest = code.get(at..)?;
        let end = rest.find('}').unwrap_or(rest.len() - 1);
        let inner = rest.get(2..end).unwrap_or("");
        let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !inner.starts_with('_') && inner.contains(|c: char| !name(c)) {
            return rest.get(..=end);
        }
    }
    let upper = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    let name = |t: &str| {
        !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b' ' | b'.'))
    };
    let framed = |w: &&str| {
        let w = w.split('/').next().unwrap_or(w);
        let inside = |a: &str, b: &str| w.strip_prefix(a).and_then(|t| t.strip_suffix(b)).map(str::to_owned);
        inside("@", "@").is_some_and(|t| name(&t))
            || inside("%", "%").is_some_and(|t| upper(&t))
            || inside("__", "__").is_some_and(|t| upper(&t))
            || inside("<", ">").is_some_and(|t| name(&t))
    };
    code.split_whitespace().find(framed)
}

/// Many messages that one stands for: the worst of them says how bad it is.
fn stand_for(diags: &mut Vec<Diag>, which: &[usize], message: Message, help: String) {
    let Some(&first) = which.first() else { return };
    let all: Vec<Diag> = which.iter().filter_map(|i| diags.get(*i)).cloned().collect();
    if let Some(d) = diags.get_mut(first) {
        d.severity = all.iter().map(|d| d.severity).min().unwrap_or(d.severity);
        d.torn = all.iter().any(|d| d.torn);
        d.fails_test = true;
        (d.kind, d.fate) = (message.kind, message.fate);
        d.covers = all.iter().skip(1).map(|d| d.span).collect();
        (d.message, d.help, d.related) = (message.text, Some(help), Vec::new());
    }
    let mut n = 0;
    diags.retain(|_| {
        n += 1;
        n - 1 == first || which.binary_search(&(n - 1)).is_err()
    });
}

/// A template makes several messages for each of its lines: one says it for each file.
fn templates(src: &Sources, diags: &mut Vec<Diag>) {
    let mut files: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (i, d) in
        diags.iter().enumerate().filter(|(_, d)| d.severity < Severity::Note && d.code() != super::diag::NO_EFFECT)
    {
        let origin = src.origin(d.span);
        if placeholder(src.slice(src.line_of(origin))).is_some() {
            files.entry(origin.file).or_default().push(i);
        }
    }
    // From the last on, so that the numbers of the others hold.
    let mut groups: Vec<Vec<usize>> = files.into_values().collect();
    while let Some(which) = groups.pop() {
        let lines: BTreeSet<u32> = which.iter().filter_map(|i| diags.get(*i)).map(|d| d.place.line).collect();
        let first = which.first().and_then(|i| diags.get(*i));
        let what = first.and_then(|d| placeholder(src.slice(src.line_of(src.origin(d.span))))).unwrap_or("").to_owned();
        let text = match lines.len() {
            1 => kind::unfilled_template(what),
            n => kind::unfilled_template_lines(what, n),
        };
        stand_for(diags, &which, text, FILL_IN.to_owned());
        groups.iter_mut().for_each(|g| renumber(g, &which));
    }
}

/// After the messages `gone` but the first of them were taken out.
fn renumber(group: &mut [usize], gone: &[usize]) {
    let gone = gone.get(1..).unwrap_or(&[]);
    for n in group {
        *n -= gone.partition_point(|g| g < n);
    }
}

/// What a character only looks like, and its name.
fn odd(c: char) -> Option<(&'static str, &'static str)> {
    const LOOKS: &str = "АаВЕеКМНОоРрСсТХхуІіЈјЅѕԁԛԝһΑΒΕΖΗΙΚΜΝΟΡΤΥΧοа";
    Some(match c as u32 {
        0xA0 | 0x2007 | 0x202F => ("no-break blank", "write a plain blank"),
        0x3000 => ("full-width blank", "write a plain blank"),
        0x2000..=0x200A | 0x205F | 0x1680 => ("wide or narrow blank", "write a plain blank"),
        0x200B..=0x200F | 0x2060..=0x2064 | 0xFEFF | 0xAD | 0x202A..=0x202E | 0x2066..=0x2069 | 0x180E => {
            ("invisible character", "remove it")
        }
        0xFF01..=0xFF5E => ("full-width character", "write the ASCII character"),
        0x2010..=0x2015 | 0x2212 => ("dash that is no minus", "write `-`"),
        0x2018..=0x201F => ("typographic quote", "write \""),
        _ if LOOKS.contains(c) => ("letter that only looks like a Latin one", "write the Latin letter"),
        _ => return None,
    })
}

/// The first character of a word that only looks right. Names may be of any letters; one among Latin letters is a slip.
fn first_odd(word: &str) -> Option<char> {
    let mixed = word.chars().any(|c| c.is_ascii_alphanumeric());
    let letter = |c: char| c.is_alphabetic() && !matches!(c as u32, 0xFF01..=0xFF5E);
    word.chars().take(200).find(|c| odd(*c).is_some() && (mixed || !letter(*c)))
}

/// The remedy for a word with such a character.
pub(super) fn contains_odd(word: &str) -> Option<String> {
    let c = first_odd(word)?;
    let (name, remedy) = odd(c)?;
    Some(format!("it contains U+{:04X} ({name}): {remedy}", c as u32))
}

/// A character that only looks right spoils many lines: one message names it, with the count.
fn odd_characters(src: &Sources, diags: &mut Vec<Diag>) {
    let mut found: BTreeMap<(u32, char), Vec<usize>> = BTreeMap::new();
    for (i, d) in diags.iter().enumerate().filter(|(_, d)| d.severity < Severity::Note) {
        if let Some(c) = first_odd(src.slice(d.span)) {
            found.entry((src.origin(d.span).file, c)).or_default().push(i);
        }
    }
    let mut groups: Vec<((u32, char), Vec<usize>)> = found.into_iter().filter(|(_, w)| w.len() > 1).collect();
    while let Some(((file, c), which)) = groups.pop() {
        let Some((name, remedy)) = odd(c) else { continue };
        let text = src.file(file).map_or("", |f| f.text.as_str());
        let odd = text.lines().filter(|l| l.contains(c)).map(lex::code);
        let count: usize = odd.map(|l| l.chars().filter(|x| *x == c).count()).sum();
        let message = kind::odd_character(format_args!("{:04X}", c as u32), name, count);
        stand_for(diags, &which, message, format!("{remedy} instead of each of them"));
        groups.iter_mut().for_each(|g| renumber(&mut g.1, &which));
    }
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
        let tokens = if line.len() > MAX_LINE { Vec::new() } else { lex::tokens(line) };
        let at = |t: &Token| Span { file, start: offset as u32 + t.span().start, end: offset as u32 + t.span().end };
        let Some(begin) = tokens.first() else {
            offset += line.len();
            continue;
        };
        let (indent, begin) = (begin.span().start as usize, at(begin));
        let mut head = begin;
        for (n, token) in tokens.iter().enumerate() {
            match token {
                Token::Open(_) => open.push((indent, head)),
                Token::Close(_) if n == 0 && !stray => {
                    let (deeper, head) = open.pop()?;
                    if deeper > indent {
                        return Some((head, "by its indentation this block has no `}`"));
                    }
                }
                Token::Close(_) if n == 0 => {
                    let (outer, _) = open.pop()?;
                    if outer < indent {
                        return Some((begin, "by its indentation this `}` closes a block too early"));
                    }
                }
                Token::Close(_) => {
                    open.pop();
                }
                _ => head = begin.to(at(token)),
            }
        }
        offset += line.len();
    }
    None
}
