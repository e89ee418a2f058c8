"""Contract ``validators``: who decides which heights, how that changes, and what validators did wrong."""
