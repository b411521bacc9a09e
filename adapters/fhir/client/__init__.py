"""A FHIR server as a source: searched, exported, asked what was deleted, with patience.

`FhirServer` asks it; `Search`, `History` and `Export` read it page by page or file by file, each
with the checkpoint that holds once that is stored. Nothing here stores anything.
"""
