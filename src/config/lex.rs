//! One line of text to words and braces, by the grammar in `grammar/kalived.pest`. Read next: `tree.rs`.
#![allow(missing_docs)] // the derived `Rule`

use super::source::Span;
use pest::Parser;
use pest_derive::Parser;

#[derive(Parser)]
#[grammar = "../grammar/kalived.pest"]
struct Shape;

/// A word as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// With its quotes.
    pub span: Span,
    /// Only when it is not the plain text under the span.
    text: Option<Box<str>>,
}

impl Word {
    /// Without quotes and escapes.
    pub fn text<'a>(&'a self, src: &'a super::source::Sources) -> &'a str {
        self.text.as_deref().unwrap_or_else(|| src.slice(self.span))
    }
    /// A word whose text is what is under the span.
    pub fn plain(span: Span) -> Word {
        Word { span, text: None }
    }
}

/// What a line is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    Word(Word),
    Open(Span),
    Close(Span),
    /// A quote that nothing closes: everything to the end of the line.
    Unclosed(Word),
}

/// Which quotes group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quotes {
    /// `"` only.
    Double,
    /// Both: the rest of a line after a keyword that takes a command.
    Both,
}

/// The tokens of one line; `at` is where it starts in its file.
pub fn line(text: &str, at: Span, quotes: Quotes) -> Vec<Token> {
    let rule = if quotes == Quotes::Both { Rule::script_rest } else { Rule::line };
    let Ok(pairs) = Shape::parse(rule, text) else {
        // The grammar takes any line (tested with arbitrary text); if it ever does not, the line is one odd word.
        return vec![Token::Unclosed(Word::plain(at))];
    };
    let mut out = Vec::new();
    for pair in pairs {
        let (s, raw) = (pair.as_span(), pair.as_str());
        let span = Span { file: at.file, start: at.start + s.start() as u32, end: at.start + s.end() as u32 };
        let inner = |text: &str| Word { span, text: Some(text.into()) };
        match pair.as_rule() {
            Rule::word => out.push(Token::Word(match raw.contains("\\#") || raw.contains("\\!") {
                true => inner(&raw.replace("\\#", "#").replace("\\!", "!")),
                false => Word::plain(span),
            })),
            Rule::string | Rule::single => out.push(Token::Word(inner(raw.get(1..raw.len() - 1).unwrap_or("")))),
            Rule::open => out.push(Token::Open(span)),
            Rule::close => out.push(Token::Close(span)),
            Rule::unclosed => out.push(Token::Unclosed(inner(raw.trim_end().trim_start_matches('"')))),
            _ => {}
        }
    }
    out
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
        line(text, at, quotes).into_iter().map(one).collect()
    }

    #[test]
    fn lines() {
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
        fn any_line_is_taken(text in "[^\n]{0,200}", odd in "[ \"'#!{}$\\\\a]{0,40}") {
            for t in [&text, &odd] {
                for rule in [Rule::line, Rule::script_rest] {
                    proptest::prop_assert!(Shape::parse(rule, t).is_ok(), "{:?}", t);
                }
            }
        }
    }
}
