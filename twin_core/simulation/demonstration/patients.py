"""The people who come, and their visits while they last."""

from collections import deque
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random
from typing import TYPE_CHECKING

from msgspec.structs import replace

from twin_core.identifiers import NOWHERE, Place
from twin_core.simulation.demonstration.agenda import utc
from twin_core.simulation.facts import Person, VisitState

if TYPE_CHECKING:
    from twin_core.simulation.demonstration.beds import Bed

FAMILY_NAMES = (
    "Amber Anchor Apple Autumn Barley Basket Beacon Birch Blanket Bottle Bridge Button Candle "
    "Canvas Cedar Chimney Clover Copper Cotton Cup Daisy Drum Ember Feather Fern Fiddle Garden "
    "Ginger Granite Harbour Hazel Iron Island Ivory Juniper Kettle Ladder Lantern Lemon Linen "
    "Maple Marble Meadow Mirror Needle O'Oak Olive Orchard Paper Pebble Pepper Pillow Pine "
    "Pocket Quilt Ribbon River Saddle Sailor Saffron Silver Spoon Stone Table Thimble Thistle "
    "Timber Umbrella Valley Velvet Violin Wagon Walnut Whistle Willow Window Winter Wool Zipper"
).split()
GIVEN_NAMES = (
    "April Azure Bay Berry Blue Breeze Brook Cloud Coral Dawn Dew Dune Dusk Echo Fen Flint Frost "
    "Gale Glade Green Grove Haven Heath Hill Indigo Isle June Lake Lark Leaf Linden Mist Moon "
    "Moss North Ocean Opal Pearl Plum Rain Reed Rose Rowan Sage Sky Snow South Spring Star Sun "
    "Teal Tide Vale West Wren"
).split()
STREETS = ("Sample Street", "Example Road", "Test Lane", "Model Way", "Pattern Square", "A&B Alley")
UNKNOWN = "Unknown"


@dataclass(slots=True, eq=False)
class Visit:
    """A visit under way. `bed` is the one assigned, `place` where the patient is right now."""

    number: str
    person: Person
    class_: str
    service: str
    attending: str
    admit_source: str
    place: Place = NOWHERE
    bed: "Bed | None" = None
    admitted_at: int | None = None
    discharged_at: int | None = None
    disposition: str = ""
    engaged: bool = False
    """On leave, in theatre, or wrongly recorded: nothing else may happen meanwhile."""
    settled: bool = True
    """Whether the record is the person's own, not one about to be merged."""
    stay: int = 0
    """Counts the units of the visit, so that plans made in an earlier one are void."""
    last_at: int = 0
    """When something was last recorded: no two events of a visit share a second."""

    def state(self) -> VisitState:
        """What the record says now."""
        return VisitState(
            number=self.number,
            class_=self.class_,
            place=self.place,
            service=self.service,
            attending=self.attending,
            admit_source=self.admit_source,
            disposition=self.disposition,
            admitted_at=None if self.admitted_at is None else utc(self.admitted_at),
            discharged_at=None if self.discharged_at is None else utc(self.discharged_at),
        )


class People:
    """Registration: new people, returning people, and their numbers."""

    def __init__(self, chance: Random, returning: float) -> None:
        self._chance, self._returning = chance, returning
        self._records = self._visits = 0
        self._home: deque[Person] = deque(maxlen=3000)
        """People who are not in the hospital and have no booking."""

    def somebody(self, on: date) -> Person:
        """A person who comes to the hospital: sometimes one who was here before."""
        if len(self._home) > 200 and self._chance.random() < self._returning:
            person = self.former()
            if person is not None:
                return person
        return self._new(on)

    def former(self) -> Person | None:
        """Somebody who was here before, taken off the list of those at home."""
        if not self._home:
            return None
        self._home.rotate(self._chance.randrange(len(self._home)))
        return self._home.pop()

    def unidentified(self, on: date) -> Person:
        """A person whose name nobody knows yet."""
        return replace(self._new(on), family_name=UNKNOWN, given_name="Person")

    def registered_again(self, person: Person) -> Person:
        """A second record for the same person, made by mistake."""
        return replace(person, record_number=self._record_number())

    def went_home(self, person: Person) -> None:
        """The person may come again."""
        if person.deceased_at is None:
            self._home.append(person)

    def moved_house(self, person: Person) -> Person:
        """The person with another address."""
        street, postal_code = self._address()
        return replace(person, street=street, postal_code=postal_code)

    def visit(self, person: Person, class_: str, service: str, admit_source: str) -> Visit:
        """A visit that has a number but has not begun."""
        self._visits += 1
        number = f"V{self._visits:08d}"
        return Visit(number, person, class_, service, self.doctor(), admit_source)

    def doctor(self) -> str:
        """The number of some doctor."""
        return f"D{self._chance.randrange(100, 180)}"

    def _new(self, on: date) -> Person:
        pick = self._chance
        family = pick.choice(FAMILY_NAMES)
        if pick.random() < 0.08:
            family = f"{family}-{pick.choice(FAMILY_NAMES)}"
        street, postal_code = self._address()
        age_days = min(int(abs(pick.gauss(58, 22)) * 365.25), 36500)
        return Person(
            record_number=self._record_number(),
            family_name=family,
            given_name=pick.choice(GIVEN_NAMES),
            birth_date=on - timedelta(days=age_days),
            sex="female" if pick.random() < 0.52 else "male",
            street=street,
            postal_code=postal_code,
        )

    def _address(self) -> tuple[str, str]:
        street = f"{self._chance.choice(STREETS)} {self._chance.randrange(1, 200)}"
        return street, f"0{self._chance.randrange(1000, 10000)}"

    def _record_number(self) -> str:
        self._records += 1
        return f"R{self._records:07d}"
