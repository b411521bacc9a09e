"""Character sets by the names of HL7 table 0211 (MSH-18), and those that feeds send for them."""

BY_NAME: dict[str, str] = {
    "ASCII": "ascii",
    "ISO IR6": "ascii",
    "8859/1": "iso8859-1",
    "8859/2": "iso8859-2",
    "8859/3": "iso8859-3",
    "8859/4": "iso8859-4",
    "8859/5": "iso8859-5",
    "8859/6": "iso8859-6",
    "8859/7": "iso8859-7",
    "8859/8": "iso8859-8",
    "8859/9": "iso8859-9",
    "8859/15": "iso8859-15",
    "ISO IR87": "iso2022_jp",
    "ISO IR159": "iso2022_jp_1",
    "GB 18030-2000": "gb18030",
    "KS X 1001": "euc_kr",
    "BIG-5": "big5",
    "UNICODE": "utf-8",
    "UNICODE UTF-8": "utf-8",
    # Not in table 0211, but sent for UTF-8 and ISO 8859-1, and used in feed settings.
    "UTF-8": "utf-8",
    "UTF8": "utf-8",
    "US-ASCII": "ascii",
    "ISO-8859-1": "iso8859-1",
    "ISO8859-1": "iso8859-1",
    "LATIN-1": "iso8859-1",
    "LATIN1": "iso8859-1",
    "ISO-8859-15": "iso8859-15",
    "WINDOWS-1252": "cp1252",
    "CP1252": "cp1252",
}
"""Name -> Python codec. No other name is ever handed to the registry of codecs."""


def is_known(charset: str) -> bool:
    """Whether a feed may be configured to be in this character set, in any case of letters."""
    return charset.strip().upper() in BY_NAME
