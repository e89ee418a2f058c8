"""A whole supervised consortium on one machine: two networks, fusion nodes, parties, and how they are introduced."""
