"""Contract ``governance``: proposals that governors approve, k of n, and that then take effect in the same transaction.

A proposal names a contract, an action and its data. The governors are the keys of policy ``governors``; each approves
with its signature in a transaction, as sender or cosigner. What they approve is executed by the contract that it is
about (``Contract.govern``), and a refusal there undoes the approval that brought it about. Records:

* ``p ‖ name`` → policy (``contracts.governance.policies``);
* ``n`` → u64 number of the last proposal; ``i ‖ id`` → proposal; ``l ‖ u64 number`` → id;
* ``w ‖ u64 number`` → id, of the proposals that are pending or have expired since nobody looked;
* ``q ‖ …`` → parameters (``contracts.governance.parameters``).
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from contracts.codes import ARGUMENTS_INVALID, CONTRACT_UNKNOWN, METHOD_UNKNOWN, Refusal
from contracts.governance import calls
from contracts.governance import parameters as numbers
from contracts.governance.calls import (
    EXECUTED,
    EXPIRED,
    PENDING,
    SET_POLICY,
    WITHDRAWN,
    Approval,
    Proposal,
    ProposalId,
    Propose,
    SetPolicy,
    proposal_codec,
    set_policy_codec,
)
from contracts.governance.policies import (
    GOVERNORS,
    POLICY_PREFIX,
    check_policy,
    check_policy_name,
    keys_of,
    policy,
    policy_key,
    satisfied_by,
)
from contracts.interface import CallContext, Contract, EndContext, method, view
from ledger.encoding import digest, encode
from ledger.errors import Fatal, InvalidGenesis, InvalidInput, NotFound
from ledger.genesis import Genesis
from ledger.types import MAX_HEIGHT, Hash32

PROPOSAL_LIFETIME_BLOCKS: Final = 100_000
"""Blocks during which a proposal may gather approvals, the one after its own being the first."""
MAX_PENDING: Final = 64
MAX_POLICIES: Final = 64
NOT_GOVERNOR: Final = "governance_not_governor"
PROPOSAL_UNKNOWN: Final = "governance_proposal_unknown"
PROPOSAL_CLOSED: Final = "governance_proposal_closed"
PROPOSAL_EXPIRED: Final = "governance_proposal_expired"
ALREADY_APPROVED: Final = "governance_already_approved"
NOT_APPROVED: Final = "governance_not_approved"
TOO_MANY_PENDING: Final = "governance_too_many_pending"
TOO_MANY_POLICIES: Final = "governance_too_many_policies"
POLICY_NEEDED: Final = "governance_policy_needed"
UNSATISFIABLE: Final = "governance_policy_unsatisfiable"


def proposal_id(chain_id: bytes, number: int, content: Propose) -> Hash32:
    """Name of a proposal: covers its number and all of its content."""
    return digest(b"tidegate/proposal", chain_id, number.to_bytes(8, "big"), encode(content))


class Governance(Contract):
    """See the module."""

    kind = "governance"

    def genesis(self, context: EndContext, genesis: Genesis) -> None:
        """Stores the policies of the genesis file; without ``governors`` its admission authority governs."""
        locks = {GOVERNORS: genesis.authority, **{doc.name: doc.lock for doc in genesis.policies}}
        if len(locks) > MAX_POLICIES:
            raise InvalidGenesis(f"genesis: at most {MAX_POLICIES} policies")
        for name, text in locks.items():
            try:
                check_policy_name(name)
                check_policy(text)
            except Refusal as error:
                raise InvalidGenesis(f"genesis: policy {name!r}: {error.message}") from error
            context.state.put(policy_key(name), text.encode())
        first = numbers.first_parameters(genesis.parameters)
        context.state.put(numbers.parameters_key(first.start), encode(first))

    @method
    def propose(self, context: CallContext, arguments: Propose) -> Approval:
        """Proposes an action; the governors among the signers approve it at once."""
        keys = _signing_governors(context)
        if context.directory.contract(arguments.contract) is None:
            raise Refusal(CONTRACT_UNKNOWN, f"there is no contract {arguments.contract!r}")
        if _forget_expired(context) >= MAX_PENDING:
            raise Refusal(TOO_MANY_PENDING, f"at most {MAX_PENDING} proposals wait for approvals at a time")
        data, height = context.state.get(b"n"), context.block.height
        number = 1 + (0 if data is None else int.from_bytes(data, "big"))
        name = proposal_id(context.block.chain_id, number, arguments)
        expires_at = min(height + PROPOSAL_LIFETIME_BLOCKS, MAX_HEIGHT)
        proposal = Proposal(number, arguments, PENDING, keys, height, expires_at, 0)
        context.state.put(b"n", number.to_bytes(8, "big"))
        context.state.put(_numbered(b"l", number), name)
        context.state.put(_numbered(b"w", number), name)
        return self._decide(context, name, proposal, "proposed")

    @method
    def approve(self, context: CallContext, arguments: ProposalId) -> Approval:
        """Adds the approvals of the governors among the signers; the last one needed executes the proposal."""
        proposal = _open_proposal(context, arguments.proposal)
        keys = _signing_governors(context)
        governors = policy(context, GOVERNORS)
        approvals = tuple(sorted({*keys, *proposal.approvals}.intersection(keys_of(governors))))
        # Where the policy has changed since, those who have approved already may be enough now.
        if set(keys) <= set(proposal.approvals) and not satisfied_by(governors, approvals):
            raise Refusal(ALREADY_APPROVED, "every governor that signed has approved this proposal already")
        return self._decide(context, arguments.proposal, replace(proposal, approvals=approvals), "approved")

    @method
    def withdraw(self, context: CallContext, arguments: ProposalId) -> Approval:
        """Takes back the approvals of the signers; a proposal that nobody approves any more is withdrawn."""
        proposal = _open_proposal(context, arguments.proposal)
        gone = {key for key in proposal.approvals if context.signed_by(key)}
        if not gone:
            raise Refusal(NOT_APPROVED, "no signer has approved this proposal")
        approvals = tuple(key for key in proposal.approvals if key not in gone)
        changed = replace(proposal, approvals=approvals)
        if not approvals:
            changed = _close(context, changed, WITHDRAWN)
        return _keep(context, arguments.proposal, changed, "withdrawn")

    def _decide(self, context: CallContext, name: bytes, proposal: Proposal, event: str) -> Approval:
        if not satisfied_by(policy(context, GOVERNORS), proposal.approvals):
            return _keep(context, name, proposal, event)
        # Closed before it takes effect, so that what it does finds it closed.
        approval = _keep(context, name, _close(context, proposal, EXECUTED), "executed")
        content = proposal.content
        contract = context.directory.contract(content.contract)
        if contract is None:
            raise Refusal(CONTRACT_UNKNOWN, f"there is no contract {content.contract!r}")
        try:
            contract.govern(context.enter(content.contract), content.action, content.data)
        except (Refusal, Fatal):
            raise
        except InvalidInput as error:
            raise Refusal(ARGUMENTS_INVALID, error.message) from error
        return approval

    def govern(self, context: CallContext, action: str, data: bytes) -> None:
        """``set_policy``: see ``calls.SetPolicy``; ``set_parameters``: see ``parameters.SetParameters``."""
        if action == numbers.SET_PARAMETERS:
            numbers.set_parameters(context, numbers.set_parameters_codec.decode(data))
            return
        if action != SET_POLICY:
            raise Refusal(METHOD_UNKNOWN, f"{self.address} has nothing to govern such as {action!r}")
        change = set_policy_codec.decode(data)
        check_policy_name(change.name)
        key = policy_key(change.name)
        if change.lock:
            _check_change(context, change)
            context.state.put(key, change.lock.encode())
        elif change.name == GOVERNORS:
            raise Refusal(POLICY_NEEDED, "a chain without governors could never be governed again")
        else:
            policy(context, change.name)
            context.state.delete(key)
        context.emit("policy_set", calls.PolicyRecord(change.name, change.lock))

    # --- views ------------------------------------------------------------------------------------------------------

    @view
    def proposal(self, context: EndContext, arguments: ProposalId) -> Proposal:
        """One proposal with its data."""
        return _shown(context, _find(context, arguments.proposal))

    @view
    def proposals(self, context: EndContext, arguments: calls.ProposalsQuery) -> calls.ProposalPage:
        """The proposals by number, or only those that can still be approved."""
        prefix = b"w" if arguments.pending else b"l"
        page: list[calls.ProposalSummary] = []
        for _, name in context.state.iterate(prefix, start=_numbered(prefix, arguments.after + 1)):
            if len(page) >= arguments.limit:
                break
            found = _shown(context, _find(context, name))
            if not arguments.pending or found.status == PENDING:
                page.append(_summary(name, found))
        return calls.ProposalPage(tuple(page))

    @view
    def parameters(self, context: EndContext, arguments: numbers.ParametersQuery) -> numbers.ParametersRecord:
        """The changeable parameters of a height, or of the block that is being decided."""
        return numbers.parameters_of(context, arguments.height or context.block.height)

    @view
    def policy(self, context: EndContext, arguments: calls.PolicyQuery) -> calls.PolicyRecord:
        """One named policy."""
        text = context.state.get(policy_key(arguments.name))
        if text is None:
            raise NotFound(f"this chain has no policy {arguments.name!r}")
        return calls.PolicyRecord(arguments.name, text.decode())

    @view
    def policies(self, context: EndContext, arguments: calls.PoliciesQuery) -> calls.PolicyPage:
        """The named policies, page by page."""
        start = policy_key(arguments.after) + b"\x00" if arguments.after else None
        rows = context.state.iterate(POLICY_PREFIX, start=start, limit=arguments.limit)
        return calls.PolicyPage(tuple(calls.PolicyRecord(key[1:].decode(), text.decode()) for key, text in rows))


def _check_change(context: CallContext, change: SetPolicy) -> None:
    lock = check_policy(change.lock)
    if change.name == GOVERNORS:
        # A key that nobody has would lock everybody out: those that count are admitted here, or govern now.
        known = {key for key in keys_of(lock) if context.directory.member(key) is not None}
        known.update(keys_of(policy(context, GOVERNORS)))
        if not satisfied_by(lock, known):
            raise Refusal(UNSATISFIABLE, "too few of the new governors are admitted to the chain or govern it now")
    elif (
        context.state.get(policy_key(change.name)) is None
        and sum(1 for _ in context.state.iterate(POLICY_PREFIX)) >= MAX_POLICIES
    ):
        raise Refusal(TOO_MANY_POLICIES, f"a chain has at most {MAX_POLICIES} policies")


def _signing_governors(context: CallContext) -> tuple[bytes, ...]:
    keys = tuple(key for key in keys_of(policy(context, GOVERNORS)) if context.signed_by(key))
    if not keys:
        raise Refusal(NOT_GOVERNOR, "no governor signed")
    return keys


def _find(context: EndContext, name: bytes) -> Proposal:
    data = context.state.get(b"i" + name)
    if data is None:
        raise NotFound(f"there is no proposal {name.hex()}")
    return proposal_codec.decode(data)


def _open_proposal(context: CallContext, name: bytes) -> Proposal:
    try:
        proposal = _find(context, name)
    except NotFound as error:
        raise Refusal(PROPOSAL_UNKNOWN, error.message) from error
    if proposal.status != PENDING:
        raise Refusal(PROPOSAL_CLOSED, f"proposal {proposal.number} is {proposal.status}")
    if context.block.height > proposal.expires_at:
        raise Refusal(PROPOSAL_EXPIRED, f"proposal {proposal.number} expired at height {proposal.expires_at}")
    return proposal


def _close(context: CallContext, proposal: Proposal, status: str) -> Proposal:
    context.state.delete(_numbered(b"w", proposal.number))
    return replace(proposal, status=status, closed_at=context.block.height)


def _keep(context: CallContext, name: bytes, proposal: Proposal, event: str) -> Approval:
    context.state.put(b"i" + name, encode(proposal))
    approval = Approval(name, proposal.number, proposal.status, proposal.approvals)
    context.emit(event, approval)
    return approval


def _forget_expired(context: CallContext) -> int:
    """Takes expired proposals off the pending list; how many are left on it."""
    waiting = list(context.state.iterate(b"w"))
    # All live equally long, so the oldest expire first.
    expired = 0
    for key, name in waiting:
        if context.block.height <= _find(context, name).expires_at:
            break
        context.state.delete(key)
        expired += 1
    return len(waiting) - expired


def _numbered(prefix: bytes, number: int) -> bytes:
    return prefix + number.to_bytes(8, "big")


def _shown(context: EndContext, proposal: Proposal) -> Proposal:
    expired = proposal.status == PENDING and context.block.height > proposal.expires_at
    return replace(proposal, status=EXPIRED) if expired else proposal


def _summary(name: bytes, proposal: Proposal) -> calls.ProposalSummary:
    content = proposal.content
    return calls.ProposalSummary(
        name,
        proposal.number,
        content.contract,
        content.action,
        content.description,
        proposal.status,
        proposal.approvals,
        proposal.expires_at,
    )
