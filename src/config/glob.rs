//! Patterns of file names as `glob(3)` with braces has them: `*`, `?`, `[a-z]`, `{a,b}`, `\` before any of them.
//!
//! Names come from [`Files::list`]; nothing here touches a disk. A pattern is matched in time proportional to pattern
//! times name, whatever it holds.

use super::source::Files;

/// Most alternatives of one pattern: `{a,b}{c,d}...` doubles with every pair of braces.
const MAX_ALTERNATIVES: usize = 1024;
/// Most files of one pattern.
pub const MAX_MATCHES: usize = 10_000;

/// One alternative of the braces and what it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The alternative, without braces.
    pub pattern: String,
    /// Whether `*`, `?` or `[` is in it.
    pub wild: bool,
    /// Sorted. For a plain name: that name if something has it.
    pub paths: Vec<String>,
}

/// Everything a pattern leads to; `None` when it has too many alternatives or matches.
pub fn glob(files: &dyn Files, pattern: &str) -> Option<Vec<Found>> {
    let mut out = Vec::new();
    let mut total = 0;
    for pattern in braces(pattern)? {
        let wild = is_wild(&pattern);
        let paths = if wild {
            walk(files, &pattern)?
        } else {
            let plain = unescape(&pattern);
            if files.kind(&plain).is_ok() { vec![plain] } else { Vec::new() }
        };
        total += paths.len();
        if total > MAX_MATCHES {
            return None;
        }
        out.push(Found { pattern, wild, paths });
    }
    Some(out)
}

/// Whether a name holds anything that makes it a pattern.
pub fn is_pattern(name: &str) -> bool {
    is_wild(name) || (name.contains('{') && name.contains('}'))
}

fn is_wild(pattern: &str) -> bool {
    let mut escaped = false;
    pattern.chars().any(|c| {
        let was = escaped;
        escaped = c == '\\' && !was;
        !was && matches!(c, '*' | '?' | '[')
    })
}

fn unescape(pattern: &str) -> String {
    let mut out = String::new();
    let mut letters = pattern.chars();
    while let Some(c) = letters.next() {
        out.push(if c == '\\' { letters.next().unwrap_or('\\') } else { c });
    }
    out
}

/// `a{b,c{d,e}}` to `ab`, `acd`, `ace`. Braces that do not pair are ordinary.
fn braces(pattern: &str) -> Option<Vec<String>> {
    let mut done = Vec::new();
    let mut todo = vec![pattern.to_owned()];
    let mut steps = 0;
    while let Some(p) = todo.pop() {
        steps += 1;
        if steps > 2 * MAX_ALTERNATIVES || todo.len() + done.len() > MAX_ALTERNATIVES {
            return None;
        }
        match first_group(&p) {
            None => done.push(p),
            Some((open, commas, close)) => {
                let mut cuts = vec![open];
                cuts.extend(commas);
                cuts.push(close);
                let (head, tail) = (&p[..open], &p[close + 1..]);
                // Reversed, because the last one is taken first.
                for pair in cuts.windows(2).rev() {
                    todo.push(format!("{head}{}{tail}", &p[pair[0] + 1..pair[1]]));
                }
            }
        }
    }
    Some(done)
}

/// The first pair of braces: opening, its commas, closing, as byte offsets.
fn first_group(p: &str) -> Option<(usize, Vec<usize>, usize)> {
    let bytes = p.as_bytes();
    let open = (0..bytes.len()).find(|&i| bytes[i] == b'{' && !escaped(bytes, i))?;
    let (mut depth, mut commas) = (0, Vec::new());
    for i in open..bytes.len() {
        match bytes[i] {
            _ if escaped(bytes, i) => {}
            b'{' => depth += 1,
            b',' if depth == 1 => commas.push(i),
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some((open, commas, i));
                }
            }
            _ => {}
        }
    }
    None
}

fn escaped(bytes: &[u8], at: usize) -> bool {
    bytes[..at].iter().rev().take_while(|b| **b == b'\\').count() % 2 == 1
}

fn walk(files: &dyn Files, pattern: &str) -> Option<Vec<String>> {
    let mut parts = pattern.split('/').peekable();
    let mut found = vec![String::new()];
    if pattern.starts_with('/') {
        parts.next();
        found = vec!["/".to_owned()];
    }
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        let mut next = Vec::new();
        for base in &found {
            if part.is_empty() {
                next.push(base.clone());
            } else if !is_wild(part) {
                let path = format!("{base}{}", unescape(part));
                if files.kind(&path).is_ok() {
                    next.push(if last { path } else { path + "/" });
                }
            } else {
                let mut names = files.list(base).unwrap_or_default();
                names.retain(|n| matches(part, n));
                names.sort();
                let slash = if last { "" } else { "/" };
                next.extend(names.into_iter().map(|n| format!("{base}{n}{slash}")));
            }
            if next.len() > MAX_MATCHES {
                return None;
            }
        }
        found = next;
    }
    Some(found)
}

/// One component against one name. A leading dot is matched by a dot only.
pub fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with(['.', '\\']) {
        return false;
    }
    let (p, n): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut i, mut j) = (0, 0);
    // Where to go on when the text after the last `*` does not fit: one letter further.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if i < p.len() && p[i] == '*' {
            i += 1;
            star = Some((i, j));
            continue;
        }
        if j == n.len() {
            return p[i..].iter().all(|c| *c == '*');
        }
        match (i < p.len()).then(|| one(&p, i, n[j])).flatten() {
            Some(after) => (i, j) = (after, j + 1),
            None => match star {
                Some((after, from)) => {
                    star = Some((after, from + 1));
                    (i, j) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
}

/// Whether the element at `i` takes the letter; where the next element starts.
fn one(p: &[char], i: usize, c: char) -> Option<usize> {
    match p[i] {
        '?' => Some(i + 1),
        '\\' if i + 1 < p.len() => (p[i + 1] == c).then_some(i + 2),
        '[' => {
            let not = matches!(p.get(i + 1), Some('!' | '^'));
            let mut k = i + 1 + usize::from(not);
            let first = k;
            let mut hit = false;
            loop {
                match p.get(k) {
                    None => return (c == '[').then_some(i + 1),
                    Some(']') if k > first => break,
                    Some(&low) => {
                        let high = p.get(k + 2).filter(|high| p.get(k + 1) == Some(&'-') && **high != ']');
                        if let Some(high) = high {
                            hit |= (low..=*high).contains(&c);
                            k += 3;
                            continue;
                        }
                        hit |= low == c;
                        k += 1;
                    }
                }
            }
            (hit != not).then_some(k + 1)
        }
        other => (other == c).then_some(i + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components() {
        for (pattern, name, want) in [
            ("*", "a.conf", true),
            ("*", ".hidden", false),
            (".*", ".hidden", true),
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf~", false),
            ("?.c*f", "a.conf", true),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]x", "]x", true),
            ("[x", "[x", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a*b*c", "aXbXbc", true),
            ("a*b*c", "aXbXb", false),
            ("", "", true),
            ("*a*a*a*a*a*a*a*a*b", &"a".repeat(5000), false),
        ] {
            assert_eq!(matches(pattern, name), want, "{pattern} {name}");
        }
    }
    #[test]
    fn alternatives() {
        let b = |p: &str| braces(p).unwrap().join(" ");
        assert_eq!(b("a"), "a");
        assert_eq!(b("{foo/{,cat,dog},bar}"), "foo/ foo/cat foo/dog bar");
        assert_eq!(b("x{1,2}y{3,4}"), "x1y3 x1y4 x2y3 x2y4");
        assert_eq!(b("a{b"), "a{b");
        assert_eq!(b("a\\{b,c}"), "a\\{b,c}");
        assert_eq!(braces(&"{a,b}".repeat(30)), None);
    }
    proptest::proptest! {
        #[test]
        fn any_pattern_ends(pattern in "[a*?\\[\\]!{},\\\\/-]{0,30}", name in "[a\\]\\[-]{0,20}") {
            let _ = matches(&pattern, &name);
            let _ = braces(&pattern);
        }
    }
}
