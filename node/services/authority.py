"""The authority service (PROTOCOL.md 2): opens sealed documents with the regulator's keys, and decides.

It follows what the supervision chain asks for, and starts from what is waiting there, so that it can stop anywhere. An
automatic decision says what the authority has read; whether rules, lists and control classes let it pass is the
contract's matter, and so is what is left to officers. Several services can run: they stagger, and the first valid
decision counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from hashlib import sha256
from typing import Any, Final, TypeAlias

import structlog

from contracts.bridge.records import BUSINESS, CLIENT_REGISTERED, ClientView, RoleQuery
from contracts.decisions import Decide, Publish
from contracts.keyring import Announced, KeyPage, Nothing, OwnerQuery, Published
from contracts.messages import AUTHORISED, REFUSED, Decision, KeyNotice, StageRequest
from contracts.supervision.answers import PageQuery, RecordView, RequestQuery, RequestsPage
from contracts.supervision.calls import OPENING_EVENT, WAITING, OpeningRequested
from contracts.supervision.codes import DECIDED
from ledger.encoding import Codec
from ledger.errors import InvalidInput, NotFound, RemoteFault
from ledger.keys import SigningKey
from ledger.packet import ANSWER_OK
from ledger.sealing_keys import DecryptionKey
from node.calling import Caller
from node.gateway import BlockEvents, Gateway
from node.services.attestation import Attestation, attest
from node.services.follow import follow, known_height
from node.services.rewrapping import NOT_FOR_US, open_record

log = structlog.get_logger(__name__)

CONTRACT: Final = "supervision"
KEYRING: Final = "keyring"
MAX_UNDER_WAY: Final = 64
RESCAN_S: Final = 5.0
STAGGER_S: Final = 1.0
PAGE: Final = 100
REPUBLISH_S: Final = 10.0
"""How often the authority looks whether both chains have its keys."""
HARMLESS: Final = frozenset({DECIDED})
"""Refusals that say that somebody else was faster."""
_Name: TypeAlias = tuple[bytes, str, int]
"""Flow, stage, attempt."""
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
        self._queue: dict[_Name, tuple[bytes, StageRequest]] = {}
        self._under_way: set[_Name] = set()
        # For another authority to decide first.
        self._left: set[_Name] = set()
        self._wake = asyncio.Event()
        self._announce = asyncio.Event()
        self._look = asyncio.Event()
        self._authorities: tuple[bytes, ...] = ()
        self.decided = 0
        self.refused = 0

    def document(self) -> dict[str, Any]:
        """This service in ``node.status``."""
        return {
            "decided": self.decided,
            "refused": self.refused,
            "waiting": len(self._queue) + len(self._left),
            "under_way": len(self._under_way),
        }

    async def run(self) -> None:
        """Serves until it is cancelled."""
        height = await known_height(self._gateway, "authority")
        async with asyncio.TaskGroup() as group:
            group.create_task(follow(self._gateway, height + 1, self._take_note, "authority"))
            group.create_task(self._publish_keys())
            group.create_task(self._rescan())
            # A quarter of a second of imports, which must not be the first decision's.
            group.create_task(asyncio.to_thread(importlib.import_module, "node.fhir.document"))
            while True:
                await self._wake.wait()
                self._wake.clear()
                for name in list(self._queue):
                    if len(self._under_way) >= MAX_UNDER_WAY:
                        break
                    _, request = self._queue.pop(name)
                    self._under_way.add(name)
                    group.create_task(self._serve(name, request))

    def _take_note(self, block: BlockEvents) -> None:
        for _, event in block.events:
            if event.contract == CONTRACT and event.name == OPENING_EVENT:
                opening = _opening_codec.decode(event.data)
                self._enqueue(opening.source, opening.request)
            elif event.name == CLIENT_REGISTERED:
                self._announce.set()
            elif event.contract == KEYRING:
                self._look.set()  # there may be another authority, to share the work with

    def _enqueue(self, source: bytes, request: StageRequest) -> None:
        name = (request.flow, request.stage, request.attempt)
        if name in self._under_way or name in self._queue or name in self._left:
            return
        if self._is_first(request):
            self._queue[name] = (source, request)
            self._wake.set()
        else:
            self._left.add(name)
            asyncio.get_running_loop().call_later(STAGGER_S, self._take_over, name, source, request)

    def _take_over(self, name: _Name, source: bytes, request: StageRequest) -> None:
        self._left.discard(name)
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
                    await asyncio.sleep(0)
            except (InvalidInput, RemoteFault) as error:
                log.warning("authority_rescan_failed", code=error.code)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RESCAN_S):
                    await self._look.wait()
            self._look.clear()

    # --- deciding ---------------------------------------------------------------------------------------------------

    async def _serve(self, name: _Name, request: StageRequest) -> None:
        try:
            await self._decide(request)
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

    async def _decide(self, request: StageRequest) -> None:
        query = RequestQuery(request.flow, request.stage, request.attempt)
        record = await self._gateway.view(CONTRACT, "record", query, RecordView)
        if record.request.status != WAITING:
            return
        outcome, reason, attestation = AUTHORISED, "", Attestation(b"", ())
        try:
            document = await open_record(self._gateway, record, self._sealing)
            attestation = attest(request, document, self._pseudonym_key)
        except InvalidInput as error:
            if error.code == NOT_FOR_US:
                # Sealed before we had a key, or to one that we lost: whoever has it decides.
                log.warning("authority_cannot_open", flow=request.flow.hex(), stage=request.stage)
                return
            outcome, reason = REFUSED, error.code
        decision = Decision(request.flow, request.stage, request.attempt, request.commitment, outcome, reason)
        decide = Decide(decision, attestation.subject, attestation.attributes, request.envelope)
        await self._caller.call(CONTRACT, "decide", decide)
        if outcome == AUTHORISED:
            self.decided += 1
        else:
            self.refused += 1
            log.info("authority_refused", flow=request.flow.hex(), stage=request.stage, reason=reason)

    # --- keys -------------------------------------------------------------------------------------------------------

    async def _publish_keys(self) -> None:
        """Publishes sealing keys that the chain does not have, and sees to it that the business chain hears of them."""
        while True:
            self._announce.clear()
            try:
                await self._publish()
                if await self._is_unannounced():
                    await self._caller.call(KEYRING, "announce", Nothing())
            except (InvalidInput, RemoteFault) as error:
                log.warning("authority_keys_not_announced", code=error.code)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REPUBLISH_S):
                    await self._announce.wait()

    async def _publish(self) -> None:
        try:
            known = await self._gateway.view(KEYRING, "key", OwnerQuery(self._key.public), Published)
            epoch = known.notice.epoch
        except NotFound:
            epoch = 0
        for key in sorted((key.public for key in self._sealing), key=lambda public: public.epoch):
            if key.epoch > epoch:
                notice = KeyNotice(self._key.public, key.suite, key.epoch, key.public, retired=False)
                await self._caller.call(KEYRING, "publish", Publish(notice))
                log.info("authority_key_published", epoch=key.epoch)

    async def _is_unannounced(self) -> bool:
        """True when there is a business chain that has not got our key and is not about to."""
        own = OwnerQuery(self._key.public)
        try:
            await self._gateway.view("bridge", "client", RoleQuery(BUSINESS), ClientView)
            known = await self._gateway.view(KEYRING, "key", own, Published)
        except NotFound:
            return False
        try:
            told = await self._gateway.view(KEYRING, "announced", own, Announced)
        except NotFound:
            return True
        return told.epoch != known.notice.epoch or told.code not in ("", ANSWER_OK)
