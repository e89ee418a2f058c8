"""Reports as CSV and XLSX files, with running totals that reconcile with the chain."""
