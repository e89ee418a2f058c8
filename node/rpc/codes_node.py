"""Stable codes of the daemon, the SDK and the command line."""

from __future__ import annotations

from typing import Final

from node.rpc.codes import rows

CODES: Final = (
    *rows(
        "Node",
        4000,
        "the text says what to do",
        """
        organisation_quota | the organisation has its share of the mempool in use; nothing was taken | try again later
        limit_invalid | a page is larger than allowed, or empty | the text says how large it may be
        view_mismatch | the view answers another record | bring node and client to one release
        service_unknown | the service does not run on this node | switch it on, or ask a node that runs it
        call_refused | the chain refused the call | the text gives its reason code
        call_unresolved | what became of the call is not known yet | look up its outcome
        outcome_unknown | it is not known yet whether it took effect | ask with `tidegate tx wait`
        relay_homes_equal | both homes of a fusion node are of one chain | name a home of the other chain
        fusion_no_relay | the node follows one chain only | give the home of a fusion node
        log_unwritable | the log file cannot be written | check the path and its permissions
        metrics_listen | the address for metrics cannot be used | choose another
        height_invalid | a height or a range of heights cannot be so | the text says what there is
        telemetry_missing | telemetry is configured, and its library is not installed | install the extra `telemetry`
        bundle_malformed | a file of evidence does not decode | get it again
        file_unreadable | a file cannot be read
        file_invalid | a file has another form
        file_exists | a file is there already and is not overwritten | choose another, or move it away
        file_unwritable | a file cannot be written
        file_changed | a file was changed while it was read | try again
        home_missing | that is no home of a node | `tidegate node init` makes one
        home_unwritable | a home cannot be made there
        home_needed | a home is needed for its keys | give one
        home_foreign | the home is another node's | give the right one
        genesis_missing | the home has no genesis file | `tidegate node init --genesis FILE` puts it there
        socket_path_too_long | the system cannot bind so long a socket path | use a shorter one
        ports_exhausted | no free ports were found | free some, or name them
        node_failed | a node ended, or did not answer in time | read its log
        node_unstartable | a node cannot be started
        """,
    ),
    *rows(
        "Proofs for clients",
        4100,
        "ask another node",
        """
        node_behind | the node is behind what the client knows
        change_missing | no such block wrote that record | ask for another height
        change_overwritten | a later block wrote the record again | ask for that block
        checkpoint_missing | no state root covers the record yet | ask for the block that wrote it
        state_changed | the record was written after the checkpoint | ask for that change
        endpoint_invalid | the address is no node's | give a socket's path, http://host:port or https://host:port
        tls_unreadable | certificate or key files cannot be used | the text names them
        tls_refused | the TLS handshake failed | check certificate, authority and name
        access_refused | the node does not let this client in | give the token or certificate that it knows
        forbidden | the node refuses this client | show a valid token or certificate
        prepare_differs | the node prepared another transaction than was asked for; nothing was signed
        follow_stalled | the node's headers lead nowhere
        outcome_false | the node's outcome is not the proved one
        proof_height_wrong | the proof is of another height
        proof_key_wrong | the proof is of another record
        proof_stale | the proof is older than asked for
        proof_other | the file proves something else than was asked for
        proof_withheld | the node does not prove what it says
        light_state_damaged | the light client's file is damaged | delete it, and follow again
        light_state_foreign | the light client's file is of another chain | use one file for each chain
        claim_false | the node's plain answer is not what it proved
        chain_other | the node is of another chain than the genesis file | check its address
        notification_false | an entry of a subscription is not what the block says
        bundle_kind_unknown | the file is no proof of a known kind | check it with `tidegate evidence verify`
        bundle_chain_other | the file's proof is of another chain | give that chain's genesis file
        bundle_check_wrong | the file is not as it was written | get it again
        """,
    ),
    *rows(
        "Keys",
        4150,
        "the text says what to do",
        """
        key_file_invalid | a key file is missing, truncated, or of another form
        key_permissions_loose | others may read a key file | `chmod 600` the file, `chmod 700` its directory
        key_mismatch | the secret is not that of the file's public key | restore the key file
        key_missing | a key file is not there
        key_kind_wrong | the key is of another kind | give the kind that the text names
        passphrase_missing | the key file is sealed, and there is no passphrase | set TIDEGATE_PASSPHRASE
        passphrase_wrong | the passphrase does not open the key file | try another
        passphrase_empty | an empty passphrase protects nothing | choose one
        passphrase_file_unreadable | the file of the passphrase cannot be read
        authority_keys_missing | an authority's sealing keys are not there | put them into keys/
        """,
    ),
    *rows(
        "Bookkeeping and settlement",
        4200,
        "the text says what is due",
        """
        agreement_not_in_force | the agreement does not hold yet | wait for its block
        amount_invalid | an amount is none
        amount_missing | there is no amount
        amount_negative | an amount is negative
        amount_not_finite | an amount is no finite number
        premium_zero | the premium rounds to zero
        order_invalid | an order to the bookkeeper cannot be so
        cosign_invalid | the other party's signature does not verify
        cosign_key_differs | the agreement names another key
        cosign_order_unknown | no such order is under way
        cosign_refused | the body does not say what was sold
        batch_invalid | a settlement does not follow from its records
        batch_hash_wrong | the batch's hash is another one
        batch_payment_wrong | the payment is not what is due
        batch_record_wrong | an item is not its booking
        batch_sum_wrong | the items do not sum to what is asked
        batch_totals_wrong | the totals are not those of the records
        batch_unknown | the chain knows the request differently
        books_open | the books do not close
        books_moving | the books changed while they were read | try again
        settlement_waiting | requests are not settled yet | wait for the settlement service
        draft_ambiguous | several drafts wait | choose one
        day_invalid | that is no day | write YYYY-MM-DD
        csv_invalid | the file cannot be imported | the text names line and column
        """,
    ),
    *rows(
        "Networks and ceremonies",
        4250,
        "the text says whose file, and what to do",
        """
        network_invalid | the description of a network cannot be used
        network_missing | there is no network there | `tidegate devnet init` makes one
        plan_invalid | a network cannot be so
        member_unknown | the proposal has no such seat
        member_missing | a member has not handed in its keys
        member_repeated | a member has handed in twice
        member_file_invalid | a member's file cannot be used
        member_file_foreign | a member's file is of another ceremony
        possession_unproved | nothing proves that the member has the key
        key_repeated | two members hand in one key
        own_keys_missing | the keys handed in under this name are not the ones here
        draft_other | this draft is another than the others' | compare the hashes
        signature_foreign | a signature is of another draft
        signature_repeated | a member has signed twice, differently
        signatures_missing | not all have signed
        peers_unwritten | the peers cannot be written into the configuration
        bootstrap_stuck | a step of the set-up did not happen in time
        funds_unmoved | outputs are still under the old key | move them first
        peers_missing | a node that is needed has no address | the text says whose
        rotation_not_ready | the new key is not in force yet | wait for it, then switch
        request_empty | nothing is asked for | say what
        rotation_missing | no rotation of keys is under way | begin one first
        serial_invalid | a certificate's serial cannot be so
        """,
    ),
    *rows(
        "Command line",
        4300,
        "the text says what to give",
        """
        refused | a check failed, or the chain refused the transaction
        hex_invalid | 64 hex digits are needed
        time_invalid | a time cannot be so
        reason_invalid | a reason has another length
        digest_invalid | a digest has 64 hex digits
        tx_id_invalid | a transaction id has 64 hex digits
        subject_invalid | a pseudonym has 64 hex digits
        parameter_invalid | a parameter is not NAME=VALUE
        participant_ambiguous | several participants fit | name one by its key
        proposal_ambiguous | several proposals fit | give more digits
        proposal_other | the proposal is about something else
        validator_ambiguous | several nodes fit | name one by its key
        validators_wrong | the node names other validators than the block | ask another node
        rules_file_invalid | the file of rules cannot be used
        rules_approvals_missing | the version needs more approvals
        rules_draft_differs | the draft holds other entries than the plan
        demo_failed | a step of the demo did not go as it must
        id_invalid | an id has another length or form
        demo_data_unfit | the demo's data does not suffice
        """,
    ),
)
