//! The VRRP machine in virtual time: the transition table, every duration to the nanosecond, and what each input makes a
//! whole [`World`](kalived::world::World) do. Read first: `bench.rs`, the bench every test here puts a world on.

mod bench;
mod kernel_state;
mod life;
mod pause;
#[path = "../wire/receiver.rs"]
mod receiver;
mod rx;
mod table;
mod vectors;

/// Bytes from hexadecimal digits; blanks and line ends are ignored.
fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).expect("two hexadecimal digits"))
        .collect()
}
