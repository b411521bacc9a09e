"""What the FHIR bases give back: the twin's view as resources, searched, read and versioned.

Everything is read as of an instant of knowledge, so that a page follows the page before whatever
was received in between, and a version can be read again.
"""
