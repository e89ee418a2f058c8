"""Bytes of transactions put together part by part, right or wrong, for the tests of their form and of their witness."""

import pytest
from chains import ALICE, body

from ledger.encoding import encode
from ledger.keys import SigningKey
from ledger.transaction import Attachment, Call, Output, Transaction, sign_body
from ledger.types import MAX_AMOUNT

BOB = SigningKey(b"\xbb" * 32)
CAROL = SigningKey(b"\xcc" * 32)
FULL = body(
    inputs=(bytes(36), b"\x01" * 36),
    outputs=(Output("CNY", 1, "after(5)"), Output("CNY", MAX_AMOUNT, "after(6)")),
    calls=(Call("assets", "issue", b"\x91\x01"),),
    attachments=(Attachment(bytes(32), 2**32 - 1, 255),),
    memo=b"memo",
)
"""Every field filled but those that name the witness: only its sender, Alice, signs."""


def wire_of(outer_body, witness):
    return encode((outer_body if isinstance(outer_body, bytes) else encode(outer_body), witness))


def witness_of(signatures=(), preimages=()):
    return encode((tuple(signatures), tuple(preimages)))


def signed_wire(said, keys=(ALICE,), preimages=()):
    """``said`` as it stands, with good signatures of ``keys``."""
    return wire_of(said, witness_of(sign_body(said, keys), preimages))


def refused(wire, kind, code=None):
    with pytest.raises(kind) as error:
        Transaction.decode(wire)
    assert type(error.value) is kind
    if code:
        assert error.value.code == code
