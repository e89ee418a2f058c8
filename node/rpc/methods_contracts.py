"""RPC methods about contracts: which there are, what they take, and their views."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from contracts.interface import Method as ContractMethod
from ledger.document import from_document, to_document
from ledger.encoding import Record, encode
from ledger.errors import InvalidInput, NotFound
from node.chain import Chain
from node.local import LocalGateway
from node.rpc.fields import HexBytes, Name, unhex
from node.rpc.method import Method, Params, Result, Scope
from node.rpc.schema import Schemas

MAX_CONTRACTS: Final = 256
ContractName = Annotated[Name, Meta(description="Address of a contract instance (`contract.list`).")]


class ContractParams(Params, frozen=True):
    """Which contract."""

    contract: ContractName


class ViewParams(Params, frozen=True):
    """What to ask a contract.

    Attributes:
        view: name of the view (`contract.describe`).
        arguments: the argument record as an object, or its canonical bytes in hex.
    """

    contract: ContractName
    view: Name
    arguments: HexBytes | dict[str, Any] = msgspec.field(default_factory=dict)


class ContractLine(Result, frozen=True):
    """A contract instance.

    Attributes:
        address: under which transactions call it.
        kind: of the contract.
        methods: that transactions may call.
        views: that `contract.view` may ask.
    """

    address: str
    kind: str
    methods: list[str]
    views: list[str]


class MethodDescription(Result, frozen=True):
    """A method or view of a contract.

    Attributes:
        name: as calls and `contract.view` name it.
        summary: what it does.
        arguments: JSON schema of the argument document.
        result: JSON schema of the result document; null where there is none.
    """

    name: str
    summary: str
    arguments: dict[str, Any]
    result: dict[str, Any] | None


class ContractDescription(Result, frozen=True):
    """What a contract takes and gives; schemas refer to ``schemas`` by ``#/schemas/NAME``."""

    address: str
    kind: str
    summary: str
    methods: list[MethodDescription]
    views: list[MethodDescription]
    schemas: dict[str, Any]


class ViewAnswer(Result, frozen=True):
    """Answer of a view.

    Attributes:
        result: canonical bytes of the result record, in hex.
        document: the same as an object.
    """

    result: str
    document: dict[str, Any]


class ContractMethods:
    """``contract.*``.

    Args:
        chain: committed chain.
        gateway: of the daemon.
    """

    def __init__(self, chain: Chain, gateway: LocalGateway) -> None:
        self._chain = chain
        self._gateway = gateway

    def table(self) -> tuple[Method, ...]:
        """See ``Area``."""
        return (
            Method(
                name="contract.list",
                scope=Scope.READ,
                summary="Lists the chain's contract instances; they are few, and all are listed.",
                params=Params,
                result=Annotated[list[ContractLine], Meta(max_length=MAX_CONTRACTS)],
                call=self._list,
                steady=True,
            ),
            Method(
                name="contract.describe",
                scope=Scope.READ,
                summary="Gives the JSON schemas of a contract's arguments and results.",
                params=ContractParams,
                result=ContractDescription,
                call=self._describe,
                errors=("not_found",),
                cost=20,
                example={"contract": "assets"},
                steady=True,
            ),
            Method(
                name="contract.view",
                scope=Scope.READ,
                summary="Asks a contract's view over the committed state.",
                params=ViewParams,
                result=ViewAnswer,
                call=self._view,
                errors=("not_found", "document_invalid", "malformed", "non_canonical"),
                cost=3,
                example={"contract": "assets", "view": "asset", "arguments": {"asset": "CNY"}},
                live_example=self._some_view,
            ),
        )

    async def _list(self, params: Params) -> list[ContractLine]:
        del params
        return [
            ContractLine(
                address=address, kind=contract.kind, methods=list(contract.methods), views=list(contract.views)
            )
            for address, contract in self._chain.rules.contracts.items()
        ]

    async def _describe(self, params: ContractParams) -> ContractDescription:
        instance = self._chain.rules.contracts.get(params.contract)
        if instance is None:
            known = ", ".join(self._chain.rules.contracts)
            raise NotFound(f"there is no contract {params.contract!r}; there are {known}")
        schemas = Schemas("#/schemas/")
        methods = [_describe(name, method, schemas) for name, method in instance.methods.items()]
        views = [_describe(name, view, schemas) for name, view in instance.views.items()]
        return ContractDescription(
            address=params.contract,
            kind=instance.kind,
            summary=_summary(type(instance)),
            methods=methods,
            views=views,
            schemas=schemas.components,
        )

    async def _view(self, params: ViewParams) -> ViewAnswer:
        if isinstance(params.arguments, str):
            data = unhex(params.arguments, "arguments")
        else:
            instance = self._chain.rules.contracts.get(params.contract)
            known = None if instance is None else instance.views.get(params.view)
            data = b"" if known is None else _arguments(params.arguments, known.arguments_type)
        answer = self._gateway.run_view(params.contract, params.view, data)
        return ViewAnswer(result=encode(answer).hex(), document=to_document(answer))

    async def _some_view(self) -> Mapping[str, Any] | None:
        """A view that this chain answers: one that takes nothing, or nothing that must be given."""
        for address, instance in self._chain.rules.contracts.items():
            for name, view in instance.views.items():
                try:
                    data = _arguments({}, view.arguments_type)
                    self._gateway.run_view(address, name, data)
                except InvalidInput:
                    continue
                return {"contract": address, "view": name, "arguments": {}}
        return None


def _describe(name: str, method: ContractMethod, schemas: Schemas) -> MethodDescription:
    return MethodDescription(
        name=name,
        summary=method.summary,
        arguments=schemas.of(method.arguments_type),
        result=None if method.result is None else schemas.of(method.result),
    )


def _summary(described: Any) -> str:
    return (described.__doc__ or "").strip().split("\n", 1)[0]


def _arguments(document: Any, kind: type[Record]) -> bytes:
    try:
        return encode(from_document(document, kind))
    except UnicodeEncodeError as error:  # half of a surrogate pair, which JSON can say and UTF-8 cannot
        raise InvalidInput(f"arguments: {error.reason}", code="document_invalid") from error
