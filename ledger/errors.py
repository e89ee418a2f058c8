"""Every error of Tidegate, one tree on one page.

Four families say what the catcher must do:

* ``InvalidInput``: refuse it and say why; nothing has changed.
* ``RemoteFault``: a peer misbehaved or is gone; penalise or retry elsewhere.
* ``LocalMisuse``: a bug in the calling code.
* ``Fatal``: an invariant or the storage is broken; the node must stop.

``code`` is stable and part of the interface (RPC replies, receipts, exit codes); the text is for people and may change.
Data travels in keyword attributes, never only in the text.
"""

from __future__ import annotations


class TidegateError(Exception):
    """Root of every error that Tidegate raises on purpose.

    Args:
        message: one sentence for a person, saying what to do where there is something to do.
        code: overrides the class' stable code with a more precise one.
        **data: facts about this occurrence; readable as ``error.data["name"]``.
    """

    code: str = "error"

    def __init__(self, message: str, *, code: str | None = None, **data: object) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
        self.data = data

    @property
    def message(self) -> str:
        """The sentence for a person."""
        return str(self.args[0])


# --- invalid input: refuse, say why -------------------------------------------------------------------------------


class InvalidInput(TidegateError):
    """Something handed in is wrong; it was refused whole."""

    code = "invalid_input"


class MalformedBytes(InvalidInput):
    """Bytes that do not decode: truncated, wrong type, trailing, over-nested, over-long, unknown version."""

    code = "malformed"


class NonCanonicalBytes(MalformedBytes):
    """Bytes that decode but do not re-encode to themselves."""

    code = "non_canonical"


class InvalidSignature(InvalidInput):
    """A signature does not verify, or a key or signature has a wrong form."""

    code = "signature_invalid"


class InvalidLock(InvalidInput):
    """A lock text does not parse, is not canonical, or exceeds its bounds."""

    code = "lock_invalid"


class InvalidTransaction(InvalidInput):
    """A transaction that can never, or not now, be part of a block; ``code`` says why (see contracts/codes.py)."""

    code = "transaction_invalid"


class InvalidBlock(InvalidInput):
    """A block or certificate that must not be accepted; ``code`` says why."""

    code = "block_invalid"


class InvalidProof(InvalidInput):
    """A Merkle proof that does not lead to its root."""

    code = "proof_invalid"


class InvalidEnvelope(InvalidInput):
    """A sealed document that is malformed, of another context, not for the keys at hand, or does not open."""

    code = "envelope_invalid"


class InvalidGenesis(InvalidInput):
    """A genesis file that cannot start a chain, or is not the one this home was made for."""

    code = "genesis_invalid"


class InvalidConfig(InvalidInput):
    """A configuration value, key file or home directory that cannot be used; the text names it."""

    code = "config_invalid"


class NotFound(InvalidInput):
    """What was asked for is not known here."""

    code = "not_found"


class Overloaded(InvalidInput):
    """A bounded resource is full; ``data["retry_after_ms"]`` says when to try again. Nothing was taken."""

    code = "overloaded"


# --- remote fault: penalise the peer, or try another ---------------------------------------------------------------


class RemoteFault(TidegateError):
    """The other side of a connection is at fault."""

    code = "remote_fault"


class PeerUnavailable(RemoteFault):
    """No connection to that peer, or it closed while we waited."""

    code = "peer_unavailable"


class PeerTimeout(RemoteFault):
    """The peer did not answer in time."""

    code = "peer_timeout"


class PeerRefused(RemoteFault):
    """The peer answered that it will not do it; the text is the peer's code."""

    code = "peer_refused"


class PeerMisbehaved(RemoteFault):
    """The peer sent what no honest peer sends; it is disconnected and penalised."""

    code = "peer_misbehaved"


class RpcUnavailable(RemoteFault):
    """The daemon's RPC socket cannot be reached."""

    code = "rpc_unavailable"


# --- local misuse: a bug in the caller -----------------------------------------------------------------------------


class LocalMisuse(TidegateError):
    """The caller broke this function's contract."""

    code = "local_misuse"


# --- fatal: stop ---------------------------------------------------------------------------------------------------


class Fatal(TidegateError):
    """The node cannot go on safely and stops."""

    code = "fatal"


class BrokenInvariant(Fatal):
    """Something that cannot happen has happened."""

    code = "broken_invariant"


class StorageFault(Fatal):
    """The store failed, or returned a record that does not match its checksum."""

    code = "storage_fault"


class DiskFull(StorageFault):
    """Less room is free than the node keeps in reserve, or a write found none; ``data["free_bytes"]`` where known."""

    code = "disk_full"


class HomeLocked(Fatal):
    """Another process uses this home directory."""

    code = "home_locked"


class TransportFailed(Fatal):
    """The overlay died more often than the watchdog is allowed to rebuild it."""

    code = "transport_failed"
