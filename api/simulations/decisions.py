"""The words of decisions on the command line, apart from what answers them and loads longer."""

import argparse

from twin_core.errors import UsageError


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `simulate` takes for decisions."""
    group = parser.add_argument_group("decisions")
    group.add_argument(
        "--sensitivity", metavar="MEASURE",
        help="which input matters most: each is raised and lowered by itself",
    )  # fmt: skip
    group.add_argument(
        "--percent", metavar="P", type=float, default=10.0, help="by so much (default 10)"
    )
    group.add_argument(
        "--ways", metavar="N", type=int,
        help="with --sensitivity: turn all inputs one after another along N random ways, which "
        "tells inputs that act together (Morris screening); 10 or so",
    )  # fmt: skip
    group.add_argument(
        "--best", metavar="MEASURE=D",
        help="with scenarios: the best of them and of the hospital as it is, right with 95%% "
        "confidence where it is better than the second by D or more",
    )  # fmt: skip
    group.add_argument(
        "--fewest-beds", metavar="UNIT=A-B",
        help="the smallest number of beds of a unit, from A to B, that keeps --under",
    )  # fmt: skip
    group.add_argument(
        "--under", metavar="MEASURE=X",
        help="with --fewest-beds: the mean to keep under X with 95%% confidence; UNIT:MEASURE=X "
        "in one unit",
    )  # fmt: skip


def wanted(options: argparse.Namespace) -> bool:
    """Whether a decision is asked for. Raises UsageError for several at once."""
    asked = [options.sensitivity, options.best, options.fewest_beds]
    if sum(one is not None for one in asked) > 1:
        raise UsageError("--sensitivity, --best and --fewest-beds are three answers.")
    if options.ways is not None and options.sensitivity is None:
        raise UsageError("--ways belongs to --sensitivity.")
    if (options.under is None) != (options.fewest_beds is None):
        raise UsageError("--fewest-beds and --under belong together.")
    return any(one is not None for one in asked)
