"""Bundles of kind ``misbehaviour``: that a validator broke the protocol, provable from the genesis file alone.

The bundle leads from the genesis block over every change of the set to the certified header of the height in question:
that header names the set and the epoch, against which the evidence is then checked (``ledger.misbehaviour``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

from msgspec import Meta

from contracts.validators.calls import EpochQuery
from contracts.validators.evidence import MAX_PAGE, EvidencePage, EvidencePageQuery, EvidenceQuery, EvidenceRecord
from contracts.validators.evidence import EvidenceSummary as Summary
from contracts.validators.records import EpochRecord
from ledger.block import Header
from ledger.certificate import CommitCertificate
from ledger.document import from_document
from ledger.encoding import Record
from ledger.errors import InvalidInput, InvalidProof, NotFound, RemoteFault
from ledger.genesis import Genesis
from ledger.misbehaviour import Misbehaviour, check, describe
from ledger.types import PublicKey
from ledger.validators import ValidatorSet
from node.bundles.following import begin_at, follow
from node.bundles.records import MAX_HEADERS, CertifiedHeader
from node.client import Client
from node.evidence_bundle import Bundle, content_of, read_bundle, refuse, write_bundle

KIND: Final = "misbehaviour"
CONTRACT: Final = "validators"


class MisbehaviourContent(Record, frozen=True):
    """What a bundle of this kind holds.

    Attributes:
        headers: those that hand over to another set, in order, and last the one of the evidence's height.
        evidence: against a validator of that height.
    """

    headers: Annotated[tuple[CertifiedHeader, ...], Meta(min_length=1, max_length=MAX_HEADERS)]
    evidence: Misbehaviour


@dataclass(frozen=True, slots=True)
class Proved:
    """What a bundle proves.

    Attributes:
        chain: name of the chain.
        evidence: checked.
        words: the fault in words.
    """

    chain: str
    evidence: Misbehaviour
    words: str


def verify_misbehaviour(bundle: Bundle, genesis: Genesis) -> Proved:
    """Checks a bundle of this kind against the genesis file, and nothing else.

    Raises:
        InvalidProof: it proves nothing; the text and ``data["field"]`` name what is wrong.
    """
    if bundle.kind != KIND:
        refuse("kind", f"{bundle.kind!r} is not {KIND!r}")
    if bundle.genesis != (genesis.hash,):
        refuse("genesis", f"the bundle is of another chain than {genesis.name}", "bundle_genesis_other")
    content = content_of(bundle, MisbehaviourContent)
    client = begin_at(genesis)
    for number, step in enumerate(content.headers):
        client = follow(client, step, f"headers[{number}]")
    header, evidence = content.headers[-1].header, content.evidence
    if header.height != evidence.height:
        refuse("headers", f"the last header is of height {header.height}, the evidence of {evidence.height}")
    validators = ValidatorSet(PublicKey(key) for key in client.validators)
    try:
        check(evidence, genesis.chain_id, header.epoch, validators)
    except InvalidProof as error:
        refuse(f"evidence.{error.data['field']}", error.message, error.code)
    return Proved(genesis.name, evidence, describe(evidence))


# --- making one -------------------------------------------------------------------------------------------------------


async def recorded_evidence(client: Client, *, after: int = 0) -> list[Summary]:
    """What is recorded on the chain of that node, by number. Raises ``NotFound`` where its chain keeps no evidence."""
    found: list[Summary] = []
    while True:
        page = await client.view(CONTRACT, "evidence_page", EvidencePageQuery(after, MAX_PAGE), EvidencePage)
        found.extend(page.evidence)
        if len(page.evidence) < MAX_PAGE:
            return found
        after = found[-1].number


async def find_evidence(client: Client, text: str) -> Summary:
    """The recorded evidence that ``text`` names: its number, or the beginning of its id.

    Raises:
        NotFound: none, or more than one.
    """
    found = [
        item
        for item in await recorded_evidence(client)
        if (text.isdigit() and item.number == int(text)) or (len(text) >= 8 and item.id.hex().startswith(text))
    ]
    if len(found) != 1:
        raise NotFound(f"{len(found)} pieces of recorded evidence are called {text!r}; see tidegate evidence list")
    return found[0]


async def export_misbehaviour(client: Client, name: bytes) -> bytes:
    """The bundle of recorded evidence, from a node of the chain; it is checked before it is given.

    Args:
        client: of the node.
        name: id of the evidence.

    Raises:
        NotFound: it is not on chain.
        RemoteFault: the node's answers prove nothing.
    """
    genesis = await client.genesis()
    evidence = (await client.view(CONTRACT, "evidence", EvidenceQuery(name), EvidenceRecord)).evidence
    headers: list[CertifiedHeader] = []
    height, later = evidence.height, b""
    while True:
        epoch = await client.view(CONTRACT, "epoch", EpochQuery(height), EpochRecord)
        header, certificate = await _certified(client, height)
        if not headers or header.validators_hash != later:
            headers.append(CertifiedHeader(header, epoch.keys, certificate))
        later = header.validators_hash
        if epoch.start <= 1:
            break
        height = epoch.start - 1
    content = MisbehaviourContent(tuple(reversed(headers)), evidence)
    data = write_bundle(KIND, (genesis.hash,), content)
    try:
        verify_misbehaviour(read_bundle(data), genesis)
    except InvalidProof as error:
        raise RemoteFault(f"the node's answers prove nothing: {error.message}", code="answer_malformed") from error
    return data


async def _certified(client: Client, height: int) -> tuple[Header, CommitCertificate]:
    document: Any = await client.call("block.get", {"height": height})
    try:
        return from_document(document["header"], Header), from_document(document["certificate"], CommitCertificate)
    except (InvalidInput, KeyError, TypeError) as error:
        raise RemoteFault(f"the node's answer for block {height} is malformed", code="answer_malformed") from error
