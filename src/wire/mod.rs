//! Pure codecs: bytes to plain structs and back. Every length is checked before a byte is read.
