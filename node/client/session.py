"""What every call of a client goes through: its nodes, and what it believes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from ledger.errors import InvalidConfig, LocalMisuse, PeerMisbehaved
from ledger.genesis import Genesis, parse_genesis
from ledger.light_client import TrustedHeader
from node.client.endpoint import Endpoint
from node.client.nodes import Nodes, endpoints_of
from node.client.verifying import Verifier
from node.light import LightClient

RECONNECT_S: Final = 30.0
"""An event stream and a waiting submission survive a daemon that is away for so long."""


class Session:
    """Nodes of one chain and a light client; ``node.client.Client`` says what the arguments are."""

    def __init__(
        self,
        nodes: str | Path | Endpoint | Sequence[str | Path | Endpoint],
        *,
        genesis: Genesis | str | Path | None = None,
        light_file: Path | None = None,
        token: str | None = None,
        ca: Path | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
        overload_retries: int = 0,
        reconnect_s: float = RECONNECT_S,
    ) -> None:
        self._nodes = Nodes(endpoints_of(nodes, token=token, ca=ca, certificate=certificate, key=key))
        self._overload_retries = overload_retries
        self._reconnect_s = reconnect_s
        self._light_file = light_file
        self._genesis = _genesis_of(genesis)
        self._verifier: Verifier | None = None
        if self._genesis is not None:
            kept = light_file is not None and light_file.exists()
            light = LightClient.load(light_file, self._genesis) if kept and light_file else LightClient(self._genesis)
            self._verifier = Verifier(light)
        elif light_file is not None:
            raise LocalMisuse("a light client needs the genesis")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections and saves the light client."""
        await self._nodes.close()
        if self._verifier is not None and self._light_file is not None:
            self._verifier.light.save(self._light_file)

    async def call(
        self,
        method: str,
        params: dict[str, Any] | None = None,
        *,
        wait_s: float = 0.0,
        repeatable: bool = True,
    ) -> Any:
        """Result of any RPC method (docs/rpc.md), JSON-decoded; nothing of it is verified.

        Args:
            method: as in docs/rpc.md.
            params: JSON-able.
            wait_s: how long the node itself may take by request.
            repeatable: whether another node may be asked when the connection broke after the request was sent.

        Raises:
            TidegateError: what the daemon raised, as the same class.
            RpcUnavailable: no node answers, or the connection broke.
        """
        return await self._nodes.call(method, params or {}, wait_s=wait_s, repeatable=repeatable)

    # --- trust ----------------------------------------------------------------------------------------------------

    @property
    def light(self) -> LightClient:
        """What is believed of the chain.

        Raises:
            LocalMisuse: the client was given no genesis.
        """
        return self._verifying().light

    @property
    def liars(self) -> dict[str, PeerMisbehaved]:
        """Nodes that were caught lying, by address, and at what; others are asked instead of them."""
        return self._nodes.liars

    def _verifying(self) -> Verifier:
        if self._verifier is None:
            raise LocalMisuse("only a client with a genesis can verify: Client(…, genesis=…)")
        return self._verifier

    async def follow(self) -> TrustedHeader:
        """Takes the light client to a node's newest header; returns it. Do so now and then, if nothing else is asked.

        Raises:
            LocalMisuse: the client was given no genesis.
            PeerMisbehaved: the node shows what is not of the chain.
            ForkFound: the chain has forked.
            RpcUnavailable: no node answers.
        """
        return await self._nodes.run(self._verifying().light.follow)


def _genesis_of(given: Genesis | str | Path | None) -> Genesis | None:
    if given is None or isinstance(given, Genesis):
        return given
    try:
        return parse_genesis(Path(given).read_bytes())
    except OSError as error:
        raise InvalidConfig(f"cannot read {given}: {error.strerror}", code="file_unreadable") from error
