"""Checks of a home's admission certificates: whether its keys are admitted, for whom, as what, and how long."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from contracts.admission import find_certificate, find_revocation
from contracts.builtin import build_rules
from ledger.admission import SUBMITTING_ROLES, AdmissionCertificate
from ledger.errors import TidegateError
from ledger.genesis import Genesis
from ledger.keys import key_text
from ledger.state import StoredState
from ledger.store_leveldb import LevelStore
from node.certificates import DAY_MS, WARN_MS
from node.config import Config
from node.layout import HomeLayout
from node.node_keys import NodeKeys
from node.surroundings.finding import Finding, error, ok, warning

NODE_ROLES: Final = frozenset({"validator", "observer"})
RENEW: Final = "have it renewed: tidegate admission renew (docs/networks.md)"


def judge_end(code: str, what: str, end_ms: int, remedy: str, now_ms: int | None = None) -> Finding:
    """What to think of something that ends at ``end_ms``."""
    now = int(time.time() * 1000) if now_ms is None else now_ms
    days = (end_ms - now) // DAY_MS
    data = {"expires_ms": end_ms, "days_left": days}
    if end_ms < now:
        return error(f"{code}.expired", f"{what} ended {-days} days ago", remedy, **data)
    if end_ms - now < WARN_MS:
        return warning(f"{code}.expires", f"{what} ends in {days} days", remedy, **data)
    return ok(f"{code}.valid", f"{what} holds for {days} days", **data)


def check_told(status: Mapping[str, Any]) -> Iterator[Finding]:
    """The certificates as a running node's ``node.status`` tells them."""
    for item in status.get("certificates") or ():
        subject, data = str(item["subject"]), {"key": item["key"]}
        if item["warning"] == "not_admitted":
            yield error("certificate.missing", f"{item['key']} is not admitted to the chain", _ADMIT, **data)
        elif item["own"]:
            yield judge_end("certificate", f"this node's certificate, {subject},", item["expires_ms"], RENEW)
        elif item["warning"]:
            found = judge_end("certificate.other", f"the certificate of {subject}", item["expires_ms"], RENEW)
            # Another's certificate does not keep this node from its work.
            yield Finding(found.code, "warning", found.words, found.remedy, {**found.data, **data})


_ADMIT: Final = "have the admission authority certify it: tidegate admission issue, then admit"


def check_own(layout: HomeLayout, config: Config, genesis: Genesis, keys: NodeKeys) -> Iterator[Finding]:
    """The certificates of a home whose daemon does not run, from its state; of a new home, from its genesis."""
    try:
        found, revoked, since = _look_up(layout, genesis, keys)
    except TidegateError as failure:
        yield warning(
            "certificate.unknown",
            f"the chain's state cannot be read, so that certificates are not checked: {failure.message}",
            "tidegate db verify says what is damaged",
        )
        return
    for use, key in (("validator", keys.validator.public), ("member", keys.member.public)):
        certificate = found.get(key)
        data = {"use": use, "key": key_text(key)}
        if key in revoked:
            yield error(
                "certificate.revoked",
                f"the {use} key was revoked ({since})",
                "make new keys and have them certified: tidegate admission rotate",
                **data,
            )
        elif certificate is None:
            yield error(
                "certificate.missing", f"the {use} key {key_text(key)} is not admitted ({since})", _ADMIT, **data
            )
        else:
            yield from _check_one(use, certificate, config, keys, since)
    if keys.validator.public in genesis.registered().keys:
        yield ok("certificate.validator", "this node is one of the chain's first validators")


def _check_one(
    use: str, certificate: AdmissionCertificate, config: Config, keys: NodeKeys, since: str
) -> Iterator[Finding]:
    data = {"use": use, "serial": certificate.serial}
    if certificate.organisation != config.node.organisation:
        yield error(
            "certificate.organisation",
            f"the {use} key is certified for {certificate.organisation!r}, and the node says that it is of "
            f"{config.node.organisation!r}",
            "correct node.organisation in config.toml, or have the key certified anew",
            **data,
        )
    roles = frozenset(certificate.roles)
    if use == "validator" and certificate.transport != keys.transport.public_key:
        yield error(
            "certificate.transport",
            "the certificate names another transport key than the one in keys/: peers refuse this node",
            "put the right transport.key back, or have this one certified with the validator key",
            **data,
        )
    wanted = NODE_ROLES if use == "validator" else SUBMITTING_ROLES
    if not roles & wanted:
        yield error(
            "certificate.roles",
            f"the {use} key has the roles {', '.join(certificate.roles)}; one of {', '.join(sorted(wanted))} is needed",
            "have it certified anew with the role that it needs",
            **data,
        )
    if certificate.not_before_ms > int(time.time() * 1000):
        yield error(
            "certificate.early", f"the {use} key's certificate begins later", "compare the clock, or wait", **data
        )
    yield judge_end("certificate", f"the {use} key's certificate ({since})", certificate.not_after_ms, RENEW)


def _look_up(
    layout: HomeLayout, genesis: Genesis, keys: NodeKeys
) -> tuple[dict[bytes, AdmissionCertificate], frozenset[bytes], str]:
    """Certificates by key, revoked keys, and as of when that is."""
    place = layout.data_dir / "chain"
    wanted = (bytes(keys.validator.public), bytes(keys.member.public))
    if not (place / "CURRENT").exists():
        return {c.key: c for c in genesis.admitted() if c.key in wanted}, frozenset(), "as of the genesis"
    address = build_rules(genesis).address_of("admission")
    store = LevelStore(str(place))
    try:
        state = StoredState(store)
        found = {key: certificate for key in wanted if (certificate := find_certificate(state, address, key))}
        revoked = frozenset(k for k in wanted if k not in found and find_revocation(state, address, k) is not None)
    finally:
        store.close()
    return found, revoked, "as of the last block that this home has"
