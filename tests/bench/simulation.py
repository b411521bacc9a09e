"""The kernel against SimPy and Ciw on one hospital of five units, and a hospital of 250 beds.

    python tests/bench/simulation.py [hours]     all of it
    python tests/bench/simulation.py big         the hospital of 250 beds by itself
    python tests/bench/simulation.py cold        the first answer of a new process

All three run the same model: patients come at random, stay as long as a lognormal says, go on by
chance, and wait without limit in order of coming. An event is an arrival at a unit or the end of a
stay. Waits have to agree, or there is no comparison. Ratios are those of CPU-seconds, and
so is what a target on two free cores is held against; elapsed seconds are those of the machine as
busy as it was.
"""

import math
import random
import resource
import subprocess
import sys
import time
from typing import Any

import ciw
import numpy as np
import simpy

from twin_core.simulation import Run, flow_from, load_flow, simulate

UNITS = ("ED", "MED", "SURG", "ICU", "REHAB")
BEDS = (14, 60, 40, 10, 30)
MEANS = (4.0, 72.0, 60.0, 48.0, 120.0)
"""Hours of stay; the coefficient of variation is 1."""
COMING = (2.6, 0.1, 0.35, 0.0, 0.0)
ROUTES = (
    (0.0, 0.18, 0.06, 0.02, 0.0),
    (0.0, 0.0, 0.02, 0.04, 0.10),
    (0.0, 0.03, 0.0, 0.06, 0.08),
    (0.0, 0.45, 0.30, 0.0, 0.0),
    (0.0, 0.05, 0.0, 0.01, 0.0),
)
SIGMA = math.sqrt(math.log(2.0))


def five_units() -> dict[str, Any]:
    """The hospital as the kernel reads it."""
    units = []
    for at, code in enumerate(UNITS):
        then = {UNITS[to]: share for to, share in enumerate(ROUTES[at]) if share > 0}
        then["home"] = 1 - sum(then.values())
        stay = {"family": "lognormal", "mean": MEANS[at], "cv": 1.0}
        units.append({"code": code, "beds": BEDS[at], "boards": False, "stay": stay, "then": then})
    arrivals = [
        {"class": "all", "unit": code, "per_hour": rate}
        for code, rate in zip(UNITS, COMING, strict=True)
        if rate
    ]
    return {"units": units, "classes": [{"code": "all"}], "arrivals": arrivals}


def in_kernel(hours: float) -> tuple[int, list[float]]:
    """Events, and mean hours of waiting by unit."""
    run = Run(hours=hours, replications=1, seed=1, sample_hours=0)
    results = simulate(flow_from(five_units(), "five units"), run)
    events = int((results.unit_values["asked"] + results.unit_values["stays"]).sum())
    return events, [results.unit(code, "wait_mean").mean for code in UNITS]


def in_simpy(hours: float) -> tuple[int, list[float]]:
    """The same in SimPy."""
    chance, env = random.Random(1), simpy.Environment()
    units = [simpy.Resource(env, beds) for beds in BEDS]
    waits, started, events = [0.0] * 5, [0] * 5, [0]
    onward = [[*shares, 1 - sum(shares)] for shares in ROUTES]

    def patient(at: int) -> Any:
        while at < 5:
            asked = env.now
            events[0] += 1
            with units[at].request() as bed:
                yield bed
                waits[at] += env.now - asked
                started[at] += 1
                mu = math.log(MEANS[at]) - SIGMA * SIGMA / 2
                yield env.timeout(chance.lognormvariate(mu, SIGMA))
                events[0] += 1
            at = chance.choices(range(6), onward[at])[0]

    def source(at: int) -> Any:
        while True:
            yield env.timeout(chance.expovariate(COMING[at]))
            env.process(patient(at))

    for at, rate in enumerate(COMING):
        if rate:
            env.process(source(at))
    env.run(hours)
    return events[0], [wait / max(1, n) for wait, n in zip(waits, started, strict=True)]


def in_ciw(hours: float) -> tuple[int, list[float]]:
    """The same in Ciw."""
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(r) if r else None for r in COMING],
        service_distributions=[
            ciw.dists.Lognormal(math.log(mean) - SIGMA * SIGMA / 2, SIGMA) for mean in MEANS
        ],
        routing=[list(row) for row in ROUTES],
        number_of_servers=list(BEDS),
    )
    ciw.seed(1)
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_time(hours)
    records = simulation.get_all_records()
    waits = [[r.waiting_time for r in records if r.node == at + 1] for at in range(5)]
    return 2 * len(records), [sum(w) / max(1, len(w)) for w in waits]


def timed(engine: Any, hours: float) -> tuple[float, list[float]]:
    """Events per CPU-second, and the waits."""
    begun = time.process_time()
    events, waits = engine(hours)
    rate = events / (time.process_time() - begun)
    print(
        f"{engine.__name__:>10}: {events:>9,} events, {rate:>11,.0f} per CPU-second; waits", end=" "
    )
    print(" ".join(f"{wait:.2f}" for wait in waits))
    return rate, waits


def big() -> None:
    """1,000 replications of 28 days of the demonstration hospital cut to 250 beds, warm-started."""
    model = load_flow("riverside")
    share = 250 / sum(unit.beds for unit in model.units if isinstance(unit.beds, int))
    document = model.model_dump(by_alias=True, exclude_none=True, mode="json")
    for unit in document["units"]:
        unit["beds"] = max(1, round(unit["beds"] * share))
        unit["bed_names"] = []
    for stream in document["arrivals"]:
        stream["per_day"] *= share
    document["present"] = [
        {"class": "direct", "unit": unit["code"], "for_hours": 5.0 + 7 * n}
        for unit in document["units"]
        if unit["kind"] in ("ward", "intensive")
        for n in range(round(0.85 * unit["beds"]))
    ]
    cut = flow_from(document, "250 beds")
    simulate(cut, Run(hours=24, replications=1))
    run = Run(hours=28 * 24, replications=1000, seed=3)
    wall, cpu = time.perf_counter(), time.process_time()
    results = simulate(cut, run)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"250 beds, {len(document['present'])} there at the start: 1,000 x 28 days in {wall:.2f} s "
        f"({cpu:.2f} CPU-seconds, {results.events:,} events), at most {most:.0f} MiB"
    )


FIRST_ANSWER = (
    "from twin_core.simulation import Run, load_flow, simulate\n"
    "results = simulate(load_flow('riverside'), Run(hours=72, replications=20, seed=1))\n"
    "assert results.unit('MED', 'occupancy').mean > 0\n"
)


def cold() -> None:
    """How long a new process takes to its first answer, the kernel being compiled on disk."""
    in_kernel(24.0)
    spent = []
    for _ in range(3):
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, "-c", FIRST_ANSWER], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        spent.append((time.perf_counter() - begun, cpu))
    wall, cpu = min(spent)
    print(f"first answer of a new process in {wall:.2f} s ({cpu:.2f} CPU-seconds)")


def agree(hours: float, **peers: list[float]) -> None:
    """Refuse to compare what is not the same: waits as far off as no run of the kernel is."""
    run = Run(hours=hours, replications=60, seed=2, sample_hours=0)
    found = simulate(flow_from(five_units(), "five units"), run).unit_values["wait_mean"]
    mean, spread = found.mean(axis=0), found.std(axis=0, ddof=1)
    for name, waits in peers.items():
        off = np.abs(np.array(waits) - mean) / np.maximum(spread, 1e-9)
        print(f"waits of {name} lie {off.max():.1f} standard deviations off the kernel's at most")
        if off.max() > 4.5:
            raise SystemExit(f"The waits of {name} do not agree with the kernel's.")


def main(hours: float) -> None:
    """Print the ratios."""
    in_kernel(24.0)
    ours, _ = timed(in_kernel, 20 * hours)
    simpys, simpy_waits = timed(in_simpy, hours)
    ciws, ciw_waits = timed(in_ciw, hours)
    print(f"kernel : SimPy = {ours / simpys:.0f}, kernel : Ciw = {ours / ciws:.0f}")
    agree(hours, SimPy=simpy_waits, Ciw=ciw_waits)
    # By itself, so that its memory is its own.
    subprocess.run([sys.executable, __file__, "big"], check=True)
    cold()


if __name__ == "__main__":
    {"big": big, "cold": cold}.get(
        asked := sys.argv[1] if len(sys.argv) > 1 else "10000", lambda: main(float(asked))
    )()
