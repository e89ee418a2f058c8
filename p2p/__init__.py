"""How bytes travel between nodes: the only package that knows libp2p and trio."""
