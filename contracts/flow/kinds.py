"""Flow kinds: which stages a flow has, and what each needs of the supervision chain. Data, not code (PROTOCOL.md 2).

A kind is defined at genesis or by governance and never changed: a new version is another record, and open flows keep
the version that they were filed under.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

from msgspec import Meta

from contracts.codes import Refusal
from contracts.flow.codes import KIND_INVALID, STAGE_MISSING
from contracts.messages import (
    DELIVER,
    FILE,
    FULFIL,
    NEED_DECISION,
    NEED_GRANT,
    NEED_NONE,
    NEED_REPORT,
    OPINION,
    ORDER,
    REVIEW,
    SETTLE,
    STAGES,
)
from ledger.encoding import Codec, Record

PRESCRIPTION: Final = "prescription"
COMMISSION: Final = "commission"
"""Built-in kinds."""
PRES_PURPOSE: Final = "pres"
ORDER_PURPOSE: Final = "order"

FILE_COPY: Final = "file_copy"
RELEASE: Final = "release"
OPINION_COPY: Final = "opinion_copy"
SETTLE_COPY: Final = "settle_copy"
"""Stages of envelope contexts for copies that are not for the authorities: the document for its platform, the document
released to a reviewer, the opinion for the platform, the settlement record for platform, pharmacy and payer. The
envelopes for the authorities carry ``file``, ``opinion`` and ``settle``; the order's, for the pharmacy, ``order``."""

MAX_MASKED: Final = 64
MAX_PATH_CHARS: Final = 128
MIN_STALENESS_MS: Final = 1_000
MAX_DURATION_MS: Final = 366 * 86_400_000
DAY_MS: Final = 86_400_000
DEFAULT_STALENESS_MS: Final = 30_000

PRESCRIPTION_MASK: Final[tuple[str, ...]] = (
    "*.contained",
    "Patient.identifier:pseudonym",
    "Patient.name",
    "Patient.telecom",
    "Patient.address",
    "Patient.birthDate:year",
    "Patient.deceasedDateTime:year",
    "Patient.photo",
    "Patient.contact",
    "Patient.link",
    "Patient.extension",
    "Patient.modifierExtension",
    "MedicationRequest.subject.display",
    "MedicationRequest.subject.identifier",
    "MedicationRequest.subject.extension",
    "MedicationRequest.insurance",
    "Claim.identifier",
    "Claim.patient.display",
    "Claim.patient.identifier",
    "Claim.patient.extension",
    "Claim.payee",
    "Claim.accident",
    "Claim.item.locationAddress",
    "Claim.insurance.identifier",
    "Claim.insurance.preAuthRef",
    "Claim.insurance.coverage.reference",
    "Claim.insurance.coverage.identifier",
    "Claim.insurance.coverage.extension",
    "Practitioner.birthDate",
    "Practitioner.photo",
)
"""What the built-in kind ``prescription`` masks: whatever names, locates or numbers the patient."""

NEEDS_OF: Final[dict[str, tuple[str, ...]]] = {
    FILE: (NEED_DECISION,),
    REVIEW: (NEED_GRANT, NEED_NONE),
    OPINION: (NEED_DECISION, NEED_NONE),
    ORDER: (NEED_GRANT, NEED_NONE),
    FULFIL: (NEED_NONE,),
    SETTLE: (NEED_REPORT, NEED_NONE),
    DELIVER: (NEED_NONE,),
}
"""What each stage may need. A filing is always decided: everything later descends from its authorisation."""

Name = Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9_]*\Z", max_length=32)]
MaskPath = Annotated[
    str,
    Meta(
        pattern=r"\A(\*|[A-Z][A-Za-z]*)(\.[a-z][A-Za-z0-9]*)+(:(year|pseudonym))?\Z",
        min_length=1,
        max_length=MAX_PATH_CHARS,
    ),
]
Duration = Annotated[int, Meta(ge=0, le=MAX_DURATION_MS)]


class StageSpec(Record, frozen=True):
    """One stage of a kind.

    Attributes:
        stage: from ``contracts.messages.STAGES``.
        need: from ``contracts.messages.NEEDS``, as far as ``NEEDS_OF`` allows.
        purpose: the token's purpose where the need is ``grant``; else empty.
        deadline_ms: how long the supervision chain may take, from the block that asks. 0 where nothing is asked, and
            for a report: that tells of what has happened, and is stored however late.
        window_ms: how long a grant is good for at most, from the block that issued it, whatever the grant itself says;
            where ``review`` or ``order`` needs no grant, how long asker and platform have. 0 elsewhere.
    """

    stage: Annotated[str, Meta(min_length=1, max_length=32)]
    need: Annotated[str, Meta(min_length=1, max_length=32)]
    purpose: Annotated[str, Meta(max_length=32)]
    deadline_ms: Duration
    window_ms: Duration


class FlowKind(Record, frozen=True):
    """A flow kind in one version.

    Attributes:
        name: such as ``prescription``.
        version: from 1; the next version of a kind is one more.
        stages: in the order of ``contracts.messages.STAGES``, ``file`` first.
        max_staleness_ms: stages after ``file`` are refused while the newest proved supervision header is older.
        masked: paths that are masked before a document is sealed to anyone but the authorities (``node.fhir.masking``).
    """

    name: Name
    version: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    stages: Annotated[tuple[StageSpec, ...], Meta(min_length=1, max_length=len(STAGES))]
    max_staleness_ms: Annotated[int, Meta(ge=MIN_STALENESS_MS, le=MAX_DURATION_MS)]
    masked: Annotated[tuple[MaskPath, ...], Meta(max_length=MAX_MASKED)]

    def find(self, stage: str) -> StageSpec | None:
        """The stage's specification, or None where the kind has no such stage."""
        return next((spec for spec in self.stages if spec.stage == stage), None)

    def spec(self, stage: str) -> StageSpec:
        """The stage's specification; refuses with ``flow_stage_missing`` where the kind has none."""
        found = self.find(stage)
        if found is None:
            raise Refusal(STAGE_MISSING, f"flows of kind {self.name} have no stage {stage}")
        return found

    def before(self, stage: str) -> tuple[str, ...]:
        """The kind's stages that come before ``stage``, in order."""
        place = STAGES.index(stage)
        return tuple([spec.stage for spec in self.stages if STAGES.index(spec.stage) < place])


kind_codec = Codec(FlowKind, 16 * 1024, "flow kind")


def check_kind(kind: FlowKind) -> FlowKind:
    """``kind`` itself when flows of it can run.

    Raises:
        Refusal: ``flow_kind_invalid``, with the reason in words.
    """
    names = [spec.stage for spec in kind.stages]
    unknown = [name for name in names if name not in STAGES]
    if unknown:
        raise _invalid(kind, f"there is no stage {unknown[0]!r}; there are {', '.join(STAGES)}")
    if names != [stage for stage in STAGES if stage in names]:
        raise _invalid(kind, f"stages come once each and in this order: {', '.join(STAGES)}")
    if names[0] != FILE:
        raise _invalid(kind, "the first stage is file")
    if (REVIEW in names) != (OPINION in names):
        raise _invalid(kind, "review and opinion come together: an opinion is the result of a review")
    if FULFIL in names and ORDER not in names:
        raise _invalid(kind, "fulfil needs an order")
    if DELIVER in names and SETTLE in names and FULFIL not in names:
        raise _invalid(kind, "a settlement that another contract makes ends the flow: no deliver after it")
    for spec in kind.stages:
        _check_spec(kind, spec)
    if len(set(kind.masked)) != len(kind.masked):
        raise _invalid(kind, "a path is masked twice")
    return kind


def _check_spec(kind: FlowKind, spec: StageSpec) -> None:
    if spec.need not in NEEDS_OF[spec.stage]:
        raise _invalid(kind, f"stage {spec.stage} may need {' or '.join(NEEDS_OF[spec.stage])}, not {spec.need!r}")
    if (spec.need == NEED_GRANT) != bool(spec.purpose):
        raise _invalid(kind, f"stage {spec.stage}: a purpose is named where, and only where, a grant is needed")
    if not all("!" <= char <= "~" for char in spec.purpose):
        raise _invalid(kind, f"stage {spec.stage}: a purpose is visible ASCII characters")
    if (spec.need in (NEED_DECISION, NEED_GRANT)) != bool(spec.deadline_ms):
        raise _invalid(kind, f"stage {spec.stage}: decisions and grants have a deadline, nothing else has")
    if (spec.stage in (REVIEW, ORDER)) != bool(spec.window_ms):
        raise _invalid(kind, f"stage {spec.stage}: review and order have a window, no other stage has")


def _invalid(kind: FlowKind, why: str) -> Refusal:
    return Refusal(KIND_INVALID, f"flow kind {kind.name}: {why}", kind=kind.name)


def prescription(
    *,
    masked: Sequence[str] = PRESCRIPTION_MASK,
    deadline_ms: int = DAY_MS,
    window_ms: int = 90 * DAY_MS,
    max_staleness_ms: int = DEFAULT_STALENESS_MS,
) -> FlowKind:
    """Version 1 of the built-in kind ``prescription``: every stage."""
    return FlowKind(
        PRESCRIPTION,
        1,
        (
            StageSpec(FILE, NEED_DECISION, "", deadline_ms, 0),
            StageSpec(REVIEW, NEED_GRANT, PRES_PURPOSE, deadline_ms, window_ms),
            StageSpec(OPINION, NEED_DECISION, "", deadline_ms, 0),
            StageSpec(ORDER, NEED_GRANT, ORDER_PURPOSE, deadline_ms, window_ms),
            StageSpec(FULFIL, NEED_NONE, "", 0, 0),
            StageSpec(SETTLE, NEED_REPORT, "", 0, 0),
            StageSpec(DELIVER, NEED_NONE, "", 0, 0),
        ),
        max_staleness_ms,
        tuple(masked),
    )


def commission(*, deadline_ms: int = DAY_MS, max_staleness_ms: int = DEFAULT_STALENESS_MS) -> FlowKind:
    """Version 1 of the built-in kind ``commission``: filed and decided above the limit, then settled; else reported."""
    return FlowKind(
        COMMISSION,
        1,
        (
            StageSpec(FILE, NEED_DECISION, "", deadline_ms, 0),
            StageSpec(SETTLE, NEED_REPORT, "", 0, 0),
        ),
        max_staleness_ms,
        (),
    )
