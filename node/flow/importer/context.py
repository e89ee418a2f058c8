"""What all drivers of one import share: the client, the run's options, places for flows that are under way."""

from __future__ import annotations

import asyncio
from bisect import bisect_right, insort
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from node.consortium.parties import Party
from node.flow.client import FlowClient
from node.flow.purse import Bank

CONCURRENCY: Final = 32
PATIENCE_S: Final = 60.0
OVERTAKEN: Final = 4
"""Later requests of the same stage that have their answer while one has none: that one is held."""
OnStage = Callable[[bytes, str], Awaitable[None] | None]
"""Called with a flow's id and what it has reached: the name of a stage that is done, of ``review`` and ``order`` the
grant, of ``fulfil`` the price. The flow goes on when it returns, or when what it returns has been awaited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """How an import runs.

    Attributes:
        concurrency: flows under way at once; those that wait for an officer do not count.
        patience_s: how long a flow may stand still while the supervision chain can be heard.
        funding: the bank gives patients what they have to pay; else they have their own money.
        retry_refused: ask again for what was refused, in earlier runs too.
    """

    concurrency: int = CONCURRENCY
    patience_s: float = PATIENCE_S
    funding: bool = True
    retry_refused: bool = False


@dataclass(slots=True)
class ImportContext:
    """See the module.

    Attributes:
        client: of the business chain.
        secret: of the state directory.
        options: of the run.
        bank: funds patients; None: they have their own money.
        by_key: parties by signing key.
        purposes: stage → purpose of its token, as the flow kind says.
        on_stage: told what flows have reached.
        places: flows that may still begin.
    """

    client: FlowClient
    secret: bytes
    options: ImportOptions
    bank: Bank | None
    by_key: Mapping[bytes, Party]
    purposes: Mapping[str, str] = field(default_factory=dict)
    on_stage: OnStage | None = None
    places: asyncio.Semaphore = field(init=False)
    _answered: dict[str, list[float]] = field(default_factory=dict)
    _last_answer: float = 0.0

    def __post_init__(self) -> None:
        self.places = asyncio.Semaphore(max(1, self.options.concurrency))

    async def enter(self) -> None:
        """Takes a place; waits for one."""
        await self.places.acquire()

    def leave(self) -> None:
        """Gives a place free."""
        self.places.release()

    def answered(self, stage: str, asked: float) -> None:
        """Notes that what was asked at ``asked`` (monotonic seconds) has its answer now."""
        insort(self._answered.setdefault(stage, []), asked)
        self._last_answer = monotonic()

    def is_held(self, stage: str, asked: float) -> bool:
        """True when requests that were made later have been answered: this one is not merely in a long queue."""
        times = self._answered.get(stage, [])
        return len(times) - bisect_right(times, asked) >= OVERTAKEN

    def waits_since(self, stage: str, asked: float) -> float:
        """From when patience counts: where others are still being answered first, from the last answer to any."""
        return asked if self.is_held(stage, asked) else max(asked, self._last_answer)

    async def tell(self, flow: bytes, stage: str) -> None:
        """Tells whoever asked for it what a flow has reached."""
        if self.on_stage is not None:
            answer = self.on_stage(flow, stage)
            if answer is not None:
                await answer
