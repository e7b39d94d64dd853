"""What trading keeps in the database: accounts, configuration versions, sessions, leases, commands and the ledger.

The ledger rows follow the journal and are written by `sinks` alone; everything else by `services`, `configs`, `control`
and `leases`.  Invariants are constraints.  Times named `_ns` are session time, `_at` the wall clock, `_boot_ns` the
machine's boot clock.  Nothing in here decides anything.
"""

import uuid

from django.db import models
from django.db.models import F, Q

from risk.core.holds import CODES
from risk.core.records import MES
from trading.core import orders, states
from trading.core.records import COMMANDS, ORDER_TYPES, ROLES

VENUES = [("cme", "CME"), ("moex", "MOEX")]
CURRENCIES = [("USD", "US dollar"), ("RUB", "Rouble")]
MODES = [("paper", "Paper")]  # a mode that is not here does not exist: unknown modes are refused
SIDES = [(1, "Buy"), (-1, "Sell")]
LOOPS = [(name, name.capitalize()) for name in ("feed", "inference", "risk", "execution", "sinks")]
TRANSFER = "transfer"  # asked for like a command, once by its key; to the kernel it is an event of its own kind
COMMAND_KINDS = [(name, name.replace("_", " ").capitalize()) for name in (*COMMANDS.values(), TRANSFER)]
HOLD_CODES = [(code, code.replace("_", " ").capitalize()) for code in CODES]
ORDER_STATUSES = list(enumerate(orders.STATUSES))
ORDER_REQUESTS = list(enumerate(orders.REQUESTS))


def one_of(name: str, field: str, allowed: list[tuple[str, str]] | list[tuple[int, str]]) -> models.CheckConstraint:
    """The database's own check that a field holds one of its choices."""
    condition = Q(**{f"{field}__in": [value for value, _ in allowed]})
    return models.CheckConstraint(condition=condition, name=name)


class Account(models.Model):
    """Money at one venue, in one mode.  A paper account's sessions each trade their own copy of it."""

    name = models.CharField(max_length=60, unique=True)
    venue = models.CharField(max_length=10, choices=VENUES)
    currency = models.CharField(max_length=3, choices=CURRENCIES)
    mode = models.CharField(max_length=10, choices=MODES, default="paper")
    balance_micros = models.BigIntegerField(help_text="capital that new sessions start with, in micros of the currency")
    created_at = models.DateTimeField()

    class Meta:
        constraints = (
            one_of("account_mode_known", "mode", MODES),
            one_of("account_currency_known", "currency", CURRENCIES),
            models.CheckConstraint(condition=Q(balance_micros__gte=0), name="account_balance_not_negative"),
        )

    def __str__(self) -> str:
        return self.name


class ConfigVersion(models.Model):
    """One version of one profile.  Its values never change; a correction is the next number."""

    profile = models.CharField(max_length=40)
    number = models.PositiveIntegerField()
    values = models.JSONField()
    hash = models.CharField(max_length=64, help_text="SHA-256 of the canonical JSON of the values")
    author = models.CharField(max_length=150)
    reason = models.CharField(max_length=500)
    status = models.CharField(max_length=10, choices=states.choices(states.VERSION_STATES), default=states.DRAFT)
    created_at = models.DateTimeField()
    activated_at = models.DateTimeField(null=True, blank=True)
    used_at = models.DateTimeField(null=True, blank=True, help_text="first session that used it")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("profile", "number"), name="version_number_once"),
            models.UniqueConstraint(
                fields=("profile",), condition=Q(status=states.ACTIVE), name="version_one_active_per_profile"
            ),
            one_of("version_status_known", "status", states.choices(states.VERSION_STATES)),
            models.CheckConstraint(condition=Q(number__gte=1), name="version_numbers_from_one"),
            models.CheckConstraint(condition=~Q(reason=""), name="version_has_reason"),
        )

    def __str__(self) -> str:
        return f"{self.profile} v{self.number}"


class Session(models.Model):
    """One run of the ring.  Its folder and `spec.json` hold what it runs with; this row says how far it is."""

    key = models.CharField(
        max_length=40, unique=True, help_text='names its streams, its venue account and its leases: "s12"'
    )
    account = models.ForeignKey(Account, models.PROTECT)
    version = models.ForeignKey(ConfigVersion, models.PROTECT)
    mode = models.CharField(max_length=10, choices=MODES)
    spec = models.JSONField(default=dict)
    status = models.CharField(max_length=10, choices=states.choices(states.SESSION_STATES), default=states.CREATED)
    reason = models.CharField(max_length=500, blank=True, help_text="why it failed or ended")
    created_by = models.CharField(max_length=150)
    started_by = models.CharField(max_length=150, blank=True)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    stopping_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    # from the journal
    journal_seq = models.BigIntegerField(default=0)
    venue_ref = models.BigIntegerField(default=0, help_text="last venue event in the ledger; the kernel's own rule")
    balance_micros = models.BigIntegerField(
        null=True, blank=True, help_text="capital + Σ realised − Σ fees, by its trades"
    )
    stated = models.JSONField(
        default=dict, blank=True, help_text="figures that a person stated for what nobody could read, in micros"
    )

    class Meta:
        constraints = (
            one_of("session_status_known", "status", states.choices(states.SESSION_STATES)),
            one_of("session_mode_known", "mode", MODES),
        )
        indexes = (models.Index(fields=("status",), name="session_status"),)

    def __str__(self) -> str:
        return f"session {self.key}"

    @property
    def rules(self) -> int:
        """Whose rules hold in it: the first index of every table that differs by venue."""
        return int(self.spec.get("limits", {}).get("rules", MES))

    @property
    def scorer(self) -> str:
        """What scores in it, and the hash that names it: of its artifact, else of the code (P-22)."""
        name, inputs = self.spec.get("scorer", {}).get("name", ""), self.spec.get("inputs", {})
        return f"{name} {inputs.get('artifact') or inputs.get('code', '')}".strip()


class LoopLease(models.Model):
    """Who may try to run one loop of one session.  The fence only grows; the journal decides who may act."""

    session = models.ForeignKey(Session, models.CASCADE, related_name="leases")
    loop = models.CharField(max_length=12, choices=LOOPS)
    desired = models.BooleanField(default=False)
    owner = models.CharField(max_length=120, blank=True)
    fence = models.BigIntegerField(default=0)
    boot_id = models.CharField(max_length=40, blank=True, help_text="the boot that the two times belong to")
    expires_boot_ns = models.BigIntegerField(default=0)
    beat_boot_ns = models.BigIntegerField(default=0)
    state = models.CharField(max_length=20, blank=True, help_text="what the holder shows: running, stopping, stuck …")
    detail = models.JSONField(default=dict)
    restarts = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("session", "loop"), name="lease_once_per_loop"),
            one_of("lease_loop_known", "loop", LOOPS),
            models.CheckConstraint(condition=Q(fence__gte=0), name="lease_fence_not_negative"),
        )
        indexes = (models.Index(fields=("desired", "expires_boot_ns"), name="lease_wanted"),)

    def __str__(self) -> str:
        return f"{self.session_id}:{self.loop} fence {self.fence}"


def new_key() -> uuid.UUID:
    return uuid.uuid4()


class Command(models.Model):
    """What a person or a service asked of a session.  `key` makes a repeated request the same command."""

    key = models.UUIDField(unique=True, default=new_key)
    ref = models.BigIntegerField(
        unique=True, help_text="EVENT.ref: 63 bits of the key, so that a row is not needed to send"
    )
    session = models.ForeignKey(Session, models.PROTECT, null=True, blank=True, related_name="commands")
    kind = models.CharField(max_length=12, choices=COMMAND_KINDS)
    argument = models.BigIntegerField(default=0)
    instrument = models.SmallIntegerField(default=-1, help_text="place in the session's table; -1: the account")
    by = models.CharField(max_length=150)
    reason = models.CharField(max_length=500, blank=True)
    state = models.CharField(max_length=10, choices=states.choices(states.COMMAND_STATES), default=states.REQUESTED)
    detail = models.CharField(max_length=500, blank=True)
    road = models.CharField(max_length=10, blank=True, help_text="ring, guard, or both")
    steps = models.JSONField(default=list)
    requested_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    seq = models.BigIntegerField(null=True, blank=True, help_text="its place in the journal")

    class Meta:
        constraints = (
            one_of("command_state_known", "state", states.choices(states.COMMAND_STATES)),
            one_of("command_kind_known", "kind", COMMAND_KINDS),
        )
        indexes = (models.Index(fields=("session", "-id"), name="command_latest"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"


class Order(models.Model):
    """One order, as the journal last showed it."""

    session = models.ForeignKey(Session, models.PROTECT, related_name="orders")
    number = models.BigIntegerField()
    seq = models.BigIntegerField(help_text="journal seq of the submit")
    last_seq = models.BigIntegerField()
    instrument = models.PositiveSmallIntegerField()
    symbol = models.CharField(max_length=20)
    side = models.SmallIntegerField(choices=SIDES)
    order_type = models.PositiveSmallIntegerField(choices=list(ORDER_TYPES.items()))
    role = models.PositiveSmallIntegerField(choices=list(ROLES.items()))
    status = models.PositiveSmallIntegerField(choices=ORDER_STATUSES)
    request = models.PositiveSmallIntegerField(choices=ORDER_REQUESTS)
    qty = models.BigIntegerField()
    filled = models.BigIntegerField(default=0)
    price_tick = models.BigIntegerField(null=True)
    stop_tick = models.BigIntegerField(null=True)
    code = models.SmallIntegerField(default=0, help_text="reason of the last reject or cancel")
    version_id = models.BigIntegerField(help_text="configuration version under which it was made")
    scorer = models.CharField(
        max_length=120,
        blank=True,
        default="",
        help_text="what scored: its name, and the hash of its artifact or of the code",
    )
    by = models.CharField(max_length=150, blank=True, default="", help_text="who started the session")
    sent_ns = models.BigIntegerField()
    changed_ns = models.BigIntegerField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("session", "number"), name="order_number_once"),
            models.CheckConstraint(condition=Q(qty__gt=0, filled__gte=0), name="order_quantities"),
            models.CheckConstraint(condition=Q(last_seq__gte=F("seq")), name="order_seq_grows"),
            one_of("order_side_known", "side", SIDES),
        )


class Fill(models.Model):
    """One execution.  Position and money of a session are the sums of these rows, exactly."""

    session = models.ForeignKey(Session, models.PROTECT, related_name="fills")
    seq = models.BigIntegerField()
    venue_ref = models.BigIntegerField()
    order_number = models.BigIntegerField()
    instrument = models.PositiveSmallIntegerField()
    symbol = models.CharField(max_length=20)
    side = models.SmallIntegerField(choices=SIDES)
    qty = models.BigIntegerField()
    price_tick = models.BigIntegerField()
    fee_micros = models.BigIntegerField()
    ts_ns = models.BigIntegerField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("session", "seq"), name="fill_seq_once"),
            models.UniqueConstraint(fields=("session", "venue_ref"), condition=~Q(venue_ref=0), name="fill_ref_once"),
            models.CheckConstraint(condition=Q(qty__gt=0), name="fill_qty_positive"),
            one_of("fill_side_known", "side", SIDES),
        )


class Trade(models.Model):
    """One round trip, flat to flat."""

    session = models.ForeignKey(Session, models.PROTECT, related_name="trades")
    seq = models.BigIntegerField()
    number = models.BigIntegerField()
    instrument = models.PositiveSmallIntegerField()
    symbol = models.CharField(max_length=20)
    side = models.SmallIntegerField(choices=SIDES)
    qty = models.BigIntegerField()
    entry_tick = models.BigIntegerField(null=True, help_text="average entry, nearest tick; the money is exact")
    exit_tick = models.BigIntegerField()
    gross_micros = models.BigIntegerField()
    fee_micros = models.BigIntegerField()
    net_micros = models.BigIntegerField()
    reason = models.SmallIntegerField()
    opened_ns = models.BigIntegerField()
    closed_ns = models.BigIntegerField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("session", "seq"), name="trade_seq_once"),
            models.CheckConstraint(condition=Q(net_micros=F("gross_micros") - F("fee_micros")), name="trade_net_exact"),
        )


class Decision(models.Model):
    """Why, or why not: equal refusals of one instrument in a row are one line with a count (N6)."""

    session = models.ForeignKey(Session, models.PROTECT, related_name="decisions")
    seq = models.BigIntegerField()
    last_seq = models.BigIntegerField()
    same = models.PositiveIntegerField(default=1, help_text="decisions in this line")
    ts_ns = models.BigIntegerField()
    last_ns = models.BigIntegerField()
    instrument = models.PositiveSmallIntegerField()
    symbol = models.CharField(max_length=20)
    side = models.SmallIntegerField()
    code = models.SmallIntegerField(help_text="first refusing rule of the gate, 0 = approved")
    score_ppm = models.BigIntegerField()
    confidence_ppm = models.BigIntegerField()
    price_tick = models.BigIntegerField(null=True)
    holds = models.BigIntegerField(default=0)
    order_number = models.BigIntegerField(default=0)
    passed = models.SmallIntegerField(default=0, help_text="reason that two persons let pass, 0 = none")
    override_ref = models.BigIntegerField(default=0, help_text="their command")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("session", "seq"), name="decision_seq_once"),
            models.CheckConstraint(condition=Q(last_seq__gte=F("seq"), same__gte=1), name="decision_counts"),
        )
        indexes = (models.Index(fields=("session", "instrument", "-seq"), name="decision_latest"),)


class HoldEvent(models.Model):
    """One hold from the moment it went up to the moment it came down."""

    session = models.ForeignKey(Session, models.PROTECT, related_name="holds")
    seq = models.BigIntegerField()
    bit = models.PositiveSmallIntegerField()
    code = models.CharField(max_length=30, choices=HOLD_CODES)
    instrument = models.SmallIntegerField(help_text="−1: the account")
    value = models.BigIntegerField()
    limit = models.BigIntegerField()
    until_ns = models.BigIntegerField(null=True)
    raised_ns = models.BigIntegerField()
    cleared_ns = models.BigIntegerField(null=True, blank=True)
    cleared_seq = models.BigIntegerField(null=True, blank=True)
    source = models.BigIntegerField(default=0, help_text="session that left it standing; 0: it went up in this one")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("session", "seq"), name="hold_seq_once"),
            one_of("hold_code_known", "code", HOLD_CODES),
            models.CheckConstraint(
                condition=Q(cleared_seq=None) | Q(cleared_seq__gt=F("seq")), name="hold_cleared_after_raised"
            ),
        )


class SinkCursor(models.Model):
    """How far one follower has read one session's journal; moves in the transaction of what it wrote."""

    session = models.ForeignKey(Session, models.CASCADE)
    follower = models.CharField(max_length=40)
    seq = models.BigIntegerField(default=0)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("session", "follower"), name="cursor_once"),)
