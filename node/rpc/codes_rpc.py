# ruff: noqa: E501 - one code a line
"""Stable codes of the RPC itself and of what every method may answer."""

from __future__ import annotations

from typing import Final

from node.rpc.codes import INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR, Code, rows

_AREA: Final = "The RPC itself"

CODES: Final = (
    Code("json_invalid", PARSE_ERROR, "the body is no JSON, or has a key twice", "send one JSON document in UTF-8", _AREA),
    Code("request_invalid", INVALID_REQUEST, "the JSON is no JSON-RPC 2.0 request", "see docs/rpc.md", _AREA),
    Code("rpc_method_unknown", METHOD_NOT_FOUND, "there is no such method", "ask `rpc.discover` which there are", _AREA),
    Code("params_invalid", INVALID_PARAMS, "a parameter is missing, unknown, or of another form", "the text names it", _AREA),
    Code("internal_error", INTERNAL_ERROR, "a bug in the node", "report it with the request id; the node's log says more", _AREA),
    *rows(
        _AREA,
        1000,
        "see docs/rpc.md",
        """
        unauthenticated | the client showed neither a known token nor a known certificate | send `Authorization: Bearer TOKEN`, or a client certificate
        scope_insufficient | the client's scope does not allow the method | use a token of the scope that the text names
        host_foreign | the Host header names another host | call the node by its own name, or add the name to rpc.allowed_hosts
        origin_foreign | a web page of a foreign origin asks | add the origin to rpc.allowed_origins when the page is yours
        content_type_wrong | the body's content type is another | send application/json, or application/octet-stream for bulk submission
        http_method_wrong | another HTTP method than POST | send JSON-RPC with POST, or open a WebSocket at /ws
        path_unknown | nothing is served at this path | POST to / or /v1/transactions, or open a WebSocket at /ws
        body_too_large | the body is larger than this node takes | send less at once
        body_slow | the body did not arrive in time | send it faster, or less at once
        batch_too_large | a batch has more calls than this node takes | send fewer at once
        batch_too_slow | the calls before this one took the batch's time | send fewer calls at once; waiting calls alone
        result_too_large | the answers of a batch are larger than this node sends at once | send fewer calls at once
        connection_required | the method needs a connection that stays | call it over a WebSocket at /ws
        connection_gone | the connection has ended | connect again; subscriptions resume from their cursor
        overloaded | a bound is reached; nothing was taken | try again after retry_after_ms
        stopping | the node is about to end; nothing was taken | hand it to another node, or to this one once it is back
        tokens_invalid | the file of tokens cannot be used | the text says why; `tidegate rpc token` writes it
        token_exists | there is a token of this name | revoke it first, or choose another name
        token_unknown | there is no token of this name | `tidegate rpc token list` shows them
        rpc_tls_missing | the RPC is to listen on a network address without TLS | set rpc.tls_certificate and rpc.tls_key, or listen on 127.0.0.1
        rpc_tls_invalid | a certificate or key for TLS cannot be used | the text names the file
        client_scope_invalid | an entry of rpc.client_scopes is not NAME=scope | write NAME=read, submit, officer or admin
        rpc_failed | the daemon answered what its RPC does not answer | look at what stands between client and node
        rpc_unavailable | the daemon's RPC cannot be reached | start it with `tidegate node run`, or check the address
        error | something is wrong that has no code of its own | the text says what
        answer_malformed | the daemon's answer is not understood | check that client and node are of one release
        filter_invalid | a subscription's filter does not fit its topic, or names nothing | the text says which filters the topic has
        slow_reader | a subscriber did not read for too long, or stayed too far behind; it was cut off | subscribe again with the cursor that came last, and read faster
        """,
    ),
)  # fmt: skip
