"""The table of reimbursement ratios as state: rows keyed (coverage, drug code), falling back to the coverage."""

from __future__ import annotations

from contracts.codes import Refusal
from contracts.flow import calls
from contracts.flow.amounts import MAX_RATIOS, RATIO_INVALID, Priced, Ratio, check_ratios, ratio_for, split
from contracts.interface import EndContext, StateSpace
from ledger.encoding import Codec, encode

ratio_codec = Codec(Ratio, 1_024, "reimbursement ratio")


def row_key(coverage: str, drug_code: str) -> bytes:
    """Where a row stands."""
    return b"r" + coverage.encode() + b"\x00" + drug_code.encode()


def put_rows(state: StateSpace, change: calls.SetReimbursement) -> None:
    """Removes and sets rows of the table.

    Refuses with ``flow_ratio_invalid``: two rows for one key, a row to remove that is not there, a coverage with a NUL,
    or a table that would be too long.
    """
    check_ratios(change.rows)
    rows = int.from_bytes(state.get(b"c") or b"", "big")
    for gone in change.remove:
        key = row_key(gone.coverage, gone.drug_code)
        if state.get(key) is None:
            raise Refusal(RATIO_INVALID, f"there is no row for {gone.coverage!r}, {gone.drug_code!r}")
        state.delete(key)
        rows -= 1
    for row in change.rows:
        if "\x00" in row.coverage:
            raise Refusal(RATIO_INVALID, "a coverage's name has no NUL")
        key = row_key(row.coverage, row.drug_code)
        rows += state.get(key) is None
        state.put(key, encode(row))
    if rows > MAX_RATIOS:
        raise Refusal(RATIO_INVALID, f"{rows} rows, at most {MAX_RATIOS}")
    state.put(b"c", rows.to_bytes(4, "big"))


def shares(context: EndContext, items: tuple[calls.Item, ...]) -> tuple[int, int]:
    """What payer and patient pay of an order by the table as it is now: ``(reimbursed, patient)``, minor units."""

    def ratio_of(item: Priced) -> int:
        assert isinstance(item, calls.Item)
        keys = (row_key(item.coverage, item.drug_code), row_key(item.coverage, ""))
        found = [ratio_codec.decode(data) for key in keys if (data := context.state.get(key)) is not None]
        return ratio_for(found, item.coverage, item.drug_code)

    return split(items, ratio_of)
