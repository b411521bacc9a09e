"""What can be read of MSH in bytes that may be anything, for answers and for quarantine."""

import re

import msgspec

_LONGEST = 4096
_MSH = re.compile(rb"[ \t\r\n\x0b]*(?:\xef\xbb\xbf)?[ \t\r\n]*(MSH[^\r\n\x0b\x1c\x00]*)")
_EVENT = re.compile(rb"[A-Z0-9]{3}", re.ASCII)
_PLAIN = re.compile(r"[\x20-\x7e\xa0-\xff]*")


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of MSH as sent, one byte to a character (Latin-1), delimiters included."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"
    sending_application: str = ""
    sending_facility: str = ""
    receiving_application: str = ""
    receiving_facility: str = ""
    trigger_event: str = ""
    control_id: str = ""
    processing_id: str = ""
    version: str = ""
    accept: str = ""
    """MSH-15, a condition of HL7 table 0155; empty where it is not valued."""
    application: str = ""
    """MSH-16, likewise."""
    charset: str = ""


def peek(raw: bytes) -> Header | None:
    """The header of the bytes, as far as there is one; it never raises."""
    found = _MSH.match(raw[:_LONGEST])
    if found is None or len(found[1]) < len(b"MSH|^"):
        return None
    line = found[1].decode("iso8859-1")
    fields = line.split(line[3], 20)
    fields.extend([""] * (20 - len(fields)))
    marks = fields[1].ljust(4, "\x00")[:4]
    component = marks[0]
    return Header(
        field=line[3],
        component=component,
        repetition=marks[1],
        escape=marks[2],
        subcomponent=marks[3],
        sending_application=fields[2],
        sending_facility=fields[3],
        receiving_application=fields[4],
        receiving_facility=fields[5],
        trigger_event="^".join(fields[8].split(component)[:2])[:20],
        control_id=fields[9],
        processing_id=fields[10].partition(component)[0],
        version=fields[11].partition(component)[0],
        accept=_condition(fields[14], component),
        application=_condition(fields[15], component),
        charset=fields[17].partition(marks[1])[0],
    )


def _condition(field: str, component: str) -> str:
    code = field and field.partition(component)[0].strip().upper()
    return "" if code == '""' else code
