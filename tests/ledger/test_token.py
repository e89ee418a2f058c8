"""The token formula against the protocol's vectors, and dates at their edges."""

import datetime as dt
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import InvalidInput
from ledger.token import token, utc_date

TXHASH = b"\x5f" * 32
DAY_MS = 86_400_000


@pytest.mark.parametrize(
    ("purpose", "expected"),
    [
        ("pres", "d6d807f2987def02c6ca68e8bf92f24f52d5ba859dcc68c874e5b2c1423a2840"),
        ("order", "7b04dbab17d2217fa939008f817929cdb57db9fd9e7ecc9094fd9a2f931ce8db"),
    ],
)
def test_token_is_the_protocols_when_computed_from_its_vectors(purpose, expected):
    assert token("2020-01-01", TXHASH, purpose).hex() == expected


def test_token_is_the_hash_of_three_ascii_strings_when_spelled_out():
    assert token("1999-12-31", bytes(range(32)), "x-1") == (
        sha256(b"1999-12-31" + bytes(range(32)).hex().encode() + b"x-1").digest()
    )


@pytest.mark.parametrize(
    ("date", "txhash", "purpose", "code"),
    [
        ("20200101", TXHASH, "pres", "date_invalid"),
        ("2020-W01-3", TXHASH, "pres", "date_invalid"),
        ("2020-1-1", TXHASH, "pres", "date_invalid"),
        ("2020-02-30", TXHASH, "pres", "date_invalid"),
        ("2020-01-01 ", TXHASH, "pres", "date_invalid"),
        ("２０２０-01-01", TXHASH, "pres", "date_invalid"),
        ("", TXHASH, "pres", "date_invalid"),
        ("2020-01-01", TXHASH[:31], "pres", "txhash_invalid"),
        ("2020-01-01", TXHASH + b"\0", "pres", "txhash_invalid"),
        ("2020-01-01", TXHASH, "", "purpose_invalid"),
        ("2020-01-01", TXHASH, "p" * 33, "purpose_invalid"),
        ("2020-01-01", TXHASH, "pres ", "purpose_invalid"),
        ("2020-01-01", TXHASH, "prés", "purpose_invalid"),
        ("2020-01-01", TXHASH, "pres\n", "purpose_invalid"),
    ],
)
def test_token_is_refused_when_a_part_has_another_form(date, txhash, purpose, code):
    with pytest.raises(InvalidInput) as caught:
        token(date, txhash, purpose)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("time_ms", "expected"),
    [
        (0, "1970-01-01"),
        (DAY_MS - 1, "1970-01-01"),
        (DAY_MS, "1970-01-02"),
        (1_577_836_799_999, "2019-12-31"),
        (1_577_836_800_000, "2020-01-01"),
        (951_782_400_000, "2000-02-29"),
        (253_402_300_799_999, "9999-12-31"),
    ],
)
def test_date_changes_at_midnight_utc_when_time_passes(time_ms, expected):
    assert utc_date(time_ms) == expected


@given(st.integers(0, 253_402_300_799_999))
def test_date_is_the_calendars_when_any_time_is_given(time_ms):
    moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=time_ms)
    assert utc_date(time_ms) == moment.strftime("%Y-%m-%d").rjust(10, "0")
    assert token(utc_date(time_ms), TXHASH, "pres")


@pytest.mark.parametrize("time_ms", [-1, 253_402_300_800_000, 2**63])
def test_date_is_refused_when_the_time_is_out_of_the_years(time_ms):
    with pytest.raises(InvalidInput) as caught:
        utc_date(time_ms)
    assert caught.value.code == "date_invalid"
