"""What packets say: the few fields of VRRP, ARP and ICMP that the scripts need.

Times are nanoseconds since 1970 as the kernel stamped them. No checksum is verified here; that is tshark's part in the
interoperation tests.
"""

import collections
import ipaddress
import struct

Advert = collections.namedtuple("Advert", "t mac src version vrid priority")
Garp = collections.namedtuple("Garp", "t mac ip")
Echo = collections.namedtuple("Echo", "t src_mac dst_mac request number")


def decode(t, frame):
    """An Advert, Garp or Echo, or None."""
    dst, src, kind = frame[0:6], frame[6:12], frame[12:14]
    if kind == b"\x08\x00" and len(frame) >= 42:
        body = 14 + (frame[14] & 15) * 4
        if frame[23] == 112 and len(frame) >= body + 8:
            return Advert(t, src, frame[26:30], frame[body] >> 4, frame[body + 1], frame[body + 2])
        if frame[23] == 1 and frame[body] in (0, 8) and len(frame) >= body + 16:
            return Echo(t, src, dst, frame[body] == 8, struct.unpack_from("!Q", frame, body + 8)[0])
    elif kind == b"\x86\xdd" and len(frame) >= 62 and frame[20] == 112:
        return Advert(t, src, frame[22:38], frame[54] >> 4, frame[55], frame[56])
    elif kind == b"\x08\x06" and len(frame) >= 42 and frame[28:32] == frame[38:42]:
        return Garp(t, src, frame[28:32])
    return None


def ip4(text):
    """Four bytes."""
    return ipaddress.IPv4Address(text).packed


def skew_ns(priority, advert_int):
    """Skew_Time of VRRPv3 (RFC 9568 section 6.1), for an interval in seconds."""
    return (256 - priority) * round(advert_int * 1e9) // 256


def master_down_ns(priority, advert_int):
    """Master_Down_Interval (Active_Down_Interval) of VRRPv3 (RFC 9568 section 6.1), for an interval in seconds."""
    return 3 * round(advert_int * 1e9) + skew_ns(priority, advert_int)
