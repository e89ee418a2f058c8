"""What proofs cost: ``scripts/proofs``."""
