"""CSV import of sales: read and validate a whole file, then book it, so often as it takes and never anything twice."""
