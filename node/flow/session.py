"""What every step of a flow client needs: the subscription, recipients' keys, sealing, looking and waiting."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from time import monotonic
from types import TracebackType
from typing import Final, Self

from contracts.flow import answers as a
from contracts.flow import calls
from contracts.flow.kinds import FILE_COPY, RELEASE, FlowKind
from contracts.messages import REVIEW
from ledger.encoding import Record
from ledger.envelope import Envelope, EnvelopeContext
from ledger.envelope_document import SealedDocument, commitment_of
from ledger.envelope_key import EncryptionKey
from ledger.errors import InvalidInput
from ledger.keys import SigningKey
from ledger.sealing import open_document, open_envelope, seal
from ledger.sealing_keys import DecryptionKey
from ledger.types import PublicKey
from node.calling import CallRefused
from node.flow.errors import FlowEnded, FlowTimeout, StageExpired, StageRefused
from node.flow.keys import RecipientKeys
from node.flow.progress import FlowProgress
from node.flow.purse import Purses
from node.flow.submitting import Sent, Submitter
from node.flow.watcher import FLOW, FlowWatcher
from node.gateway import Gateway

PAGE: Final = 100
ATTEMPTS: Final = 3
"""How often a document is sealed anew because keys changed, or a payment made anew because an output was gone."""


MASKED_COPIES: Final = (FILE_COPY, RELEASE)
"""Envelopes with the masked document, which is another one than the commitment is to."""


class FlowSession:
    """See the module; ``node.flow.client.FlowClient`` adds the steps.

    Args:
        gateway: a node of the business chain.
        on_commit: told of each committed call: method, and milliseconds until its block was seen.

    Attributes:
        gateway: as given.
        watcher: the one subscription.
        keys: recipients' keys.
        purses: of everybody who pays through this client.
        submitter: hands transactions in.
    """

    def __init__(self, gateway: Gateway, *, on_commit: Callable[[str, float], None] | None = None) -> None:
        self.gateway = gateway
        self.watcher = FlowWatcher(gateway)
        self.keys = RecipientKeys(gateway)
        self.purses = Purses(gateway)
        self.submitter = Submitter(gateway, self.watcher, on_commit)
        self._kinds: dict[str, FlowKind] = {}

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Begins to follow the chain. Raises ``RpcUnavailable``."""
        await self.watcher.start()

    async def close(self) -> None:
        """Stops following."""
        await self.watcher.close()

    def flow_id(self, filer: PublicKey, document: SealedDocument) -> bytes:
        """Id of the flow that ``filer`` begins by filing ``document``."""
        return calls.flow_id(self.watcher.chain_id, filer, commitment_of(document))

    # --- looking ----------------------------------------------------------------------------------------------------

    async def pool(self, kind: str = "") -> AsyncIterator[a.PoolEntry]:
        """Documents that wait for review, in order of filing; of one kind, or of all."""
        after = 0
        while True:
            page = await self.gateway.view(FLOW, "pool", a.PoolQuery(kind, after, PAGE), a.PoolPage)
            for entry in page.entries:
                yield entry
            after = page.next
            if not after:
                return

    async def show(self, name: bytes) -> a.FlowView:
        """A flow, by its id or by its authorisation hash. Raises ``NotFound``."""
        try:
            return await self.gateway.view(FLOW, "flow", a.FlowQuery(name), a.FlowView)
        except InvalidInput as error:
            if error.code != "not_found":
                raise
        return await self.gateway.view(FLOW, "authorised", a.AuthorisationQuery(name), a.FlowView)

    async def list(
        self, *, kind: str = "", stage: str = "", party: bytes = b"", newest: bool = True
    ) -> AsyncIterator[a.FlowView]:
        """Flows by kind, next stage and party."""
        after = 0
        while True:
            query = a.FlowsQuery(kind, stage, party, newest, after, PAGE)
            page = await self.gateway.view(FLOW, "flows", query, a.FlowsPage)
            for flow in page.flows:
                yield flow
            after = page.next
            if not after:
                return

    async def sealed(self, flow: bytes, stage: str) -> a.SealedCopy:
        """An envelope that stands on the business chain, by the stage of its context. Raises ``NotFound``."""
        return await self.gateway.view(FLOW, "sealed", a.SealedQuery(flow, stage), a.SealedCopy)

    async def open(self, sealing: DecryptionKey | Sequence[DecryptionKey], flow: bytes, stage: str) -> bytes:
        """What is inside such an envelope: the document itself. Raises ``NotFound``, ``InvalidEnvelope``."""
        await self.start()
        found = await self.sealed(flow, stage)
        context = self._context(flow, found)
        if stage in MASKED_COPIES:
            return open_envelope(found.envelope, context, sealing)
        return open_document(found.envelope, context, sealing).body

    async def kind(self, name: str) -> FlowKind:
        """The newest version of a flow kind. Raises ``NotFound``."""
        found = self._kinds.get(name)
        if found is None:
            found = self._kinds[name] = await self.gateway.view(FLOW, "kind_of", a.KindQuery(name, 0), FlowKind)
        return found

    # --- waiting ----------------------------------------------------------------------------------------------------

    async def watch(
        self, flow: bytes, until: Callable[[FlowProgress], bool], *, timeout_s: float = 60.0
    ) -> FlowProgress:
        """Waits until ``until`` holds of a flow, by the client's one subscription.

        Raises:
            FlowTimeout: not within ``timeout_s``.
        """
        await self.start()
        deadline = monotonic() + timeout_s
        tracked = self.watcher.known(flow) is not None
        try:
            progress = await self.watcher.load(flow)
            while not until(progress):
                moves = progress.moves
                rest = deadline - monotonic()
                if rest <= 0 or not await self.watcher.changed(flow, moves, rest):
                    raise FlowTimeout(f"flow {flow.hex()}: nothing within {timeout_s:g} seconds", flow=flow)
            return progress
        finally:
            if not tracked:
                self.watcher.untrack(flow)

    async def until_done(self, flow: bytes, stage: str, *, timeout_s: float = 60.0) -> FlowProgress:
        """Waits until a stage is done.

        Raises:
            StageRefused, StageExpired: it will not be, unless it is asked for again.
            FlowEnded: the flow has ended otherwise.
            FlowTimeout: not in time.
        """
        return await self._until(flow, stage, (a.DONE,), timeout_s)

    async def until_granted(self, flow: bytes, stage: str, *, timeout_s: float = 60.0) -> FlowProgress:
        """Waits until the grant of a stage is there (or used already); raises as ``until_done``."""
        return await self._until(flow, stage, (a.GRANTED, a.DONE), timeout_s)

    async def _until(self, flow: bytes, stage: str, wanted: tuple[str, ...], timeout_s: float) -> FlowProgress:
        def settled(progress: FlowProgress) -> bool:
            return progress.stage_status(stage) in (*wanted, a.REFUSED, a.EXPIRED) or progress.over

        progress = await self.watch(flow, settled, timeout_s=timeout_s)
        found = progress.stages.get(stage)
        if found is not None and found.status in wanted:
            return progress
        if found is not None and found.status == a.REFUSED:
            raise StageRefused(flow, stage, found.reason, found.rule, found.rule_version)
        if found is not None and found.status == a.EXPIRED:
            raise StageExpired(flow, stage)
        raise FlowEnded(flow, progress.status, progress.reason)

    # --- sealing ----------------------------------------------------------------------------------------------------

    async def _sealed(self, key: SigningKey, method: str, arguments: Callable[[], Awaitable[Record]]) -> Sent:
        """Calls ``method`` with arguments that hold envelopes; seals them anew when keys have changed."""
        await self.start()
        for attempt in range(ATTEMPTS):
            try:
                return await self.submitter.call(key, method, await arguments())
            except CallRefused as error:
                if not self.keys.outdated(error) or attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def _for_authorities(
        self, sender: SigningKey, document: SealedDocument, flow: bytes, *, stage: str
    ) -> Envelope:
        recipients = await self.keys.authorities()
        return self._seal(sender, document, flow, stage, commitment_of(document), recipients)

    def _seal(
        self,
        sender: SigningKey,
        document: SealedDocument | bytes,
        flow: bytes,
        stage: str,
        commitment: bytes,
        recipients: Sequence[EncryptionKey],
    ) -> Envelope:
        context = EnvelopeContext(self.watcher.chain_id, flow, stage, sender.public, commitment)
        return seal(document, context, recipients, sender)

    def _context(self, flow: bytes, found: a.SealedCopy) -> EnvelopeContext:
        return EnvelopeContext(self.watcher.chain_id, flow, found.stage, found.sender, found.commitment)

    async def _grant(self, flow: bytes, stage: str) -> tuple[bytes, bytes]:
        """Holder and token of the grant of a stage."""
        await self.start()
        known = self.watcher.known(flow)
        found = None if known is None else known.stages.get(stage)
        if known is not None and found is not None and found.status == a.GRANTED and found.token and known.reviewer:
            return known.reviewer if stage == REVIEW else known.patient, found.token
        view = await self.show(flow)
        for grant in view.grants:
            if grant.stage == stage:
                return grant.holder, grant.token
        raise InvalidInput(f"nobody holds a grant for {stage} of flow {flow.hex()}", code="flow_grant_missing")
