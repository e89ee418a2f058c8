"""Light traffic between two chains: flows of a kind with hardly any stages, filed through any gateway.

await define(world)                                  # kind "note": file, then deliver
flow = await file_note(gateway, world.party("City Hospital").signing, text="…")
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from contracts.flow.answers import FlowQuery, FlowView
from contracts.flow.calls import DEFINE_KIND, DefineKind, Deliver, File, flow_id
from contracts.flow.kinds import DAY_MS, FlowKind, StageSpec
from contracts.keyring import KeyPage
from contracts.keyring import Nothing as NoQuestion
from contracts.messages import DELIVER, FILE, NEED_DECISION, NEED_NONE
from ledger.encoding import encode
from ledger.envelope import EnvelopeContext, commitment_of
from ledger.envelope_document import SealedDocument
from ledger.envelope_key import EncryptionKey
from ledger.keys import SigningKey
from ledger.sealing import new_document, seal
from node.calling import Caller
from node.gateway import Gateway, Outcome

NOTE = "note"


def note_kind(*, deadline_ms: int = DAY_MS, max_staleness_ms: int = 30_000, version: int = 1) -> FlowKind:
    """A kind with stages ``file`` and ``deliver`` alone."""
    stages = (StageSpec(FILE, NEED_DECISION, "", deadline_ms, 0), StageSpec(DELIVER, NEED_NONE, "", 0, 0))
    return FlowKind(NOTE, version, stages, max_staleness_ms, ())


async def define(world, **options: int) -> None:
    """Governors define the kind ``note``."""
    await world.govern(world.business, "flow", DEFINE_KIND, DefineKind(note_kind(**options)))


async def authority_keys(gateway: Gateway) -> list[EncryptionKey]:
    """What documents for the authorities are sealed to, as a chain says."""
    page = await gateway.view("keyring", "authorities", NoQuestion(), KeyPage)
    return [EncryptionKey(each.notice.suite, each.notice.epoch, each.notice.public) for each in page.keys]


def note(**content: object) -> SealedDocument:
    """A JSON document."""
    return new_document(json.dumps(content, sort_keys=True).encode(), "application/json")


def filing(
    chain_id: bytes,
    key: SigningKey,
    document: SealedDocument,
    recipients: Sequence[EncryptionKey],
    *,
    kind: str = NOTE,
    commitment: bytes | None = None,
    stage: str = FILE,
) -> tuple[bytes, File]:
    """(flow id, arguments of ``file``); a lying commitment or another stage gives a filing that no authority opens."""
    said = commitment or commitment_of(document)
    flow = flow_id(chain_id, key.public, said)
    context = EnvelopeContext(chain_id, flow, stage, key.public, said)
    inside = document if commitment is None else encode(document)
    return flow, File(kind, b"", b"", said, seal(inside, context, recipients, key), None, b"", "", 0)


async def file_note(gateway: Gateway, key: SigningKey, document: SealedDocument | None = None) -> bytes:
    """Files a note and waits for its block; its flow."""
    found = document or note(subject_id="A123456789", attributes={"urgent": False})
    flow, arguments = filing((await gateway.info()).chain_id, key, found, await authority_keys(gateway))
    await Caller(gateway, key).call("flow", "file", arguments)
    return flow


async def deliver_note(gateway: Gateway, key: SigningKey, flow: bytes) -> Outcome:
    """Closes a note."""
    return await Caller(gateway, key).call("flow", "deliver", Deliver(flow))


async def flow_view(gateway: Gateway, flow: bytes) -> FlowView:
    """A flow as the business chain shows it."""
    return await gateway.view("flow", "flow", FlowQuery(flow), FlowView)
