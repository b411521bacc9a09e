"""A hospital of three patients, one of whom is told of in every way that a store takes in.

Whatever is hers holds the letters of `PLANTED`; the two others are told of in the same messages as
far as messages can, and by themselves.
"""

import json
from pathlib import Path
from typing import Any

from adapters.files import Found
from api.translating import Reader
from twin_core import Twin
from twin_core.inbox import Answer

PLANTED = (b"QZXYW", b"qzxhers", b"Quixworthy", b"Zephyrine")
HERS = "urn:wardtwin:authority:GEN|MRQZXYW7741"


def hl7(trigger: str, control: str, *segments: str, at: str = "0800") -> bytes:
    kind = trigger.partition("^")[0]
    stamp = f"20260302{at}00+0000"
    event = [f"EVN|{trigger.partition('^')[2]}|{stamp}"] if kind == "ADT" else []
    header = rf"MSH|^~\&|PAS|GEN|TWIN|GEN|{stamp}||{trigger}|{control}|P|2.5.1"
    return "\r".join((header, *event, *segments)).encode()


def pid(number: str, family: str, given: str, more: str = "") -> str:
    return f"PID|1||{number}^^^GEN^MR~SS{number}^^^SSA^SS||{family}^{given}||19700101|F{more}"


def pv1(place: str, visit: str, kind: str = "I", account: str = "") -> str:
    fields = [""] * 45
    fields[0], fields[1], fields[2], fields[18] = "1", kind, place, f"{visit}^^^GEN^VN"
    fields[43] = "20260302080000+0000"
    return "PV1|" + "|".join(fields)


HER = pid("MRQZXYW7741", "Quixworthy", "Zephyrine", "|||QZXYW ROAD 1^^TOWN||555QZXYW")
HIM = pid("MR2", "Smith", "John")
BABY = pid("MR3", "Jones", "Baby", f"{'|' * 13}MRQZXYW7741^^^GEN^MR")
HER_VISIT, HIS_VISIT, BABY_VISIT = "VQZXYW1", "V2", "V3"

ADMITTED = hl7("ADT^A01", "CQZXYW1", HER, pv1("W1^1^A^GEN", HER_VISIT))
HL7 = (
    ADMITTED,
    hl7("ADT^A01", "2", HIM, pv1("W1^1^B^GEN", HIS_VISIT)),
    hl7("ADT^A01", "3", BABY, pv1("W2^1^A^GEN", BABY_VISIT)),
    hl7("ADT^A02", "4", HER, pv1("W2^2^A^GEN", HER_VISIT), at="0900"),
    # Two in one message: the beds of both are swapped.
    hl7(
        "ADT^A17",
        "5",
        HER,
        pv1("W1^1^B^GEN", HER_VISIT),
        HIM,
        pv1("W2^2^A^GEN", HIS_VISIT),
        at="1000",
    ),
    hl7("ADT^A40", "6", HER, "MRG|OLDQZXYW11^^^GEN^MR", at="1010"),
    hl7("ADT^A24", "7", HER, HIM, at="1020"),
    hl7("ADT^A08", "8", HIM, pv1("W2^2^A^GEN", HIS_VISIT), at="1030"),
    hl7(
        "SIU^S12",
        "9",
        "SCH|PLQZXYW1^PAS|FLQZXYW1^RIS||||||CHECK|30|min|^^^20260310090000+0000^20260310093000+0000",
        HER,
        "RGS|1",
        "AIL|1||W2^X^^GEN",
    ),
    hl7(
        "SIU^S12",
        "10",
        "SCH|PL2^PAS|FL2^RIS||||||GROUP|30|min|^^^20260311090000+0000^20260311093000+0000",
        HER,
        HIM,
        "RGS|1",
        "AIL|1||W2^X^^GEN",
    ),
    hl7(
        "ORU^R01",
        "11",
        HER,
        pv1("W1^1^B^GEN", HER_VISIT),
        "OBR|1|POQZXYW1|FOQZXYW1^LAB|24331-1^Lipids^LN|||20260302090000+0000",
        "OBX|1|NM|2093-3^Cholesterol^LN||187|mg/dL|||||F",
    ),
    hl7(
        "ORU^R01",
        "12",
        HIM,
        pv1("W2^2^A^GEN", HIS_VISIT),
        "OBR|1|PO2|FO2^LAB|24331-1^Lipids^LN|||20260302090000+0000",
        "OBX|1|NM|2093-3^Cholesterol^LN||201|mg/dL|||||F",
    ),
    # One that cannot be applied, and one that changes nothing.
    hl7("ADT^A01", "13", HER.replace("19700101", "19700230"), pv1("W1^9^A^GEN", "VQZXYW9")),
    hl7("BAR^P01", "14", HER, pv1("W1^1^B^GEN", HER_VISIT)),
    hl7("ADT^A60", "16", HER, "IAM|1||QZXYW-ALLERGY||||A"),
    hl7("ADT^A03", "15", HIM, pv1("W2^2^A^GEN", HIS_VISIT), at="1500"),
)
MR = {
    "system": "urn:wardtwin:authority:GEN",
    "value": "MRQZXYW7741",
    "type": {"coding": [{"code": "MR"}]},
}
HER_REFERENCE = {"reference": "Patient/pat-qzxhers"}
FHIR: tuple[dict[str, Any], ...] = (
    {
        "resourceType": "Patient",
        "id": "pat-qzxhers",
        "identifier": [MR],
        "name": [{"family": "Quixworthy", "given": ["Zephyrine"]}],
        "gender": "female",
    },
    {"resourceType": "Patient", "id": "pat-4", "gender": "male"},
    {
        "resourceType": "Encounter",
        "id": "enc-qzxhers",
        "status": "in-progress",
        "class": {"code": "AMB"},
        "subject": HER_REFERENCE,
        "period": {"start": "2026-03-02T08:00:00Z"},
    },
    {
        "resourceType": "Encounter",
        "id": "enc-4",
        "status": "in-progress",
        "class": {"code": "AMB"},
        "subject": {"reference": "Patient/pat-4"},
        "period": {"start": "2026-03-02T08:00:00Z"},
    },
    {
        "resourceType": "Observation",
        "id": "obs-qzxhers",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
        "encounter": {"reference": "Encounter/enc-qzxhers"},
        "effectiveDateTime": "2026-03-02T09:00:00Z",
        "valueQuantity": {"value": 61, "unit": "/min"},
    },
    {
        "resourceType": "Appointment",
        "id": "app-4",
        "status": "booked",
        "start": "2026-03-12T09:00:00Z",
        "end": "2026-03-12T09:30:00Z",
        "participant": [
            {"actor": HER_REFERENCE, "status": "accepted"},
            {"actor": {"reference": "Patient/pat-4"}, "status": "accepted"},
        ],
    },
    {"resourceType": "Device", "id": "dev-1", "status": "active", "patient": HER_REFERENCE},
    {
        "resourceType": "Procedure",
        "id": "pro-qzxhers",
        "status": "completed",
        "subject": HER_REFERENCE,
        "encounter": {"reference": "Encounter/enc-qzxhers"},
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "80146002"}]},
        "performedDateTime": "2026-03-02T09:00:00Z",
    },
    {"resourceType": "Condition", "id": "con-qzxhers", "subject": HER_REFERENCE},
    {"resourceType": "Encounter", "id": "bad-qzxhers", "status": "bogus", "subject": HER_REFERENCE},
)


def told(twin: Twin, raw: bytes, form: str, path: str = "/in/feed.hl7") -> list[Answer]:
    """What is answered to a message or resource, once it can be seen."""
    reader = Reader(twin.settings, None, twin.clock.now())
    answers = twin.receive(list(reader.receipts(Found(raw, 0, form), path)))
    twin.wait_applied()
    return answers


def tell_everything(twin: Twin) -> list[str]:
    """The whole hospital into a store, message by message; what became of each."""
    found = [answer.status for raw in HL7 for answer in told(twin, raw, "hl7v2")]
    resources = [json.dumps(resource).encode() for resource in FHIR]
    return found + [a.status for raw in resources for a in told(twin, raw, "fhir")]


def planted(folder: Path) -> list[str]:
    """The files below a folder that hold anything of her."""
    return sorted(
        str(file.relative_to(folder))
        for file in folder.rglob("*")
        if file.is_file() and any(word in file.read_bytes() for word in PLANTED)
    )
