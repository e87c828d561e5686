//! Tests of the codecs in `src/wire`: the wire vectors, round trips, exact bytes, and malformed input.

#![allow(clippy::unwrap_used)] // a test that panics has failed

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
