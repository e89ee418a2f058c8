"""What a transaction may do: the contract interface, the executor, the built-in contracts."""
