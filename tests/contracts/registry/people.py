"""A supervision chain with a registry: two authorities with encryption keys, officers alice, bob and carol."""

from __future__ import annotations

from contracts.decisions import Publish
from contracts.messages import KeyNotice
from contracts.registry.calls import ClassOutcome, KeyArguments, Register, SetClass, Suspend, Verify
from contracts.registry.participants import Participant, identity_context
from ledger.admission import AdmissionCertificate, sign_certificate
from ledger.block import Receipt
from ledger.encoding import Codec, Record, encode
from ledger.envelope import EnvelopeContext, commitment_of
from ledger.genesis import ContractDoc, certificate_doc, chain_id_of
from ledger.keys import SigningKey
from ledger.sealing import DecryptionKey, new_document, seal
from ledger.transaction import Call
from tests.contracts.bench import ALICE, AUTHORITY, SALT, START_MS, Bench, certificates, key_of, lock, make_genesis
from tests.contracts.rulebook.book import KINDS, policies

EYES, OTHER_EYES = key_of("authority service one"), key_of("authority service two")
PLATFORM, RIVAL, COURIER = key_of("a platform's admin"), key_of("a rival's admin"), key_of("a fusion node")
PHARMACIST = key_of("a pharmacist").public
ROLES = {
    EYES: ("regulator", "authority"),
    OTHER_EYES: ("regulator", "authority"),
    PLATFORM: ("platform one", "member"),
    RIVAL: ("platform two", "member"),
    COURIER: ("platform one", "fusion"),
    ALICE: ("regulator", "officer"),
}
PASSPORT = b'{"name": "nobody in particular"}'


def admitted(chain_id: bytes) -> list[AdmissionCertificate]:
    own = [
        AdmissionCertificate(chain_id, 200 + number, key.public, b"", organisation, (role,), 0, 2**50)
        for number, (key, (organisation, role)) in enumerate(ROLES.items())
    ]
    mine = {certificate.key for certificate in own}
    return [certificate for certificate in certificates(chain_id) if certificate.key not in mine] + own


class People(Bench):
    """A chain, and hands on its registry."""

    def __init__(self, *, publish: bool = True) -> None:
        chain_id = chain_id_of("bench", START_MS, SALT, lock(AUTHORITY))
        genesis = make_genesis(
            contracts=tuple(ContractDoc(address=kind, kind=kind) for kind in KINDS),
            policies=policies(authorities=f"any({lock(EYES)},{lock(OTHER_EYES)})"),
            certificates=tuple(certificate_doc(sign_certificate(c, [AUTHORITY])) for c in admitted(chain_id)),
        )
        super().__init__(genesis=genesis)
        self.private: dict[bytes, DecryptionKey] = {}
        if publish:
            self.publish(EYES)
            self.publish(OTHER_EYES)

    def send(self, address: str, method: str, arguments: Record, *keys: SigningKey) -> Receipt:
        calls = [Call(address, method, encode(arguments))]
        return self.block(self.make(calls=calls, sender=keys[0], keys=keys))[0]

    def publish(self, owner: SigningKey, epoch: int = 1) -> None:
        """An authority's next encryption key."""
        own = DecryptionKey.from_x25519(epoch, owner.public[1:])
        notice = KeyNotice(owner.public, own.suite, epoch, own.public.public, False)
        assert self.send("keyring", "publish", Publish(notice), owner).code == "ok"
        self.private[owner.public] = own

    def registration(
        self,
        sender: SigningKey = PLATFORM,
        key: bytes = PHARMACIST,
        organisation: str = "pharmacy one",
        kind: str = "reviewer",
        recipients: tuple[DecryptionKey, ...] | None = None,
        sealed_in: EnvelopeContext | None = None,
    ) -> Register:
        document = new_document(PASSPORT, "application/json")
        commitment = commitment_of(document)
        context = sealed_in or identity_context(
            self.genesis.chain_id, key, organisation, kind, sender.public, commitment
        )
        to = tuple(self.private.values()) if recipients is None else recipients
        # Bytes, not the document, for a context that lies about its commitment.
        envelope = seal(encode(document), context, [own.public for own in to], sender)
        return Register(key, organisation, kind, commitment, encode(envelope))

    def register(self, sender: SigningKey = PLATFORM, **changes: str | bytes) -> str:
        return self.send("registry", "register", self.registration(sender, **changes), sender).code  # type: ignore[arg-type]

    def verify(
        self, accepted: bool = True, reason: str = "", by: SigningKey = EYES, document: bytes | None = None
    ) -> Receipt:
        found = self.participant().document if document is None else document
        return self.send("registry", "verify", Verify(PHARMACIST, found, accepted, reason), by)

    def step(self, method: str, by: SigningKey = ALICE, reason: str = "") -> str:
        arguments = Suspend(PHARMACIST, reason) if reason else KeyArguments(PHARMACIST)
        return self.send("registry", method, arguments, by).code

    def set_class(self, organisation: str, name: str, counter: int, *keys: SigningKey) -> ClassOutcome | str:
        receipt = self.send("registry", "set_class", SetClass(organisation, name, counter), *keys)
        return Codec(ClassOutcome, 100).decode(receipt.results[0]) if receipt.code == "ok" else receipt.code

    def participant(self, key: bytes = PHARMACIST) -> Participant:
        found = self.view("registry", "participant", key)
        assert isinstance(found, Participant)
        return found
