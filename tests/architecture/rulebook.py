"""Every numbered rule of the rulebook: what it says in one line, where it is done, and which tests name it.

`python -m tests.architecture.rulebook` writes docs/rules.md; the test beside this file fails when the page is old or
when a rule that is done has no test.  A rule that is not done, or not whole, says what is missing.
"""

import re
import sys
from typing import NamedTuple

from tests.architecture.source import sources
from tests.bootstrap import ROOT

PAGE = ROOT / "docs" / "rules.md"
SELF = ("tests/architecture/rulebook.py", "tests/architecture/test_rules.py")


class Rule(NamedTuple):
    """One rule.  `code`: the file that does it, empty when none does; `missing`: what of it is not done."""

    id: str
    text: str
    code: str
    missing: str = ""


LIMITS, CLOCK, NOTICES = "trading/core/watch/limits.py", "trading/core/watch/clock.py", "trading/core/watch/notices.py"
GATE, RULES, HOLDS = "risk/core/gate.py", "risk/core/rules.py", "risk/core/holds.py"
SIZING, STOPS, BREAKERS = "risk/core/sizing.py", "risk/core/stops.py", "risk/core/breakers.py"
PLAN, POLICY, ANSWERS = "trading/core/entry/plan.py", "trading/core/entry/policy.py", "trading/core/answers.py"
RECON = "trading/core/watch/recon.py"
COMMANDS, PROTECT, MARKET = "trading/core/commands.py", "trading/core/protect.py", "trading/core/market.py"
CALENDARS, SCHEMA, KERNEL = "marketdata/calendars.py", "risk/contradictions.py", "trading/core/kernel.py"
METRICS, BASELINES = "trading/research/metrics.py", "trading/research/baselines.py"
FOLDS, RESULTS = "trading/research/folds.py", "trading/research/fold_results.py"
BACKTEST, UNIVERSE = "trading/run/backtest", "marketdata/core/universe"
DRIVE, MOMENTS = "trading/core/history/drive.py", "trading/core/history/moments.py"

# id | one line | code | what of it is missing; or id | one line | - what is missing, where nothing is done
# ruff: noqa: E501
TABLE = f"""
MES-RISK-01 | risk balance: capital + booked profit - booked fees + transfers | {NOTICES}
MES-RISK-02 | equity: balance + open profit at the last mark | {LIMITS}
MES-RISK-03 | reference balance; re-based when reset_halt clears EQUITY_KILL | {COMMANDS}
MES-RISK-04 | peak balance; re-based when resume clears ACCOUNT_DRAWDOWN | {ANSWERS}
MES-RISK-05 | daily net is booked money of this trading day | {ANSWERS}
MES-RISK-06 | open risk; a position without a stop makes it unknown | {LIMITS}
MES-RISK-07 | remaining daily risk; a profit does not enlarge it | {LIMITS}
MES-RISK-08 | a trade is flat to flat, net of fees | {ANSWERS}
MES-RISK-09 | streak of losses; a win or the roll ends it | {LIMITS}
MES-RISK-10 | equity at or above the reference never trips EQUITY_KILL | {LIMITS}
MES-RISK-11 | a breach by open money refuses at once and is held once confirmed | {LIMITS}
MES-RISK-12 | a later loss lengthens LOSS_STREAK, never shortens it | {LIMITS}
MES-RISK-13 | what resume and reset_halt clear, and the re-basing | {COMMANDS}
MES-RISK-14 | the roll, by the event's clock | {CLOCK}
MES-RISK-15 | a pause closes nothing; expiry is an event's | {CLOCK}
MES-RISK-16 | the strongest label is shown | {HOLDS}
MES-RISK-20 | order of the gate; the first refusing row names the reason | {GATE} | row 1 knows one account, of row 8's filters the kernel has those of the range, not of the volume, row 7 hears no MODEL event: the scoring loop checks the network by itself and sends no score without it
MES-RISK-21 | order of recording a result | {LIMITS}
MES-RISK-22 | state is journalled before its effects leave; replay is exact; a new session opens with what the last one left | trading/core/past.py
MES-SIZE-01 | tiers; a boundary belongs to the lower one | {SIZING}
MES-SIZE-02 | steps and caps of a size | {SIZING}
MES-SIZE-03 | no size breaks a budget | {SIZING}
MES-SIZE-04 | the size sent is the size approved | {PLAN}
MES-STOP-01 | distance of the stop: fixed, atr, structure | {STOPS}
MES-STOP-02 | clamped, and tightened in phase REDUCED | {STOPS}
MES-STOP-03 | distance of the target | {STOPS}
MES-STOP-04 | what the bracket is measured from | {ANSWERS}
MES-STOP-05 | trailing only tightens | {STOPS}
MES-STOP-06 | time exit | {CLOCK}
MES-REV-01 | an opposite score holds, exits or reverses | {POLICY}
MES-REV-02 | a reversal's entry is a new approval | {POLICY}
MES-REV-03 | waits and chains of reversals | {POLICY}
MES-EOD-01 | phases and schedules as data | {CALENDARS}
MES-EOD-02 | a schedule past the cut-off is refused, at a start by its venue's kind and at every roll of a live session | trading/preflight/planning.py
MES-EOD-03 | early closes shift the phases | {CALENDARS}
MES-EOD-04 | phases are half-open, in New York time | {CLOCK}
MES-EOD-05 | data that end before the schedule | {BACKTEST}/plan.py | an option of the command, `--data-close`, not of a profile
MES-EOD-06 | flatten is retried; a position at the cut-off needs a person | {CLOCK}
MES-BREAK-01 | breakers are holds of the risk core | {HOLDS}
MES-BREAK-02 | VOLATILITY and VOLUME at minute boundaries, exact | {BREAKERS}
MES-BREAK-03 | SPREAD on every quote | {MARKET}
MES-BREAK-04 | summary of a trading day | trading/run/journal/daily.py | written on demand (`manage.py sessions days`); earlier sessions are replayed with it
MES-BREAK-05 | no backtest day loses more than its limit and the last slippage, no fall from the peak more than its limit and one trade | trading/run/backtest/summary.py
MES-HOLD-EQUITY_KILL | equity lost from the reference | {LIMITS}
MES-HOLD-KILL_SWITCH | operator's halt | {COMMANDS}
MES-HOLD-NAKED_POSITION | no stop covers the position | {PROTECT}
MES-HOLD-STATE_UNREADABLE | a state out of range halts | {LIMITS}
MES-HOLD-ACCOUNT_DRAWDOWN | balance fallen from its peak | {LIMITS}
MES-HOLD-MISMATCH | broker and desk differ | {RECON}
MES-HOLD-NOT_FLAT_AT_CUTOFF | a position at MUST_BE_FLAT | {CLOCK}
MES-HOLD-ERROR_STORM | ten errors in 60 s | {NOTICES} | an outage that has a hold of its own is no error
MES-HOLD-MIN_BALANCE | balance below its minimum | {LIMITS}
MES-HOLD-DAILY_LOSS | booked loss of the day | {LIMITS}
MES-HOLD-DAILY_DRAWDOWN | equity fallen from today's peak | {LIMITS}
MES-HOLD-OPERATOR_LOCK | locked out until a time that nobody shortens | {COMMANDS}
MES-HOLD-MODEL_BLOCKED | no approved network, or one that is not healthy any more | {NOTICES} | the scoring loop sends it when its network cannot be loaded, and when its health was critical twice in a row; the calibration error is of this session's last 500 scores, not of 20 sessions; who approved a network nobody asks
MES-HOLD-FEATURES_COLD | the row behind the score is not valid | {RULES} | told while no instrument of the session has a row that counts; of several a single cold one has no score
MES-HOLD-PRESENCE | attended operation | {CLOCK}
MES-HOLD-LOSS_STREAK | three and five losses in a row | {LIMITS}
MES-HOLD-SPREAD | a wide spread, for 60 s | {MARKET}
MES-HOLD-NEWS | inside a window of the event list | {CLOCK} | a window that was told is never taken back; where the kernel's 16 places are taken the far ones are told as others end, at the latest 15 minutes before they begin
MES-HOLD-CONTRACT_ROLL | the contract is past its roll day | {KERNEL} | data sets whose manifest names the contracts of a change alone: a single recorded contract says nothing of an expiry, a vendor's id only beside definitions of it in the store
MES-HOLD-VOLATILITY | ATR above 3 x normal | {BREAKERS}
MES-HOLD-VOLUME | minute volume below a tenth of normal | {BREAKERS}
MES-CONF-06 | limits that contradict each other are refused | {SCHEMA}
MOEX-DATA-01 | 30 monitored, 15 active, three streams each | {UNIVERSE}/step.py | mean daily volume is not asked
MOEX-DATA-02 | currency and whole ticks | marketdata/core/units.py | no FX source: every other currency than the account's is refused by the list of instruments; the test is of the units
MOEX-DATA-03 | which books are accepted and valid | {UNIVERSE}/buffers.py
MOEX-DATA-04 | seeding: positions, restored set, first listed | {UNIVERSE}/step.py
MOEX-DATA-05 | states of an instrument | {UNIVERSE}/rotation.py
MOEX-DATA-06 | metrics once a second, unknown stays unknown | {UNIVERSE}/metrics.py
MOEX-DATA-07 | market indicators | {UNIVERSE}/metrics.py
MOEX-DATA-08 | the decision of each minute | {UNIVERSE}/rotation.py | decided beside the feed, and journaled as METRIC: the kernel hears it and decides nothing of it
MOEX-DATA-09 | dwell, cool-down, pins, hold UNHEALTHY | {UNIVERSE}/rotation.py
MOEX-DATA-10 | a demotion leaves nothing behind; memory is flat | marketdata/engine/live.py
MOEX-DATA-11 | operator replace, its answers, its command and button | trading/live/universe.py
MOEX-DATA-12 | cache with TTL and pins, rings of books, trades, candles | {UNIVERSE}/buffers.py | not at a takeover: the memory keeps metrics and the closes of vol_30m, books and candles begin anew
MOEX-DATA-13 | memory guard on resident memory of now | marketdata/engine/memory.py | the closes of vol_30m are not halved; the inference loop collects garbage and tells, its windows are of a fixed size and stay
MOEX-DATA-14 | integrity gate and its lists | {UNIVERSE}/step.py | the reconciliation is hold RECON beside it
MOEX-DATA-15 | resync clears all but the baselines | marketdata/engine/live.py | after a gap of the feed, and asked by an operator; the bootstrap is the candles that the feed told before, of this holder; books and trades begin anew: a tape has no history of now
MOEX-DATA-16 | registry of subscriptions, 100 requests a minute | marketdata/engine/subscriptions.py | a tape confirms all that it was opened for; no live transport uses it yet
MOEX-DATA-17 | exposed numbers | marketdata/engine/numbers.py
MOEX-RISK-01 | capital fixed at the roll and capped | {CLOCK} | the first session of an account starts from its configured capital, not from equity at the first reconciliation
MOEX-RISK-02 | average-price method, exact to a micro | trading/core/ledger.py
MOEX-RISK-03 | the trading day rolls at 05:00 MSK by the exchange's calendar | {CALENDARS}
MOEX-RISK-04 | gross exposure with working orders, and its limits | {LIMITS}
MOEX-RISK-05 | the holds of the shares | {HOLDS} | of one network ENSEMBLE_WEAK's weight is 1 or 0, and ML_FALLBACK ends with a person's next session, for no network is loaded again in one; STOP_UNPROTECTED leaves the position at once, not after 10 s; nobody sends jobs; a backtest knows no index; on a tape nothing is measured
MOEX-RISK-06 | streak, simplified routing, what clears what | {LIMITS} | lifting a hold by name pauses the session first
MOEX-RISK-07 | one fail-over request an episode, to the broker's hook | {NOTICES} | the paper broker has one route and stays on it
MOEX-RISK-08 | order of the gate | {GATE} | row 2 knows one mode, row 6 is not asked, nor currencies and the day's price limits; who is active is told each second by the data engine, so without one nobody tells it; of equal holds of one instrument the table names one, not the one that stands longest
MOEX-RISK-09 | an entry hold cancels working entries; execution asks again | trading/run/bodies/children.py | the epoch is the CANCEL that lies behind an intent, no number; status, the day's price limits and the broker's budget are not asked again
MOEX-RISK-10 | bucket of entry slices | {PLAN}
MOEX-RISK-11 | schedule of tasks | trading/core/watch/tasks.py | positions are checked every second, not every ten; metrics, rotation, drift and checkpoints are other loops', by their own clocks
MOEX-RISK-12 | snapshot and restore are the identity | trading/run/replica.py
MOEX-RISK-13 | broker positions replace restored ones, they are never added | {RECON} | never added, and differences audited; not replaced: missed answers of the venue are asked for and booked, and what they do not explain is held for a person (RECON_MISMATCH)
MOEX-RISK-14 | distances to every limit | trading/run/bodies/snapshot.py
MOEX-SIZE-01 | lots as the least of caps, halved in a high regime | {SIZING} | DEPTH counts the best level alone; no network names a regime yet
MOEX-ROUTE-01 | routing into one or two children | trading/core/entry/children.py | on bars, or without the document's stops, an entry goes to market
MOEX-ROUTE-02 | expected cost of a plan, in its decision | trading/core/entry/children.py | strategy, aggressiveness and model set are not in the row: the orders that leave show the slices
MOEX-ROUTE-03 | limits of entry children and the ladder of exits | trading/core/watch/routes.py | no adapter of a real broker maps the types yet
MOEX-ROUTE-04 | gap, window, price and end of the passive child | trading/core/venue/held.py | the paper venue alone serves it; volume is counted by whole seconds, of 59 to 60 s
MOEX-STOP-01 | the stop's formula, in the plan and at the fill | trading/core/watch/shares.py
MOEX-STOP-02 | the stop on the grid | risk/core/shares/moex_stops.py
MOEX-STOP-03 | trailing, only ever tighter | trading/core/watch/shares.py
MOEX-STOP-04 | what triggers a stop | trading/core/watch/shares.py
MOEX-STOP-05 | the first true exit | trading/core/watch/shares.py
MOEX-STOP-06 | the venue's own stop, wider than ours | trading/core/watch/shares.py | a close leaves it until its exit is filled
MOEX-HEDGE-01 | when a hedge is on, every 300 s | trading/core/hedge/task.py
MOEX-HEDGE-02 | how large a hedge is; nothing while one works | trading/core/hedge/task.py
MOEX-HEDGE-03 | a hedge must be tight, cheap and approved, else positions are reduced | trading/core/hedge/task.py | margin is a number of the instrument, no permission of the broker; the future is any of the session whose instrument hedges, no feed brings its history
MOEX-HEDGE-04 | what exceeds its cap by a twentieth is reduced to it | trading/core/hedge/task.py
MOEX-HEDGE-05 | the record of hedges; no stop, no time limit, no streak | trading/core/hedge/task.py
MOEX-LIQ-01 | liquidity forecast and its mean, with every picture of a session | risk/core/shares/liquidity.py | over the instruments of the session, which has no active set
MOEX-STORE-09 | checkpoints; none that can be used calls a person | trading/run/journal/recovery.py | every 20,000 events or 60 s, three kept, without rings and metrics; the journal alone gives the state again, and STATE_LOST says that it had to
MOEX-MON-01 | Kolmogorov-Smirnov of each feature against the same hours at training | trading/learning/health/drift.py | a network of one instrument is the reference of all that it scores; hours that its validation part does not reach have none and are a warning
MOEX-MON-02 | severity by shift and corrected p | trading/learning/health/drift.py | Holm alone: `correction` is no setting
MOEX-MON-03 | a look every 1800 s; critical twice in a row stops entries | trading/run/health/watcher.py | no CALIBRATE request, for no coordinator takes it; the audit has no category ML: its rows are of category control
MOEX-MON-04 | stages against their limits: hold LATENCY | trading/run/telling/stages.py | a breach is a count, the third a log line
MOEX-MON-05 | books that stay away in an open session: hold HEARTBEAT | trading/run/telling/heartbeat.py
MES-COST-01 | commission is linear, per contract and side | risk/core/costs.py
MES-COST-02 | a fee that differs raises an alert, a row of the audit log | desk/audit/follower.py
MES-COST-03 | published cost of a round trip | risk/core/costs.py
MES-COST-04 | edge ceiling | risk/core/costs.py
MES-COST-05 | break-even win rate after costs, on the result and in the terminal | {BACKTEST}/breakeven.py
MES-COST-06 | slippage fixed or conditional, by the last evaluation before decision or fill | trading/core/venue/slips.py | the spread is that of the last quote of its segment
MES-BT-01 | the backtest drives the kernel; same inputs, same bytes | {DRIVE} | operator actions cannot be scripted
MES-BT-02 | the five steps of a bar | {DRIVE}
MES-BT-03 | decisions from columns of the data | {BACKTEST}/signals.py
MES-BT-04 | times of fills and of the clock | {MOMENTS} | the clock is looked at with the bar's end, not in the next row: names of exits may differ, money does not
MES-BT-05 | approval is asked without a position, or against it | {DRIVE} | a decision against a position leaves a row IN_POSITION
MES-BT-10 | a market entry fills at the next open | trading/core/venue/bars.py
MES-BT-11 | an entry waits for its print so long, in its segment | {MOMENTS}
MES-BT-12 | a stop fills at the worse of stop and open, slipped | trading/core/venue/bars.py
MES-BT-13 | a target fills at its price, traded through or touched | trading/core/venue/bars.py
MES-BT-14 | stop and target in one bar is the stop | trading/core/venue/bars.py
MES-BT-15 | the end of the day fills at the first open | {MOMENTS}
MES-BT-16 | open at the session's close | {MOMENTS}
MES-BT-17 | open when the contract changes | {MOMENTS}
MES-BT-18 | a gap inside the session leaves position and bracket | {MOMENTS}
MES-BT-19 | open at the end of the data; a prefix has the same trades | {DRIVE}
MES-BT-20 | whole orders fill | trading/core/venue/bars.py
MES-BT-21 | why a trade ended | {BACKTEST}/engine.py | `manual` does not occur without operator actions
MES-BT-22 | nets are the change of equity, to the micro | trading/core/history/books.py
MES-BT-23 | MFE and MAE | trading/core/history/books.py
MES-BT-24 | flat outside sessions; a point for every row of the grid | {MOMENTS}
MES-BT-25 | speed | - `make bench` measures a bar; folds and optimisation do not exist
MES-BT-26 | trades.csv, equity.csv, summary.json | {BACKTEST}/outputs.py
MES-METRIC-01 | total return, CAGR, monthly mean | {METRICS}
MES-METRIC-02 | Sharpe of daily returns | {METRICS}
MES-METRIC-03 | Sortino over all sessions | {METRICS}
MES-METRIC-04 | drawdown over every equity point | trading/research/equity.py
MES-METRIC-05 | Calmar, recovery factor, average drawdown | {METRICS}
MES-METRIC-06 | value at risk | {METRICS}
MES-METRIC-07 | win rate | {METRICS}
MES-METRIC-08 | profit factor | {METRICS}
MES-METRIC-09 | expectancy in money and in R | {METRICS}
MES-METRIC-10 | streaks; a zero neither extends nor breaks | {METRICS}
MES-METRIC-11 | winning days, best and worst day | {METRICS}
MES-METRIC-12 | costs a trade and of positive gross | {METRICS}
MES-METRIC-13 | intervals by bootstrap of days, smallest edge | trading/research/intervals.py
MES-WF-01 | calendar-month windows on session borders | {FOLDS}
MES-WF-02 | purge and embargo at both borders; the tests add up; a test is traded once | trading/run/forward/walk.py | networks are trained anew by the command alone (`--retrain`), on bar features; the pages do not offer it
MES-WF-03 | a hold-out that no fold touches, opened once by a named person | trading/run/forward/holdout.py
MES-WF-04 | every fold is reported, infeasible ones with their reason | {RESULTS}
MES-WF-05 | overfitting score and robustness | {RESULTS}
MES-OPT-01 | parameters and their space | trading/research/search/space.py | `entry_filters` lacks the volume's ratio, which the kernel does not know (MES-RISK-20, row 8)
MES-OPT-02 | methods of search | trading/research/search/methods.py
MES-OPT-03 | objective, infeasible points, best of the history | trading/research/search/objective.py | `optimise` scores on the bars that it is given; a walk-forward searches training and chooses in validation
MES-OPT-04 | results do not depend on workers | trading/run/search/study.py
MES-OPT-05 | parameters combined over folds | trading/research/search/combine.py | tried again on the stretches of the tests, which its folds have seen
MES-OPT-06 | plateau of the chosen parameters | trading/research/luck/plateau.py
MES-GUARD-01 | registry of every trial on a data set, whoever ran it and wherever | trading/run/search/registry.py
MES-GUARD-02 | deflated Sharpe ratio | trading/research/luck/sharpe.py
MES-GUARD-03 | probability of backtest overfitting by CSCV | trading/research/luck/selection.py
MES-GUARD-04 | other orders, other days, ruin | trading/research/luck/paths.py
MES-GUARD-05 | results at 1.0, 1.5 and 2.0 x costs | {BACKTEST}/dearer.py
MES-SANE-01 | random directions | {BASELINES}
MES-SANE-02 | oracle: labels as signals | {BASELINES}
MES-SANE-03 | the oracle's mirror | {BASELINES}
MES-SANE-04 | a network trained on labels that were shuffled inside each day knows nothing | trading/learning/shuffled.py
MES-SANE-05 | a known rule on a fixture, under profile `sanity` | {BACKTEST}/engine.py
MES-GATE-01 | go-live gate: every required row with evidence, or not passed | trading/golive/mes/report.py | the desk measures no coverage itself; no live feed of futures exists, so no paper session counts
MES-GATE-02 | no edge is a valid result and is worded so | desk/backtests/gate.py
MOEX-GATE-01 | go-live gate of the shares on 60 days of paper, by lineage | trading/golive/evidence.py | the desk has no live stream of shares yet: simulated and recorded markets count in a rehearsal alone, which never passes; a journal that another build wrote otherwise counts as missing
MOEX-GATE-02 | missing evidence fails, at least 5 bps; the report with intervals, costs, walk-forward, stored | trading/golive/reports.py | paper against live is told as not known: no mode but paper exists
MOEX-GATE-03 | override for one trading day, two-step, audited, shown | trading/golive/overrides.py | a page that stands open shows its alert at once, the words themselves when it is loaded again
P-01 | authority | {RULES} | only whether the session was started: no matrix of people, accounts and modes is asked
P-02 | trading state and holds | {RULES}
P-03 | session and phase | {RULES}
P-04 | freshness | {RULES} | the clock's offset is a hold (CLOCK_OFFSET) that T-09 tells
P-05 | reconciled | {RULES}
P-06 | every field of the form within its bounds, each with its own reason | risk/core/asking.py
P-07 | every limit exists | {RULES}
P-08 | order quantity | {RULES}
P-09 | order value | {RULES}
P-10 | price collar of one order | {RULES}
P-11 | price over time | {CLOCK}
P-12 | position with working orders | {RULES}
P-13 | margin and exposure | {RULES} | of the session's account, not of a desk or firm
P-14 | loss to the stop | {RULES} | slippage is a fixed number of ticks, not a percentile
P-15 | daily loss lock, and a soft level before it that stops entries | {LIMITS}
P-16 | duplicates, and the storm of them | {POLICY}
P-17 | message budget with a reserve | {RULES}
P-18 | repeated execution throttle, ended by a person | {RULES} | counted within one session
P-19 | self-match | {RULES} | of one account: two accounts of one owner do not see each other
P-20 | open orders | {RULES}
P-21 | protective plan | {RULES}
P-22 | attribution | trading/sinks.py | an order that was moved names who started the session, not who moved it; no automated flag, all orders are
P-23 | network gate | {RULES} | approval and hash are the scoring loop's; the kernel sees the score's age, strength and row alone
P-24 | liquidity: spread, and a share of what is shown | {RULES} | the touch alone, no depth behind it
P-25 | instrument eligibility: the restricted list, expiry, status | trading/core/watch/told.py | days to expiry are CONTRACT_ROLL's
P-26 | cool-downs, trades of the day; the streak is LOSS_STREAK | {RULES}
P-27 | override: one rule, one instrument, one entry, a minute, two persons | trading/core/entry/override.py | it names no side: either may be the next; two accounts of one person are two persons; a backtest knows none
W-01 | an order without an answer is asked for | {CLOCK}
W-02 | never sent again blindly | {PROTECT}
W-03 | stop coverage | {PROTECT}
W-04 | one leg cancels the other; a double fill is offset | {PROTECT}
W-05 | a lost link takes entries back and keeps stops | {PROTECT} | at once, as MOEX-RISK-09 has it: a time before it is no setting; the venue hears of it when the link is back
W-06 | a stale entry is cancelled | {CLOCK}
W-07 | foreign orders are held | {RECON}
W-08 | proof of a cancel: three retries, then a person; the hold ends with the venue's proof | trading/core/effects.py
W-09 | a late fill is booked | {ANSWERS}
T-01 | exposure and profit anew with every fill and mark | {LIMITS}
T-02 | three-way reconciliation: what is held, what works, and the money of it | {RECON}
T-03 | the venue's statement of the day against the ledger | trading/statements/compare.py | a real venue's statement comes as a file of the desk's own form; what is held over the day's end counts nothing in the balance
T-04 | alerts within 5 s | desk/alerts/teller.py | position and exposure stand at their limits by themselves and are not told at 80 %; of refusals those that say that something is wrong
T-05 | outliers of execution | trading/run/conduct/watch.py | the six deviations are no setting; a restart of the alerts' process begins the count of the day anew
T-06 | health of the network: features, calibration, hits beside training's | trading/learning/health/evaluation.py | futures have no hold that scales by drift: a warning is an alert there, what is confirmed is MODEL_BLOCKED; nothing is judged in a backtest; no set-up makes a reference for an artifact of before: it is trained again
T-07 | orders against trades | trading/run/conduct/watch.py | an alert and the report; nothing throttles by it but the budget of messages (P-17)
T-08 | surveillance of own orders | trading/run/conduct/patterns.py | on demand (`manage.py sessions conduct`), for one session; nobody makes it before the next open
T-09 | the clock against a time server | trading/run/telling/timeserver.py | nobody is asked where DESK_TIME_SERVER names none; monotonic drift is not watched
T-10 | errors in a window stop the account | {NOTICES} | the whole account stops, not one component's strategies
"""


def _read(line: str) -> Rule:
    """`id | text | code`, `id | text | code | what is missing`, or `id | text | - what is missing`."""
    rule, text, code, *gap = (cell.strip() for cell in line.split(" | "))
    return Rule(rule, text, "", code[2:]) if code.startswith("- ") else Rule(rule, text, code, *gap)


ALL = tuple(_read(line) for line in TABLE.strip().splitlines())

# the sections of the documents that this page holds whole: a row that is left out is a fault
SECTIONS = {
    "MES-RISK": (*range(1, 17), 20, 21, 22),
    "MES-SIZE": range(1, 5),
    "MES-STOP": range(1, 7),
    "MES-REV": range(1, 4),
    "MES-EOD": range(1, 7),
    "MES-BREAK": range(1, 6),
    "MES-COST": range(1, 7),
    "MES-BT": (*range(1, 6), *range(10, 27)),
    "MES-METRIC": range(1, 14),
    "MES-WF": range(1, 6),
    "MES-OPT": range(1, 7),
    "MES-GUARD": range(1, 6),
    "MES-SANE": range(1, 6),
    "MES-GATE": range(1, 3),
    "MOEX-DATA": range(1, 18),
    "MOEX-RISK": range(1, 15),
    "MOEX-SIZE": range(1, 2),
    "MOEX-ROUTE": range(1, 5),
    "MOEX-STOP": range(1, 7),
    "MOEX-HEDGE": range(1, 6),
    "MOEX-LIQ": range(1, 2),
    "MOEX-GATE": range(1, 4),
    "P": range(1, 28),
    "W": range(1, 10),
    "T": range(1, 11),
}
NUMBERED = tuple(f"{section}-{number:02}" for section, numbers in SECTIONS.items() for number in numbers)


def named_in(text: str) -> set[str]:
    """Ids that a test's source names, as MES-RISK-20 or, in a function's name, mes_risk_20."""
    found = {
        match.upper() for match in re.findall(r"\b(?:MES|MOEX)-[A-Z]+-[A-Z_]+\b|\b(?:MES|MOEX)-[A-Z]+-\d+\b", text)
    }
    found |= set(re.findall(r"\b[PWT]-\d\d\b", text))
    for name in re.findall(r"def (test_\w+)", text):
        for family, group, rest in re.findall(r"_(mes|moex)_([a-z]+)_(\d+)(?=_|$)", name):
            found.add(f"{family}-{group}-{rest}".upper())
        for rest in re.findall(r"_mes_hold_((?:(?!_mes_|_moex_)\w)+)", name):
            found.add("MES-HOLD-" + rest.upper())
        found |= {f"{letter}-{number}".upper() for letter, number in re.findall(r"_([pwt])(\d\d)(?=_|$)", name)}
    return found


def named_by_tests() -> dict[str, list[str]]:
    """Id → the test files that name it."""
    found: dict[str, list[str]] = {}
    for source in sources():
        if source.floor != "tests" or source.name in SELF or "/test_" not in source.name:
            continue
        for rule in named_in(source.text):
            found.setdefault(rule, []).append(source.name)
    return found


def page() -> str:
    """docs/rules.md as it should be."""
    tests = named_by_tests()
    lines = [
        "# The rules, where they are done and what shows it",
        "",
        "Generated by `python -m tests.architecture.rulebook`; a test fails when this page is old.",
        "",
        "The last column is empty only where the whole rule is done.",
        "",
        "| rule | what it says | code | tests | what is missing |",
        "|---|---|---|---|---|",
    ]
    for rule in ALL:
        shown = ", ".join(f"`{name}`" for name in sorted(tests.get(rule.id, [])))
        where = f"`{rule.code}`" if rule.code else "not done"
        lines.append(f"| {rule.id} | {rule.text} | {where} | {shown if rule.code else ''} | {rule.missing} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(f"{PAGE.name}: {len(ALL)} rules\n")
