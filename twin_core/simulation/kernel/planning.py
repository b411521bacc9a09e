"""From a hospital as data to the arrays of the kernel."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

import numpy as np

from twin_core.simulation.flow.arrivals import Present
from twin_core.simulation.flow.capacity import (
    UNLIMITED,
    bed_steps,
    block_of,
    pool_steps,
    theatre_steps,
)
from twin_core.simulation.flow.model import FlowModel
from twin_core.simulation.flow.parts import EXITS, Unit
from twin_core.simulation.flow.steps import Step, Target, steps_of, target
from twin_core.simulation.flow.weekly import WEEK, Steps
from twin_core.simulation.kernel import layout as lay
from twin_core.simulation.kernel.coming import Coming
from twin_core.simulation.kernel.tables import Lengths, Numbers, Table

SWAPS = {"never": lay.NEVER, "on_deadlock": lay.ON_DEADLOCK, "at_once": lay.AT_ONCE}
PREEMPTION = {"none": lay.NO_PREEMPTION, "resume": lay.RESUME, "restart": lay.RESTART}
Pool = tuple[str, tuple[str, ...]]
"""A staff pool, or the theatres of a block: its code and the classes of the block."""


def plan_of(model: FlowModel, hours: float, hour_of_week: float = 0.0) -> lay.Plan:
    """A hospital compiled for runs of `hours`, begun `hour_of_week` hours after Monday 00:00.

    Capacities and appointments are written out for the whole run; rates repeat by themselves.
    """
    return Planner(model, hours, hour_of_week).plan()


def key_of(*parts: object) -> int:
    """A number for a name, the same on every machine and in every scenario."""
    text = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")


class Planner:
    """The indices by which a model's names are known in its plan, and the plan."""

    def __init__(self, model: FlowModel, hours: float, hour_of_week: float) -> None:
        self.model, self.hours, self.offset = model, hours, hour_of_week % WEEK
        self.units = {unit.code: at for at, unit in enumerate(model.units)}
        self.classes = {of.code: at for at, of in enumerate(model.classes)}
        self.found = steps_of(model)
        self.steps = {key: at for at, key in enumerate(self.found)}
        levels = sorted({step.priority for step in self.found.values()})
        self.levels = {priority: at for at, priority in enumerate(levels)}
        self.pools: dict[Pool, int] = {}
        for step in self.found.values():
            for code in step.needs:
                self.pools.setdefault(self.pool(code, step.class_), len(self.pools))
        self._lengths, self._others = Lengths(), Numbers("i4")

    def pool(self, code: str, class_: str) -> Pool:
        """The pool from which a class's need is met."""
        theatre = next((t for t in self.model.theatres if t.code == code), None)
        return code, block_of(theatre, class_) if theatre is not None else ()

    def plan(self) -> lay.Plan:
        """All the arrays."""
        edges, needs, steps = self._steps()
        units, balks, leaves, beds = self._units()
        coming = Coming(self, self._lengths)
        return lay.Plan(
            units=units.array(),
            steps=steps.array(),
            edges=edges.array(),
            needs=needs.array(),
            balks=balks.array(),
            pools=self._users().array(),
            leaves=leaves.array(),
            streams=coming.streams.array(),
            rates=coming.rates.array(),
            thins=coming.thins.array(),
            slots=coming.slot_array(),
            changes=self._changes(),
            present=self._present().array()[: len(self.model.present)],
            cleaned=np.array([self.model.being_cleaned.get(code, 0) for code in self.units], "i4"),
            others=self._others.array(),
            lengths=self._lengths.table.array(),
            points=self._lengths.points.array(),
            whole=self._whole(beds),
        )

    def _whole(self, beds: int) -> lay.Records:
        table = Table(lay.WHOLE)
        table.add(
            units=len(self.units),
            resources=len(self.units) + len(self.pools),
            classes=len(self.classes),
            levels=len(self.levels),
            swaps=SWAPS[self.model.swaps],
            beds=beds,
            offset=self.offset,
        )
        return table.array()

    # ---- steps

    def _steps(self) -> tuple[Table, Table, Table]:
        edges, needs, steps = Table(lay.EDGE), Table(lay.NEED), Table(lay.STEP)
        for step in self.found.values():
            patience, impatient = step.patience
            steps.add(
                unit=self.units[step.unit.code],
                class_=self.classes[step.class_],
                level=self.levels[step.priority],
                stay=self._lengths.add(step.stay),
                first_edge=len(edges),
                edges=self._edges(step, edges),
                first_need=len(needs),
                needs=self._needs(step, needs),
                patience=self._lengths.add(patience),
                impatient=impatient,
            )
        return edges, needs, steps

    def _edges(self, step: Step, edges: Table) -> int:
        upto, whole = 0.0, sum(to.share for to in step.then)
        for to in step.then:
            upto += to.share / whole
            edges.add(
                upto=upto, stay=self._lengths.add(step.stay_if.get(to.named)), **self._leads(to)
            )
        return len(step.then)

    def _leads(self, to: Target) -> dict[str, int]:
        if to.unit is None:
            return {"step": -1, "exit": EXITS.index(to.named)}
        return {"step": self.steps[to.class_, to.unit], "exit": -1}

    def _needs(self, step: Step, needs: Table) -> int:
        staying = {pool.code: pool.stays_with_boarders for pool in self.model.staff}
        wanted = [(code, amount) for code, amount in step.needs.items() if amount]
        for code, amount in wanted:
            pool = len(self.units) + self.pools[self.pool(code, step.class_)]
            needs.add(pool=pool, amount=amount, stays=staying.get(code, False))
        return len(wanted)

    def _users(self) -> Table:
        """For every resource, the units whose patients it may let in."""
        table = Table(lay.SPAN)
        for at in range(len(self.units)):
            first, count = self._others.add([at])
            table.add(first=first, count=count)
        for wanted in self.pools:
            users = {
                self.units[step.unit.code]
                for step in self.found.values()
                if any(self.pool(code, step.class_) == wanted for code in step.needs)
            }
            first, count = self._others.add(sorted(users))
            table.add(first=first, count=count)
        return table

    # ---- units

    def _units(self) -> tuple[Table, Table, Numbers, int]:
        units, balks, leaves = Table(lay.UNIT), Table(lay.BALK), Numbers("f8")
        needy = {step.unit.code for step in self.found.values() if any(step.needs.values())}
        first_bed = 0
        for unit in self.model.units:
            helped = [self.units[u.code] for u in self.model.units if unit.code in u.overflow]
            first_over, overs = self._others.add(self.units[code] for code in unit.overflow)
            first_helped, helps = self._others.add(helped)
            rule, first_leave, count = self._leaving(unit, leaves)
            beds = self._most_beds(unit)
            units.add(
                boards=unit.boards,
                limited=unit.beds != "unlimited",
                waiting_places=-1 if unit.waiting_places is None else unit.waiting_places,
                first_balk=len(balks),
                balks=len(unit.balking),
                first_over=first_over,
                overs=overs,
                first_helped=first_helped,
                helped=helps,
                repatriates=unit.repatriates,
                preemption=PREEMPTION[unit.preemption],
                needy=unit.code in needy,
                leave_rule=rule,
                first_leave=first_leave,
                leaves=count,
                cleaning=self._lengths.add(unit.cleaning),
                first_bed=first_bed,
                beds=beds,
                overflow_after=unit.overflow_after_hours,
                leave_earlier=unit.discharge.earlier_hours if unit.discharge else 0.0,
            )
            first_bed += beds
            for balk in sorted(unit.balking, key=lambda b: b.waiting):
                balks.add(waiting=balk.waiting, share=balk.share)
        return units, balks, leaves, first_bed

    def _most_beds(self, unit: Unit) -> int:
        """Beds that need a number: the most open at once, and room for those over capacity."""
        if unit.beds == "unlimited":
            return 0
        lying = sum((here.in_unit or here.unit) == unit.code for here in self.model.present)
        return max(max(beds for _, beds in bed_steps(unit)), unit.beds, lying)

    @staticmethod
    def _leaving(unit: Unit, leaves: Numbers) -> tuple[int, int, int]:
        rule = unit.discharge
        if rule is None:
            return lay.NO_RULE, 0, 0
        if rule.by_hour is not None:
            shares = np.cumsum(rule.by_hour) / sum(rule.by_hour)
            return lay.BY_HOUR, *leaves.add([*shares[:-1], 1.0])
        periods = sorted(when for window in rule.windows for when in window.hours())
        flat = [end for begin, upto in periods for end in (begin, upto)]
        first, count = leaves.add(flat)
        return lay.WINDOWS, first, count // 2

    # ---- what changes in time

    def _changes(self) -> lay.Records:
        rows: list[tuple[float, int, int]] = []
        for at, unit in enumerate(self.model.units):
            closed = [c for c in self.model.closures if c.unit == unit.code]
            rows += self._written_out(at, bed_steps(unit), [
                (c.from_hours, self.hours + 1 if c.to_hours is None else c.to_hours, c.beds)
                for c in closed
            ])  # fmt: skip
        for (code, block), at in self.pools.items():
            rows += self._written_out(len(self.units) + at, self._weekly(code, block), [])
        rows.sort(key=lambda row: row[0])
        table = Table(lay.CHANGE)
        for when, resource, capacity in rows:
            table.add(at=when, resource=resource, capacity=capacity)
        return table.array()

    def _weekly(self, code: str, block: tuple[str, ...]) -> Steps:
        theatre = next((t for t in self.model.theatres if t.code == code), None)
        if theatre is None:
            return pool_steps(self.model, code, "")
        return theatre_steps(theatre, block)

    def _written_out(
        self, resource: int, steps: Steps, closed: Sequence[tuple[float, float, int]]
    ) -> Iterable[tuple[float, int, int]]:
        """The capacity from the start on, and whenever it changes during the run."""
        cuts = {0.0, *(end for begin, upto, _ in closed for end in (begin, upto))}
        if len(steps) > 1:
            weeks = range(int((self.hours + self.offset) // WEEK) + 1)
            cuts |= {WEEK * week + begin - self.offset for week in weeks for begin, _ in steps}
        before = None
        for cut in sorted(c for c in cuts if 0 <= c <= self.hours):
            hour = (cut + self.offset) % WEEK
            if WEEK - hour < 1e-9:
                hour = 0.0
            capacity = next(c for begin, c in reversed(steps) if begin <= hour + 1e-9)
            if capacity < UNLIMITED:
                capacity -= sum(beds for begin, upto, beds in closed if begin <= cut < upto)
            if max(capacity, 0) != before:
                before = max(capacity, 0)
                yield cut, resource, before

    # ---- who is there

    def _present(self) -> Table:
        table, seen = Table(lay.PRESENT), dict[tuple[str, ...], int]()
        longest = sorted(enumerate(self.model.present), key=lambda row: -row[1].for_hours)
        for row, here in longest:
            named = (here.patient or f"{here.class_} in {here.unit}",)
            seen[named] = seen.get(named, 0) + 1
            table.add(
                state=_state(here),
                step=self.steps[here.class_, here.unit],
                in_unit=self.units[here.in_unit or here.unit],
                bed=self._bed(here),
                for_hours=here.for_hours,
                rest=np.nan if here.rest_hours is None else here.rest_hours,
                key=key_of("present", *named, seen[named]),
                row=row,
                **self._next(here),
            )
        return table

    def _next(self, here: Present) -> dict[str, int]:
        if here.next is None:
            return {"next": -1, "exit": -1}
        leads = self._leads(target(here.next, 1.0, here.class_))
        return {"next": leads["step"], "exit": leads["exit"]}

    def _bed(self, here: Present) -> int:
        names = self.model.units[self.units[here.in_unit or here.unit]].bed_names
        return names.index(here.bed) if here.bed in names else -1


def _state(here: Present) -> int:
    if here.waiting:
        return lay.WAITS
    if here.goes_on:
        return lay.GOES_ON
    return lay.STAY_OVER if here.stay_over else lay.IN_BED
