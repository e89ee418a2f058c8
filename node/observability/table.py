"""Every metric of the daemon, said once: the collectors fill it, docs/metrics.md is written from it.

Names follow CometBFT's where it has the thing, with prefix ``tidegate_``; units are seconds and bytes. All metrics of a
chain carry the label ``chain``, because a fusion daemon hosts two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

COUNTER: Final = "counter"
GAUGE: Final = "gauge"
HISTOGRAM: Final = "histogram"
CHAIN: Final = "chain"
PREFIX: Final = "tidegate_"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: with the prefix; a counter's ends in ``_total``.
        kind: ``counter``, ``gauge`` or ``histogram``.
        labels: their names, in order.
        words: what it says, in one sentence.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    words: str


METRICS: Final[dict[str, Metric]] = {}
"""All of them by name, in the order of docs/metrics.md."""


def _metric(kind: str, name: str, words: str, *labels: str, chain: bool = True) -> Metric:
    found = Metric(PREFIX + name, kind, (CHAIN, *labels) if chain else labels, words)
    METRICS[found.name] = found
    return found


def _gauge(name: str, words: str, *labels: str, chain: bool = True) -> Metric:
    return _metric(GAUGE, name, words, *labels, chain=chain)


def _counter(name: str, words: str, *labels: str, chain: bool = True) -> Metric:
    return _metric(COUNTER, name, words, *labels, chain=chain)


def _histogram(name: str, words: str, *labels: str, chain: bool = True) -> Metric:
    return _metric(HISTOGRAM, name, words, *labels, chain=chain)


# --- consensus ------------------------------------------------------------------------------------------------------

HEIGHT: Final = _gauge("consensus_height", "Height of the last committed block.")
BLOCK_TIME: Final = _gauge("consensus_latest_block_time_seconds", "Time in the last block's header, Unix seconds.")
BLOCK_INTERVAL: Final = _histogram(
    "consensus_block_interval_seconds", "Between the times of two blocks that follow each other, while not syncing."
)
MAX_INTERVAL: Final = _gauge(
    "consensus_max_block_interval_seconds", "After so long without one the chain makes an empty block (empty_block_ms)."
)
ROUND: Final = _gauge("consensus_round", "Current round of the height being decided; 0 when all goes well.")
ROUNDS: Final = _counter(
    "consensus_rounds_total",
    "Later rounds entered: timeout (our timer fired), jump (a weak quorum was ahead), proposal (a later round's came),"
    " restored (after a restart).",
    "reason",
)
STEP: Final = _histogram(
    "consensus_step_duration_seconds",
    "Steps of a block here: proposal (execute until our PREPARE), prepare (until our COMMIT), commit (until decided),"
    " store (until on the disk).",
    "step",
)
BLOCK_SIZE: Final = _gauge("consensus_block_size_bytes", "Transactions and references of the last block, as stored.")
BLOCK_TXS: Final = _gauge("consensus_num_txs", "Transactions in the last block.")
TXS: Final = _counter("consensus_txs_total", "Transactions in blocks committed since the start.")
REFUSED_TXS: Final = _counter("consensus_refused_txs_total", "Of these, those whose receipt is a refusal.")
BLOCKS: Final = _counter("consensus_blocks_total", "Blocks committed or imported since the start.")
SYNCING: Final = _gauge("consensus_syncing", "1 while blocks are being fetched from peers.")
TARGET: Final = _gauge("consensus_target_height", "Highest height that a credible connected peer claims.")
EPOCH: Final = _gauge("consensus_epoch", "Number of the validator epoch of the height being decided.")
VALIDATORS: Final = _gauge("consensus_validators", "Validators of the height being decided, one vote each.")
QUORUM: Final = _gauge("consensus_quorum", "Validators that a decision needs.")
SEATED: Final = _gauge("consensus_is_validator", "1 while this node is one of them.")
OBSERVING: Final = _gauge("consensus_observing", "1 while this node follows without signing although it is seated.")
MISSING: Final = _gauge(
    "consensus_missing_validators",
    "Seated for the last block and not in its certificate, which is closed as soon as a quorum is in it.",
)
SILENT: Final = _gauge(
    "consensus_silent_validators",
    "Other validators not heard, neither votes nor status, for 30 s, or for three of the longest block intervals.",
)
LAPSED: Final = _gauge("consensus_lapsed_validators", "Validators whose certificate is expired, revoked or missing.")
BYZANTINE: Final = _gauge("consensus_byzantine_validators", "Validators against whom evidence waits or is on chain.")
EVIDENCE: Final = _counter("consensus_evidence_total", "Faults of validators that this node found since the start.")
MISSED: Final = _counter(
    "consensus_validator_missed_blocks_total",
    "Blocks since the start in whose certificate a seated validator is not.",
    "validator",
    "organisation",
)
LAST_SIGNED: Final = _gauge(
    "consensus_validator_last_signed_height",
    "Newest block since the start in whose certificate a validator is; 0 where there is none.",
    "validator",
    "organisation",
)

# --- mempool --------------------------------------------------------------------------------------------------------

MEMPOOL_SIZE: Final = _gauge("mempool_size", "Transactions that wait.")
MEMPOOL_BYTES: Final = _gauge("mempool_size_bytes", "Their wire bytes.")
MEMPOOL_MAX: Final = _gauge("mempool_max_size", "Bound of the transactions that wait.")
MEMPOOL_MAX_BYTES: Final = _gauge("mempool_max_size_bytes", "Bound of their wire bytes.")
MEMPOOL_OLDEST: Final = _gauge("mempool_oldest_seconds", "How long the oldest one has waited; 0 where none waits.")
MEMPOOL_FAILED: Final = _counter("mempool_failed_txs_total", "Transactions that were not admitted.", "code")
MEMPOOL_EVICTED: Final = _counter("mempool_evicted_txs_total", "Those that left without being in a block.", "code")
MEMPOOL_ORGANISATIONS: Final = _gauge("mempool_organisations", "Organisations of which something waits.")
MEMPOOL_ORGANISATION: Final = _gauge(
    "mempool_organisation_bytes", "What waits of the organisations with most of it, at most 16.", "organisation"
)
DROPPED_BATCHES: Final = _counter("mempool_dropped_batches_total", "Gossiped batches dropped because too many waited.")

# --- overlay --------------------------------------------------------------------------------------------------------

PEERS: Final = _gauge("p2p_peers", "Connected peers.")
RECEIVED: Final = _counter("p2p_receive_bytes_total", "Bytes received: vote, bulk, request.", "channel")
SENT: Final = _counter("p2p_send_bytes_total", "Bytes sent, likewise.", "channel")
FRAMES_IN: Final = _counter("p2p_receive_frames_total", "Frames received.")
FRAMES_OUT: Final = _counter("p2p_send_frames_total", "Frames sent.")
QUEUED: Final = _gauge("p2p_queued_bytes", "Bytes that wait to be sent to all peers.")
SLOW_PEERS: Final = _counter("p2p_slow_peer_drops_total", "Peers disconnected because a queue to them was full.")
REFUSED_CONNECTIONS: Final = _counter("p2p_refused_connections_total", "Connections refused: identity, penalty, limit.")
MISBEHAVED: Final = _counter("p2p_misbehaved_peers_total", "Peers disconnected for what they sent.")
RECONNECTS: Final = _counter("p2p_reconnects_total", "Connections to peers that had been connected before.")
DIAL_FAILURES: Final = _counter("p2p_dial_failures_total", "Connections that could not be made.")
REBUILDS: Final = _counter("p2p_rebuilds_total", "How often the watchdog rebuilt the overlay.")
GOSSIP: Final = _counter(
    "p2p_gossip_items_total", "Gossiped items: delivered, duplicates, pushed, fetched, served, rejected.", "outcome"
)

# --- storage --------------------------------------------------------------------------------------------------------

FSYNC: Final = _histogram(
    "store_fsync_seconds", "Synced writes: blocks (a block's batch), signer (the signer log).", "file"
)
RETAINED: Final = _gauge("store_retained_height", "Lowest height whose contents are kept.")
STORE_BYTES: Final = _gauge("store_size_bytes", "Files of the chain's store, looked at once a minute.")
DISK_FREE: Final = _gauge("store_disk_free_bytes", "Free on the fullest disk that the home writes to.", chain=False)
DISK_TOTAL: Final = _gauge("store_disk_size_bytes", "Size of that disk.", chain=False)
DISK_RESERVE: Final = _gauge("store_disk_reserve_bytes", "The node stops in order when less is free.", chain=False)

# --- RPC ------------------------------------------------------------------------------------------------------------

RPC_REQUESTS: Final = _counter(
    "rpc_requests_total", "Requests answered, by method and code (ok or an error).", "method", "code"
)
RPC_SECONDS: Final = _histogram("rpc_request_duration_seconds", "From a request's arrival to its answer.", "method")
RPC_REFUSED: Final = _counter("rpc_refused_total", "Requests that a limit turned away before any method.", "code")
RPC_CONNECTIONS: Final = _gauge("rpc_connections", "Open connections, by kind.", "kind")
SUBSCRIPTIONS: Final = _gauge("rpc_subscriptions", "Open subscriptions.")
WAITERS: Final = _gauge("rpc_waiting_clients", "Transactions whose outcome somebody waits for.")

# --- between two chains ---------------------------------------------------------------------------------------------

CLIENT_HEIGHT: Final = _gauge(
    "bridge_client_height", "Newest block of the other chain that this chain believes.", "role"
)
CLIENT_AGE: Final = _gauge("bridge_client_age_seconds", "Age of what is known of the other chain.", "role")
CLIENT_MAX_AGE: Final = _gauge("bridge_client_max_staleness_seconds", "Age up to which it counts.", "role")
CLIENT_FROZEN: Final = _gauge("bridge_client_frozen", "1 when the other chain has contradicted itself.", "role")
PACKETS_SENT: Final = _counter("bridge_packets_sent_total", "Packets that this chain has sent, ever.", "role")
PACKETS_ANSWERED: Final = _counter("bridge_packets_answered_total", "Of those, the answered ones.", "role")
PACKETS_RECEIVED: Final = _counter("bridge_packets_received_total", "Packets taken from the other chain, ever.", "role")
UNANSWERED: Final = _gauge("bridge_unanswered_packets", "Packets sent and not answered yet.", "role")
OLDEST_UNANSWERED: Final = _gauge("bridge_oldest_unanswered_seconds", "Age of the oldest of them; 0: none.", "role")
PROOF_SECONDS: Final = _histogram(
    "bridge_proof_verification_seconds",
    "Executions of a delivery or of followed headers, proofs and receivers included; a delivery runs several times.",
    "method",
)
RELAY_LAG_BLOCKS: Final = _gauge(
    "relay_lag_blocks",
    "Blocks of the source above the newest one proved to the destination.",
    "source",
    "destination",
    chain=False,
)
RELAY_LAG: Final = _gauge(
    "relay_lag_seconds",
    "Age of the oldest block with something that was not delivered yet; 0: none.",
    "source",
    "destination",
    chain=False,
)
RELAY_CONNECTED: Final = _gauge(
    "relay_connected", "1 when the destination has a light client of the source.", "source", "destination", chain=False
)
RELAY_UNDER_WAY: Final = _gauge(
    "relay_blocks_under_way",
    "Blocks with something to deliver that is under way.",
    "source",
    "destination",
    chain=False,
)
RELAY_DELIVERIES: Final = _counter(
    "relay_deliveries_total", "Deliveries of this relay that were committed.", "source", "destination", chain=False
)
RELAY_PACKETS: Final = _counter(
    "relay_packets_total", "Packets in them that were taken.", "source", "destination", chain=False
)
RELAY_ANSWERS: Final = _counter(
    "relay_answers_total", "Answers in them that were taken.", "source", "destination", chain=False
)
RELAY_HEADERS: Final = _counter(
    "relay_followed_headers_total",
    "Headers that change the set, shown by this relay.",
    "source",
    "destination",
    chain=False,
)
RELAY_FAILURES: Final = _counter(
    "relay_failures_total", "Deliveries that failed.", "source", "destination", chain=False
)
RELAY_TAKEN_OVER: Final = _counter(
    "relay_taken_over_total",
    "Deliveries made because the relay whose turn it was did not.",
    "source",
    "destination",
    chain=False,
)
RELAY_BUSY: Final = _counter(
    "relay_busy_seconds_total", "Processor time spent on deliveries.", "source", "destination", chain=False
)

# --- supervision ----------------------------------------------------------------------------------------------------

REQUESTS: Final = _gauge("supervision_requests", "Stage requests by what became of them.", "status")
PENDING: Final = _gauge(
    "supervision_pending_decisions", "Requests that wait: for an authority, for officers.", "waits_for"
)
OLDEST_PENDING: Final = _gauge("supervision_oldest_pending_seconds", "How long the oldest of them waits.", "waits_for")
RULE_HITS: Final = _counter(
    "supervision_rule_hits_total", "Times that a rule or list held or refused, since the start.", "rule", "outcome"
)
DECISIONS: Final = _counter("supervision_decisions_total", "Requests decided by authority or officers.", "status")
DISCLOSURES: Final = _counter("supervision_disclosures_total", "Entries in the disclosure log, ever.")

# --- the node -------------------------------------------------------------------------------------------------------

CERTIFICATES: Final = _gauge(
    "certificates_expiring",
    "Certificates that expire within 30 days, or have; of this node (own) and of others.",
    "own",
)
CERTIFICATE_EXPIRY: Final = _gauge(
    "certificate_expiry_time_seconds",
    "When a certificate of this node expires, Unix seconds; 0 where it has none.",
    "subject",
    "key",
)
CLOCK_OFFSET: Final = _gauge(
    "clock_offset_seconds", "How far our clock is ahead of the other validators'.", chain=False
)
CLOCK_JUMPS: Final = _counter("clock_jumps_total", "Jumps of the wall clock since the start.", chain=False)
READY: Final = _gauge("ready", "1 while /readyz answers 200.", chain=False)
LOOP_LAG: Final = _histogram(
    "loop_lag_seconds", "How late a timer of the event loop fires, four times a second.", chain=False
)
LOOP_LAG_MAX: Final = _gauge("loop_lag_max_seconds", "The latest of the last minute.", chain=False)
STARTED: Final = _gauge("start_time_seconds", "When the daemon started, Unix seconds.", chain=False)
BUILD: Final = _gauge(
    "build_info", "Always 1; its labels say what runs.", "version", "node", "organisation", chain=False
)
COLLECT_SECONDS: Final = _gauge("collect_seconds", "How long the last collection of these metrics took.", chain=False)
COLLECT_ERRORS: Final = _counter("collect_errors_total", "Parts that could not be read.", "part", chain=False)
SPANS: Final = _counter(
    "telemetry_spans_total", "Spans: exported, dropped (queue full), failed.", "outcome", chain=False
)
