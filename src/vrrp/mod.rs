//! The VRRP machines. Pure: time and bytes come in as arguments, effects go out as values.

pub mod advert;
