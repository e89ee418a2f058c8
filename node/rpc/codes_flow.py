"""Stable codes of supervised flows, on both chains, and of the programs that lead them."""

from __future__ import annotations

from typing import Final

from node.rpc.codes import rows

CODES: Final = (
    *rows(
        "Flows",
        3000,
        "the text says what is due",
        """
        flow_kind_unknown | there is no such kind of flow
        flow_kind_invalid | a kind of flow cannot be so
        flow_kind_version | the version is not the next one
        flow_stage_missing | flows of this kind have no such stage
        flow_action_unknown | flows cannot be governed so
        flow_unknown | there is no such flow, or nothing was authorised by that transaction | check the id
        flow_filed_already | this document was filed | file another one with a fresh salt
        flow_field_invalid | a field cannot be so
        flow_party_wrong | another party of the flow does this
        flow_not_authorised | the filing is not authorised | wait for the regulator
        flow_ended | the flow has ended | file anew
        flow_suspended | the regulator has suspended the flow | wait until it is resumed
        flow_supervision_stale | the supervision chain has not been heard of for too long | look at the fusion nodes
        flow_supervision_frozen | no client of the supervision chain is trusted | governance must register one
        flow_stage_order | an earlier stage is not done | do it first
        flow_stage_pending | the stage waits for its answer | wait for it
        flow_stage_done | the stage is done | nothing
        flow_stage_late | the answer came after the deadline | ask again
        flow_envelope_invalid | the sealed document cannot be so
        flow_envelope_foreign | the sealed document is of another flow or stage
        flow_envelope_recipients | the document is not sealed to all who must open it | seal it to them
        flow_envelope_epoch | the document is sealed to an old key | seal it to the current one
        flow_envelope_oversized | the sealed document is too large | make it smaller
        flow_key_missing | somebody who must open it has published no key | let them publish one
        flow_grant_missing | there is no such grant | ask for it first
        flow_grant_holder | the grant is somebody else's
        flow_grant_window | now is outside the grant's window | ask for it again
        flow_grant_used | the grant is used up | ask for another
        flow_token_wrong | the token is not this grant's
        flow_not_released | the document was not released to who acts
        flow_packet_foreign | the packet is not of the supervision contract
        flow_packet_invalid | the packet cannot be so
        flow_attempt_wrong | the answer is to another attempt
        flow_not_requested | nothing was asked for
        flow_commitment_wrong | the decision is about another document
        flow_decision_unsigned | too few have signed the decision
        flow_control_unsigned | too few officers have signed the control
        flow_limit_unsigned | too few officers have signed the limit
        flow_authorisation_taken | the transaction authorised another document
        flow_grant_mismatch | the grant is for something else
        flow_one_call | another call stands beside the settlement | send them apart
        flow_asset_wrong | the order is paid in another asset
        flow_payment_wrong | a payment is not what is due
        flow_payer_missing | nobody is named who pays the reimbursement | name the payer
        flow_not_stored | the record is not stored at the authorities yet | wait for it
        flow_decision_needed | the settlement is above the limit | file it for decision
        flow_report_missing | the settlement is not reported | seal its record
        flow_amount_invalid | an order's items cannot be so
        flow_ratio_invalid | a table of reimbursement cannot be so
        flow_ratio_unknown | there is no reimbursement for this coverage
        """,
    ),
    *rows(
        "Supervision",
        3200,
        "the text says what is due",
        """
        supervision_packet_unknown | this contract takes other packets
        supervision_packet_foreign | the packet is not of the flow contract
        supervision_request_malformed | the request contradicts itself
        supervision_request_late | the request's deadline has passed | ask again
        supervision_attempt_old | this request, or a later one, was taken | nothing
        supervision_authorised_already | the flow is authorised | nothing
        supervision_envelope_missing | the sealed document is not attached
        supervision_envelope_invalid | the sealed document does not verify
        supervision_unregistered | a participant is not registered | register it first
        supervision_suspended | a participant is suspended
        supervision_participant_kind | a participant is of another kind
        supervision_not_authorised | the flow was not authorised
        supervision_flow_differs | the request is of another flow
        supervision_flow_suspended | the flow is suspended
        supervision_flow_terminated | the flow is terminated
        supervision_reviewer_differs | another reviewer has the document
        supervision_opinion_missing | there is no opinion yet
        supervision_expired | what is asked for has ended
        supervision_class_controlled | a controlled class needs a decision
        supervision_batch_missing | no batch has quota left for it
        supervision_one_call | another call stands beside the decision | send them apart
        supervision_request_unknown | there is no such request
        supervision_commitment_differs | the request is about another document
        supervision_outcome_invalid | a decision is authorised without a reason, or refused with one
        supervision_not_authority | an authority's signature is missing
        supervision_not_officer | an officer's signature is missing
        supervision_not_attested | no authority has opened the document | let one open it first
        supervision_decided | the request is decided | nothing
        supervision_decision_late | the request's deadline has passed
        supervision_not_opened | the decision names another document than was opened
        supervision_subject_invalid | a pseudonym has another length
        supervision_attributes_invalid | attributes are too long
        supervision_attested_already | the document was attested | nothing
        supervision_evidence_full | too many transactions carry signatures | cosign one transaction
        supervision_flow_unknown | there is no such flow
        supervision_control_invalid | the control changes nothing
        supervision_counter_wrong | the number is not the next one
        supervision_proposals_full | too many different decisions are begun | sign one of them
        supervision_limit_invalid | a limit cannot be so
        supervision_batch_invalid | a batch cannot be so
        supervision_batches_full | too many batches have quota left
        supervision_record_unknown | there is no such sealed record
        """,
    ),
    *rows(
        "Leading flows",
        3400,
        "the text says what to do",
        """
        stage_refused | the supervision chain refuses the stage | the text gives its reason code
        stage_expired | the stage was not answered, or its grant not used, in time | ask again
        flow_timeout | nothing happened in time; the flow goes on by itself | wait for it again
        flow_invalid | that names no flow | give its id or authorisation hash
        flow_ambiguous | several flows or requests fit | give more digits, or the stage
        purse_empty | the key holds too little to pay | give it funds
        payer_missing | something is reimbursed, and its payer does not sign | let the payer sign
        document_not_maskable | documents of this kind are masked, and this is no JSON object | file a JSON object
        document_contradicts | the document says another thing than the chain was told | correct it
        document_of_another_flow | the document names another flow or request | use the right document
        settlement_decision_awaited | the regulator has not decided the settlement | wait for the decision
        settlement_decision_refused | the regulator refuses the settlement
        request_not_pending | only pending requests are decided | nothing
        item_invalid | an item of an order cannot be so
        parties_missing | a party that is needed is not in the directory | add it
        import_document_changed | a line was imported with other contents before | import it as another document
        import_state_foreign | the import's journal is of another chain | use a directory of its own
        import_state_invalid | the import's journal is damaged | begin with a fresh directory
        fhir_invalid | a document is no FHIR that this program reads | the text names the field
        fhir_json_invalid | a document is no JSON object
        mask_invalid | a path to mask is none
        parties_invalid | a file of parties cannot be used
        party_exists | there is such a party | choose another name
        officers_missing | the officers' keys are not there | name their directory
        document_unreadable | a document cannot be read
        """,
    ),
)
