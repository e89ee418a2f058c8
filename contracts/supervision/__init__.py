"""The supervision contract: requests, decisions, grants, sealed records, control classes (PROTOCOL.md 2 to 2.6)."""
