"""Says in words why no block is made, and what to do: for a node that runs, and for a home whose node does not."""
