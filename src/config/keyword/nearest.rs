//! "Did you mean": the keyword that is nearest to an unknown word.
//!
//! In this order: two words that make one, a word that is joined to its argument, invisible characters,
//! the same word in another scope, a small edit distance in this scope, a small edit distance elsewhere.

use super::{Keyword, Scope, find};

/// Longest word compared. The longest keyword has 35 bytes; this bounds the work for hostile input.
const MAX_WORD: usize = 64;

/// Words of very old files that are neither known nor spelt like what replaced them.
const RENAMED: &[(&str, &str)] = &[("lvs_id", "router_id")];

/// Words that keepalived dropped without putting another in their place.
const REMOVED: &[&str] = &["nat_mask"];

/// Help for `word` (followed by `next`) in `scope`; `None` when nothing is near.
pub fn help(scope: Scope, word: &str, next: Option<&str>) -> Option<String> {
    if let Some(next) = next {
        let joined = format!("{word}{next}");
        if find(scope, &joined).is_some() {
            return Some(format!("did you mean `{joined}`, without the blank?"));
        }
    }
    if word.len() > 4 * MAX_WORD {
        return None;
    }
    if let Some((_, now)) = RENAMED.iter().find(|(old, _)| *old == word) {
        return Some(format!("keepalived dropped `{word}` long ago; it is `{now}` now"));
    }
    if REMOVED.contains(&word) {
        return Some(format!("keepalived dropped `{word}` long ago, and nothing took its place: remove it"));
    }
    if word == "nb_get_retry" && find(scope, "retry").is_some() {
        return Some("write `retry`: `nb_get_retry` is its old name, of HTTP_GET and SSL_GET only".to_owned());
    }
    let visible: String = word.chars().filter(|c| c.is_ascii_graphic()).collect();
    if visible.len() < word.len() && find(scope, &visible).is_some() {
        let odd = word.chars().find(|c| !c.is_ascii_graphic()).unwrap_or(' ') as u32;
        return Some(format!(
            "the word holds the character U+{odd:04X}; write `{visible}` with plain letters and blanks"
        ));
    }
    let head = word.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap_or("");
    if head.len() < word.len() && find(scope, head).is_some() {
        return Some(format!("did you mean `{head}`, followed by a blank?"));
    }
    let homes: Vec<&str> = homes(word);
    if !homes.is_empty() {
        return Some(format!("`{word}` belongs inside {}", homes.join(" or ")));
    }
    if let Some(near) = nearest(scope, word) {
        return Some(format!("did you mean `{near}`?"));
    }
    let other = blocks().filter_map(|s| nearest(s, word).map(|n| (distance(word, n), n))).min();
    other.map(|(_, near)| format!("did you mean `{near}`, which belongs inside {}?", homes_text(near)))
}

/// Whether some block knows this word.
pub fn is_known(word: &str) -> bool {
    !homes(word).is_empty()
}

fn homes_text(word: &str) -> String {
    homes(word).join(" or ")
}

fn blocks() -> impl Iterator<Item = Scope> {
    Scope::ALL.iter().copied().filter(|s| !s.in_line())
}

/// The blocks in which a word is known, at most three.
fn homes(word: &str) -> Vec<&'static str> {
    let own = |s: &Scope| s.rows().iter().any(|k| k.name == word);
    blocks().filter(own).map(Scope::title).take(3).collect()
}

/// The known word of a scope that is few edits away.
pub fn nearest(scope: Scope, word: &str) -> Option<&'static str> {
    if word.len() > MAX_WORD {
        return None;
    }
    // One edit in four letters, at most three: `route_id` for `router_id` yes, `track_bfd` for `track_all` no.
    let limit = (word.chars().count() / 4).min(3);
    let length = word.chars().count();
    // Keywords are ASCII: their length in bytes is theirs in letters.
    let near = |k: &&Keyword| k.name.len().abs_diff(length) <= limit;
    let scopes = std::iter::once(&scope).chain(scope.shared());
    let rows = scopes.flat_map(|s| s.rows()).filter(near);
    rows.map(|k| (distance(word, k.name), k.name)).filter(|&(d, _)| d <= limit).min().map(|(_, n)| n)
}

/// Edits (insert, delete, replace, swap neighbours) between two words, letter case counting for nothing.
pub fn distance(a: &str, b: &str) -> usize {
    strsim::osa_distance(&a.to_ascii_lowercase(), &b.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_people_make() {
        let in_instance = |w, n| help(Scope::Instance, w, n).unwrap_or_default();
        assert_eq!(in_instance("virtual", Some("_ipaddress")), "did you mean `virtual_ipaddress`, without the blank?");
        assert_eq!(in_instance("prioirty", None), "did you mean `priority`?");
        assert_eq!(in_instance("advert_int\u{3000}1", None), "did you mean `advert_int`, followed by a blank?");
        assert_eq!(
            in_instance("\u{200B}state", None),
            "the word holds the character U+200B; write `state` with plain letters and blanks"
        );
        assert_eq!(in_instance("router_id", None), "`router_id` belongs inside global_defs");
        assert_eq!(help(Scope::GlobalDefs, "route_id", None).unwrap(), "did you mean `router_id`?");
        assert_eq!(
            help(Scope::Root, "virtual_server(@IP", None).unwrap(),
            "did you mean `virtual_server`, followed by a blank?"
        );
        assert!(help(Scope::Root, "track_script", None).unwrap().contains("belongs inside vrrp_instance"));
        assert_eq!(help(Scope::Root, "xyzzy", None), None);
    }
    #[test]
    fn distances() {
        for (a, b, d) in [("", "", 0), ("", "ab", 2), ("abc", "acb", 1), ("abc", "ABC", 0), ("kitten", "sitting", 3)] {
            assert_eq!(distance(a, b), d, "{a} {b}");
            assert_eq!(distance(b, a), d, "{b} {a}");
        }
    }
}
