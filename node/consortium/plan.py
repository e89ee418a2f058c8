"""Makes a supervised consortium in a directory: both networks, fusion nodes, the parties' and officers' keys.

DIR/business/      node0 … validators; then one observer for each fusion node, which is the fusion daemon's home
DIR/supervision/   node0 … validators of the regulator and the platforms' operations; the fusion nodes' second homes
DIR/parties/       hospitals, reviewers, pharmacies, payer: their keys on the business chain
DIR/officers/      the regulator's officers: their keys on the supervision chain
"""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from ledger.errors import InvalidConfig
from ledger.genesis import Parameters
from ledger.rotation import GroupDoc, RotationDoc
from ledger.sealing_keys import DecryptionKey
from node.consortium.parties import Party, PartyBook, load_parties, new_party
from node.keyfile import PassphraseSource, environment_passphrase, write_key
from node.layout import HomeLayout
from node.network import (
    BUSINESS_CONTRACTS,
    SUPERVISION_CONTRACTS,
    AccountPlan,
    AssetPlan,
    KeyholderPlan,
    NetworkPlan,
    create_network,
)
from node.network_file import Network, load_network

BUSINESS: Final = "business"
SUPERVISION: Final = "supervision"
PLATFORM: Final = "Prescription Platform P"
REGULATOR: Final = "Regulator"
HOSPITALS: Final = (("City Hospital", "full"), ("County Hospital", "batch"), ("Private Clinic", "controlled"))
"""Hospitals of the default cast, each with the control class that the regulator gives it (PROTOCOL.md 2.2)."""
EPOCH_BLOCKS: Final = 50
OFFICERS: Final = 3
OFFICERS_NEEDED: Final = 2
CURRENCY: Final = "USD"
PURSES: Final = 128
PURSE_MINOR: Final = 200_000_00
"""First outputs of payer and bank: many, so that many settlements can be under way at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsortiumPlan:
    """What ``create_consortium`` makes.

    Attributes:
        directory: where; it must be empty or not exist.
        validators: of the business chain; platform and insurer have a node each, whatever their number.
        supervision_validators: of the supervision chain.
        committee: how many of those decide at a time; 0: all. The regulator has as many seats as it has validators, the
            platforms' operations together at most f of the committee.
        epoch_blocks: heights that a committee decides.
        fusion_nodes: daemons that follow both chains and relay.
        authorities: validators of the supervision chain that run the authority service.
        reviewers: pharmacists who review prescriptions.
        pharmacies: the last of them holds RSA keys only.
        accounts: named accounts of the business chain.
        assets: currencies of the business chain beside that of the prescriptions; None: CNY, in the insurer's hands.
        parameters: of the business chain.
        supervision_parameters: of the supervision chain.
        log_level: of every node.
        passphrase: seals every key file, when given.
    """

    directory: Path
    validators: int = 4
    supervision_validators: int = 4
    committee: int = 0
    epoch_blocks: int = EPOCH_BLOCKS
    fusion_nodes: int = 2
    authorities: int = 1
    reviewers: int = 4
    pharmacies: int = 4
    accounts: tuple[AccountPlan, ...] = ()
    assets: tuple[AssetPlan, ...] | None = None
    parameters: Parameters = field(default_factory=Parameters)
    supervision_parameters: Parameters = field(default_factory=Parameters)
    log_level: str = "info"
    passphrase: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Consortium:
    """A consortium as it stands in a directory.

    Attributes:
        directory: absolute.
        business: network of the business chain, fusion daemons included.
        supervision: network of the supervision chain; its fusion nodes are ``hosted``.
        parties: who acts on the business chain without a node.
        officers: of the regulator, on the supervision chain.
    """

    directory: Path
    business: Network
    supervision: Network
    parties: PartyBook
    officers: PartyBook

    @property
    def fusion(self) -> list[str]:
        """Names of the fusion nodes in ``business``."""
        return [node.name for node in self.business.nodes if node.organisation.startswith("Fusion ")]


def create_consortium(plan: ConsortiumPlan) -> Consortium:
    """Makes the consortium's directory; nothing is left of it when that fails.

    Raises:
        InvalidConfig: the plan contradicts itself, or the directory is in use.
    """
    directory = Path(plan.directory).expanduser().absolute()
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise InvalidConfig(f"{directory} is not empty; a consortium needs a directory of its own", code="file_exists")
    if plan.validators < 1 or not 1 <= plan.authorities <= plan.supervision_validators or plan.fusion_nodes < 1:
        raise InvalidConfig(
            "a consortium has a validator on each chain, a fusion node, and authorities among its supervisors",
            code="plan_invalid",
        )
    made_here = not directory.exists()
    try:
        return _create(plan, directory)
    except BaseException:
        if made_here:
            shutil.rmtree(directory, ignore_errors=True)
        raise


def load_consortium(directory: Path | str, passphrase: PassphraseSource = environment_passphrase) -> Consortium:
    """The consortium in ``directory``.

    Raises:
        InvalidConfig: there is none, or a file of it cannot be used.
    """
    base = Path(directory).expanduser().absolute()
    return Consortium(
        directory=base,
        business=load_network(base / BUSINESS),
        supervision=load_network(base / SUPERVISION),
        parties=load_parties(base / "parties", passphrase),
        officers=load_parties(base / "officers", passphrase),
    )


def _create(plan: ConsortiumPlan, directory: Path) -> Consortium:
    parties = PartyBook(directory / "parties")
    parties.add(_cast(plan), plan.passphrase)
    officers = PartyBook(directory / "officers")
    officers.add(
        [new_party(f"Officer {number}", "officer", REGULATOR) for number in range(1, OFFICERS + 1)], plan.passphrase
    )
    fusion = tuple(f"Fusion {number}" for number in range(1, plan.fusion_nodes + 1))
    supervision = create_network(_supervision_plan(plan, directory / SUPERVISION, officers, fusion))
    hosted = {node.organisation: f"../../{SUPERVISION}/{node.name}" for node in supervision.nodes if node.hosted}
    ports = frozenset(node.port for node in supervision.nodes)
    business = create_network(_business_plan(plan, directory / BUSINESS, parties, hosted, ports))
    _give_authorities_keys(plan, supervision)
    return Consortium(
        directory=directory, business=business, supervision=supervision, parties=parties, officers=officers
    )


def _cast(plan: ConsortiumPlan) -> list[Party]:
    cast = [new_party(PLATFORM, "platform", PLATFORM)]
    cast += [new_party(name, "hospital", name) for name, _ in HOSPITALS]
    cast += [new_party(f"Reviewer {n}", "reviewer", f"Review Office {n}") for n in range(1, plan.reviewers + 1)]
    cast += [
        new_party(f"Pharmacy {n}", "pharmacy", f"Pharmacy {n}", rsa=n == plan.pharmacies)
        for n in range(1, plan.pharmacies + 1)
    ]
    return [*cast, new_party("Payer", "payer", "Payer"), new_party("Bank", "bank", "Bank")]


def _supervision_plan(
    plan: ConsortiumPlan, directory: Path, officers: PartyBook, fusion: tuple[str, ...]
) -> NetworkPlan:
    branches = [REGULATOR, *(f"{REGULATOR} Branch {number}" for number in range(1, plan.authorities))]
    operations = [f"{PLATFORM} Operations", "Platform B Operations"]
    more = [f"{REGULATOR} Office {number}" for number in range(1, plan.supervision_validators + 1)]
    validators = tuple([*branches, *operations, *more][: plan.supervision_validators])
    authorities = branches[: plan.authorities]
    names = ",".join(f"key({{{REGULATOR} Officers#{number}}})" for number in range(1, OFFICERS + 1))
    authority_keys = [f"key({{{name}}})" for name in authorities]
    return NetworkPlan(
        directory=directory,
        name=SUPERVISION,
        validators=plan.supervision_validators,
        observers=len(fusion),
        organisations=(*validators, *fusion),
        assets=(),
        contracts=SUPERVISION_CONTRACTS,
        policies={
            "officers": f"threshold({OFFICERS_NEEDED},{names})",
            "authorities": authority_keys[0] if len(authority_keys) == 1 else f"any({','.join(authority_keys)})",
        },
        roles={
            **dict.fromkeys(authorities, ("authority", "member", "service")),
            **dict.fromkeys(fusion, ("fusion",)),
        },
        keyholders=tuple(
            KeyholderPlan(f"{REGULATOR} Officers", officer.key, ("officer",)) for officer in officers.of_kind("officer")
        ),
        hosted=frozenset(fusion),
        services=dict.fromkeys(authorities, ("authority",)),
        parameters=plan.supervision_parameters,
        rotation=_rotation(plan, branches, operations, more) if plan.committee else None,
        log_level=plan.log_level,
        passphrase=plan.passphrase,
    )


def _rotation(plan: ConsortiumPlan, branches: list[str], operations: list[str], more: list[str]) -> RotationDoc:
    try:
        return msgspec.convert(
            {
                "committee": plan.committee,
                "epoch_blocks": plan.epoch_blocks,
                "groups": (
                    GroupDoc(name="regulator", organisations=(*branches, *more), exempt=True),
                    GroupDoc(name="operations", organisations=tuple(operations), seats=(plan.committee - 1) // 3),
                ),
            },
            RotationDoc,
        )
    except msgspec.ValidationError as error:
        raise InvalidConfig(f"a committee of {plan.committee}, {plan.epoch_blocks} blocks: {error}") from error


def _business_plan(
    plan: ConsortiumPlan, directory: Path, parties: PartyBook, hosted: dict[str, str], ports: frozenset[int]
) -> NetworkPlan:
    def purses(name: str) -> tuple[tuple[int, str], ...]:
        return tuple((PURSE_MINOR, f"key({{{name}}})") for _ in range(PURSES))

    members = tuple(f"Member {chr(ord('D') + number)}" for number in range(max(0, plan.validators - 2)))
    commission = (AssetPlan("CNY", ((10_000_000_00, "key({Insurer C})"),)),) if plan.assets is None else plan.assets
    return NetworkPlan(
        directory=directory,
        name=BUSINESS,
        validators=plan.validators,
        observers=max(0, 2 - plan.validators) + len(hosted),
        organisations=("Platform B", "Insurer C", *members, *hosted),
        assets=(*commission, AssetPlan(CURRENCY, (*purses("Payer"), *purses("Bank")))),
        accounts=plan.accounts,
        contracts=BUSINESS_CONTRACTS,
        roles=dict.fromkeys(hosted, ("fusion",)),
        keyholders=tuple(KeyholderPlan(party.organisation, party.key) for party in parties),
        supervision_homes=hosted,
        avoid_ports=ports,
        services={"Platform B": ("transaction", "bookkeeping"), "Insurer C": ("settlement",)},
        parameters=plan.parameters,
        log_level=plan.log_level,
        passphrase=plan.passphrase,
    )


def _give_authorities_keys(plan: ConsortiumPlan, supervision: Network) -> None:
    """Each authority opens with a key of its own; the pseudonym key is one for the whole network (PROTOCOL.md 2.5)."""
    pseudonym_key = secrets.token_bytes(32)
    for node in supervision.nodes[: plan.authorities]:
        layout = HomeLayout(node.home)
        sealing = DecryptionKey.generate_x25519(1).to_bytes()
        write_key(layout.keys_dir / "sealing-1.key", "sealing", sealing, passphrase=plan.passphrase)
        write_key(layout.key_file("pseudonym"), "pseudonym", pseudonym_key, passphrase=plan.passphrase)
