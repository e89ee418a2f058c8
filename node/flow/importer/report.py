"""What an import came to: outcomes, reasons, latencies and money. The demo, the bench and the command line read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

DELIVERED: Final = "delivered"
REFUSED: Final = "refused"
REJECTED: Final = "rejected"
WAITING: Final = "waiting_for_officer"
SUSPENDED: Final = "suspended"
TERMINATED: Final = "terminated"
EXPIRED: Final = "expired"
FAILED: Final = "failed"
OUTCOMES: Final = (DELIVERED, REFUSED, REJECTED, WAITING, SUSPENDED, TERMINATED, EXPIRED, FAILED)
"""``rejected``: the reviewer's confirmed opinion does not approve. ``terminated``: by the regulator."""
FINAL: Final = frozenset({DELIVERED, REFUSED, REJECTED, TERMINATED})
"""Outcomes that running the import again does not try to change."""
STEPS: Final = ("file", "review", "opinion", "order", "settle")
"""Steps that wait for the supervision chain, as latencies name them: request submitted → answer in a business block."""


@dataclass(slots=True)
class RequestResult:
    """What became of one ``MedicationRequest``.

    Attributes:
        request_id: its id in the data.
        claim_id: of its claim.
        flow: id of the flow.
        outcome: from ``OUTCOMES``; empty while under way.
        filed: whether the chain has the flow.
        stage: that it stopped at; empty when delivered.
        code: reason code of a refusal or failure.
        rule: that refused; empty where none did.
        rule_version: of the rules that held.
        authorisation: hash that the document is known by; empty where it was never authorised.
        stages: stages that are done, in order.
        tokens: purpose → token in hex, of the grants that were used.
        hospital, reviewer, pharmacy, payer: names of the parties that it went to.
        total: claimed, minor units.
        reimbursed: paid by the payer; 0 unless settled.
        patient_share: paid by the patient; 0 unless settled.
        settled: whether money moved.
        latency_ms: step → request submitted to answer, of this run.
        resumed: True when an earlier run had begun it.
    """

    request_id: str
    claim_id: str
    flow: bytes
    outcome: str = ""
    filed: bool = False
    stage: str = ""
    code: str = ""
    rule: str = ""
    rule_version: int = 0
    authorisation: bytes = b""
    stages: list[str] = field(default_factory=list)
    tokens: dict[str, str] = field(default_factory=dict)
    hospital: str = ""
    reviewer: str = ""
    pharmacy: str = ""
    payer: str = ""
    total: int = 0
    reimbursed: int = 0
    patient_share: int = 0
    settled: bool = False
    latency_ms: dict[str, float] = field(default_factory=dict)
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of a set of latencies in milliseconds; zeros where there were none."""

    count: int
    p50: float
    p95: float
    p99: float

    def document(self) -> dict[str, float]:
        """As JSON."""
        return {"count": self.count, "p50": self.p50, "p95": self.p95, "p99": self.p99}


def percentiles(values: Iterable[float]) -> Percentiles:
    """Nearest-rank percentiles, to a tenth of a millisecond."""
    ordered = sorted(values)
    if not ordered:
        return Percentiles(0, 0.0, 0.0, 0.0)
    last = len(ordered) - 1
    p50, p95, p99 = (round(ordered[min(last, len(ordered) * part // 100)], 1) for part in (50, 95, 99))
    return Percentiles(len(ordered), p50, p95, p99)


@dataclass(slots=True)
class ImportReport:
    """What an import came to; true also of one that was interrupted.

    Attributes:
        results: one for each request, in the order of the data.
        resumed: requests that an earlier run had begun and this one took further.
        already: requests that an earlier run had finished.
        patients: keys of patients that were admitted by this run.
        seconds: that this run took.
        samples: step → latencies in ms of this run (``STEPS``), and ``total``: filing to delivery.
        commits: method → milliseconds from submitting to the block, of this run.
        currency: of the amounts; empty where there are several.
    """

    results: list[RequestResult] = field(default_factory=list)
    resumed: int = 0
    already: int = 0
    patients: int = 0
    seconds: float = 0.0
    samples: dict[str, list[float]] = field(default_factory=dict)
    commits: dict[str, list[float]] = field(default_factory=dict)
    currency: str = ""

    @property
    def outcomes(self) -> dict[str, int]:
        """Requests by outcome, those under way as ``unfinished``."""
        found = Counter(result.outcome or "unfinished" for result in self.results)
        return {name: found[name] for name in (*OUTCOMES, "unfinished") if found[name]}

    @property
    def reasons(self) -> dict[str, int]:
        """Refusals by reason code."""
        found = Counter(result.code for result in self.results if result.outcome == REFUSED)
        return dict(sorted(found.items()))

    @property
    def failures(self) -> dict[str, int]:
        """Failures by code."""
        found = Counter(result.code for result in self.results if result.outcome == FAILED)
        return dict(sorted(found.items()))

    @property
    def counts(self) -> dict[str, int]:
        """How many flows came how far: filed, authorised, reviewed, ordered, settled, delivered."""
        stages = Counter(stage for result in self.results for stage in result.stages)
        return {
            "filed": sum(1 for result in self.results if result.filed),
            "authorised": stages["file"],
            "reviewed": stages["opinion"],
            "ordered": stages["order"],
            "settled": sum(1 for result in self.results if result.settled),
            "delivered": stages["deliver"],
        }

    @property
    def money(self) -> dict[str, int]:
        """Totals over settled flows, in minor units: paid_by_patients, reimbursed, claims_total."""
        settled = [result for result in self.results if result.settled]
        return {
            "paid_by_patients": sum(result.patient_share for result in settled),
            "reimbursed": sum(result.reimbursed for result in settled),
            "claims_total": sum(result.total for result in settled),
        }

    @property
    def tokens(self) -> dict[str, int]:
        """Grants that were used, by purpose."""
        return dict(sorted(Counter(purpose for result in self.results for purpose in result.tokens).items()))

    @property
    def latency(self) -> Mapping[str, Percentiles]:
        """By step, and ``total``."""
        return {name: percentiles(values) for name, values in self.samples.items()}

    @property
    def flows_per_second(self) -> float:
        """Flows delivered by this run, a second."""
        done = len(self.samples.get("total", ()))
        return round(done / self.seconds, 2) if self.seconds else 0.0

    def document(self, *, requests: bool = True) -> dict[str, Any]:
        """The whole report as JSON; ``requests`` adds one object for each request."""
        document: dict[str, Any] = {
            "requests_total": len(self.results),
            "outcomes": self.outcomes,
            "refused": self.reasons,
            "failed": self.failures,
            "flows": self.counts,
            "tokens": self.tokens,
            "money": self.money,
            "currency": self.currency,
            "latency_ms": {name: value.document() for name, value in self.latency.items()},
            "commit_ms": {name: percentiles(values).document() for name, values in sorted(self.commits.items())},
            "resumed": self.resumed,
            "already": self.already,
            "patients": self.patients,
            "seconds": round(self.seconds, 3),
            "flows_per_second": self.flows_per_second,
        }
        if requests:
            document["requests"] = [_result_document(result) for result in self.results]
        return document


def _result_document(result: RequestResult) -> dict[str, Any]:
    return {
        name: value.hex() if isinstance(value, bytes) else value
        for name in RequestResult.__slots__
        if (value := getattr(result, name)) not in ("", b"") or name in ("outcome", "flow")
    }
