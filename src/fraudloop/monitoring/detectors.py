"""The four tests of drift, one for each kind of column: small named objects, numbers in and out.

Each takes what its columns boil down to (moments, or counts by category), so that a million rows
cost no more than reading them once. p-values come from survival functions, never as 1 - cdf, which
is 0 long before they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
AT_ONCE = 2**14  # numbers, which stay in a cache while they are worked on


@dataclass(frozen=True)
class Tested:
    """What a test found: `effect` says how much has changed, whatever the number of rows."""

    statistic: float
    p: float
    effect: float


NOTHING = Tested(0.0, 1.0, 0.0)


@dataclass(frozen=True)
class Moments:
    """How many numbers there are, their mean, and their variance (of a sample: over n - 1)."""

    rows: int
    mean: float
    variance: float

    @classmethod
    def of(cls, values: NDArray[Any]) -> Moments:
        """The moments of numbers.

        >>> Moments.of(np.array([1.0, 2.0, 3.0]))
        Moments(rows=3, mean=2.0, variance=1.0)
        """
        if not len(values):
            return cls(0, math.nan, math.nan)
        values = np.asarray(values, dtype=np.float64)
        if values[0] == values[-1] and bool((values == values[0]).all()):
            return cls(len(values), float(values[0]), 0.0)  # however its mean would be rounded
        mean = float(values.mean())
        rest = squares = 0.0
        for begin in range(0, len(values), AT_ONCE):
            apart = values[begin : begin + AT_ONCE] - mean
            rest += float(apart.sum())
            apart *= apart  # no BLAS: its threads wait for each other on a busy machine
            squares += float(apart.sum())
        # What rounding left of the mean is taken out of the squares again.
        variance = max(squares - rest * rest / len(values), 0.0) / (len(values) - 1)
        return cls(len(values), mean, variance)


@dataclass(frozen=True)
class Welch:
    """Welch's t-test, for numeric columns: has the mean moved, whatever the two variances?

    The effect is Cohen's d, the distance of the means in standard deviations (the root of the two
    variances' mean); it is infinite where two constants differ.

    It fires where the mean has moved by a standard deviation:

    >>> before = Moments.of(np.array([4.0, 5.0, 6.0] * 20))
    >>> after = Moments.of(np.array([5.0, 6.0, 7.0] * 20))
    >>> found = Welch().test(before, after)
    >>> f"t {found.statistic:.2f}, p {found.p:.1e}, d {found.effect:.2f}"
    't 6.65, p 9.5e-10, d 1.21'

    and not where only the order of the rows is another:

    >>> Welch().test(before, Moments.of(np.array([6.0, 5.0, 4.0] * 20)))
    Tested(statistic=0.0, p=1.0, effect=0.0)
    """

    name = "Welch's t"
    effect = "Cohen's d"

    def test(self, reference: Moments, current: Moments) -> Tested:
        """Hold the moments of two samples, each of two rows at least, against each other."""
        moved = current.mean - reference.mean
        first = reference.variance / reference.rows
        second = current.variance / current.rows
        if moved == 0:
            return NOTHING
        if first + second == 0:
            return Tested(math.copysign(math.inf, moved), 0.0, math.copysign(math.inf, moved))
        t = moved / math.sqrt(first + second)
        # By shares, so that variances near the smallest or largest float do no harm.
        share = first / (first + second)
        freedom = 1 / (share**2 / (reference.rows - 1) + (1 - share) ** 2 / (current.rows - 1))
        spread = math.sqrt(reference.variance / 2 + current.variance / 2)
        return Tested(t, both_tails_of_t(t, freedom), moved / spread)


@dataclass(frozen=True)
class Proportions:
    """The z-test for two proportions, for binary columns, predictions and shares of gaps.

    The effect is Cohen's h, the distance of two shares after the arcsine that gives all of them the
    same variance: from 1 % to 2 % is about as far as from 50 % to 54 %.

    It fires where a share has doubled:

    >>> found = Proportions().test((100, 1000), (200, 1000))
    >>> f"z {found.statistic:.2f}, p {found.p:.1e}, h {found.effect:.2f}"
    'z 6.26, p 3.8e-10, h 0.28'

    and not where chance is enough:

    >>> found = Proportions().test((100, 1000), (110, 1000))
    >>> f"z {found.statistic:.2f}, p {found.p:.2f}, h {found.effect:.2f}"
    'z 0.73, p 0.47, h 0.03'
    """

    name = "z of proportions"
    effect = "Cohen's h"

    def test(self, reference: tuple[int, int], current: tuple[int, int]) -> Tested:
        """Hold two shares against each other, each given as how many of how many."""
        (hits, rows), (now, of) = reference, current
        pooled = (hits + now) / (rows + of)
        if pooled in (0.0, 1.0):
            return NOTHING
        before, after = hits / rows, now / of
        z = (after - before) / math.sqrt(pooled * (1 - pooled) * (1 / rows + 1 / of))
        h = 2 * math.asin(math.sqrt(after)) - 2 * math.asin(math.sqrt(before))
        return Tested(z, both_tails_of_z(z), h)


@dataclass(frozen=True)
class ChiSquare:
    """Pearson's chi-square test of homogeneity, for nominal columns: one share for each category.

    The effect is Cramér's V as two samples of equal size would have it, 0 where the shares are
    the same and 1 where no category is in both: how many rows came does not move it.

    It fires where one category has grown at another's cost:

    >>> found = ChiSquare().test(np.array([50, 30, 20]), np.array([30, 30, 40]))
    >>> f"chi-square {found.statistic:.2f}, p {found.p:.4f}, V {found.effect:.2f}"
    'chi-square 11.67, p 0.0029, V 0.24'

    and not where there are only more rows:

    >>> found = ChiSquare().test(np.array([50, 30, 20]), np.array([500, 300, 200]))
    >>> f"chi-square {found.statistic:.2f}, p {found.p:.0f}, V {found.effect:.2f}"
    'chi-square 0.00, p 1, V 0.00'
    """

    name = "chi-square"
    effect = "Cramér's V"

    def test(self, reference: Counts, current: Counts) -> Tested:
        """Hold the counts of the same categories in two samples against each other."""
        there = (reference + current) > 0
        before, after = reference[there].astype(np.float64), current[there].astype(np.float64)
        if len(before) < 2:
            return NOTHING
        rows, of = before.sum(), after.sum()
        both = before + after
        # Each cell's (found - expected)²/expected, both samples of a category taken together.
        apart = before * (of / (rows + of)) - after * (rows / (rows + of))
        statistic = float((apart**2 / both).sum() * ((rows + of) / rows) * ((rows + of) / of))
        p, q = before / rows, after / of
        effect = math.sqrt(float(((p - q) ** 2 / (p + q)).sum()) / 2)
        return Tested(statistic, upper_tail_of_chi_square(statistic, len(before) - 1), effect)


@dataclass(frozen=True)
class MannWhitney:
    """Mann and Whitney's U, for ordinal columns: do values of one sample tend to stand higher?

    By the counts of each step, so that nothing is sorted; ties are corrected for, and half a step
    for continuity. The effect is the rank-biserial correlation: how much more often a current value
    stands above one of the reference than below it.

    It fires where rows have moved a step up:

    >>> found = MannWhitney().test(np.array([60, 30, 10]), np.array([30, 40, 30]))
    >>> f"U {found.statistic:.0f}, p {found.p:.1e}, r {found.effect:.2f}"
    'U 6750, p 3.9e-06, r 0.35'

    and not where they have moved apart to both sides:

    >>> found = MannWhitney().test(np.array([20, 60, 20]), np.array([30, 40, 30]))
    >>> f"U {found.statistic:.0f}, p {found.p:.0f}, r {found.effect:.2f}"
    'U 5000, p 1, r 0.00'
    """

    name = "Mann-Whitney U"
    effect = "rank-biserial r"

    def test(self, reference: Counts, current: Counts) -> Tested:
        """Hold the counts of rising steps in two samples against each other."""
        before, after = reference.astype(np.float64), current.astype(np.float64)
        rows, of = before.sum(), after.sum()
        # Of each pair of rows: current above the reference counts 1, level with it ½.
        below = np.cumsum(before) - before
        u = float((after * (below + before / 2)).sum())
        middle = rows * of / 2
        every = rows + of
        ties = before + after
        tied = float(((ties**3 - ties) / (every * (every - 1))).sum())
        variance = rows * of / 12 * (every + 1 - tied)
        if variance <= 0 or u == middle:
            return Tested(u, 1.0, 0.0)
        away = max(abs(u - middle) - 0.5, 0.0)
        p = both_tails_of_z(away / math.sqrt(variance))
        return Tested(u, p, float((u - middle) / middle))


WELCH, PROPORTIONS, CHI_SQUARE, MANN_WHITNEY = Welch(), Proportions(), ChiSquare(), MannWhitney()


def both_tails_of_t(t: float, freedom: float) -> float:
    """How often Student's t lies as far from 0 as `t`, to either side.

    It is an incomplete beta function of t²/(t² + freedom) or of what is missing there to 1:
    whichever of the two is small is the one that is known to the last digit.

    >>> f"{both_tails_of_t(2.0, 10.0):.6f} {both_tails_of_t(60.0, 40.0):.3e}"
    '0.073388 8.311e-41'
    """
    from scipy import special

    ratio = t * (t / freedom)
    if ratio < 1:
        return float(special.betaincc(0.5, freedom / 2, ratio / (1 + ratio)))
    return float(special.betainc(freedom / 2, 0.5, 1 / (1 + ratio)))


def both_tails_of_z(z: float) -> float:
    """How often a standard normal number lies as far from 0 as `z`, to either side.

    >>> f"{both_tails_of_z(1.959964):.6f} {both_tails_of_z(20.0):.3e}"
    '0.050000 5.507e-89'
    """
    return math.erfc(abs(z) / math.sqrt(2))


def upper_tail_of_chi_square(statistic: float, freedom: int) -> float:
    """How often chi-square with so many degrees of freedom is `statistic` or more.

    >>> f"{upper_tail_of_chi_square(5.991465, 2):.6f}"
    '0.050000'
    """
    from scipy import special

    return float(special.gammaincc(freedom / 2, statistic / 2))


def corrected(p: list[float], correction: str) -> list[float]:
    """p-values that count how many tests there are, so that the family keeps its level.

    Bonferroni multiplies each by their number; Holm, never less powerful, the smallest by it, the
    next by one less, and so on.

    >>> corrected([0.01, 0.02, 0.5], "bonferroni")
    [0.03, 0.06, 1.0]
    >>> corrected([0.01, 0.02, 0.5], "holm")
    [0.03, 0.04, 0.5]
    """
    if correction == "bonferroni":
        return [min(1.0, value * len(p)) for value in p]
    made = list(p)
    largest = 0.0
    for place, index in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        largest = max(largest, min(1.0, p[index] * (len(p) - place)))
        made[index] = largest
    return made
