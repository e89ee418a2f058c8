"""What is wrong with a node that answers, judged from its ``node.status`` alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from node.disk_watch import megabytes
from node.doctor.catalogue import found
from node.doctor.hearing import Hearing, read_hearing
from node.doctor.wording import lasting, listed, name_of
from node.surroundings.finding import Finding

Status = Mapping[str, Any]

SLACK_MS: Final = 4_000
"""What a busy machine may add to a block."""
BEHIND_BLOCKS: Final = 3
DRIFT_MS: Final = 1_000
JUMP_COUNTS_MS: Final = 600_000
REFUSALS_COUNT_MS: Final = 60_000
SKIPPED_TURNS: Final = 2
EXPIRY_WARNING_MS: Final = 30 * 86_400_000
STUCK_DISK_S: Final = 20.0


def examine_status(status: Status) -> list[Finding]:
    """Everything that a ``node.status`` document shows; empty when all is well. In no order."""
    hearing = read_hearing(status)
    findings = [
        *_disk(status),
        *_certificates(status),
        *_clock(status),
        *hearing.findings(),
        *_observing(status, hearing),
        *_coming(status, hearing),
        *_behind(status),
        *_others(status, hearing),
    ]
    if not any(one.severity == "error" for one in findings):
        findings += _stands(status, hearing)
    return findings


def overdue_ms(status: Status) -> int | None:
    """By how much the next block is late, milliseconds; None while it is not."""
    standing, parameters = status["standing"], status["parameters"]
    uptime_ms = int(status["uptime_s"] * 1000)
    since_ms = uptime_ms if standing["tip_ms_ago"] is None else standing["tip_ms_ago"]
    timeout_ms = parameters["base_timeout_ms"]
    # A round or two may come to nothing without anything being wrong.
    late = [since_ms - parameters["empty_block_ms"] - 3 * timeout_ms - SLACK_MS]
    if standing["waiting_ms"] is not None:
        waiting_ms = min(standing["waiting_ms"], since_ms)
        late.append(waiting_ms - parameters["package_ms"] - 8 * timeout_ms - SLACK_MS)
    worst = max(late)
    return worst if worst > 0 else None


def _disk(status: Status) -> Iterator[Finding]:
    disk = status.get("disk") or {}
    if disk.get("scarce"):
        free, reserve = disk["free_bytes"], disk["min_free_bytes"]
        yield found(
            "disk.scarce",
            f"{megabytes(free)} are free; the node stops below {megabytes(reserve)}",
            free_bytes=free,
            min_free_bytes=reserve,
        )
    stuck = (status.get("liveness") or {}).get("stuck_s") or 0
    if stuck > STUCK_DISK_S:
        yield found("disk.stuck", f"a write of a few bytes has been on its way for {stuck:.0f} s", stuck_s=stuck)


def _certificates(status: Status) -> Iterator[Finding]:
    standing, clock = status["standing"], status["clock"]
    own = standing["own_certificate"]
    if own["state"] == "revoked":
        yield found("node.revoked", "the certificate of this node's key is revoked on the chain")
    elif own["state"] in ("expired", "missing"):
        yield found("certificate.lapsed", f"the certificate of this node's key is {own['state']}", state=own["state"])
    elif _expires_soon(own, clock["wall_ms"]):
        yield _lapsing("this node's key", own, clock["wall_ms"])
    for one in standing["validators"]:
        certificate = one["certificate"]
        if one["self"]:
            continue
        if certificate["state"] != "valid":
            yield found(
                "validator.certificate",
                f"the certificate of validator {name_of(one)} is {certificate['state']}",
                organisation=name_of(one),
                state=certificate["state"],
            )
        elif _expires_soon(certificate, clock["wall_ms"]):
            yield _lapsing(f"validator {name_of(one)}", certificate, clock["wall_ms"])


def _expires_soon(certificate: Mapping[str, Any], now_ms: int) -> bool:
    return certificate["expires_ms"] is not None and certificate["expires_ms"] - now_ms < EXPIRY_WARNING_MS


def _lapsing(whose: str, certificate: Mapping[str, Any], now_ms: int) -> Finding:
    left = certificate["expires_ms"] - now_ms
    when = f"expires in {lasting(left)}" if left > 0 else "expired, by this machine's clock"
    return found(
        "certificate.lapsing", f"the certificate of {whose} {when}", expires_ms=certificate["expires_ms"], subject=whose
    )


def _clock(status: Status) -> Iterator[Finding]:
    clock, refused = status["clock"], status["standing"]["refused"]
    tolerance_ms = status["parameters"]["clock_tolerance_ms"]
    offset = clock["offset_ms"]
    if offset is not None and abs(offset) > DRIFT_MS:
        side = "ahead of" if offset > 0 else "behind"
        words = f"this machine's clock is {abs(offset) / 1000:.1f} s {side} those of the other validators"
        lately = refused["ms_ago"] is not None and refused["ms_ago"] < REFUSALS_COUNT_MS
        if abs(offset) > tolerance_ms or (lately and refused["why"] == "time_implausible"):
            yield found("clock.off", f"{words}; proposals may differ by {tolerance_ms / 1000:.0f} s", offset_ms=offset)
        else:
            yield found("clock.drifts", words, offset_ms=offset)
    if clock["jumped_ms_ago"] is not None and clock["jumped_ms_ago"] < JUMP_COUNTS_MS:
        yield found(
            "clock.jumped",
            f"the wall clock jumped by {clock['last_jump_ms'] / 1000:+.1f} s {lasting(clock['jumped_ms_ago'])} ago "
            f"({clock['jumps']} times since the start)",
            jumps=clock["jumps"],
            last_jump_ms=clock["last_jump_ms"],
        )


def _observing(status: Status, hearing: Hearing) -> Iterator[Finding]:
    signer = status.get("signer") or {}
    if not status["validator"] or signer.get("observing") is None:
        return
    through = signer.get("through_height")
    if through is None:
        others = len(hearing.validators) - 1
        needed = len(hearing.validators) - hearing.quorum + hearing.weak_quorum
        until = f"{min(needed, others)} of the {others} other validators have told it what they last heard from it"
    else:
        until = f"height {through} is decided"
    damaged = signer.get("damaged_logs") or []
    kept = f"; the damaged log is kept as wal/{damaged[-1]}" if damaged else ""
    yield found(
        "validator.observing",
        f"this validator does not sign until {until} ({str(signer['observing']).replace('_', ' ')}){kept}",
        reason=signer["observing"],
        through_height=through,
        damaged_logs=damaged,
    )


def _coming(status: Status, hearing: Hearing) -> Iterator[Finding]:
    coming = status.get("coming")
    if coming is None:
        return
    connected = {peer["key"] for peer in status["peers"]} | {status["key"]}
    heard = {one.key for one in hearing.validators if one.heard} | connected
    keys = [one["key"] for one in coming["validators"]]
    there = [key for key in keys if key in heard]
    quorum = (2 * len(keys) - 1) // 3 + 1
    if len(there) < quorum:
        away = [name_of(one) for one in coming["validators"] if one["key"] not in heard]
        yield found(
            "set.below_quorum",
            f"from block {coming['epoch']['from_height']} on {quorum} of {len(keys)} validators are needed, and "
            f"{len(there)} are heard: missing {listed(away)}",
            quorum=quorum,
            heard=len(there),
            missing=away,
        )


def _behind(status: Status) -> Iterator[Finding]:
    height, target = status["chain"]["height"], status["target_height"]
    if target - height > BEHIND_BLOCKS or (status["syncing"] and target > height + 1):
        yield found(
            "node.behind",
            f"this node is at height {height} and knows of {target}: {target - height} blocks to fetch",
            height=height,
            target_height=target,
        )


def _others(status: Status, hearing: Hearing) -> Iterator[Finding]:
    height = status["chain"]["height"]
    behind = [
        peer
        for peer in status["peers"]
        if peer["height"] is not None and max(height, status["target_height"]) - peer["height"] > BEHIND_BLOCKS
    ]
    if behind:
        yield found(
            "validator.behind",
            listed(f"{name_of(peer)} is at height {peer['height']}" for peer in behind) + f"; this node at {height}",
            peers=[{"organisation": name_of(peer), "height": peer["height"]} for peer in behind],
        )
    yield from _silent_proposers(status, hearing)
    yield from _clocks_of_others(status)
    if status["evidence"] or (status["misbehaviour"] or {}).get("waiting"):
        latest = status["misbehaviour"].get("latest") or []
        who = listed(dict.fromkeys(str(one.get("organisation") or one.get("validator")) for one in latest))
        yield found("validator.misbehaved", f"there is proof against {who or 'a validator'}", count=status["evidence"])


def _silent_proposers(status: Status, hearing: Hearing) -> Iterator[Finding]:
    there = {one.key for one in hearing.validators if one.heard}
    skipped = status["standing"]["skipped"]
    silent = [one for one in skipped if one["count"] >= SKIPPED_TURNS and one["key"] in there]
    if silent:
        said = listed(f"{name_of(one)} ({one['count']} turns)" for one in silent)
        yield found(
            "proposer.silent",
            f"validators that are heard have let their last turns to propose pass: {said}",
            turns={name_of(one): one["count"] for one in silent},
        )


def _clocks_of_others(status: Status) -> Iterator[Finding]:
    offsets, middle = status["clock"]["offsets"], status["clock"]["offset_ms"]
    if middle is None:
        return
    tolerance_ms = status["parameters"]["clock_tolerance_ms"]
    names = {one["key"]: name_of(one) for one in status["standing"]["validators"]}
    for key, offset in offsets.items():
        if abs(offset - middle) > tolerance_ms / 2 and key in names:
            side = "behind" if offset > middle else "ahead of"
            yield found(
                "validator.clock_off",
                f"the clock of {names[key]} is {abs(offset - middle) / 1000:.1f} s {side} the others'",
                organisation=names[key],
                offset_ms=round(middle - offset),
            )


def _stands(status: Status, hearing: Hearing) -> Iterator[Finding]:
    late = overdue_ms(status)
    if late is None or status["syncing"] or not hearing.decides:
        return
    standing = status["standing"]
    refused = standing["refused"]
    why = f"; {refused['count']} proposals refused, the last as {refused['why']}" if refused["count"] else ""
    yield found(
        "chain.stands",
        f"height {standing['height']} is not decided, {lasting(late)} after it was due: round {standing['round']}, "
        f"whose proposer is {name_of(standing['proposer'])}{why}",
        height=standing["height"],
        round=standing["round"],
        late_ms=late,
    )
