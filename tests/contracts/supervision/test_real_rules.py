"""Lists and expressions of the chain's own rule book, as requests of the business chain meet them."""

import pytest

from contracts import decisions
from contracts import messages as m
from contracts.expression.attributes import Attribute
from contracts.registry import participants as people
from contracts.rulebook import calls as book
from contracts.rulebook.fingerprints import fingerprint
from contracts.rulebook.records import Declared, ExpressionRule, ListRule
from contracts.supervision import answers as a
from contracts.supervision import codes
from ledger.encoding import Codec
from tests.contracts.bridge.kit import call
from tests.contracts.flow import world as flow_world
from tests.contracts.flow.world import OFFICERS, PHARMACY, REVIEWER
from tests.contracts.supervision.test_two_chains import SUPERVISION, TwoChains
from tests.contracts.supervision.world import SUBJECT


class Ruled(TwoChains):
    """Two chains whose officers change the rules."""

    def _book(self, name: str, arguments, *signers):
        made = self.supervision.tx(signers[0], call("rules", name, arguments), cosigners=signers[1:])
        return self.supervision.run(made).results[0]

    def adopt(self, entries=(), **changes) -> None:
        """A version of the rules from proposal to force; ``entries``: list and fingerprint of each."""
        lone, two = OFFICERS[:1], OFFICERS[:2]
        base = self.supervision.view("rules", "status", a.Nothing()).in_force
        proposed = self._book("propose", book.Propose(base, "", **changes), *lone)
        draft = Codec(book.Proposed, 128).decode(proposed).draft
        for index, (name, listed) in enumerate(entries):
            self._book("stage", book.Stage(draft, index, name, True, (book.Entry(listed),)), *lone)
        sealed = Codec(book.Sealed, 256).decode(self._book("seal", book.DraftArguments(draft), *lone))
        self._book("approve", book.Approve(draft, sealed.digest), *two)
        self._book("activate", book.Activate(draft, 0), *lone)
        self.fresh()

    def listing(self, name: str, kind: str, *parts: bytes | str, **more) -> None:
        self.adopt([(name, fingerprint(kind, *parts))], lists=(ListRule(name, kind, "deny", **more),))

    def refusal(self, stage: str) -> tuple[str, str, str]:
        self.carry()
        shown = self.stage(stage)
        return shown.status, shown.reason, shown.rule


@pytest.fixture
def chains():
    return Ruled()


def test_a_filing_is_refused_when_its_subject_is_listed(chains):
    chains.listing("subjects", "subject", SUBJECT, stages=(m.FILE,))
    chains.file()
    chains.opened_by_authority(m.FILE)
    assert chains.refusal(m.FILE) == ("refused", "rules_subject_listed", "subjects")


def test_a_review_is_refused_when_the_reviewer_is_listed(chains):
    chains.listing("reviewers", "reviewer", REVIEWER.public)
    chains.file()
    chains.opened_by_authority(m.FILE)
    chains.request_review()
    assert chains.refusal(m.REVIEW) == ("refused", "rules_reviewer_listed", "reviewers")


@pytest.mark.parametrize("control_class", [people.FULL, people.BATCH, people.CONTROLLED])
def test_an_order_is_refused_when_the_pharmacy_is_listed_for_the_subject_whatever_its_class(chains, control_class):
    chains.classify("pharmacy", control_class)
    chains.up_to_order()
    chains.listing("pairs", "pharmacy_subject", PHARMACY.public, SUBJECT)
    chains.request_order()
    assert chains.refusal(m.ORDER) == ("refused", "rules_pharmacy_subject_listed", "pairs")
    chains.request_order(pharmacy=flow_world.OTHER_PHARMACY)
    assert chains.refusal(m.ORDER)[:2] == ("refused", codes.UNREGISTERED)


def test_an_order_is_refused_when_a_drug_is_listed_for_the_subject(chains):
    chains.up_to_order()
    chains.listing("drugs_of", "subject_drug", SUBJECT, "860975")
    chains.request_order()
    assert chains.refusal(m.ORDER) == ("refused", "rules_subject_drug_listed", "drugs_of")


def test_officers_release_what_an_expression_over_attested_attributes_holds(chains):
    rule = ExpressionRule("doctors", 'prescriber == "doctor"', "hold", "doctor_watched", (m.FILE,), ())
    chains.adopt(attributes=(Declared("prescriber", "string"),), expressions=(rule,))
    chains.file()
    chains.opening(m.FILE)
    asked = chains.asked_for(m.FILE)
    assert (asked.status, asked.reason, asked.rule) == ("pending", "doctor_watched", "doctors")
    assert asked.rule_version > 0
    chains.officers("decide", decisions.Decide(chains.decision_on(m.FILE), b"", (), b""), *OFFICERS[1:])
    assert chains.show().status == "open"


def test_a_request_is_held_when_a_rule_needs_what_nobody_attested(chains):
    rule = ExpressionRule("amounts", "limit_minor > 5", "refuse", "", (m.FILE,), ())
    chains.adopt(attributes=(Declared("limit_minor", "int"),), expressions=(rule,))
    chains.file()
    chains.opening(m.FILE)
    assert chains.asked_for(m.FILE).status == "pending"
    assert (
        Attribute("limit_minor", 6)
        not in chains.supervision.view(SUPERVISION, "flow", a.FlowQuery(chains.flow)).attributes
    )
