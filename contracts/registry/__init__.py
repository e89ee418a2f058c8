"""Contract ``registry``: who may take part, and how strictly organisations are supervised (PROTOCOL.md 2.2, 2.4)."""
