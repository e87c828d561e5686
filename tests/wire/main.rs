//! The codecs from outside: the project's wire vectors, round trips, exact bytes, and hostile input.

#![allow(clippy::unwrap_used)] // a test that panics has failed, which is what a helper wants too

mod frames;
mod netlink;
mod receiver;
mod roundtrip;
mod vectors;

/// Bytes from hexadecimal digits; blanks and line ends are ignored.
fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).expect("two hexadecimal digits"))
        .collect()
}
