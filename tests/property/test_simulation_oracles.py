"""The kernel against SimPy and Ciw on hospitals drawn at random."""

import math
import random
from typing import Any

import numpy as np
import pytest

from twin_core.simulation import Run, flow_from, simulate

simpy = pytest.importorskip("simpy")
ciw = pytest.importorskip("ciw")

HOURS, WARM_UP, REPLICATIONS = 800.0, 100.0, 12


class Drawn:
    """A hospital of two to four units, drawn from a seed: beds, rates, priorities and routes."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        self.units = chance.randint(2, 4)
        self.means = [chance.uniform(0.5, 3) for _ in range(self.units)]
        self.coming = [chance.uniform(0.2, 1.5) for _ in range(self.units)]
        # Onward only, so that nothing can lock, and enough beds for the load.
        self.routes = [
            [chance.uniform(0, 0.8 / self.units) if to > at else 0.0 for to in range(self.units)]
            for at in range(self.units)
        ]
        load = list(self.coming)
        for at in range(self.units):
            for to in range(at + 1, self.units):
                load[to] += load[at] * self.routes[at][to]
        self.beds = [
            max(1, math.ceil(rate * mean / chance.uniform(0.6, 0.85)))
            for rate, mean in zip(load, self.means, strict=True)
        ]
        self.urgent = chance.uniform(0.2, 0.5)

    def document(self, boards: bool) -> dict[str, Any]:
        """The hospital as the kernel reads it, with urgent and other patients."""
        codes = [f"U{at}" for at in range(self.units)]
        units = []
        for at, code in enumerate(codes):
            then = {codes[to]: share for to, share in enumerate(self.routes[at]) if share > 0}
            stay = {"family": "exponential", "mean": self.means[at]}
            unit = {"code": code, "beds": self.beds[at], "stay": stay, "boards": boards}
            units.append(unit | {"then": then | {"home": 1 - sum(then.values())}})
        shares = {"urgent": self.urgent, "other": 1 - self.urgent}
        return {
            "units": units,
            "classes": [{"code": "urgent", "priority": 1}, {"code": "other", "priority": 2}],
            "arrivals": [
                {"class": class_, "unit": code, "per_hour": rate * share}
                for code, rate in zip(codes, self.coming, strict=True)
                for class_, share in shares.items()
            ],
        }

    def kernel(self, boards: bool) -> Any:
        """Mean census and mean wait of each class by unit: replications by quantity."""
        run = Run(hours=HOURS, replications=REPLICATIONS, seed=9, warm_up_hours=WARM_UP)
        results = simulate(flow_from(self.document(boards), "drawn"), run)
        waits = [
            results.step_values["wait_mean"][:, results.steps.index((class_, f"U{at}"))]
            for class_ in ("urgent", "other")
            for at in range(self.units)
        ]
        return np.column_stack([results.unit_values["census_mean"], *waits])

    def simpy(self, boards: bool) -> Any:
        """The same from SimPy."""
        return np.array([self._in_simpy(seed, boards) for seed in range(REPLICATIONS)])

    def _in_simpy(self, seed: int, boards: bool) -> list[float]:
        chance, env = random.Random(seed), simpy.Environment()
        units = [simpy.PriorityResource(env, beds) for beds in self.beds]
        census, waits = [0.0] * self.units, [[0.0, 0] for _ in range(2 * self.units)]

        def lies(at: int, sign: int) -> None:
            census[at] += sign * (HOURS - max(env.now, WARM_UP))

        def patient(at: int, level: int) -> Any:
            held = None
            while at < self.units:
                asked = env.now
                wish = units[at].request(priority=level)
                yield wish
                if env.now >= WARM_UP:
                    sums = waits[level * self.units + at]
                    sums[0] += env.now - asked
                    sums[1] += 1
                if held is not None:
                    lies(held[0], -1)
                    units[held[0]].release(held[1])
                held = (at, wish)
                lies(at, +1)
                yield env.timeout(chance.expovariate(1 / self.means[at]))
                onward = [*self.routes[at], 1 - sum(self.routes[at])]
                going = chance.choices(range(self.units + 1), onward)[0]
                if not boards or going == self.units:
                    lies(at, -1)
                    units[at].release(wish)
                    held = None
                at = going

        def source(at: int) -> Any:
            while True:
                yield env.timeout(chance.expovariate(self.coming[at]))
                env.process(patient(at, int(chance.random() >= self.urgent)))

        for at in range(self.units):
            env.process(source(at))
        env.run(HOURS)
        of_waits = [total / max(1, n) for total, n in waits]
        return [hours / (HOURS - WARM_UP) for hours in census] + of_waits


def agree(ours: Any, theirs: Any) -> None:
    """Means within four standard errors of their difference, or a hundredth and a bit."""
    difference = ours.mean(axis=0) - theirs.mean(axis=0)
    se = np.sqrt(ours.var(axis=0, ddof=1) / len(ours) + theirs.var(axis=0, ddof=1) / len(theirs))
    allowed = np.maximum(4 * se, 0.02 * np.abs(theirs.mean(axis=0)) + 0.02)
    assert (np.abs(difference) <= allowed).all(), (ours.mean(axis=0), theirs.mean(axis=0), se)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("boards", [False, True], ids=["queues", "boarding"])
def test_the_kernel_agrees_with_simpy(seed: int, boards: bool) -> None:
    drawn = Drawn(seed)
    agree(drawn.kernel(boards), drawn.simpy(boards))


@pytest.mark.parametrize("seed", [11])
def test_the_kernel_agrees_with_ciw(seed: int) -> None:
    drawn = Drawn(seed)
    theirs = []
    classes = {"urgent": drawn.urgent, "other": 1 - drawn.urgent}
    network = ciw.create_network(
        arrival_distributions={
            name: [ciw.dists.Exponential(rate * share) for rate in drawn.coming]
            for name, share in classes.items()
        },
        service_distributions={
            name: [ciw.dists.Exponential(1 / mean) for mean in drawn.means] for name in classes
        },
        routing=dict.fromkeys(classes, drawn.routes),
        number_of_servers=drawn.beds,
        priority_classes={"urgent": 0, "other": 1},
    )
    for replication in range(6):
        ciw.seed(replication)
        simulation = ciw.Simulation(network)
        simulation.simulate_until_max_time(HOURS)
        records = [r for r in simulation.get_all_records() if r.service_start_date >= WARM_UP]
        theirs.append(
            [
                np.mean([r.waiting_time for r in records if (r.customer_class, r.node) == key])
                for key in [(name, at + 1) for name in classes for at in range(drawn.units)]
            ]
        )
    agree(drawn.kernel(False)[:, drawn.units :], np.array(theirs))
