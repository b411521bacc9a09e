"""Histories of several patients, accounts and visits whose identities change, sensible or not."""

from datetime import UTC, datetime, timedelta

from adt_oracle import Message
from hypothesis import strategies as st
from msgspec import UNSET

from twin_core.events import (
    AccountMoved,
    AccountRenumbered,
    AccountsMerged,
    Admitted,
    Demographics,
    Discharged,
    EncounterMoved,
    EncounterRenumbered,
    EncountersMerged,
    EncounterUpdated,
    Event,
    PatientDescribed,
    PatientIdentifiersMoved,
    PatientRenumbered,
    PatientsLinked,
    PatientsMerged,
    PatientsUnlinked,
    Transferred,
)
from twin_core.identifiers import Identifier, Place

START = datetime(2026, 3, 28, 20, tzinfo=UTC)
PATIENTS = tuple(Identifier("urn:mrn", f"P{n}", "MR") for n in range(5))
COUPLES = (PATIENTS[0:2], PATIENTS[1::-1], PATIENTS[2:4])
"""Numbers that are listed together often."""
ACCOUNTS = tuple(Identifier("urn:account", f"A{n}", "AN") for n in range(4))
VISITS = tuple(Identifier("urn:visit", f"V{n}", "VN") for n in range(4))
BEDS = tuple(Place("H", "ICU", "1", bed) for bed in "ABCD")
LAST = 12
MOVEMENTS = (Admitted, Transferred, Discharged, EncounterUpdated)


def hours(n: float) -> datetime:
    return START + timedelta(hours=n)


def _some(pool: tuple[Identifier, ...], least: int, most: int) -> st.SearchStrategy[list]:
    return st.lists(st.sampled_from(pool), min_size=least, max_size=most, unique=True)


@st.composite
def _about_a_visit(draw: st.DrawFn, at: datetime) -> Event:
    n = draw(st.integers(0, len(VISITS) - 1))
    common = {
        "occurred_at": at,
        "entered_at": at,
        "patient": (draw(st.sampled_from((PATIENTS[n], PATIENTS[n], *PATIENTS))),),
        "account": draw(st.sampled_from((None, ACCOUNTS[n], ACCOUNTS[n], *ACCOUNTS))),
    }
    kind = draw(st.sampled_from((*MOVEMENTS, *MOVEMENTS, "merge", "renumber", "move")))
    if isinstance(kind, str):
        naming = {"merge": EncountersMerged, "renumber": EncounterRenumbered}
        if kind in naming:
            return naming[kind](encounter=tuple(draw(_some(VISITS, 2, 2))), **common)
        return EncounterMoved(encounter=(VISITS[n],), **common)
    return kind(encounter=(VISITS[n],), place=draw(st.sampled_from((*BEDS, Place()))), **common)


@st.composite
def _about_people(draw: st.DrawFn, at: datetime) -> Event:
    kind = draw(
        st.sampled_from(
            (
                PatientDescribed,
                PatientDescribed,
                PatientsMerged,
                PatientsMerged,
                PatientRenumbered,
                PatientIdentifiersMoved,
                PatientIdentifiersMoved,
                PatientsLinked,
                PatientsLinked,
                PatientsUnlinked,
            )
        )
    )
    one, other = draw(_some(PATIENTS, 2, 2))
    if kind is PatientDescribed:
        sex = draw(st.sampled_from((UNSET, "male", "female", "unknown", None)))
        listed = tuple(draw(st.one_of(st.sampled_from(COUPLES), _some(PATIENTS, 1, 2))))
        return PatientDescribed(occurred_at=at, patient=listed, demographics=Demographics(sex=sex))
    if kind is PatientIdentifiersMoved:
        moved = draw(_some(PATIENTS, 1, 2))
        target = draw(st.sampled_from((one, other, moved[0])))
        return PatientIdentifiersMoved(occurred_at=at, identifiers=tuple(moved), target=target)
    if kind in (PatientsLinked, PatientsUnlinked):
        return kind(occurred_at=at, one=one, other=other)
    return kind(occurred_at=at, source=one, target=other)


@st.composite
def _about_accounts(draw: st.DrawFn, at: datetime) -> Event:
    one, other = draw(_some(ACCOUNTS, 2, 2))
    kind = draw(st.sampled_from((AccountsMerged, AccountRenumbered, AccountMoved, AccountMoved)))
    if kind is AccountMoved:
        patient = draw(st.sampled_from(PATIENTS))
        return AccountMoved(occurred_at=at, account=one, patient=(patient,))
    return kind(occurred_at=at, source=one, target=other)


_ABOUT = {"visits": _about_a_visit, "people": _about_people, "accounts": _about_accounts}


@st.composite
def histories(
    draw: st.DrawFn, about: str = "visits people accounts", longest: int = 20
) -> list[Message]:
    """Events about some things; whoever has a visit or an account is described beside it."""
    said = []
    for control in range(draw(st.integers(1, longest))):
        at = hours(draw(st.integers(0, LAST)))
        sent_at = at + timedelta(minutes=draw(st.integers(0, 2)))
        event = draw(_ABOUT[draw(st.sampled_from(about.split()))](at))
        patient = getattr(event, "patient", ())
        if patient and not isinstance(event, PatientDescribed):
            described = PatientDescribed(occurred_at=at, patient=patient)
            said.append(Message(described, sent_at, control, 0))
        said.append(Message(event, sent_at, control, 1))
    return said
