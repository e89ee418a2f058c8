"""Which validator people mean: a key, a devnet's node, or an organisation with one node of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from contracts.admission.calls import MAX_PAGE, CertificatePage, PageArguments
from contracts.validators.calls import EpochPage, EpochsQuery
from ledger.admission import FIRST_DELEGATED_SERIAL, AdmissionCertificate
from ledger.errors import InvalidInput, InvalidSignature, NotFound
from ledger.keys import key_text, parse_key
from ledger.types import PublicKey
from ledger.validators import ValidatorSet
from node.gateway import Gateway

CONTRACT = "validators"


@dataclass(frozen=True, slots=True)
class NodeBook:
    """The keys of nodes that a chain knows.

    Attributes:
        certificates: of keys that have a node, by key.
        names: of nodes of a local network, each with its key.
        time_ms: when certificates have to be in force.
    """

    certificates: Mapping[bytes, AdmissionCertificate]
    names: Mapping[str, PublicKey]
    time_ms: int

    def key(self, text: str) -> PublicKey:
        """The key that ``text`` names.

        Raises:
            NotFound: nobody has that name and a node.
            InvalidInput: ``validator_ambiguous``: the organisation has several nodes; ``key_invalid``.
        """
        if text.startswith("ed25519:"):
            try:
                return parse_key(text)
            except InvalidSignature as error:
                raise InvalidInput(error.message, code=error.code) from error
        if text in self.names:
            return self.names[text]
        found = [c for c in self.certificates.values() if c.organisation == text]
        in_force = [c for c in found if self.may_validate(c.key)] or found
        if not in_force:
            raise NotFound(f"no organisation {text!r} is admitted here with a node; name a key (ed25519:…) instead")
        if len(in_force) > 1:
            keys = ", ".join(key_text(c.key) for c in in_force)
            raise InvalidInput(f"{text!r} has {len(in_force)} nodes: name one of {keys}", code="validator_ambiguous")
        return PublicKey(in_force[0].key)

    def may_validate(self, key: bytes) -> bool:
        """Whether the chain would take ``key`` into the set now."""
        found = self.certificates.get(key)
        return found is not None and "validator" in found.roles and found.valid_at(self.time_ms)

    def organisations(self) -> dict[bytes, str]:
        """By key."""
        return {key: certificate.organisation for key, certificate in self.certificates.items()}


async def node_book(gateway: Gateway, names: Mapping[str, PublicKey] | None = None) -> NodeBook:
    """Reads the certificates of all nodes that are admitted.

    Args:
        gateway: a node of the chain.
        names: names of nodes, of a local network.
    """
    found: dict[bytes, AdmissionCertificate] = {}
    after = 0
    while True:
        page = await gateway.view("admission", "certificates", PageArguments(after, MAX_PAGE), CertificatePage)
        found.update({c.key: c for c in page.certificates if c.transport})
        # Those that organisations made are patients', without a node.
        if len(page.certificates) < MAX_PAGE or page.certificates[-1].serial >= FIRST_DELEGATED_SERIAL:
            return NodeBook(found, names or {}, (await gateway.info()).time_ms)
        after = page.certificates[-1].serial


async def newest_set(gateway: Gateway) -> ValidatorSet:
    """The validators that the next change is made to: in force, or coming."""
    page = await gateway.view(CONTRACT, "epochs", EpochsQuery(0, 1), EpochPage)
    return ValidatorSet(PublicKey(key) for key in page.epochs[0].keys)
