// A stock js-libp2p peer (TCP, Noise, Yamux): dials one address, pings, and says as one JSON line what it met.
import { text } from 'node:stream/consumers'

import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'

const DIAL_MS = 15_000

// Node.js 20 does not have it yet, and the library calls it.
Promise.withResolvers ??= () => {
  const found = {}
  found.promise = new Promise((resolve, reject) => Object.assign(found, { resolve, reject }))
  return found
}

const orders = JSON.parse(await text(process.stdin))
const host = await createLibp2p({
  privateKey: await generateKeyPairFromSeed('Ed25519', Buffer.from(orders.seed, 'hex')),
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { identify: identify(), ping: ping() }
})
const met = { peer_id: host.peerId.toString(), connected: false, ping_ms: [], agent: null, protocols: [] }
const identified = new Promise(resolve => host.addEventListener('peer:identify', event => resolve(event.detail)))
try {
  const address = multiaddr(orders.address)
  const connection = await host.dial(address, { signal: AbortSignal.timeout(DIAL_MS) })
  for (let number = 0; number < orders.pings; number++) {
    met.ping_ms.push(await host.services.ping.ping(connection.remotePeer, { signal: AbortSignal.timeout(DIAL_MS) }))
  }
  met.connected = true
  const found = await Promise.race([identified, new Promise(resolve => setTimeout(resolve, DIAL_MS, {}).unref())])
  met.agent = found.agentVersion ?? null
  met.protocols = found.protocols ?? []
} catch (error) {
  met.error = `${error.name}: ${error.message}`
}
process.stdout.write(JSON.stringify(met) + '\n')
await host.stop()
