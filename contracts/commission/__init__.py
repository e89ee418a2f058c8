"""Commission settlement between insurers and sales platforms, as a contract (PROTOCOL.md 1)."""
