"""Tail probabilities of test statistics, to three digits."""

import math


def chi_square_p(value: float, freedom: int) -> float:
    """The probability that a chi-square exceeds a value (Wilson and Hilferty 1931)."""
    if freedom <= 0:
        return 1.0
    if value <= 0:
        return 1.0
    spread = 2.0 / (9.0 * freedom)
    z = ((value / freedom) ** (1 / 3) - (1 - spread)) / math.sqrt(spread)
    return 0.5 * math.erfc(z / math.sqrt(2.0))
