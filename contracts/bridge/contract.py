"""The bridge contract: its methods and governed actions. Queries are in ``views``."""

from __future__ import annotations

from typing import Final

from contracts.bridge import codes, freshness, headers
from contracts.bridge.cargo import Cargo
from contracts.bridge.inbox import Inbox
from contracts.bridge.records import (
    BUSINESS,
    CLIENT_REGISTERED,
    REGISTER_CLIENT,
    REPLACE_CLIENT,
    ROLES,
    ClientEvent,
    ConflictingHeaders,
    Delivered,
    Followed,
    Headers,
    RegisterClient,
    register_codec,
)
from contracts.bridge.state import Client, find_client, forget_headers, keep_header, need_client, outgoing, role_of
from contracts.bridge.views import BridgeViews
from contracts.codes import Refusal
from contracts.interface import CallContext, EndContext, method
from ledger import light_client
from ledger.block import header_codec
from ledger.errors import InvalidInput
from ledger.keys import SignatureCache, check_public_key
from ledger.packet import LANE_EVENT, Delivery, LaneHead
from ledger.validators import ValidatorSet

FUSION: Final = "fusion"
"""Role of the certificates of those who may deliver."""
REMEMBERED_SIGNATURES: Final = 8_192


class Bridge(BridgeViews):
    """Light clients of other chains, packets to them and from them (DESIGN.md 6).

    Whoever relays is trusted to be there, never to be right: headers are proved by their certificates, receipts by
    their inclusion, and each packet takes effect exactly once, in whatever order it comes.
    """

    def __init__(self, address: str) -> None:
        super().__init__(address)
        # The mempool, the execution of a proposal and its re-check see the same signatures; good ones stay good.
        self._verify = SignatureCache(REMEMBERED_SIGNATURES).verify

    @method
    def deliver(self, context: CallContext, arguments: Delivery) -> Delivered:
        """Brings packets and answers of one block of another chain, with their proofs; fusion nodes only."""
        _check_fusion(context)
        header = arguments.proof.header
        client = headers.client_of(context.state, header.chain_id)
        outcome = headers.trust(context, client, arguments.proof, self._verify)
        if outcome == headers.FROZE:
            return Delivered(0, 0, 0, 0, 0, frozen=True)
        inbox = Inbox(context, client.role, client.state, Cargo(arguments, self._verify))
        return inbox.deliver(header, arguments.receipts, renewed=outcome == headers.NEWER)

    @method
    def follow(self, context: CallContext, arguments: Headers) -> Followed:
        """Brings headers of another chain that change its validators, each with its certificate; fusion nodes only."""
        _check_fusion(context)
        return headers.follow(context, arguments.proofs, self._verify)

    @method
    def report_conflict(self, context: CallContext, arguments: ConflictingHeaders) -> None:
        """Freezes the client of a chain that certified two headers of one height; anybody may show them."""
        headers.report(context, arguments, self._verify)

    def govern(self, context: CallContext, action: str, data: bytes) -> None:
        """``register_client`` and ``replace_client``, with a ``RegisterClient``.

        A replacement begins anew from another header of the same chain, frozen or not; the lanes go on.
        """
        if action not in (REGISTER_CLIENT, REPLACE_CLIENT):
            raise Refusal(codes.ACTION_UNKNOWN, f"the bridge has nothing to govern such as {action!r}")
        try:
            order = register_codec.decode(data)
            header = header_codec.decode(order.header)
            validators = ValidatorSet(check_public_key(key) for key in order.validators)
            state = light_client.begin(order.name, order.bridge, header, validators)
        except InvalidInput as error:
            raise Refusal(codes.CLIENT_INVALID, error.message) from error
        if action == REGISTER_CLIENT:
            _check_new(context, order, header.chain_id)
        else:
            client = need_client(context.state, order.role)
            if client.state.chain_id != header.chain_id:
                raise Refusal(codes.CLIENT_INVALID, f"the {order.role} chain is another one: packets are under way")
            forget_headers(context.state, client)
        context.state.put(b"n" + header.chain_id, order.role.encode())
        freshness.begin(context.state, order.role, header.time_ms)
        keep_header(context.state, Client(order.role, order.max_staleness_ms, 0, state))
        context.emit(CLIENT_REGISTERED, ClientEvent(order.role, header.chain_id, header.height))

    def end_block(self, context: EndContext) -> None:
        """Says how far this chain has spoken to the business chain, which must not act on less."""
        client = find_client(context.state, BUSINESS)
        if client is not None:
            sent = outgoing(context.state, BUSINESS).sent
            context.emit(LANE_EVENT, LaneHead(client.state.chain_id, sent))


def _check_fusion(context: CallContext) -> None:
    if FUSION not in context.sender.roles:
        raise Refusal(codes.NOT_FUSION, "only a key admitted with the role fusion may deliver")


def _check_new(context: CallContext, order: RegisterClient, chain_id: bytes) -> None:
    if order.role not in ROLES:
        raise Refusal(codes.CLIENT_INVALID, f"another chain is one of {', '.join(ROLES)}, not {order.role!r}")
    if chain_id == context.block.chain_id:
        raise Refusal(codes.CLIENT_INVALID, "this chain is no other chain")
    if find_client(context.state, order.role) is not None or role_of(context.state, chain_id) is not None:
        raise Refusal(codes.CLIENT_EXISTS, f"there is a client for the {order.role} chain, or for that chain, already")
