"""Locks: one text a policy, every refusal, truth tables, and which signatures count as needed."""

import hashlib
from contextlib import suppress
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import InvalidInput, InvalidLock
from ledger.keys import SigningKey, key_text
from ledger.lock import (
    MAX_LOCK_BYTES,
    MAX_LOCK_DEPTH,
    MAX_LOCK_MEMBERS,
    MAX_NAME_BYTES,
    AccountLock,
    AfterLock,
    ContractLock,
    HashLock,
    KeyLock,
    ThresholdLock,
    Unlocking,
    check_name,
    parse_lock,
)
from ledger.types import MAX_HEIGHT

PUBLIC = [SigningKey(bytes([i]) * 32).public for i in range(1, 6)]
K = [f"key({key_text(public)})" for public in PUBLIC]
PREIMAGES = [b"secret", b"other"]
H = [hashlib.sha256(preimage).hexdigest() for preimage in PREIMAGES]


def by(signers=(), preimages=(), height=10, accounts=None, approved=()):
    accounts = accounts or {}
    return Unlocking(
        signers=frozenset(signers),
        preimage_hashes=frozenset(preimages),
        height=height,
        account_lock=lambda name: parse_lock(accounts[name]) if name in accounts else None,
        approved=frozenset(approved),
        used_keys=set(),
        used_preimages=set(),
    )


NAMES = st.sampled_from(["alice", "Hospital 7", "医保局", "a-b_c.d:e", "x" * 40])
LEAF = st.one_of(
    st.sampled_from(K),
    NAMES.map(lambda name: f"account({name})"),
    NAMES.map(lambda name: f"contract({name})"),
    st.sampled_from([f"hash({digest})" for digest in H]),
    st.integers(0, MAX_HEIGHT).map(lambda height: f"after({height})"),
)


def grouped(members):
    lists = st.lists(members, min_size=1, max_size=3, unique=True)
    return st.one_of(
        lists.map(lambda inner: f"all({','.join(inner)})"),
        lists.map(lambda inner: f"any({','.join(inner)})"),
        lists.flatmap(
            lambda inner: st.integers(1, len(inner)).map(lambda k: f"threshold({k},{','.join(inner)})"),
        ),
    )


LOCK = st.one_of(LEAF, grouped(LEAF), grouped(st.one_of(LEAF, grouped(LEAF)))).filter(
    lambda text: len(text) <= MAX_LOCK_BYTES
)


@given(LOCK)
def test_text_and_back(text):
    lock = parse_lock(text)
    assert str(lock) == text
    assert parse_lock(str(lock)) == lock


def test_parsed_forms():
    assert parse_lock(K[0]) == KeyLock(PUBLIC[0])
    assert parse_lock("account(alice)") == AccountLock("alice")
    assert parse_lock("contract(bridge)") == ContractLock("bridge")
    assert parse_lock(f"hash({H[0]})") == HashLock(H[0])
    assert parse_lock("after(0)") == AfterLock(0)
    members = (KeyLock(PUBLIC[0]), KeyLock(PUBLIC[1]))
    assert parse_lock(f"all({K[0]},{K[1]})") == ThresholdLock(2, members, "all")
    assert parse_lock(f"any({K[0]},{K[1]})") == ThresholdLock(1, members, "any")
    assert parse_lock(f"threshold(2,{K[0]},{K[1]})") == ThresholdLock(2, members, "threshold")


def nested(depth):
    text = K[0]
    for _ in range(depth - 1):
        text = f"all({text})"
    return text


REFUSED = {
    "empty": "",
    "no bracket": "key",
    "unknown word": "older(5)",
    "upper case word": "KEY(x)",
    "no word": "(5)",
    "not closed": "after(5",
    "group not closed": "all(after(5)",
    "text after the end": "after(5)x",
    "a bracket too many": "after(5))",
    "two locks": "after(5),after(6)",
    "outer space": " after(5)",
    "space after comma": "all(after(5), after(6))",
    "no members": "all()",
    "empty member": "all(after(5),)",
    "wrong separator": "all(after(5);after(6))",
    "doubled members": "any(after(5),after(5))",
    "doubled groups": "any(all(after(5)),all(after(5)))",
    "key without suite": "key(" + "ab" * 32 + ")",
    "key upper case": "key(ed25519:" + "AB" * 32 + ")",
    "key short": "key(ed25519:" + "ab" * 31 + ")",
    "key with spaces": "key(ed25519:" + "ab" * 31 + "  )",
    "hash upper case": "hash(" + "AB" * 32 + ")",
    "hash short": "hash(" + "ab" * 31 + ")",
    "hash long": "hash(" + "ab" * 33 + ")",
    "hash not hex": "hash(" + "zz" * 32 + ")",
    "after negative": "after(-1)",
    "after signed": "after(+1)",
    "after leading zero": "after(05)",
    "after empty": "after()",
    "after fraction": "after(1.0)",
    "after too high": f"after({MAX_HEIGHT + 1})",
    "after of hundreds of digits": f"after({'9' * 1_900})",
    "after other digits": "after(٣)",
    "after superscript": "after(²)",
    "after underscore": "after(1_0)",
    "threshold without number": "threshold(after(5),after(6))",
    "threshold 0": "threshold(0,after(5))",
    "threshold above members": "threshold(3,after(5),after(6))",
    "threshold without members": "threshold(1)",
    "threshold empty": "threshold()",
    "threshold number only": "threshold(1,)",
    "threshold leading zero": "threshold(01,after(5))",
    "account empty": "account()",
    "account with brackets": "account(a(b)",
    "account that is a lock": "account(account(a))",
    "account with outer space": "account( a)",
    "account with comma": "account(a,b)",
    "account with quote": "account(a'b)",
    "account with control character": "account(a\x00b)",
    "account with line break": "account(a\nb)",
    "account not NFC": "account(e\u0301)",
    "account invisible": "account(a\u200bb)",
    "account with half a character": "account(\ud800)",
    "account too long": f"account({'a' * (MAX_NAME_BYTES + 1)})",
    "contract empty": "contract()",
    "too deep": nested(MAX_LOCK_DEPTH + 1),
    "very deep": "all(" * 500,
    "too many members": "any(" + ",".join(f"after({i})" for i in range(MAX_LOCK_MEMBERS + 1)) + ")",
    "too long": "account(" + "a" * MAX_LOCK_BYTES + ")",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_refused_texts(text):
    with pytest.raises(InvalidLock):
        parse_lock(text)


def test_bounds_themselves_are_allowed():
    parse_lock(nested(MAX_LOCK_DEPTH))
    parse_lock("any(" + ",".join(f"after({i})" for i in range(MAX_LOCK_MEMBERS)) + ")")
    parse_lock(f"account({'a' * MAX_NAME_BYTES})")
    parse_lock(f"after({MAX_HEIGHT})")


@given(st.one_of(st.text(max_size=60), st.text("alnykethrsod(),0123456789", max_size=80)))
def test_any_text_is_a_lock_that_prints_as_itself_or_is_refused(text):
    with suppress(InvalidInput):
        assert str(parse_lock(text)) == text


@given(LOCK, st.integers(0, 5_000), st.sampled_from("(),0ak \x00é"))
def test_changed_texts_never_mean_the_same(text, position, inserted):
    position %= len(text) + 1
    changed = text[:position] + inserted + text[position:]
    with suppress(InvalidLock):
        assert parse_lock(changed) != parse_lock(text)


def test_every_refused_name_has_its_code():
    for name in ("", " a", "a ", "a,b", 'a"b', "a\\b", "a\tb", "e\u0301", "ü" * 65):
        with pytest.raises(InvalidLock) as error:
            check_name(name)
        assert error.value.code == "name_invalid"
    assert check_name("ü" * 64) == "ü" * 64


# --- satisfaction -------------------------------------------------------------------------------------------------


def satisfied(text, **offered):
    return parse_lock(text).satisfied(by(**offered))


def test_single_locks():
    assert satisfied(K[0], signers=[PUBLIC[0]])
    assert not satisfied(K[0], signers=[PUBLIC[1]])
    assert satisfied(f"hash({H[0]})", preimages=[H[0]])
    assert not satisfied(f"hash({H[0]})", preimages=[H[1]])
    assert satisfied("contract(bridge)", approved=["bridge"])
    assert not satisfied("contract(bridge)", approved=["other"])
    for height, expected in ((9, False), (10, True), (11, True)):
        assert satisfied("after(10)", height=height) is expected


def test_account_lock_is_the_accounts_and_nobodys_when_there_is_none():
    accounts = {"alice": f"all({K[0]},{K[1]})"}
    assert satisfied("account(alice)", accounts=accounts, signers=PUBLIC[:2])
    assert not satisfied("account(alice)", accounts=accounts, signers=PUBLIC[:1])
    assert not satisfied("account(bob)", accounts=accounts, signers=PUBLIC)


@pytest.mark.parametrize("needed", [1, 2, 3])
def test_truth_table_of_thresholds(needed):
    text = f"threshold({needed},{K[0]},{K[1]},{K[2]})"
    for offered in product([False, True], repeat=3):
        signers = [public for public, given_ in zip(PUBLIC, offered, strict=False) if given_]
        assert satisfied(text, signers=signers) is (sum(offered) >= needed)
        assert satisfied(f"all({K[0]},{K[1]},{K[2]})", signers=signers) is all(offered)
        assert satisfied(f"any({K[0]},{K[1]},{K[2]})", signers=signers) is any(offered)


def test_truth_table_of_a_timed_recovery():
    """The owner and the bank, or the owner alone with a preimage, or after a while the bank alone."""
    text = f"any(all({K[0]},{K[1]}),all({K[0]},hash({H[0]})),all({K[1]},after(10)))"
    for owner, bank, preimage, late in product([False, True], repeat=4):
        expected = (owner and bank) or (owner and preimage) or (bank and late)
        signers = [public for public, signs in ((PUBLIC[0], owner), (PUBLIC[1], bank)) if signs]
        found = satisfied(text, signers=signers, preimages=[H[0]] if preimage else [], height=10 if late else 9)
        assert found is expected


def test_every_signature_that_a_lock_knows_counts_as_used_even_when_fewer_would_do():
    offered = by(signers=PUBLIC[:4], preimages=H)
    assert parse_lock(f"any({K[0]},threshold(1,{K[1]},{K[2]}),hash({H[0]}))").satisfied(offered)
    assert offered.used_keys == set(PUBLIC[:3])
    assert offered.used_preimages == {H[0]}


def test_nothing_is_marked_that_no_lock_looked_for():
    offered = by(signers=[PUBLIC[3]], preimages=[H[1]])
    assert not parse_lock(f"any({K[0]},hash({H[0]}))").satisfied(offered)
    assert not offered.used_keys
    assert not offered.used_preimages


def test_signatures_are_marked_behind_accounts_and_in_a_lock_that_fails():
    offered = by(signers=[PUBLIC[0]], accounts={"alice": f"all({K[0]},{K[1]})"})
    assert not parse_lock("account(alice)").satisfied(offered)
    assert offered.used_keys == {PUBLIC[0]}


def test_walk_visits_every_lock_inside():
    text = f"any(all({K[0]},after(5)),threshold(1,account(a),contract(c)))"
    assert [str(lock) for lock in parse_lock(text).walk()] == [
        text,
        f"all({K[0]},after(5))",
        K[0],
        "after(5)",
        "threshold(1,account(a),contract(c))",
        "account(a)",
        "contract(c)",
    ]
    assert [str(lock) for lock in parse_lock("after(5)").walk()] == ["after(5)"]
