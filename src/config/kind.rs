//! Every kind of message: its name for tools, how bad it is, what becomes of what it marks, and its text.
//!
//! One row each. The row makes a function that takes what the text names and gives a [`Message`], so that a message cannot be
//! made without its kind. kalived.conf(5), `allow(...)` and the tests read the same rows ([`KINDS`]). Names never change; a
//! text may. Read next: `diag.rs`.

use super::diag::Severity;
use std::fmt::Display;

/// What becomes of what a message marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It is used, or nothing was there to use.
    Stands,
    /// The statement has no effect, or another value is used; in a line of words, the word.
    Statement,
    /// The line has no effect.
    Line,
    /// These words have no effect, wherever they stand.
    Words,
}

/// One row of the table: a kind of message.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// Stable short name, in kebab-case: for JSON and for `allow(...)`. Kinds about the same mistake share it.
    pub code: &'static str,
    /// How bad it is, unless the place that makes the message knows better.
    pub severity: Severity,
    /// What becomes of what is marked, unless the place that makes the message knows better.
    pub fate: Fate,
    /// The text, as a format string.
    template: &'static str,
}

impl Kind {
    /// The text with `*` for every part that differs.
    pub fn shape(&self) -> String {
        let mut out = String::new();
        let mut rest = self.template.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '{' | '}' if rest.next_if_eq(&c).is_some() => out.push(c),
                '{' => {
                    rest.by_ref().find(|c| *c == '}');
                    out.push('*');
                }
                c => out.push(c),
            }
        }
        out
    }
}

/// A text of a kind.
#[derive(Clone, Debug)]
pub struct Message {
    /// The kind that the message belongs to.
    pub kind: &'static Kind,
    /// How bad this message is; by default that of its kind ([`Kind::severity`]).
    pub severity: Severity,
    /// What happens to the marked text; by default that of its kind ([`Kind::fate`]).
    pub fate: Fate,
    /// For people: one sentence without a full stop.
    pub text: String,
}

impl Message {
    fn new(kind: &'static Kind, text: String) -> Message {
        Message { kind, severity: kind.severity, fate: kind.fate, text }
    }
    /// The same message with this severity.
    pub fn severity(self, severity: Severity) -> Message {
        Message { severity, ..self }
    }
    /// What is marked comes to this.
    pub fn fate(self, fate: Fate) -> Message {
        Message { fate, ..self }
    }
}

/// The last element of the list for tools, where messages were too many.
pub const CUT: &str = "messages-cut";

macro_rules! kinds {
    ($($name:ident($($arg:ident),*) $severity:ident $fate:ident $code:literal $template:literal;)*) => {
        #[allow(non_camel_case_types)]
        enum Row { $($name),* }
        /// Every kind of message, in the order of the rows.
        pub static KINDS: &[Kind] = &[$(
            Kind { code: $code, severity: Severity::$severity, fate: Fate::$fate, template: $template }
        ),*];
        $(
            #[doc = $template]
            pub fn $name($($arg: impl Display),*) -> Message {
                Message::new(&KINDS[Row::$name as usize], format!($template))
            }
        )*
    };
}

#[rustfmt::skip]
kinds! {
    // The file
    unreadable(reason) Fatal Stands "unreadable-file" "cannot read the configuration: {reason}";
    empty_file() Fatal Stands "empty-file" "the configuration is empty";
    not_text(what) Fatal Stands "not-text" "the configuration is not a text file: {what}";
    nothing_to_run() Fatal Stands "nothing-to-run" "nothing to run: there is no usable vrrp_instance and no virtual_server";
    empty_image() Fatal Stands "nothing-to-run" "nothing to run: the image has no vrrp_instance and no virtual_server";
    bad_image(why) Fatal Stands "bad-image" "a compiled image that cannot be used: {why}";
    unfilled_template(what) Error Statement "unfilled-template" "a template was not filled in: `{what}` stands here";
    unfilled_template_lines(what, lines) Error Statement "unfilled-template" "a template was not filled in: `{what}` stands here, and {lines} lines are of that kind";
    odd_character(character, name, count) Error Statement "odd-character" "the character U+{character} ({name}) stands in {count} places of this file and is taken as it is";
    nul_byte() Error Line "nul-byte" "a NUL byte: the line is ignored";
    line_too_long(most) Error Statement "line-too-long" "a line longer than {most} bytes: it is ignored";
    no_such_name(name) Warning Stands "unknown-name" "there is no message with the name `{name}`";
    // What works on text
    include_without_name(word) Error Stands "include-failed" "`{word}` without a file name";
    include_words() Warning Words "extra-words" "more words than `include` takes: ignored";
    include_demands(name, word) Fatal Stands "include-not-found" "no file is there for `{name}`, which `{word}` demands";
    include_missing(name) Warning Stands "include-not-found" "`{name}` does not exist: nothing is included";
    include_without_match(name) Note Stands "include-not-found" "no file matches `{name}`: nothing is included";
    include_failed(path, why) Fatal Stands "include-failed" "`{path}` cannot be included: {why}";
    not_included(path, why) Warning Stands "include-failed" "`{path}` is not included: {why}";
    too_many_matches(most) Fatal Stands "text-limit" "the pattern has more than {most} matches: nothing is read";
    includes_itself(chain) Fatal Stands "include-failed" "a file includes itself: {chain}";
    includes_too_deep(most, chain) Fatal Stands "text-limit" "more than {most} files inside each other: {chain}";
    too_many_files(most, path) Fatal Stands "text-limit" "more than {most} files: `{path}` is not read";
    several_files(count, path) Note Stands "several-files" "{count} files match `{path}`: all are read, in this order, as one";
    repetitions_too_long(lines) Fatal Stands "text-limit" "repetitions make more than {lines} lines";
    replaced_too_long(bytes) Fatal Stands "text-limit" "replaced names make more than {bytes} bytes";
    too_many_names(most) Fatal Stands "text-limit" "more than {most} names are replaced";
    replaced_line_too_long(name, most, what) Error Statement "text-limit" "replacing `${name}` makes a line of more than {most} {what}: it is ignored";
    too_many_rounds(most) Error Statement "text-limit" "more than {most} conditions and names in a line: the rest is ignored";
    repetitions_too_deep(most) Error Line "text-limit" "more than {most} repetitions inside each other: the line is ignored";
    definition_too_long(most) Fatal Stands "text-limit" "a definition of more than {most} lines: the rest is left out";
    definitions_too_deep() Error Statement "text-limit" "multi-line definitions inside each other, too deep: ignored";
    definition_has_lines(name) Error Stands "bad-definition" "`${name}` has several lines: nothing may follow it on its line";
    circular_definition(name) Error Line "bad-definition" "`${name}` is defined by itself: the line is ignored";
    not_replaced(name) Warning Stands "bad-definition" "`${name}` is not replaced here";
    not_a_random_range() Error Statement "bad-random" "not a range of numbers: 0..32767 is used";
    random_range_reversed(low, high) Error Statement "bad-random" "the smallest number, {low}, is above the largest, {high}: {low} is used";
    condition_without_text() Note Stands "condition-without-effect" "a condition without anything after it: no effect";
    parenthesis_not_closed() Error Line "bad-repetition" "`(` without `)`: the line is ignored";
    bad_repetition(why) Error Line "bad-repetition" "{why}: the line is ignored";
    nothing_to_repeat() Warning Stands "bad-repetition" "nothing stands behind it that could be repeated";
    // Shape
    unclosed_quote() Error Stands "unclosed-quote" "unclosed quote";
    missing_open_brace(what) Error Stands "missing-open-brace" "missing `{{` after `{what}`";
    missing_close_brace(message, word) Error Stands "missing-close-brace" "{message}: `{word}` cannot stand inside an open block";
    missing_close_brace_at_end() Error Stands "missing-close-brace" "missing `}}` at the end of the file";
    stray_close_brace() Error Stands "stray-close-brace" "`}}` without a block that is open";
    stray_open_brace() Error Statement "stray-open-brace" "`{{` without a keyword: this block is ignored";
    nested_too_deep(most) Error Statement "nested-too-deep" "more than {most} blocks inside each other: ignored";
    block_missing(name) Error Statement "block-missing" "`{name}` needs a block in braces; ignored";
    block_not_allowed(name) Error Statement "block-not-allowed" "`{name}` takes no block; what is in the braces is ignored";
    block_in_address() Error Statement "block-not-allowed" "an address line takes no block; what is in the braces is ignored";
    block_after_interface() Error Statement "block-not-allowed" "a tracked interface takes no block; what is in the braces is ignored";
    block_after_object() Error Statement "block-not-allowed" "a tracked object takes no block; what is in the braces is ignored";
    block_in_line() Error Statement "block-not-allowed" "a line takes no block; what is in the braces is ignored";
    // Words
    misplaced_keyword(name, inside, block) Error Statement "misplaced-keyword" "`{name}` cannot stand {inside}{block}";
    unknown_keyword(name, inside, block) Error Statement "unknown-keyword" "unknown keyword `{name}` {inside}{block}";
    unknown_word_of_address(word) Error Statement "unknown-word" "unknown word `{word}` in an address line; ignored";
    unknown_word_of_interface(word) Error Statement "unknown-word" "unknown word `{word}` after a tracked interface; ignored";
    unknown_word_of_object(word) Error Statement "unknown-word" "unknown word `{word}` after a tracked object; ignored";
    unknown_word_of_peer(word) Error Statement "unknown-word" "unknown word `{word}` after a peer; ignored";
    unknown_word_after_weight(word) Error Statement "unknown-word" "unknown word `{word}` after the weight; ignored";
    unknown_word_in_line(word, scope) Error Line "unknown-word" "unknown word `{word}` in {scope}: the line is ignored";
    unknown_word(word, without) Error Stands "unknown-word" "unknown word `{word}`: {without}";
    no_such_number(what) Error Line "unknown-word" "unknown {what}: the line is ignored";
    no_effect(name, what, more) Note Stands "no-effect-yet" "`{name}` is {what}{more}";
    unsupported_lifetime() Note Stands "unsupported-value" "a limited `preferred_lft` is not supported yet: forever is used";
    extra_words() Note Words "extra-words" "more words than the keyword takes: ignored";
    extra_address() Error Words "extra-words" "more than one address: the rest is ignored";
    repeated_command(name) Error Statement "repeated-keyword" "`{name}` a second time in this block: this one is ignored";
    repeated_keyword(name) Note Stands "repeated-keyword" "`{name}` a second time in this block: the last one counts";
    old_name(name, now) Note Stands "old-name" "`{name}` is the old name of `{now}`";
    old_form_of_host() Note Stands "old-name" "`host` is an old form: it works";
    // Values
    missing_value(name) Fatal Stands "missing-value" "`{name}` without a value";
    missing_value_in_line(name, without) Error Stands "missing-value" "`{name}` without a value; {without}";
    missing_value_of_address(name) Error Statement "missing-value" "`{name}` without a value; ignored";
    missing_weight() Error Statement "missing-value" "`weight` without a value; ignored";
    missing_delay() Error Line "missing-value" "an interface without a delay; the line is ignored";
    not_a_number(value, ignored) Error Statement "not-a-number" "`{value}` is not a number{ignored}";
    not_a_priority(name) Error Statement "not-a-number" "not a number: `{name}` is ignored";
    not_plain(value, number) Warning Stands "not-a-number" "`{value}` is not a plain number: {number} is used";
    out_of_range(value, ignored) Error Statement "out-of-range" "{value} is out of range{ignored}";
    weight_out_of_range(value, near) Error Statement "out-of-range" "{value} is out of range: {near} is used";
    out_of_range_for(value, name, near) Error Statement "out-of-range" "{value} is out of range for `{name}`: {near} is used";
    status_out_of_range(value, name) Error Statement "out-of-range" "{value} is out of range: this word of `{name}` is ignored";
    too_small(name, least) Error Statement "out-of-range" "`{name}` must be at least {least}: {least} is used";
    very_large(name) Note Stands "out-of-range" "`{name}` is very large";
    too_precise(count) Warning Stands "too-precise" "more than {count} decimals: the rest is dropped";
    not_a_boolean(value) Error Statement "not-a-boolean" "`{value}` is neither true, on, yes nor false, off, no; ignored";
    bad_address(value, without) Error Stands "bad-address" "`{value}` is not an IP address; {without}";
    bad_address_of(value, name) Error Statement "bad-address" "`{value}` is not an IP address: `{name}` is ignored";
    bad_address_line(value) Error Line "bad-address" "`{value}` is not an IP address; the line is ignored";
    bad_ipv4_address(value) Error Statement "bad-address" "`{value}` is not an IPv4 address; ignored";
    not_a_host(addr) Error Line "bad-address" "`{addr}` cannot be the address of a host; the line is ignored";
    bad_mcast_src() Error Statement "bad-address" "`mcast_src_ip` is not the address of a host; ignored";
    bad_unicast_src() Error Statement "bad-address" "`unicast_src_ip` is not the address of a host; ignored";
    unicast_src_of_other_family() Error Statement "mixed-families" "`unicast_src_ip` is of the other address family than the instance; ignored";
    bad_peer(addr) Error Statement "not-a-peer" "peer {addr} is not the address of another host; ignored";
    peer_of_other_family_than(addr, family) Error Statement "mixed-families" "peer {addr} is of the other address family than the instance: it has {family} addresses; ignored";
    bad_group4() Error Statement "bad-group" "not an IPv4 multicast address; ignored";
    bad_group6() Error Statement "bad-group" "not an IPv6 multicast address; ignored";
    group_not_link_local() Warning Stands "bad-group" "the group is not of link-local scope";
    bad_mcast_dst(want) Error Statement "bad-address" "`mcast_dst_ip` is not {want} multicast address; ignored";
    bad_prefix(value, used) Error Statement "bad-prefix" "bad prefix length in `{value}`: /{used} is used";
    prefix_ignored(name, addr) Note Stands "bad-prefix" "`{name}` takes no prefix length: {addr} is used";
    no_broadcast(prefix) Warning Stands "no-broadcast" "a /{prefix} has no broadcast address; ignored";
    bad_interface_name(name) Error Statement "bad-interface-name" "no interface can have the name `{name}`; ignored";
    bad_scope(value) Error Statement "bad-scope" "unknown scope `{value}`; ignored";
    bad_label(value) Error Statement "bad-label" "label `{value}` has not 1 to 15 bytes; ignored";
    bad_lifetime(value) Error Statement "bad-lifetime" "`{value}` is not a lifetime; ignored";
    bad_weight() Error Statement "bad-weight" "not a weight: 0 is used, so that this interface down means FAULT";
    bad_processor(value) Error Statement "bad-processor" "`{value}` is not a processor number: the whole list is ignored";
    label_is_ipv4() Error Statement "ipv4-only" "IPv6 addresses have no label; ignored";
    broadcast_is_ipv4() Error Statement "ipv4-only" "IPv6 addresses have no broadcast address; ignored";
    unknown_state(value) Error Statement "unknown-state" "unknown state `{value}`: BACKUP is used";
    unknown_auth_type(value) Error Stands "unknown-auth-type" "unknown auth_type `{value}`: adverts are not authenticated";
    zero_interval(name) Error Statement "zero-interval" "`{name}` must not be 0: 1 second is used";
    zero_connect_timeout() Error Statement "zero-interval" "`smtp_connect_timeout` must not be 0: 1 second is used";
    relative_path(name) Error Statement "bad-path" "`{name}` is not an absolute path: it is ignored";
    relative_fifo(owner, path) Error Stands "bad-path" "{owner}: {path} is not an absolute path: it is not made";
    no_program(name) Error Statement "no-program" "`{name}` names no program: it is ignored";
    defined_below(name) Note Stands "defined-below" "`{name}` is defined below: keepalived does not use it here, kalived does";
    undefined_name(name, owner, what) Error Statement "undefined-name" "`{name}` in {owner} is no {what} of this file: it is ignored";
    bad_value(value, without) Error Stands "bad-value" "`{value}` cannot be used here: {without}";
    bad_host(value, without) Error Stands "bad-host" "`{value}` is not the name of a host: {without}";
    name_too_long(value, most, name) Error Statement "name-too-long" "`{value}` is longer than {most} bytes: `{name}` is ignored";
    bfd_name_too_long(most) Error Statement "name-too-long" "the name of a bfd_instance has at most {most} bytes: the block is ignored";
    password_not_utf8() Fatal Stands "not-utf8" "`auth_pass` holds bytes that are not UTF-8";
    // Settings that need or exclude others
    word_needs_address(word, what) Warning Statement "needs-another-setting" "`{word}` needs {what}: it is ignored";
    use_vmac_without_dev() Error Statement "needs-another-setting" "`use_vmac` needs `dev` in an address line: it is ignored";
    use_vmac_of_static() Error Statement "needs-another-setting" "`use_vmac` is for addresses of an instance: it is ignored";
    needs_nopreempt() Error Statement "needs-another-setting" "`timer_expired_backup` needs `nopreempt`: it is ignored";
    needs_priority_255() Error Statement "needs-another-setting" "`owner_ignore_adverts` is for priority 255: it is ignored";
    ttl_without_peer() Error Statement "needs-another-setting" "`unicast_ttl` without `unicast_peer`: it is ignored";
    hashed_without_hash() Error Statement "needs-another-setting" "`hashed` needs `lb_algo sh` or mh before it: it is ignored";
    suspend_without_address() Error Statement "needs-another-setting" "`ha_suspend` needs a service with one address: it is ignored";
    needs_sorry_server(name) Error Statement "needs-another-setting" "`{name}` needs `sorry_server` before it: it is ignored";
    for_scheduler(name, scheduler) Note Stands "needs-another-setting" "`{name}` is for `lb_algo {scheduler}`: it is ignored";
    needs_scheduler(name, scheduler) Error Statement "needs-another-setting" "`{name}` needs `lb_algo {scheduler}` before it: it is ignored";
    ops_without_udp() Error Statement "needs-another-setting" "`ops` is for UDP: it is ignored";
    goto_without_preference() Error Stands "needs-another-setting" "`goto` needs a `preference` of the rule itself, and a larger one to go to";
    quorum_max_below(max, quorum) Error Statement "settings-conflict" "`quorum_max` {max} is below `quorum` {quorum}: it is ignored";
    max_hops_above_ttl(hops, ttl) Error Statement "settings-conflict" "`max_hops` {hops} is above the ttl: {ttl} is used";
    offsets_reversed() Error Statement "settings-conflict" "`regex_min_offset` is not below `regex_max_offset`: both are ignored";
    regex_unusable(why) Error Statement "bad-regex" "the regex cannot be used: {why}; the status alone decides";
    other_ip_family() Error Statement "settings-conflict" "`ip_family` is not the family of the address: it is ignored";
    quorum_above_weights(quorum, sum) Error Statement "settings-conflict" "`quorum` {quorum} is above the sum of the weights: {sum} is used";
    no_weight() Error Statement "settings-conflict" "all weights are 0: the quorum is never reached";
    source_of_other_family(addr) Error Statement "mixed-families" "`bindto` {addr} is not of the family that is checked: it is ignored";
    hysteresis_above_quorum(hysteresis, quorum, near) Error Statement "settings-conflict" "`hysteresis` {hysteresis} is not below `quorum` {quorum}: {near} is used";
    vmac_and_ipvlan() Error Statement "settings-conflict" "`use_vmac` and `use_ipvlan` exclude each other: this one is ignored";
    own_name_taken(name, interface) Error Statement "settings-conflict" "vrrp_instance {name}: another interface of this file is called {interface}: a name is made from the VRID";
    vrf_without_peer() Error Statement "needs-another-setting" "`vrf` is for unicast peers: it is ignored";
    own_without_interface() Error Statement "needs-another-setting" "`use_vmac` and `use_ipvlan` need `interface`: ignored";
    own_in_strict_mode() Error Statement "settings-conflict" "strict mode allows neither `vmac_xmit_base` nor a MAC address of one's own: ignored";
    second_target(name) Error Statement "settings-conflict" "a vrrp_check has one target: `{name}` is ignored";
    table_of_vrf() Error Line "settings-conflict" "`table` and `vrf` name two tables: the line is ignored";
    way_of_nowhere() Error Line "settings-conflict" "a route that leads nowhere has no way: the line is ignored";
    ipv4_gateway() Error Line "mixed-families" "an IPv6 route cannot have an IPv4 gateway: the line is ignored";
    // Blocks
    no_members(owner) Error Statement "empty-block" "{owner} has no members: it is ignored";
    single_member(owner) Warning Stands "single-member" "{owner} has one member only: nothing is synchronised";
    no_script(name) Error Statement "empty-block" "vrrp_script `{name}` has no script: it is ignored";
    no_file(name) Error Statement "empty-block" "track_file `{name}` has no file: it is ignored";
    no_process(name) Error Statement "empty-block" "vrrp_track_process `{name}` has no process: it is ignored";
    no_neighbor(name) Error Statement "empty-block" "bfd_instance `{name}` has no neighbor_ip: it is ignored";
    no_target(name) Error Statement "empty-block" "vrrp_check `{name}` has no target: it is ignored";
    garp_group_without_interval() Error Statement "empty-block" "garp_group without an interval: it is ignored";
    check_without(name, missing) Error Statement "empty-block" "`{name}` without `{missing}`: this check is ignored";
    url_without_path() Error Statement "empty-block" "`url` without `path`: it is ignored";
    no_mail_address() Warning Stands "empty-block" "`notification_email` is empty: no mail is sent";
    empty_server_group(name) Error Statement "empty-block" "virtual_server_group `{name}` is empty: it is ignored";
    no_real_server() Error Statement "empty-block" "virtual_server without a real_server: it is ignored";
    duplicate_name(kind, name) Error Statement "duplicate-name" "a second {kind} `{name}`: this block is ignored";
    member_twice(group, name) Error Statement "duplicate-member" "vrrp_sync_group {group} names `{name}` twice";
    member_of_other_group(name, first, group) Error Statement "duplicate-member" "`{name}` is in vrrp_sync_group {first} already: {group} does not get it";
    owners_and_others(group) Warning Stands "settings-conflict" "vrrp_sync_group {group} has members with priority 255 and others: those with 255 wait for them";
    tracked_twice(name, instance, group) Warning Stands "tracked-twice" "`{name}` is tracked by vrrp_instance {instance} and by its vrrp_sync_group {group}";
    weight_of_owner(name) Error Stands "weight-of-owner" "priority 255 is never changed: `{name}` is not tracked";
    rule_without_preference(n) Note Stands "rule-without-preference" "a rule without a preference: it gets {n}";
    rule_without_action() Error Line "rule-incomplete" "a rule without an action: the line is ignored";
    rule_of_two_families() Error Line "mixed-families" "a rule with addresses of two families: the line is ignored";
    route_without_destination() Error Line "route-incomplete" "a route without a destination: the line is ignored";
    route_of_two_families() Error Line "mixed-families" "a route with addresses of two families: the line is ignored";
    bfd_of_two_families() Error Statement "mixed-families" "`source_ip` and `neighbor_ip` are of two address families: the block is ignored";
    peer_of_other_family() Error Statement "mixed-families" "the peer is of the other address family; ignored";
    address_of_other_family(addr, family) Error Statement "mixed-families" "{addr} in an {family} instance: adverts carry one address family only; ignored";
    mcast_src_of_other_family() Error Statement "mixed-families" "`mcast_src_ip` is of the other address family than the instance; ignored";
    peer_line_of_other_family(addr) Error Line "mixed-families" "{addr} is of the other address family: the line is ignored";
    real_server_of_other_family(addr) Error Statement "mixed-families" "real_server {addr} is of another address family than its service: it is ignored";
    sorry_server_of_other_family() Error Statement "mixed-families" "`sorry_server` is of another address family: it is ignored";
    duplicate_real_server(addr, port) Error Statement "duplicate-real-server" "real_server {addr} {port} a second time: it is ignored";
    no_scheduler() Error Statement "default-used" "virtual_server without a scheduler: wlc is used";
    no_method() Error Statement "default-used" "virtual_server without a forwarding method: NAT is used";
    no_protocol() Error Statement "default-used" "virtual_server without a protocol: UDP is used";
    no_persistence(seconds) Error Statement "default-used" "a service without a port needs persistence: {seconds} seconds are used";
    protocol_of_mark() Warning Stands "port-ignored" "a service with a mark has no protocol of its own: it is ignored";
    port_of_mark(changed) Error Statement "port-ignored" "only NAT has ports behind a mark: the port of {changed} is ignored but for their checks";
    port_without_nat(service, changed) Error Statement "port-ignored" "only NAT can change the port: {service} is used for {changed} of the real servers; their checks connect to the port that is written";
    no_active_key() Fatal Stands "bad-key" "`auth_hmac` without an `active_key` that is one of its keys";
    auth_beside_hmac() Error Statement "auth-ignored" "`authentication` beside `auth_hmac`: it is ignored";
    key_file(path, why) Fatal Stands "bad-key" "the key in `{path}` cannot be used: {why}";
    bad_key() Error Statement "bad-key" "the key has not 32 to 64 bytes: `key` is ignored";
    duplicate_bfd(name, first) Error Statement "duplicate-bfd-session" "bfd_instance `{name}` has the addresses of `{first}`: this block is ignored";
    duplicate_key(id) Error Statement "bad-key" "key {id} is given already: `key` is ignored";
    // Instances
    loopback() Fatal Stands "loopback" "VRRP cannot run on the loopback interface";
    no_interface(name) Fatal Stands "missing-interface" "vrrp_instance `{name}` has no interface";
    no_vrid(name) Fatal Stands "missing-vrid" "vrrp_instance `{name}` has no virtual_router_id";
    address_without_dev(name) Fatal Stands "address-without-dev" "vrrp_instance `{name}` has no interface, and an address of it no `dev`";
    no_address(name) Warning Stands "missing-address" "vrrp_instance `{name}` has no virtual_ipaddress";
    no_address_strict(name) Fatal Stands "missing-address" "vrrp_instance `{name}` has no virtual_ipaddress, which strict mode needs";
    no_address_v3(name) Fatal Stands "missing-address" "vrrp_instance `{name}` has no virtual_ipaddress, which version 3 needs";
    duplicate_vrid(vrid, on, family) Fatal Statement "duplicate-vrid" "virtual_router_id {vrid} is used twice on {on} for {family}";
    duplicate_vrid_of_peer(vrid, family) Fatal Statement "duplicate-vrid" "virtual_router_id {vrid} is used twice with one unicast peer for {family}";
    duplicate_address(addr) Error Statement "duplicate-address" "{addr} stands twice in this instance; adverts have it as often";
    duplicate_track(name) Error Statement "duplicate-track" "{name} is tracked already; ignored";
    duplicate_track_line(name) Error Line "duplicate-track" "`{name}` is tracked already: this line is ignored";
    own_interface_tracked(name) Error Statement "own-interface-tracked" "{name} is the instance's own interface and tracked anyway; ignored";
    too_many_addresses() Warning Stands "too-many-addresses" "an advert carries at most 255 addresses: from here on they are treated as excluded ones";
    interface_missing(name, owner) Warning Stands "interface-missing" "interface `{name}` of {owner} does not exist";
    nopreempt_unused(why) Warning Stands "nopreempt-with-master" "`nopreempt` has no effect with {why}";
    preempt_delay_unused_strict() Warning Stands "preempt-delay-unused" "`preempt_delay` has no effect in strict mode";
    preempt_delay_unused() Warning Stands "preempt-delay-unused" "`preempt_delay` has no effect with `nopreempt`";
    preempt_delay_unused_master() Warning Stands "preempt-delay-unused" "`preempt_delay` has no effect with state MASTER";
    strict_master() Warning Stands "strict-master" "in strict mode only priority 255 may say state MASTER: BACKUP is used";
    owner_by_default() Note Stands "owner-by-default" "`state MASTER` without `priority`: priority is 255, the owner of the addresses";
    owner_accepts(name) Warning Stands "accept-mode" "`{name}` owns its addresses (priority 255): packets to them are accepted";
    accept_in_version_2(name) Warning Stands "accept-mode" "VRRP version 2 has no accept mode: in strict mode packets to the addresses of `{name}` are dropped";
    version2_ipv6() Error Statement "version2-ipv6" "version 2 has no IPv6: version 3 is used";
    v2_interval(seconds) Fatal Stands "v2-fraction" "VRRP version 2 cannot announce an interval of {seconds} s";
    v3_interval(seconds) Fatal Stands "v3-interval" "VRRP version 3 cannot announce an interval of {seconds} s";
    v3_interval_rounded(seconds) Warning Stands "v3-interval" "VRRP version 3 counts hundredths of a second: {seconds} s is used";
    auth_in_strict_mode() Warning Stands "auth-without-effect" "strict mode has no authentication: the block is ignored";
    auth_in_version_3() Warning Stands "auth-without-effect" "VRRP version 3 has no authentication: the block is ignored";
    password_too_long() Warning Stands "auth-pass-too-long" "`auth_pass` is longer than 8 bytes: only the first 8 are used";
    no_password(name) Error Stands "auth-incomplete" "`auth_pass` is missing: adverts of `{name}` are not authenticated";
    no_auth_type(name) Error Stands "auth-incomplete" "`auth_type` is missing: adverts of `{name}` are not authenticated";
    comment_in_password(sign) Note Stands "comment-in-password" "`{sign}` starts a comment: the password ends before it";
    // Unicast
    no_peer(what, then) Warning Stands "unicast-without-peer" "`unicast_peer` without {what}: {then}";
    no_peer_left() Warning Stands "unicast-without-peer" "no unicast peer is left: adverts go to the multicast group";
    no_peer_fault() Warning Stands "unicast-without-peer" "no unicast peer, and `unicast_fault_no_peer`: the instance will be in FAULT";
    src_without_peer() Note Stands "unicast-without-peer" "`unicast_src_ip` without `unicast_peer`: adverts go to the multicast group";
    strict_unicast() Fatal Stands "strict-unicast" "strict mode has no unicast peers";
    too_many_peers(count, most) Fatal Stands "too-many-peers" "{count} unicast peers: at most {most} are possible";
    duplicate_peer(addr) Error Line "duplicate-peer" "{addr} is a peer already: the line is ignored";
    ttl_range_reversed(min, max, addr) Error Statement "bad-ttl-range" "min_ttl {min} is above max_ttl {max}: no advert of {addr} would count; both ignored";
    // Lints
    address_in_two_instances(addr, instance, other) Warning Stands "address-in-two-instances" "{addr} of `{instance}` is an address of `{other}` too";
    first_not_link_local(addr, instance) Warning Stands "ipv6-first-not-link-local" "{addr} is the first address of `{instance}` and not link-local";
    prefix_differs(addr, prefix, interface, own, own_prefix) Warning Stands "prefix-differs" "{addr}/{prefix} on {interface}, which has {own}/{own_prefix}";
    vip_is_own(addr, instance, on, priority) Warning Stands "vip-is-own-address" "{addr} of `{instance}` is the address of {on} itself, and priority {priority} is not the owner's";
    weight_without_effect(weight, name, priority, instance) Warning Stands "weight-without-effect" "weight {weight} of {name} cannot change priority {priority} of `{instance}`";
    peer_is_ourselves(instance, own) Warning Stands "peer-is-ourselves" "`{instance}` has its own address {own} as a peer";
    quoted_program(owner, program) Warning Stands "quoted-program" "a program of {owner} begins with a quote: {program}";
    program_missing(program, owner) Warning Stands "script-missing" "{program} of {owner} does not exist";
    strict_hides(name) Warning Stands "strict-hides-addresses" "strict mode hides the addresses of `{name}`";
    weight_in_group(instance, group, name) Warning Stands "sync-group-weight" "`{instance}` of vrrp_sync_group {group} tracks {name} with a weight";
    unused_check(name) Warning Stands "unused-check" "vrrp_check `{name}` is used by nobody";
    unused_script(name) Warning Stands "unused-script" "vrrp_script `{name}` is used by nobody";
    // Commands on this machine
    init_file(name, path, why) Warning Stands "init-file" "track_file `{name}`: {path} could not be made: {why}";
    tls_file(word, path, why) Warning Stands "tls-file" "SSL: the {word} {path} cannot be used: {why}";
    no_system_ca() Warning Stands "tls-file" "`verify` is used and there are no certificates to verify with: SSL has no `ca`, and the system has none. Each such check fails";
    no_default_user(user, then) Error Stands "no-script-user" "default user '{user}' for script execution does not exist: {then}";
    no_such_user(owner, why) Error Stands "no-script-user" "{owner}: {why} on this machine: it is not run";
    no_shebang(path) Warning Stands "no-shebang" "Please add a #! shebang to script {path}";
    script_without_path(name, path) Warning Stands "script-without-path" "script `{name}` resolved by path search to `{path}`. Please specify full path.";
    group_of_other_family(service, entry) Warning Stands "server-group-family" "virtual_server {service} is not served at {entry}: no real_server is of that address family";
    suspended_by_own(instance, name, addr) Warning Stands "suspended-by-own-address" "vrrp_instance `{instance}` tracks {name}, whose checks are suspended while {addr} is not here: it has that address only while it is Master";
    ipvs_estimation_of(count, name) Warning Stands "ipvs-estimation" "{count} real servers, and {name} is 1: every 2 s the kernel holds up everything else while it works out the rates of all";
    ipvs_loop(addr) Warning Stands "ipvs-loop" "the real server {addr} of this virtual_server is this host, which is a director, too: while it is Backup it balances again what the Master sends it";
    ipvs_arp_of(name) Warning Stands "ipvs-arp" "a real server of this virtual_server is this host, and {name} is 0";
    ipvs_quiescent_of(name) Warning Stands "ipvs-persistent-quiescent" "clients stay with a server of this virtual_server that failed: {name} is 0";
    ipvs_removed_of(name) Warning Stands "ipvs-removed-servers" "connections to a failed server of this virtual_server hang: {name} is 0";
    ipvs_reuse_of(name) Warning Stands "ipvs-conn-reuse" "{name} is 0";
    script_missing(owner, program, why) Warning Stands "script-missing" "{owner}: {program} cannot be run: {why}";
    stops_keepalived(owner, what, words) Warning Stands "stops-keepalived" "{owner}: {what} stops keepalived, not kalived: `{words}`";
    no_shell(odd, program) Note Stands "no-shell" "`{odd}` is an argument of {program} here: no shell runs the command";
    insecure_script(path, weak) Error Stands "insecure-script" "Unsafe permissions found for script '{path}' - disabling: {weak}";
    insecure_script_run(weak) Warning Stands "insecure-script" "SECURITY VIOLATION - scripts are being executed but script_security not enabled: {weak}";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_their_shapes() {
        let m = missing_open_brace("x");
        assert_eq!((m.text.as_str(), m.kind.shape().as_str()), ("missing `{` after `x`", "missing `{` after `*`"));
        assert_eq!(m.kind.code, "missing-open-brace");
    }
    #[test]
    fn names_are_kebab_case() {
        for k in KINDS {
            assert!(k.code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{}", k.code);
        }
    }
}
