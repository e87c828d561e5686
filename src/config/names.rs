//! The short stable name of each kind of message, for JSON and for `# kalived: allow(NAME)`.
//!
//! A kind is known by the shape of its text, so that the sentence people read and the name tools read stand side by side in
//! one list; the list is also what kalived.conf(5) prints. A test asks that every message any test provokes has a row.
//! Lints name themselves (`lint.rs`). Names never change; a text may.

/// One kind: its name, the shape of its text (`*` is any text).
pub type Kind = (&'static str, &'static str);

/// What a message without a row is called. No test provokes one.
pub const OTHER: &str = "other";

/// The last element of the list for tools, where messages were too many.
pub const CUT: &str = "messages-cut";

/// Every kind, the first that fits counts.
#[rustfmt::skip]
pub const KINDS: &[Kind] = &[
    // The file
    ("unreadable-file", "cannot read the configuration: *"),
    ("empty-file", "the configuration is empty"),
    ("not-text", "the configuration is not a text file: *"),
    ("nothing-to-run", "nothing to run: *"),
    ("unfilled-template", "a template was not filled in: *"),
    ("odd-character", "the character U+* stands in * places of this file*"),
    ("nul-byte", "a NUL byte: *"),
    ("line-too-long", "a line longer than *"),
    ("not-utf8", "`*` holds bytes that are not UTF-8"),
    // What works on text
    ("include-not-found", "`*` does not exist: nothing is included"),
    ("include-not-found", "no file is there for `*`*"),
    ("include-not-found", "no file matches `*`*"),
    ("include-failed", "`*` cannot be included*"),
    ("include-failed", "`*` is not included*"),
    ("include-failed", "`*` without a file name"),
    ("several-files", "* files match `*`*"),
    ("text-limit", "more than * files*"),
    ("text-limit", "more than * names are replaced*"),
    ("text-limit", "replaced names make more than *"),
    ("text-limit", "replacing `*` makes a line of more than *"),
    ("text-limit", "repetitions make more than *"),
    ("text-limit", "more than * repetitions inside each other*"),
    ("text-limit", "a definition of more than * lines*"),
    ("text-limit", "multi-line definitions inside each other*"),
    ("bad-definition", "`$*` has several lines*"),
    ("bad-definition", "`$*` is defined by itself*"),
    ("bad-definition", "`$*` is not replaced here*"),
    ("bad-random", "not a range of numbers*"),
    ("bad-random", "the smallest number, *"),
    ("bad-repetition", "a value is not a whole number*"),
    ("bad-repetition", "every group must have as many values*"),
    ("bad-repetition", "nothing stands behind it *"),
    ("bad-repetition", "the first word must be a name*"),
    ("bad-repetition", "the step does not lead *"),
    ("bad-repetition", "there is no value*"),
    // Shape
    ("unclosed-quote", "unclosed quote*"),
    ("missing-open-brace", "missing `{` *"),
    ("missing-close-brace", "missing `}` *"),
    ("stray-close-brace", "`}` without *"),
    ("stray-open-brace", "`{` without *"),
    ("nested-too-deep", "more than * blocks inside each other*"),
    ("block-missing", "`*` needs a block in braces*"),
    ("block-not-allowed", "* takes no block; *"),
    // Words
    ("misplaced-keyword", "`*` cannot stand *"),
    ("unknown-keyword", "unknown keyword *"),
    ("unknown-word", "unknown word *"),
    ("no-effect-yet", "`*` is checked and kept, but *"),
    ("unsupported-keyword", "`*` is not supported yet*"),
    ("unsupported-value", "* not supported yet*"),
    ("extra-words", "more words than *"),
    ("repeated-keyword", "`*` a second time in this block*"),
    ("old-name", "`*` is the old name of *"),
    ("old-name", "`*` is an old form: *"),
    // Values
    ("missing-value", "`*` without a value*"),
    ("not-a-number", "* is not a plain number*"),
    ("not-a-number", "*not a number*"),
    ("out-of-range", "*out of range*"),
    ("out-of-range", "`*` must be at least *"),
    ("out-of-range", "`*` is very large"),
    ("too-precise", "more than six decimals*"),
    ("not-a-boolean", "`*` is neither true*"),
    ("bad-address", "`*` is not an * address*"),
    ("bad-address", "`*` cannot be the address of a host*"),
    ("bad-address", "* is not the address of a host*"),
    ("bad-group", "* multicast address*"),
    ("bad-group", "the group is not of link-local scope"),
    ("bad-prefix", "bad prefix length *"),
    ("bad-prefix", "`*` takes no prefix length*"),
    ("no-broadcast", "a /* has no broadcast address*"),
    ("bad-interface-name", "no interface can have the name *"),
    ("bad-scope", "unknown scope *"),
    ("bad-label", "label `*` has not *"),
    ("bad-lifetime", "`*` is not a lifetime*"),
    ("bad-weight", "not a weight*"),
    ("bad-processor", "`*` is not a processor number*"),
    ("ipv4-only", "IPv6 addresses have no *"),
    ("unknown-state", "unknown state *"),
    ("unknown-auth-type", "unknown auth_type *"),
    ("too-precise", "more than * decimals*"),
    ("extra-words", "more than one address: *"),
    ("zero-interval", "`*` must not be 0*"),
    ("bad-path", "`*` is not an absolute path*"),
    ("no-program", "`*` names no program*"),
    ("defined-below", "`*` is defined below: *"),
    ("undefined-name", "`*` in * is no * of this file*"),
    ("needs-another-setting", "`*` needs *"),
    ("needs-another-setting", "`*` is for *"),
    ("needs-another-setting", "`unicast_ttl` without `unicast_peer`*"),
    ("bad-value", "`*` cannot be used here*"),
    ("condition-without-effect", "a condition without *"),
    // Blocks
    ("empty-block", "* has no members*"),
    ("empty-block", "* has no script*"),
    ("empty-block", "* has no file*"),
    ("empty-block", "* has no process*"),
    ("empty-block", "vrrp_check `*` has no target*"),
    ("settings-conflict", "a vrrp_check has one target*"),
    ("stops-keepalived", "*: * stops keepalived, not kalived: *"),
    ("no-shell", "* here: no shell runs the command"),
    ("empty-block", "* has no neighbor_ip*"),
    ("empty-block", "garp_group without an interval*"),
    ("empty-block", "`*` without `*`: this check is ignored"),
    ("empty-block", "`url` without *"),
    ("empty-block", "`notification_email` is empty*"),
    ("weight-of-group", "* tracks `*` with a weight: *"),
    ("tracked-twice", "`*` is tracked by *"),
    ("rule-without-preference", "a rule without a preference*"),
    ("bad-host", "`*` is not the name of a host*"),
    ("weight-of-owner", "priority 255 is never changed*"),
    ("empty-block", "virtual_server_group `*` is empty*"),
    ("empty-block", "virtual_server without a real_server*"),
    ("single-member", "* has one member only*"),
    ("name-too-long", "the name of a * has at most *"),
    ("settings-conflict", "`*` is above *"),
    ("settings-conflict", "`max_hops` * is above the ttl*"),
    ("settings-conflict", "`*` * is below *"),
    ("settings-conflict", "`*` is not below *"),
    ("settings-conflict", "`*` * is not below *"),
    ("settings-conflict", "`*` * is above the sum of the weights*"),
    ("settings-conflict", "* exclude each other*"),
    ("settings-conflict", "`ip_family` is not the family of the address*"),
    ("mixed-families", "* of two *families*"),
    ("mixed-families", "* of another address family*"),
    ("route-incomplete", "a route without a destination*"),
    ("default-used", "virtual_server without a *"),
    ("default-used", "* without a port needs persistence*"),
    ("port-ignored", "* gives its real servers no port*"),
    ("port-ignored", "only NAT can change the port*"),
    ("port-ignored", "a service with a mark has no *"),
    ("duplicate-real-server", "real_server * a second time*"),
    ("duplicate-peer", "* is a peer already*"),
    ("bad-key", "`auth_hmac` without an `active_key` *"),
    ("bad-key", "key * is given already*"),
    ("bad-key", "the key has not 32 to 64 bytes*"),
    // Instances
    ("loopback", "VRRP cannot run on the loopback interface"),
    ("address-without-dev", "vrrp_instance `*` has no interface, and an address *"),
    ("missing-interface", "vrrp_instance `*` has no interface"),
    ("missing-vrid", "vrrp_instance `*` has no virtual_router_id"),
    ("missing-address", "vrrp_instance `*` has no virtual_ipaddress*"),
    ("duplicate-name", "a second *"),
    ("duplicate-vrid", "virtual_router_id * is used twice *"),
    ("duplicate-address", "* stands twice in this instance*"),
    ("duplicate-track", "* is tracked already*"),
    ("own-interface-tracked", "* is the instance's own interface *"),
    ("mixed-families", "*one address family only*"),
    ("mixed-families", "*of the other address family*"),
    ("too-many-addresses", "an advert carries at most *"),
    ("interface-missing", "interface `*` of * does not exist"),
    // Settings that contradict each other
    ("nopreempt-with-master", "`nopreempt` has no effect *"),
    ("preempt-delay-unused", "`preempt_delay` has no effect *"),
    ("strict-master", "in strict mode only priority 255 *"),
    ("owner-by-default", "`state MASTER` without `priority`*"),
    ("strict-mode-partial", "strict mode is done but *"),
    ("version2-ipv6", "version 2 has no IPv6*"),
    ("v2-fraction", "VRRP version 2 cannot announce *"),
    ("v3-interval", "VRRP version 3 c*"),
    ("auth-pass-too-long", "`auth_pass` is longer than 8 bytes*"),
    ("auth-incomplete", "`auth_*` is missing*"),
    ("auth-without-effect", "* has no authentication: *"),
    ("comment-in-password", "`*` starts a comment*"),
    ("unicast-without-peer", "no unicast peer*"),
    ("not-a-peer", "peer * is not the address of another host*"),
    ("too-many-peers", "* unicast peers: at most *"),
    ("strict-unicast", "strict mode has no unicast peers"),
    ("bad-ttl-range", "min_ttl * is above max_ttl *"),
    ("unicast-without-peer", "`unicast_peer` without a peer*"),
    ("unicast-without-peer", "`unicast_src_ip` without `unicast_peer`*"),
    ("undefined-variable", "`$*` is not defined*"),
];

/// The name of a message.
pub fn of(message: &str) -> &'static str {
    KINDS.iter().find(|k| fits(k.1, message)).map_or(OTHER, |k| k.0)
}

/// Names of messages about commands on this machine, which say themselves what they are (`scripts.rs`).
pub const OF_MACHINE: &[&str] = &[
    "script-missing",
    "script-without-path",
    "no-shebang",
    "no-script-user",
    "insecure-script",
    "init-file",
    "unknown-name",
];

/// Whether a text has a shape. Greedy from the left; the part after the last `*` must be the end.
fn fits(shape: &str, text: &str) -> bool {
    let mut parts = shape.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or("");
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        for (shape, text, want) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b", "ab", true),
            ("*b", "abc", false),
            ("`*` is not*", "`x` is not so", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c2b", false),
            ("", "", true),
        ] {
            assert_eq!(fits(shape, text), want, "{shape} {text}");
        }
    }
    #[test]
    fn names_are_kebab_case() {
        for (name, shape) in KINDS {
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{name}");
            assert!(*name != OTHER && !shape.is_empty(), "{name}");
        }
    }
}
