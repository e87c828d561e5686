//! The operating system for the services of the loop: the traits of `sys/os.rs` with the loop's own tokens.

use super::token::Token;
use crate::sys::os::{Calls, Ops};

/// Operations of a ring, and system calls.
pub trait Os: Ops<Token> + Calls {}

impl<O: Ops<Token> + Calls> Os for O {}
