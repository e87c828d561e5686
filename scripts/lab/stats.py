"""The few numbers that describe jitter, and how they are written for people."""


def percentile(values, p):
    """Nearest rank: a value that really occurred. `p` in 0..100."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * p // 100) - 1))] if ordered else None


def jitter(times, nominal_ns):
    """For one instance's adverts: drift per interval (mean error) and deviation of each interval, in nanoseconds."""
    gaps = [b - a for a, b in zip(times, times[1:])]
    return {
        "intervals": len(gaps),
        "mean_error_ns": (times[-1] - times[0]) / len(gaps) - nominal_ns if gaps else None,
        "deviations": [abs(g - nominal_ns) for g in gaps],
    }


def summary(deviations):
    """Median, 99th percentile and maximum."""
    return {
        "median_ns": percentile(deviations, 50),
        "p99_ns": percentile(deviations, 99),
        "max_ns": max(deviations, default=None),
    }


def human(ns):
    """1234567 -> '1.23 ms'; three significant digits."""
    if ns is None:
        return "-"
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if abs(ns) >= size * 0.9995:
            value = ns / size
            return f"{value:.{max(0, 2 - (abs(value) >= 10) - (abs(value) >= 100))}f} {unit}"
    return f"{round(ns)} ns"


#: What a smaller value of a figure is called, and a larger one, by a part of the figure's key.
_WORDS = [("cpu", "less", "more"), ("pss", "less", "more"), ("gap", "shorter", "longer"), ("first", "sooner", "later"),
          ("last", "sooner", "later"), ("late", "sooner", "later"), ("after", "sooner", "later"), ("", "steadier", "less steady")]


def compare(key, mine, other):
    """How `mine` stands against `other`, in words: "26 times steadier", "17 % less", "equal". Signs are ignored; less than 1 is
    below what is measured, and counts as 1."""
    mine, other = max(1, abs(mine)), max(1, abs(other))
    smaller, larger = next((s, l) for part, s, l in _WORDS if part in key)
    factor, word = (other / mine, smaller) if mine < other else (mine / other, larger)
    if factor < 1.05:
        return "equal"
    if factor >= 1.95:
        return f"{float(f'{factor:.2g}'):,g} times {word}"
    return f"{1 - 1 / factor if mine < other else factor - 1:.0%} {word}".replace("%", " %")
