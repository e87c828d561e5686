//! The BFD control packet (RFC 5880 §4.1): 24 bytes in a UDP datagram, without authentication.
//!
//! [`parse`] makes every check of RFC 5880 §6.8.6 that needs only the packet, in the order of that section; `bfd/mod.rs` finds the session
//! that it belongs to. Deliberately absent: the authentication section (kalived has no keyword for it) and echo packets.

use core::fmt;

/// Octets of a control packet without authentication.
pub const LEN: usize = 24;
/// The same with the shortest authentication section (RFC 5880 §6.8.6).
const LEN_AUTH: usize = 26;

/// State of a session (RFC 5880 §4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum State {
    /// The session is held down on purpose.
    AdminDown = 0,
    /// The peer is not received, or it does not receive this system.
    #[default]
    Down = 1,
    /// The peer is received, and it may not receive this system yet.
    Init = 2,
    /// Both directions work.
    Up = 3,
}

impl State {
    /// All of them, by number.
    pub const ALL: [State; 4] = [State::AdminDown, State::Down, State::Init, State::Up];
    /// As in log lines and reports.
    pub fn word(self) -> &'static str {
        match self {
            State::AdminDown => "AdminDown",
            State::Down => "Down",
            State::Init => "Init",
            State::Up => "Up",
        }
    }
}

/// Diagnostic codes that this system sends (RFC 5880 §4.1). Received ones are any number: an unknown one is no reason to discard.
pub mod diag {
    /// No Diagnostic (RFC 5880 §4.1).
    pub const NONE: u8 = 0;
    /// Control Detection Time Expired.
    pub const EXPIRED: u8 = 1;
    /// Neighbor Signaled Session Down.
    pub const NEIGHBOR: u8 = 3;
    /// Administratively Down (RFC 5880 §4.1).
    pub const ADMIN: u8 = 7;

    /// The name of a code.
    pub fn word(code: u8) -> &'static str {
        match code {
            0 => "No Diagnostic",
            1 => "Control Detection Time Expired",
            2 => "Echo Function Failed",
            3 => "Neighbor Signaled Session Down",
            4 => "Forwarding Plane Reset",
            5 => "Path Down",
            6 => "Concatenated Path Down",
            7 => "Administratively Down",
            8 => "Reverse Concatenated Path Down",
            _ => "reserved code",
        }
    }
}

/// A control packet. Intervals are microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// Why the sender's session last left Up.
    pub diag: u8,
    /// State of the sender's session.
    pub state: State,
    /// P: an answer with F is expected.
    pub poll: bool,
    /// F: the answer to P.
    pub fin: bool,
    /// C: the sender's BFD does not share fate with its control plane.
    pub independent: bool,
    /// D: the sender asks for no periodic packets.
    pub demand: bool,
    /// Detect Mult; never 0.
    pub multiplier: u8,
    /// My Discriminator: the sender's name for the session; never 0.
    pub mine: u32,
    /// Your Discriminator: the receiver's name for it; 0: not known yet.
    pub yours: u32,
    /// Desired Min TX Interval.
    pub min_tx: u32,
    /// Required Min RX Interval; 0: the sender does not want periodic packets.
    pub min_rx: u32,
    /// Required Min Echo RX Interval; 0: the sender does not support echo packets.
    pub min_echo_rx: u32,
}

/// Why a datagram is discarded (RFC 5880 §6.8.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refused {
    /// Version is not 1.
    Version,
    /// The Length field is below the least, or above the length of the datagram.
    Length,
    /// Detect Mult is 0.
    Multiplier,
    /// M is set: it is reserved.
    Multipoint,
    /// My Discriminator is 0.
    MyDiscriminator,
    /// Your Discriminator is 0 in a state other than Down and AdminDown.
    YourDiscriminator,
    /// A is set, and no authentication is in use.
    Authentication,
}

impl Refused {
    /// Every reason, in the order of the checks.
    pub const ALL: [Refused; 7] = [
        Refused::Version,
        Refused::Length,
        Refused::Multiplier,
        Refused::Multipoint,
        Refused::MyDiscriminator,
        Refused::YourDiscriminator,
        Refused::Authentication,
    ];
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::Version => "its version is not 1",
            Refused::Length => "wrong length",
            Refused::Multiplier => "its Detect Mult is 0",
            Refused::Multipoint => "its Multipoint bit is set",
            Refused::MyDiscriminator => "its My Discriminator is 0",
            Refused::YourDiscriminator => "its Your Discriminator is 0 in state Init or Up",
            Refused::Authentication => "it is authenticated, and no authentication is configured",
        })
    }
}

/// Reads a datagram. Bytes behind the Length field are ignored.
pub fn parse(bytes: &[u8]) -> Result<Packet, Refused> {
    // A datagram of fewer bytes has no readable Length field, or one that is above its length.
    let head: &[u8; LEN] = bytes.first_chunk().ok_or(Refused::Length)?;
    let [first, flags, multiplier, length, fields @ ..] = head;
    let bit = |n: u8| flags >> n & 1 == 1;
    let authenticated = bit(2);
    if first >> 5 != 1 {
        return Err(Refused::Version);
    }
    let least = if authenticated { LEN_AUTH } else { LEN };
    if usize::from(*length) < least || usize::from(*length) > bytes.len() {
        return Err(Refused::Length);
    }
    if *multiplier == 0 {
        return Err(Refused::Multiplier);
    }
    if bit(0) {
        return Err(Refused::Multipoint);
    }
    let word = |n: usize| fields.get(4 * n..).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_be_bytes(*b));
    let state = State::ALL.get(usize::from(flags >> 6)).copied().unwrap_or_default();
    let (mine, yours) = (word(0), word(1));
    if mine == 0 {
        return Err(Refused::MyDiscriminator);
    }
    if yours == 0 && !matches!(state, State::Down | State::AdminDown) {
        return Err(Refused::YourDiscriminator);
    }
    if authenticated {
        return Err(Refused::Authentication);
    }
    Ok(Packet {
        diag: first & 0x1f,
        state,
        poll: bit(5),
        fin: bit(4),
        independent: bit(3),
        demand: bit(1),
        multiplier: *multiplier,
        mine,
        yours,
        min_tx: word(2),
        min_rx: word(3),
        min_echo_rx: word(4),
    })
}

/// Your Discriminator of a datagram, if it is long enough to have one: whose packet it says it is, before anything is checked.
pub fn peek_yours(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(8..)?.first_chunk()?))
}

impl Packet {
    /// The packet as the payload of a datagram.
    pub fn encode(&self) -> [u8; LEN] {
        let flag = |on: bool, n: u8| u8::from(on) << n;
        let mut out = [0; LEN];
        out[0] = 1 << 5 | self.diag & 0x1f;
        out[1] = (self.state as u8) << 6
            | flag(self.poll, 5)
            | flag(self.fin, 4)
            | flag(self.independent, 3)
            | flag(self.demand, 1);
        out[2] = self.multiplier;
        out[3] = LEN as u8;
        let words = [self.mine, self.yours, self.min_tx, self.min_rx, self.min_echo_rx];
        for (to, word) in out[4..].chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_be_bytes());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // By hand from the figure of RFC 5880 §4.1: C set, state Down, Detect Mult 3, 1 s, 300 ms, 50 ms.
    const FIGURE: [u8; LEN] = [
        0x20, 0x48, 0x03, 0x18, 0x96, 0x7c, 0x31, 0x5a, 0, 0, 0, 0, 0, 0x0f, 0x42, 0x40, 0, 0x04, 0x93, 0xe0, 0, 0,
        0xc3, 0x50,
    ];

    #[test]
    fn a_packet_is_read_and_written_again() {
        let p = parse(&FIGURE).expect("a packet");
        let want = Packet {
            state: State::Down,
            independent: true,
            multiplier: 3,
            mine: 0x967c_315a,
            min_tx: 1_000_000,
            min_rx: 300_000,
            min_echo_rx: 50_000,
            ..Packet::default()
        };
        assert_eq!(p, want);
        assert_eq!(p.encode(), FIGURE);
    }

    #[test]
    fn each_check_discards_alone() {
        let with = |at: usize, byte: u8| {
            let mut b = FIGURE;
            b[at] = byte;
            parse(&b)
        };
        assert_eq!(with(0, 0x40), Err(Refused::Version));
        assert_eq!(with(0, 0x00), Err(Refused::Version));
        assert_eq!(with(3, 23), Err(Refused::Length));
        assert_eq!(with(3, 25), Err(Refused::Length), "longer than the datagram");
        assert_eq!(with(2, 0), Err(Refused::Multiplier));
        assert_eq!(with(1, 0x49), Err(Refused::Multipoint));
        assert_eq!(with(1, 0x88), Err(Refused::YourDiscriminator), "Init");
        assert_eq!(with(1, 0xc8), Err(Refused::YourDiscriminator), "Up");
        assert!(with(1, 0x08).is_ok(), "AdminDown");
        let mut nobody = FIGURE;
        nobody[4..8].fill(0);
        assert_eq!(parse(&nobody), Err(Refused::MyDiscriminator));
        // With A the least length is 26: before the bit itself is a reason.
        assert_eq!(with(1, 0x4c), Err(Refused::Length));
        let mut long = FIGURE.to_vec();
        long[1] |= 4;
        long[3] = 26;
        long.extend([1, 2]);
        assert_eq!(parse(&long), Err(Refused::Authentication));
        for n in 0..LEN {
            assert_eq!(parse(&FIGURE[..n]), Err(Refused::Length), "{n}");
        }
    }

    #[test]
    fn what_is_no_reason_to_discard() {
        let mut b = FIGURE.to_vec();
        b[0] |= 31;
        b.extend([0xff; 6]);
        let p = parse(&b).expect("an unknown diagnostic and trailing bytes");
        assert_eq!(p.diag, 31);
        // P and F together: to be sent by nobody, and no reason of RFC 5880 §6.8.6.
        b[1] |= 0x30;
        assert!(parse(&b).is_ok_and(|p| p.poll && p.fin));
    }
}
