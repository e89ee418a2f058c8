"""Prescriptions from FHIR R4: Bulk Data files and sealed documents, checked whole before anything is sent.

``reading.load_directory`` reads a directory of NDJSON files, ``document.read_document`` one document as it travels in
an envelope, ``masking.mask_document`` takes the direct identifiers out. Every fault is a ``problems.InvalidFhir`` that
names file, line and path (PROTOCOL.md 2 and 3).
"""
