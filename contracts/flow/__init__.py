"""Supervised business flows, the business side, as a contract (PROTOCOL.md 2)."""
