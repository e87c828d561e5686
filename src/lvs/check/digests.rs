//! The beginnings of many digests as text, for a snapshot. Read first: `mod.rs`.

/// Bytes of each: among 37,000 the chance that two have the same beginning is below a thousandth.
pub(super) const LEN: usize = 5;

/// The beginning of a digest.
pub(super) fn begin(digest: &[u8; 16]) -> [u8; LEN] {
    let [a, b, c, d, e, ..] = *digest;
    [a, b, c, d, e]
}

/// Appends the beginning of a digest, in hexadecimal digits.
pub(super) fn write(begin: &[u8; LEN], out: &mut String) {
    let digit = |n: u8| char::from_digit(u32::from(n), 16).unwrap_or('0');
    for byte in begin {
        out.extend([digit(byte >> 4), digit(byte & 15)]);
    }
}

/// The beginnings in a text; what is none is left out.
pub(super) fn read(text: &str) -> impl Iterator<Item = [u8; LEN]> + '_ {
    let digit = |b: &u8| char::from(*b).to_digit(16).map(|n| n as u8);
    text.as_bytes().chunks_exact(2 * LEN).filter_map(move |chunk| {
        let mut out = [0; LEN];
        for (to, pair) in out.iter_mut().zip(chunk.chunks_exact(2)) {
            *to = digit(pair.first()?)? << 4 | digit(pair.get(1)?)?;
        }
        Some(out)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let digests: Vec<[u8; 16]> =
            (0..=255).map(|n: u8| core::array::from_fn(|i| n.wrapping_mul(i as u8 + 1))).collect();
        let mut text = String::new();
        digests.iter().for_each(|d| write(&begin(d), &mut text));
        assert_eq!(text.len(), 256 * 2 * LEN);
        assert!(read(&text).eq(digests.iter().map(begin)));
        assert_eq!(read("00ff00ff0x0102030405zz").collect::<Vec<_>>(), [[1, 2, 3, 4, 5]]);
        assert_eq!(read("0102").count(), 0);
    }
}
