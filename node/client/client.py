"""An async client of one or several nodes of a chain: the ``Gateway`` of programs outside the daemon.

It signs locally (keys never leave the process) and needs neither libp2p nor the store. With a genesis file it believes
no node: whatever can be proved is proved, from the genesis file on, or refused (docs/sdk.md).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence

from ledger.errors import Overloaded
from ledger.transaction import Attachment, Body, Output, Transaction
from ledger.types import TxId
from node.client.bulk import BulkAnswer, submit_many
from node.client.http import NodeHttp
from node.client.lookups import Lookups
from node.client.preparing import NewCall, check_prepared, new_body, question_of
from node.client.reading import read_hex, retry_after_s
from node.client.submitting import Submission
from node.gateway import Outcome


class Client(Lookups):
    """A ``Gateway`` over RPC. Use it as an async context manager, or ``close`` it.

    Args:
        nodes: the node, or several of one chain in the order of preference: paths of sockets (``<home>/run/rpc.sock``),
            ``http://host:port``, ``https://host:port``, or ``Endpoint``.
        genesis: the chain's genesis, or its file, from a source that you trust. With it, every answer that can be
            proved is verified, and a node that lies is refused; without it nodes are believed.
        light_file: where the light client keeps what it has verified, from one run to the next; needs ``genesis``.
        token: for URLs: of ``tidegate rpc token new``.
        ca: for https: PEM file of the authority that signed the nodes' certificates; else the system's authorities.
        certificate: for https: PEM file of this client's certificate, with its key or beside ``key``.
        key: PEM file of that key.
        overload_retries: how often a submission that no node had room for is repeated after the time that the node
            names; 0 raises ``Overloaded`` at once.
        reconnect_s: how long an event stream survives that no node answers.

    Raises:
        InvalidConfig: an address, a file or the state of the light client cannot be used; the text says why.
        InvalidGenesis: ``genesis`` is none.
    """

    # --- submitting -----------------------------------------------------------------------------------------------

    async def submit(self, transaction: Transaction) -> TxId:
        """See ``Gateway``."""
        retries = max(self._overload_retries, len(self._nodes) - 1)
        for attempt in range(retries + 1):
            try:
                await self.call("tx.submit", {"transaction": transaction.wire.hex()})
            except Overloaded as error:
                if attempt == retries:
                    raise
                self._nodes.rotate()
                await asyncio.sleep(retry_after_s(error))
            else:
                break
        return transaction.tx_id

    async def submit_and_wait(self, transaction: Transaction, timeout_s: float | None = 30.0) -> Outcome:
        """Hands a transaction in and waits until it is in a block; hands it in again, harmlessly, wherever need be.

        Verified: ``committed`` and ``refused`` are proved by the block's certificate, transaction and receipt.

        Args:
            transaction: signed.
            timeout_s: how long; None: until it is in a block, or none may contain it any more.

        Returns:
            ``committed``: in a block, took effect. ``refused``: in a block, ``code`` says why not. ``pending``,
            ``unknown``: not known yet; it may still come until its expiry, ask with ``outcome``. ``unknown`` with code
            ``expired``: no block may contain it any more, and every node says that none does.

        Raises:
            InvalidInput: the node refused it; ``code`` says why.
            Overloaded: after the retries that this client was given.
            PeerMisbehaved: every node lied.
            RpcUnavailable: no node was reached; once one may have the transaction, lost nodes are waited for until
                ``timeout_s`` and then answered with the status ``unknown``.
        """
        return await Submission(
            self._nodes,
            self._verifier,
            transaction,
            overload_retries=self._overload_retries,
            timeout_s=timeout_s,
        ).run()

    async def submit_many(self, wires: Sequence[bytes], wait_ms: int = 0) -> list[BulkAnswer]:
        """Hands many transactions in through the binary endpoint. The answers are the node's word.

        Args:
            wires: canonical bytes; sent in requests of at most 1,000 transactions and 4 MiB.
            wait_ms: how long each request waits for the block.

        Returns:
            One answer for each, in order.

        Raises:
            Overloaded: the node took nothing at all.
            LocalMisuse: a transaction is longer than any may be.
        """
        return await submit_many(self._nodes, wires, wait_ms)

    async def prepare(
        self,
        sender: bytes,
        *,
        calls: Sequence[NewCall] = (),
        inputs: Sequence[bytes] = (),
        outputs: Sequence[Output] = (),
        attachments: Sequence[Attachment] = (),
        memo: bytes = b"",
        cosigners: Sequence[bytes] = (),
        preimage_hashes: Sequence[bytes] = (),
        lifetime_blocks: int | None = None,
        nonce: bytes | None = None,
    ) -> Body:
        """A transaction's body, checked by a node and made by this client: nothing that a node chose is in it.

        Sign it with ``ledger.transaction.build(body, keys)``. The node's bytes are compared with the client's own;
        only the expiry depends on the (verified) height.

        Args:
            sender: public key, 33 bytes.
            calls: of contracts; arguments as records, bytes or documents.
            inputs: outpoints, 36 bytes each.
            outputs: amounts in minor units, with their locks.
            attachments: documents committed to.
            memo: at most 256 bytes.
            cosigners: keys that sign beside the sender.
            preimage_hashes: SHA-256 of the preimages that inputs need.
            lifetime_blocks: how many blocks from now it may wait; half of the chain's window when left out.
            nonce: 16 bytes; random when left out.

        Raises:
            LocalMisuse: the client was given no genesis.
            InvalidInput: the contract, method or arguments are not the chain's.
            PeerMisbehaved: ``prepare_differs``: the node's bytes are not the client's; ``data["field"]`` says where.
        """
        genesis = self._verifying().light.genesis
        height = (await self.follow()).height
        lifetime = max(1, genesis.parameters.expiry_window // 2) if lifetime_blocks is None else lifetime_blocks
        body = new_body(
            genesis,
            sender,
            expiry_height=height + lifetime,
            nonce=secrets.token_bytes(16) if nonce is None else nonce,
            calls=calls,
            inputs=inputs,
            outputs=outputs,
            attachments=attachments,
            memo=memo,
            cosigners=cosigners,
            preimage_hashes=preimage_hashes,
        )

        async def ask(node: NodeHttp) -> Body:
            document = await node.call("tx.prepare", question_of(body))
            check_prepared(body, read_hex(document, "body"), read_hex(document, "tx_id"))
            return body

        return await self._nodes.run(ask)
