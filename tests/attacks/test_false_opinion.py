"""A reviewer tells the chain one thing and seals another to the authorities."""

from __future__ import annotations

import pytest

from contracts.admission.calls import AdmitPatient
from ledger.keys import SigningKey
from ledger.sealing import new_document
from node.flow import documents
from node.flow.client import FlowClient
from node.flow.errors import StageRefused
from node.services.attestation import DOCUMENT_CONTRADICTS
from tests.node.flow.imports import sample
from tests.node.two_chains import two_chains

PATIENT = SigningKey(b"p" * 32)


async def test_opinion_is_refused_when_the_sealed_one_says_the_opposite(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = documents.opinion_document
    async with two_chains() as world, FlowClient(world.business.gateway) as client:
        hospital, reviewer = world.party("City Hospital"), world.party("Reviewer 1")
        platform = world.party("Prescription Platform P")
        admit = AdmitPatient((bytes(PATIENT.public),), client.watcher.time_ms + 86_400_000)
        await client.submitter.call(platform.signing, "admit_patient", admit, contract="admission")
        document = new_document(sample()[0].document, documents.FHIR_MEDIA)
        filed = await client.file(hospital.signing, document, platform=platform.key, patient=PATIENT.public)
        progress = await client.until_done(filed.flow, "file", timeout_s=60)
        await client.request_review(reviewer.signing, progress.authorisation)
        await client.until_granted(filed.flow, "review", timeout_s=60)
        await client.release(platform.signing, platform.sealing, filed.flow)

        def opposite(salt: bytes, flow: bytes, *, approve: bool, reviewer: bytes, time_ms: int):
            return honest(salt, flow, approve=not approve, reviewer=reviewer, time_ms=time_ms)

        monkeypatch.setattr(documents, "opinion_document", opposite)
        await client.opinion(reviewer.signing, filed.flow, approve=True)
        with pytest.raises(StageRefused) as refused:
            await client.until_done(filed.flow, "opinion", timeout_s=60)
        assert refused.value.code == DOCUMENT_CONTRADICTS
        assert (await client.show(filed.flow)).status == "open", "nobody can order on it, and he can say it anew"
        monkeypatch.setattr(documents, "opinion_document", honest)
        await client.opinion(reviewer.signing, filed.flow, approve=True)
        await client.until_done(filed.flow, "opinion", timeout_s=60)
