"""What the governors of either chain do: proposals, k of n, of policies, flow kinds, clients and delegations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from contracts.bridge.records import REGISTER_CLIENT, REPLACE_CLIENT, RegisterClient
from contracts.governance.calls import (
    MAX_PAGE,
    Approval,
    Proposal,
    ProposalId,
    ProposalPage,
    ProposalsQuery,
    ProposalSummary,
    Propose,
)
from contracts.validators.calls import EpochQuery
from contracts.validators.records import EpochRecord
from ledger.encoding import Record, encode
from ledger.errors import InvalidInput, NotFound
from ledger.keys import SigningKey
from ledger.types import PublicKey
from ledger.validators import ValidatorSet
from node.calling import Caller, result_of
from node.client import Client
from node.gateway import Gateway

CONTRACT: Final = "governance"
MIN_PREFIX: Final = 4
MAX_STALENESS_MS: Final = 30_000


async def propose(
    sender: Caller, governors: Sequence[SigningKey], contract: str, action: str, data: Record, words: str
) -> Approval:
    """Proposes an action; the governors who sign approve it, and the last one needed lets it take effect.

    Args:
        sender: who sends the transaction; admitted to the chain, and a governor or not.
        governors: keys of governors, whether admitted or not.
        contract: address of the contract that the action is of.
        action: its name.
        data: its record.
        words: for people.

    Raises:
        InvalidInput: the chain refused.
    """
    outcome = await sender.call(
        CONTRACT, "propose", Propose(contract, action, encode(data), words), cosigners=_others(sender, governors)
    )
    return result_of(outcome, Approval)


async def approve(sender: Caller, governors: Sequence[SigningKey], proposal: bytes) -> Approval:
    """Governors approve a proposal; the last one needed lets it take effect. As ``propose``."""
    outcome = await sender.call(CONTRACT, "approve", ProposalId(proposal), cosigners=_others(sender, governors))
    return result_of(outcome, Approval)


async def withdraw(sender: Caller, governors: Sequence[SigningKey], proposal: bytes) -> Approval:
    """Governors take their approvals back. As ``propose``."""
    outcome = await sender.call(CONTRACT, "withdraw", ProposalId(proposal), cosigners=_others(sender, governors))
    return result_of(outcome, Approval)


async def proposals(gateway: Gateway, *, pending: bool) -> AsyncIterator[ProposalSummary]:
    """Proposals by number; only those that can still be approved, or all."""
    after = 0
    while True:
        page = await gateway.view(CONTRACT, "proposals", ProposalsQuery(after, MAX_PAGE, pending), ProposalPage)
        for proposal in page.proposals:
            yield proposal
            after = proposal.number
        if len(page.proposals) < MAX_PAGE:
            return


async def find_proposal(gateway: Gateway, text: str) -> tuple[bytes, Proposal]:
    """The proposal that people mean: by id, by the beginning of an id, or by number.

    Raises:
        NotFound: there is none.
        InvalidInput: ``proposal_ambiguous``.
    """
    text = text.lower()
    found = [
        summary.proposal
        async for summary in proposals(gateway, pending=False)
        if str(summary.number) == text or (len(text) >= MIN_PREFIX and summary.proposal.hex().startswith(text))
    ]
    if not found:
        raise NotFound(f"there is no proposal {text!r}")
    if len(found) > 1:
        raise InvalidInput(f"{len(found)} proposals begin with {text}", code="proposal_ambiguous")
    return found[0], await gateway.view(CONTRACT, "proposal", ProposalId(found[0]), Proposal)


async def client_order(
    other: Client, role: str, *, max_staleness_ms: int = MAX_STALENESS_MS, height: int | None = None
) -> RegisterClient:
    """What registers the other chain's light client: a block of it and who decides the next, as one of its nodes says.

    Whoever approves it vouches for them; the node that is asked should be one's own.

    Args:
        other: a node of the other chain.
        role: what the other chain is to this one.
        max_staleness_ms: relays renew the client at half of it.
        height: of the block; None: the newest one where validators can change, so that nobody who was one long ago is
            believed, else block 0.

    Raises:
        NotFound: it has no such block.
        InvalidInput: ``validators_wrong``: the node names others than the header.
    """
    genesis = await other.genesis()
    address = next((doc.address for doc in genesis.contracts if doc.kind == "validators"), "")
    if height is None:
        height = (await other.info()).height if address else 0
    header, _ = await other.header(height)
    keys: tuple[bytes, ...] = genesis.validator_set().keys
    if address:
        keys = (await other.view(address, "epoch", EpochQuery(height + 1), EpochRecord)).keys
    if ValidatorSet(PublicKey(key) for key in keys).hash(genesis.chain_id) != header.next_validators_hash:
        raise InvalidInput(f"the node names other validators than block {height} does", code="validators_wrong")
    return RegisterClient(role, genesis.name, "bridge", encode(header), keys, max_staleness_ms)


def client_action(*, replace: bool) -> str:
    """Name of the bridge's action that registers a client, or puts another in place of a frozen one."""
    return REPLACE_CLIENT if replace else REGISTER_CLIENT


def _others(sender: Caller, governors: Sequence[SigningKey]) -> list[SigningKey]:
    # A transaction has one signature of each key, and the sender's is there already.
    return list({key.public: key for key in governors if key.public != sender.key.public}.values())
