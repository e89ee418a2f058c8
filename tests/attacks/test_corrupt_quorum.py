"""A corrupt supervision quorum invents what authorities or officers never signed; nothing of it counts."""

from __future__ import annotations

import pytest

from contracts import decisions, keyring
from contracts import messages as m
from contracts.flow import codes
from contracts.flow.answers import LimitsAnswer
from contracts.flow.calls import RequestReview
from contracts.governance.calls import SetPolicy
from contracts.keyring import KeyPage, Nothing
from ledger.envelope_key import HPKE_X25519
from ledger.keys import SigningKey
from ledger.sealing_keys import DecryptionKey
from ledger.token import token, utc_date
from tests.attacks.quorum import CorruptQuorum
from tests.contracts.bridge.kit import key_of, lock_of
from tests.contracts.flow.world import AUTHORITY, CNY, OFFICERS, OTHER_REVIEWER, REVIEWER, SECOND_AUTHORITY

APPOINTED = (key_of("appointed by the quorum"), key_of("also appointed by the quorum"))
"""Keys that the quorum calls authorities or officers, on its own chain."""


@pytest.fixture
def chains() -> CorruptQuorum:
    return CorruptQuorum()


def strangers(chains: CorruptQuorum) -> list[tuple[SigningKey, ...]]:
    """Who the quorum could have sign: its validators, or whom it appoints."""
    return [tuple(chains.supervision.validators), APPOINTED]


def decide(decision: m.Decision) -> decisions.Decide:
    return decisions.Decide(decision, b"", (), b"")


# --- decisions --------------------------------------------------------------------------------------------------------


def test_file_decision_is_refused_when_the_quorum_invents_it(chains: CorruptQuorum) -> None:
    chains.file()
    chains.carry()
    decision = chains.decision_on(m.FILE)
    assert chains.invent(m.DECISION, decision) == codes.DECISION_UNSIGNED
    for signers in strangers(chains):
        made = chains.signed("decide", decide(decision), *signers)
        assert chains.invent(m.DECISION, decision, shown=[made]) == codes.DECISION_UNSIGNED
    assert chains.show().status == "filing"
    # Signed by an authority the very same block is taken: nothing else was wrong with it.
    made = chains.signed("decide", decide(decision), AUTHORITY)
    assert chains.invent(m.DECISION, decision, shown=[made]) == "ok"
    assert chains.show().authorisation == made.tx_id


def test_file_decision_is_refused_when_the_authority_signed_it_for_another_flow(chains: CorruptQuorum) -> None:
    chains.file(text="first")
    authorised = chains.opening(m.FILE)
    chains.carry()
    chains.file(text="second")
    chains.carry()
    decision = chains.decision_on(m.FILE)
    assert chains.invent(m.DECISION, decision, shown=[authorised]) == codes.DECISION_UNSIGNED
    other = chains.signed("decide", decide(decision), *chains.supervision.validators)
    shown = [authorised, other]
    assert chains.invent(m.DECISION, decision, shown=shown, issuer=other) == codes.DECISION_UNSIGNED
    assert chains.show().status == "filing"


def test_refused_document_is_not_authorised_when_the_quorum_turns_the_decision_round(chains: CorruptQuorum) -> None:
    chains.file()
    refused = chains.opening(m.FILE, outcome=m.REFUSED, reason="document_invalid")
    decision = chains.decision_on(m.FILE)
    assert chains.invent(m.DECISION, decision, shown=[refused]) == codes.DECISION_UNSIGNED
    assert chains.show().status == "filing"


def test_signature_of_a_former_authority_is_refused_when_governance_replaced_it(chains: CorruptQuorum) -> None:
    chains.file()
    chains.carry()
    chains.business.govern("governance", "set_policy", SetPolicy("supervision.authorities", lock_of(SECOND_AUTHORITY)))
    decision = chains.decision_on(m.FILE)
    made = chains.signed("decide", decide(decision), AUTHORITY)
    assert chains.invent(m.DECISION, decision, shown=[made]) == codes.DECISION_UNSIGNED
    made = chains.signed("decide", decide(decision), SECOND_AUTHORITY)
    assert chains.invent(m.DECISION, decision, shown=[made]) == "ok"


def test_confirmation_is_refused_when_the_quorum_invents_it(chains: CorruptQuorum) -> None:
    chains.file()
    chains.opened_by_authority(m.FILE)
    chains.request_review()
    chains.carry()
    chains.fresh()
    chains.release()
    chains.opinion()
    chains.carry()
    decision = chains.decision_on(m.OPINION)
    assert chains.invent(m.DECISION, decision) == codes.DECISION_UNSIGNED
    made = chains.signed("decide", decide(decision), *APPOINTED)
    assert chains.invent(m.DECISION, decision, shown=[made]) == codes.DECISION_UNSIGNED
    assert chains.stage(m.OPINION).status == "pending"
    chains.request_order(codes.STAGE_ORDER)


# --- grants -----------------------------------------------------------------------------------------------------------


def grant(chains: CorruptQuorum, authorisation: bytes, **changes: object) -> m.Grant:
    """What could be a grant to review the current flow."""
    now = chains.supervision.time_ms + 1_000
    fields = {
        "flow": chains.flow,
        "stage": m.REVIEW,
        "attempt": 1,
        "holder": REVIEWER.public,
        "authorisation": authorisation,
        "purpose": "pres",
        "pharmacy": b"",
        "order": b"",
        "not_before_ms": 0,
        "not_after_ms": now + 3_600_000,
        "uses": 1,
        "rule_version": 0,
        "token": token(utc_date(now), authorisation, "pres"),
    }
    return m.Grant(**(fields | changes))


def test_grant_is_refused_when_no_authority_authorised_the_flow(chains: CorruptQuorum) -> None:
    chains.file()
    chains.carry()
    for authorisation in (b"a" * 32, chains.flow):
        assert chains.invent(m.GRANT, grant(chains, authorisation)) == codes.NOT_REQUESTED
        chains.call(REVIEWER, "request_review", RequestReview(authorisation), codes.UNKNOWN)
    assert chains.invent(m.GRANT, grant(chains, b"a" * 32, flow=b"f" * 32)) == codes.UNKNOWN
    chains.release(codes.NOT_AUTHORISED, token=token(utc_date(chains.supervision.time_ms), b"a" * 32, "pres"))
    assert chains.show().grants == ()


def test_grant_is_refused_when_nobody_asked_for_it_or_it_is_for_another(chains: CorruptQuorum) -> None:
    chains.file()
    chains.opened_by_authority(m.FILE)
    given = grant(chains, chains.authorisation)
    assert chains.invent(m.GRANT, given) == codes.NOT_REQUESTED
    chains.request_review()
    other = grant(chains, chains.authorisation, holder=OTHER_REVIEWER.public)
    assert chains.invent(m.GRANT, other) == codes.GRANT_MISMATCH
    assert chains.invent(m.GRANT, grant(chains, chains.authorisation, attempt=2)) == codes.ATTEMPT_WRONG
    assert chains.invent(m.GRANT, grant(chains, b"a" * 32)) == codes.GRANT_MISMATCH


def test_grant_is_refused_when_the_flow_was_terminated_meanwhile(chains: CorruptQuorum) -> None:
    chains.file()
    chains.opened_by_authority(m.FILE)
    chains.request_review()
    control = m.Control(chains.flow, 1, m.TERMINATE, "fraud")
    made = chains.signed("control", decisions.ControlFlow(control), *OFFICERS[:2])
    assert chains.invent(m.CONTROL, control, shown=[made]) == "ok"
    assert chains.invent(m.GRANT, grant(chains, chains.authorisation)) == codes.NOT_AUTHORISED
    assert chains.show().grants == ()


# --- controls, limits, keys -------------------------------------------------------------------------------------------


def test_resume_is_refused_when_the_quorum_invents_it(chains: CorruptQuorum) -> None:
    chains.file()
    chains.opened_by_authority(m.FILE)
    suspend = decisions.ControlFlow(m.Control(chains.flow, 1, m.SUSPEND, "inspection"))
    chains.officers("control", suspend, *OFFICERS[:2])
    chains.fresh()
    assert chains.show().suspended
    said = decisions.ControlFlow(m.Control(chains.flow, 2, m.RESUME, "inspected"))
    assert chains.invent(m.CONTROL, said.control) == codes.CONTROL_UNSIGNED
    for signers in (*strangers(chains), OFFICERS[:1], (AUTHORITY, OFFICERS[0])):
        made = chains.signed("control", said, *signers)
        assert chains.invent(m.CONTROL, said.control, shown=[made]) == codes.CONTROL_UNSIGNED
    # What two officers signed for another counter, action or flow does not do either.
    for control in (
        m.Control(chains.flow, 3, m.RESUME, "inspected"),
        m.Control(chains.flow, 2, m.SUSPEND, "inspected"),
        m.Control(b"f" * 32, 2, m.RESUME, "inspected"),
    ):
        made = chains.signed("control", decisions.ControlFlow(control), *OFFICERS[:2])
        assert chains.invent(m.CONTROL, said.control, shown=[made]) == codes.CONTROL_UNSIGNED
    assert chains.show().suspended
    chains.request_review("flow_suspended")
    made = chains.signed("control", said, *OFFICERS[:2])
    assert chains.invent(m.CONTROL, said.control, shown=[made]) == "ok"
    assert not chains.show().suspended


def test_old_resume_changes_nothing_when_the_quorum_says_it_again(chains: CorruptQuorum) -> None:
    chains.file()
    chains.opened_by_authority(m.FILE)
    resume = m.Control(chains.flow, 2, m.RESUME, "inspected")
    chains.officers("control", decisions.ControlFlow(m.Control(chains.flow, 1, m.SUSPEND, "one")), *OFFICERS[:2])
    resumed = chains.signed("control", decisions.ControlFlow(resume), *OFFICERS[:2])
    chains.supervision.run(resumed)
    chains.officers("control", decisions.ControlFlow(m.Control(chains.flow, 3, m.SUSPEND, "two")), *OFFICERS[:2])
    chains.fresh()
    assert chains.show().suspended
    assert chains.invent(m.CONTROL, resume, shown=[resumed]) == "ok", "it is heard"
    assert chains.show().suspended, "and changes nothing"
    assert chains.show().control_counter == 3


def test_signatures_of_former_officers_are_refused_when_governance_replaced_them(chains: CorruptQuorum) -> None:
    chains.file()
    chains.carry()
    newer = lock_of(*OFFICERS[1:], needed=2)
    chains.business.govern("governance", "set_policy", SetPolicy("supervision.officers", newer))
    control = m.Control(chains.flow, 1, m.SUSPEND, "inspection")
    made = chains.signed("control", decisions.ControlFlow(control), *OFFICERS[:2])
    assert chains.invent(m.CONTROL, control, shown=[made]) == codes.CONTROL_UNSIGNED
    made = chains.signed("control", decisions.ControlFlow(control), *OFFICERS[1:])
    assert chains.invent(m.CONTROL, control, shown=[made]) == "ok"


def test_limit_is_refused_when_the_quorum_invents_it(chains: CorruptQuorum) -> None:
    limit = m.Limit("commission", CNY, 1, 2**40)
    assert chains.invent(m.LIMIT, limit) == codes.LIMIT_UNSIGNED
    for signers in (*strangers(chains), OFFICERS[:1], (AUTHORITY,)):
        made = chains.signed("set_limit", decisions.SetLimit(limit), *signers)
        assert chains.invent(m.LIMIT, limit, shown=[made]) == codes.LIMIT_UNSIGNED
    smaller = decisions.SetLimit(m.Limit("commission", CNY, 1, 10))
    made = chains.signed("set_limit", smaller, *OFFICERS[:2])
    assert chains.invent(m.LIMIT, limit, shown=[made]) == codes.LIMIT_UNSIGNED
    limits: LimitsAnswer = chains.business.view("flow", "limits", Nothing())
    assert limits.limits == ()


def test_key_notice_is_refused_when_the_quorum_invents_it(chains: CorruptQuorum) -> None:
    """Or every document from then on would be sealed to the quorum's own key."""
    before: KeyPage = chains.business.view("keyring", "authorities", Nothing())
    own = DecryptionKey.generate_x25519(2).public.public
    for owner, code in ((AUTHORITY, keyring.EVIDENCE_MISSING), (APPOINTED[0], keyring.NOT_AUTHORITY)):
        notice = m.KeyNotice(owner.public, HPKE_X25519, 2, own, False)
        for shown in ([], [chains.signed("publish", decisions.Publish(notice), APPOINTED[1], contract="keyring")]):
            assert chains.invent(m.KEY_NOTICE, notice, shown=shown, sender="keyring", receiver="keyring") == code
    mine = m.KeyNotice(AUTHORITY.public, HPKE_X25519, 2, DecryptionKey.generate_x25519(2).public.public, False)
    published = chains.signed("publish", decisions.Publish(mine), AUTHORITY, contract="keyring")
    forged = m.KeyNotice(AUTHORITY.public, HPKE_X25519, 2, own, False)
    code = chains.invent(m.KEY_NOTICE, forged, shown=[published], sender="keyring", receiver="keyring")
    assert code == keyring.EVIDENCE_MISSING
    assert chains.business.view("keyring", "authorities", Nothing()) == before


def test_a_quorum_can_only_delay_when_it_refuses_in_the_contracts_name(chains: CorruptQuorum) -> None:
    """Refusing needs nobody's signature; it costs an attempt, and nothing that was done before."""
    chains.file()
    chains.opened_by_authority(m.FILE)
    chains.request_review()
    refusal = m.StageRefusal(chains.flow, m.REVIEW, 1, "rules_reviewer_denied", "reviewers", 9)
    assert chains.invent(m.REFUSAL, refusal) == "ok"
    assert (chains.show().status, chains.stage(m.REVIEW).status) == ("open", "refused")
    assert chains.show().authorisation == chains.authorisation
    chains.request_review()
    assert chains.stage(m.REVIEW).status == "pending"
