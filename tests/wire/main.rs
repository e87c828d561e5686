//! The codecs from outside: the project's wire vectors, round trips, exact bytes, and hostile input.

#![allow(clippy::unwrap_used)] // a test that panics has failed, which is what a helper wants too

mod authentication;
mod encap;
mod fib;
mod frames;
mod ipvs;
mod netlink;
mod nft;
mod receiver;
mod roundtrip;
mod rule;
mod vectors;

use receiver::hex;
