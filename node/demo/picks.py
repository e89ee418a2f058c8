"""Which of the 473 prescriptions meet what in the demo; chosen from the data by rule, so that each run is the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ledger.errors import InvalidInput
from node.fhir.prescription import Prescription

BARRED_REVIEWER: Final = "Reviewer 4"
BARRED_PHARMACY: Final = "Pharmacy 2"
RSA_PHARMACY: Final = "Pharmacy 4"


@dataclass(frozen=True, slots=True)
class Picks:
    """See the module; ids are those of ``MedicationRequest`` and of patients' ID numbers.

    Attributes:
        subject: ID number of the subject that no order is allowed for.
        pair: ID number and drug code that do not go together.
        pharmacy_subject: ID number of the subject whom ``BARRED_PHARMACY`` may not serve.
        reviewed_by_barred: requests that are sent to the barred reviewer.
        sent_to_barred_pharmacy: requests that are sent to that pharmacy.
        suspended: request whose flow is suspended once it is reviewed.
    """

    subject: str
    pair: tuple[str, str]
    pharmacy_subject: str
    reviewed_by_barred: frozenset[str]
    sent_to_barred_pharmacy: frozenset[str]
    suspended: str


def pick(prescriptions: Sequence[Prescription]) -> Picks:
    """Goes through patients in the order of their first request, skipping those without insurance (a rule of its own).

    Raises:
        InvalidInput: ``demo_data_unfit``: too few patients with two to six requests.
    """
    by_patient: dict[str, list[Prescription]] = defaultdict(list)
    for prescription in prescriptions:
        by_patient[prescription.id_number].append(prescription)
    fit = [
        requests
        for requests in by_patient.values()
        if 2 <= len(requests) <= 6 and all(each.coverage != "no_insurance" for each in requests)
    ]
    if len(fit) < 5:
        raise InvalidInput("the demo's data has too few patients with two to six requests", code="demo_data_unfit")
    subject, pair, pharmacy, reviewer, suspended = fit[:5]
    return Picks(
        subject=subject[0].id_number,
        pair=(pair[0].id_number, pair[0].drug_code),
        pharmacy_subject=pharmacy[0].id_number,
        reviewed_by_barred=frozenset(each.request_id for each in reviewer),
        sent_to_barred_pharmacy=frozenset(each.request_id for each in pharmacy),
        suspended=suspended[0].request_id,
    )
