"""Did one group of runs come out differently from another? Rank and exact tests, which assume no shape of the figures.

- Mann-Whitney U (H. B. Mann, D. R. Whitney, 1947), two-sided: from the exact distribution of the rank sum, ties
  included, for up to `EXACT_MAX` values in both groups; beyond, the normal approximation with tie and continuity
  correction.
- The Hodges-Lehmann shift (1963), the median of all differences between the groups, with the interval that belongs to
  the U test (as R's wilcox.test computes it).
- Fisher's exact test (1922) for two shares, two-sided by likelihood.
- Holm's step-down correction (1979) where several are asked at once.
- Where neighbours are alike, the variance that independent values would have, multiplied by what their correlation adds
  (G. V. Bayley, J. M. Hammersley, 1946: the effective number of autocorrelated values).
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from statistics import NormalDist, fmean

EXACT_MAX = 60
CONFIDENCE = 0.98
Z_98 = 2.3263478740408408
NORMAL = NormalDist()
SAFETY = 1.645
"""Standard errors added to a correlation that few values show: its one-sided 95% bound."""
CORRELATION_MAX = 0.9
FREEDOM_MIN = 3.0


@dataclass(frozen=True)
class Shift:
    """By how much the second group lies above the first, with its 98% interval; unbounded where there are too few."""

    estimate: float
    low: float
    high: float


def mann_whitney(first: Sequence[float], second: Sequence[float]) -> float:
    """The two-sided p of "both groups come from one distribution"; 1 where a group is empty or all values are equal.

    Infinite values are ranked like any other.
    """
    if not first or not second:
        return 1.0
    doubled = _doubled_midranks([*first, *second])
    if len(set(doubled)) == 1:
        return 1.0
    seen = sum(doubled[len(first) :])
    if len(doubled) <= EXACT_MAX:
        return _exact_p(tuple(sorted(doubled)), len(second), seen)
    return _normal_p(doubled, len(first), len(second), seen / 2)


def smallest_p(first: int, second: int) -> float:
    """The smallest p that two groups of these sizes can come to, without ties: 1 if they can show nothing."""
    return min(1.0, 2.0 / math.comb(first + second, second)) if first > 0 and second > 0 else 1.0


def shift(first: Sequence[float], second: Sequence[float]) -> Shift | None:
    """The Hodges-Lehmann shift from the first to the second group of finite values; None where one is empty."""
    if not first or not second:
        return None
    differences = sorted(later - earlier for later in second for earlier in first)
    count = len(differences)
    middle = (differences[(count - 1) // 2] + differences[count // 2]) / 2
    cut = _shift_cut(len(first), len(second))
    if cut < 1:
        return Shift(middle, -math.inf, math.inf)
    return Shift(middle, differences[cut - 1], differences[count - cut])


def fisher(good_first: int, bad_first: int, good_second: int, bad_second: int) -> float:
    """The two-sided p of "both groups have one share of good"; 1 where a group is empty."""
    first, second, good = good_first + bad_first, good_second + bad_second, good_first + good_second
    if not first or not second:
        return 1.0

    def ways(in_first: int) -> int:
        return math.comb(first, in_first) * math.comb(second, good - in_first)

    seen = ways(good_first)
    every = [ways(count) for count in range(max(0, good - second), min(first, good) + 1)]
    return sum(one for one in every if one <= seen) / sum(every)


def holm(p_values: Sequence[float]) -> list[float]:
    """Each p as if it had been asked alone: with these below 0.02, all of them together are wrong in 2% of cases."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, so_far = [1.0] * len(p_values), 0.0
    for place, index in enumerate(order):
        so_far = max(so_far, min(1.0, p_values[index] * (len(p_values) - place)))
        adjusted[index] = so_far
    return adjusted


def _doubled_midranks(values: Sequence[float]) -> list[int]:
    """Twice the rank of each value, in their order; equal values share the middle of their ranks (so, twice: whole)."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0] * len(values)
    begin = 0
    while begin < len(order):
        end = begin
        while end + 1 < len(order) and values[order[end + 1]] == values[order[begin]]:
            end += 1
        for place in range(begin, end + 1):
            ranks[order[place]] = begin + end + 2
        begin = end + 1
    return ranks


def _exact_p(doubled: tuple[int, ...], chosen: int, seen: int) -> float:
    counts = _sums(doubled, chosen)
    total = sum(counts)
    below, above = sum(counts[: seen + 1]), sum(counts[seen:])
    return min(1.0, 2 * min(below, above) / total)


@lru_cache(maxsize=256)
def _sums(values: tuple[int, ...], chosen: int) -> tuple[int, ...]:
    """How many choices of `chosen` of the values have which sum, by sum.

    The counts of all sums are the digits of one large number, so that adding a value is a shift and an addition.
    """
    digit = (len(values) + 8) // 8 * 8  # bits: no count exceeds 2 ** len(values)
    by_size = [1] + [0] * chosen
    for value in values:
        for size in range(chosen, 0, -1):
            by_size[size] += by_size[size - 1] << (value * digit)
    step = digit // 8
    packed = by_size[chosen].to_bytes((sum(values) + 1) * step, "little")
    return tuple(int.from_bytes(packed[place : place + step], "little") for place in range(0, len(packed), step))


def _normal_p(doubled: Sequence[int], first: int, second: int, rank_sum: float) -> float:
    count = first + second
    ties = sum(size**3 - size for size in Counter(doubled).values())
    variance = first * second / 12 * ((count + 1) - ties / (count * (count - 1)))
    distance = max(0.0, abs(rank_sum - second * (count + 1) / 2) - 0.5)
    return math.erfc(distance / math.sqrt(2 * variance))


@lru_cache(maxsize=256)
def _shift_cut(first: int, second: int) -> int:
    """Which difference from either end bounds the shift with 98%; 0 where even the extreme one does not."""
    if first + second > EXACT_MAX:
        spread = math.sqrt(first * second * (first + second + 1) / 12)
        return max(0, round(first * second / 2 - Z_98 * spread))
    counts = _sums(tuple(range(1, first + second + 1)), second)
    total, below, tail = sum(counts), 0, (1 - CONFIDENCE) / 2
    least = second * (second + 1) // 2
    for u_value in range(first * second + 1):
        below += counts[least + u_value]
        if below / total > tail:
            return u_value
    return 0


def autocorrelation(groups: Sequence[Sequence[float]]) -> float:
    """How much a value is like the one before it, from 0 (not at all) to `CORRELATION_MAX`, to be on the safe side of.

    Of ranks, each group's values around their own median, so that a step between groups is none; corrected for the
    bias of few values (M. G. Kendall, 1954), with `SAFETY` standard errors added.
    """
    centred = [[value - _median(group) for value in group] for group in groups if group]
    ranks = _doubled_midranks([value for group in centred for value in group])
    count = len(ranks)
    if count < 3 or len(set(ranks)) == 1:
        return 0.0
    middle = sum(ranks) / count
    spread = sum((rank - middle) ** 2 for rank in ranks) / count
    place, products, pairs = 0, 0.0, 0
    for group in centred:
        mine = ranks[place : place + len(group)]
        products += sum((one - middle) * (other - middle) for one, other in pairwise(mine))
        pairs += max(0, len(mine) - 1)
        place += len(mine)
    if not pairs:
        return 0.0
    seen = products / pairs / spread
    likely = seen + (1.0 + 4.0 * seen) / count + SAFETY * math.sqrt(max(0.0, 1.0 - seen * seen) / max(1, count - 3))
    return min(CORRELATION_MAX, max(0.0, likely))


def inflation(first: int, second: int, correlation: float) -> float:
    """By how much the variance of the difference between two groups' means is larger than of independent values.

    The groups follow each other, and neighbours correlate so much, those k apart by its k-th power.
    """
    if correlation <= 0.0 or not first or not second:
        return 1.0

    def within(count: int) -> float:
        return (1.0 + 2.0 * sum((1.0 - lag / count) * correlation**lag for lag in range(1, count))) / count

    between = sum(correlation**lag for lag in range(1, first + 1)) * sum(correlation**lag for lag in range(second))
    return (within(first) + within(second) - 2.0 * between / (first * second)) / (1.0 / first + 1.0 / second)


def deflated(p: float, variance: float) -> float:
    """A two-sided p as it is where the variance is so many times larger than the test assumed."""
    if p >= 1.0 or variance <= 1.0:
        return p
    return math.erfc(-NORMAL.inv_cdf(max(p, 1e-300) / 2.0) / math.sqrt(2.0 * variance))


def apart(first: Sequence[float], second: Sequence[float], variance: float) -> float:
    """The two-sided p of groups without any overlap, by how far apart they are; 1 where they overlap.

    Ranks cannot tell a step of ten spreads from one of two, so few runs that neighbour each other show nothing by them.
    Student's t of the means, with so many times the variance, and as many values fewer (D. L. Wallace's normal
    approximation, 1959).
    """
    if not first or not second or (max(first) >= min(second) and max(second) >= min(first)):
        return 1.0
    count = len(first) + len(second)
    squares = sum((value - fmean(group)) ** 2 for group in (first, second) for value in group)
    freedom = count / variance - 2.0
    if freedom < FREEDOM_MIN:
        return 1.0
    if squares == 0.0:
        return 0.0
    error = squares / (count - 2) * variance * (1.0 / len(first) + 1.0 / len(second))
    square = (fmean(second) - fmean(first)) ** 2 / error
    return math.erfc(
        (8 * freedom + 1) / (8 * freedom + 3) * math.sqrt(freedom * math.log1p(square / freedom)) / math.sqrt(2)
    )


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
