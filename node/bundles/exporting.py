"""Makes bundles of flows, sealed records and commission bookings, from nodes of the chains; each is checked at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from contracts.commission.answers import (
    AgreementQuery,
    AgreementView,
    BookingView,
    RecordQuery,
    RequestQuery,
    RequestView,
)
from contracts.commission.calls import AgreementSigned
from contracts.commission.state import listed_key, policy_key, tally_key
from contracts.flow.answers import FILING, OPEN, FlowQuery, FlowView
from contracts.flow.state import FlowRecord
from contracts.supervision.state import place_key
from ledger.encoding import Codec
from ledger.errors import InvalidProof, NotFound, RemoteFault
from ledger.packet import ANSWER_EVENT, answer_codec
from node.bundles.assembling import PartDraft
from node.bundles.booking_rules import COMPLETED, PROPOSED, flows_of
from node.bundles.chains import ProvedChain, prove_part
from node.bundles.flow_events import FlowEvents, events_of_flow
from node.bundles.flow_rules import check_moves
from node.bundles.records import (
    KIND_FLOW,
    KIND_RECORD,
    SUBJECT_BOOKING,
    SUBJECT_FLOW,
    SUBJECT_SEALED,
    ChainPart,
    EvidenceContent,
    Subject,
)
from node.bundles.source import PAGE_BLOCKS, ChainSource
from node.bundles.supervision_rules import CONTROLS
from node.bundles.verifying import verify_record
from node.evidence_bundle import read_bundle, write_bundle

CLOCK_SLACK_MS: Final = 600_000
"""How far the two chains' clocks may be apart: the supervision chain is searched from so long before the filing."""
_signed_codec = Codec(AgreementSigned, 4_096)

_GOING_ON: Final = (FILING, OPEN)
Places = dict[bytes, tuple[int, bytes]]
"""Packet digest → height and transaction of the receipt that answers it."""


class Exporter:
    """Makes bundles.

    Args:
        business: node of the business chain.
        supervision: node of the supervision chain; None: bundles show the business chain alone.
        documents: whether sealed documents go in.
    """

    def __init__(self, business: ChainSource, supervision: ChainSource | None, *, documents: bool = False) -> None:
        self._business = PartDraft(business, documents=documents)
        self._supervision = None if supervision is None else PartDraft(supervision, documents=documents)

    async def flow(self, flow: bytes) -> bytes:
        """The bundle of a flow.

        Args:
            flow: its id.

        Raises:
            NotFound: no such flow; or its blocks are pruned at that node.
            RemoteFault: what the nodes say proves nothing.
        """
        await self._add_flow(flow)
        return await self._finish(KIND_FLOW, Subject(SUBJECT_FLOW, flow, "", 0))

    async def sealed_record(self, flow: bytes, stage: str, attempt: int) -> bytes:
        """The bundle of a sealed record of the supervision chain: its flow, told for it. Raises as ``flow``."""
        await self._add_flow(flow)
        return await self._finish(KIND_RECORD, Subject(SUBJECT_SEALED, flow, stage, attempt))

    async def booking(self, contract: str, record: bytes) -> bytes:
        """The bundle of a commission booking.

        Args:
            contract: address of the commission contract.
            record: the booking's id: its transaction.

        Raises: as ``flow``.
        """
        client = self._business.source.client
        view = await client.view(contract, "record", RecordQuery(record), BookingView)
        booked_height, _ = await self._business.add_transaction(record)
        heights = [booked_height]
        if view.cancellation is not None:
            heights.append((await self._business.add_transaction(view.cancellation.transaction_id))[0])
        await self._add_agreement(contract, view, booked_height)
        newest = tuple(sorted(heights, reverse=True))
        await self._business.add_value(contract, policy_key(view.agreement, view.policy), newest)
        if view.request:
            await self._add_request(contract, view, newest)
        else:
            await self._business.add_value(contract, tally_key(view.agreement), newest)
        return await self._finish(KIND_RECORD, Subject(SUBJECT_BOOKING, record, "", 0))

    # --- commissions --------------------------------------------------------------------------------------------------

    async def _add_request(self, contract: str, view: BookingView, heights: tuple[int, ...]) -> None:
        source = self._business.source
        question = RequestQuery(view.agreement, view.request)
        found = await source.client.view(contract, "request_details", question, RequestView)
        made = found.request.height
        await self._business.add(made, await source.index_of(made, b""))
        likely = (*heights, made)
        if found.summary.settled_by:
            place = await self._business.add_transaction(found.summary.settled_by)
            likely = (place[0], *likely)
            proved = self._proved(self._business, await self._business.finish())
            step = next(each for each in proved.steps if (each.height, each.index) == place)
            for flow in flows_of(proved, step):
                await self._add_flow(flow)
        key = listed_key(b"s", view.agreement, view.request)
        await self._business.add_value(contract, key, tuple(sorted(set(likely), reverse=True)))

    async def _add_agreement(self, contract: str, view: BookingView, booked_height: int) -> None:
        """Searches backwards for the two transactions that made the version which the booking is under."""
        client = self._business.source.client
        query = AgreementQuery(view.agreement, view.version)
        versions = (await client.view(contract, "agreement", query, AgreementView)).versions
        begins = next((each.activation_height for each in versions if each.version == view.version), booked_height)
        wanted, last = {PROPOSED, COMPLETED}, min(booked_height, begins)
        agreed = b""
        while wanted and last >= 0:
            first = max(0, last - PAGE_BLOCKS + 1)
            blocks = [block async for block in self._business.source.events(first, last)]
            for block in reversed(blocks):
                for tx_id, event in reversed(block.events):
                    if event.contract != contract or event.name not in wanted:
                        continue
                    said = _signed_codec.decode(event.data)
                    if (said.agreement, said.version) != (view.agreement, view.version):
                        continue
                    if event.name == PROPOSED and said.agreement_hash != agreed:
                        continue
                    agreed = said.agreement_hash
                    wanted.discard(event.name)
                    await self._business.add(block.height, await self._business.source.index_of(block.height, tx_id))
            last = first - 1
        if wanted:
            raise NotFound(f"the node has no block in which agreement {view.agreement!r} was signed: is it pruned?")

    # --- flows ----------------------------------------------------------------------------------------------------

    async def _add_flow(self, flow: bytes) -> None:
        business, supervision = self._business, self._supervision
        address = business.address("flow")
        if not address:
            raise NotFound(f"chain {business.source.genesis.name} has no supervised flows")
        view = await business.source.client.view(address, "flow", FlowQuery(flow), FlowView)
        first = await business.source.height_at(view.filed_ms)
        record = None if view.status in _GOING_ON else _record_of(view)
        heard = await self._scan(business, flow, first, lambda: self._is_whole(record, flow))
        proved = self._proved(business, await business.finish())
        told = Places()
        if supervision is not None:
            start = await supervision.source.height_at(view.filed_ms - CLOCK_SLACK_MS)
            last_ms = max((step.time_ms for step in proved.steps), default=0) + CLOCK_SLACK_MS
            told = await self._scan(supervision, flow, start, lambda: _said(record is not None), after_ms=last_ms)
            await self._add_evidence(flow, supervision)
            guarded = self._proved(supervision, await supervision.finish())
            events = events_of_flow(flow, proved, guarded)
            await self._add_answers(business, heard, [sent.digest for sent in events.verdicts])
            await self._add_answers(supervision, told, [sent.digest for sent in events.requests])
            await self._add_supervised(flow, events, supervision)
        moves = events_of_flow(flow, proved, None).moves
        heights = tuple(dict.fromkeys(move.step.height for move in reversed(moves)))
        await business.add_value(address, b"f" + flow, heights)

    async def _is_whole(self, record: FlowRecord | None, flow: bytes) -> bool:
        """True when the flow has ended and all that led to its end has been found: no later block speaks of it."""
        if record is None or not self._business.steps:
            return False
        proved = self._proved(self._business, await self._business.finish())
        events = events_of_flow(flow, proved, None)
        try:
            check_moves(record, events, proved)
        except InvalidProof:
            return False
        return sum(move.name in CONTROLS for move in events.moves) == record.control_counter

    async def _scan(
        self,
        draft: PartDraft,
        flow: bytes,
        first: int,
        whole: Callable[[], Awaitable[bool]],
        *,
        after_ms: int = 0,
    ) -> Places:
        """Takes in every receipt that speaks of the flow; where packets are answered, by digest.

        Args:
            draft: of the chain.
            flow: its id.
            first: height to begin at.
            whole: whether all has been found; asked after each page of blocks.
            after_ms: before that time it is not asked.
        """
        answers: Places = {}
        source, tip = draft.source, await draft.source.tip()
        bridge = draft.address("bridge")
        async for block in source.events(first, tip):
            found: set[bytes] = set()
            for tx_id, event in block.events:
                if flow in event.data:
                    found.add(tx_id)
                if event.name == ANSWER_EVENT and event.contract == bridge:
                    answers[answer_codec.decode(event.data).packet] = (block.height, tx_id)
            for tx_id in found:
                await draft.add(block.height, await source.index_of(block.height, tx_id))
            last_of_page = (block.height - first) % PAGE_BLOCKS == PAGE_BLOCKS - 1
            if last_of_page and block.time_ms > after_ms and await whole():
                break
        return answers

    async def _add_answers(self, draft: PartDraft, answers: Places, digests: list[bytes]) -> None:
        for digest in digests:
            if digest in answers:
                height, tx_id = answers[digest]
                await draft.add(height, await draft.source.index_of(height, tx_id))

    async def _add_evidence(self, flow: bytes, draft: PartDraft) -> None:
        """The transactions that sign what the supervision chain said, officers' included."""
        proved = self._proved(draft, await draft.finish())
        for sent in events_of_flow(flow, proved, proved).verdicts:
            for tx_id in sent.packet.evidence:
                await draft.add_transaction(tx_id)

    async def _add_supervised(self, flow: bytes, events: FlowEvents, draft: PartDraft) -> None:
        address = draft.address("supervision")
        heights = tuple(sorted({step[0] for step in draft.steps}, reverse=True))
        if events.supervision_answers or events.told:
            await draft.add_value(address, b"f" + flow, heights)
        for sent in events.requests:
            heard = events.supervision_answers.get(sent.digest)
            if heard is not None and heard.answer.code == "ok":
                request = sent.payload
                await draft.add_value(address, place_key(b"r", flow, request.stage, request.attempt), heights)

    # --- the file -------------------------------------------------------------------------------------------------

    def _proved(self, draft: PartDraft, part: ChainPart) -> ProvedChain:
        try:
            return prove_part(part, draft.source.genesis, draft.source.genesis.name)
        except InvalidProof as error:
            raise _lying(error) from error

    async def _finish(self, kind: str, subject: Subject) -> bytes:
        # A chain that has not said anything about it yet, or has no part in it, is left out.
        drafts = [draft for draft in (self._business, self._supervision) if draft is not None and draft.steps]
        parts = [await draft.finish() for draft in drafts]
        geneses = [draft.source.genesis for draft in drafts]
        data = write_bundle(kind, tuple(genesis.hash for genesis in geneses), EvidenceContent(subject, tuple(parts)))
        try:
            verify_record(read_bundle(data), geneses)
        except InvalidProof as error:
            raise _lying(error) from error
        return data


def _record_of(view: FlowView) -> FlowRecord:
    """The flow's record as the node shows it; only to know when to stop searching."""
    values = {name: getattr(view, name) for name in FlowRecord.__struct_fields__ if name != "reported"}
    return FlowRecord(**values, reported=False)


async def _said(answer: bool) -> bool:
    return answer


def _lying(error: InvalidProof) -> RemoteFault:
    return RemoteFault(f"what the node says proves nothing: {error.message}", code="answer_malformed")
