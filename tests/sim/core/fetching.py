"""How a process gets a body that it lacks: one source after the other, round and round, until the height is over.

What ``node.block_work`` and ``node.fetch`` do: a source that has nothing says so at once, one that is silent costs its
timeout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from consensus import effects as do
from consensus import inputs as on
from consensus.verify import verify_block
from ledger.types import Height

if TYPE_CHECKING:
    from tests.sim.core.process import Process

TIMEOUT_MS: Final = 2_000
RETRY_MS: Final = 200


class Question(NamedTuple):
    """Somebody wants a body: who, which, and the place of the source in its list."""

    asker: Process
    order: do.FetchBlock
    place: int


def begin(process: Process, order: do.FetchBlock) -> None:
    """Starts to look for a body, unless that is under way."""
    if order.block_id not in process.fetching:
        process.fetching[order.block_id] = -1
        ask(process, (order, 0))


def ask(process: Process, step: tuple[do.FetchBlock, int]) -> None:
    """Asks the next source; after the last one waits a moment and begins again."""
    order, place = step
    if process.fetching.get(order.block_id) != place - 1:
        return  # answered meanwhile, or the height is over
    cluster = process.cluster
    if place >= len(order.sources):
        process.fetching[order.block_id] = -1
        cluster.after(RETRY_MS, process, ask, (order, 0))
        return
    process.fetching[order.block_id] = place
    cluster.to_key(process, order.sources[place], on_asked, Question(process, order, place))
    cluster.after(TIMEOUT_MS, process, ask, (order, place + 1))


def on_asked(process: Process, question: Question) -> None:
    """Bodies of the height being decided, and committed ones; a faulty process may be silent."""
    cluster, wanted = process.cluster, question.order.block_id
    if process.faulty and cluster.random() < 0.5:
        return
    current = process.state.current
    found = None if current is None else current.blocks.get(wanted)
    block = next((one.block for one in reversed(process.chain) if one.id == wanted), None)
    if found is not None:
        block = found.block
    if block is None:
        cluster.to_process(process, question.asker, ask, (question.order, question.place + 1))
    else:
        answer = on.BlockFetched(Height(block.header.height), verify_block(block))
        cluster.to_process(process, question.asker, on_fetched, answer)


def on_fetched(process: Process, answer: on.BlockFetched) -> None:
    """The body that we lacked."""
    if process.fetching.pop(answer.block.id, None) is not None:
        process.cluster.count("body_fetched")
        process.give(answer)
