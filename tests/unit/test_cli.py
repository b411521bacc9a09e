"""The command line as a person and a script meet it: flags, help, errors and exit codes."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from api.cli import main
from api.commands import COMMANDS
from api.settings_page import page

ROOT = Path(__file__).resolve().parents[2]


class Ran:
    """One run of the command line in this process."""

    def __init__(self, *words: str, environ: dict[str, str] | None = None):
        out, err = io.StringIO(), io.StringIO()
        self.status = main(words, environ=environ or {}, out=out, err=err)
        self.out, self.err = out.getvalue(), err.getvalue()

    @property
    def json(self):
        return json.loads(self.out)


def shown(*words: str, environ: dict[str, str] | None = None) -> dict[str, tuple[object, str]]:
    rows = Ran("config", "show", "--json", *words, environ=environ).json
    return {row["setting"]: (row["value"], row["origin"]) for row in rows}


def test_flags_beat_the_environment_which_beats_the_file_which_beats_the_default(tmp_path):
    file = tmp_path / "site.toml"
    file.write_text("[http]\nport = 1111\n[mllp]\nport = 2222\nconnections = 9\n")
    environ = {"WARDTWIN_HTTP__PORT": "3333", "WARDTWIN_MLLP__PORT": "4444"}
    settings = shown("--config", str(file), "--http-port", "5555", environ=environ)
    assert settings["http.port"] == (5555, "flag")
    assert settings["mllp.port"] == (4444, "environment")
    assert settings["mllp.connections"] == (9, f"file {file}")
    assert settings["http.host"] == ("127.0.0.1", "default")


def test_the_settings_file_may_be_named_by_the_environment(tmp_path):
    file = tmp_path / "site.toml"
    file.write_text("[http]\nport = 1111\n")
    assert shown(environ={"WARDTWIN_CONFIG": str(file)})["http.port"][0] == 1111


def test_a_setting_that_does_not_exist_is_blamed_on_where_it_was_set(tmp_path):
    file = tmp_path / "site.toml"
    file.write_text("[htpp]\nport = 1111\n")
    ran = Ran("config", "show", "--config", str(file), environ={"WARDTWIN_HTTP__PROT": "80"})
    assert ran.status == 3
    assert f"htpp (from file {file})" in ran.err
    assert "http.prot (from environment)" in ran.err


def test_secrets_are_stars_and_lists_keep_their_origin(tmp_path):
    file = tmp_path / "site.toml"
    file.write_text(
        '[secrets]\napi_token = "hush"\n[feeds.adt]\nprocessing_ids = ["P", "T"]\n'
        '[feeds.adt.units]\nA1 = "W1"\n'
    )
    settings = shown("--config", str(file))
    assert settings["secrets.api_token"] == ("********", f"file {file}")
    assert settings["feeds.adt.processing_ids"] == (["P", "T"], f"file {file}")
    assert settings["feeds.adt.units.A1"] == ("W1", f"file {file}")
    assert "hush" not in Ran("config", "show", "--config", str(file)).out


@pytest.mark.parametrize(
    "words",
    [
        ("--db", "x.duckdb", "config", "show", "--json"),
        ("config", "--db", "x.duckdb", "--json", "show"),
        ("--json", "config", "show", "--db", "x.duckdb"),
    ],
)
def test_global_flags_work_in_any_position(words):
    rows = {row["setting"]: row for row in Ran(*words).json}
    assert (rows["store.path"]["value"], rows["store.path"]["origin"]) == ("x.duckdb", "flag")


@pytest.mark.parametrize("words", [("--help",), *((name, "--help") for name in COMMANDS)])
def test_help_shows_examples(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    assert "examples:\n  wardtwin " in capsys.readouterr().out


def test_every_command_has_a_module_and_is_in_the_help(capsys):
    with pytest.raises(SystemExit):
        main(("--help",))
    told = capsys.readouterr().out
    assert all(f"\n    {name} " in told for name in COMMANDS)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("nonsense",), 2, "nonsense"),
        (("sql",), 2, "QUERY"),
        (("serve", "--mllp-port", "many"), 2, "many"),
        (("state", "--at", "noon"), 2, "2026-11-01T08:00Z"),
        (("config", "show", "--config", "/nowhere.toml"), 3, "/nowhere.toml"),
        (("config", "show", "--http-port", "99999"), 3, "http.port"),
        (("ingest", "/nowhere.hl7"), 4, "No such file"),
        (("sql", "SELECT 1", "--db", "/nowhere/w.duckdb"), 5, "/nowhere/w.duckdb"),
    ],
)
def test_errors_say_what_is_wrong_and_have_an_exit_code(words, status, said):
    ran = Ran(*words)
    assert (ran.status, ran.out) == (status, "")
    assert ran.err.startswith("error: ")
    assert said in ran.err


def test_errors_are_objects_with_json():
    ran = Ran("config", "show", "--config", "/nowhere.toml", "--json")
    error = json.loads(ran.err)["error"]
    assert (error["kind"], error["exit_code"]) == ("ConfigurationError", 3)
    assert json.loads(Ran("nonsense", "--json").err)["error"]["exit_code"] == 2


def test_an_unknown_setting_in_the_environment_is_refused():
    ran = Ran("config", "show", environ={"WARDTWIN_HTTP__PROT": "1"})
    assert ran.status == 3
    assert "http.prot (from environment)" in ran.err


def test_a_reader_that_has_enough_ends_the_command_quietly():
    words = [sys.executable, "-m", "api", "config", "show"]
    child = subprocess.Popen(
        ["bash", "-c", 'set -o pipefail; "$@" | true; echo "status ${PIPESTATUS[0]}"', "_", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, err = child.communicate(timeout=240)
    assert (out, err) == ("status 0\n", "")


@pytest.mark.parametrize("meant", [True, False])
def test_ctrl_c_in_the_middle_of_a_statement_is_no_fault(monkeypatch, meant):
    class Busy:
        def run(self, call):
            # So DuckDB tells that it was interrupted.
            raise RuntimeError("Query interrupted") from (KeyboardInterrupt() if meant else None)

    monkeypatch.setattr("api.cli.parsed", lambda words: Busy())
    if meant:
        assert (Ran().status, Ran().err) == (130, "Interrupted.\n")
    else:
        with pytest.raises(RuntimeError):
            Ran()


def test_no_colour_where_nobody_looks_or_nobody_wants_it():
    class Screen(io.StringIO):
        def isatty(self):
            return True

    def colour(*words: str, **environ: str) -> bool:
        screen = Screen()
        main(("config", "show", *words), environ=environ, out=screen, err=io.StringIO())
        return "\x1b[" in screen.getvalue()

    assert colour()
    assert not colour("--no-color")
    assert not colour(NO_COLOR="1")
    assert "\x1b[" not in Ran("config", "show").out


def test_the_settings_page_is_what_the_code_says():
    assert (ROOT / "docs/reference/settings.md").read_text("utf-8") == page(), (
        "run `python -m api.settings_page > docs/reference/settings.md`"
    )


def test_doctor_reports_findings(tmp_path, monkeypatch):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = Ran("doctor", "--db", str(tmp_path / "w.duckdb"), "--http-port", port, "--json")
    checks = {check["check"]: check for check in ran.json}
    assert checks["http port"]["verdict"] == "fail"
    assert port in checks["http port"]["said"]
    assert checks["python"]["verdict"] == "ok"
    assert ran.status == 1


def test_doctor_says_once_what_is_wrong_with_the_settings():
    ran = Ran("doctor", "--json", environ={"WARDTWIN_HTTP__PORT": "seven"})
    told = [
        check["check"] for check in ran.json if "WARDTWIN" in str(check) or "http" in str(check)
    ]
    verdicts = {check["check"]: check["verdict"] for check in ran.json}
    assert told == ["settings"]
    assert (verdicts["settings"], verdicts["ports"], verdicts["python"]) == (
        "fail",
        "skipped",
        "ok",
    )


def test_doctor_looks_at_folders_and_tls_as_the_server_does(tmp_path):
    site = tmp_path / "site.toml"
    (tmp_path / "there").mkdir()
    site.write_text(
        f'[feeds.a.folder]\npath = "{tmp_path}/none"\n[feeds.b.folder]\npath = "{tmp_path}/there"\n'
        f'[outbound.ris]\nhost = "h"\nport = 1\n[outbound.ris.tls]\n'
        f'authority = "{tmp_path}/no.pem"\n'
    )
    ran = Ran("doctor", "--json", "--config", str(site), "--db", str(tmp_path / "w.duckdb"))
    checks = {check["check"]: check for check in ran.json}
    assert checks["folder a"]["verdict"] == "fail"
    assert checks["folder b"]["verdict"] == "ok"
    assert checks["outbound ris"]["verdict"] == "fail"
    assert "outbound.ris.tls" in checks["outbound ris"]["said"]


@pytest.mark.parametrize("words", [("feed", "check"), ("hl7", "explain")])
def test_a_feed_that_is_not_configured_is_named(tmp_path, words):
    (tmp_path / "site.toml").write_text("[feeds.lab]\nport = 0\n")
    (tmp_path / "a.hl7").write_bytes(b"MSH|^~\\&|A\r")
    named = ("--config", str(tmp_path / "site.toml"), "--feed")
    ran = Ran(*words, str(tmp_path / "a.hl7"), *named, "nosuch")
    assert ran.status == 2
    assert "adt, lab" in ran.err
    assert Ran(*words, str(tmp_path / "a.hl7"), *named, "lab").status != 2


def test_a_limit_below_one_is_no_limit():
    ran = Ran("quarantine", "list", "--limit", "-1")
    assert ran.status == 2
    assert "--limit is 1 or more" in ran.err


def test_doctor_says_that_the_settings_are_broken():
    ran = Ran("doctor", "--config", "/nowhere.toml", "--json")
    checks = {check["check"]: check for check in ran.json}
    assert checks["settings"]["verdict"] == "fail"
    assert ran.status == 1
