"""Evidence bundles of records and flows: what was recorded, decided, paid; checked offline against genesis files."""
