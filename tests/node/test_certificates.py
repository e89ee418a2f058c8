"""Certificates that end: told 30 days before, once a day in the log, and gone once they are renewed."""

from __future__ import annotations

from structlog.testing import capture_logs

from ledger.admission import FIRST_DELEGATED_SERIAL, AdmissionCertificate, Revocation, sign_certificate, sign_revocation
from ledger.keys import SigningKey, key_text
from node.certificates import DAY_MS, WARN_MS, CertificateWatch, expiring, expiry_of
from node.clock import wall_ms
from tests.node.cluster import FAR_FUTURE_MS, Cluster, running
from tests.node.test_membership_cluster import submit

NOW_MS = 1_000 * DAY_MS


def certificate(end_ms: int) -> AdmissionCertificate:
    return AdmissionCertificate(bytes(32), 1, SigningKey.generate().public, b"", "Hospital", ("member",), 0, end_ms)


def test_warning_begins_thirty_days_before_the_end():
    for left_ms, warning, days in (
        (WARN_MS, "", 30),
        (WARN_MS - 1, "expires_soon", 29),
        (0, "expires_soon", 0),
        (-1, "expired", -1),
        (-DAY_MS - 1, "expired", -2),
    ):
        found = expiry_of(certificate(NOW_MS + left_ms), NOW_MS)
        assert (found.warning, found.days_left) == (warning, days)


async def admit(cluster: Cluster, key: bytes, serial: int, end_ms: int) -> None:
    item = AdmissionCertificate(cluster.genesis.chain_id, serial, key, b"", "Hospital", ("member",), 0, end_ms)
    await submit(cluster, "admit", sign_certificate(item, [cluster.authority]))


async def test_others_certificates_are_told_until_they_are_renewed():
    cluster = Cluster()
    async with running(cluster):
        core, key = cluster.core(0), SigningKey.generate().public
        now_ms = wall_ms() + DAY_MS
        assert core.certificates.expiring(now_ms) == []
        await admit(cluster, key, 1_000, now_ms + 10 * DAY_MS)
        (found,) = core.certificates.expiring(now_ms)
        assert (found.key, found.warning, found.days_left, found.own) == (key, "expires_soon", 10, False)
        assert expiring(core.chain, now_ms) == [found]
        assert core.certificates.document(now_ms)[-1]["key"] == key_text(key)
        await admit(cluster, key, 1_001, FAR_FUTURE_MS)
        assert core.certificates.expiring(now_ms) == []


async def test_own_certificate_is_always_told_and_missed_when_it_is_revoked():
    cluster = Cluster()
    async with running(cluster):
        core, own = cluster.core(1), cluster.members[1].member.public
        assert {item.warning for item in core.certificates.own()} == {""}
        revocation = Revocation(cluster.genesis.chain_id, own, 100, "key_lost")
        await submit(cluster, "revoke", sign_revocation(revocation, [cluster.authority]))
        await cluster.wait_height(cluster.core(0).chain.tip.height, [1], 60)
        watch = CertificateWatch(core.chain, [own])
        (found,) = watch.expiring()
        assert (found.warning, found.own, found.key) == ("not_admitted", True, own)
        assert expiring(core.chain, 0, [own]) == [found]


async def test_log_says_each_certificate_once_a_day():
    cluster = Cluster()
    async with running(cluster):
        core, key = cluster.core(0), SigningKey.generate().public
        now_ms = wall_ms() + DAY_MS
        await admit(cluster, key, 1_000, now_ms + 10 * DAY_MS)
        watch = CertificateWatch(core.chain, [])
        lines = []
        for minutes in (0, 1, 60, 23 * 60, 24 * 60, 24 * 60 + 1):
            with capture_logs() as logs:
                watch.warn(now_ms + minutes * 60_000)
            lines.append([line["key"] for line in logs if line["event"] == "certificate_expires"])
        assert lines == [[key_text(key)], [], [], [], [key_text(key)], []]


async def test_patients_certificates_are_their_platforms_affair():
    cluster = Cluster()
    async with running(cluster):
        core = cluster.core(0)
        # Numbered by the chain: whatever their end, they are not looked at.
        assert all(item.serial < FIRST_DELEGATED_SERIAL for item in expiring(core.chain, FAR_FUTURE_MS + DAY_MS))
        assert len(expiring(core.chain, FAR_FUTURE_MS + DAY_MS)) >= len(cluster.members)
