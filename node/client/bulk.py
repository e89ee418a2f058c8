"""Many transactions in few requests, through the binary endpoint."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ledger.encoding import Codec, Record
from ledger.errors import LocalMisuse, Overloaded, RemoteFault
from ledger.transaction import MAX_TRANSACTION_BYTES, Transaction
from node.client.nodes import Nodes
from node.client.reading import MAX_RESULT_BYTES
from node.client_errors import malformed_answer

MAX_BULK_TRANSACTIONS: Final = 1_000
MAX_BULK_BYTES: Final = 4 * 1024 * 1024


class BulkAnswer(Record, frozen=True):
    """What became of one transaction of a bulk submission, as the node says; nothing of it is proved.

    Attributes:
        tx_id: which; nothing where it was not taken.
        status: ``pending``, ``committed``, ``refused`` (in a block), ``rejected`` (not taken), ``unknown``,
            ``overloaded`` (not taken, try again).
        code: ``ok``, a reason code, or nothing.
    """

    tx_id: bytes
    status: str
    code: str


_bulk_codec = Codec(tuple[BulkAnswer, ...], MAX_RESULT_BYTES, "bulk answer")


async def submit_many(nodes: Nodes, wires: Sequence[bytes], wait_ms: int) -> list[BulkAnswer]:
    """See ``Client.submit_many``."""
    answers: list[BulkAnswer] = []
    for part in _parts(wires):
        body = b"".join(len(wire).to_bytes(4, "big") + wire for wire in part)
        path = f"/v1/transactions?wait_ms={wait_ms}"
        try:
            status, content, _ = await nodes.post(path, body, "application/octet-stream", wait_ms / 1000)
        except Overloaded:
            if not answers:
                raise
            answers.extend(BulkAnswer(Transaction.decode(wire).tx_id, "overloaded", "overloaded") for wire in part)
            continue
        if status != 200:
            raise RemoteFault(f"the bulk endpoint answered HTTP {status}", code="rpc_failed", status=status)
        found = _bulk_codec.decode(content)
        if len(found) != len(part):
            raise malformed_answer("one bulk answer for each transaction is due")
        answers.extend(found)
    return answers


def _parts(wires: Iterable[bytes]) -> list[list[bytes]]:
    parts: list[list[bytes]] = []
    size = MAX_BULK_BYTES
    for wire in wires:
        if len(wire) > MAX_TRANSACTION_BYTES:
            raise LocalMisuse(f"a transaction has at most {MAX_TRANSACTION_BYTES} bytes, this one {len(wire)}")
        if not parts or len(parts[-1]) == MAX_BULK_TRANSACTIONS or size + 4 + len(wire) > MAX_BULK_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(wire)
        size += 4 + len(wire)
    return parts
