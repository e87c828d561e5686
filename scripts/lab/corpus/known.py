"""The differences that are wanted, by kind, and why. Faults of kalived and what it does not have yet are not here.

Each row: a pattern of the kind, a pattern of the detail, the reason. kalived.conf(5), DIFFERENCES FROM KEEPALIVED, has those that a user sees.
"""

import re

WANTED = [
    (r"arp's target", r"", "the target hardware address is the sender's (RFC 9568, errata 7947 and 7949)"),
    (r"na's flags", r"keepalived 0.1, kalived 1.1", "the R flag is always set (RFC 9568, section 6.4.1)"),
    (r"interface's mode", r"keepalived private, kalived vepa", "in private mode the kernel drops adverts of a second Master"),
    (r"interface's up", r"keepalived True, kalived False", "a VMAC interface is down while the router is not Master"),
    (r"address: only kalived", r"'metric': 1024", "the addresses of a VMAC interface stay on it while it is down"),
    (r"address's metric", r"kalived 1024", "routes of a VMAC interface come after those of the base interface"),
    (r"address: only keepalived", r" fe80::.*'deprecated': True", "the link-local address of the base interface is not copied to a VMAC interface"),
    (r"sysctl (arp_announce|arp_filter|rp_filter|accept_local|arp_ignore|promote_secondaries)", r"",
     "a VMAC needs arp_ignore and arp_announce only; those of other interfaces are left alone"),
    (r"after the stop: sysctl .*", r"kalived as before", "what was set on the base interface is set back; keepalived 2.2.7 leaves it"),
    (r"nftables: only keepalived", r"vmac_map|vmac_set|oifkind|chain out: type filter",
     "a VMAC interface is down while the router is not Master, so a Backup sends no IGMP or MLD with the virtual address to redirect"),
    (r"nftables: only kalived", r"comment \"kalived\"", "the table carries its owner's name"),
    (r"(advert|farewell)'s flow label", r"", "IPv6 flow label 0 (RFC 6437 allows it); the kernel chooses keepalived's"),
    (r"(advert|farewell)'s source", r"keepalived 22[4-9]\.", "a multicast address is no source (RFC 1122, section 3.2.1.3)"),
    (r"start: kalived does not run it", r"cannot announce an interval|a template was not filled in|nothing to run|has no virtual_ipaddress|is out of range for `(virtual_router_id|advert_int)`|is not a number for `advert_int`",
     "a mistake that keepalived rounds, guesses at or sits idle with is fatal"),
    (r"address's secondary", r"", "which of two routers of a group comes first decides which address is the second in its network"),
]


def reason(kind, detail):
    """Why a difference is wanted, or None."""
    return next((why for k, d, why in WANTED if re.fullmatch(k, kind) and re.search(d, detail)), None)
