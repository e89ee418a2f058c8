"""Contract ``bridge``: the light client of the other chain, what goes to it and what comes from it (DESIGN.md 6)."""
