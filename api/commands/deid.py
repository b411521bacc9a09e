"""`wardtwin deid`: keys, rules, releases of the store, and what risk is left."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from api.commands import Call, Command, instant
from api.desk import desk
from twin_core.clock import SystemClock
from twin_core.deid import Profile, drawn_keys, fingerprint, read_keys, rules
from twin_core.deid.keys import write_keys
from twin_core.deid.risk import measured
from twin_core.deid.rules import PROFILES

if TYPE_CHECKING:
    from api.deidentifying import Outcome

_PROFILES = tuple(profile.replace("_", "-") for profile in PROFILES)


def _keys_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="a new file")


def keys(call: Call) -> int:
    """Draw keys and write them to a file that only its owner reads."""
    drawn = drawn_keys()
    write_keys(call.options.file, drawn)
    if call.terminal.as_json:
        call.terminal.json({"file": str(call.options.file), "keys": fingerprint(drawn)})
    else:
        call.terminal.line(f"Keys {fingerprint(drawn)} are in {call.options.file}.")
        call.terminal.note(
            f'Name it in the settings: [deid] keys_file = "{call.options.file}". Whoever has it can'
            " tell whose a pseudonym is, and without it no release can be made to match this one."
        )
    return 0


def listing(call: Call) -> int:
    """Print what each profile makes of every column, and why."""
    listed = rules()
    rows = [
        {
            "table": rule.table,
            "column": rule.column,
            **{
                name: listed.treatment(rule, profile)
                for name, profile in zip(_PROFILES, PROFILES, strict=True)
            },
            "reason": rule.reason,
        }
        for rule in listed.every()
    ]
    if call.terminal.as_json:
        call.terminal.json(rows)
    else:
        call.terminal.table(("table", "column", *_PROFILES, "reason"), rows)
    return 0


def _publish_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="OUT.duckdb", type=Path, help="the file to write")
    parser.add_argument("--profile", choices=_PROFILES, required=True, help="what may be in it")
    parser.add_argument(
        "--cut-off",
        metavar="T",
        help="only visits that ended before T (default: for shifted the greatest shift ago)",
    )
    parser.add_argument(
        "--precision",
        choices=("hour", "exact"),
        default="hour",
        help="of the instants in shifted; exact ones are all but unique",
    )


def publish(call: Call) -> int:
    """Write a release; exit 1 where it is empty or the store has a column without a rule."""
    options = call.options
    asked = {
        "path": str(options.path.absolute()),
        "profile": options.profile.replace("-", "_"),
        "precision": options.precision,
        "cut_off": instant(options.cut_off).isoformat() if options.cut_off else None,
    }
    with desk(call, create=False) as answering:
        told = answering.ask("deid_publish", **asked)
    if call.terminal.as_json:
        call.terminal.json(told)
    else:
        _say_published(call, told)
    return 1 if told["unlisted"] or not told["rows"]["encounter"] else 0


def _say_published(call: Call, told: dict[str, Any]) -> None:
    call.terminal.line(f"{told['path']}: profile {told['profile']}, keys {told['keys']}.")
    rows = [{"table": table, "rows": count} for table, count in told["rows"].items() if count]
    call.terminal.table(("table", "rows"), rows)
    if told["visits_left_out"]:
        call.terminal.note(
            f"{told['visits_left_out']:,} visits are not in it: under way at the cut-off, later,"
            " or cancelled."
        )
    if not told["rows"]["encounter"]:
        call.terminal.note(
            "No visit is old enough. A shifted release ends [deid] shift_weeks ago, so that the"
            " time of the release bounds no shift; give --cut-off, or fewer weeks."
        )
    for column in told["unlisted"]:
        call.terminal.note(f"Dropped {column}: no rule names it.")


def _report_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="RELEASE.duckdb", type=Path, help="a release")
    parser.add_argument(
        "--quasi",
        metavar="COLUMNS",
        help="columns of twin.encounter and twin.patient that somebody may know, with commas",
    )


def report(call: Call) -> int:
    """Measure what a release leaves to learn."""
    named = tuple(name.strip() for name in (call.options.quasi or "").split(",") if name.strip())
    told = measured(call.options.path, named)
    if call.terminal.as_json:
        call.terminal.json(msgspec.to_builtins(told))
        return 0
    classes, sequences = told.classes, told.sequences
    call.terminal.line(f"{call.options.path}: profile {told.profile}, {classes.visits:,} visits.")
    rows: list[dict[str, Any]] = [
        {"measure": "quasi-identifiers", "value": ", ".join(classes.quasi_identifiers)},
        {"measure": "k", "value": classes.k},
        {"measure": f"l of {classes.sensitive}", "value": classes.l},
        {"measure": "visits alone in their class", "value": f"{classes.unique_share:.2%}"},
        {"measure": f"visits in classes below {told.cell}", "value": f"{classes.small_share:.2%}"},
        {"measure": "mean risk", "value": f"{classes.mean_risk:.2%}"},
        {"measure": "patients unique by units", "value": f"{sequences.unique_by_units:.2%}"},
        {
            "measure": "patients unique by units and lengths",
            "value": f"{sequences.unique_by_units_and_lengths:.2%}",
        },
        {"measure": "patients unique by instants", "value": f"{sequences.unique_by_instants:.2%}"},
        {"measure": "columns dropped", "value": told.dropped_columns},
        {"measure": "cells of the cube hidden", "value": told.hidden_cells},
        {"measure": "cells of the cube told", "value": told.published_cells},
    ]
    rows += [{"measure": f"rare in {name}", "value": n} for name, n in told.suppressed.items()]
    call.terminal.table(("measure", "value"), rows)
    for line in told.residual:
        call.terminal.line(line)
    return 0


def _run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="IN", type=Path, help="a file or a folder")
    parser.add_argument("target", metavar="OUT", type=Path, help="a file, or an empty folder")
    parser.add_argument(
        "--profile", choices=_PROFILES, default="shifted", help="what passes (default shifted)"
    )


def run(call: Call) -> int:
    """De-identify files; exit 1 where something was refused."""
    profile = cast(Profile, call.options.profile.replace("-", "_"))
    configured = None if profile == "safe_harbor" else read_keys(call.settings.deid)
    # Loaded here: the formats' libraries take longer to load than the other commands to run.
    from api.deidentifying import FileDeidentifier

    used = configured or drawn_keys()
    files = FileDeidentifier(call.settings, used, profile, SystemClock().now())
    told = files.run(call.options.source, call.options.target)
    if call.terminal.as_json:
        call.terminal.json(msgspec.to_builtins(told))
    else:
        _say_run(call, told, is_kept=configured is not None)
    return 1 if told.refused else 0


def _say_run(call: Call, told: "Outcome", *, is_kept: bool) -> None:
    call.terminal.line(
        f"{told.taken:,} in {told.files:,} files: profile {told.profile}, keys {told.keys}."
    )
    if not is_kept:
        call.terminal.note(
            "The keys were drawn for this run and thrown away: no other run gives the same"
            " pseudonyms. Set [deid] keys_file to have them again."
        )
    for reason, count in told.refused.items():
        call.terminal.note(f"Refused {count:,}: {reason}")
    rows = [{"left out": name, "times": count} for name, count in told.dropped.items()]
    call.terminal.table(("left out", "times"), rows)


COMMAND = Command(
    name="deid",
    help="de-identify: the store into releases, files into files",
    examples=("wardtwin deid publish --profile shifted research.duckdb",),
    commands=(
        Command(
            name="run",
            help="de-identify FHIR resources and HL7 v2 messages in files",
            examples=(
                "wardtwin deid run export/ research/",
                "wardtwin deid run --profile safe-harbor feed.hl7 feed.deid.hl7",
            ),
            arguments=_run_arguments,
            run=run,
        ),
        Command(
            name="report",
            help="what risk a release leaves, measured",
            examples=("wardtwin deid report research.duckdb --quasi sex,age_years,class",),
            arguments=_report_arguments,
            run=report,
        ),
        Command(
            name="keys",
            help="draw keys for pseudonyms and shifts",
            examples=("wardtwin deid keys /etc/wardtwin/deid.keys",),
            arguments=_keys_arguments,
            run=keys,
        ),
        Command(
            name="rules",
            help="what each profile makes of every column, and why",
            examples=("wardtwin deid rules",),
            run=listing,
        ),
        Command(
            name="publish",
            help="write a release of the store into a new file",
            examples=(
                "wardtwin deid publish --profile limited limited.duckdb",
                "wardtwin deid publish --profile shifted --cut-off 2026-06-01 research.duckdb",
            ),
            arguments=_publish_arguments,
            run=publish,
        ),
    ),
)
