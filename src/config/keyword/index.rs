//! Look-up in the keyword table by scope and word: a hash table, made once from the rows. A large configuration needs half a million
//! look-ups.

use super::{Keyword, Scope};
use std::sync::OnceLock;

/// Rows and scopes are some hundred; more slots than that so that most words are found at the first look.
const SLOTS: usize = 1 << 12;

struct Index {
    slots: Vec<Option<(Scope, &'static Keyword)>>,
}

fn hash(scope: Scope, name: &str) -> usize {
    // FNV-1a, from a start that depends on the scope.
    let start = 0xCBF2_9CE4_8422_2325 ^ (scope as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let h = name.bytes().fold(start, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3));
    ((h ^ (h >> 29)) as usize) % SLOTS
}

fn index() -> &'static Index {
    static INDEX: OnceLock<Index> = OnceLock::new();
    INDEX.get_or_init(|| {
        let mut index = Index { slots: vec![None; SLOTS] };
        for &scope in Scope::ALL {
            // Its own rows first: where a shared one has the same name, they win.
            for of in std::iter::once(&scope).chain(scope.shared()) {
                for k in of.rows() {
                    index.put(scope, k);
                }
            }
        }
        index
    })
}

impl Index {
    fn put(&mut self, scope: Scope, k: &'static Keyword) {
        let from = hash(scope, k.name);
        // SLOTS is more than there are rows: a free one is found.
        for i in (0..SLOTS).map(|n| (from + n) % SLOTS) {
            match self.slots.get_mut(i) {
                Some(slot @ None) => return *slot = Some((scope, k)),
                Some(Some((s, old))) if *s == scope && old.name == k.name => return,
                _ => {}
            }
        }
    }
}

/// The row of a word in a scope.
pub fn find(scope: Scope, name: &str) -> Option<&'static Keyword> {
    let index = index();
    let from = hash(scope, name);
    for i in (0..SLOTS).map(|n| (from + n) % SLOTS) {
        let (s, k) = (*index.slots.get(i)?)?;
        if s == scope && k.name == name {
            return Some(k);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_and_nothing_else() {
        let mut rows = 0;
        for &scope in Scope::ALL {
            for of in std::iter::once(&scope).chain(scope.shared()) {
                for k in of.rows() {
                    let found = find(scope, k.name).unwrap();
                    assert_eq!(found.name, k.name);
                    assert!(std::ptr::eq(found, k) || scope.rows().iter().any(|own| std::ptr::eq(own, found)));
                    rows += 1;
                }
            }
            for not in ["", "xyzzy", "vrrp_instanc", "vrrp_instances"] {
                assert!(find(scope, not).is_none());
            }
        }
        assert!(rows < SLOTS / 2, "{rows} rows need more slots");
        assert!(find(Scope::Names, "x").is_none());
    }
}
