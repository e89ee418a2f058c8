"""The commission example of PROTOCOL.md 1.4 through a client that openrpcclientgenerator made from rpc.discover.

Nothing of Tidegate is imported: only the generated client, and Ed25519 from ``cryptography``. Keys never leave this
program: it recomputes the digest of what the node prepared, and signs that.

    python commission.py < orders.json      prints what came of it as JSON
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tidegate_http_client.client import TidegateClient
from tidegate_http_client.models import PreparedCall, PreparedOutput, Signature

SUITE = "01"


def digest(tag: str, chain_id: str, body: str) -> bytes:
    """SHA-256 over tag, chain id and body, each behind its length: what every signer signs (docs/rpc.md)."""
    chain, data = bytes.fromhex(chain_id), bytes.fromhex(body)
    head = bytes([len(tag)]) + tag.encode() + bytes([len(chain)]) + chain
    return hashlib.sha256(head + len(data).to_bytes(4, "big") + data).digest()


class Party:
    """Who signs."""

    def __init__(self, client: TidegateClient, chain_id: str, seed: str) -> None:
        self._client, self._chain_id = client, chain_id
        self._key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
        public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
        self.text, self.hex = f"ed25519:{public}", SUITE + public

    async def send(
        self, method: str, arguments: dict[str, Any], inputs: list[str], outputs: list[dict[str, Any]]
    ) -> Any:
        """Prepares, checks, signs, assembles, submits, and waits."""
        call = PreparedCall(contract="commission", method=method, arguments=arguments)
        made = [PreparedOutput(**output) for output in outputs]
        prepared = await self._client.tx.prepare(sender=self.text, inputs=inputs, outputs=made, calls=[call])
        own = digest("tidegate/tx", self._chain_id, prepared.body)
        if own.hex() != prepared.tx_id:
            raise SystemExit("the node's digest is not that of the bytes to sign")
        signature = Signature(key=self.text, signature=self._key.sign(own).hex())
        signed = await self._client.tx.assemble(body=prepared.body, signatures=[signature])
        outcome = await self._client.tx.submit_and_wait(transaction=signed.transaction, timeout_ms=30_000)
        if outcome.status != "committed":
            raise SystemExit(f"{method}: {outcome.status} {outcome.code}")
        return outcome


class Story:
    """The example, from the agreement to the books."""

    def __init__(self, orders: dict[str, Any]) -> None:
        self._orders = orders
        headers = {"Authorization": f"Bearer {orders['token']}"}
        self._client = TidegateClient(headers, f"http://{orders['host']}:{orders['port']}/")

    async def play(self) -> dict[str, Any]:
        """What came of it."""
        orders = self._orders
        info = await self._client.chain.info()
        platform, insurer = (
            Party(self._client, info.chain_id, orders[side]["seed"]) for side in ("platform", "insurer")
        )
        await self._agree(platform, insurer)
        records = [await self._book(platform, sale) for sale in orders["sales"]]
        settled = await self._settle(insurer)
        books = await self._view("books", agreement=orders["agreement"])
        return {"records": records, "settled_by": settled, "books": books}

    async def _view(self, view: str, **arguments: Any) -> Any:
        answer = await self._client.contract.view(contract="commission", view=view, arguments=arguments)
        return answer.document

    async def _agree(self, platform: Party, insurer: Party) -> None:
        orders = self._orders
        sides = {
            side: {
                "organisation": orders[side]["organisation"],
                "key": party.hex,
                "cash": f"account({orders[side]['cash']})",
            }
            for side, party in (("platform", platform), ("insurer", insurer))
        }
        row = dict.fromkeys(("type", "seller", "product", "channel"), "*")
        row |= {name: orders[name] for name in ("pending", "settled", "clawback")}
        triggers = {"count": len(orders["sales"]), "amount": 0, "age_s": 0}
        agreement = {
            "agreement": orders["agreement"], "version": 1, **sides, "currency": orders["currency"], "scale": 2,
            "rate_ppm": 30_000, "base": "premium", "rounding": "half_up", "mapping": [row], "conditions": [],
            "triggers": {**triggers, "schedule_first_ms": 0, "schedule_every_s": 0}, "max_batch": 1_000,
            "clawback_window_s": 30 * 86_400, "activation_height": 0,
        }  # fmt: skip
        await platform.send("propose", {"agreement": agreement, "party": "platform"}, [], [])
        page = await self._view("drafts", agreement=orders["agreement"], after="", limit=10)
        (draft,) = page["drafts"]
        if draft["agreement"] != agreement:
            raise SystemExit("the draft is not what the parties spoke about")
        consent = {"agreement": orders["agreement"], "version": 1, "agreement_hash": draft["agreement_hash"]}
        await insurer.send("sign", {**consent, "party": "insurer"}, [], [])

    async def _book(self, platform: Party, sale: dict[str, Any]) -> str:
        orders = self._orders
        output = {
            "asset": f"commission:claim:{orders['currency']}",
            "amount": sale["commission"],
            "lock": f"all(contract(commission),account({orders['pending']}))",
        }
        details = {
            "policy": sale["policy"], "seller": orders["platform"]["organisation"], "product": "health insurance",
            "channel": "online sales", "premium": sale["premium"], "amount_insured": 0, "sold_on": 20_260_105,
        }  # fmt: skip
        outcome = await platform.send("book", {"agreement": orders["agreement"], "sale": details}, [], [output])
        return str(outcome.tx_id)

    async def _settle(self, insurer: Party) -> str:
        orders = self._orders
        cash = f"account({orders['insurer']['cash']})"
        plan = await self._view("settlement_plan", agreement=orders["agreement"], request=1)
        items = plan["request"]["items"]
        if sum(item["amount"] for item in items) != plan["paid"]:
            raise SystemExit("the request does not add up")
        page = await self._client.utxo.list(lock=cash, asset=orders["currency"])
        inputs, held = [item["outpoint"] for item in items], 0
        for purse in page.unspent:
            if held < plan["paid"]:
                inputs.append(purse.outpoint)
                held += purse.output.amount
        outputs = list(plan["outputs"])
        if held > plan["paid"]:
            outputs.append({"asset": orders["currency"], "amount": held - plan["paid"], "lock": cash})
        order = {"agreement": orders["agreement"], "request": 1, "batch_hash": plan["request"]["batch_hash"]}
        outcome = await insurer.send("settle", {**order, "report": None}, inputs, outputs)
        return str(outcome.tx_id)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(Story(json.load(sys.stdin)).play())))
