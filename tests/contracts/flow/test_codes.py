"""Every reason code of the contract is provoked by a test of this folder."""

from pathlib import Path

from contracts.flow import codes

HERE = Path(__file__).parent


def test_every_code_is_provoked_and_begins_with_the_contracts_kind():
    known = {value for name, value in vars(codes).items() if name.isupper()}
    assert len(known) > 40
    assert all(code.startswith("flow_") for code in known)
    tests = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("test_*.py") if path.name != "test_codes.py")
    assert {code for code in known if f'"{code}"' not in tests} == set()
