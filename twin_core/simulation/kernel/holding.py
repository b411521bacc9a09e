"""What a patient holds: a bed, and the staff and theatres that go with the step."""

from twin_core.simulation.kernel.agenda import NOW, plan
from twin_core.simulation.kernel.chance import CLEANING, DRAWS_PER_VISIT
from twin_core.simulation.kernel.compiled import compiled, inlined
from twin_core.simulation.kernel.layout import CLEAN, DIRTY, NO_PREEMPTION, Plan, Work
from twin_core.simulation.kernel.ledger import touch
from twin_core.simulation.kernel.lengths import length
from twin_core.simulation.kernel.standing import end_outlying, get_up, go_outlying, lie_down


@inlined
def mark(w: Work, resource: int) -> None:
    """Something of a resource has come free: see later who may have it."""
    if not w.resources[resource].dirty:
        w.resources[resource].dirty = 1
        w.dirty[w.counts[DIRTY]] = resource
        w.counts[DIRTY] += 1


@inlined
def has_bed(m: Plan, w: Work, i: int, unit: int) -> bool:
    """Whether a bed in a unit is open and free for a patient, or already theirs."""
    if not m.units[unit].limited or w.patients[i].at == unit:
        return True
    return w.resources[unit].used < w.resources[unit].capacity


@compiled
def held_of(m: Plan, w: Work, i: int, pool: int) -> int:
    """How much of a pool a patient holds who has ended the stay it was for."""
    held = w.patients[i].held
    if w.patients[i].at < 0 or held < 0:
        return 0
    for n in range(m.steps[held].first_need, m.steps[held].first_need + m.steps[held].needs):
        if m.needs[n].pool == pool and m.needs[n].stays:
            return m.needs[n].amount
    return 0


@compiled
def has_staff(m: Plan, w: Work, i: int, instead_of: int) -> bool:
    """Whether everything a patient's step needs is there, were somebody else to give theirs up."""
    step = m.steps[w.patients[i].step]
    for n in range(step.first_need, step.first_need + step.needs):
        pool, amount = m.needs[n].pool, m.needs[n].amount
        back = held_of(m, w, i, pool)
        if instead_of >= 0:
            back += held_of(m, w, instead_of, pool)
        if w.resources[pool].used - back + amount > w.resources[pool].capacity:
            return False
    return True


@inlined
def take_staff(m: Plan, w: Work, step: int) -> None:
    """Hold what a step needs."""
    for n in range(m.steps[step].first_need, m.steps[step].first_need + m.steps[step].needs):
        w.resources[m.needs[n].pool].used += m.needs[n].amount


@inlined
def free_staff(m: Plan, w: Work, step: int, staying: int) -> None:
    """Give back those who leave when the stay is over (0) or those who stay until the end (1)."""
    for n in range(m.steps[step].first_need, m.steps[step].first_need + m.steps[step].needs):
        if m.needs[n].stays == staying:
            w.resources[m.needs[n].pool].used -= m.needs[n].amount
            mark(w, m.needs[n].pool)


@inlined
def take_bed(m: Plan, w: Work, i: int, unit: int) -> None:
    """Lie in a bed of a unit from now on."""
    p, ward, of = w.patients[i], w.wards[unit], m.units[unit]
    touch(w, unit)
    w.resources[unit].used += 1
    ward.occupied += 1
    p.at, p.bed = unit, -1
    if ward.free > 0:
        ward.free -= 1
        p.bed = w.free_beds[of.first_bed + ward.free]
    if of.preemption != NO_PREEMPTION:
        lie_down(w, i)
    home = m.steps[p.held].unit
    if home != unit:
        go_outlying(w, i, home)


@inlined
def free_bed(m: Plan, w: Work, i: int, clean: bool) -> None:
    """Lie in one's bed no more; it is cleaned if the unit cleans beds and this one needs it."""
    p = w.patients[i]
    unit, bed = p.at, p.bed
    ward, of = w.wards[unit], m.units[unit]
    touch(w, unit)
    ward.occupied -= 1
    if of.preemption != NO_PREEMPTION:
        get_up(w, i)
    home = m.steps[p.held].unit
    if home != unit:
        end_outlying(w, i, home)
    p.at = p.bed = -1
    if clean and of.cleaning >= 0:
        ward.cleaning += 1
        hours = length(m, of.cleaning, p.key, p.visit * DRAWS_PER_VISIT + CLEANING)
        plan(w, w.now[NOW] + hours, CLEAN, unit, bed)
        return
    put_back(m, w, unit, bed)


@inlined
def put_back(m: Plan, w: Work, unit: int, bed: int) -> None:
    """A bed is free again."""
    w.resources[unit].used -= 1
    if bed >= 0:
        ward = w.wards[unit]
        w.free_beds[m.units[unit].first_bed + ward.free] = bed
        ward.free += 1
    mark(w, unit)
