//! The exact bytes of an unsolicited neighbour advertisement. Those of a gratuitous ARP are in `src/wire/arp.rs`.

use super::hex;
use kalived::wire::{checksum, ipv6, ndisc};
use std::net::Ipv6Addr;

#[test]
fn unsolicited_na_byte_for_byte() {
    let target: Ipv6Addr = "2001:db8:12::64".parse().unwrap();
    let frame = ndisc::unsolicited_na([2, 0, 0, 0, 0, 0x33], target);
    let mut want = hex("333300000001 020000000033 86dd
         60000000 0020 3a ff 20010db8001200000000000000000064 ff020000000000000000000000000001
         88 00 0000 a0000000 20010db8001200000000000000000064 02 01 020000000033");
    // The checksum, computed a second time: source, destination, length and next header of the pseudo-header, then the message.
    let s: u32 = [
        0x2001, 0x0db8, 0x0012, 0x0064, 0xff02, 0x0001, 0x0020, 0x003a, 0x8800, 0xa000, 0x2001, 0x0db8, 0x0012, 0x0064,
        0x0201, 0x0200, 0x0000, 0x0033u32,
    ]
    .iter()
    .sum();
    let s = !(((s & 0xffff) + (s >> 16)) as u16);
    want[56..58].copy_from_slice(&s.to_be_bytes());
    assert_eq!(frame[..], want[..]);
    let (header, na) = ipv6::parse(&frame[14..]).unwrap();
    assert_eq!((header.hop_limit, header.class), (255, 0));
    assert_eq!(checksum::pseudo_v6(header.src, header.dst, 58, 32).bytes(na).finish(), 0);
}
