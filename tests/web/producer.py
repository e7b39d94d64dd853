"""Writes the live picture of one session to Redis as the sinks loop does, and takes its commands as the ring does.

Run as `python -m tests.web.producer SESSION` in a desk's environment; it produces data and stands in for no part.
A test steers it by the hash `test:producer`: hold (1: publish nothing), price (fixed tick), fills (how many), label,
holds (JSON), delay_ms (before a command is done), burst (extra publications a turn), epoch, bars (0: none), broker,
naked (1: the stop is missing), stop (its tick), request (under way about it), mode, scorer (why it cannot be opened).
"""

import json
import sys
import time
from typing import Any

import django
import numpy as np
import redis

from marketdata.core.records import TRADE, new_events
from trading.core.records import COMMAND, COMMANDS
from trading.run.bodies.bars import Bars
from trading.run.clock import boot_ns
from trading.run.streams import INBOX, ZERO_ID, Stream, StreamAway, make_client

MES = {"symbol": "MES", "tick_nanos": 250_000_000, "decimals": 2, "tick_value_micros": 1_250_000, "currency": "USD"}
TICK_MICROS = 1_250_000
LOOPS = ("feed", "inference", "risk", "execution", "sinks")
STREAMS = ("order", "fill", "trade", "decision", "command")
START_US = 1_792_000_000_000_000
CENTRE = 20_046
OPENED = 20_044
REFUSALS = (20, 15, 12, 13)
KEPT = 200
TURN_S = 0.05
BACK_S = 1200  # seconds of bars before the first frame
FILL_STEP_US = 45_000_000  # the fills that are there from the start lie so far apart


def wave(t_s: Any) -> Any:
    """The price before the first frame, in ticks, at a time in s."""
    return CENTRE + np.rint(9 * np.sin(t_s / 47) + 5 * np.sin(t_s / 9)).astype(int)


class Producer:
    """One session's picture, changing a little with every turn."""

    def __init__(self, client: "redis.Redis", session: int, bars: Bars) -> None:
        self.client: Any = client
        self.bars = bars
        self.session, self.key = session, f"s{session}"
        self.turn, self.seq = 0, 1000
        self.rows: dict[str, list[dict[str, Any]]] = {name: [] for name in STREAMS}
        self.to = dict.fromkeys(STREAMS, 0)
        self.sent: dict[str, bytes] = {}
        self.started = boot_ns()
        self.pending: list[tuple[float, int]] = []
        self.taken = ZERO_ID
        back = np.arange(BACK_S) + START_US // 1_000_000 - BACK_S
        self.print_trades(back * 1_000_000, wave(back))

    def print_trades(self, ts_us: Any, ticks: Any) -> None:
        """Prints become bars by the very code that the sinks loop runs."""
        events = new_events(len(ts_us))
        events["kind"], events["ts_venue_ns"], events["price_tick"] = TRADE, np.asarray(ts_us) * 1000, ticks
        events["qty"], events["seq"] = (
            (1 if len(ts_us) == 1 else 55) + np.asarray(ticks) % 5,
            self.bars.seq + 1 + np.arange(len(ts_us)),
        )
        self.bars.note(events)

    def control(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.client.hgetall("test:producer").items()}

    def now_us(self) -> int:
        return START_US + (boot_ns() - self.started) // 1000

    def add(self, stream: str, **row: Any) -> None:
        self.seq += 1
        self.to[stream] += 1
        self.rows[stream] = [*self.rows[stream], {"seq": self.seq, "ts_us": self.now_us()} | row][-KEPT:]

    def bid(self, control: dict[str, str]) -> int:
        return int(control.get("price", wave(np.array(self.now_us() / 1_000_000)) - 1))

    def market(self, control: dict[str, str]) -> dict[str, Any]:
        bid = self.bid(control)
        sizes = [17 + (7 * level + self.turn // 3) % 60 + 3 * level for level in range(20)]
        stamp = {"ts_us": self.now_us()}
        quote = {"bid": bid, "ask": bid + 1, "bid_qty": sizes[0], "ask_qty": sizes[-1], "last": bid + 1, "ok": True}
        bids = [[bid - level, size] for level, size in enumerate(sizes)]
        asks = [[bid + 1 + level, size] for level, size in enumerate(reversed(sizes))]
        self.print_trades([self.now_us()], [bid + 1])
        quote["trade_us"] = self.now_us()
        book = {"bids": bids, "asks": asks, "synced": True, **stamp}
        bars = {} if control.get("bars") == "0" else self.bars.values()
        return {"quote:0": {**quote, **stamp}, "book:0": book, **bars}

    def status(self, control: dict[str, str]) -> dict[str, Any]:
        mode = {"mode": control.get("mode", "paper"), "session": self.session, "key": self.key, "build": "test"}
        mode |= {
            "inputs": "0123456789abcdef",
            "config": "0123456789ab",
            "account": "paper demo-mes",
            "profile": "demo-mes",
            "version": "demo-mes v1",
            "phase": "NORMAL",
        }
        mode |= {"label": control.get("label", "ACTIVE"), "status": control.get("status", "running")}
        clock = {
            "now_us": self.now_us(),
            "speed": 1,
            "phase": "NORMAL",
            "trading_day": 20261014,
            "tz": "America/Chicago",
        }
        jitter = self.turn % 20 * 50_000
        loops = [
            {
                "id": name,
                "state": "running",
                "beat_us": 90_000 * i + jitter,
                "owner": f"loop{i}",
                "fence": 3,
                "restarts": 0,
            }
            for i, name in enumerate(LOOPS)
        ]
        if why := control.get("scorer"):
            loops[LOOPS.index("inference")] |= {"state": "given_up", "detail": why}
        return {"mode": mode, "clock": clock, "loops": loops, "instruments": {"0": MES}}

    def money(self, control: dict[str, str]) -> dict[str, Any]:
        qty, day = int(control.get("qty", 2)), int(control.get("day", -12_500_000))
        bid = self.bid(control)
        open_micros, fees = qty * (bid - OPENED) * TICK_MICROS, 840_000 * self.to["fill"]
        balance = 10_000_000_000 + day
        account = {"currency": "USD", "balance_micros": balance, "equity_micros": balance + open_micros}
        account |= {"day_net_micros": day, "realised_micros": day + fees, "fees_micros": fees, "trades": 5, "wins": 2}
        account |= {"losses": 3, "streak": -1, "trading": True, "reconciled": True}
        account["recon_us"] = self.now_us() - self.turn % 20 * 50_000
        held = {
            "avg_text": "5011.00",
            "stop": leg(902, int(control.get("stop", OPENED - 8)), qty, control.get("request", "NOTHING")),
            "target": leg(903, OPENED + 12, qty, "NOTHING"),
            "since_us": START_US - 74_000_000,
        }
        position = {"symbol": "MES", "qty": qty, "open_micros": open_micros, "mark_tick": bid, "naked": False}
        position |= held if qty != 0 else dict.fromkeys(held)
        broker = int(control.get("broker", qty))
        position["broker"] = {"qty": broker, "agrees": broker == qty}
        position |= {"open_ticks": None, "avg_tick": None, "stop_micros": None, "target_micros": None}
        if qty != 0:
            position |= {"open_ticks": (bid - OPENED) * (1 if qty > 0 else -1), "avg_tick": OPENED}
            position |= {"stop_micros": -8 * qty * TICK_MICROS, "target_micros": 12 * qty * TICK_MICROS}
        if control.get("naked") == "1":
            position |= {"naked": True, "stop": None}
        holds = json.loads(control.get("holds", "[]"))
        return {
            "account": account, "pos:0": position, "holds": holds, "risk": risk(qty, day), "orders": working(qty)
        }  # fmt: skip

    def grow(self, control: dict[str, str]) -> None:
        """Rows that come with time: refusals, some folded, and fills on demand."""
        decision = {"inst": 0, "value": 0, "limit": 0}
        if self.turn % 8 == 0:
            code = REFUSALS[(self.turn // 200) % len(REFUSALS)]
            last = self.rows["decision"][-1] if self.rows["decision"] else None
            same = last["same"] + 1 if last is not None and last["code"] == code else 1
            self.add("decision", **decision, side=1, code=code, score_ppm=312_000, conf_ppm=440_000, same=same)
        wanted = int(control.get("fills", 3))
        while self.to["fill"] < wanted:
            n = self.to["fill"]
            side = 1 if n % 2 == 0 else -1
            shared: dict[str, Any] = {"inst": 0, "side": side, "qty": 2, "oid": n + 1}
            tick = CENTRE + n
            if self.turn == 1:
                shared["ts_us"] = self.now_us() - (wanted - n) * FILL_STEP_US
                tick = int(wave(np.array(shared["ts_us"] // 1_000_000)))
            self.add("decision", **decision, side=side, code=0, score_ppm=655_000 * side, conf_ppm=710_000, same=1)
            role = {"type": "market", "role": "entry" if side > 0 else "exit", "limit_tick": None, "stop_tick": None}
            self.add("order", **shared, **role, filled=2, status="FILLED", request="NOTHING", sent_us=self.now_us())
            self.add("fill", **shared, fid=n + 1, tick=tick, fee_micros=840_000)
            if side < 0:
                entry, net = (
                    self.rows["fill"][-2]["tick"],
                    (tick - self.rows["fill"][-2]["tick"]) * 2 * TICK_MICROS - 1_680_000,
                )
                prices = {"entry_tick": entry, "exit_tick": tick, "net_micros": net}
                closed = {name: shared[name] for name in ("ts_us",) if name in shared}
                opened = {"opened_us": shared.get("ts_us", self.now_us()) - FILL_STEP_US}
                self.add("trade", inst=0, side=1, qty=2, **prices, **opened, **closed, fee_micros=1_680_000, code=2)

    def values(self, control: dict[str, str]) -> dict[str, bytes]:
        found: dict[str, Any] = {**self.status(control), **self.money(control), **self.market(control)}
        found |= {"seq": self.seq, "epoch": int(control.get("epoch", 1))}
        found |= {f"rows:{name}": {"to": self.to[name], "items": items} for name, items in self.rows.items()}
        return {name: json.dumps(value, separators=(",", ":")).encode() for name, value in found.items()}

    def publish(self, values: dict[str, bytes]) -> None:
        changed = {name: text for name, text in values.items() if self.sent.get(name) != text}
        pipe = self.client.pipeline(transaction=False)
        pipe.hset(f"desk:latest:{self.key}", mapping=changed)
        pipe.publish("desk:live", json.dumps({"k": self.key, "f": list(changed), "at": boot_ns() // 1000}))
        pipe.execute()
        self.sent = values

    def step(self, inbox: Stream) -> None:
        """One turn: commands in, picture out."""
        control = self.control()
        self.turn += 1
        self.take(inbox, int(control.get("delay_ms", "0")))
        self.grow(control)
        if control.get("hold") != "1":
            for _ in range(1 + int(control.get("burst", "0"))):
                self.seq += 1
                self.publish(self.values(control))

    def take(self, inbox: Stream, delay_ms: int) -> None:
        """Commands become rows at once, and are done after the delay."""
        from django.utils import timezone

        from trading.control import advance_command

        for entry in inbox.read(self.taken, 0, 100):
            self.taken = entry.id
            for event in entry.events[entry.events["kind"] == COMMAND]:
                self.add("command", cid=int(event["ref"]), kind=COMMANDS[int(event["code"])], state="accepted")
                self.pending.append((time.monotonic() + delay_ms / 1000, int(event["ref"])))
        for due, ref in [item for item in self.pending if time.monotonic() >= item[0]]:
            self.pending.remove((due, ref))
            advance_command(ref, "receipt_done", finished_at=timezone.now(), seq=self.seq)


def gauge(name: str, used: int, maximum: int | None, unit: str) -> dict[str, Any]:
    row: dict[str, Any] = {"id": name, "used": used, "max": maximum, "left": None, "unit": unit, "pct": None}
    return row if maximum is None else row | {"left": maximum - used, "pct": round(100 * used / maximum, 1)}


def risk(qty: int, day: int) -> list[dict[str, Any]]:
    lost = max(0, -day)
    return [
        gauge("loss_day", lost, 50_000_000, "micros"),
        gauge("loss_total", lost, 2_000_000_000, "micros"),
        gauge("position", abs(qty), 3, "contracts"),
        gauge("orders_open", 2, None, "orders"),
        gauge("messages_60s", 41, 200, "messages"),
    ]


def leg(oid: int, tick: int, qty: int, request: str) -> dict[str, Any]:
    return {"oid": oid, "tick": tick, "qty": abs(qty), "status": "WORKING", "request": request}


def working(qty: int) -> list[dict[str, Any]]:
    if qty == 0:
        return []
    shared = {"inst": 0, "side": -1, "qty": qty, "filled": 0, "status": "WORKING", "request": "NOTHING"}
    shared |= {"sent_us": START_US - 74_000_000}
    return [
        {**shared, "oid": 902, "type": "stop", "role": "stop", "limit_tick": None, "stop_tick": OPENED - 8},
        {**shared, "oid": 903, "type": "limit", "role": "target", "limit_tick": OPENED + 12, "stop_tick": None},
    ]


def main() -> None:
    django.setup()
    from django.conf import settings

    client = make_client(settings.REDIS_URL)
    from trading.services import session_folder

    producer = Producer(client, int(sys.argv[1]), Bars(session_folder(int(sys.argv[1]))))
    inbox = Stream(client, producer.key, INBOX)
    while True:
        try:
            inbox.open(producer.taken)
            while True:
                producer.step(inbox)
                time.sleep(TURN_S)  # this process is the clock of the picture
        except (redis.RedisError, StreamAway) as error:
            print("producer waits for Redis:", error, flush=True)
            producer.sent = {}
            time.sleep(TURN_S)


if __name__ == "__main__":
    main()
