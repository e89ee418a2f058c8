"""Errors as JSON-RPC error objects: the stable code's integer, the sentence, and code, family and facts in ``data``."""

from __future__ import annotations

from typing import Any, Final

from ledger.document import to_document
from ledger.errors import Fatal, InvalidInput, LocalMisuse, NotFound, Overloaded, RemoteFault, TidegateError
from node.rpc.codes import number_of

_FAMILIES: Final = (
    (Overloaded, "overloaded"),
    (NotFound, "not_found"),
    (InvalidInput, "invalid_input"),
    (RemoteFault, "remote_fault"),
    (LocalMisuse, "local_misuse"),
    (Fatal, "fatal"),
)


class InvalidRequest(InvalidInput):
    """What was sent is no JSON-RPC request that this node answers."""

    code = "request_invalid"


class InvalidParams(InvalidInput):
    """A method's parameters are missing, unknown, ill-typed or out of bounds; ``data["param"]`` names one."""

    code = "params_invalid"


class Unauthenticated(InvalidInput):
    """The client is not known."""

    code = "unauthenticated"


class ScopeInsufficient(InvalidInput):
    """The client may not call the method; ``data`` has ``needed`` and ``granted``."""

    code = "scope_insufficient"


def family_of(error: TidegateError) -> str:
    """The error's family, by which clients rebuild its type."""
    if error.code == Overloaded.code:
        return "overloaded"
    return next((name for kind, name in _FAMILIES if isinstance(error, kind)), "error")


def error_data(error: TidegateError) -> dict[str, Any]:
    """``error.data`` of the reply."""
    facts = {
        key: to_document(value) for key, value in error.data.items() if isinstance(value, str | int | bytes | bool)
    }
    return {**facts, "code": error.code, "family": family_of(error)}


def error_object(error: TidegateError) -> dict[str, Any]:
    """The ``error`` member of a reply."""
    return {"code": number_of(error.code), "message": error.message, "data": error_data(error)}


def internal_error(request_id: str) -> dict[str, Any]:
    """The ``error`` member for what is a bug: it tells nothing but where to look."""
    data = {"code": "internal_error", "family": "fatal", "request_id": request_id}
    return {"code": number_of("internal_error"), "message": "Internal error", "data": data}
