"""What stands around results: their order (OBR, ORC) and whom they are of (PID, PV1)."""

from adapters.hl7v2.codings import Coding, Vocabulary
from adapters.hl7v2.fields import CLEARED, Reading, Segment, patient_identifiers
from adapters.hl7v2.timestamps import within_unit
from adapters.hl7v2.visits import numbered
from twin_core.events import PatientDescribed
from twin_core.identifiers import Identifier

FILLER, PLACER = "FILL", "PLAC"


class Order:
    """One OBR with its ORC: its numbers, its times, and what took part in it."""

    __slots__ = (
        "default_status",
        "device",
        "effective_at",
        "filler",
        "obr",
        "ordered",
        "panel",
        "participations",
        "placer",
        "reported_at",
    )

    def __init__(
        self,
        reading: Reading,
        vocabulary: Vocabulary,
        obr: Segment,
        orc: str | None,
        sequence: int,
    ) -> None:
        self.obr = obr
        self.filler = vocabulary.number(obr[3], FILLER)
        self.placer = vocabulary.number(obr[2], PLACER)
        if orc is not None and (self.filler is None or self.placer is None):
            fields = reading.split(orc)
            self.filler = self.filler or vocabulary.number(fields[3], FILLER)
            self.placer = self.placer or vocabulary.number(fields[2], PLACER)
        recorded_at = reading.recorded_at
        self.reported_at = recorded_at
        """OBR-22 where it is filled and not ahead of the message, else EVN-2 or MSH-7."""
        if obr[22]:
            changed = reading.moment(obr[22], f"OBR^{sequence}^22")
            if changed is not None:
                self.reported_at = min(recorded_at, within_unit(changed, recorded_at))
        self.effective_at = self.reported_at
        """OBR-7, else OBR-22, else MSH-7."""
        if obr[7]:
            observed = reading.moment(obr[7], f"OBR^{sequence}^7")
            if observed is not None:
                self.effective_at = within_unit(observed, recorded_at)
        self.default_status = obr[25]
        coding = vocabulary.coding(obr[4]) if obr[4] else None
        self.ordered = coding.ordered if coding else ()
        self.panel = _panel(reading, coding, obr) if self.filler or self.placer else ()
        """What tells apart several OBRs of one order."""
        self.device: Identifier | None = None
        self.participations: list[Segment] = []
        """The PRT segments of the group."""


def _panel(reading: Reading, coding: Coding | None, obr: Segment) -> tuple[str, ...]:
    """OBR-4 by its codes, each with the result it is about (OBR-26); else `#` and OBR-1."""
    if coding is None:
        number = reading.message.code(obr[1]) if obr[1] else ""
        return (f"#{number}",) if number else ()
    codes = (coding.code, *[code for _, code in coding.also])
    if not obr[26] or obr[26] == CLEARED:
        return codes
    message = reading.message
    code, sub_id = message.components(message.first_repetition(obr[26]))[:2]
    code = code.partition(message.delimiters.subcomponent)[0]
    parent = f"{message.text(code).strip()}.{message.text(sub_id).strip()}"
    return tuple([f"{code}/{parent}" for code in codes])


class Subject:
    """Whom results are of: a person and a visit as far as the message names them."""

    __slots__ = ("encounter", "identification", "patient", "source")

    def __init__(self, reading: Reading, pid: Segment | None, pv1: Segment | None) -> None:
        self.patient: tuple[Identifier, ...] = ()
        self.encounter: Identifier | None = None
        self.identification: PatientDescribed | None = None
        """Which identifiers are one person."""
        self.source = reading.sender.name
        if pid is not None:
            self._identify(reading, pid)
        if pv1 is not None and pv1[19]:
            self.encounter = numbered(reading, pv1[19], "VN") or self.encounter

    def _identify(self, reading: Reading, pid: Segment) -> None:
        listed = pid[3] if pid[3] and pid[3] != CLEARED else pid[2] or pid[4]
        self.patient, others = patient_identifiers(reading, listed)
        if pid[18]:
            self.encounter = numbered(reading, pid[18], "AN")
        if self.patient:
            self.identification = PatientDescribed(
                occurred_at=reading.recorded_at, patient=self.patient, other_identifiers=others
            )
        else:
            detail = "The patient has no identifier (PID-3); results are kept without one."
            reading.note("missing_identifier", detail)
