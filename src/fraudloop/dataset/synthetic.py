"""A synthetic stand-in for a published table of card transactions, drawn by the card's recipe.

What it is: the published file's columns in their order, its number of rows, frauds and duplicates,
components without correlation whose spreads and fraud shifts are like the published ones, several
kinds of fraud (one of them hardly different from the legitimate), a night trough and log-normal
amounts. Seeded: the same bytes every time.

What it is not: anybody's payments. A figure measured on it says that the code works, and nothing
about fraud; whatever is reported from it says *synthetic data* in its title.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fraudloop.dataset import stand_in
from fraudloop.dataset.card import Card
from fraudloop.dataset.recipes import Amounts, Draws, Recipe
from fraudloop.errors import SourceError

if TYPE_CHECKING:
    import pyarrow as pa

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

# Values are rounded to what every machine agrees on: exp, log and matrix products differ in the
# last bits from one processor to the next.
COMPONENT_DECIMALS = 6
AMOUNT_DECIMALS = 2


def draw(card: Card, *, seed: int, rows: int | None = None) -> dict[str, NDArray[np.generic]]:
    """Draw a table with the card's columns and label, sorted by time where the card has one.

    >>> from pathlib import Path
    >>> from fraudloop.dataset import card
    >>> table = draw(card.load(Path("ml/datasets/creditcard.yaml")), seed=1, rows=5790)
    >>> len(table["Class"]), int(table["Class"].sum())
    (5790, 10)
    """
    recipe = card.synthetic
    if isinstance(recipe, Draws):
        return stand_in.draw(recipe, seed=seed, rows=rows)
    if recipe is None or card.time is None:
        raise SourceError(
            f"card {card.id} has no recipe for synthetic data: "
            "set data.source to kaggle, file or url, or give the card a synthetic section"
        )
    total = rows or recipe.rows
    frauds = max(1, round(recipe.frauds * total / recipe.rows))
    duplicates = round(recipe.duplicates * total / recipe.rows)
    unique = total - duplicates
    rng = np.random.default_rng(seed)

    time = np.sort(_times(rng, unique, recipe.seconds))
    fraud = _fraud_rows(rng, time, frauds)
    components = _components(rng, recipe, fraud)
    table: dict[str, NDArray[np.generic]] = {card.time: time}
    table |= {name: components[:, i] for i, name in enumerate(recipe.components)}
    table[recipe.amount.column] = _amounts(rng, recipe.amount, fraud)
    table[card.label.column] = fraud.astype(np.int64)

    # Duplicates are of the legitimate: so the number of frauds is the one asked for.
    twice = rng.choice(np.flatnonzero(~fraud), size=duplicates, replace=False)
    order = np.sort(np.concatenate([np.arange(unique), twice]))
    return {name: table[name][order] for name in (*card.columns, card.label.column)}


def to_arrow(table: dict[str, NDArray[np.generic]]) -> pa.Table:
    """The drawn table as Arrow, which writes its CSV in a second where others take twenty."""
    import pyarrow as pa

    return pa.table({name: pa.array(values) for name, values in table.items()})


def _times(rng: np.random.Generator, count: int, seconds: int) -> NDArray[np.int64]:
    """Whole seconds, few of them at night: least about four in the morning."""
    grid = np.linspace(0.0, seconds, 2001)
    hour = grid / 3600 % 24
    intensity = 1.0 - 0.9 * np.exp(-(((hour - 4.0) / 2.5) ** 2)) + 0.1 * np.sin(np.pi * hour / 12)
    cumulative = np.concatenate([[0.0], np.cumsum((intensity[1:] + intensity[:-1]) / 2)])
    times = np.interp(rng.random(count), cumulative / cumulative[-1], grid)
    return np.asarray(np.floor(times), dtype=np.int64)


def _fraud_rows(
    rng: np.random.Generator, time: NDArray[np.int64], frauds: int
) -> NDArray[np.bool_]:
    """Frauds come evenly around the clock, so that they stand out at night."""
    density = np.gradient(np.arange(len(time), dtype=float), _strictly_rising(time))
    chance = 1.0 / np.maximum(density, np.median(density) / 10)
    mask = np.zeros(len(time), dtype=bool)
    mask[rng.choice(len(time), size=frauds, replace=False, p=chance / chance.sum())] = True
    return mask


def _strictly_rising(time: NDArray[np.int64]) -> Floats:
    """Sorted times, smoothed over neighbours, with no two alike."""
    window = max(1, len(time) // 500)
    smooth = np.convolve(np.pad(time, window, mode="edge"), np.ones(2 * window + 1), "valid")
    return np.asarray(smooth / (2 * window + 1) + np.arange(len(time)) * 1e-6)


def _components(rng: np.random.Generator, recipe: Recipe, fraud: NDArray[np.bool_]) -> Floats:
    """Uncorrelated heavy-tailed components, moved where there is fraud."""
    names = list(recipe.components)
    spread = np.array(list(recipe.components.values()))
    shift = np.array([recipe.fraud_shift.get(name, 0.0) for name in names])
    count = len(fraud)

    common_scale = np.sqrt((recipe.tails - 2) / rng.chisquare(recipe.tails, size=count))
    values = rng.standard_normal((count, len(names))) * common_scale[:, None] * spread
    for group in recipe.lookalikes.values():
        members = ~fraud & (rng.random(count) < group.share)
        strength = rng.gamma(4.0, 0.25, size=(members.sum(), 1)) * group.shift
        values[members] += strength * shift * np.isin(names, group.columns)

    values[fraud] = _frauds(rng, recipe, names, spread, shift, int(fraud.sum()))
    values[~fraud] = _decorrelated(values[~fraud], values[fraud], spread)
    rounded: Floats = np.round(values, COMPONENT_DECIMALS)
    return rounded


def _frauds(
    rng: np.random.Generator,
    recipe: Recipe,
    names: list[str],
    spread: Floats,
    shift: Floats,
    count: int,
) -> Floats:
    kinds = list(recipe.fraud_kinds.values())
    shares = np.array([kind.share for kind in kinds])
    shares /= shares.sum()
    factors = np.array(
        [np.where(np.isin(names, kind.columns), kind.shift, kind.elsewhere) for kind in kinds]
    )
    factors /= shares @ factors  # so that the mean over all kinds is the recipe's shift
    kind = rng.choice(len(kinds), size=count, p=shares)
    width = np.array([each.spread for each in kinds])[kind, None]
    # How strongly one fraud shows varies: a continuum from blatant to faint, not a point.
    strength = rng.gamma(25.0, 0.04, size=(count, 1))
    return np.asarray(
        factors[kind] * shift * strength + rng.standard_normal((count, len(names))) * spread * width
    )


def _decorrelated(legitimate: Floats, frauds: Floats, spread: Floats) -> Floats:
    """Bend the legitimate rows slightly: all rows together are uncorrelated, with zero mean."""
    weight = len(frauds) / (len(legitimate) + len(frauds))
    centre = -weight * frauds.mean(axis=0) / (1 - weight)
    moved = frauds.T @ frauds / len(frauds) * weight
    offset = np.outer(centre, centre)
    wanted = np.diag(spread**2)
    # With few frauds their own scatter may be more than the whole is allowed: take what fits.
    for part in (1.0, 0.7, 0.4, 0.0):
        target = (wanted - part * moved) / (1 - weight) - part * offset
        if np.linalg.eigvalsh(target / np.outer(spread, spread)).min() > 0.02:
            break
    centred = legitimate - legitimate.mean(axis=0)
    now = np.linalg.cholesky(centred.T @ centred / len(centred))
    then = np.linalg.cholesky(target)
    return np.asarray(centred @ np.linalg.solve(now.T, then.T) + centre)


def _amounts(rng: np.random.Generator, amount: Amounts, fraud: NDArray[np.bool_]) -> Floats:
    """Log-normal with the wanted median and mean; the largest is the wanted maximum."""
    sigma = np.sqrt(2 * np.log(amount.mean / amount.median))
    median: Floats = np.where(fraud, amount.fraud_median, amount.median)
    values: Floats = median * np.exp(sigma * rng.standard_normal(len(fraud)))
    values = np.where(values > amount.maximum, amount.maximum**2 / values, values)
    values[rng.random(len(fraud)) < amount.zeros] = 0.0
    values[np.argmax(np.where(fraud, 0.0, values))] = amount.maximum
    return np.round(values, AMOUNT_DECIMALS)
