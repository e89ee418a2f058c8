"""Client of supervised flows (PROTOCOL.md 2): every step of every party, and the import of whole directories."""
