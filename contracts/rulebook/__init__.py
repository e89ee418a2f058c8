"""Contract ``rules``: versioned lists and expressions that decide about stages of flows (PROTOCOL.md 2.3)."""
