// The commission example of PROTOCOL.md 1.4 through a client that @open-rpc/generator made from rpc.discover:
// platform and insurer agree, three sales are booked, the third fires the trigger, the insurer settles.
// Keys never leave this program: it checks what the node prepared, recomputes the digest, and signs it itself.
//
//   node build/commission.js < orders.json      prints what came of it as JSON

import { createHash, createPrivateKey, createPublicKey, KeyObject, sign } from "crypto";
import { readFileSync } from "fs";
import { Client, HTTPTransport, RequestManager } from "@open-rpc/client-js";
import { Tidegate } from "./generated/client/typescript/src/index";

interface Orders {
  host: string;
  port: number;
  token: string;
  agreement: string;
  platform: { organisation: string; seed: string; cash: string };
  insurer: { organisation: string; seed: string; cash: string };
  currency: string;
  pending: string;
  settled: string;
  clawback: string;
  sales: { policy: string; premium: number; commission: number }[];
}

interface Signer {
  key: KeyObject;
  text: string; // ed25519:…
  hex: string; // suite byte and key, as records have it
}

const ED25519_PKCS8 = Buffer.from("302e020100300506032b657004220420", "hex"); // RFC 8410
const SUITE = "01";

function signer(seed: string): Signer {
  const key = createPrivateKey({
    key: Buffer.concat([ED25519_PKCS8, Buffer.from(seed, "hex")]),
    format: "der",
    type: "pkcs8",
  });
  const der = createPublicKey(key).export({ format: "der", type: "spki" });
  const hex = der.slice(der.length - 32).toString("hex");
  return { key, text: `ed25519:${hex}`, hex: SUITE + hex };
}

// SHA-256(len(tag) tag len(chain id) chain id len32(body) body): what every signer signs (docs/rpc.md).
function digest(tag: string, chainId: string, body: string): Buffer {
  const bytes = Buffer.from(body, "hex");
  const size = Buffer.alloc(4);
  size.writeUInt32BE(bytes.length, 0);
  const chain = Buffer.from(chainId, "hex");
  return createHash("sha256")
    .update(Buffer.concat([Buffer.from([tag.length]), Buffer.from(tag), Buffer.from([chain.length]), chain]))
    .update(Buffer.concat([size, bytes]))
    .digest();
}

function connect(orders: Orders): Tidegate {
  const { host, port, token } = orders;
  const client = new Tidegate({ transport: { type: "http", host, port, path: "/" } });
  const headers = { Authorization: `Bearer ${token}` };
  client.transport = new HTTPTransport(`http://${host}:${port}/`, { headers });
  client.rpc = new Client(new RequestManager([client.transport]));
  return client;
}

class Party {
  constructor(private client: Tidegate, private chainId: string, readonly who: Signer) {}

  async send(method: string, args: object, inputs: string[] = [], outputs: any[] = []): Promise<any> {
    const call = { contract: "commission", method, arguments: args };
    const prepared = await this.client.tx_prepare(
      this.who.text, [], undefined as any, undefined as any, inputs as any, outputs as any, [call] as any,
    );
    const own = digest("tidegate/tx", this.chainId, prepared.body as string);
    if (own.toString("hex") !== prepared.tx_id) {
      throw new Error("the node's digest is not that of the bytes to sign");
    }
    const signature = sign(null, own, this.who.key).toString("hex");
    const signed = await this.client.tx_assemble(prepared.body, [{ key: this.who.text, signature }] as any);
    const outcome: any = await this.client.tx_submit_and_wait(signed.transaction, 30000);
    if (outcome.status !== "committed") {
      throw new Error(`${method}: ${outcome.status} ${outcome.code}`);
    }
    return outcome;
  }
}

async function view(client: Tidegate, name: string, args: object): Promise<any> {
  return (await client.contract_view("commission", name, args as any)).document;
}

async function agree(client: Tidegate, orders: Orders, platform: Party, insurer: Party): Promise<void> {
  const side = (party: Orders["platform"], key: Signer) => ({
    organisation: party.organisation, key: key.hex, cash: `account(${party.cash})`,
  });
  const agreement = {
    agreement: orders.agreement,
    version: 1,
    platform: side(orders.platform, platform.who),
    insurer: side(orders.insurer, insurer.who),
    currency: orders.currency,
    scale: 2,
    rate_ppm: 30000,
    base: "premium",
    rounding: "half_up",
    mapping: [{
      type: "*", seller: "*", product: "*", channel: "*",
      pending: orders.pending, settled: orders.settled, clawback: orders.clawback,
    }],
    conditions: [],
    triggers: { count: orders.sales.length, amount: 0, age_s: 0, schedule_first_ms: 0, schedule_every_s: 0 },
    max_batch: 1000,
    clawback_window_s: 30 * 86400,
    activation_height: 0,
  };
  await platform.send("propose", { agreement, party: "platform" });
  const page = await view(client, "drafts", { agreement: orders.agreement, after: "", limit: 10 });
  const draft = page.drafts[0];
  if (page.drafts.length !== 1 || draft.agreement.rate_ppm !== 30000 || draft.agreement.version !== 1) {
    throw new Error("the draft is not what the parties spoke about");
  }
  await insurer.send("sign", {
    agreement: orders.agreement, version: 1, agreement_hash: draft.agreement_hash, party: "insurer",
  });
}

async function book(orders: Orders, platform: Party): Promise<string[]> {
  const records: string[] = [];
  for (const sale of orders.sales) {
    const output = {
      asset: `commission:claim:${orders.currency}`,
      amount: sale.commission,
      lock: `all(contract(commission),account(${orders.pending}))`,
    };
    const outcome = await platform.send("book", {
      agreement: orders.agreement,
      sale: {
        policy: sale.policy, seller: orders.platform.organisation, product: "health insurance",
        channel: "online sales", premium: sale.premium, amount_insured: 0, sold_on: 20260105,
      },
    }, [], [output]);
    records.push(outcome.tx_id);
  }
  return records;
}

async function settle(client: Tidegate, orders: Orders, insurer: Party): Promise<any> {
  const plan = await view(client, "settlement_plan", { agreement: orders.agreement, request: 1 });
  const sum = plan.request.items.reduce((total: number, item: any) => total + item.amount, 0);
  if (sum !== plan.paid) {
    throw new Error(`the request pays ${plan.paid}, its items are worth ${sum}`);
  }
  const purses: any = await client.utxo_list(`account(${orders.insurer.cash})`, orders.currency);
  const inputs = plan.request.items.map((item: any) => item.outpoint);
  let held = 0;
  for (const purse of purses.unspent) {
    if (held < plan.paid) {
      inputs.push(purse.outpoint);
      held += purse.output.amount;
    }
  }
  const outputs = [...plan.outputs];
  if (held > plan.paid) {
    outputs.push({ asset: orders.currency, amount: held - plan.paid, lock: `account(${orders.insurer.cash})` });
  }
  const args = { agreement: orders.agreement, request: 1, batch_hash: plan.request.batch_hash, report: null };
  return insurer.send("settle", args, inputs, outputs);
}

async function main(): Promise<void> {
  const orders: Orders = JSON.parse(readFileSync(0, "utf-8"));
  const client = connect(orders);
  const info = await client.chain_info();
  const platform = new Party(client, info.chain_id as string, signer(orders.platform.seed));
  const insurer = new Party(client, info.chain_id as string, signer(orders.insurer.seed));
  await agree(client, orders, platform, insurer);
  const records = await book(orders, platform);
  const settled = await settle(client, orders, insurer);
  const books = await view(client, "books", { agreement: orders.agreement });
  process.stdout.write(JSON.stringify({ records, settled_by: settled.tx_id, books }) + "\n");
}

main().catch((error) => {
  process.stderr.write(`${error instanceof Error ? error.stack : JSON.stringify(error)}\n`);
  process.exit(1);
});
