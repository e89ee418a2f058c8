"""What the regulator's people do on the supervision chain: as functions, for commands, the demo and tests."""
