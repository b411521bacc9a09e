"""The demo's proof: what the store holds is what happened, whatever the messages went through."""

from collections import Counter
from typing import NamedTuple

from api.demo.compare import Comparison, compare
from api.demo.plan import DemoPlan
from api.demo.run import Demo, DemoServer, Fed, tell
from api.terminal import Terminal

CATCH_UP_S = 300.0


class Verdict(NamedTuple):
    """What was compared, what was fed, and what else was not as it should be."""

    comparisons: list[Comparison]
    fed: Fed
    problems: list[str]

    @property
    def equal(self) -> bool:
        """Whether store and truth agree in every row, and every answer was the right one."""
        return not self.problems and not any(c.different for c in self.comparisons)


async def check_demo(plan: DemoPlan, server: DemoServer, terminal: Terminal) -> Verdict:
    """Feed a bounded demo to a started server, compare, and print the outcome."""
    demo = Demo(plan, server, terminal)
    await demo.backfill(to_the_end=True)
    server.twin.wait_applied(timeout=CATCH_UP_S)
    tell(demo, terminal)
    comparisons = compare(plan, server.twin.query)
    verdict = Verdict(comparisons, demo.fed, _problems(demo, server))
    report(verdict, terminal)
    return verdict


def report(verdict: Verdict, terminal: Terminal) -> None:
    """Print a verdict, for a person or as JSON."""
    if terminal.as_json:
        terminal.json(_as_json(verdict))
        return
    perturbations = dict(sorted(verdict.fed.perturbations.items()))
    terminal.table(
        ("injected", "times"), [{"injected": k, "times": v} for k, v in perturbations.items()]
    )
    terminal.table(
        ("rows", "truth", "store", "different"),
        [
            {"rows": c.what, "truth": c.true_rows, "store": c.rows, "different": c.different}
            for c in verdict.comparisons
        ],
    )
    for comparison in verdict.comparisons:
        for difference in comparison.differences:
            terminal.line(f"{comparison.what}: {difference}")
    for problem in verdict.problems:
        terminal.line(problem)
    terminal.line(
        "The store equals the truth." if verdict.equal else "The store differs from the truth."
    )


def _problems(demo: Demo, server: DemoServer) -> list[str]:
    problems = [f"answer: {surprise}" for surprise in demo.fed.tally.unexpected]
    counted: Counter[str] = Counter()
    for tally in server.twin.tallies():
        if tally.feed == demo.plan.feed:
            counted[tally.outcome] += tally.messages
    injected = demo.fed.perturbations
    refused = injected["training message"] + injected["unreadable message"]
    for what, hoped in (("duplicate", injected["duplicate"]), ("rejected", refused)):
        if counted[what] != hoped:
            problems.append(f"{what}: {hoped} injected, {counted[what]} counted by the store")
    return problems


def _as_json(verdict: Verdict) -> dict[str, object]:
    return {
        "equal": verdict.equal,
        "messages": verdict.fed.tally.sent,
        "resources": verdict.fed.resources,
        "seconds": round(verdict.fed.backfill_seconds, 3),
        "injected": dict(verdict.fed.perturbations),
        "comparisons": [c._asdict() for c in verdict.comparisons],
        "problems": verdict.problems,
    }
