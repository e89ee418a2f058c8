"""Tidegate's errors as JSON-RPC errors: one integer for all, the stable code and the family in ``data``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Final, ParamSpec

import structlog
from pjrpc.server.exceptions import InternalError, JsonRpcError

from ledger.document import to_document
from ledger.errors import Fatal, InvalidInput, LocalMisuse, NotFound, Overloaded, RemoteFault, TidegateError

log = structlog.get_logger(__name__)

P = ParamSpec("P")

TIDEGATE_ERROR: Final = -32_000
_FAMILIES: Final = (
    (Overloaded, "overloaded"),
    (NotFound, "not_found"),
    (InvalidInput, "invalid_input"),
    (RemoteFault, "remote_fault"),
    (LocalMisuse, "local_misuse"),
    (Fatal, "fatal"),
)


def family_of(error: TidegateError) -> str:
    """The error's family, by which clients rebuild its type."""
    return next((name for kind, name in _FAMILIES if isinstance(error, kind)), "error")


def error_data(error: TidegateError) -> dict[str, Any]:
    """``error.data`` of the reply."""
    facts = {
        key: to_document(value) for key, value in error.data.items() if isinstance(value, str | int | bytes | bool)
    }
    return {**facts, "code": error.code, "family": family_of(error)}


def as_rpc_error(error: TidegateError) -> JsonRpcError:
    """The exception that makes the reply."""
    return JsonRpcError(TIDEGATE_ERROR, error.message, error_data(error))


def typed_errors(method: Callable[P, Awaitable[Any]]) -> Callable[P, Awaitable[Any]]:
    """``method`` with our errors raised as replies, and anything else as an internal error with a log line.

    Around the method itself: the library turns what a method raises into a bare "Server error" before any middleware.
    """

    @wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            return await method(*args, **kwargs)
        except TidegateError as error:
            raise as_rpc_error(error) from error
        except JsonRpcError:
            raise
        except Exception as error:
            log.exception("rpc_failed", method=method.__name__)
            raise InternalError(data={"code": "internal_error", "family": "fatal"}) from error

    return call
