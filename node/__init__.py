"""The daemon: wires ledger, consensus, p2p and contracts to the world."""
