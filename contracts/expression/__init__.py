"""Rule expressions: a small, bounded, deterministic subset of CEL (DESIGN.md 5, PROTOCOL.md 2.3)."""
