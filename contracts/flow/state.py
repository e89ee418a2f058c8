"""What the flow contract keeps, and under which keys.

    m                              u64: flows so far
    f ‖ flow                       FlowRecord
    n ‖ u64 number                 flow: in order of filing
    a ‖ authorisation              flow
    z ‖ party ‖ u64 place          flow: of that party, in the order in which it became one
    y ‖ party                      u64: flows of that party
    v ‖ party ‖ flow               nothing: it is a party
    p ‖ u64 number                 PoolEntry: waits for review
    g ‖ flow ‖ stage               GrantView: of the stage's last attempt
    e ‖ flow ‖ context stage       SealedCopy
    i ‖ flow                       PaymentRequested
    x ‖ u64 time ‖ flow ‖ stage    nothing: at that block time the stage runs out, unless it went on before
    q ‖ kind ‖ 00 ‖ filer ‖ subject   flow: authorised for that subject
    u ‖ kind ‖ 00 ‖ filer ‖ subject   flow: reported for that subject
    h ‖ kind                       u32: newest version
    k ‖ kind ‖ 00 ‖ u32 version    FlowKind
    r ‖ coverage ‖ 00 ‖ drug code  Ratio
    c                              u32: rows of that table
    l ‖ kind ‖ 00 ‖ asset          Limit

A stage with a ``deadline_ms`` has exactly one entry under ``x``; ``put_stage`` sees to that.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Final

from msgspec import Meta
from msgspec.structs import replace

from contracts.codes import Refusal
from contracts.flow import codes
from contracts.flow.answers import DONE, FILING, OPEN, GrantView, PoolEntry, SealedCopy, StageView
from contracts.flow.calls import Moved
from contracts.flow.kinds import FlowKind, kind_codec
from contracts.interface import EndContext, StateSpace
from contracts.messages import (
    FILE,
    REVIEW,
    STAGES,
    AmountOrZero,
    Code,
    Hash,
    HashOrNothing,
    Key,
    KeyOrNothing,
    Time,
    Version,
    Word,
)
from ledger.encoding import Codec, Record, encode
from ledger.errors import BrokenInvariant
from ledger.packet import MAX_ATTACHMENT_BYTES


class FlowRecord(Record, frozen=True):
    """A flow as kept; fields as in ``contracts.flow.answers.FlowView``. ``reported``: it never had a filing."""

    number: Version
    flow: Hash
    kind: Word
    kind_version: Version
    status: Word
    suspended: bool
    control_reason: Code
    control_counter: Version
    filer: Key
    platform: KeyOrNothing
    patient: KeyOrNothing
    pharmacy: KeyOrNothing
    payer: KeyOrNothing
    commitment: Hash
    authorisation: HashOrNothing
    subject: HashOrNothing
    asset: Annotated[str, Meta(max_length=64)]
    amount: AmountOrZero
    approve: bool
    used: bool
    reported: bool
    filed_ms: Time
    stages: Annotated[tuple[StageView, ...], Meta(max_length=len(STAGES))]

    def stage(self, name: str) -> StageView | None:
        """The stage as far as it was begun, or None."""
        return next((stage for stage in self.stages if stage.stage == name), None)

    def done(self, name: str) -> bool:
        """True once the stage is done."""
        stage = self.stage(name)
        return stage is not None and stage.status == DONE

    @property
    def reviewer(self) -> bytes:
        """Who asked for the review last; empty where nobody did."""
        stage = self.stage(REVIEW)
        return stage.actor if stage is not None else b""

    @property
    def alive(self) -> bool:
        """True while stages may still come."""
        return self.status in (FILING, OPEN)


flow_codec = Codec(FlowRecord, 8 * 1024, "flow")
grant_codec = Codec(GrantView, 1_024, "grant")
copy_codec = Codec(SealedCopy, MAX_ATTACHMENT_BYTES + 1_024, "sealed copy")
pool_codec = Codec(PoolEntry, 256, "pool entry")
_decode_kind = lru_cache(maxsize=64)(kind_codec.decode)
"""Every step of every flow reads its kind, and there are few: what the same bytes say is found once."""

_TERMINATOR: Final = b"\x00"


# --- flows ------------------------------------------------------------------------------------------------------------


def begin_flow(
    context: EndContext,
    name: bytes,
    kind: FlowKind,
    *,
    filer: bytes,
    commitment: bytes,
    status: str,
    platform: bytes = b"",
    patient: bytes = b"",
    subject: bytes = b"",
    asset: str = "",
    amount: int = 0,
    reported: bool = False,
) -> FlowRecord:
    """A new flow, numbered and listed under its parties; not yet stored. Fields as in ``FlowRecord``."""
    state = context.state
    number = next_number(state)
    state.put(b"n" + number.to_bytes(8, "big"), name)
    for party in (filer, platform, patient):
        add_party(state, party, name)
    return FlowRecord(
        number=number,
        flow=name,
        kind=kind.name,
        kind_version=kind.version,
        status=status,
        suspended=False,
        control_reason="",
        control_counter=0,
        filer=filer,
        platform=platform,
        patient=patient,
        pharmacy=b"",
        payer=b"",
        commitment=commitment,
        authorisation=b"",
        subject=subject,
        asset=asset,
        amount=amount,
        approve=False,
        used=reported,
        reported=reported,
        filed_ms=context.block.time_ms,
        stages=(),
    )


def find_flow(state: StateSpace, flow: bytes) -> FlowRecord | None:
    """The flow, or None."""
    data = state.get(b"f" + flow)
    return None if data is None else flow_codec.decode(data)


def load_flow(state: StateSpace, flow: bytes) -> FlowRecord:
    """The flow; refuses with ``flow_unknown``."""
    found = find_flow(state, flow)
    if found is None:
        raise Refusal(codes.UNKNOWN, f"there is no flow {flow.hex()}")
    return found


def flow_of(state: StateSpace, authorisation: bytes) -> FlowRecord:
    """The flow that is known by this authorisation hash; refuses with ``flow_unknown``."""
    flow = state.get(b"a" + authorisation)
    if flow is None:
        raise Refusal(codes.UNKNOWN, f"no document was authorised by {authorisation.hex()}")
    return load_flow(state, flow)


def put_flow(state: StateSpace, flow: FlowRecord) -> FlowRecord:
    """Stores the flow."""
    state.put(b"f" + flow.flow, encode(flow))
    return flow


def next_number(state: StateSpace) -> int:
    """Number of the next flow; counts it."""
    number = _count(state, b"m") + 1
    state.put(b"m", number.to_bytes(8, "big"))
    return number


def add_party(state: StateSpace, party: bytes, flow: bytes) -> None:
    """Lists the flow under one more party; nothing where it is listed already, or ``party`` is empty."""
    mark = b"v" + party + flow
    if not party or state.get(mark) is not None:
        return
    place = _count(state, b"y" + party) + 1
    state.put(mark, b"")
    state.put(b"y" + party, place.to_bytes(8, "big"))
    state.put(b"z" + party + place.to_bytes(8, "big"), flow)


def count_flows(state: StateSpace, party: bytes = b"") -> int:
    """Flows so far, of all or of one party."""
    return _count(state, b"y" + party if party else b"m")


def flow_at(state: StateSpace, place: int, party: bytes = b"") -> FlowRecord:
    """The flow with that number, or at that place of a party's list."""
    flow = state.get((b"z" + party if party else b"n") + place.to_bytes(8, "big"))
    found = None if flow is None else find_flow(state, flow)
    if found is None:
        raise BrokenInvariant("a list of flows names one that is not there", place=place)
    return found


def _count(state: StateSpace, key: bytes) -> int:
    return int.from_bytes(state.get(key) or b"", "big")


# --- stages -----------------------------------------------------------------------------------------------------------


def due_key(time_ms: int, flow: bytes, stage: str) -> bytes:
    """Where the due index says that a stage runs out."""
    return b"x" + time_ms.to_bytes(8, "big") + flow + bytes([STAGES.index(stage)])


def due_of(key: bytes) -> tuple[int, bytes, str]:
    """Time, flow and stage of a key of the due index."""
    return int.from_bytes(key[1:9], "big"), key[9:41], STAGES[key[41]]


def put_stage(state: StateSpace, flow: FlowRecord, stage: StageView) -> FlowRecord:
    """The flow with this stage put in place of what it was; brings the due index up to date, stores nothing else."""
    before = flow.stage(stage.stage)
    if before is not None and before.deadline_ms:
        state.delete(due_key(before.deadline_ms + 1, flow.flow, stage.stage))
    if stage.deadline_ms:
        state.put(due_key(stage.deadline_ms + 1, flow.flow, stage.stage), b"")
    others = [other for other in flow.stages if other.stage != stage.stage]
    stages = sorted([*others, stage], key=lambda item: STAGES.index(item.stage))
    return replace(flow, stages=tuple(stages))


def end_flow(state: StateSpace, flow: FlowRecord, status: str) -> FlowRecord:
    """The flow with its last status: no stage of it runs out any more, and nobody finds it in the pool."""
    for stage in flow.stages:
        if stage.deadline_ms:
            flow = put_stage(state, flow, replace(stage, deadline_ms=0))
    state.delete(b"p" + flow.number.to_bytes(8, "big"))
    return replace(flow, status=status)


def next_stage(flow: FlowRecord, kind: FlowKind) -> str:
    """The first stage of the kind that is not done; empty where all are."""
    for spec in kind.stages:
        if not flow.done(spec.stage) and not (flow.reported and spec.stage == FILE):
            return spec.stage
    return ""


# --- grants and envelopes ---------------------------------------------------------------------------------------------


def find_grant(state: StateSpace, flow: bytes, stage: str) -> GrantView | None:
    """The grant of the stage's last attempt, or None."""
    data = state.get(b"g" + flow + stage.encode())
    return None if data is None else grant_codec.decode(data)


def put_grant(state: StateSpace, flow: bytes, grant: GrantView) -> None:
    """Stores the grant of a stage."""
    state.put(b"g" + flow + grant.stage.encode(), encode(grant))


def drop_grant(state: StateSpace, flow: bytes, stage: str) -> None:
    """Forgets the grant of an earlier attempt."""
    state.delete(b"g" + flow + stage.encode())


def put_copy(state: StateSpace, flow: bytes, copy: SealedCopy) -> None:
    """Stores an envelope under the stage of its context."""
    state.put(b"e" + flow + copy.stage.encode(), encode(copy))


# --- kinds ------------------------------------------------------------------------------------------------------------


def newest_version(state: StateSpace, name: str) -> int:
    """Newest version of a kind; 0 where there is none."""
    return int.from_bytes(state.get(b"h" + name.encode()) or b"", "big")


def load_kind(state: StateSpace, name: str, version: int = 0) -> FlowKind:
    """A kind in one version, 0 being the newest; refuses with ``flow_kind_unknown``."""
    wanted = version or newest_version(state, name)
    data = state.get(_kind_key(name, wanted)) if wanted else None
    if data is None:
        raise Refusal(codes.KIND_UNKNOWN, f"there is no flow kind {name!r}" + (f" version {version}" * bool(version)))
    return _decode_kind(data)


def put_kind(state: StateSpace, kind: FlowKind) -> None:
    """Stores a kind as its newest version."""
    state.put(b"h" + kind.name.encode(), kind.version.to_bytes(4, "big"))
    state.put(_kind_key(kind.name, kind.version), encode(kind))


def _kind_key(name: str, version: int) -> bytes:
    return b"k" + name.encode() + _TERMINATOR + version.to_bytes(4, "big")


def subject_key(prefix: bytes, kind: str, filer: bytes, subject: bytes) -> bytes:
    """Where the flow of a subject is found: ``prefix`` is ``q`` (authorised) or ``u`` (reported)."""
    return prefix + kind.encode() + _TERMINATOR + filer + subject


def limit_key(kind: str, asset: str) -> bytes:
    """Where the limit of a kind and asset stands."""
    return b"l" + kind.encode() + _TERMINATOR + asset.encode()


# --- events -----------------------------------------------------------------------------------------------------------


def moved(flow: FlowRecord, stage: str = "", **facts: object) -> Moved:
    """The step that a flow has just made, with its parties as they are now.

    Args:
        flow: after the step.
        stage: that the step belongs to.
        **facts: ``hash``, ``token``, ``reason``, ``rule``, ``rule_version``, as far as there are.
    """
    state = flow.stage(stage)
    fields: dict[str, object] = {"hash": b"", "token": b"", "reason": "", "rule": "", "rule_version": 0} | facts
    return Moved(
        flow=flow.flow,
        kind=flow.kind,
        stage=stage,
        attempt=0 if state is None else state.attempt,
        authorisation=flow.authorisation,
        filer=flow.filer,
        platform=flow.platform,
        patient=flow.patient,
        reviewer=flow.reviewer,
        pharmacy=flow.pharmacy,
        payer=flow.payer,
        deadline_ms=0 if state is None else state.deadline_ms,
        **fields,  # type: ignore[arg-type]
    )


def step(context: EndContext, event: str, flow: FlowRecord, stage: str = "", **facts: object) -> Moved:
    """Stores the flow, emits the event of its step, and returns what the event says."""
    put_flow(context.state, flow)
    made = moved(flow, stage, **facts)
    context.emit(event, made)
    return made
