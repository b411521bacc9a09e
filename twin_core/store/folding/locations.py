"""Places: what messages name and what resources describe, folded into locations."""

from collections.abc import Sequence, Set

from twin_core.events import Statement
from twin_core.identifiers import Identifier
from twin_core.store.fold.locations import Path, fold_location, path_at, path_identifier
from twin_core.store.folding.batch import Batch
from twin_core.store.messages import Filed
from twin_core.store.places import Touched
from twin_core.store.subjects import APPOINTMENT, DEVICE, ENCOUNTER, LOCATION
from twin_core.store.units import owners_where

_LOCATED = (("stay", ENCOUNTER), ("device", DEVICE), ("appointment_resource", APPOINTMENT))


class LocationFolding(Batch):
    """Places of a batch; whatever is at a place that changed is folded again."""

    def _fold_places(self, filed: Sequence[Filed]) -> None:
        stated = [f.fact for f in filed if f.subject.kind == LOCATION]
        touched = self.places.state([f for f in stated if isinstance(f.event, Statement)])
        left = self._left(touched, filed)
        if touched.location_ids:
            self._refold_waiting("Location", touched.location_ids)
        owners = {self.nodes.number(LOCATION, identifier) for identifier in self._sighted}
        owners |= self._dirty[LOCATION] | self._touched_owners(touched)
        subjects = self.places.subjects_by_path() if owners else {}
        keys = {key for path_keys in subjects.values() for key in path_keys}
        self.nodes.learn([(LOCATION, Identifier(*key, "reference")) for key in keys])
        self.units.fetch(LOCATION, owners)
        for owner in owners:
            self._fold_place(owner, subjects, left)
        if touched.location_ids:
            for entity, kind in _LOCATED:
                ids = touched.location_ids
                self._refold(kind, owners_where(self._connection, entity, "location_id", ids))
            self._refold_care("location_id", touched.location_ids)

    def _touched_owners(self, touched: Touched) -> set[int]:
        wanted = [path_identifier(path) for path in touched.paths]
        wanted += [Identifier(*key, "reference") for key in touched.subjects]
        self.nodes.learn([(LOCATION, identifier) for identifier in wanted])
        return {self.nodes.number(LOCATION, identifier) for identifier in wanted}

    def _left(self, touched: Touched, filed: Sequence[Filed]) -> set[Path]:
        """The places that resources have left and that no message ever named."""
        if not touched.left:
            return set()
        named = {path for f in filed for path in f.subject.places}
        return {path for path in touched.left if not self.places.is_named(path, named)}

    def _fold_place(
        self, owner: int, subjects: dict[Path, list[tuple[str, str]]], left: Set[Path]
    ) -> None:
        unit = self.units.get(owner)
        identifier = self.nodes.identifiers(owner)[0]
        if identifier.type != "path":
            place = self.places.hierarchy.resolve(identifier)
            own = [] if any(place[1:4]) else unit.standing()
            rows = fold_location(own, place[:4], identifier, self.places.hierarchy) if own else []
            self._replace(unit, rows)
            return
        path = path_at(identifier.value)
        references = [Identifier(*key, "reference") for key in subjects.get(path, ())]
        numbers = [self.nodes.number(LOCATION, reference) for reference in references]
        facts = list(unit.standing())
        for resource in self.units.fetch(LOCATION, numbers):
            facts += resource.standing()
        if path in left and not facts:
            self._replace(unit, [])
            return
        facts.sort(key=lambda fact: fact.order)
        self._replace(unit, fold_location(facts, path, None, self.places.hierarchy))
