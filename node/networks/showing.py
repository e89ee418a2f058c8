"""What the files of a ceremony say, in words that two people can compare over the telephone."""

from __future__ import annotations

from typing import Any

from ledger.admission import authority_satisfied
from ledger.errors import TidegateError
from ledger.genesis import Genesis, genesis_time, parse_genesis
from ledger.keys import key_text, parse_key
from node.networks.blueprint import ChainPlan, NodePlan
from node.networks.ceremony import Founding, MemberSignature, Proposal, assemble, authority_seats, finish, make_draft
from node.networks.founding import without_signatures
from node.networks.member_file import MemberFile, check_member, statement_digest

Rows = list[list[object]]


def proposal_words(proposal: Proposal) -> tuple[dict[str, Any], Rows]:
    """A proposal: id, plan, seats."""
    chain = proposal.chain
    words = {
        "what": "proposal",
        "ceremony": proposal.id.hex(),
        "chain": f"{chain.name} ({proposal.kind})",
        "authority": f"{chain.authority.threshold} of {', '.join(chain.authority.organisations)}",
        "contracts": " ".join(chain.contracts),
        "certificates": f"{chain.certificate_days} days",
        **_terms(chain),
    }
    return words, _seats(proposal, {})


def member_words(member: MemberFile) -> dict[str, Any]:
    """A member file: whose keys, and whether each is proved. Raises ``InvalidInput`` where one is not."""
    keys = check_member(member, member.keys.ceremony)
    return {
        "what": "member file",
        "ceremony": keys.ceremony.hex(),
        "organisation": keys.organisation,
        "seat": keys.seat,
        **{f"{use} key": key_text(key) for use, key in keys.signing().items()},
        "fingerprint": statement_digest(keys).hex(),
        "proofs": "every key in it has signed it",
    }


def signature_words(signature: MemberSignature) -> dict[str, Any]:
    """A signature file. It is checked where it is put together with its draft."""
    return {
        "what": "signature",
        "ceremony": signature.ceremony.hex(),
        "draft": signature.draft.hex(),
        "seat": signature.seat,
        "authority key": key_text(signature.authority) if signature.authority else "signs as a member only",
    }


def founding_words(founding: Founding) -> tuple[dict[str, Any], Rows]:
    """A draft or founding: what it says, and who has signed. Raises ``InvalidInput`` where it is not in order."""
    whole = assemble(make_draft(founding.proposal, founding.members), founding.signatures)
    draft = whole.draft()
    words: dict[str, Any] = {"what": "draft", "ceremony": founding.proposal.id.hex(), "draft": draft.hash.hex()}
    try:
        words |= {"what": "founding file", "genesis": finish(whole).hash.hex()}
    except TidegateError as error:
        words["missing"] = error.message
    words |= _genesis(draft) | _terms(founding.proposal.chain)
    signed = {s.seat: "member and authority" if s.authority else "member" for s in whole.signatures}
    return words, _seats(founding.proposal, signed, whole)


def genesis_words(data: bytes) -> tuple[dict[str, Any], Rows]:
    """A genesis file. Raises ``InvalidGenesis`` where it is none."""
    genesis = parse_genesis(data)
    words = {
        "what": "genesis file",
        "genesis": genesis.hash.hex(),
        "draft": without_signatures(genesis).hash.hex(),
        **_genesis(genesis),
        "authority signed": "yes" if authority_satisfied(genesis.authority_lock(), _signers(genesis)) else "no",
    }
    rows: Rows = [
        [
            doc.serial,
            doc.organisation,
            " ".join(doc.roles),
            "validator" if doc.key in genesis.validators else "",
            doc.key,
            len(doc.signatures),
        ]
        for doc in genesis.certificates
    ]
    return words, rows


def _signers(genesis: Genesis) -> frozenset[bytes]:
    return frozenset(parse_key(key) for doc in genesis.certificates for key, _ in doc.signatures)


def _genesis(genesis: Genesis) -> dict[str, Any]:
    count = len(genesis.validators)
    return {
        "chain": genesis.name,
        "chain id": genesis.chain_id.hex(),
        "begins": genesis_time(genesis).strftime("%Y-%m-%d %H:%M:%S UTC"),
        "authority": genesis.authority,
        "validators": f"{count}, quorum {(2 * count - 1) // 3 + 1}",
        "supply": "; ".join(f"{a.asset} {first.amount} to {first.lock}" for a in genesis.assets for first in a.supply),
        "policies": "; ".join(f"{policy.name}: {policy.lock}" for policy in genesis.policies) or "none",
    }


def _terms(chain: ChainPlan) -> dict[str, Any]:
    return {
        "assets": "; ".join(f"{asset.asset} of {asset.issuer}" for asset in chain.asset) or "none",
        "parameters": " ".join(f"{n}={getattr(chain.parameters, n)}" for n in chain.parameters.__struct_fields__),
    }


def _seats(proposal: Proposal, signed: dict[str, str], founding: Founding | None = None) -> Rows:
    authority = authority_seats(proposal.chain)
    rows: Rows = []
    for seat in proposal.chain.seats:
        roles = [*(seat.node_roles if isinstance(seat, NodePlan) else ()), *seat.roles]
        if seat.name in authority:
            roles.append("(authority)")
        key = "" if founding is None else key_text(founding.keys_of(seat.name).member)
        address = seat.address if isinstance(seat, NodePlan) else "no node"
        rows.append([seat.name, seat.organisation, " ".join(roles), address, key, signed.get(seat.name, "no")])
    return rows
