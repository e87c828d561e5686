"""The differences that are wanted, by kind, and why. `kalived.conf(5)` has each under DIFFERENCES FROM KEEPALIVED."""

#: kind: reason. What compare.py finds of any other kind is unexplained.
WANTED = {
}


def reason(kind, _detail):
    """Why a difference is wanted, or None."""
    return WANTED.get(kind)
