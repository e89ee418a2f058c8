"""What a version of the rules would have said to past requests, beside what another says (PROTOCOL.md 2.3)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from contracts.messages import FILE, NEED_GRANT, REVIEW
from contracts.registry.calls import KeyArguments
from contracts.registry.participants import Participant
from contracts.rulebook.calls import Evaluate, FactsRecord, VerdictRecord
from contracts.rulebook.records import ALLOW
from contracts.supervision.answers import FlowQuery, FlowView, RequestView
from contracts.supervision.calls import DRUGS
from ledger.errors import NotFound
from node.gateway import Gateway
from node.regulator import decisions, flows, rulebook

AT_ONCE: Final = 16
MAX_REQUESTS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Changed:
    """A request of which two versions say different things.

    Attributes:
        request: with what became of it.
        before: what the version compared with says.
        after: what the version in question says.
    """

    request: RequestView
    before: VerdictRecord
    after: VerdictRecord


@dataclass(slots=True)
class DryRun:
    """What a dry-run found.

    Attributes:
        version: in question.
        against: compared with.
        evaluated: requests that rules are asked about.
        skipped: other requests: opened by nobody, or at stages without rules.
        changed: in the order of the requests.
        by_rule: (rule of before or after, its outcome before, outcome after) → how many.
    """

    version: int
    against: int
    evaluated: int = 0
    skipped: int = 0
    changed: list[Changed] = field(default_factory=list)
    by_rule: Counter[tuple[str, str, str]] = field(default_factory=Counter)


async def dry_run(
    gateway: Gateway,
    version: int,
    *,
    against: int | None = None,
    since_height: int = 0,
    limit: int = MAX_REQUESTS,
    progress: Callable[[int], None] = lambda _: None,
) -> DryRun:
    """Asks ``version`` about the newest past requests, over the attributes attested then.

    Args:
        gateway: of the supervision chain.
        version: a draft or a kept version.
        against: compared with; None for the version in force.
        since_height: only requests of this block and later ones.
        limit: at most so many requests, the newest.
        progress: told how many requests more were looked at.

    Raises:
        NotFound: there is no such version or block.
        InvalidInput: ``rules_version_not_kept``.
    """
    if against is None:
        against = (await rulebook.status(gateway)).in_force
    await rulebook.definition_of(gateway, version)
    result = DryRun(version, against)
    first = 1
    if since_height:
        first = await flows.first_request_since(gateway, (await gateway.header(since_height))[0].time_ms)
    last = (await flows.counters(gateway)).requests
    past = _History(gateway, version, against)
    part: list[RequestView] = []
    async for request in flows.requests(gateway, max(first, last - min(limit, MAX_REQUESTS) + 1) - 1):
        if request.number > last:
            break
        part.append(request)
        if len(part) == AT_ONCE:
            _add(result, await past.compare(part))
            progress(len(part))
            part = []
    _add(result, await past.compare(part))
    return result


def _add(result: DryRun, found: list[Changed | None]) -> None:
    for changed in found:
        if changed is None:
            result.skipped += 1
            continue
        result.evaluated += 1
        before, after = changed.before, changed.after
        if (before.outcome, before.rule, before.reason) == (after.outcome, after.rule, after.reason):
            continue
        result.changed.append(changed)
        result.by_rule[(after.rule or before.rule, before.outcome, after.outcome)] += 1


class _History:
    """Asks two versions about past requests; flows and participants are looked up once."""

    def __init__(self, gateway: Gateway, version: int, against: int) -> None:
        self._gateway = gateway
        self._version = version
        self._against = against
        self._organisations: dict[bytes, str] = {}

    async def compare(self, requests: list[RequestView]) -> list[Changed | None]:
        """One answer for each; None where rules are not asked."""
        return list(await asyncio.gather(*[self._compare(request) for request in requests]))

    async def _compare(self, view: RequestView) -> Changed | None:
        request = view.request
        asked = bool(view.attested_by) if request.stage == FILE else request.need == NEED_GRANT
        if not asked:
            return None
        try:
            flow = await self._gateway.view(decisions.CONTRACT, "flow", FlowQuery(request.flow), FlowView)
        except NotFound:
            return None
        facts = await self._facts(view, flow)
        before = await self._verdict(self._against, facts)
        return Changed(view, before, await self._verdict(self._version, facts))

    async def _verdict(self, version: int, facts: FactsRecord) -> VerdictRecord:
        if not version:
            return VerdictRecord(ALLOW, "", "", 0)
        return await self._gateway.view(rulebook.CONTRACT, "evaluate", Evaluate(version, facts), VerdictRecord)

    async def _facts(self, view: RequestView, flow: FlowView) -> FactsRecord:
        """As ``contracts.supervision.standing`` puts them together; a later reviewer is left out at filing."""
        request = view.request
        reviewer = b"" if request.stage == FILE else request.actor if request.stage == REVIEW else flow.reviewer
        parties = dict.fromkeys((request.actor, flow.filer, flow.platform, request.pharmacy, reviewer))
        organisation = flow.organisation
        if request.stage != FILE:
            asker = request.actor if request.stage == REVIEW else request.pharmacy or request.actor
            organisation = await self._organisation_of(asker)
        return FactsRecord(
            stage=request.stage,
            kind=flow.kind,
            flow=request.flow,
            organisation=organisation,
            subject=flow.subject,
            drugs=_drugs(flow),
            reviewer=reviewer,
            pharmacy=request.pharmacy,
            order=request.order,
            parties=tuple(key for key in parties if key),
            amount=request.amount,
            values=flow.attributes,
            time_ms=view.decided_ms or view.received_ms,
        )

    async def _organisation_of(self, key: bytes) -> str:
        if key not in self._organisations:
            try:
                found = await self._gateway.view("registry", "participant", KeyArguments(key), Participant)
                self._organisations[key] = found.organisation
            except NotFound:
                self._organisations[key] = ""
        return self._organisations[key]


def _drugs(flow: FlowView) -> tuple[str, ...]:
    for attribute in flow.attributes:
        if attribute.name == DRUGS:
            value = attribute.value
            return value if isinstance(value, tuple) else (value,) if isinstance(value, str) else ()
    return ()
