"""MOEX-MON-04: p50, p95 and p99 of a stage, of the last minute and of all, never too low and little too high."""

import random

from trading.run.telling.histogram import BUCKETS, QUANTILES, SLICE_NS, SLICES, Histogram, bucket, quantiles, top


def test_every_duration_lies_in_its_bucket_and_an_eighth_below_its_top() -> None:
    seeded = random.Random(4)
    for ns in (*range(70), *(seeded.randrange(1 << seeded.randrange(1, 50)) for _ in range(5_000))):
        index = bucket(ns)
        assert 0 <= index < BUCKETS and ns <= top(index) <= ns + ns // 8, ns
        assert index == 0 or top(index - 1) < ns
    assert bucket(1 << 60) == BUCKETS - 1


def test_quantiles_are_those_of_the_sorted_durations_moex_mon_04() -> None:
    seeded = random.Random(7)
    for size in (1, 2, 3, 19, 20, 100, 997):
        took = sorted(seeded.randrange(10_000_000) for _ in range(size))
        histogram = Histogram()
        for ns in took:
            histogram.add(ns, 0)
        exact = [took[-(-size * percent // 100) - 1] for percent in QUANTILES]
        assert histogram.whole() == tuple(top(bucket(ns)) for ns in exact)
    assert quantiles([0] * 9) == () and Histogram().minute(5) == ()


def test_the_minute_forgets_and_the_whole_does_not() -> None:
    histogram = Histogram()
    histogram.add(1_000_000, 0)
    later = SLICES * SLICE_NS
    assert histogram.minute(later - 1) == histogram.whole()
    histogram.add(2_000, later)
    assert histogram.minute(later)[2] < 3_000 and histogram.whole()[2] >= 1_000_000
    assert histogram.minute(3 * later) == ()
