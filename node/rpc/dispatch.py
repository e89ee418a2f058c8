"""JSON-RPC 2.0: from a body to its answer. One table of methods decides who may call what, and what it costs."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from time import monotonic
from typing import Any, Final

import msgspec
import structlog
from pjrpc.common import Request
from pjrpc.common.exceptions import DeserializationError

from ledger.document import to_document
from ledger.errors import InvalidInput, NotFound, Overloaded, TidegateError
from node.observability.rpc_meter import OTHER, RpcMeter
from node.rpc.connection import Client, Connection
from node.rpc.errors import InvalidParams, InvalidRequest, ScopeInsufficient, error_object, internal_error
from node.rpc.limits import Budgets
from node.rpc.method import Area, Method, Params, Scope
from node.rpc.openrpc import alias_of, named_plainly

log = structlog.get_logger(__name__)

MAX_BATCH_ANSWER_BYTES: Final = 32 * 1024 * 1024
"""Answers of a batch in all; calls after that are refused with ``result_too_large``."""
BATCH_TIME_S: Final = 60.0
"""Time for a whole batch, waiting calls included; calls after that are refused with ``batch_too_slow``."""
RETRY_MS: Final = 1_000

_encode = msgspec.json.Encoder().encode


class MethodUnknown(NotFound):
    """There is no such RPC method."""

    code = "rpc_method_unknown"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a body, and over what.

    Attributes:
        client: who.
        request_id: for logs and answers.
        connection: where it stays, for notifications; None over plain HTTP.
    """

    client: Client
    request_id: str
    connection: Connection | None = None


class Dispatcher:
    """See the module.

    Args:
        areas: whose methods are served.
        budgets: what clients may spend.
        max_batch: calls in one batch.
        meter: counts calls.

    Attributes:
        methods: by name.
    """

    def __init__(self, areas: Iterable[Area], budgets: Budgets, max_batch: int, meter: RpcMeter | None = None) -> None:
        self.methods: dict[str, Method] = {}
        self._aliases: dict[str, Method] = {}
        for area in areas:
            self.add(area)
        self._meter = meter or RpcMeter()
        self._budgets = budgets
        self._max_batch = max_batch
        logging.getLogger("pjrpc").setLevel(logging.CRITICAL)  # it logs parameters; ours are nobody's business

    def add(self, area: Area) -> None:
        """Serves further methods."""
        for method in area.table():
            assert method.name not in self.methods, f"two methods {method.name}"
            self.methods[method.name] = method
            self._aliases[alias_of(method.name)] = method

    async def answer(self, body: bytes, caller: Caller, refusal: TidegateError | None = None) -> bytes | None:
        """The answer to a body in JSON, or None where none is due (notifications).

        Args:
            body: as it came.
            caller: who.
            refusal: answers every call, where it is refused already.
        """
        try:
            document = _strict_json(body)
        except ValueError as error:
            invalid = InvalidInput(f"the body is no JSON: {error}", code="json_invalid")
            return _reply(None, {"error": error_object(invalid)})
        if isinstance(document, list):
            return await self._batch(document, caller, refusal)
        return await self._one(document, caller, refusal)

    async def _batch(self, documents: list[Any], caller: Caller, refusal: TidegateError | None) -> bytes | None:
        if not documents:
            return _reply(None, {"error": error_object(InvalidRequest("the batch is empty"))})
        if len(documents) > self._max_batch:
            words = f"a batch has at most {self._max_batch} calls, this one {len(documents)}"
            return _reply(None, {"error": error_object(InvalidRequest(words, code="batch_too_large"))})
        answers: list[bytes] = []
        size_bytes = 0
        ends_s = monotonic() + BATCH_TIME_S
        for document in documents:
            if size_bytes > MAX_BATCH_ANSWER_BYTES:
                refusal = InvalidInput("the answers before this one fill the batch", code="result_too_large")
            elif monotonic() > ends_s:
                refusal = Overloaded("the batch's time is over", code="batch_too_slow", retry_after_ms=RETRY_MS)
            reply = await self._one(document, caller, refusal)
            if reply is not None:
                answers.append(reply)
                size_bytes += len(reply)
        return b"[" + b",".join(answers) + b"]" if answers else None

    async def _one(self, document: Any, caller: Caller, refusal: TidegateError | None = None) -> bytes | None:
        try:
            request = Request.from_json(document)
        except DeserializationError as error:
            given = document.get("id") if isinstance(document, dict) else None
            known = given if isinstance(given, str | int) and not isinstance(given, bool) else None
            return _reply(known, {"error": error_object(InvalidRequest(str(error)))})
        member = await self._call(request, caller, refusal)
        return _reply(request.id, member) if "id" in document else None

    async def _call(self, request: Request, caller: Caller, refusal: TidegateError | None) -> dict[str, Any]:
        method, params = self.methods.get(request.method), request.params
        if method is None and (method := self._aliases.get(request.method)) and isinstance(params, dict):
            params = named_plainly(params)
        name, code, since_s = OTHER if method is None else method.name, "internal_error", monotonic()
        if method is None:
            refusal = MethodUnknown(f"there is no method {request.method[:80]!r}; rpc.discover lists them")
        try:
            if method is not None and refusal is None:
                member = {"result": await self._run(method, params, caller)}
                self._meter.observe(name, "ok", monotonic() - since_s)
                return member
        except TidegateError as error:
            refusal = error
        except Exception:
            log.exception("rpc_failed", method=name)
        if refusal is not None:
            code = refusal.code
        self._meter.observe(name, code, monotonic() - since_s)
        return {"error": internal_error(caller.request_id) if refusal is None else error_object(refusal)}

    async def _run(self, method: Method, params: Any, caller: Caller) -> Any:
        client = caller.client
        if client.scope < method.scope:
            raise ScopeInsufficient(
                f"{method.name} needs the scope {method.scope.word}; {client.name} has {client.scope.word}",
                needed=method.scope.word,
                granted=client.scope.word,
            )
        self._budgets.charge(client.name, method.cost)
        arguments = read_params(method, params)
        if not method.connected:
            return to_document(await method.call(arguments))
        if caller.connection is None:
            raise InvalidInput(f"{method.name} is called over a WebSocket at /ws", code="connection_required")
        return to_document(await method.call(arguments, caller.connection))

    async def call_directly(self, name: str, params: Any) -> Any:
        """A method's result document, without scope and budget; for the documents' examples.

        Raises:
            TidegateError: as the method does.
        """
        method = self.methods[name]
        return to_document(await method.call(read_params(method, params)))


def read_params(method: Method, params: Any) -> Any:
    """The parameters as the method's type.

    Args:
        method: whose.
        params: object by name, or array in the order of the OpenRPC document, where null leaves one out.

    Raises:
        InvalidParams: missing, unknown, ill-typed or out of bounds; the text names which.
    """
    kind = method.params
    if isinstance(params, list):
        names = places(kind)
        if len(params) > len(names):
            raise InvalidParams(f"{method.name} takes at most {len(names)} parameters, not {len(params)}")
        params = {name: value for name, value in zip(names, params, strict=False) if value is not None}
    try:
        return msgspec.convert(params or {}, kind)
    except msgspec.ValidationError as error:
        words = str(error)
        param = words.rpartition("$.")[2].rstrip("`") if "$." in words else ""
        raise InvalidParams(f"{method.name}: {words}", **({"param": param} if param else {})) from error
    except (RecursionError, UnicodeEncodeError) as error:
        raise InvalidParams(f"{method.name}: the parameters cannot be read") from error


@cache
def places(kind: type[Params]) -> tuple[str, ...]:
    """Names of parameters by place: required ones first, for languages where parameters have places."""
    fields = msgspec.structs.fields(kind)
    return tuple(field.encode_name for field in sorted(fields, key=lambda field: not field.required))


def _reply(request_id: str | int | None, member: dict[str, Any]) -> bytes:
    reply = {"jsonrpc": "2.0", "id": request_id, **member}
    try:
        return _encode(reply)
    except (UnicodeEncodeError, OverflowError, ValueError):
        # Half of a surrogate pair, or a number above 2⁶⁴, that came in with the request goes back as it came.
        return json.dumps(reply).encode()


def _strict_json(body: bytes) -> Any:
    """JSON in UTF-8 without doubled keys, NaN, or depth that the interpreter cannot take.

    Raises:
        ValueError: with words for the client.
    """

    def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key stands twice in an object")
        return found

    def no_constant(name: str) -> Any:
        raise ValueError(f"{name} is no JSON")

    try:
        return json.loads(body.decode(), object_pairs_hook=no_duplicates, parse_constant=no_constant)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    except UnicodeDecodeError as error:
        raise ValueError("not UTF-8") from error


__all__ = ["Caller", "Dispatcher", "Scope", "read_params"]
