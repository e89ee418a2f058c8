"""How validators agree: a pure state machine (QBFT), without I/O, clock or randomness."""
