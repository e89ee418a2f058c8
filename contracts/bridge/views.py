"""What can be asked of the bridge: what relays need to find out what is still to be carried, and people to watch it."""

from __future__ import annotations

from contracts.bridge import records as r
from contracts.bridge.freshness import freshness
from contracts.bridge.state import (
    Client,
    attachment_key,
    client_codec,
    find_client,
    incoming,
    item_codec,
    item_key,
    outbox_prefix,
    outgoing,
    took,
)
from contracts.interface import Contract, EndContext, view
from ledger.errors import NotFound


class BridgeViews(Contract):
    """The views of ``Bridge``. Each raises ``NotFound`` where what it names is not there."""

    kind = "bridge"

    @view
    def client(self, context: EndContext, arguments: r.RoleQuery) -> r.ClientView:
        """The light client of a role."""
        return _shown(_client(context, arguments.role))

    @view
    def clients(self, context: EndContext, arguments: r.NoQuery) -> r.ClientList:
        """All light clients, by role."""
        del arguments
        rows = context.state.iterate(b"c", limit=len(r.ROLES))
        return r.ClientList(tuple(_shown(client_codec.decode(data)) for _, data in rows))

    @view
    def outbox(self, context: EndContext, arguments: r.OutboxQuery) -> r.OutboxPage:
        """Packets to the chain of a role that wait for their answer, oldest first."""
        _client(context, arguments.role)
        start = item_key(arguments.role, arguments.after + 1)
        rows = list(context.state.iterate(outbox_prefix(arguments.role), start=start, limit=arguments.limit + 1))
        items = tuple(item_codec.decode(data) for _, data in rows[: arguments.limit])
        return r.OutboxPage(items, len(rows) > arguments.limit)

    @view
    def lane(self, context: EndContext, arguments: r.RoleQuery) -> r.LaneView:
        """Counters of both directions between this chain and that of a role."""
        role, state = arguments.role, context.state
        _client(context, role)
        out, into = outgoing(state, role), incoming(state, role)
        oldest = next((item_codec.decode(data) for _, data in state.iterate(outbox_prefix(role), limit=1)), None)
        return r.LaneView(
            out.sent,
            out.answered,
            out.held_bytes,
            0 if oldest is None else oldest.packet.sequence,
            0 if oldest is None else oldest.height,
            0 if oldest is None else oldest.time_ms,
            into.watermark,
            into.delivered,
            freshness(state, role).known_ms if role == r.SUPERVISION else 0,
        )

    @view
    def delivered(self, context: EndContext, arguments: r.DeliveredQuery) -> r.DeliveredView:
        """Which packets of the chain of a role are in, and the blocks with their answers."""
        role, state = arguments.role, context.state
        _client(context, role)
        watermark = incoming(state, role).watermark
        found = [took(state, role, sequence) for sequence in arguments.sequences]
        pairs = list(zip(arguments.sequences, found, strict=True))
        return r.DeliveredView(
            tuple(sequence <= watermark or entry is not None for sequence, entry in pairs),
            tuple(0 if entry is None else entry.height for _, entry in pairs),
        )

    @view
    def attachment(self, context: EndContext, arguments: r.AttachmentQuery) -> r.AttachmentView:
        """Bytes of an attachment of a packet that waits for its answer."""
        data = context.state.get(attachment_key(arguments.role, arguments.sequence, arguments.digest))
        if data is None:
            raise NotFound(f"packet {arguments.sequence} to the {arguments.role} chain has no such attachment any more")
        return r.AttachmentView(data)


def _client(context: EndContext, role: str) -> Client:
    client = find_client(context.state, role)
    if client is None:
        raise NotFound(f"no light client for the role {role!r} is registered")
    return client


def _shown(client: Client) -> r.ClientView:
    return r.ClientView(client.role, client.max_staleness_ms, client.state)
