"""Everything that the doctor can find, in the order of causes: what stands higher explains what stands lower.

docs/doctor.md shows the same table; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from node.surroundings.finding import Finding, Severity


@dataclass(frozen=True, slots=True)
class Entry:
    """One kind of finding.

    Attributes:
        code: stable name.
        severity: of its findings.
        meaning: what it says.
        remedy: what to do.
    """

    code: str
    severity: Severity
    meaning: str
    remedy: str


def _error(code: str, meaning: str, remedy: str) -> Entry:
    return Entry(code, "error", meaning, remedy)


def _warning(code: str, meaning: str, remedy: str) -> Entry:
    return Entry(code, "warning", meaning, remedy)


CATALOGUE: Final = (
    # --- the home ---------------------------------------------------------------------------------------------------
    _error(
        "home.missing", "there is no home at that path", "give the right --home, or make one with `tidegate node init`"
    ),
    _error(
        "config.invalid",
        "the configuration cannot be used",
        "correct the key that it names in config.toml or in the environment",
    ),
    _error(
        "genesis.missing",
        "the home has no genesis file",
        "copy it from any member: `tidegate node init --home HOME --genesis FILE`",
    ),
    _error(
        "genesis.wrong",
        "the genesis file is damaged, or not the one that this home was made for",
        "compare it with another member's by a second way, and put that one in its place",
    ),
    _error(
        "keys.unusable",
        "a key file is missing, damaged, sealed without a passphrase, or open to others",
        "do what it says; restore a lost key from its backup, never from a guess",
    ),
    _error(
        "disk.full",
        "too little room is free on the node's disk; the node stops, or does not start, before its store is stuck",
        "make room (logs, old copies; `tidegate db prune`), or lower storage.min_free_bytes with care; then start it",
    ),
    _error(
        "disk.stuck",
        "the disk does not take a synced write",
        "look at the disk and its controller; move the home to another one when it does not come back",
    ),
    _error(
        "store.other_chain",
        "the data directory is of another chain than the genesis file",
        "put the right genesis file back; or, for a new chain, move data/ and wal/ away together",
    ),
    _error(
        "store.damaged",
        "the store does not open, or its records do not prove themselves",
        "start it: it mends its data from its peers, and says so when it cannot (docs/data.md); look at the disk",
    ),
    _warning(
        "signer.damaged",
        "the signer log is damaged: the node will start, observe, and sign again once it is safe",
        "nothing, as long as the others have a quorum; look at the disk. Never put an old copy of wal/ back",
    ),
    _warning(
        "signer.lost",
        "the signer log is missing although this validator has signed blocks: it will observe at first",
        "nothing, as long as the others have a quorum. Never put an old copy of wal/ back",
    ),
    # --- the process ------------------------------------------------------------------------------------------------
    _error(
        "port.taken",
        "another process listens on the overlay's port",
        "end that process (an older daemon?), or change p2p.listen_port here and at the peers",
    ),
    _error(
        "daemon.failed",
        "the daemon ended with an error",
        "docs/operator.md says what the exit code means; after 70 keep the log and report it; start it again after 76",
    ),
    _error(
        "daemon.killed",
        "the daemon ended without a word: killed, out of memory, or a power failure",
        "look at the system's journal for the reason (`journalctl -k`), then start it: no block is lost by it",
    ),
    _error(
        "daemon.stopped",
        "the daemon was stopped in order, or has never run",
        "start it: `tidegate node run --home HOME`, or its unit",
    ),
    _warning(
        "daemon.starting",
        "the daemon has begun to start or to stop, and does not answer yet",
        "ask again in some seconds; a long chain takes a moment to be rechecked",
    ),
    _error(
        "daemon.hangs",
        "the process is there and does not answer",
        "look whether it is stopped (SIGSTOP), swapped out or waits for its disk; restart it when it stays so",
    ),
    # --- this node among the others ---------------------------------------------------------------------------------
    _error(
        "node.revoked",
        "this node's certificate is revoked: the others do not let it in",
        "ask the admission authority; a new certificate needs a new key",
    ),
    _error(
        "peers.other_chain",
        "peers are nodes of another chain: their genesis file is another one",
        "compare chain ids and genesis hashes with another member; correct p2p.peers or the genesis file",
    ),
    _error(
        "clock.off",
        "this machine's clock is so far off that proposals are refused",
        "set the clock (chrony, systemd-timesyncd), and keep it set",
    ),
    _error(
        "node.alone",
        "this node reaches no other node",
        "look at its network, its firewall and p2p.peers; the others may be well",
    ),
    _error(
        "validator.observing",
        "this validator follows without signing: it does not know what it has signed before",
        "wait: it signs again by itself once the others have told it how far it is safe; connect it to them",
    ),
    _error(
        "quorum.partition",
        "a part of the validators is heard, too few to decide, and no answer comes from the hosts of the rest: the"
        " network may be split",
        "look at the way to those hosts, then at their daemons; the chain goes on by itself when enough are back",
    ),
    _error(
        "quorum.lost",
        "fewer validators are heard than it takes to decide",
        "start the validators that it names: nothing else brings the chain back, governance included",
    ),
    _error(
        "set.below_quorum",
        "of the validators that decide from the next height on, too few are heard",
        "start them before the chain stands: what it has decided cannot be taken back by itself",
    ),
    _warning("node.behind", "this node is behind, and fetches blocks", "wait; when it does not move, look at its log"),
    _error(
        "chain.stands",
        "no block comes although a quorum is heard",
        "ask the doctor of the other validators; keep the logs of all, and restart the proposer that it names",
    ),
    # --- the other validators ---------------------------------------------------------------------------------------
    _warning(
        "validator.missing",
        "a validator is not heard; the others still decide",
        "have its organisation look: it says how many more may fail",
    ),
    _warning("validator.behind", "a node that decides or follows is far behind", "have its organisation look"),
    _warning(
        "validator.clock_off",
        "the block times of one validator differ from those of the others",
        "have its organisation set its clock",
    ),
    _warning(
        "proposer.silent",
        "a validator that is heard lets its turns to propose pass",
        "ask the doctor there: it observes, its clock is off, or it is overloaded",
    ),
    _warning(
        "validator.misbehaved",
        "a validator has signed what no honest one signs",
        "`tidegate evidence list`; docs/evidence.md says what to do",
    ),
    _warning(
        "validator.certificate",
        "a validator's certificate has expired, was revoked, or is missing: it still decides",
        "have it renewed, or take it out of the set by governance",
    ),
    # --- the two chains ---------------------------------------------------------------------------------------------
    _error(
        "relay.frozen",
        "the other chain has contradicted itself: its client is frozen",
        "stop and find out who; docs/operator.md, Fusion nodes",
    ),
    _error(
        "relay.chain_stands",
        "one of the two chains makes no block, so nothing crosses",
        "see the findings about that chain; nothing is lost meanwhile",
    ),
    _error(
        "relay.stuck",
        "packets wait although both chains go on",
        "look at this node's log for relay_delivery_failed; is its member key certified as fusion on both chains?",
    ),
    _error(
        "relay.stale",
        "one chain knows nothing new of the other for longer than flows allow",
        "start the fusion nodes; look at their member keys' certificates",
    ),
    _warning(
        "relay.apart",
        "the chains do not know each other yet",
        "introduce them: `tidegate governance propose-client`, on both",
    ),
    # --- what will be a fault before long ---------------------------------------------------------------------------
    _warning(
        "certificate.lapsed",
        "this node's certificate has expired or is missing: only bootstrap peers let it in",
        "have the admission authority renew it (`tidegate admission issue`)",
    ),
    _warning(
        "certificate.lapsing",
        "a certificate expires within 30 days",
        "have the admission authority renew it (`tidegate admission issue`)",
    ),
    _warning(
        "disk.scarce",
        "the disk has less room than four times the reserve",
        "make room before the node has to stop",
    ),
    _warning(
        "clock.jumped",
        "the wall clock jumped lately",
        "look at what sets it: time synchronisation should slew; virtual machines jump when they are resumed",
    ),
    _warning(
        "clock.drifts",
        "this machine's clock differs from those of the other validators by more than a second",
        "set the clock (chrony, systemd-timesyncd), and keep it set",
    ),
)
"""In the order of causes."""

_PLACES: Final = {entry.code: place for place, entry in enumerate(CATALOGUE)}


def found(code: str, words: str, /, *, remedy: str | None = None, **data: Any) -> Finding:
    """A finding of the catalogue.

    Args:
        code: in ``CATALOGUE``.
        words: what was found this time.
        remedy: where more can be said than the catalogue does.
        **data: JSON types.
    """
    entry = CATALOGUE[_PLACES[code]]
    return Finding(code, entry.severity, words, entry.remedy if remedy is None else remedy, data)


def causes_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors before warnings, and causes before what follows from them."""
    return tuple(sorted(findings, key=lambda one: (one.severity != "error", _PLACES.get(one.code, len(_PLACES)))))
