//! The pattern that a body must or must not match (`regex`, `regex_no_match`).
//!
//! Read first: `automaton.rs`, `http.rs`.

use crate::automaton::{Automaton, Scan};
use crate::config::model::check::Regex;
use core::cell::OnceCell;

/// The pattern of `regex` with its options, compiled when a body is first compared with it.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Pattern {
    /// As the file has it.
    pub text: Regex,
    // Compiled when first needed.
    #[serde(skip)]
    compiled: OnceCell<Option<Automaton>>,
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

    /// Continues to judge a body with so many steps of the automaton. `Some(Err)`: why `body` is a failure; `None`: it needs more steps.
    /// `cut`: the body is longer than this. A pattern that cannot be compiled, which is reported when the file is read, has no effect, as
    /// in keepalived.
    pub(super) fn judge(
        &self,
        body: &[u8],
        cut: bool,
        scan: &mut Scan,
        steps: usize,
    ) -> Option<Result<(), &'static str>> {
        let Regex { pattern, options, no_match, min_offset, max_offset, .. } = &self.text;
        let compile = || Automaton::new(pattern.as_deref().unwrap_or_default(), options).ok();
        let Some(compiled) = self.compiled.get_or_init(compile) else { return Some(Ok(())) };
        let offset = |o: &Option<u32>| o.map(|o| usize::try_from(o).unwrap_or(usize::MAX));
        let range = (offset(min_offset).unwrap_or(0), offset(max_offset).unwrap_or(usize::MAX));
        let found = compiled.run(body, range, scan, steps)?;
        Some(match (found, no_match) {
            (true, false) | (false, true) => Ok(()),
            (true, true) => Err("its body matches the regex_no_match"),
            (false, false) if cut => Err("the first 256 KiB of its body do not match the regex"),
            (false, false) => Err("its body does not match the regex"),
        })
    }
}
