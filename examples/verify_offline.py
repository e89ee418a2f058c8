"""Checks a proof file without any node: the genesis file is all that is trusted.

python examples/verify_offline.py paid.json --genesis devnet/genesis.json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tidegate import InvalidProof, parse_genesis, verify_file


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("proof", type=Path)
    parser.add_argument("--genesis", type=Path, required=True, help="of the chain, from a source that you trust")
    given = parser.parse_args()
    try:
        shown = verify_file(given.proof.read_bytes(), parse_genesis(given.genesis.read_bytes()))
    except InvalidProof as error:
        print(f"proves nothing: {error.message}", file=sys.stderr)
        return 1
    print(shown.words)
    print(json.dumps(shown.facts, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
