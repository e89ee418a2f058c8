"""An auditor who trusts no line of the product: recomputes the books from the CSV file and the unspent outputs.

Standard library only. It speaks JSON over plain HTTP to each node's socket, reads the CSV file with ``csv``, and
computes with ``Decimal``; rates, rounding and rules are those of the paper, written down here once more.
"""

from __future__ import annotations

import csv
import http.client
import json
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any, Final

RATE: Final = Decimal("0.03")
CENT: Final = Decimal("0.01")
MAX_BATCH: Final = 100
PAGE: Final = 256
TRIES: Final = 60
PAUSE_S: Final = 0.25


def commission_cents(premium: str) -> int:
    """Commission on a premium in major units: both rounded half up to cents (PROTOCOL.md 1.5)."""
    cents = Decimal(premium).quantize(CENT, ROUND_HALF_UP)
    return int((cents * RATE).quantize(CENT, ROUND_HALF_UP) * 100)


class Node:
    """One daemon, through its Unix socket."""

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self._path = path

    def ask(self, method: str, **params: Any) -> Any:
        """Result of one JSON-RPC call."""
        return self.ask_many([(method, params)])[0]

    def ask_many(self, calls: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Any]:
        """Results of a batch of at most 100 calls, in order."""
        request = [
            {"jsonrpc": "2.0", "id": i, "method": method, "params": params} for i, (method, params) in enumerate(calls)
        ]
        connection = http.client.HTTPConnection("localhost", timeout=30)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(30)
        try:
            connection.sock.connect(self._path)
            connection.request("POST", "/", json.dumps(request), {"Content-Type": "application/json"})
            answers = {answer["id"]: answer for answer in json.loads(connection.getresponse().read())}
        finally:
            connection.close()
        found = []
        for i, (method, _) in enumerate(calls):
            if "error" in answers[i]:
                raise RuntimeError(f"{self.name}: {method}: {answers[i]['error']}")
            found.append(answers[i]["result"])
        return found

    def view(self, name: str, **arguments: Any) -> Any:
        """Document of a view of the commission contract."""
        return self.ask("contract.view", contract="commission", view=name, arguments=arguments)["document"]

    def unspent(self, lock: str, asset: str) -> list[dict[str, Any]]:
        """All unspent outputs of an asset under a lock."""
        found: list[dict[str, Any]] = []
        after: dict[str, str] = {}
        while True:
            page = self.ask("utxo.list", lock=lock, asset=asset, limit=1000, **after)["unspent"]
            found += page
            if len(page) < 1000:
                return found
            after = {"after": page[-1]["outpoint"]}


@dataclass(frozen=True)
class Change:
    """A policy (number of its row, from 1) that was cancelled, or corrected to another premium."""

    row: int
    premium: str | None


@dataclass(frozen=True)
class Expected:
    """What must have come out, in cents, by the file alone."""

    policies: int
    booked: int
    cancelled: int


@dataclass(frozen=True)
class Check:
    """One thing that was checked; ``detail`` says what was found."""

    name: str
    ok: bool
    detail: str


def expected(charges: Path, changes: Iterable[Change]) -> Expected:
    """The books by the file: every row books, a change takes its row's commission out and may book another one."""
    with charges.open(newline="", encoding="utf-8") as file:
        commissions = [commission_cents(row["charges"]) for row in csv.DictReader(file)]
    booked, cancelled = sum(commissions), 0
    for change in changes:
        cancelled += commissions[change.row - 1]
        if change.premium is not None:
            booked += commission_cents(change.premium)
    return Expected(sum(1 for amount in commissions if amount), booked, cancelled)


class Audit:
    """Collects checks.

    Attributes:
        checks: in order.
    """

    def __init__(self, nodes: Mapping[str, str]) -> None:
        self.nodes = [Node(name, path) for name, path in nodes.items()]
        self.checks: list[Check] = []

    def check(self, name: str, found: object, wanted: object) -> None:
        """Notes whether ``found`` is what it must be."""
        ok = found == wanted
        self.checks.append(Check(name, ok, str(found) if ok else f"{found}, expected {wanted}"))

    def example(self, agreement: str, line: str) -> None:
        """PROTOCOL.md 1.4, from the bookings and the request on the chain."""
        node = self.nodes[0]
        pending = [b["commission"] for b in node.view("bookings", agreement=agreement)["bookings"]]
        self.check(
            "the worked example books 90, 120, 60", pending, [commission_cents(p) for p in ("3000", "4000", "2000")]
        )
        request = node.view("request_details", agreement=agreement, request=1)
        self.check("its request sums to 270", request["request"]["amount"], 27_000)
        self.check("its settled account holds 270", self.held(f"{line}-settled", "claim"), 27_000)

    def books(self, agreement: str, line: str, wanted: Expected) -> dict[str, int]:
        """The import's books: as the chain says, as the outputs say, and as the file says. Returns them in cents."""
        node = self.nodes[0]
        books = node.view("books", agreement=agreement)
        bookings = self._bookings(node, agreement)
        self.check("policies booked", len({b["policy"] for b in bookings}), wanted.policies)
        self.check("booked, recomputed from the file", books["booked"], wanted.booked)
        self.check("booked, summed over the bookings", sum(b["commission"] for b in bookings), wanted.booked)
        self.check("cancelled, recomputed from the file", books["cancelled"], wanted.cancelled)
        rest = books["pending"] + books["settled"] + books["cancelled"]
        self.check("booked = pending + settled + cancelled", rest, books["booked"])
        self.check("paid = settled + clawbacks not netted", books["settled"] + books["clawbacks"], books["paid"])
        waiting = books["clawbacks_waiting"]
        held = self.held(f"{line}-settlement pending", "claim")
        self.check("pending outputs hold what is pending", held, books["pending"] + waiting)
        self.check("settled outputs hold what was paid", self.held(f"{line}-settled", "claim"), books["paid"])
        held = self.held(f"{line}-clawback", "clawback")
        self.check("clawback outputs hold what is not netted", held, books["clawbacks"] + waiting)
        names = ("booked", "cancelled", "settled", "pending", "paid")
        return {name: int(books[name]) for name in names}

    def currency(self, platform_cash: str, insurer_cash: str, funds: int, paid: int) -> None:
        """The money: what the insurer lacks is what the platform has."""
        node = self.nodes[0]
        platform = sum(item["output"]["amount"] for item in node.unspent(f"account({platform_cash})", "CNY"))
        insurer = sum(item["output"]["amount"] for item in node.unspent(f"account({insurer_cash})", "CNY"))
        self.check("the platform's money", platform, paid)
        self.check("the insurer's money", insurer, funds - paid)

    def transactions(self, acknowledged: Sequence[str]) -> None:
        """Every transaction that a node acknowledged is in the same place on every node."""
        places = []
        for node in self.nodes:
            found: list[tuple[str, int, int]] = []
            for i in range(0, len(acknowledged), MAX_BATCH):
                part = acknowledged[i : i + MAX_BATCH]
                answers = node.ask_many([("tx.outcome", {"tx_id": tx_id}) for tx_id in part])
                found += [(answer["status"], answer["height"], answer["index"]) for answer in answers]
            places.append(found)
        committed = sum(all(found[i][0] == "committed" for found in places) for i in range(len(acknowledged)))
        self.check("acknowledged transactions found on every node", committed, len(acknowledged))
        self.check("in the same place on every node", all(found == places[0] for found in places), wanted=True)

    def chains(self) -> tuple[int, dict[str, str]]:
        """Same blocks and same state on every node. Returns height, and the state's hash on each node."""
        hashes: list[dict[str, Any]] = []
        # All at once: a whole state takes a while to hash, and one after the other blocks would come in between.
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            for _ in range(TRIES):
                hashes = list(pool.map(lambda node: node.ask("chain.state_hash"), self.nodes))
                if len({entry["height"] for entry in hashes}) == 1:
                    break
                time.sleep(PAUSE_S)  # nodes hear of a new block one after the other
        heights = {entry["height"] for entry in hashes}
        height = min(heights)
        self.check("all nodes are at one height", len(heights), 1)
        self.check("state hashes are equal", len({entry["hash"] for entry in hashes}), 1)
        ids = []
        for node in self.nodes:
            found: list[str] = []
            for start in range(0, height + 1, MAX_BATCH):
                stop = min(start + MAX_BATCH, height + 1)
                answers = node.ask_many([("block.header", {"height": h}) for h in range(start, stop)])
                found += [answer["block_id"] for answer in answers]
            ids.append(found)
        self.check(f"all {height + 1} block ids are equal", all(found == ids[0] for found in ids), wanted=True)
        return height, {node.name: entry["hash"] for node, entry in zip(self.nodes, hashes, strict=True)}

    def held(self, account: str, kind: str) -> int:
        """Sum of the unspent ``claim`` or ``clawback`` outputs on an account, in cents, by the first node."""
        lock = f"all(contract(commission),account({account}))"
        return sum(item["output"]["amount"] for item in self.nodes[0].unspent(lock, f"commission:{kind}:CNY"))

    def _bookings(self, node: Node, agreement: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after = 0
        while True:
            page = node.view("bookings", agreement=agreement, status="any", after=after, limit=PAGE)
            found += page["bookings"]
            after = page["last"]
            if not page["more"]:
                return found
