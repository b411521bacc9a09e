"""Finding messages in files: HL7 v2 batches, NDJSON, Bundles and whole folders, as streams.

`find_files` turns paths into sources, in name order; `read_messages` yields the messages of one
source with their byte offsets, using bounded memory however large the file is.
"""

from adapters.files.find import Source, find_files, sniff
from adapters.files.read import BATCH, Found, read_batches, read_messages

__all__ = ["BATCH", "Found", "Source", "find_files", "read_batches", "read_messages", "sniff"]
