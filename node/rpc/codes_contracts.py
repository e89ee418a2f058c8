"""Stable codes of contracts' refusals, but for flows and their supervision."""

from __future__ import annotations

from typing import Final

from node.rpc.codes import rows

CODES: Final = (
    *rows(
        "Accounts and assets",
        2000,
        "the text says what is allowed",
        """
        account_exists | there is an account of this name | choose another name
        account_name_invalid | a name that accounts cannot have
        asset_exists | there is an asset of this name | choose another name
        asset_definition_invalid | an asset cannot be defined so
        asset_supply_exceeded | more would be issued or destroyed than can be | use a smaller amount
        """,
    ),
    *rows(
        "Admission contract",
        2020,
        "the text says which; ask the admission authority",
        """
        admission_certificate_refused | the certificate does not hold on this chain
        admission_delegation_invalid | this cannot be delegated
        admission_key_invalid | a key of the certificate is no key
        admission_key_revoked | certificates of this key are revoked
        admission_key_taken | the key is admitted as somebody else
        admission_not_delegated | nobody has delegated this admission to the sender
        admission_quota_exhausted | the delegation's quota is used up | ask for another delegation
        admission_revocation_refused | the revocation does not hold
        admission_serial_outdated | the key has a newer certificate | use the newer one
        admission_serial_used | there is or was a certificate of this serial | issue it with the next serial
        admission_validity_wrong | the certificate's or delegation's time is over, or cannot be
        """,
    ),
    *rows(
        "Governance",
        2050,
        "the text says what is needed",
        """
        governance_already_approved | every governor that signed has approved already | nothing
        governance_not_approved | no signer has approved what is to be withdrawn | nothing
        governance_not_governor | no governor signed | let a governor sign
        governance_policy_needed | the chain would be left without governors
        governance_policy_unsatisfiable | the new governors could never agree | name governors who are admitted
        governance_policy_unknown | there is no such policy
        governance_name_invalid | a name that policies cannot have
        governance_proposal_closed | the proposal is decided or withdrawn | propose anew
        governance_proposal_expired | the proposal's last block has passed | propose anew
        governance_proposal_unknown | there is no such proposal | list the proposals
        governance_too_many_pending | too many proposals wait | decide or withdraw one
        governance_too_many_policies | the chain has as many policies as it may | remove one
        governance_parameter_invalid | the parameter cannot have this value
        governance_parameter_repeated | a parameter stands twice
        governance_parameter_unknown | the parameter cannot be changed
        """,
    ),
    *rows(
        "Validators",
        2100,
        "the text says who and why",
        """
        validators_already_in | who is to come is a validator already
        validators_not_in | who is to go is no validator
        validators_change_empty | the change changes nothing, or adds where it may only remove
        validators_key_repeated | a key stands twice in the change
        validators_not_admitted | who is to come has no certificate as a validator | issue one first
        validators_set_empty | nobody would be left
        validators_too_many | there would be too many
        validators_evidence_early | the evidence is of a block that is not there yet | wait for the block
        validators_evidence_enough | enough faults of this validator are recorded | nothing
        validators_evidence_known | this fault is recorded | nothing
        validators_evidence_refused | the evidence proves nothing
        validators_committee_short | too few candidates fit under the caps | register others, or change the caps
        validators_no_group | who is to come is in no group of operators
        validators_no_replacement | nobody fits in the place
        validators_not_seated | who is to go holds no seat
        validators_salt_same | this salt is in force | choose another
        validators_too_many_leave | too many would leave at once | change fewer at a time
        """,
    ),
    *rows(
        "Bridge",
        2150,
        "nothing; the relay corrects itself, or its log says why",
        """
        bridge_no_client | no light client of the other chain is registered | governance must register one
        bridge_frozen | the other chain contradicted itself | governance must replace its client
        bridge_not_fusion | who delivers has not the role fusion | admit the relay's key with it
        bridge_action_unknown | the bridge cannot be governed so | the text says what it can
        bridge_client_invalid | a light client cannot be registered so | the text says why
        bridge_client_exists | there is a light client of that chain | replace it instead
        bridge_outbox_full | too many packets wait for their answer | try again later
        bridge_packet_invalid | a packet cannot be so
        bridge_evidence_too_large | a transaction to be shown to the other chain is too large | make it smaller
        bridge_header_wrong | a header contradicts one that is known
        bridge_too_many_seals | more signatures than one transaction checks
        bridge_anchor_unknown | a header to start from is not kept
        bridge_receipt_unproved | a packet is not proved to be in its block
        bridge_attachment_missing | a packet comes without its attachment
        bridge_evidence_missing | a packet comes without its transaction
        bridge_evidence_wrong | a packet comes with a transaction that is not its own
        bridge_superfluous | a delivery carries what nothing in it names
        bridge_gap | a packet is too far ahead
        bridge_nothing_new | all that is delivered is known
        bridge_receiver_moves | a packet would move assets
        bridge_client_certificate_missing | a header comes without its certificate
        bridge_client_certificate_wrong | a certificate is for another block
        bridge_client_chain_wrong | a header is of another chain
        bridge_client_frozen | the other chain contradicted itself | governance must replace its client
        bridge_client_header_old | a header is not newer than the known one
        bridge_client_header_wrong | a header contradicts itself
        bridge_client_history_missing | an older header is not shown to descend from a trusted one
        bridge_client_no_conflict | two headers do not contradict each other
        bridge_client_parent_wrong | a header's parent is another block
        bridge_client_set_wrong | the validators are not those that the header names
        bridge_client_version_unknown | a header's protocol version is not known to this chain | activate it first
        bridge_certificate_invalid | the signatures do not prove the block's decision
        keyring_epoch_wrong | a published key is not of its owner's next epoch
        keyring_evidence_missing | no transaction of the owner publishes the key
        keyring_key_invalid | what is published is no encryption key
        keyring_not_authority | who publishes is no authority of the supervision chain
        keyring_packet_invalid | the packet publishes no key
        """,
    ),
    *rows(
        "Commission",
        2300,
        "the text says what is due",
        """
        commission_one_call | two calls of the contract stand in one transaction | send them apart
        commission_party_unknown | the signer is no party of the agreement
        commission_party_not_admitted | a party's key has no valid certificate | renew it, or agree on another key
        commission_name_invalid | a name that agreements cannot have
        commission_agreement_invalid | the agreement cannot be
        commission_agreement_unknown | there is no such agreement that both signed | propose and sign one
        commission_agreement_not_in_force | the agreement does not hold yet | wait for its block
        commission_version_wrong | the version is another one | give the version that the text names
        commission_parties_changed | the parties of an agreement stay | draft a new agreement
        commission_draft_exists | this draft is there | the other party signs it
        commission_draft_unknown | there is no draft of that version and hash | read it again and sign
        commission_already_signed | this party has signed | the other party signs
        commission_activation_past | the version would hold from a block that has passed | draft it again, later
        commission_activation_order | versions hold one after the other | choose a later block
        commission_activation_full | too many versions wait, or change at one block | choose another block
        commission_currency_changed | the currency of an agreement stays | draft a new agreement
        commission_currency_unknown | the currency is no asset of this chain | define it first
        commission_account_lock | an account has not the lock that the agreement needs | open one that has
        commission_account_owner | the account is not the party's | name one of its own
        commission_sale_invalid | a sale's facts cannot be so
        commission_policy_booked | the policy is booked | correct the booking instead
        commission_policy_cancelled | the policy was booked and cancelled | it stays so
        commission_condition_unmet | no booking condition holds yet | book it when one does
        commission_unmapped | the agreement's table has no row for this sale | agree on a version that has one
        commission_base_missing | the commission needs the insured amount | give it
        commission_zero | the commission rounds to zero | leave it out
        commission_books_full | the agreement has booked as much as it may | open another one
        commission_output_missing | an output that is due is missing
        commission_amount_wrong | an amount is not the agreement's
        commission_output_wrong | an output is not what is due
        commission_record_unknown | there is no such booking | give the original's transaction id
        commission_record_foreign | the booking is of another agreement
        commission_already_cancelled | the booking was cancelled or corrected | refer to the latest one
        commission_window_closed | the time to cancel or correct is over
        commission_policy_differs | a correction keeps the policy | cancel it, and book the other
        commission_input_wrong | an input is not the output that is due
        commission_nothing_pending | nothing is left to request
        commission_request_waiting | a request is on its way | wait for it
        commission_request_unknown | there is no such settlement request
        commission_request_settled | the request is settled | nothing
        commission_hash_wrong | the batch's hash is another one
        commission_clawbacks_wrong | clawbacks are missing or out of order
        commission_sum_wrong | the sum is not that of the records
        commission_payment_wrong | the platform is not paid what is due
        commission_currency_short | the inputs hold too little | add funds
        commission_report_unasked | a report is given that nobody asks for | leave it out
        """,
    ),
    *rows(
        "Registry",
        2400,
        "the text says what is allowed",
        """
        registry_field_invalid | a field cannot be so
        registry_key_taken | the key is registered
        registry_authority_keys_missing | no authority has published an encryption key | wait until one has
        registry_document_invalid | the sealed document cannot be so
        registry_document_unsealed | the document is not sealed to the authorities | seal it to all of them
        registry_document_differs | another document is on record by now | open that one
        registry_participant_unknown | no participant has this key | register it first
        registry_status_wrong | the participant is in another status
        registry_class_unknown | there is no such class
        registry_class_unchanged | the class is that one, or was changed in between | read it again
        """,
    ),
    *rows(
        "Rules",
        2450,
        "the text says which, and what is allowed",
        """
        rules_name_invalid | a name that rules cannot have
        rules_name_unknown | there is nothing of this name
        rules_field_invalid | a field cannot be so
        rules_too_many | there would be too many
        rules_expression_invalid | an expression is none | the text names line and column
        rules_drafts_full | too many drafts are open | activate or abandon one
        rules_draft_unknown | there is no such version
        rules_status_wrong | the version is in another status
        rules_base_unknown | the base was never in force, or is too old | base the draft on a later version
        rules_base_superseded | another version will be in force by then | base the draft on that one
        rules_history_full | the rules have branched too often | base the draft on an older version
        rules_chunk_out_of_order | a part is out of order | send the part that the text names
        rules_entries_invalid | entries are doubled, unsorted, or cannot be
        rules_digest_differs | the draft is another one by now | look at it again
        rules_approvals_lapsed | those who approved do not suffice any more | approve anew
        rules_height_invalid | it cannot be in force from that block on
        rules_counter_wrong | the step is not the next one
        rules_unchanged | that version will be in force anyway | nothing
        rules_value_missing | a value that an expression needs is missing
        rules_value_invalid | a value has another type
        rules_lookups_exceeded | the expressions look up too much
        rules_version_not_kept | the version is not kept any more
        """,
    ),
    *rows(
        "Added recipients",
        2500,
        "the text says who may do it",
        """
        rewraps_exists | the key opens the record already | nothing
        rewraps_full | the record has as many added recipients as it may
        rewraps_invalid | the added recipient does not verify
        rewraps_not_authority | who adds is no authority, or adds for no authority
        rewraps_not_recipient | who adds cannot open the record
        rewraps_recipient_wrong | the key is no authority's now
        rewraps_record_unknown | there is no such sealed record, or it is archived
        """,
    ),
)
