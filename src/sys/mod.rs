//! The only place with `unsafe`, libc and io_uring. Knows fds, bytes and tokens, not VRRP.
