"""A supervised consortium in one process: two whole networks, fusion nodes with relays, authorities, in one event loop.

    async with two_chains() as world:           # everything runs, and the two chains know each other
        caller = world.business_caller("City Hospital")
        await caller.call("keyring", "publish", …)
        await world.calm()                       # until nothing is under way between the chains

``two_chains(introduce=False)`` leaves out the bootstrap. Relays and authorities can be killed and started at any time:
they keep nothing. Validators are ``tests.node.cluster``'s: real consensus over memory stores and the memory overlay.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

from contracts.bridge.records import (
    BUSINESS,
    SUPERVISION,
    ClientView,
    LaneView,
    RoleQuery,
)
from contracts.decisions import SetLimit
from contracts.governance.calls import Propose
from contracts.messages import Limit
from ledger.admission import AdmissionCertificate, sign_certificate
from ledger.encoding import Record, encode
from ledger.errors import NotFound
from ledger.genesis import (
    AccountDoc,
    AssetDoc,
    ContractDoc,
    Genesis,
    Parameters,
    PolicyDoc,
    SupplyDoc,
    certificate_doc,
    chain_id_of,
    format_genesis,
    parse_genesis,
)
from ledger.keys import SigningKey, key_text
from ledger.rotation import RotationDoc
from ledger.sealing_keys import DecryptionKey
from node.calling import Caller
from node.chain import Committed
from node.consortium.bootstrap import Bootstrap
from node.consortium.cast import Cast
from node.consortium.parties import Party, new_party
from node.consortium.plan import HOSPITALS, OFFICERS_NEEDED, PLATFORM
from node.local import LocalGateway
from node.network import BUSINESS_CONTRACTS, SUPERVISION_CONTRACTS
from node.relay.ends import RelayEnd
from node.relay.service import RelayService
from node.services.authority import AuthorityService
from tests.node.cluster import FAR_FUTURE_MS, Cluster, Member

INSURER, SELLER = "Insurer C", "Platform B"
OFFICERS = 3
PURSE = 1_000_000_00
PURSES = 8


class Net(Cluster):
    """One of the two networks: validators first, then the fusion nodes as observers.

    Args:
        name: of the chain.
        validators: (organisation, roles of its member key) of each.
        fusion: organisations of the fusion nodes.
        kinds: contracts.
        people: (organisation, key, roles) without a node.
        policies: name → lock.
        assets: asset → locks, each of which has one output of ``PURSE`` in it.
        accounts: named accounts.
        rotation: of its validators.
        parameters: of the genesis.
    """

    def __init__(
        self,
        name: str,
        *,
        validators: Sequence[tuple[str, tuple[str, ...]]],
        fusion: Sequence[str],
        kinds: Sequence[str],
        people: Iterable[tuple[str, bytes, tuple[str, ...]]],
        policies: Callable[[Net], Mapping[str, str]],
        assets: Callable[[Net], Mapping[str, Sequence[str]]] = lambda _: {},
        accounts: Callable[[Net], Sequence[AccountDoc]] = lambda _: (),
        rotation: RotationDoc | None = None,
        **parameters: int,
    ) -> None:
        super().__init__(len(validators) + len(fusion), len(validators))
        self.validators = len(validators)
        roles = [*(roles for _, roles in validators), *(("fusion",) for _ in fusion)]
        for member, organisation in zip(self.members, [*(n for n, _ in validators), *fusion], strict=True):
            member.name = organisation
        created_ms, salt = int(time.time() * 1000), secrets.token_hex(16)
        lock = f"key({key_text(self.authority.public)})"
        chain_id = chain_id_of(name, created_ms, salt, lock)
        admitted = []
        for index, (member, its_roles) in enumerate(zip(self.members, roles, strict=True)):
            role = "validator" if index < self.validators else "observer"
            admitted.append((member.validator.public, member.transport.public_key, member.name, (role,)))
            admitted.append((member.member.public, b"", member.name, its_roles))
        admitted += [(key, b"", organisation, its_roles) for organisation, key, its_roles in people]
        certificates = [
            AdmissionCertificate(chain_id, serial, *entry, 0, FAR_FUTURE_MS) for serial, entry in enumerate(admitted, 1)
        ]
        genesis = Genesis(
            name=name,
            created_ms=created_ms,
            salt=salt,
            suite="ed25519-sha256",
            authority=lock,
            validators=tuple(key_text(member.validator.public) for member in self.members[: self.validators]),
            certificates=tuple(certificate_doc(sign_certificate(c, [self.authority])) for c in certificates),
            assets=tuple(
                AssetDoc(asset=asset, issuers=(), supply=tuple(SupplyDoc(amount=PURSE, lock=text) for text in locks))
                for asset, locks in assets(self).items()
            ),
            accounts=tuple(accounts(self)),
            contracts=tuple(ContractDoc(address=kind, kind=kind) for kind in kinds),
            policies=tuple(PolicyDoc(name=policy, lock=text) for policy, text in sorted(policies(self).items())),
            parameters=Parameters(**parameters),
            rotation=rotation,
        )
        self.genesis = parse_genesis(format_genesis(genesis))

    def member(self, name: str) -> Member:
        """The member of that organisation."""
        return next(member for member in self.members if member.name == name)

    @property
    def gateway(self) -> LocalGateway:
        """Of the first validator that runs."""
        return self.core(min(self.nodes)).gateway


def lock_of(keys: Sequence[SigningKey], needed: int = 1) -> str:
    """``key(…)``, ``any(…)`` or ``threshold(needed, …)``."""
    texts = [f"key({key_text(key.public)})" for key in keys]
    if len(texts) == 1:
        return texts[0]
    return f"any({','.join(texts)})" if needed == 1 else f"threshold({needed},{','.join(texts)})"


class World:
    """See the module.

    Args:
        validators: of the business chain, at least 2.
        supervision_validators: of the supervision chain.
        fusion: fusion nodes.
        authorities: of the supervision validators, how many are authorities.
        empty_block_ms: longest time without a block, of both chains.
        base_timeout_ms: of consensus.
        rotation: of the supervision validators.
        parameters: further parameters of both geneses.

    Attributes:
        business, supervision: the networks.
        cast: who acts.
        officers: the regulator's.
        sealing: per authority, its keys, the newest last; a test may add one and restart the authority.
        relays: running relays by index of the fusion node.
        authorities: running authority services by index.
    """

    def __init__(
        self,
        *,
        validators: int = 2,
        supervision_validators: int = 1,
        fusion: int = 1,
        authorities: int = 1,
        empty_block_ms: int = 10_000,
        base_timeout_ms: int = 1_000,
        rotation: RotationDoc | None = None,
        **parameters: int,
    ) -> None:
        names = [f"Fusion {number}" for number in range(1, fusion + 1)]
        cast = [new_party(PLATFORM, "platform", PLATFORM)]
        cast += [new_party(name, "hospital", name) for name, _ in HOSPITALS]
        cast += [new_party(f"Reviewer {n}", "reviewer", f"Review Office {n}") for n in (1, 2)]
        cast += [new_party(f"Pharmacy {n}", "pharmacy", f"Pharmacy {n}") for n in (1, 2)]
        cast += [new_party("Payer", "payer", "Payer"), new_party("Bank", "bank", "Bank")]
        self.officers = [new_party(f"Officer {n}", "officer", "Regulator") for n in range(1, OFFICERS + 1)]
        parties = {party.name: party for party in cast}
        common = {"empty_block_ms": empty_block_ms, "base_timeout_ms": base_timeout_ms, **parameters}
        supervisors = [
            (f"Regulator {n}", ("authority", "member", "service") if n < authorities else ("member", "service"))
            for n in range(supervision_validators)
        ]
        self.supervision = Net(
            SUPERVISION,
            validators=supervisors,
            fusion=names,
            kinds=SUPERVISION_CONTRACTS,
            people=[("Regulator Officers", officer.key, ("officer",)) for officer in self.officers],
            policies=lambda net: {
                "officers": lock_of([officer.signing for officer in self.officers], OFFICERS_NEEDED),
                "authorities": lock_of([member.member for member in net.members[:authorities]]),
            },
            rotation=rotation,
            **common,
        )
        rest = [(f"Member {n}", ("member", "service")) for n in range(validators - 2)]
        purses = [lock_of([parties[name].signing]) for name in ("Payer", "Bank") for _ in range(PURSES)]
        self.business = Net(
            BUSINESS,
            validators=[(SELLER, ("member", "service")), (INSURER, ("member", "service")), *rest],
            fusion=names,
            kinds=BUSINESS_CONTRACTS,
            people=[(party.organisation, party.key, ("member",)) for party in cast],
            policies=lambda _: {},
            assets=lambda net: {
                "CNY": [lock_of([net.member(INSURER).member])] * PURSES,
                "USD": purses,
            },
            accounts=_accounts,
            **common,
        )
        self.sealing = [[DecryptionKey.generate_x25519(1)] for _ in range(authorities)]
        self.pseudonym_key = secrets.token_bytes(32)
        members = ((SELLER, "platform"), (INSURER, "insurer"))
        self.cast = Cast(
            business=self.business.genesis,
            supervision=self.supervision.genesis,
            governors=(self.business.authority,),
            regulators=(self.supervision.authority,),
            officers=tuple(self.officers),
            parties=tuple(cast),
            members=tuple((name, kind, bytes(self.business.member(name).member.public)) for name, kind in members),
            authority=self.supervision.members[0].member,
            sealing=tuple(self.sealing[0]),
        )
        self.relays: dict[int, RelayService] = {}
        self.authorities: dict[int, AuthorityService] = {}
        self._tasks: dict[tuple[str, int], asyncio.Task[None]] = {}

    # --- running ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Starts every node, relay and authority."""
        for net in (self.supervision, self.business):
            for index in range(len(net.members)):
                await net.start(index)
        for index in range(self.fusion):
            self.start_relay(index)
        for index in range(len(self.sealing)):
            self.start_authority(index)

    async def stop(self) -> None:
        """Stops everything; a service that failed fails the test."""
        for name in list(self._tasks):
            await self._kill(name)
        for net in (self.business, self.supervision):
            for index in list(net.nodes):
                await net.stop(index)

    @property
    def fusion(self) -> int:
        """How many fusion nodes there are."""
        return len(self.business.members) - self.business.validators

    def ends(self, index: int) -> tuple[RelayEnd, RelayEnd]:
        """What a relay on fusion node ``index`` is given."""
        return self._end(self.business, BUSINESS, index), self._end(self.supervision, SUPERVISION, index)

    def _end(self, net: Net, role: str, index: int) -> RelayEnd:
        place = net.validators + index
        return RelayEnd(net.genesis.name, role, net.core(place), net.members[place].member)

    def start_relay(
        self, index: int, make: Callable[[RelayEnd, RelayEnd], RelayService] = RelayService
    ) -> RelayService:
        """Starts the relay of fusion node ``index``; ``make`` may give another kind of relay."""
        relay = make(*self.ends(index))
        self.relays[index] = relay
        self._run(("relay", index), relay.run())
        return relay

    async def kill_relay(self, index: int) -> None:
        """Ends a relay where it stands; its node goes on."""
        await self._kill(("relay", index))
        for net in (self.business, self.supervision):
            net.core(net.validators + index).listeners.clear()
        del self.relays[index]

    def start_authority(self, index: int = 0) -> AuthorityService:
        """Starts the authority service of supervision validator ``index`` with the keys that it has now."""
        core = self.supervision.core(index)
        key = self.supervision.members[index].member
        service = AuthorityService(core.gateway, key, list(self.sealing[index]), self.pseudonym_key)
        self.authorities[index] = service
        self._run(("authority", index), service.run())
        return service

    async def kill_authority(self, index: int = 0) -> None:
        """Ends an authority service where it stands."""
        await self._kill(("authority", index))
        del self.authorities[index]

    def run_service(self, name: str, work: Coroutine[None, None, None]) -> None:
        """Runs any other service until the end of the test, or ``kill_service``."""
        self._run((name, 0), work)

    async def kill_service(self, name: str) -> None:
        """Ends a service of ``run_service``."""
        await self._kill((name, 0))

    def _run(self, name: tuple[str, int], work: Coroutine[None, None, None]) -> None:
        assert name not in self._tasks, f"{name} runs already"
        self._tasks[name] = asyncio.create_task(work)

    async def _kill(self, name: tuple[str, int]) -> None:
        task = self._tasks.pop(name)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    # --- waiting and asking -------------------------------------------------------------------------------------------

    async def until(self, what: Callable[[], object], seconds: float = 30.0) -> None:
        """Until ``what`` is true; a node or service that fails meanwhile fails the test."""
        async with asyncio.timeout(seconds):
            while not what():
                for task in self._tasks.values():
                    if task.done():
                        await task
                for net in (self.business, self.supervision):
                    for node in net.nodes.values():
                        if node.runner.done():
                            await node.runner
                await asyncio.sleep(0.005)

    async def calm(self, seconds: float = 30.0) -> None:
        """Until no packet waits for its answer, in either direction, as the first validators see it."""
        await self.until(lambda: not self.unanswered(self.business) and not self.unanswered(self.supervision), seconds)

    def unanswered(self, net: Net) -> int:
        """Packets of a chain that wait for their answer."""
        lane = self.lane(net)
        return lane.sent - lane.answered

    def lane(self, net: Net) -> LaneView:
        """The lane counters of a chain."""
        return self.view(net, "bridge", "lane", RoleQuery(self._other(net)), LaneView)

    def client(self, net: Net) -> ClientView:
        """The light client that a chain has of the other one."""
        return self.view(net, "bridge", "client", RoleQuery(self._other(net)), ClientView)

    def view(self, net: Net, contract: str, name: str, arguments: Record, kind):
        """A view over the committed state of a chain's first validator."""
        answer = net.gateway.run_view(contract, name, encode(arguments))
        assert isinstance(answer, kind)
        return answer

    def find(self, net: Net, contract: str, name: str, arguments: Record, kind):
        """Like ``view``, None where there is nothing."""
        try:
            return self.view(net, contract, name, arguments, kind)
        except NotFound:
            return None

    def _other(self, net: Net) -> str:
        return SUPERVISION if net is self.business else BUSINESS

    # --- acting -------------------------------------------------------------------------------------------------------

    def party(self, name: str) -> Party:
        """A party by name."""
        return self.cast.party(name)

    def business_caller(self, name: str) -> Caller:
        """Calls on the business chain, as a party or as a member's node."""
        names = [party.name for party in self.cast.parties]
        key = self.party(name).signing if name in names else self.business.member(name).member
        return Caller(self.business.gateway, key)

    def officer(self, index: int = 0) -> Caller:
        """Calls of an officer."""
        return Caller(self.supervision.gateway, self.officers[index].signing)

    async def introduce(self, **options: int) -> None:
        """Runs the bootstrap to its end."""
        await Bootstrap(self.cast, self.business.gateway, self.supervision.gateway).run(**options)

    async def meet(self) -> None:
        """Only the first step of the bootstrap: the chains know each other, the parties are not registered."""
        await Bootstrap(self.cast, self.business.gateway, self.supervision.gateway).introduce()

    async def govern(self, net: Net, contract: str, action: str, order: Record) -> None:
        """A governed action, by the chain's governor alone."""
        sender = self.business_caller(PLATFORM) if net is self.business else self.officer()
        proposal = Propose(contract, action, encode(order), "for a test")
        await sender.call("governance", "propose", proposal, cosigners=[net.authority])

    async def set_limit(self, counter: int, amount: int, *, asset: str = "CNY", kind: str = "commission") -> None:
        """Two officers set a limit on the supervision chain."""
        for index in range(OFFICERS_NEEDED):
            await self.officer(index).call("supervision", "set_limit", SetLimit(Limit(kind, asset, counter, amount)))


def _accounts(net: Net) -> list[AccountDoc]:
    """The accounts of a commission agreement between ``SELLER`` and ``INSURER``."""
    seller, insurer = (net.member(name).member for name in (SELLER, INSURER))
    either = lock_of([seller, insurer])
    return [AccountDoc(name=f"B {use}", organisation=SELLER, lock=either) for use in ("pending", "clawback", "settled")]


@contextlib.asynccontextmanager
async def two_chains(*, introduce: bool = True, **options: Any) -> AsyncIterator[World]:
    """A running world; with ``introduce`` the bootstrap is done and nothing is under way."""
    world = World(**options)
    try:
        await world.start()
        if introduce:
            await world.introduce()
            await world.calm()
        yield world
    finally:
        await world.stop()


def blocks_of(net: Net, index: int = 0) -> list[Committed]:
    """A list that every block which the node commits from now on is added to."""
    found: list[Committed] = []
    net.core(index).listeners.append(found.append)
    return found
