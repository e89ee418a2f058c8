"""Contract ``admission``: the certificates of the chain's admission authority (PROTOCOL.md 2.4).

The first certificates come from genesis, the others by transaction: whoever is admitted may bring one, because the
authority signed it. Three rules keep what was signed once from being brought at the wrong moment: no serial twice; no
serial below that of the key's present certificate, or of its revocation; and none that begins later in place of one
that is in force. Within them the authority may say anything anew, organisation and roles included: a changed
organisation or a new role is as much its word as the first certificate was. The role ``validator`` alone makes no
validator, and losing it unmakes none: the set is governance's (PROTOCOL.md 2.4).
"""

from __future__ import annotations

from contracts.admission import calls
from contracts.admission.calls import (
    DELEGATED_ROLES,
    AdmitPatient,
    Delegation,
    DelegationRecord,
    PatientsAdmitted,
    PatientsAdmittedEvent,
    RevocationRecord,
    delegation_record_codec,
    revocation_record_codec,
)
from contracts.admission.register import (
    AUTHORITY_KEY,
    CERTIFICATE_PREFIX,
    DELEGATION_PREFIX,
    LAST_SERIAL_KEY,
    REVOCATION_PREFIX,
    SERIAL_PREFIX,
    USED_SERIAL_PREFIX,
    certificate_codec,
)
from contracts.codes import METHOD_UNKNOWN, NOT_PERMITTED, Refusal
from contracts.governance.policies import check_policy
from contracts.interface import CallContext, Contract, EndContext, method, view
from ledger.admission import (
    FIRST_DELEGATED_SERIAL,
    AdmissionCertificate,
    SignedCertificate,
    SignedRevocation,
    check_certificate,
    check_revocation,
)
from ledger.encoding import encode
from ledger.errors import InvalidGenesis, InvalidInput, MalformedBytes, NotFound
from ledger.genesis import Genesis
from ledger.keys import check_public_key, key_text
from ledger.lock import Lock, check_name, parse_lock

CERTIFICATE_REFUSED = "admission_certificate_refused"
REVOCATION_REFUSED = "admission_revocation_refused"
SERIAL_USED = "admission_serial_used"
SERIAL_OUTDATED = "admission_serial_outdated"
KEY_REVOKED = "admission_key_revoked"
KEY_TAKEN = "admission_key_taken"
KEY_INVALID = "admission_key_invalid"
VALIDITY_WRONG = "admission_validity_wrong"
NOT_DELEGATED = "admission_not_delegated"
QUOTA_EXHAUSTED = "admission_quota_exhausted"
DELEGATION_INVALID = "admission_delegation_invalid"
DELEGATING_ROLES = frozenset({"member", "service"})
"""An organisation's keys that may use its delegation; its patients may not."""


class Admission(Contract):
    """See the module."""

    kind = "admission"

    def genesis(self, context: EndContext, genesis: Genesis) -> None:
        """Stores the certificates of the genesis file, and who may sign the next."""
        for certificate in genesis.admitted():
            data = encode(certificate)
            try:
                certificate_codec.decode(data)
            except MalformedBytes as error:
                raise InvalidGenesis(f"genesis: certificate {certificate.serial}: {error.message}") from error
            if certificate.serial >= FIRST_DELEGATED_SERIAL:
                raise InvalidGenesis(f"genesis: certificate {certificate.serial}: serials are below 2 to the 52nd")
            _put(context, certificate)
        context.state.put(AUTHORITY_KEY, genesis.authority.encode())

    @method
    def admit(self, context: CallContext, arguments: SignedCertificate) -> None:
        """Brings a certificate that the admission authority signed: of a new key, or in place of what its key has."""
        try:
            certificate = check_certificate(arguments, _authority(context), context.block.chain_id)
        except InvalidInput as error:
            raise Refusal(CERTIFICATE_REFUSED, error.message) from error
        _check_key(certificate.key)
        time_ms = context.block.time_ms
        if certificate.not_after_ms < time_ms:
            raise Refusal(VALIDITY_WRONG, "the certificate has ended already")
        _check_serial(context, certificate)
        present = _find(context, certificate.key)
        if present is not None:
            if present.valid_at(time_ms) and certificate.not_before_ms > time_ms:
                raise Refusal(VALIDITY_WRONG, "it begins later, and would end the one that is in force")
            _take_out(context, present)
        _put(context, certificate)
        context.emit("certificate_admitted", certificate)

    @method
    def revoke(self, context: CallContext, arguments: SignedRevocation) -> None:
        """Brings a revocation that the admission authority signed: the key is nobody from now on."""
        try:
            revocation = check_revocation(arguments, _authority(context), context.block.chain_id)
        except InvalidInput as error:
            raise Refusal(REVOCATION_REFUSED, error.message) from error
        present, earlier = _find(context, revocation.key), _find_revocation(context, revocation.key)
        if present is not None and revocation.serial < present.serial:
            raise Refusal(SERIAL_OUTDATED, f"the key has certificate {present.serial} by now, which this leaves alone")
        if earlier is not None and revocation.serial <= earlier.revocation.serial:
            raise Refusal(SERIAL_USED, "these certificates of the key are revoked already")
        if present is not None:
            _take_out(context, present)
        elif earlier is not None:
            present = earlier.certificate
        record = RevocationRecord(revocation, context.block.height, present)
        context.state.put(REVOCATION_PREFIX + revocation.key, encode(record))
        context.emit("certificate_revoked", revocation)

    @method
    def admit_patient(self, context: CallContext, arguments: AdmitPatient) -> PatientsAdmitted:
        """Makes certificates for patients of the sender's organisation, as far as it was delegated to it."""
        record = _delegation_in_force(context)
        time_ms = context.block.time_ms
        if not time_ms <= arguments.not_after_ms <= record.delegation.not_after_ms:
            raise Refusal(VALIDITY_WRONG, "patients are admitted from now on, and not beyond the delegation's end")
        organisation, used = context.sender.organisation, record.used
        data = context.state.get(LAST_SERIAL_KEY)
        first = serial = FIRST_DELEGATED_SERIAL if data is None else int.from_bytes(data, "big") + 1
        admitted: list[bytes] = []
        for key in arguments.keys:
            present = _find_patient(context, key, organisation)
            if present is None:
                used += 1
            elif present.valid_at(time_ms) or present.serial < FIRST_DELEGATED_SERIAL:
                continue
            else:
                _take_out(context, present)
            certificate = AdmissionCertificate(
                context.block.chain_id,
                serial,
                key,
                b"",
                organisation,
                DELEGATED_ROLES,
                time_ms,
                arguments.not_after_ms,
            )
            _put(context, certificate)
            admitted.append(key)
            serial += 1
        if used > record.delegation.max_certificates:
            raise Refusal(QUOTA_EXHAUSTED, f"{organisation} may admit {record.delegation.max_certificates} patients")
        if admitted:
            context.state.put(LAST_SERIAL_KEY, (serial - 1).to_bytes(8, "big"))
            context.state.put(_delegation_key(organisation), encode(DelegationRecord(record.delegation, used)))
            context.emit(
                "patients_admitted",
                PatientsAdmittedEvent(organisation, tuple(admitted), first, time_ms, arguments.not_after_ms),
            )
        return PatientsAdmitted(len(admitted), len(arguments.keys) - len(admitted))

    def govern(self, context: CallContext, action: str, data: bytes) -> None:
        """``set_authority`` and ``delegate``: see ``calls.SetAuthority`` and ``calls.Delegation``."""
        if action == calls.SET_AUTHORITY:
            change = calls.set_authority_codec.decode(data)
            check_policy(change.lock)
            context.state.put(AUTHORITY_KEY, change.lock.encode())
            context.emit("authority_set", calls.AuthorityRecord(change.lock))
        elif action == calls.DELEGATE:
            _delegate(context, calls.delegation_codec.decode(data))
        else:
            raise Refusal(METHOD_UNKNOWN, f"{self.address} has nothing to govern such as {action!r}")

    # --- views ------------------------------------------------------------------------------------------------------

    @view
    def certificate(self, context: EndContext, arguments: calls.KeyArguments) -> AdmissionCertificate:
        """The certificate of a signing key."""
        found = _find(context, arguments.key)
        if found is None:
            raise NotFound(f"no certificate for {key_text(arguments.key)}")
        return found

    @view
    def certificates(self, context: EndContext, arguments: calls.PageArguments) -> calls.CertificatePage:
        """The certificates, page by page."""
        start = SERIAL_PREFIX + (arguments.after_serial + 1).to_bytes(8, "big")
        keys = [key for _, key in context.state.iterate(SERIAL_PREFIX, start=start, limit=arguments.limit)]
        found = [_find(context, key) for key in keys]
        return calls.CertificatePage(tuple(certificate for certificate in found if certificate is not None))

    @view
    def authority(self, context: EndContext, arguments: calls.Nothing) -> calls.AuthorityRecord:
        """The admission authority: who signs certificates and revocations."""
        del arguments
        return calls.AuthorityRecord(str(_authority(context)))

    @view
    def revocation(self, context: EndContext, arguments: calls.KeyArguments) -> RevocationRecord:
        """The last revocation of a key, which may have been admitted anew since."""
        found = _find_revocation(context, arguments.key)
        if found is None:
            raise NotFound(f"{key_text(arguments.key)} was never revoked")
        return found

    @view
    def revocations(self, context: EndContext, arguments: calls.RevocationsQuery) -> calls.RevocationPage:
        """The last revocation of each key that has one, page by page."""
        start = REVOCATION_PREFIX + arguments.after + b"\x00" if arguments.after else None
        rows = context.state.iterate(REVOCATION_PREFIX, start=start, limit=arguments.limit)
        return calls.RevocationPage(tuple(revocation_record_codec.decode(data) for _, data in rows))

    @view
    def delegation(self, context: EndContext, arguments: calls.OrganisationArguments) -> DelegationRecord:
        """What an organisation may admit by itself, and how much of it is used."""
        found = _find_delegation(context, arguments.organisation)
        if found is None:
            raise NotFound(f"nothing is delegated to {arguments.organisation!r}")
        return found


def _authority(context: EndContext) -> Lock:
    text = context.state.get(AUTHORITY_KEY)
    if text is None:
        raise Refusal(NOT_PERMITTED, "the chain has no admission authority")
    return parse_lock(text.decode())


def _find(context: EndContext, key: bytes) -> AdmissionCertificate | None:
    data = context.state.get(CERTIFICATE_PREFIX + key)
    return None if data is None else certificate_codec.decode(data)


def _find_revocation(context: EndContext, key: bytes) -> RevocationRecord | None:
    data = context.state.get(REVOCATION_PREFIX + key)
    return None if data is None else revocation_record_codec.decode(data)


def _put(context: EndContext, certificate: AdmissionCertificate) -> None:
    context.state.put(CERTIFICATE_PREFIX + certificate.key, encode(certificate))
    context.state.put(SERIAL_PREFIX + certificate.serial.to_bytes(8, "big"), certificate.key)


def _take_out(context: EndContext, certificate: AdmissionCertificate) -> None:
    serial = certificate.serial.to_bytes(8, "big")
    context.state.delete(CERTIFICATE_PREFIX + certificate.key)
    context.state.delete(SERIAL_PREFIX + serial)
    context.state.put(USED_SERIAL_PREFIX + serial, b"")


def _check_key(key: bytes) -> None:
    try:
        check_public_key(key)
    except InvalidInput as error:
        raise Refusal(KEY_INVALID, error.message) from error


def _check_serial(context: CallContext, certificate: AdmissionCertificate) -> None:
    number = certificate.serial
    serial = number.to_bytes(8, "big")
    if number >= FIRST_DELEGATED_SERIAL:
        raise Refusal(CERTIFICATE_REFUSED, "the authority's serials are below 2 to the 52nd")
    if context.state.get(SERIAL_PREFIX + serial) is not None:
        raise Refusal(SERIAL_USED, f"there is a certificate {number} already")
    if context.state.get(USED_SERIAL_PREFIX + serial) is not None:
        raise Refusal(SERIAL_USED, f"there was a certificate {number} already")
    revoked = _find_revocation(context, certificate.key)
    if revoked is not None and number <= revoked.revocation.serial:
        raise Refusal(KEY_REVOKED, f"certificates of this key up to {revoked.revocation.serial} are revoked")
    present = _find(context, certificate.key)
    if present is not None and number < present.serial < FIRST_DELEGATED_SERIAL:
        raise Refusal(SERIAL_OUTDATED, f"the key has the newer certificate {present.serial}")


# --- delegation -------------------------------------------------------------------------------------------------------


def _delegation_key(organisation: str) -> bytes:
    return DELEGATION_PREFIX + organisation.encode()


def _find_delegation(context: EndContext, organisation: str) -> DelegationRecord | None:
    data = context.state.get(_delegation_key(organisation))
    return None if data is None else delegation_record_codec.decode(data)


def _delegate(context: CallContext, delegation: Delegation) -> None:
    check_name(delegation.organisation, "organisation")
    roles = delegation.roles
    if list(roles) != sorted(set(roles)) or not set(DELEGATED_ROLES).issuperset(roles):
        raise Refusal(DELEGATION_INVALID, f"only these roles can be delegated: {', '.join(DELEGATED_ROLES)}")
    earlier = _find_delegation(context, delegation.organisation)
    record = DelegationRecord(delegation, 0 if earlier is None else earlier.used)
    context.state.put(_delegation_key(delegation.organisation), encode(record))
    context.emit("delegated", delegation)


def _delegation_in_force(context: CallContext) -> DelegationRecord:
    sender = context.sender
    if DELEGATING_ROLES.isdisjoint(sender.roles):
        raise Refusal(NOT_PERMITTED, "only a member or service key of the organisation admits its patients")
    record = _find_delegation(context, sender.organisation)
    if record is None or context.block.time_ms > record.delegation.not_after_ms:
        raise Refusal(NOT_DELEGATED, f"nothing is delegated to {sender.organisation}, or not any more")
    return record


def _find_patient(context: CallContext, key: bytes, organisation: str) -> AdmissionCertificate | None:
    """The certificate that ``key`` has as this organisation's patient; refuses what may not become its patient."""
    present = _find(context, key)
    if present is not None:
        if (present.organisation, present.roles) != (organisation, DELEGATED_ROLES):
            raise Refusal(KEY_TAKEN, f"{key_text(key)} is admitted as somebody else", key=key)
        return present
    _check_key(key)
    if _find_revocation(context, key) is not None:
        raise Refusal(KEY_REVOKED, f"{key_text(key)} was revoked; only the authority admits it again", key=key)
    return None
