"""The authority service (PROTOCOL.md 2): opens sealed documents with the regulator's keys, and decides.

It follows what the supervision chain asks for, and starts from what is waiting there, so that it can stop anywhere. An
automatic decision says what the authority has read; whether rules, lists and control classes let it pass is the
contract's matter, and so is what is left to officers. Several services can run: they stagger, and the first valid
decision counts.
"""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import Any, Final

import structlog

from contracts.bridge.records import CLIENT_REGISTERED
from contracts.decisions import Decide, Publish
from contracts.keyring import KeyPage, Nothing, OwnerQuery, Published
from contracts.messages import AUTHORISED, REFUSED, Decision, KeyNotice, StageRequest
from contracts.supervision.answers import PageQuery, RecordView, RequestQuery, RequestsPage
from contracts.supervision.calls import OPENING_EVENT, WAITING, OpeningRequested
from ledger.encoding import Codec
from ledger.envelope import EnvelopeContext, envelope_codec, envelope_digest
from ledger.errors import InvalidInput, NotFound, RemoteFault
from ledger.keys import SigningKey
from ledger.sealing import open_document
from ledger.sealing_keys import DecryptionKey
from node.calling import Caller
from node.gateway import BlockEvents, Gateway
from node.services.attestation import Attestation, attest
from node.services.follow import follow, known_height

log = structlog.get_logger(__name__)

CONTRACT: Final = "supervision"
KEYRING: Final = "keyring"
MAX_UNDER_WAY: Final = 64
RESCAN_S: Final = 5.0
STAGGER_S: Final = 1.0
PAGE: Final = 100
HARMLESS: Final = frozenset({"supervision_decided", "supervision_request_closed"})
"""Refusals that say that somebody else was faster."""
_opening_codec = Codec(OpeningRequested, 8_192, "opening request")


class AuthorityService:
    """See the module.

    Args:
        gateway: the own node, of the supervision chain.
        key: of the authority; named in the policy ``authorities``.
        sealing: its keys that open documents, the newest last.
        pseudonym_key: 32 bytes, the same for all authorities of the network.
    """

    def __init__(self, gateway: Gateway, key: SigningKey, sealing: list[DecryptionKey], pseudonym_key: bytes) -> None:
        self._gateway = gateway
        self._key = key
        self._sealing = sealing
        self._pseudonym_key = pseudonym_key
        self._caller = Caller(gateway, key)
        self._queue: dict[tuple[bytes, str, int], tuple[bytes, StageRequest]] = {}
        self._under_way: set[tuple[bytes, str, int]] = set()
        self._wake = asyncio.Event()
        self._announce = asyncio.Event()
        self._authorities: tuple[bytes, ...] = ()
        self.decided = 0
        self.refused = 0

    def document(self) -> dict[str, Any]:
        """This service in ``node.status``."""
        return {
            "decided": self.decided,
            "refused": self.refused,
            "waiting": len(self._queue),
            "under_way": len(self._under_way),
        }

    async def run(self) -> None:
        """Serves until it is cancelled."""
        height = await known_height(self._gateway, "authority")
        async with asyncio.TaskGroup() as group:
            group.create_task(follow(self._gateway, height + 1, self._take_note, "authority"))
            group.create_task(self._publish_keys())
            group.create_task(self._rescan())
            while True:
                await self._wake.wait()
                self._wake.clear()
                for name in list(self._queue):
                    if len(self._under_way) >= MAX_UNDER_WAY:
                        break
                    source, request = self._queue.pop(name)
                    self._under_way.add(name)
                    group.create_task(self._serve(name, source, request))

    def _take_note(self, block: BlockEvents) -> None:
        for _, event in block.events:
            if event.contract == CONTRACT and event.name == OPENING_EVENT:
                opening = _opening_codec.decode(event.data)
                self._enqueue(opening.source, opening.request)
            elif event.name == CLIENT_REGISTERED:
                self._announce.set()

    def _enqueue(self, source: bytes, request: StageRequest) -> None:
        name = (request.flow, request.stage, request.attempt)
        if name not in self._under_way:
            self._queue[name] = (source, request)
            self._wake.set()

    async def _rescan(self) -> None:
        """Takes up what is waiting on the chain: after a start, and whatever failed before."""
        while True:
            after = 0
            try:
                known = await self._gateway.view(KEYRING, "authorities", Nothing(), KeyPage)
                self._authorities = tuple(published.notice.owner for published in known.keys)
                while True:
                    page = await self._gateway.view(CONTRACT, WAITING, PageQuery(after, PAGE), RequestsPage)
                    for item in page.requests:
                        self._enqueue(item.source, item.request)
                    after = page.last
                    if not page.more:
                        break
            except (InvalidInput, RemoteFault) as error:
                log.warning("authority_rescan_failed", code=error.code)
            await asyncio.sleep(RESCAN_S)

    # --- deciding ---------------------------------------------------------------------------------------------------

    async def _serve(self, name: tuple[bytes, str, int], source: bytes, request: StageRequest) -> None:
        try:
            if not self._is_first(request):
                await asyncio.sleep(STAGGER_S)
            await self._decide(source, request)
        except (InvalidInput, RemoteFault) as error:
            if error.code not in HARMLESS:
                log.warning("authority_decision_failed", flow=request.flow.hex(), stage=request.stage, code=error.code)
        finally:
            self._under_way.discard(name)
            self._wake.set()

    def _is_first(self, request: StageRequest) -> bool:
        """Several authorities share the work by hash; each takes over what another leaves for a second."""
        return len(self._authorities) < 2 or min(
            self._authorities, key=lambda key: sha256(request.flow + request.stage.encode() + key).digest()
        ) == bytes(self._key.public)

    async def _decide(self, source: bytes, request: StageRequest) -> None:
        query = RequestQuery(request.flow, request.stage, request.attempt)
        record = await self._gateway.view(CONTRACT, "record", query, RecordView)
        if record.request.status != WAITING:
            return
        envelope = envelope_codec.decode(record.envelope)
        context = EnvelopeContext(source, request.flow, request.stage, request.actor, request.commitment)
        outcome, reason, attestation = AUTHORISED, "", Attestation(b"", ())
        try:
            document = open_document(envelope, context, self._sealing)
            attestation = attest(request, document, self._pseudonym_key)
        except InvalidInput as error:
            outcome, reason = REFUSED, error.code
        decision = Decision(request.flow, request.stage, request.attempt, request.commitment, outcome, reason)
        decide = Decide(decision, attestation.subject, attestation.attributes, envelope_digest(envelope))
        await self._caller.call(CONTRACT, "decide", decide)
        if outcome == AUTHORISED:
            self.decided += 1
        else:
            self.refused += 1
            log.info("authority_refused", flow=request.flow.hex(), stage=request.stage, reason=reason)

    # --- keys -------------------------------------------------------------------------------------------------------

    async def _publish_keys(self) -> None:
        """Publishes the newest sealing key when the chain does not have it, and tells the business chain of it."""
        self._announce.set()
        while True:
            await self._announce.wait()
            self._announce.clear()
            try:
                await self._publish()
                await self._caller.call(KEYRING, "announce", Nothing())
            except (InvalidInput, RemoteFault) as error:
                log.info("authority_keys_not_announced", code=error.code)

    async def _publish(self) -> None:
        newest = self._sealing[-1].public
        try:
            known = await self._gateway.view(KEYRING, "key", OwnerQuery(self._key.public), Published)
            epoch = known.notice.epoch
        except NotFound:
            epoch = 0
        if epoch < newest.epoch:
            notice = KeyNotice(self._key.public, newest.suite, newest.epoch, newest.public, retired=False)
            await self._caller.call(KEYRING, "publish", Publish(notice))
