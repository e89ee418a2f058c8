"""What is true: values, canonical bytes, keys, Merkle trees, locks, certificates, blocks, state, the store."""
