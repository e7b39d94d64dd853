"""Feature drift by the document's numbers, and one look from samples to verdict.  T-06, MOEX-MON-01 .. -03."""

from itertools import combinations
from math import comb

import numpy as np
import pytest

from marketdata.core.bookfeatures.schema import DRIFT_PLACES
from trading.learning.health.drift import (
    CRITICAL,
    NONE,
    SAMPLE_MIN,
    WARNING,
    Sample,
    compare,
    holm,
    is_comparable,
    severity_of,
    smirnov,
    stability,
)
from trading.learning.health.evaluation import (
    CALIBRATION,
    NO_HOURS,
    NO_OUTCOMES,
    NO_REFERENCE,
    NO_VALUES,
    STANDS_STILL,
    Current,
    Look,
    look_at,
)
from trading.learning.health.outcomes import Figures, Outcome
from trading.learning.health.reference import HOUR_NS, SAMPLE_MAX, Reference, hours_of, rows_within, watched_places
from trading.learning.schemas import BOOK_SCHEMA, STREAM_SCHEMA

FEATURES, N, EVALUATIONS = 12, 100, 120
FIGURES = Figures(400, 240, 0.6, 0.02)


def samples(rng: np.random.Generator, shift: float = 0.0, pairs: int = FEATURES) -> list[Sample]:
    """Independent ones of the documented sizes; the first is shifted by so many sigmas."""
    found = [Sample(0, at, rng.normal(size=500), rng.normal(size=N)) for at in range(pairs)]
    return [found[0]._replace(current=found[0].current + shift), *found[1:]]


def test_whole_evaluations_are_seldom_wrong_and_three_sigmas_are_seen_moex_mon_02() -> None:
    """False positives of the whole evaluation at most 5 %, detection of a 3-sigma shift at least 99 %, n = 100."""
    rng = np.random.default_rng(1)
    quiet = [max(pair.severity for pair in compare(samples(rng))) for _ in range(EVALUATIONS)]
    assert sum(severity != NONE for severity in quiet) <= 0.05 * EVALUATIONS
    moved = [compare(samples(rng, 3.0))[0] for _ in range(EVALUATIONS)]
    assert sum(pair.severity != NONE for pair in moved) >= 0.99 * EVALUATIONS


def test_the_numbers_are_the_documents_moex_mon_01() -> None:
    rng = np.random.default_rng(2)
    one = samples(rng, 2.5)[0]
    (pair,) = compare([one])
    expected = smirnov(one.reference, one.current)
    assert (pair.ks, pair.p, pair.p_adj) == (*expected, expected[1])
    assert pair.sigma == one.reference.std() and pair.shift == one.current.mean() - one.reference.mean()
    assert (pair.n_ref, pair.n_cur, pair.severity) == (500, 100, WARNING)
    assert stability(one.reference, one.current) == pair.psi > 1.0 > 0.25 > stability(one.reference, one.reference)


@pytest.mark.parametrize(("n", "m"), [(2, 5), (4, 4), (3, 7)])
def test_p_is_the_share_of_all_orders_that_are_as_far_apart_moex_mon_01(n: int, m: int) -> None:
    """Counted one by one for small samples."""
    orders = list(combinations(range(n + m), n))
    values = np.arange(float(n + m))
    found = [smirnov(values[list(few)], np.delete(values, list(few))) for few in orders]
    distances = np.array([d for d, _ in found])
    for d, p in found:
        assert p == pytest.approx(float((distances >= d - 1e-12).mean()), abs=1e-12)


def test_p_of_equal_sizes_is_the_closed_formula_moex_mon_01() -> None:
    """2 sum (-1)^(i+1) C(2n, n - i k) / C(2n, n) for D = k / n (Gnedenko and Korolyuk)."""
    n = 100
    for k in (1, 10, 19, 25):
        reference = np.arange(float(n))
        d, p = smirnov(reference, reference + k - 0.5)
        terms = ((1 if i % 2 else -1) * comb(2 * n, n - i * k) for i in range(1, n // k + 1))
        assert d == k / n and p == pytest.approx(2 * sum(terms) / comb(2 * n, n), rel=1e-9)
    assert smirnov(np.ones(30), np.ones(40)) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("p", "sigmas", "severity"),
    [
        (1.0, 3.0001, CRITICAL),
        (0.0, 3.0, WARNING),
        (0.0499, 2.0001, WARNING),
        (0.05, 2.5, NONE),
        (0.0, 2.0, NONE),
    ],
)
def test_every_border_of_severity_is_strict_moex_mon_02(p: float, sigmas: float, severity: int) -> None:
    assert severity_of(p, sigmas) == severity


def test_holms_correction_steps_down_over_all_pairs_moex_mon_02() -> None:
    assert holm(np.array([0.01, 0.04, 0.03])).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm(np.array([0.5, 0.9])).tolist() == [1.0, 1.0] and holm(np.array([])).tolist() == []


def test_what_cannot_be_compared_is_passed_over_and_counted_moex_mon_01() -> None:
    rng = np.random.default_rng(3)
    good = samples(rng)[0]
    assert is_comparable(good)
    assert not is_comparable(good._replace(current=good.current[: SAMPLE_MIN - 1]))
    assert not is_comparable(good._replace(reference=np.full(500, 7.0)))
    assert is_comparable(good._replace(current=np.full(100, 7.0))), "a feature that froze is compared"


def reference_of(rng: np.random.Generator, hours: range = range(10, 14), rows: int = 4_000) -> Reference:
    """Normal features of two places within these hours of some days."""
    ts = np.sort(rng.integers(0, 5, rows) * 24 + rng.integers(hours.start, hours.stop, rows)) * HOUR_NS
    return Reference("ab", rng.normal(size=(rows, 2)).astype(np.float32), ts + np.arange(rows), FIGURES, FIGURES)


def look_of(
    rng: np.random.Generator, shift: float = 0.0, hour: int = 11, outcomes: int = 0, right: float = 0.6
) -> Look:
    features = rng.normal(size=(N, 2)).astype(np.float32)
    features[:, 1] += shift
    ts = hour * HOUR_NS + np.arange(N) * 18_000_000_000
    said = [Outcome(2, 0.6, 2 if at < right * outcomes else 1) for at in range(outcomes)]
    return Look(int(ts[-1]), [Current(0, features, ts)], said, said)


def test_a_reference_is_taken_from_the_same_hours_of_the_day_moex_mon_01() -> None:
    rng = np.random.default_rng(4)
    reference = reference_of(rng)
    now = look_of(rng, hour=11).current[0].ts_ns
    rows = rows_within(reference, hours_of(now))
    assert len(rows) == SAMPLE_MAX and set((reference.ts_ns[rows] // HOUR_NS) % 24) == {11}
    days = np.bincount(reference.ts_ns[rows] // (24 * HOUR_NS))
    assert len(days) == 5 and days.min() > 80, "evenly spread"
    assert len(rows_within(reference, hours_of(now + 8 * HOUR_NS))) == 0


def test_a_single_look_stops_nothing_and_two_in_a_row_are_confirmed_moex_mon_03() -> None:
    """What was not compared in between, or not critical, begins the count anew."""
    rng = np.random.default_rng(5)
    reference, places = reference_of(rng), (0, 1)
    first = look_at(look_of(rng, 4.0), reference, places)
    assert (first.verdict, first.confirmed, first.critical) == (CRITICAL, False, {(0, 1)})
    again = look_at(look_of(rng, 4.0), reference, places, first.critical)
    assert again.confirmed and again.worst[0].feature == 1
    calm = look_at(look_of(rng), reference, places, again.critical)
    assert (calm.verdict, calm.confirmed, calm.critical) == (NONE, False, set())
    other = look_at(look_of(rng, hour=20), reference, places, again.critical)
    assert other.critical == set() and not look_at(look_of(rng, 4.0), reference, places, other.critical).confirmed


def test_what_cannot_be_judged_is_a_warning_that_says_why_t_06() -> None:
    rng = np.random.default_rng(6)
    reference, places = reference_of(rng), (0, 1)
    none = look_at(look_of(rng), None, places)
    assert (none.verdict, none.why, none.pairs, none.hits) == (WARNING, NO_REFERENCE, [], None)
    away = look_at(look_of(rng, hour=20), reference, places)
    assert (away.verdict, away.why, away.skipped) == (WARNING, NO_HOURS, 2)
    few = look_of(rng)
    one = few.current[0]
    few = few._replace(current=[one._replace(features=one.features[:5], ts_ns=one.ts_ns[:5])])
    seen = look_at(few, reference, places)
    assert (seen.verdict, seen.why) == (NONE, NO_VALUES), "said, and nothing steps down for it"
    assert (seen.carried({(0, 1), CALIBRATION}), seen.calibration_error) == ({(0, 1)}, None), "no feature was asked"
    assert away.carried({(0, 1)}) == set()
    still = reference._replace(features=np.zeros_like(reference.features))
    frozen = look_at(look_of(rng), still, places)
    assert (frozen.verdict, frozen.why) == (WARNING, STANDS_STILL)
    untold = reference._replace(hits=Figures(3, 2, 0.6, 0.0))
    told = look_at(look_of(rng, outcomes=100), untold, places)
    assert (told.verdict, told.why) == (WARNING, NO_OUTCOMES)


def test_scores_that_went_wrong_are_part_of_the_verdict_t_06() -> None:
    """The reference was right in 60 % of its scores."""
    rng = np.random.default_rng(7)
    reference, places = reference_of(rng), (0, 1)
    fine = look_at(look_of(rng, outcomes=300, right=0.58), reference, places)
    assert fine.verdict == NONE and fine.hits is not None and fine.hits.low is not None
    assert fine.hits.rows == 300 and fine.hits.low < 0.58
    worse = look_at(look_of(rng, outcomes=300, right=0.45), reference, places)
    assert (worse.verdict, worse.confirmed) == (WARNING, False)
    bad = look_at(look_of(rng, outcomes=300, right=0.3), reference, places)
    assert bad.verdict == CRITICAL and CALIBRATION in bad.critical
    assert look_at(look_of(rng, outcomes=300, right=0.3), reference, places, bad.critical).confirmed


def test_the_same_look_gives_the_same_report_to_the_bit() -> None:
    look, reference = look_of(np.random.default_rng(8), 2.0, outcomes=100), reference_of(np.random.default_rng(9))
    assert look_at(look, reference, (0, 1)) == look_at(look, reference, (0, 1))


def test_of_books_the_marked_features_are_watched_of_others_all_moex_mon_01() -> None:
    assert watched_places(BOOK_SCHEMA) == DRIFT_PLACES and len(DRIFT_PLACES) == 12
    assert watched_places(STREAM_SCHEMA) == tuple(range(STREAM_SCHEMA.width))
