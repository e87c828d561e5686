//! Lines of text to words and braces, by the grammar in `grammar/kalived.pest`. Read next: `tree.rs`.
#![allow(missing_docs)] // the derived `Rule`

use super::source::Span;
use pest::Parser;
use pest_derive::Parser;
use std::ops::Range;

#[derive(Parser)]
#[grammar = "../grammar/kalived.pest"]
struct Shape;

/// A word of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// With its quotes.
    pub span: Span,
    /// The text differs from that under the span only by the enclosing quotes.
    quoted: bool,
    /// The text, if inner quotes or escapes make it differ from the file. A thin pointer, because there are a million words.
    #[allow(clippy::box_collection)]
    text: Option<Box<String>>,
}

impl Word {
    /// Without quotes and escapes.
    pub fn text<'a>(&'a self, src: &'a super::source::Sources) -> &'a str {
        match &self.text {
            Some(text) => text,
            None if self.quoted => {
                let raw = src.slice(self.span);
                raw.get(1..raw.len().saturating_sub(1)).unwrap_or("")
            }
            None => src.slice(self.span),
        }
    }
    /// Whether it is in quotes.
    pub fn is_quoted(&self) -> bool {
        self.quoted
    }
    /// A word whose text is that under the span.
    pub fn plain(span: Span) -> Word {
        Word { span, quoted: false, text: None }
    }
    /// A word with this text.
    fn other(span: Span, text: String) -> Word {
        Word { span, quoted: false, text: Some(Box::new(text)) }
    }
}

/// A part of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    Word(Word),
    Open(Span),
    Close(Span),
    /// A quote without its end: everything to the end of the line.
    Unclosed(Word),
}

impl Token {
    /// The position in the text.
    pub fn span(&self) -> Span {
        match self {
            Token::Word(w) | Token::Unclosed(w) => w.span,
            Token::Open(s) | Token::Close(s) => *s,
        }
    }
}

/// The quotes that make one word of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quotes {
    /// Only `"`; an apostrophe is an ordinary character.
    Double,
    /// Both: the rest of a line after a keyword that takes a command.
    Both,
    /// Both, and backslashes as in a regular expression's text: `\n`, `\x41`, `\101`, `\cX`.
    Escapes,
}

/// The tokens of some lines; `at` is their position in the file.
pub fn lines(text: &str, at: Span, quotes: Quotes, out: &mut Vec<Token>) {
    if quotes != Quotes::Double {
        return grammar(text, at, quotes, out);
    }
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        let known = out.len();
        let Some(end) = simple(bytes, i, at, out) else {
            // The following lines of the same kind too, in one call.
            out.truncate(known);
            let from = i;
            loop {
                i = line_end(bytes, i);
                let next = bytes.get(i..line_end(bytes, i)).unwrap_or(&[]);
                if memchr::memchr3(b'"', b'\\', b'$', next).is_none() {
                    break;
                }
            }
            let span = Span { start: at.start + from as u32, end: at.start + i as u32, ..at };
            grammar(text.get(from..i).unwrap_or(""), span, quotes, out);
            continue;
        };
        i = end;
    }
}

fn line_end(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or(&[]);
    memchr::memchr(b'\n', rest).map_or(bytes.len(), |n| from + n + 1)
}

/// The class of a byte in a line without quotes, backslashes and names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Word,
    Blank,
    End,
    Open,
    Close,
    Comment,
    /// Left to the grammar.
    Other,
}

const CLASS: [Class; 256] = {
    let mut table = [Class::Word; 256];
    table[b' ' as usize] = Class::Blank;
    let mut i = 0x09;
    while i <= 0x0D {
        table[i] = Class::Blank;
        i += 1;
    }
    table[b'\n' as usize] = Class::End;
    table[b'{' as usize] = Class::Open;
    table[b'}' as usize] = Class::Close;
    table[b'#' as usize] = Class::Comment;
    table[b'!' as usize] = Class::Comment;
    table[b'"' as usize] = Class::Other;
    table[b'\\' as usize] = Class::Other;
    table[b'$' as usize] = Class::Other;
    table
};

/// One line, with the result of the grammar, if it contains only words, braces and a comment; returns the start of the next line.
///
/// Nearly all lines of large files are such. With the grammar alone 37,000 real servers took 1.5 s of CPU where keepalived takes 0.6 s
/// and both together 0.3 s. A test compares the two.
fn simple(bytes: &[u8], from: usize, at: Span, out: &mut Vec<Token>) -> Option<usize> {
    let span = |s: usize, e: usize| Span { file: at.file, start: at.start + s as u32, end: at.start + e as u32 };
    let class = |i: usize| bytes.get(i).map_or(Class::End, |b| CLASS[usize::from(*b)]);
    let mut i = from;
    loop {
        match class(i) {
            Class::Blank => i += 1,
            Class::Word => {
                let start = i;
                while i < bytes.len() && class(i) == Class::Word {
                    i += 1;
                }
                out.push(Token::Word(Word::plain(span(start, i))));
            }
            Class::Open => {
                out.push(Token::Open(span(i, i + 1)));
                i += 1;
            }
            Class::Close => {
                out.push(Token::Close(span(i, i + 1)));
                i += 1;
            }
            Class::End => return Some((i + 1).min(bytes.len())),
            Class::Comment => return Some(line_end(bytes, i)),
            Class::Other => return None,
        }
    }
}

/// The tokens by the grammar.
fn grammar(text: &str, at: Span, quotes: Quotes, out: &mut Vec<Token>) {
    let rule = if quotes == Quotes::Double { Rule::lines } else { Rule::script_rest };
    let Ok(pairs) = Shape::parse(rule, text) else {
        // The grammar accepts any text (tested with arbitrary text); if it ever does not, the text is one unclosed word.
        return out.push(Token::Unclosed(Word::plain(at)));
    };
    for pair in pairs {
        let s = pair.as_span();
        let span = Span { file: at.file, start: at.start + s.start() as u32, end: at.start + s.end() as u32 };
        match pair.as_rule() {
            Rule::word => {
                let raw = pair.as_str();
                out.push(Token::Word(match memchr::memchr(b'\\', raw.as_bytes()) {
                    Some(_) if raw.contains("\\#") || raw.contains("\\!") => {
                        Word::other(span, raw.replace("\\#", "#").replace("\\!", "!"))
                    }
                    _ => Word::plain(span),
                }));
            }
            Rule::string => out.push(Token::Word(Word { span, quoted: true, text: None })),
            Rule::argument => out.push(Token::Word(argument(pair.as_str(), span, quotes == Quotes::Escapes))),
            Rule::open => out.push(Token::Open(span)),
            Rule::close => out.push(Token::Close(span)),
            Rule::unclosed => {
                let raw = pair.as_str();
                out.push(Token::Unclosed(Word::other(span, raw.trim_end().trim_start_matches('"').to_owned())));
            }
            _ => {}
        }
    }
}

/// The tokens of a separate text: their spans count from its start.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut out = Vec::new();
    lines(text, Span { file: 0, start: 0, end: text.len() as u32 }, Quotes::Double, &mut out);
    out
}

/// A line without its comment.
pub fn code(line: &str) -> &str {
    line.get(..tokens(line).last().map_or(0, |t| t.span().end as usize)).unwrap_or(line)
}

/// The positions of the comments of a text.
pub fn comments(text: &str) -> Vec<Range<usize>> {
    let pairs = Shape::parse(Rule::lines, text).into_iter().flatten();
    pairs.filter(|p| p.as_rule() == Rule::comment).map(|p| p.as_span().start()..p.as_span().end()).collect()
}

/// `$NAME=` at the start of a line: the name, and the position of the value.
pub fn definition(line: &str) -> Option<(&str, usize)> {
    let whole = Shape::parse(Rule::definition, line).ok()?.next()?;
    let end = whole.as_span().end();
    Some((whole.into_inner().next()?.as_str(), end))
}

/// A name at the start of a text: `$NAME`, `${NAME}` or `${NAME args}`.
pub struct Use<'t> {
    /// The name, without `$` and braces.
    pub name: &'t str,
    /// What follows it in its braces.
    pub args: &'t str,
    /// Offset of the first byte behind the name and its braces.
    pub end: usize,
    /// Whether it is in braces.
    pub braces: bool,
}

/// The name at the start of `text`; `None`: there is none ([`Use`]).
pub fn name_used(text: &str) -> Option<Use<'_>> {
    // A text of dollar signs is cheap this way; the grammar decides the rest.
    let after = text.strip_prefix('$')?;
    let first = after.strip_prefix('{').unwrap_or(after).bytes().next()?;
    if !first.is_ascii_alphabetic() && first != b'_' {
        return None;
    }
    let whole = Shape::parse(Rule::r#use, text).ok()?.next()?;
    let (end, braces) = (whole.as_span().end(), whole.as_str().ends_with('}'));
    let mut parts = whole.into_inner();
    let name = parts.next()?.as_str();
    Some(Use { name, args: parts.next().map_or("", |p| p.as_str().trim()), end, braces })
}

/// A word of a command: its quotes are removed.
fn argument(raw: &str, span: Span, escapes: bool) -> Word {
    let special = |c: char| matches!(c, '"' | '\'' | '\\');
    if !raw.contains(special) {
        return Word::plain(span);
    }
    let mut out = String::with_capacity(raw.len());
    let mut quote = None;
    let mut rest = raw.char_indices().peekable();
    while let Some((i, c)) = rest.next() {
        match c {
            '\\' if escapes && quote != Some('\'') => {
                let used = escape(raw.get(i + 1..).unwrap_or(""), &mut out);
                for _ in 0..used {
                    rest.next();
                }
            }
            '\\' => match rest.peek() {
                // An escaped comment sign; any other escape is for the program that is started.
                Some((_, n @ ('#' | '!'))) if quote.is_none() => {
                    out.push(*n);
                    rest.next();
                }
                Some((_, n)) if quote != Some('\'') => {
                    out.push('\\');
                    out.push(*n);
                    rest.next();
                }
                _ => out.push('\\'),
            },
            _ if quote == Some(c) => quote = None,
            // A quote without its end is an ordinary character.
            '"' | '\'' if quote.is_none() && raw.get(i + 1..).is_some_and(|t| t.contains(c)) => quote = Some(c),
            _ => out.push(c),
        }
    }
    Word::other(span, out)
}

/// The character of an escape in a regular expression's text; returns the number of characters it takes.
fn escape(text: &str, out: &mut String) -> usize {
    let mut letters = text.chars();
    let Some(first) = letters.next() else {
        out.push('\\');
        return 0;
    };
    let digits =
        |text: &str, radix: u32, most: usize| text.chars().take(most).take_while(|c| c.is_digit(radix)).count();
    let mut number = |from: usize, count: usize, radix: u32| {
        let value = text.get(from..from + count).and_then(|t| u32::from_str_radix(t, radix).ok());
        // A byte, as in keepalived; NUL would end the text.
        out.push(value.map(|v| v & 0xFF).filter(|v| *v > 0).and_then(char::from_u32).unwrap_or('\u{FFFD}'));
        from + count
    };
    let plain = match first {
        'a' => '\u{07}',
        'b' => '\u{08}',
        'E' => '\u{1B}',
        'f' => '\u{0C}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{0B}',
        '0'..='7' => return number(0, digits(text, 8, 3), 8),
        'x' => match digits(text.get(1..).unwrap_or(""), 16, 8) {
            0 => 'x',
            n => return number(1, n, 16),
        },
        'c' => match letters.next() {
            Some(c) if c.is_ascii() => {
                out.push(char::from((c as u8) & 0x1F));
                return 2;
            }
            _ => 'c',
        },
        other => other,
    };
    out.push(plain);
    1
}

#[cfg(test)]
mod tests {
    use super::super::source::Sources;
    use super::*;

    fn show(text: &str, quotes: Quotes) -> String {
        let mut src = Sources::default();
        src.add("t", text.as_bytes().to_vec());
        let at = Span { file: 0, start: 0, end: text.len() as u32 };
        let one = |t: Token| match t {
            Token::Word(w) => format!("[{}]", w.text(&src)),
            Token::Unclosed(w) => format!("?{}?", w.text(&src)),
            Token::Open(_) => "{".to_owned(),
            Token::Close(_) => "}".to_owned(),
        };
        let mut out = Vec::new();
        lines(text, at, quotes, &mut out);
        out.into_iter().map(one).collect()
    }

    #[test]
    fn names_and_comments() {
        let used = |t| name_used(t).map(|u| format!("{}|{}|{}|{}", u.name, u.args, u.end, u.braces));
        assert_eq!(used("$A/x").as_deref(), Some("A||2|false"));
        assert_eq!(used("${_RANDOM 1 5}x").as_deref(), Some("_RANDOM|1 5|14|true"));
        for not in ["$1", "${A-b}", "${A", "$", "A", "${}"] {
            assert!(used(not).is_none(), "{not}");
        }
        assert_eq!(definition("$A_1=b"), Some(("A_1", 5)));
        assert!(definition("$A =b").is_none() && definition("x $A=b").is_none());
        assert_eq!((code("a \"#\" # b"), code("# x"), code("a\\#b!c")), ("a \"#\"", "", "a\\#b"));
        assert_eq!(comments("a # b\n\"#\" ! c\n"), [2..5, 10..13]);
    }
    #[test]
    fn shapes() {
        for (text, want) in [
            ("", ""),
            (" \t\r", ""),
            ("# c", ""),
            ("priority 100#c", "[priority][100]"),
            ("a b!c", "[a][b]"),
            ("real_server 1.2.3.4 80 { TCP_CHECK { retry 2 } }", "[real_server][1.2.3.4][80]{[TCP_CHECK]{[retry][2]}}"),
            ("vrrp_instance X{", "[vrrp_instance][X]{"),
            ("a \"b c # d {\" e", "[a][b c # d {][e]"),
            ("a\"b\"c", "[a][b][c]"),
            ("pass a\\#b\\!c", "[pass][a#b!c]"),
            ("pass a\\b", "[pass][a\\b]"),
            ("pass a\\", "[pass][a\\]"),
            ("it's fine", "[it's][fine]"),
            ("x \"open # to the end", "[x]?open # to the end?"),
            ("dir \"C:\\\"", "[dir][C:\\]"),
            ("re \"a\\\"b\" c", "[re][a\\\"b][c]"),
            ("to ${NAME} $X ${", "[to][${NAME}][$X][$]{"),
            ("路由 值 # 注释", "[路由][值]"),
            ("\u{200B}x \u{3000}y", "[\u{200B}x][\u{3000}y]"),
            ("\"\"", "[]"),
            ("}{", "}{"),
        ] {
            assert_eq!(show(text, Quotes::Double), want, "{text}");
        }
        for (text, want) in [
            (" 'a # b {' c", "[a # b {][c]"),
            (" it's", "[it's]"),
            (" \"/bin/x y\" root # c", "[/bin/x y][root]"),
            (" 'open", "['open]"),
            (" /x }", "[/x]}"),
        ] {
            assert_eq!(show(text, Quotes::Both), want, "{text}");
        }
    }
    proptest::proptest! {
        #[test]
        fn simple_lines_are_what_the_grammar_says(text in "([a-c#!{}\"\\\\$ \t\r\n'é\u{0B}\u{0}\u{7F}]|ab |\n){0,60}") {
            let at = Span { file: 0, start: 7, end: 7 + text.len() as u32 };
            let (mut fast, mut slow) = (Vec::new(), Vec::new());
            lines(&text, at, Quotes::Double, &mut fast);
            grammar(&text, at, Quotes::Double, &mut slow);
            proptest::prop_assert_eq!(fast, slow);
        }
        #[test]
        fn any_line_is_taken(text in "\\PC{0,200}", odd in "[ \"'#!{}$\\\\a]{0,40}") {
            for t in [&text, &odd] {
                for rule in [Rule::lines, Rule::script_rest] {
                    proptest::prop_assert!(Shape::parse(rule, t).is_ok(), "{:?}", t);
                }
            }
        }
    }
}
