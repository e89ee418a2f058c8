"""What subscribing is said with: topics, cursors, parameters, answers, and the notifications that follow.

A notification is a JSON-RPC notification ``subscription`` whose parameters are a ``Notification``. Its cursor is what a
client keeps: handed back as ``after`` of a later ``subscribe``, on this node or another one of the chain, nothing is
missed and nothing is told twice.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from ledger.types import MAX_HEIGHT
from node.rpc.method import Params, Result

NOTIFICATION: Final = "subscription"
"""Method name of every notification."""
END: Final = 2**32 - 1
"""Index of a cursor behind everything of its block."""

_HEX_32: Final = "^[0-9a-f]{64}$"
_Index = Annotated[int, Meta(ge=0, le=END, description="Place within the block's entries of the topic.")]
_Height = Annotated[int, Meta(ge=0, le=MAX_HEIGHT, description="Height of a block.")]
_Name = Annotated[str, Meta(min_length=1, max_length=64)]


class Topic(StrEnum):
    """What can be followed."""

    BLOCKS = "blocks"
    TRANSACTIONS = "transactions"
    EVENTS = "events"
    FLOW = "flow"
    ACCOUNT = "account"
    PACKET = "packet"


class Kind(StrEnum):
    """What a notification says."""

    ITEM = "item"
    """An entry of the topic that fits the filter."""
    CAUGHT_UP = "caught_up"
    """Everything up to the node's last block has been told; what follows is new."""
    PROGRESS = "progress"
    """Nothing fitted for a while; the cursor has moved on."""
    CLOSED = "closed"
    """The node ended the subscription; ``code`` says why."""


class Cursor(Result, frozen=True):
    """A place in the chain: everything up to and with it has been told.

    Attributes:
        height: of the block.
        index: within its entries; ``END`` (4294967295) behind all of them.
    """

    height: _Height
    index: _Index = END


class Subscribe(Params, frozen=True):
    """Parameters of ``subscribe``. At most one of ``from_height`` and ``after``; neither: from the next block on."""

    topic: Annotated[Topic, Meta(description="What to follow.")]
    from_height: Annotated[int, Meta(ge=0, le=MAX_HEIGHT, description="First block to tell of.")] | None = None
    after: Annotated[Cursor, Meta(description="Cursor of the last notification that arrived.")] | None = None
    contract: Annotated[_Name, Meta(description="events, transactions: only of this contract's address.")] | None = None
    event: Annotated[_Name, Meta(description="events: only of this name.")] | None = None
    flow: (
        Annotated[str, Meta(pattern=_HEX_32, description="flow: its id, 64 hex digits; without it all flows.")] | None
    ) = None
    account: (
        Annotated[str, Meta(min_length=1, max_length=128, description="account: its name, in any lock.")] | None
    ) = None
    lock: (
        Annotated[str, Meta(min_length=1, max_length=2_048, description="account: exactly this lock text.")] | None
    ) = None
    lane: (
        Annotated[
            str, Meta(min_length=1, max_length=64, description="packet: role or chain id (hex) of the other chain.")
        ]
        | None
    ) = None
    sequence: Annotated[int, Meta(ge=1, le=MAX_HEIGHT, description="packet: only this one of the lane.")] | None = None


class Subscribed(Result, frozen=True):
    """Answer of ``subscribe``.

    Attributes:
        subscription: its id, which every notification carries.
        height: the node's last block.
        cursor: where it begins: behind this. Resume from here when the connection breaks before any notification.
    """

    subscription: Annotated[str, Meta(description="Names the subscription on this connection.")]
    height: Annotated[int, Meta(description="The node's last block.")]
    cursor: Annotated[Cursor | None, Meta(description="Told from behind this on; null: from block 0.")]


class Unsubscribe(Params, frozen=True):
    """Parameters of ``unsubscribe``."""

    subscription: Annotated[str, Meta(min_length=1, max_length=32, description="Id that ``subscribe`` answered.")]


class Unsubscribed(Result, frozen=True):
    """Answer of ``unsubscribe``."""

    ended: Annotated[bool, Meta(description="False: there was none of that id on this connection any more.")]


class Notification(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One notification.

    Attributes:
        subscription: whose.
        kind: what it says.
        cursor: keep it; None in a ``closed`` before anything was told.
        block_id: hex id of the block, with items.
        time_ms: the block's time, with items.
        item: the entry, with items: a document of the topic (docs/integrator.md).
        code: with ``closed``: stable code; ``slow_reader``, ``pruned``, ``stopping``, …
        message: with ``closed``: the sentence for a person.
    """

    subscription: str
    kind: Kind
    cursor: Cursor | None = None
    block_id: str = ""
    time_ms: int = 0
    item: Any = None
    code: str = ""
    message: str = ""
