//! The pattern that a body must or must not match (`regex`, `regex_no_match`).
//!
//! Read first: `http.rs`. The engine's time is linear in the text for every pattern, and the compiled pattern has at most [`COMPILED`]
//! bytes. It has no look-around, no back-reference and none of PCRE's callouts and verbs, and its `$` matches only at the end of the
//! text (PCRE's `dollar_endonly`). A pattern that needs one of them is reported when the check is made.

use crate::config::model::check::Regex;
use core::cell::OnceCell;
use regex::bytes::{Regex as Compiled, RegexBuilder};

/// Largest compiled pattern.
const COMPILED: usize = 256 << 10;

/// See the module.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Pattern {
    /// As the file has it.
    pub text: Regex,
    // Compiled when first needed.
    #[serde(skip)]
    compiled: OnceCell<Option<Compiled>>,
}

impl PartialEq for Pattern {
    fn eq(&self, o: &Pattern) -> bool {
        self.text == o.text
    }
}
impl Eq for Pattern {}

impl Pattern {
    /// Not compiled yet.
    pub fn new(text: Regex) -> Pattern {
        Pattern { text, compiled: OnceCell::new() }
    }

    /// The pattern in the engine's form, or why there is none.
    pub fn compile(&self) -> Result<Compiled, String> {
        let pattern = self.text.pattern.as_deref().unwrap_or_default();
        let mut builder = RegexBuilder::new(pattern);
        builder.size_limit(COMPILED).dfa_size_limit(COMPILED).unicode(false);
        for option in &self.text.options {
            match &**option {
                "caseless" => builder.case_insensitive(true),
                "multiline" => builder.multi_line(true),
                "dotall" => builder.dot_matches_new_line(true),
                "extended" => builder.ignore_whitespace(true),
                "ungreedy" => builder.swap_greed(true),
                "utf" | "ucp" => builder.unicode(true),
                // How this engine is anyway, or without effect on whether a pattern that it takes matches.
                "dollar_endonly"
                | "no_auto_possess"
                | "no_start_optimize"
                | "no_dotstar_anchor"
                | "no_auto_capture"
                | "never_ucp"
                | "never_utf"
                | "never_backslash_c"
                | "use_offset_limit"
                | "alt_verbnames"
                | "auto_callout"
                | "match_unset_backref"
                | "dupnames" => &mut builder,
                other => return Err(format!("only PCRE has regex_options {other}")),
            };
        }
        builder.build().map_err(|e| why(pattern, &e))
    }

    /// `Err`: why `body` is a failure. `cut`: the body is longer than this. A pattern that cannot be compiled, which is reported when the
    /// check is made, has no effect, as in keepalived.
    pub(super) fn judge(&self, body: &[u8], cut: bool) -> Result<(), &'static str> {
        let Some(compiled) = self.compiled.get_or_init(|| self.compile().ok()) else { return Ok(()) };
        let offset = |o: Option<u32>| o.map(|o| usize::try_from(o).unwrap_or(usize::MAX));
        let first = offset(self.text.min_offset).unwrap_or(0).min(body.len());
        let last = offset(self.text.max_offset).unwrap_or(usize::MAX);
        let found = compiled.find_at(body, first).is_some_and(|m| m.start() <= last);
        match (found, self.text.no_match) {
            (true, false) | (false, true) => Ok(()),
            (true, true) => Err("its body matches the regex_no_match"),
            (false, false) if cut => Err("the first 256 KiB of its body do not match the regex"),
            (false, false) => Err("its body does not match the regex"),
        }
    }
}

fn why(pattern: &str, e: &regex::Error) -> String {
    let only_pcre = [
        ("(?=", "look-ahead"),
        ("(?!", "look-ahead"),
        ("(?<=", "look-behind"),
        ("(?<!", "look-behind"),
        ("(?>", "an atomic group"),
        ("(?R", "recursion"),
        ("(*", "a verb"),
        ("\\1", "a back-reference"),
        ("\\K", "\\K"),
    ];
    match (e, only_pcre.iter().find(|(sign, _)| pattern.contains(sign))) {
        (regex::Error::CompiledTooBig(_), _) => "it becomes larger than 256 KiB".into(),
        (_, Some((_, what))) => format!("it has {what}, which only PCRE has"),
        (e, None) => {
            // The engine's message has several lines, with a mark under the pattern; the log gets one.
            let text = e.to_string();
            text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
        }
    }
}
