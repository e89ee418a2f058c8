"""Introduces the two chains of a consortium to each other, and the parties to the regulator.

What each of these transactions says is decided by different people in a real consortium: the governors of both chains,
each party for its own key, the regulator for the registry. Here one program holds all their keys. Every step looks
first whether it is done, so that it can be repeated after any interruption.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from time import monotonic
from typing import Final, TypeVar

from contracts.admission.calls import DELEGATE, Delegation, DelegationRecord, OrganisationArguments
from contracts.bridge.records import BUSINESS, REGISTER_CLIENT, SUPERVISION, ClientView, RegisterClient, RoleQuery
from contracts.decisions import Publish
from contracts.governance.calls import SET_POLICY, PolicyQuery, PolicyRecord, Propose, SetPolicy
from contracts.governance.policies import SUPERVISION_AUTHORITIES, SUPERVISION_OFFICERS
from contracts.keyring import KeyPage, Nothing, OwnerQuery, Published
from contracts.messages import KeyNotice
from contracts.registry.participants import ACTIVE, PARTICIPANT_KINDS, REGISTERED, VERIFIED
from contracts.supervision.answers import BatchesPage, PageQuery
from contracts.supervision.calls import GrantBatch
from ledger.encoding import Record, encode
from ledger.errors import NotFound, RemoteFault
from ledger.genesis import Genesis
from ledger.keys import SigningKey
from ledger.sealing_keys import DecryptionKey
from node.calling import Caller
from node.consortium.cast import Cast, read_cast
from node.consortium.parties import Party
from node.consortium.plan import Consortium
from node.gateway import Gateway
from node.keyfile import PassphraseSource, environment_passphrase
from node.regulator import participants

T = TypeVar("T")

DAY_MS: Final = 86_400_000
PATIENTS: Final = 1_000_000
BATCH_QUOTA: Final = 100_000
MAX_STALENESS_MS: Final = 30_000
WAIT_S: Final = 60.0
PAUSE_S: Final = 0.1
AT_ONCE: Final = 16


class Bootstrap:
    """See the module.

    Args:
        consortium: as made by ``node.consortium.plan``, or the cast of chains that run otherwise.
        business: a node of the business chain.
        supervision: a node of the supervision chain.
        progress: told of each step, in words.
        passphrase: opens sealed key files.
    """

    def __init__(
        self,
        consortium: Consortium | Cast,
        business: Gateway,
        supervision: Gateway,
        *,
        progress: Callable[[str], None] = lambda _: None,
        passphrase: PassphraseSource = environment_passphrase,
    ) -> None:
        self._cast = consortium if isinstance(consortium, Cast) else read_cast(consortium, passphrase)
        self._business = business
        self._supervision = supervision
        self._progress = progress
        self._officers = [Caller(supervision, party.signing) for party in self._cast.officers]

    async def run(self, *, batch_quota: int = BATCH_QUOTA) -> None:
        """Does whatever is not done yet.

        Raises:
            InvalidInput: a chain refused a step; the code says why.
            RemoteFault: a node cannot be reached, or what the relays should bring does not come.
        """
        self._progress("introducing the chains to each other")
        await self.introduce()
        self._progress("publishing the parties' sealing keys")
        await self.publish_keys()
        self._progress("registering the parties with the regulator")
        await self.register_parties()
        await self.classify(batch_quota)
        self._progress("waiting for the authorities' keys on the business chain")
        await self._until(self._authorities_known, "the authorities' keys do not reach the business chain")

    # --- the chains -------------------------------------------------------------------------------------------------

    async def introduce(self) -> None:
        """Each chain's governors register the other's light client; the business chain's, the regulator's policies."""
        cast = self._cast
        platform = Caller(self._business, cast.party(cast.platform).signing)
        await self._register_client(platform, cast.governors, SUPERVISION, self._supervision, cast.supervision)
        policies = {doc.name: doc.lock for doc in cast.supervision.policies}
        for name, of in ((SUPERVISION_AUTHORITIES, "authorities"), (SUPERVISION_OFFICERS, "officers")):
            if not await self._has_policy(name):
                action = SetPolicy(name, policies[of])
                await _govern(platform, cast.governors, "governance", SET_POLICY, action, f"the regulator's {of}")
        info = await self._business.info()
        delegation = Delegation(cast.platform, ("patient",), PATIENTS, info.time_ms + 3_650 * DAY_MS)
        if not await self._has_delegation():
            await _govern(platform, cast.governors, "admission", DELEGATE, delegation, f"patients of {cast.platform}")
        await self._register_client(self._officers[0], cast.regulators, BUSINESS, self._business, cast.business)

    async def _register_client(
        self, sender: Caller, governors: Sequence[SigningKey], role: str, other: Gateway, genesis: Genesis
    ) -> None:
        try:
            await sender.gateway.view("bridge", "client", RoleQuery(role), ClientView)
        except NotFound:
            header, _ = await other.header(0)
            keys = genesis.validator_set().keys
            order = RegisterClient(role, genesis.name, "bridge", encode(header), keys, MAX_STALENESS_MS)
            await _govern(sender, governors, "bridge", REGISTER_CLIENT, order, f"light client of {genesis.name}")

    async def _has_policy(self, name: str) -> bool:
        try:
            found = await self._business.view("governance", "policy", PolicyQuery(name), PolicyRecord)
        except NotFound:
            return False
        return bool(found.lock)

    async def _has_delegation(self) -> bool:
        try:
            await self._business.view(
                "admission", "delegation", OrganisationArguments(self._cast.platform), DelegationRecord
            )
        except NotFound:
            return False
        return True

    async def _authorities_known(self) -> bool:
        return bool((await self._business.view("keyring", "authorities", Nothing(), KeyPage)).keys)

    # --- the parties ------------------------------------------------------------------------------------------------

    async def publish_keys(self) -> None:
        """Each party publishes its sealing key on the business chain."""
        await _each(self._cast.parties, self._publish_key)

    async def _publish_key(self, party: Party) -> None:
        try:
            await self._business.view("keyring", "key", OwnerQuery(party.key), Published)
        except NotFound:
            key = party.sealing.public
            notice = KeyNotice(party.key, key.suite, 1, key.public, retired=False)
            await Caller(self._business, party.signing).call("keyring", "publish", Publish(notice))

    async def register_parties(self) -> None:
        """An officer registers every party; an authority verifies its identity document; an officer activates it."""
        await self._until(self._authority_ready, "no authority publishes its sealing key")
        authority, sealing = Caller(self._supervision, self._cast.authority), list(self._cast.sealing)
        known = [(party.name, party.organisation, party.kind, bytes(party.key)) for party in self._cast.parties]
        known += [(name, name, kind, key) for name, kind, key in self._cast.members]

        async def enrol(item: tuple[str, str, str, bytes]) -> None:
            await self._enrol(item, authority, sealing)

        await _each([item for item in known if item[2] in PARTICIPANT_KINDS], enrol)

    async def _authority_ready(self) -> bool:
        return bool((await self._supervision.view("keyring", "authorities", Nothing(), KeyPage)).keys)

    async def _enrol(self, item: tuple[str, str, str, bytes], authority: Caller, sealing: list[DecryptionKey]) -> None:
        name, organisation, kind, key = item
        officer, chain_id = self._officers[0], self._cast.supervision.chain_id
        found = await participants.find_participant(self._supervision, key)
        status = "" if found is None else found.status
        if not status:
            document = participants.identity_document(name, organisation, kind, key)
            await participants.register(
                officer, chain_id, key=key, organisation=organisation, kind=kind, document=document
            )
            status = REGISTERED
        if status == REGISTERED:
            await participants.verify(authority, chain_id, key, sealing)
            status = VERIFIED
        if status == VERIFIED:
            await participants.activate(officer, key)
            status = ACTIVE

    async def classify(self, batch_quota: int) -> None:
        """Officers set the hospitals' control classes, and grant a batch to those that need one."""
        officers = self._officers[: self._cast.officers_needed]
        for organisation, control_class in self._cast.hospitals:
            await participants.set_class(officers, organisation, control_class)
        granted = await self._supervision.view("supervision", "batches", PageQuery(0, 100), BatchesPage)
        now = (await self._supervision.info()).time_ms
        for organisation, control_class in self._cast.hospitals:
            if control_class != "batch" or any(batch.organisation == organisation for batch in granted.batches):
                continue
            order = GrantBatch(organisation, "prescription", batch_quota, now - DAY_MS, now + 365 * DAY_MS)
            for officer in officers:
                await officer.call("supervision", "grant_batch", order)

    async def _until(self, ready: Callable[[], Awaitable[bool]], why: str) -> None:
        begun = monotonic()
        while not await ready():
            if monotonic() - begun > WAIT_S:
                raise RemoteFault(f"{why} within {WAIT_S:.0f} seconds", code="bootstrap_stuck")
            await asyncio.sleep(PAUSE_S)


async def _govern(
    sender: Caller, governors: Sequence[SigningKey], contract: str, action: str, data: Record, words: str
) -> None:
    await sender.call("governance", "propose", Propose(contract, action, encode(data), words), cosigners=governors)


async def _each(items: Iterable[T], work: Callable[[T], Awaitable[None]]) -> None:
    """Does ``work`` for each item, several at once."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(item: T) -> None:
        async with limit:
            await work(item)

    async with asyncio.TaskGroup() as group:
        for item in items:
            group.create_task(one(item))
