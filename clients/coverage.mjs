// Runs @open-rpc/test-coverage with its own rules over a document: every method is called with its example, or with
// parameters made from its schema, and the result is held against the example and the schema. HTTP carries the
// token; methods that need a connection that stays (x-connected) go over a WebSocket.
//
//   node coverage.mjs DOCUMENT TOKEN      prints what failed, with the answer, as JSON

import { readFileSync } from "fs";
import { createRequire } from "module";

const require = createRequire(import.meta.url);
const testCoverage = require("@open-rpc/test-coverage/build/coverage").default;
const { parseOpenRPCDocument } = require("@open-rpc/schema-utils-js");

const [path, token] = process.argv.slice(2);
const openrpcDocument = await parseOpenRPCDocument(JSON.parse(readFileSync(path, "utf-8")));
const connected = new Set(openrpcDocument.methods.filter((method) => method["x-connected"]).map(({ name }) => name));
const url = openrpcDocument.servers[0].url;
let id = 0;

async function overHttp(request) {
  const headers = { "Content-Type": "application/json", Authorization: `Bearer ${token}` };
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(request) });
  return response.json();
}

function overWebSocket(request) {
  const { WebSocket } = globalThis;
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url.replace(/^http/, "ws").replace(/\/$/, "/ws"), ["jsonrpc", `bearer.${token}`]);
    socket.onopen = () => socket.send(JSON.stringify(request));
    socket.onerror = () => reject(new Error("the WebSocket failed"));
    socket.onmessage = async ({ data }) => {
      const message = JSON.parse(typeof data === "string" ? data : await data.text());
      if (message.id === request.id) {
        socket.close();
        resolve(message);
      }
    };
  });
}

const transport = (_, method, params) => {
  const request = { jsonrpc: "2.0", id: ++id, method, params };
  return connected.has(method) ? overWebSocket(request) : overHttp(request);
};

const calls = await testCoverage({ openrpcDocument, transport, reporters: [], skip: [], only: [] });
const failed = calls.filter((call) => !call.valid);
const methods = new Set(calls.map((call) => call.methodName));
process.stdout.write(
  JSON.stringify({
    methods: methods.size,
    documented: openrpcDocument.methods.length,
    calls: calls.length,
    failed: failed.map(({ methodName, params, reason, error }) => ({
      methodName,
      params,
      error,
      reason: error ? undefined : String(reason).slice(0, 2000),
    })),
  }) + "\n",
  () => process.exit(0),
);
