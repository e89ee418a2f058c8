"""A node's data over the years: verified, mended, copied, restored, joined from a snapshot, pruned, archived."""
