"""What each rule of the gate saw, in plain words: one phrase a rule from the form, amounts in the units of people.

Words only: whether a rule refuses is the rule's own answer (`risk.margins`).  A rule without a phrase here is shown
with its text from the gate's table.  Called by `why.answer`.
"""

from collections.abc import Callable
from typing import NamedTuple

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from marketdata.core.records import NO_TICK, NO_TIME
from marketdata.core.sessions import PHASES
from marketdata.core.units import MICROS, NANOS, PPM, text_from_ticks
from risk.core.asking import ASK_FIELDS, HIGH, LOW
from risk.core.codes import APPROVED, FIELD_BASE
from risk.core.gate import code_name
from risk.core.holds import BY_BIT, ENTRY_MASK, HOLD_CAPACITY
from risk.core.records import UNKNOWN
from risk.core.stops import ATR_ROWS
from risk.margins import Answer, Form, Gauge
from risk.schema import MONEY, SHARE, TICKS, TIME, Limit
from trading.config.fields import label

STATUSES = ("open", "closed", "halted", "auction")
MINUTE_NS, HOUR_NS = 60 * NANOS, 3600 * NANOS
Phrase = Callable[[Form, "About"], str]


class About(NamedTuple):
    """What it takes to write the form's numbers: the instrument and the account's currency."""

    symbol: str
    tick_nanos: int
    currency: str


def side_word(side: int) -> str:
    """BUY, SELL, or none."""
    return {1: "BUY", -1: "SELL"}.get(side, _("no side"))


def time_word(ns: int) -> str:
    """A length of time: 12 ms, 3.4 s, 5 min, 2.5 h."""
    if abs(ns) < NANOS:
        return f"{ns / 1e6:.0f} ms" if abs(ns) >= 1_000_000 or ns == 0 else f"{ns / 1e6:.3f} ms"
    if abs(ns) < 2 * MINUTE_NS:
        return f"{ns / 1e9:.1f} s"
    return f"{ns / MINUTE_NS:.0f} min" if abs(ns) < 2 * HOUR_NS else f"{ns / HOUR_NS:.1f} h"


def money_word(micros: int, currency: str) -> str:
    return f"{micros / MICROS:,.2f} {currency}"


def share_word(ppm: int) -> str:
    return f"{ppm / 10_000:.4g} %"


def ppm_word(ppm: int) -> str:
    return f"{ppm / PPM:+.2f}".replace("-", "−")


def amount(row: Limit, value: int, currency: str) -> str:
    """A limit, or what is used of it, in its own unit."""
    if row.kind == MONEY:
        return money_word(value, currency)
    if row.kind == TIME:
        return time_word(value)
    if row.kind == SHARE:
        return share_word(value)
    if row.kind == TICKS:
        return ngettext("%(n)s tick", "%(n)s ticks", value) % {"n": value}
    return str(value)


def price(tick: int, about: About) -> str:
    return "—" if tick == NO_TICK else text_from_ticks(tick, about.tick_nanos)


def gauge_words(gauge: Gauge, about: About) -> dict[str, str]:
    """label, used, limit, left and one sentence of a gauge."""
    row = gauge.limit
    used, limit = amount(row, gauge.used, about.currency), amount(row, gauge.value, about.currency)
    left = amount(row, abs(gauge.left), about.currency)
    name = label(row.key)
    if gauge.beyond:
        used = _("over %(bound)s") % {"bound": used}
    if gauge.at_least:
        asks = _("at least %(limit)s") % {"limit": limit}
        rest = _("%(left)s to spare") if gauge.left >= 0 else _("%(left)s short")
    else:
        asks = _("at most %(limit)s") % {"limit": limit}
        rest = _("%(left)s left") if gauge.left >= 0 else _("%(left)s over")
    rest = rest % {"left": left}
    return {"label": name, "used": used, "limit": asks, "left": rest, "sentence": f"{name}: {used}, {asks} ({rest})"}


def holds_of(form: Form, mask: int | None = None) -> list[str]:
    """Codes of the holds in the form, account's and instrument's; with a mask only those."""
    standing = form["holds"] | form["instrument_holds"]
    standing &= mask if mask is not None else (1 << HOLD_CAPACITY) - 1
    names = BY_BIT[form.rules]
    return [names[bit].code for bit in range(HOLD_CAPACITY) if standing >> bit & 1 and bit in names]


def _age(form: Form, name: str) -> str:
    then = form[name]
    return _("never") if then == NO_TIME else time_word(form["now_ns"] - then)


def _listed(items: list[str], nothing: str) -> str:
    return ", ".join(items) if items else nothing


def _fields(form: Form, about: About) -> str:
    for i, name in enumerate(ASK_FIELDS):
        if not LOW[i] <= form[name] <= HIGH[i]:
            value = _("not known") if form[name] == UNKNOWN else str(form[name])
            return _("%(name)s is %(value)s, believed within %(low)s … %(high)s") % {
                "name": name, "value": value, "low": LOW[i], "high": HIGH[i],
            }  # fmt: skip
    return _("every input is known and within its bounds")


def _reconciled(form: Form, about: About) -> str:
    if form["unknown_orders"] > 0:
        return _("%(n)s orders have an unknown outcome") % {"n": form["unknown_orders"]}
    if form["reconciled"] != 1:
        return _("desk and broker have not agreed since the last start, reconnect or doubt")
    return _("desk and broker agreed %(age)s ago") % {"age": _age(form, "recon_ts_ns")}


def _held(form: Form, about: About) -> str:
    stopping = holds_of(form, int(ENTRY_MASK[form.rules]))
    if not stopping:
        return _("no hold that stops entries stands or is due")
    return _("a hold stands or is due: %(holds)s") % {"holds": ", ".join(stopping)}


def _fresh(form: Form, about: About) -> str:
    faults = [_("the feed reported a gap")] if form["gap"] else []
    faults += [_("the book is crossed, one-sided or discarded")] if form["book_ok"] != 1 else []
    faults += [_("there is no price")] if form["price_tick"] == NO_TICK or form["price_tick"] <= 0 else []
    ages = {"feed": _age(form, "feed_ts_ns"), "quote": _age(form, "quote_ts_ns")}
    said = _("age of the last feed message %(feed)s, of the quote %(quote)s") % ages
    return "; ".join([*faults, said])


def _score_fresh(form: Form, about: About) -> str:
    if form["score_ts_ns"] > form["now_ns"]:
        return _("the score comes from the future")
    return _("the score was %(age)s old") % {"age": _age(form, "score_ts_ns")}


def _model(form: Form, about: About) -> str:
    if form["row_valid"] != 1:
        return _("the row of features behind the score was not valid")
    return _("the row of features was valid; model holds: %(holds)s") % {
        "holds": _listed([c for c in holds_of(form) if c in ("MODEL_BLOCKED", "FEATURES_COLD")], _("none"))
    }


def _signal(form: Form, about: About) -> str:
    return _("score %(score)s, %(side)s") % {"score": ppm_word(form["score_ppm"]), "side": side_word(form["side"])}


def _flat(form: Form, about: About) -> str:
    if form["position"] == 0 and form["entries_working"] == 0:
        return _("flat, and no order works")
    return _("position %(qty)s, working orders %(n)s") % {"qty": form["position"], "n": form["entries_working"]}


def _stop(form: Form, about: About) -> str:
    if form["stop_ticks"] == UNKNOWN or form["stop_ticks"] <= 0:
        return _("no stop could be planned")
    stop = {"n": form["stop_ticks"], "price": price(form["price_tick"], about)}
    return _("a stop %(n)s ticks from %(price)s") % stop


def _sized(form: Form, about: About) -> str:
    if form["size_code"] != 0:
        return _("no size: %(why)s") % {"why": code_name(form.rules, form["size_code"])}
    return _("size %(qty)s") % {"qty": form["qty"]}


def _spread(form: Form, about: About) -> str:
    return _("bid %(bid)s, ask %(ask)s") % {
        "bid": price(form["bid_tick"], about),
        "ask": price(form["ask_tick"], about),
    }


def _collar(form: Form, about: About) -> str:
    given = {"price": price(form["price_tick"], about), "last": price(form["last_tick"], about)}
    return _("order at %(price)s; %(quotes)s, last trade %(last)s") % (given | {"quotes": _spread(form, about)})


def _moved(form: Form, about: About) -> str:
    if form["move_ticks"] == UNKNOWN:
        return _("no earlier mark to compare with")
    return _("the mark has moved %(n)s ticks in the window") % {"n": form["move_ticks"]}


def _open_risk(form: Form, about: About) -> str:
    if form["open_risk_micros"] < 0:
        return _("open risk is not known: something held or working has no stop")
    return _("open risk %(money)s") % {"money": money_word(form["open_risk_micros"], about.currency)}


def _duplicate(form: Form, about: About) -> str:
    if form["score_used"] != 0:
        return _("an order was made from this score, or a newer one, already")
    return _("the same order was last sent: %(age)s") % {"age": _age(form, "same_order_ts_ns")}


def _messages(form: Form, about: About) -> str:
    sent = {"second": form["messages_1s"], "minute": form["messages_60s"]}
    return _("sent in this second %(second)s, in a minute %(minute)s; an entry brings 3") % sent


def _day(form: Form, about: About) -> str:
    money = {"day": money_word(form["day_net_micros"], about.currency)}
    return _("day %(day)s, %(risk)s") % (money | {"risk": _open_risk(form, about)})


def _range(form: Form, about: About) -> str:
    if form["atr_sum"] < 0:
        return _("the average range of the last rows is not known")
    return _("average range of the last rows %(n)s ticks") % {"n": f"{form['atr_sum'] / ATR_ROWS:.2f}"}


def _opposite(form: Form, about: About) -> str:
    if form["opposite_tick"] == 0:
        return _("no order of our own works on the other side")
    prices = {"price": price(form["price_tick"], about), "own": price(form["opposite_tick"], about)}
    return _("order at %(price)s, our own order of the other side at %(own)s") % prices


def _switch(name: str, on: str, off: str) -> Phrase:
    return lambda form, about: on if form[name] == 1 else off


PHRASES: dict[str, Phrase] = {  # the rule's function → what it saw
    "trading": _switch("trading", "the session trades", "the session was not started, or was stopped"),
    "latched": _switch("latched", "the kill latch stands", "the kill latch is open"),
    "limits_exist": _switch("limits_known", "a version set every limit", "no version is active, or a limit is not set"),
    "fields_valid": _fields,
    "open_risk_known": _open_risk,
    "active": lambda form, about: (
        _("the instrument has no slot among those that are traded")
        if "NOT_ACTIVE" in holds_of(form)
        else _("the instrument has its slot")
    ),
    "tradable": _switch("tradable", "the instrument may be traded", "the instrument is for marks and features only"),
    "reconciled": _reconciled,
    "held": _held,
    "fresh": _fresh,
    "score_fresh": _score_fresh,
    "phase_admits": lambda form, about: _("phase %(phase)s") % {"phase": PHASES[form["phase"]]},
    "model_ready": _model,
    "signal": _signal,
    "confidence": lambda form, about: _("confidence %(c)s") % {"c": ppm_word(form["confidence_ppm"]).lstrip("+")},
    "filtered": _range,
    "flat": _flat,
    "cooled_down": lambda form, about: (
        _("since the last entry fill: %(entry)s; exit fill: %(exit)s")
        % {"entry": _age(form, "entry_fill_ns"), "exit": _age(form, "exit_fill_ns")}
    ),
    "short_allowed": lambda form, about: side_word(form["side"]),
    "stop_planned": _stop,
    "sized": _sized,
    "status_open": lambda form, about: _("the venue says: %(s)s") % {"s": STATUSES[form["status"]]},
    "qty_limit": _sized,
    "value_limit": lambda form, about: f"{form['qty']} × {price(form['price_tick'], about)}",
    "spread": _spread,
    "hedge_fits": lambda form, about: _spread(form, about) if form["hedging"] == 1 else _("no hedge is asked for"),
    "collar": _collar,
    "moved": _moved,
    "gross_limit": lambda form, about: (
        _("exposure with this order %(gross)s, this instrument %(own)s")
        % {
            "gross": money_word(form["gross_micros"], about.currency),
            "own": money_word(form["instrument_micros"], about.currency),
        }
    ),
    "position_limit": lambda form, about: (
        _("position %(p)s, working to buy %(b)s, to sell %(s)s, this order %(q)s")
        % {"p": form["position"], "b": form["working_buy"], "s": form["working_sell"], "q": form["qty"]}
    ),
    "margin": lambda form, about: _("equity %(money)s") % {"money": money_word(form["equity_micros"], about.currency)},
    "trade_risk": _stop,
    "day_risk": _day,
    "not_duplicate": _duplicate,
    "repeated": lambda form, about: _("entries in the window %(n)s") % {"n": form["entries_recent"]},
    "crosses_nothing": _opposite,
    "depth": lambda form, about: (
        _("order of %(qty)s, shown on the other side %(shown)s") % {"qty": form["qty"], "shown": form["opposite_qty"]}
    ),
    "trades_left": lambda form, about: _("trades of the day %(n)s") % {"n": form["day_trades"]},
    "message_rate": _messages,
    "bucket": lambda form, about: (
        _("slices in the bucket %(n)s, asked %(m)s") % {"n": form["bucket_tokens"], "m": form["slices"]}
    ),
    "open_orders": lambda form, about: (
        _("open orders %(n)s; this entry needs %(m)s") % {"n": form["orders_open"], "m": 2 + form["slices"]}
    ),
}


def saw(answer: Answer, form: Form, about: About) -> str:
    """What this rule saw; where it cannot be asked, what was missing."""
    if answer.blind:
        return _("cannot be asked: %(names)s not known") % {"names": ", ".join(answer.blind)}
    phrase = PHRASES.get(answer.rule.function.__name__)
    return answer.rule.text if phrase is None else phrase(form, about)


def sentence(answer: Answer, form: Form, about: About) -> str:
    """The refusal, or the passing, of one rule as one sentence: its missed limits first, else what it saw."""
    missed = [gauge_words(gauge, about)["sentence"] for gauge in answer.gauges if gauge.left < 0]
    if answer.code == APPROVED or not missed:
        return saw(answer, form, about)
    return "; ".join(missed)


def reason(answer: Answer, rules: int) -> str:
    """The reason's name under this rulebook; a bad input by the name of its field."""
    if answer.code is None or answer.code == APPROVED:
        return ""
    return (
        code_name(rules, answer.code)
        if answer.code < FIELD_BASE
        else f"INPUT_INVALID:{ASK_FIELDS[answer.code - FIELD_BASE]}"
    )
