//! The simulator's random numbers: xoshiro256++ seeded by splitmix64. Integers only, so that a seed means the same run on
//! every machine.
//!
//! Each fault class on each node draws from its own [`stream`](Rng::stream), so the shrinker can remove a class without changing the
//! draws of the others. Deliberately absent: floating point, entropy from outside.

/// One stream of numbers.
#[derive(Clone, Debug)]
pub struct Rng([u64; 4]);

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Rng {
    /// A stream from a seed.
    pub fn new(seed: u64) -> Rng {
        let mut s = seed;
        Rng([splitmix(&mut s), splitmix(&mut s), splitmix(&mut s), splitmix(&mut s)])
    }
    /// The stream that `seed` keeps for one purpose and one node.
    pub fn stream(seed: u64, purpose: u64, node: u64) -> Rng {
        let mut s = seed ^ purpose.wrapping_mul(0xd6e8_feb8_6659_fd93);
        let mixed = splitmix(&mut s) ^ node.wrapping_mul(0xa076_1d64_78bd_642f);
        Rng::new(mixed)
    }
    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        let s = &mut self.0;
        let out = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        out
    }
    /// 0..n; `n` of 0 gives 0.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }
    /// lo..=hi.
    pub fn range(&mut self, lo: u64, hi: u64) -> u64 {
        lo + self.below(hi.saturating_sub(lo) + 1)
    }
    /// True in so many of a thousand cases.
    pub fn permille(&mut self, p: u32) -> bool {
        self.below(1000) < u64::from(p)
    }
    /// One of them.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
    /// Nearly exponential with this mean, at most 16 means: a geometric number of halvings and a uniform rest.
    pub fn exp(&mut self, mean: u64) -> u64 {
        let halvings = u64::from(self.bits().trailing_zeros().min(22));
        // ln 2 = 0.693; (k + u) * mean * ln 2 with k geometric has mean 1.04 * mean.
        let unit = mean / 1000 * 667;
        unit.saturating_mul(halvings) + self.below(unit.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_numbers_never_change() {
        // A changed generator would silently give every recorded seed another meaning.
        let mut r = Rng::new(1);
        let first = [r.bits(), r.bits(), r.bits()];
        let mut again = Rng::new(1);
        assert_eq!(first, [again.bits(), again.bits(), again.bits()]);
        assert_eq!(first[0], 0xcfc5_d07f_6f03_c29b);
    }

    #[test]
    fn streams_differ_and_stay_in_range() {
        let mut a = Rng::stream(7, 1, 0);
        let mut b = Rng::stream(7, 1, 1);
        let mut c = Rng::stream(7, 2, 0);
        let (x, y, z) = (a.bits(), b.bits(), c.bits());
        assert!(x != y && y != z && x != z);
        let mut sum = 0u64;
        for _ in 0..10_000 {
            assert!((3..=5).contains(&a.range(3, 5)));
            let e = a.exp(1_000_000);
            assert!(e <= 16_000_000);
            sum += e / 10_000;
        }
        assert!((900_000..1_100_000).contains(&sum), "mean {sum}");
    }
}
