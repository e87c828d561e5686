//! The packet: what is written is read, and no bytes do any harm.

use kalived::wire::bfd::{LEN, Packet, Refused, State, parse, peek_yours};
use proptest::prelude::*;

fn packets() -> impl Strategy<Value = Packet> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let words = (1u32.., any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>());
    (0u8..32, 0usize..4, flags, 1u8.., words).prop_map(|(diag, state, flags, multiplier, words)| {
        let state = State::ALL[state];
        let (poll, fin, independent, demand) = flags;
        let (mine, yours, min_tx, min_rx, min_echo_rx) = words;
        let yours = if state >= State::Init { yours.max(1) } else { yours };
        Packet { diag, state, poll, fin, independent, demand, multiplier, mine, yours, min_tx, min_rx, min_echo_rx }
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(p in packets(), more in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut bytes = p.encode().to_vec();
        bytes.extend(more);
        prop_assert_eq!(parse(&bytes), Ok(p));
        prop_assert_eq!(peek_yours(&bytes), Some(p.yours));
        for n in 0..LEN {
            prop_assert_eq!(parse(&bytes[..n]), Err(Refused::Length));
        }
    }

    // What is accepted has every property that the machine counts on, and is written again as it came.
    #[test]
    fn any_bytes_are_refused_or_make_sense(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(p) = parse(&bytes) {
            prop_assert!(p.multiplier != 0 && p.mine != 0 && (p.yours != 0 || p.state <= State::Down));
            let mut again = p.encode();
            again[3] = bytes[3];
            prop_assert_eq!(&again[..], &bytes[..LEN]);
        }
    }

    // One bit of a good packet flipped: refused, or a packet again.
    #[test]
    fn a_flipped_bit_does_no_harm(p in packets(), bit in 0usize..LEN * 8) {
        let mut bytes = p.encode();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(q) = parse(&bytes) {
            prop_assert!(q.multiplier != 0 && q.mine != 0);
        }
    }
}
