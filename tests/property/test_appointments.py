"""One appointment in any history, beside a plain reading of the same history."""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from adapters.hl7v2 import translate
from twin_core.events import AppointmentEvent, Translation
from twin_core.identifiers import Identifier
from twin_core.settings import FeedSettings, LimitSettings
from twin_core.store.facts import Fact, natural, order_of
from twin_core.store.fold.appointment import fold_appointment
from twin_core.store.fold.rows import ResolvedPlace, Resolver

DAY = datetime(2026, 11, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RESOLVER = Resolver(
    lambda place: ResolvedPlace(place.facility, place.unit, place.room, "", "l1"),
    lambda identifiers: ("p1", True),
    lambda identifier: ("e1", True),
    lambda identifier: ("l1", True),
    lambda identifier: ("d1", True),
)
ENDED = {"cancelled", "noshow", "entered-in-error"}


@dataclass(frozen=True)
class Said:
    """What one message says, before it is written as HL7 v2."""

    trigger: str
    sent: int
    number: int
    start: int | None = None
    end: int | None = None
    minutes: int | None = None
    reason: str = ""
    status: str = ""
    staff: tuple[tuple[str, str, str], ...] = ()
    """Set id, action, code."""

    def raw(self) -> bytes:
        def stamp(minute: int | None) -> str:
            return "" if minute is None else f"{DAY + minute * MINUTE:%Y%m%d%H%M%S}+0000"

        sch = ["SCH", "P1", "F1", *[""] * 24]
        sch[7], sch[9], sch[25] = self.reason, str(self.minutes or ""), self.status
        lines = [
            rf"MSH|^~\&|S|H|T|L|{stamp(self.sent)}||SIU^{self.trigger}|{self.number}|P|2.5.1",
            "|".join(sch),
            f"TQ1|1||||||{stamp(self.start)}|{stamp(self.end)}",
            "RGS|1",
            *(f"AIP|{n}|{action}|{code}" for n, action, code in self.staff),
        ]
        return "\r".join(lines).encode()


triggers = st.sampled_from("S12 S13 S14 S14 S15 S16 S17 S18 S19 S20 S22 S26".split())
actions = st.sampled_from(["", "", "A", "U", "D", "X"])
staff = st.lists(
    st.tuples(st.sampled_from("12"), actions, st.sampled_from("KLM")),
    max_size=3,
    unique_by=(lambda one: one[0], lambda one: one[2]),
).map(tuple)
some_minute = st.none() | st.integers(480, 490)


@st.composite
def histories(draw: st.DrawFn) -> list[Said]:
    messages = []
    for number in range(draw(st.integers(1, 8))):
        start = draw(some_minute)
        messages.append(
            Said(
                trigger=draw(triggers),
                sent=draw(st.integers(0, 5)),
                number=number,
                start=start,
                end=None if start is None else draw(st.none() | st.integers(start, start + 60)),
                minutes=draw(st.none() | st.integers(1, 60)),
                reason=draw(st.sampled_from(["", "HIP", "KNEE", '""'])),
                status=draw(st.sampled_from(["", "", "Booked", "Cancelled", "Noshow", "Started"])),
                staff=draw(staff),
            )
        )
    return messages


# --- a plain reading -------------------------------------------------------------------------

ORDER = {"S12": 0, "S13": 2, "S26": 5, "S15": 6, "S16": 6, "S17": 7}
CODES = {"Booked": "booked", "Cancelled": "cancelled", "Noshow": "noshow", "Started": "checked-in"}


@dataclass
class Plain:
    status: str = "booked"
    start: int | None = None
    length: float | None = None
    reason: str | None = None
    staff: list[list[str]] = field(default_factory=list)
    """Set id, code, own ended status or nothing."""

    def read(self, said: Said) -> None:
        was, self.status = self.status, self._status(said)
        if was in ENDED and self.status != was:
            for member in self.staff:
                member[2] = "" if member[2] == was else member[2]
        if said.start is not None:
            self.start = said.start
        if said.end is not None and said.start is not None:
            self.length = said.end - said.start
        elif said.minutes is not None:
            self.length = said.minutes
        if said.reason:
            self.reason = None if said.reason == '""' else said.reason
        self._staff(said)

    def _status(self, said: Said) -> str:
        code = CODES.get(said.status, "")
        match said.trigger:
            case "S17":
                return "entered-in-error"
            case "S26":
                return "noshow"
            case "S15" | "S16":
                return "noshow" if code == "noshow" else "cancelled"
            case "S12" | "S13":
                return code or "booked"
        return code or self.status

    def _staff(self, said: Said) -> None:
        ended = {"S20": "cancelled", "S22": "entered-in-error"}.get(said.trigger, "")
        usual = {"S18": "A", "S19": "U", "S20": "U", "S22": "U"}.get(said.trigger, "")
        told = []
        for number, action, code in said.staff:
            action = action or usual
            told.append((number, "U" if ended and action != "X" else action, code))
        if not told:
            return
        if said.trigger == "S12":
            self.staff = []
        elif not any(action for _, action, _ in told):
            codes = [code for _, _, code in told]
            self.staff = [member for member in self.staff if member[1] in codes]
        there = {number: code for number, code, _ in self.staff}
        for number, action, code in told:
            member = self._named(code)
            if member is None and action in "UD" and action:
                member = self._named(there.get(number, ""))
            if action == "D":
                self.staff = [one for one in self.staff if one is not member]
            elif member is None:
                self.staff.append([number, code, ended if action == "U" else ""])
            elif action != "X":
                other = member[1] != code
                member[:] = [number, code, ended or ("" if other else member[2])]
                if other:
                    self.staff = [*(one for one in self.staff if one is not member), member]

    def _named(self, code: str) -> list[str] | None:
        return next((member for member in self.staff if member[1] == code), None)

    def shown(self) -> tuple[object, ...]:
        start = None if self.start is None else DAY + self.start * MINUTE
        end = None if start is None or self.length is None else start + self.length * MINUTE
        ended = self.status if self.status in ENDED else ""
        staff = {(code, own or ended or self.status) for _, code, own in self.staff}
        minutes = None if self.length is None else round(self.length)
        return (self.status, start, end, minutes, self.reason, frozenset(staff))


# --- the fold --------------------------------------------------------------------------------


def facts_of(said: Said) -> list[Fact]:
    outcome = translate(
        said.raw(), feed="f", settings=FEED, limits=LimitSettings(), received_at=DAY
    )
    assert isinstance(outcome, Translation), outcome
    envelope = outcome.envelope
    facts = []
    for ordinal, event in enumerate(outcome.events):
        order = order_of(
            event,
            sent_at=envelope.sent_at,
            sequence=envelope.sequence,
            control=natural(envelope.control_id),
            digest=hashlib.sha256(said.raw()).digest(),
            ordinal=ordinal,
        )
        facts.append(Fact(order, event, 1, DAY, "hl7v2"))
    return [fact for fact in facts if isinstance(fact.event, AppointmentEvent)]


FEED = FeedSettings(time_zone="UTC")


def folded(history: list[Said]) -> tuple[object, ...]:
    facts = sorted((fact for said in history for fact in facts_of(said)), key=lambda f: f.order)
    rows = fold_appointment(facts, [Identifier("s", "P1", "PLAC")], RESOLVER)
    [row] = [row for name, row in rows if name == "appointment"]
    staff = {(row[4], row[10]) for name, row in rows if name == "appointment_resource"}
    return (row[3], row[4], row[5], row[6], row[14], frozenset(staff))


@given(histories())
def test_an_appointment_is_what_a_plain_reading_says(history: list[Said]) -> None:
    plain = Plain()
    for said in sorted(history, key=lambda one: (one.sent, ORDER.get(one.trigger, 3), one.number)):
        plain.read(said)
    assert folded(history) == plain.shown()
