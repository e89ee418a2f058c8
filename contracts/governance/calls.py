"""Records of contract ``governance``: arguments and results of its methods and views, its events, its own actions."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from ledger.encoding import Codec, Record
from ledger.types import MAX_HEIGHT

MAX_ACTION_BYTES: Final = 48 * 1024
"""Of a proposal's data: a client of the other chain, its whole validator set included, fits well."""
MAX_PAGE: Final = 100

PENDING: Final = "pending"
EXECUTED: Final = "executed"
WITHDRAWN: Final = "withdrawn"
EXPIRED: Final = "expired"
"""What became of a proposal. ``expired`` is never stored: it follows from the height."""

SET_POLICY: Final = "set_policy"
"""The one governed action of ``governance`` itself; its data is a ``SetPolicy``."""

Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
Key = Annotated[bytes, Meta(min_length=33, max_length=33)]
Keys = Annotated[tuple[Key, ...], Meta(max_length=64)]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
Height = Annotated[int, Meta(ge=0, le=MAX_HEIGHT)]
Number = Annotated[int, Meta(ge=1, le=2**53 - 1)]


class Propose(Record, frozen=True):
    """An action of a contract that governors are asked for.

    Attributes:
        contract: address of the contract whose ``govern`` is to be called.
        action: what; constant snake_case.
        data: canonical bytes of the action's record.
        description: for people.
    """

    contract: Name
    action: Name
    data: Annotated[bytes, Meta(max_length=MAX_ACTION_BYTES)]
    description: Annotated[str, Meta(max_length=512)]


class ProposalId(Record, frozen=True):
    """Names a proposal by ``proposal_id``: who approves it approves this very content."""

    proposal: Hash


class Proposal(Record, frozen=True):
    """A proposal as stored and shown.

    Attributes:
        number: counts the chain's proposals from 1.
        content: what was proposed.
        status: ``pending``, ``executed``, ``withdrawn``, or, in views, ``expired``.
        approvals: keys of governors that approve it, sorted.
        proposed_at: height.
        expires_at: last height whose block may execute it.
        closed_at: height of its execution or withdrawal; 0 while it is open.
    """

    number: Number
    content: Propose
    status: Name
    approvals: Keys
    proposed_at: Height
    expires_at: Height
    closed_at: Height


class Approval(Record, frozen=True):
    """Result and event: where a proposal stands after this transaction.

    Attributes:
        proposal: its id.
        number: its number.
        status: ``pending``, ``executed`` or ``withdrawn``.
        approvals: keys of governors that approve it, sorted.
    """

    proposal: Hash
    number: Number
    status: Name
    approvals: Keys


class SetPolicy(Record, frozen=True):
    """``set_policy``: a named policy becomes this one.

    Attributes:
        name: of the policy.
        lock: canonical text of a lock of keys and thresholds; empty: the chain has this policy no more.
    """

    name: Name
    lock: Annotated[str, Meta(max_length=2_048)]


class PolicyRecord(Record, frozen=True):
    """A named policy as shown; its lock is empty where it was removed."""

    name: Name
    lock: Annotated[str, Meta(max_length=2_048)]


class PolicyQuery(Record, frozen=True):
    """Names a policy."""

    name: Name


class PoliciesQuery(Record, frozen=True):
    """Policies after ``after`` (empty: from the start), in byte order of their names."""

    after: Annotated[str, Meta(max_length=64)]
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE)]


class PolicyPage(Record, frozen=True):
    """Policies in order."""

    policies: tuple[PolicyRecord, ...]


class ProposalsQuery(Record, frozen=True):
    """Proposals numbered above ``after``; with ``pending`` only those that can still be approved."""

    after: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE)]
    pending: bool


class ProposalSummary(Record, frozen=True):
    """A proposal without its data.

    Attributes:
        proposal: its id.
        number: its number.
        contract: address.
        action: what.
        description: for people.
        status: see ``Proposal``.
        approvals: keys of governors that approve it, sorted.
        expires_at: last height whose block may execute it.
    """

    proposal: Hash
    number: Number
    contract: Name
    action: Name
    description: Annotated[str, Meta(max_length=512)]
    status: Name
    approvals: Keys
    expires_at: Height


class ProposalPage(Record, frozen=True):
    """Proposals by number."""

    proposals: tuple[ProposalSummary, ...]


proposal_codec = Codec(Proposal, 64 * 1024, "proposal")
set_policy_codec = Codec(SetPolicy, 4_096, "policy")
