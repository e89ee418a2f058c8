# ruff: noqa: E501 - one code a line
"""Stable codes of transactions, bytes, proofs, blocks, storage and the overlay."""

from __future__ import annotations

from typing import Final

from node.rpc.codes import rows

CODES: Final = (
    *rows(
        "Transactions",
        1100,
        "build it with the SDK or tx.prepare",
        """
        malformed | the bytes are truncated, over-long, or of another shape
        non_canonical | the bytes are another encoding than the canonical one
        oversized | the bytes are more than this thing may have | the text says how many are allowed
        version_unknown | the version is not known to this program | bring node and client to one release
        transaction_invalid | the transaction cannot be part of a block | the text says why
        chain_wrong | it is for another chain | check the genesis file, and build it for this chain
        expired | its last block has passed | sign it anew, at most expiry_window blocks ahead
        expiry_too_far | it expires further ahead than this chain allows | sign it anew, at most expiry_window blocks ahead
        replayed | this id is in a block already | nothing; look up its outcome with tx.outcome
        signature_invalid | a signature, or the form of a key or signature, is wrong | sign the transaction id with exactly that key
        signature_missing | a signer that the body names has not signed | collect all signatures before sending
        signature_duplicate | one key has signed twice, or signatures are not sorted by key | give one signature for each key
        signature_superfluous | a signature is there that the body does not name, or nothing asks for | leave it out, or name the key as cosigner
        signer_duplicate | cosigners are doubled, unsorted, or contain the sender | sort them, each once, without the sender
        preimage_wrong | the preimages are not those that the body names | give exactly the values whose hashes the body has
        preimage_duplicate | preimages or their hashes are doubled or unsorted | sort them, each once
        preimage_superfluous | no lock asks for a preimage that is given | leave it out
        input_missing | an input was spent or never created | list the unspent outputs again
        input_conflict | a waiting transaction spends the same input | wait for its outcome, or use another input
        input_duplicate | one outpoint stands twice among the inputs | name each input once
        chain_too_deep | it builds on too many waiting transactions | wait until some are in a block
        sender_not_admitted | no valid certificate lets the sender's key submit | ask the admission authority for a certificate
        not_permitted | a party whose signature is needed has not signed, or may not do this | let the party that the text names sign
        lock_unsatisfied | the signatures do not satisfy an input's lock | let the keys that the lock names sign
        lock_invalid | a lock is no lock, or not in its canonical text | the text shows the canonical form
        unbalanced | inputs and issued amounts are not outputs and destroyed ones | make the sums equal for each asset
        transaction_empty | it does nothing | add inputs, outputs or calls
        asset_unknown | an asset is not defined on this chain | check its name, or define it first
        account_unknown | an account is not there | check its name, or open it first
        contract_unknown | the chain has no such contract | contract.list shows which there are
        method_unknown | the contract has no such method | contract.describe shows which it has
        arguments_invalid | the arguments do not decode as the method's record | contract.describe shows the record
        limit_exceeded | a bound of one call or one thing is reached | do less in one go; the text names the bound
        name_invalid | a name has characters or a length that names cannot have | the text says what is allowed
        key_invalid | that is no public key | write ed25519: and 64 lower-case hex digits
        document_invalid | a JSON document does not say the record that is needed | the text names the field
        block_full | the block's bounds are reached | nothing; it goes into the next block
        contract_failed | a bug of the contract; the call left no trace | report it with the transaction's id
        """,
    ),
    *rows(
        "Blocks, certificates, proofs",
        1200,
        "ask another node; one that answers so is not to be trusted",
        """
        block_invalid | a block or certificate must not be accepted
        block_refs_wrong | the block's list of transactions is not its header's
        block_too_large | the block is larger than the chain allows
        block_wrong | a peer gave another block
        header_mismatch | executing the block gives another result than its header says | compare releases of the nodes; keep the log
        parent_wrong | the block does not follow the tip
        time_wrong | the block's time is not above its parent's
        proposer_wrong | the proposer is no validator
        not_the_proposer | another validator proposes in this round
        signer_unknown | a signer is no validator of that height
        epoch_wrong | the vote is of another validator epoch
        certificate_invalid | the signatures do not prove the block's decision
        receipts_wrong | the receipts are not the block's
        validators_invalid | a list of validators is empty, too long, or has a key twice | correct the list
        proof_invalid | a proof does not lead to its root
        proof_block_wrong | transactions or receipts are not those of the block
        proof_change_wrong | the state change is not the block's
        proof_checkpoint_missing | the header carries no root of a state | ask for the proof at a checkpoint
        proof_history_wrong | the earlier header is not in the later one's history
        proof_receipt_wrong | the receipt is of another place or transaction
        proof_transaction_wrong | the transaction is of another chain or place
        client_certificate_missing | the header comes without its certificate | send the certificate with it
        client_certificate_wrong | the certificate is for another block
        client_chain_wrong | the header is of another chain | follow the right chain
        client_frozen | two certified headers of one height are known: the chain has contradicted itself | governance must replace the client
        client_genesis_wrong | the header is not of this genesis file's block | use the chain's own genesis file
        client_header_old | the header is not newer than the known one | nothing; the client is past it
        client_header_other | another header of this height is known
        client_header_wrong | the header contradicts itself
        client_history_missing | an older header is not shown to descend from a trusted one | send its place in the history
        client_no_conflict | the headers do not contradict each other | nothing
        client_parent_wrong | the header's parent is another block
        client_set_wrong | the validators are not those that the header names | send the header that changes the set first
        client_step_idle | the header changes no set | leave it out
        client_version_unknown | the header's protocol version is not known here | bring this program to the chain's release
        misbehaviour_malformed | what is shown as misbehaviour is none
        chain_forked | two certified headers of one height: nothing of this chain can be believed | stop, and tell the chain's governors
        """,
    ),
    *rows(
        "Admission",
        1250,
        "the text says what is wrong with it",
        """
        authority_invalid | an authority is made of other parts than keys and thresholds
        certificate_refused | an admission certificate does not hold
        revocation_refused | a revocation does not hold
        """,
    ),
    *rows(
        "Sealed documents",
        1300,
        "seal the document anew for the right recipients",
        """
        envelope_invalid | a sealed document is of another form or context
        envelope_malformed | a sealed document does not decode
        envelope_not_for_us | none of our keys is among the recipients
        envelope_recipient_missing | somebody who must be able to open it is no recipient
        envelope_recipients_invalid | there are too many recipients, or none
        envelope_signature_invalid | the sender did not sign this for this purpose
        envelope_unopenable | the content does not open with our key
        envelope_key_epoch_old | it is sealed to a key that is not the current one
        commitment_mismatch | the opened document is not the one committed to
        document_oversized | the document is larger than allowed | the text says how large it may be
        encryption_key_invalid | that is no encryption key | check the key file
        decryption_key_invalid | that is no decryption key | check the key file
        rewrap_foreign | the added recipient is of another sealed document
        rewrap_signature_invalid | the added recipient was not signed by who added it
        id_number_invalid | an ID number is empty, too long, or has control characters | correct it
        pseudonym_key_invalid | the key of pseudonyms has another length | check the key file
        salt_invalid | a salt has another length or form | use the salt as it was given
        date_invalid | a date is outside the calendar that is allowed | write YYYY-MM-DD
        purpose_invalid | a purpose has characters or a length that it cannot have | the text says what is allowed
        txhash_invalid | a transaction hash has another length | give 32 bytes
        """,
    ),
    *rows(
        "Expressions",
        1350,
        "the text names line and column",
        """
        expression_invalid | the source is no expression of the rule language
        expression_failed | an expression has no value for these values | give the value that the text names
        attributes_invalid | attributes have a name or value that they cannot have | the text names it
        attributes_unsorted | attributes are doubled or unsorted | sort them by name, each once
        """,
    ),
    *rows(
        "Families and storage",
        1400,
        "the text says what to do; the node's log says more",
        """
        invalid_input | something handed in is wrong; nothing has changed
        not_found | what was asked for is not known here | check the name, or ask another node
        pruned | the contents of that block are not kept here any more | ask a node that keeps all blocks
        block_name_invalid | that names no block | give a height, or an id of 64 hex digits
        remote_fault | the other side of a connection is at fault | try again, or another node
        local_misuse | a bug in the calling program
        fatal | the node cannot go on and stops
        broken_invariant | something that cannot happen has happened; the node stops
        storage_fault | the disk failed or gave back damaged records | see docs/data.md
        disk_full | less room is free than the node keeps in reserve | make room, and start the node again
        snapshot_damaged | a copy of the data does not verify | make another, or use an older one
        home_locked | another process uses this home directory | stop it first
        format_unknown | the data directory is of another release | use the release that made it, or upgrade as docs/data.md says
        genesis_invalid | the genesis file cannot start a chain, or is another one | use the chain's own genesis file
        genesis_mismatch | the data directory belongs to another chain | use the right home
        config_invalid | a setting, key file or home directory cannot be used | the text names it
        signer_log_damaged | the record of what this node signed is damaged | see docs/operator.md on observing
        double_sign_refused | a signature was asked for that may contradict an earlier one | nothing; the node protects itself
        archive_damaged | an archive's bytes are not what was exported | use another copy
        archive_wrong | an archive does not prove what it holds | the text names height and field
        not_archived | blocks that no archive given holds would be pruned | export them first, and name the files
        """,
    ),
    *rows(
        "Overlay",
        1500,
        "try again; the peer's operator finds the reason in its log",
        """
        peer_unavailable | the peer is not connected, or hung up
        peer_timeout | the peer did not answer in time
        peer_refused | the peer answered that it will not do it
        peer_misbehaved | the peer sent what no honest peer sends; it was disconnected
        peer_not_admitted | the peer has no valid certificate | admit it first
        transport_failed | the overlay died too often; the node stops | start it again; keep the log
        frame_too_large | a frame is over its bound
        frame_truncated | a frame is shorter than its prefix says
        frame_unexpected | a frame came out of turn
        window_exceeded | a peer sent more than it was allowed
        handshake_too_large | too many bytes came before the handshake was over
        protocol_name_too_long | a protocol's name is too long
        too_many_streams | a peer opened too many streams
        gossip_malformed | a gossip message does not decode
        gossip_item_refused | a gossip item is too large, unasked for, or on the wrong channel
        latest_foreign | a peer gave back a message that is not ours
        request_kind_unknown | a peer asks what this node does not answer | bring both to one release
        joining | the node is getting its data | wait, or ask another node
        snapshot_wrong | a peer's checkpoint does not verify | nothing; another peer is asked
        snapshot_gone | the checkpoint is not served any more | ask for a newer one
        snapshot_needed | peers keep no blocks as old as this node needs | set storage.join_from_snapshot in an empty home
        """,
    ),
)
