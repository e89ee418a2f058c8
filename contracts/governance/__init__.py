"""Contract ``governance``: what a chain changes about itself: proposals, k-of-n approvals, named policies."""
