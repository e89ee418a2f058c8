"""Errors of a daemon's RPC, rebuilt as the classes that were raised there.

``error.data.code`` names the class where a class owns that code; any other code keeps the family's class, so that
``except Overloaded`` and ``except InvalidInput`` mean the same on both sides of the socket.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ledger import errors
from ledger.errors import (
    Fatal,
    InvalidInput,
    LocalMisuse,
    NotFound,
    Overloaded,
    PeerMisbehaved,
    RemoteFault,
    TidegateError,
)

INVALID_REQUEST_CODES: Final = frozenset({-32700, -32600, -32601, -32602})
"""JSON-RPC's own errors that say the request is wrong."""

_FAMILIES: Final[dict[str, type[TidegateError]]] = {
    "invalid_input": InvalidInput,
    "overloaded": Overloaded,
    "not_found": NotFound,
    "remote_fault": RemoteFault,
    "local_misuse": LocalMisuse,
    "fatal": Fatal,
}


def _tree(root: type[TidegateError]) -> Iterator[type[TidegateError]]:
    yield root
    for child in root.__subclasses__():
        # Classes of other modules (a contract's Refusal) inherit a code and must not take its owner's place.
        if child.__module__ == errors.__name__:
            yield from _tree(child)


_BY_CODE: Final = {kind.code: kind for kind in _tree(TidegateError)}


def rebuild_error(error: Mapping[str, Any]) -> TidegateError:
    """The exception that a JSON-RPC ``error`` object stands for.

    Args:
        error: ``{code, message, data: {code, family, ...facts}}``; anything missing is tolerated.
    """
    data = error.get("data")
    facts = dict(data) if isinstance(data, dict) else {}
    message = str(error.get("message") or "the daemon gave no reason")
    code, family = facts.pop("code", None), facts.pop("family", None)
    if not isinstance(code, str):
        if error.get("code") in INVALID_REQUEST_CODES:
            return InvalidInput(message, code="request_invalid")
        return RemoteFault(message, code="rpc_failed")
    kind = _BY_CODE.get(code)
    if kind is None or not issubclass(kind, _FAMILIES.get(str(family), TidegateError)):
        kind = _FAMILIES.get(str(family), TidegateError)
    clean = {name: value for name, value in facts.items() if name not in ("self", "message")}
    return kind(message, code=code, **clean)


def malformed_answer(what: str) -> PeerMisbehaved:
    """The daemon answered something that this client cannot read."""
    return PeerMisbehaved(f"the daemon's answer is not understood: {what}", code="answer_malformed")
