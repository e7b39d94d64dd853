"""The table of the bar features for people, made from the schema: `docs/features.md` holds exactly this text.

`manage.py document_features` writes the file; a test compares the two.  Reads nothing but the schema.
"""

from marketdata.core.barfeatures import schema

HEAD = """# Features of one-second bars

Made by `manage.py document_features` from `marketdata/core/barfeatures/schema.py`; do not edit by hand.

Schema `{id}`, version {version}: {count} features of {bar_s} s bars. Any change of a name, formula, order or constant
is a new version; whatever was made from the features stores the SHA-256 of the schema and is refused where it differs
(MES-FEAT-09, -10). One compiled step (`marketdata/core/barfeatures/stream.py`) makes them in training, backtest,
replay and live; batch, streaming and chunks of any size give the same bits.

* **Grid** (MES-DATA-20): a second without a print repeats the last close, with volume 0, for up to {carry_s} s inside
  the session.
* **Segment** (MES-DATA-21): begins with a session, a contract, after a longer silence, and after an outage that was
  not back-filled. All state resets; nothing is computed across. VWAP and OBV also reset at 09:30:00 New York (the
  *anchor*).
* **Valid** (MES-FEAT-05): {buckets} five-minute buckets have begun since the segment's first, and {anchor_s} s have
  passed since the anchor. Other rows hold NaN in all places and are never trained on or scored. A valid row is finite
  in all places.
* **Time**: row s holds what was known at s + 1 s. Minutes and five minutes are UTC buckets of the segment's seconds;
  every second of a bucket sees closed buckets only.
* **Hours**: `rth_close` = min(16:00, session close) of the date. On a date that closes early the countdown of
  `minutes_to_close_norm` is the formula's at every second of the session, also before 09:30.
* **Label** (MES-LABEL-01, -02): the move close(s + {label_s} s) - c in ticks; 2 above {label_ticks}, 0 below
  -{label_ticks}, else 1; none where s + {label_s} s is not a second of the same segment.

Notation: o h l c ticks, v contracts, s the second's start; x[k]: k seconds earlier; sum_n, mean_n, min_n, max_n, sd_n
over the last n seconds including this one, sd the sample deviation (ddof 1), taken in two passes; clip(x, a, b); E_N:
exponential average of c with factor 2/(N+1), first row c; r = c/c[1] - 1; C1(k), C5(k): close of minute or five-minute
bucket k, M and N the present ones. Sums of ticks and contracts are integers. Windows are in seconds where no unit is
named; *segment* and *anchor* reach back to their start.

| # | name | formula | unit | window | degenerate case |
|---|---|---|---|---|---|
"""


def as_markdown() -> str:
    """The whole document."""
    head = HEAD.format(
        id=schema.SCHEMA_ID,
        version=schema.VERSION,
        count=schema.FEATURE_COUNT,
        bar_s=schema.BAR_SECONDS,
        carry_s=schema.CARRY_S,
        buckets=schema.WARM_BUCKETS,
        anchor_s=schema.ANCHOR_S,
        label_s=schema.LABEL_S,
        label_ticks=schema.LABEL_TICKS,
    )
    lines = [
        f"| {place} | `{feature.name}` | {feature.formula} | {feature.unit} | {feature.window} | {feature.degenerate} |"
        for place, feature in enumerate(schema.FEATURES, start=1)
    ]
    return head + "\n".join(lines) + "\n"
