"""Import of a directory of FHIR files: every prescription through every stage, as every party of it but authorities."""
