//! Converts words to numbers, durations, truth values and addresses, by the form in the keyword table. There is one function for each
//! form; it reports what is wrong and what is allowed, and returns `None` when the setting stays as it was.

use super::Cx;
use crate::config::diag::Severity;
use crate::config::keyword::{Form, Keyword, decimal};
use crate::config::kind::{self, Fate, Message};
use crate::config::lex::Word;
use crate::config::model::setting::{Value, Weight};
use crate::config::source::Span;
use crate::config::tree::Stmt;
use core::net::IpAddr;
use core::time::Duration;

/// What to do with "5s" where a number is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// Take the 5 with a warning, as keepalived does for most numbers.
    Lenient,
    /// Refuse the whole value.
    Strict,
}

/// The default of a keyword, for a message about a wrong value; `None`: it has none, or none that helps.
pub(super) fn default_of(k: &Keyword) -> Option<&'static str> {
    // Of a priority, too: one that cannot be read does not count as missing, see `instance.rs`.
    default_without(k).map(|d| d.split(';').next().unwrap_or(d).trim())
}

/// The default of a keyword that is not in the file.
pub(super) fn default_without(k: &Keyword) -> Option<&'static str> {
    // Only where the default has the form of a written value.
    if matches!(k.form, Form::Words | Form::Script | Form::Block(_) | Form::Entries(_) | Form::Flag) {
        return None;
    }
    let text = k.default.split('(').next().unwrap_or("").trim().trim_end_matches(';');
    (!matches!(text, "" | "none" | "unset" | "required" | "off")).then_some(text)
}

/// What a wrong value means: the default is used (Error), or the daemon does not start (Fatal).
pub(super) type Bad = Severity;

impl<'a> Cx<'a> {
    /// The one argument; a missing one is fatal, as in keepalived.
    pub(super) fn arg(&mut self, k: &Keyword, stmt: &'a Stmt) -> Option<&'a Word> {
        self.extra(stmt, 2);
        self.arg_of(k, stmt)
    }

    fn arg_of(&mut self, k: &Keyword, stmt: &'a Stmt) -> Option<&'a Word> {
        let Some(word) = stmt.words.get(1) else {
            self.say(stmt.span(), kind::missing_value(k.name)).help(format!("write `{} {}`", k.name, k.args));
            return None;
        };
        // A name may have any bytes; a password would differ from the one that the other routers send.
        if k.name == "auth_pass" && self.text(word).contains('\u{FFFD}') {
            self.say(word.span, kind::password_not_utf8()).help("write it in UTF-8, best in ASCII");
            return None;
        }
        Some(word)
    }

    /// Reports words after the first `used`.
    pub(super) fn extra(&mut self, stmt: &'a Stmt, used: usize) {
        let Some(rest) = stmt.words.get(used..) else { return };
        if let (Some(a), Some(b)) = (rest.first(), rest.last()) {
            self.say(a.span.to(b.span), kind::extra_words());
        }
    }

    fn extra_of(&mut self, k: &Keyword, stmt: &'a Stmt, used: usize) {
        // keepalived reports this one as a mistake; everywhere else it ignores further words without a message.
        if let (Some(w), "notification_email_from") = (word(stmt, used), k.name) {
            self.say(w.span, kind::extra_address()).help("a display name goes into quotes");
        } else {
            self.extra(stmt, used);
        }
    }

    pub(super) fn string(&mut self, k: &Keyword, stmt: &'a Stmt) -> Option<(String, Span)> {
        self.arg(k, stmt).map(|w| (self.text(w).to_owned(), w.span))
    }

    pub(super) fn boolean(&mut self, stmt: &'a Stmt) -> Option<bool> {
        self.extra(stmt, 2);
        let Some(word) = stmt.words.get(1) else { return Some(true) };
        self.truth(word)
    }

    fn truth(&mut self, word: &'a Word) -> Option<bool> {
        match self.text(word) {
            "true" | "on" | "yes" => Some(true),
            "false" | "off" | "no" => Some(false),
            other => {
                self.say(word.span, kind::not_a_boolean(other));
                None
            }
        }
    }

    pub(super) fn int(&mut self, k: &Keyword, stmt: &'a Stmt, tail: Tail, bad: Bad) -> Option<(i64, Span)> {
        let word = self.arg(k, stmt)?;
        let Form::Int(min, max) = k.form else { return None };
        self.whole(k, word, (min, max), tail, bad).map(|n| (n, word.span))
    }

    /// A whole number in a range.
    fn whole(&mut self, k: &Keyword, word: &'a Word, (min, max): (i64, i64), tail: Tail, bad: Bad) -> Option<i64> {
        let text = self.text(word);
        if let Ok(n) = text.parse::<i64>()
            && (min..=max).contains(&n)
        {
            return Some(n);
        }
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let len = text.len() - digits.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number = text.get(..len).unwrap_or("");
        let allowed = format!("allowed: {min}..{max}");
        match number.parse::<i64>() {
            Ok(n) if (min..=max).contains(&n) => self.number(k, word, number, tail, bad, &allowed).map(|()| n),
            // What is not a number at all is not out of range.
            _ if number.len() < text.len() => self.not_a_number(k, word, bad, &allowed),
            _ => {
                self.outside(k, word, bad, &allowed);
                None
            }
        }
    }

    /// Reads a time in seconds, as microseconds; with the position of its word.
    pub(super) fn micros(&mut self, k: &Keyword, stmt: &'a Stmt, bad: Bad) -> Option<(u64, Span)> {
        let word = self.arg(k, stmt)?;
        let Form::Secs(min, max) = k.form else { return None };
        self.time(k, word, (min, max), 6, bad).map(|us| (us, word.span))
    }

    /// A time in a unit of 10^`digits` microseconds.
    fn time(&mut self, k: &Keyword, word: &'a Word, (min, max): (u64, u64), digits: u32, bad: Bad) -> Option<u64> {
        let text = self.text(word);
        let unit = 10u64.pow(digits);
        if let Some(us) = text.parse::<u64>().ok().and_then(|n| n.checked_mul(unit))
            && (min..=max).contains(&us)
        {
            return Some(us);
        }
        let len = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let number = text.get(..len).unwrap_or("");
        let allowed = format!("allowed: {}", k.form.limits());
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        if !part.bytes().all(|b| b.is_ascii_digit()) || (whole.is_empty() && part.is_empty()) {
            return self.not_a_number(k, word, bad, &allowed);
        }
        let places = digits as usize;
        let whole = if whole.is_empty() { Some(0) } else { whole.parse::<u64>().ok() };
        let micro =
            part.bytes().chain(std::iter::repeat(b'0')).take(places).fold(0, |n, b| n * 10 + u64::from(b - b'0'));
        let value = whole.and_then(|w| w.checked_mul(unit)).and_then(|w| w.checked_add(micro));
        match value {
            Some(v) if (min..=max).contains(&v) => {
                self.number(k, word, number, Tail::Lenient, bad, &allowed)?;
                if part.len() > places {
                    let count = if places == 6 { "six" } else { "three" };
                    self.say(word.span, kind::too_precise(count));
                }
                Some(v)
            }
            _ if number.len() < text.len() => self.not_a_number(k, word, bad, &allowed),
            _ => {
                self.outside(k, word, bad, &allowed);
                None
            }
        }
    }

    /// The value of a statement, by the form of its row; mistakes are reported here.
    pub(super) fn value(&mut self, k: &'static Keyword, stmt: &'a Stmt) -> Option<Value> {
        let mut next = 1;
        let value = self.read(k, stmt, &mut next)?;
        self.extra_of(k, stmt, next);
        Some(value)
    }

    /// The value at `next` of a statement, by the form of a row.
    pub(super) fn read(&mut self, k: &'static Keyword, stmt: &'a Stmt, next: &mut usize) -> Option<Value> {
        let error = Severity::Error;
        match k.form {
            Form::Flag => return Some(Value::Bool(true)),
            Form::Bool | Form::OptInt(..) | Form::OptText(_) if word(stmt, *next).is_none() => {
                return Some(match k.form {
                    Form::OptInt(_, _, bare) => Value::Int(bare),
                    Form::OptText(bare) => Value::Text(bare.into()),
                    _ => Value::Bool(true),
                });
            }
            Form::Script => return self.script(k, stmt, next).map(Value::Script),
            Form::Words | Form::Block(_) | Form::Entries(_) => return None,
            _ => {}
        }
        let word = self.need(k, stmt, next)?;
        let text = self.text(word);
        match k.form {
            Form::Bool => self.truth(word).map(Value::Bool),
            Form::Int(min, max) | Form::OptInt(min, max, _) => {
                self.whole(k, word, (min, max), Tail::Lenient, error).map(Value::Int)
            }
            Form::Port => self.whole(k, word, (1, 65_535), Tail::Strict, error).map(Value::Int),
            Form::Secs(min, max) => self.time(k, word, (min, max), 6, error).map(Value::Micros),
            Form::Millis(min, max) => self.time(k, word, (min, max), 3, error).map(Value::Micros),
            Form::Weight(max) => {
                let max = i64::from(max);
                let n = self.whole(k, word, (-max, max), Tail::Lenient, error)?;
                let mut weight = Weight { weight: i32::try_from(n).unwrap_or(0), reverse: false };
                if let Some(more) = self::word(stmt, *next) {
                    *next += 1;
                    match self.text(more) {
                        "reverse" => weight.reverse = true,
                        "noreverse" => {}
                        other => {
                            self.say(more.span, kind::unknown_word_after_weight(other)).help("reverse, noreverse");
                        }
                    }
                }
                Some(Value::Weight(weight))
            }
            Form::Ip => self.address_of(k, word).map(Value::Ip),
            Form::Choice(words) => {
                // Only the names of protocols and the types of DNS_CHECK are compared without letter case.
                let any_case = matches!(k.name, "protocol" | "type");
                let same = |w: &&str| *w == text || (any_case && w.eq_ignore_ascii_case(text));
                match words.iter().position(same) {
                    Some(n) => Some(Value::Choice(u8::try_from(n).unwrap_or(u8::MAX))),
                    None => self.none_of(k, word, words),
                }
            }
            Form::OneOf(words) if !words.contains(&text) => self.none_of(k, word, words),
            _ => Some(Value::Text(text.into())),
        }
    }

    /// An address. A prefix length after it has no meaning here; keepalived accepts one.
    fn address_of(&mut self, k: &Keyword, word: &'a Word) -> Option<IpAddr> {
        let without = self.without(k);
        self.host_address(k.name, word, &without, self.fate())
    }

    /// Likewise at a place that belongs to no keyword. `name` and `without`: what it is, and the consequence of a wrong one, for messages.
    pub(super) fn host_address(&mut self, name: &str, word: &'a Word, without: &str, fate: Fate) -> Option<IpAddr> {
        let text = self.text(word);
        let (ip, len) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
        match (ip.parse(), len.map(str::parse::<u8>)) {
            (Ok(ip), None) => Some(ip),
            (Ok(ip), Some(Ok(n))) if n <= if IpAddr::is_ipv4(&ip) { 32 } else { 128 } => {
                self.say(word.span, kind::prefix_ignored(name, ip));
                Some(ip)
            }
            _ => {
                self.say(word.span, kind::bad_address(text, without).fate(fate));
                None
            }
        }
    }

    fn none_of<T>(&mut self, k: &Keyword, word: &'a Word, words: &[&str]) -> Option<T> {
        let text = self.text(word);
        let near = words.iter().find(|w| w.eq_ignore_ascii_case(text));
        let help = match near {
            Some(w) => format!("did you mean `{w}`? letter case counts"),
            None => format!("allowed: {}", words.join(", ")),
        };
        self.say(word.span, kind::unknown_word(text, self.without(k)).fate(self.fate())).help(help);
        None
    }

    /// Reports a wrong value of a form that only one keyword has.
    pub(super) fn bad_word<T>(&mut self, k: &Keyword, word: &'a Word, allowed: &str) -> Option<T> {
        self.say(word.span, kind::bad_value(self.text(word), self.without(k)).fate(self.fate()))
            .help(format!("allowed: {allowed}"));
        None
    }

    /// The consequence of a wrong setting, for the message.
    pub(super) fn without(&self, k: &Keyword) -> String {
        if self.in_line {
            return format!("`{}`, so the line is ignored", k.name);
        }
        let default = default_of(k).map_or(String::new(), |d| format!(" (default: {d})"));
        format!("`{}` is ignored{default}", k.name)
    }

    /// What a mistake at this place discards: the line or the setting.
    pub(super) fn fate(&self) -> Fate {
        if self.in_line { Fate::Line } else { Fate::Statement }
    }

    fn as_bad(&self, message: Message, bad: Bad) -> Message {
        message.severity(bad).fate(if bad == Severity::Error { self.fate() } else { Fate::Stands })
    }

    /// The next argument; a missing one is fatal for a keyword, as in keepalived, but not inside a line.
    pub(super) fn need(&mut self, k: &Keyword, stmt: &'a Stmt, next: &mut usize) -> Option<&'a Word> {
        if !self.in_line && *next == 1 {
            *next = 2;
            return self.arg_of(k, stmt);
        }
        let Some(found) = word(stmt, *next) else {
            self.say(stmt.span(), kind::missing_value_in_line(k.name, self.without(k)).fate(self.fate()))
                .torn()
                .help(format!("write `{} {}`", k.name, k.args));
            return None;
        };
        *next += 1;
        Some(found)
    }

    /// The value of a keyword whose form is a time.
    pub(super) fn time_of(&mut self, k: &'static Keyword, stmt: &'a Stmt) -> Option<Duration> {
        match self.value(k, stmt) {
            Some(Value::Micros(us)) => Some(Duration::from_micros(us)),
            _ => None,
        }
    }

    /// Seconds inside a line, bounds in microseconds.
    pub(super) fn seconds_of(&mut self, k: &Keyword, word: &'a Word, (min, max): (u64, u64)) -> Option<Duration> {
        let form = Keyword { form: Form::Secs(min, max), ..*k };
        self.time(&form, word, (min, max), 6, Severity::Error).map(Duration::from_micros)
    }

    /// A number inside a line or list: in range, nothing after the digits.
    pub(super) fn number_of<T: TryFrom<i64>>(&mut self, k: &Keyword, word: &'a Word, min: i64, max: i64) -> Option<T> {
        self.whole(k, word, (min, max), Tail::Strict, Severity::Error).and_then(|n| T::try_from(n).ok())
    }

    pub(super) fn duration(&mut self, k: &Keyword, stmt: &'a Stmt) -> Option<Duration> {
        self.micros(k, stmt, Severity::Error).map(|(us, _)| Duration::from_micros(us))
    }

    pub(super) fn ip(&mut self, k: &Keyword, stmt: &'a Stmt) -> Option<(IpAddr, Span)> {
        let word = self.arg(k, stmt)?;
        self.address_of(k, word).map(|ip| (ip, word.span))
    }

    /// A name that an interface can have (at most 15 bytes, no blank, no slash).
    pub(super) fn interface(&mut self, word: &'a Word, user: &str) -> Option<String> {
        self.interface_or(word, user, Severity::Error)
    }

    /// The same where there is nothing without it.
    pub(super) fn interface_or(&mut self, word: &'a Word, user: &str, bad: Bad) -> Option<String> {
        let name = self.text(word);
        let odd = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
        if name.is_empty() || name.len() > 15 || name == "." || name == ".." || name.contains(odd) {
            self.say(word.span, kind::bad_interface_name(name).severity(bad))
                .help("a name has 1 to 15 bytes, without blanks, / and :");
            return None;
        }
        let name = name.to_owned();
        self.interfaces.push(super::InterfaceUse { name: name.clone(), span: word.span, user: user.to_owned() });
        Some(name)
    }

    /// Whether `number`, the numeric start of the word, may be used.
    fn number(&mut self, k: &Keyword, word: &'a Word, number: &str, tail: Tail, bad: Bad, allowed: &str) -> Option<()> {
        let text = self.text(word);
        if !number.bytes().any(|b| b.is_ascii_digit()) {
            return self.not_a_number(k, word, bad, allowed);
        }
        if number.len() < text.len() {
            if tail == Tail::Strict || text.as_bytes().get(number.len()) == Some(&b',') {
                return self.not_a_number(k, word, bad, allowed);
            }
            self.say(word.span, kind::not_plain(text, number));
        }
        Some(())
    }

    fn not_a_number<T>(&mut self, k: &Keyword, word: &'a Word, bad: Bad, allowed: &str) -> Option<T> {
        let text = kind::not_a_number(self.text(word), self.ignored(k, bad));
        self.say(word.span, self.as_bad(text, bad)).help(allowed);
        None
    }

    fn outside(&mut self, k: &Keyword, word: &'a Word, bad: Bad, allowed: &str) {
        let text = kind::out_of_range(self.text(word), self.ignored(k, bad));
        self.say(word.span, self.as_bad(text, bad)).help(allowed);
    }

    fn ignored(&self, k: &Keyword, bad: Bad) -> String {
        if bad == Severity::Error { format!(": {}", self.without(k)) } else { format!(" for `{}`", k.name) }
    }
}

/// Word number `i` of a statement, the keyword being 0.
pub(super) fn word(stmt: &Stmt, i: usize) -> Option<&Word> {
    stmt.words.get(i)
}

/// Microseconds as seconds with as few decimals as needed.
pub(super) fn seconds(us: u64) -> String {
    decimal(us, 6)
}
