"""Settings with which a server could not run are refused when they are read, by name of the key."""

import pytest

from twin_core.errors import ConfigurationError
from twin_core.settings import load


def read(tmp_path, toml):
    (tmp_path / "site.toml").write_text(toml)
    return load(tmp_path / "site.toml").settings


OUTBOUND = '[outbound.ris]\nhost = "h"\nport = 1\n'
REFUSED = {
    "mllp host without peers": ('[mllp]\nhost = "0.0.0.0"\n', "feeds.adt.peers"),
    "feed host without peers": ('[feeds.b]\nport = 0\nhost = "ward-pc"\n', "feeds.b.peers"),
    "peers": ('[feeds.b]\npeers = ["10.0.0.0/33"]\n', r"feeds.b.peers .*10\.0\.0\.0/33"),
    "board and main feed": ("[http]\nport = 7001\n[mllp]\nport = 7001\n", "http.port, mllp.port"),
    "board and feed": (
        '[http]\nport = 7001\nhost = "localhost"\n[feeds.b]\nport = 7001\n',
        "http.port, feeds.b.port",
    ),
    "two feeds": ("[feeds.a]\nport = 7001\n[feeds.b]\nport = 7001\n", "feeds.b.port: feed a"),
    "board": ('[http]\nhost = "192.0.2.1"\n', "http.host"),
    "one folder": (
        '[feeds.a.folder]\npath = "in"\n[feeds.b.folder]\npath = "./x/../in/"\n',
        "feeds.b.folder.path",
    ),
    "charset of a feed": ('[feeds.b]\ncharset = "klingon"\n', "feeds.b.charset .*klingon"),
    "charset of a destination": (f'{OUTBOUND}charset = "utf8 "\n', "outbound.ris.charset"),
    "feed of a destination": (f'{OUTBOUND}feeds = ["nosuch"]\n', "outbound.ris.feeds: .*nosuch"),
    "feed that is excluded": (
        f'[feeds.a]\nport = 0\n{OUTBOUND}excluded_feeds = ["A"]\n',
        "outbound.ris.excluded_feeds: .*configured are a, adt",
    ),
    "trigger": (f'{OUTBOUND}triggers = ["A1"]\n', "outbound.ris.triggers .*'A1'"),
    "trigger with its type": (f'{OUTBOUND}triggers = ["ADT^A01"]\n', "outbound.ris.triggers"),
}


@pytest.mark.parametrize(("toml", "told"), REFUSED.values(), ids=REFUSED.keys())
def test_what_a_server_could_not_run_with_is_refused(tmp_path, toml, told):
    with pytest.raises(ConfigurationError, match=told):
        read(tmp_path, toml)


@pytest.mark.parametrize(
    "toml",
    [
        '[mllp]\nhost = "0.0.0.0"\n[feeds.adt]\npeers = ["10.1.0.7/16", "::1"]\n',
        "[http]\nport = 0\n[mllp]\nport = 0\n[feeds.b]\nport = 0\n",
        '[http]\nport = 7001\n[feeds.b]\nport = 7001\nhost = "127.0.0.2"\n',
        '[feeds.b]\nhost = "0.0.0.0"\n',
        '[feeds.a.folder]\npath = "a"\n[feeds.b.folder]\npath = "b"\n',
        '[feeds.b]\ncharset = "windows-1252"\n',
        f'{OUTBOUND}feeds = ["adt"]\ncharset = "8859/1"\ntriggers = ["A01", "ZQ1"]\n',
        f'[feeds.lab]\n{OUTBOUND}feeds = ["lab"]\n',
    ],
)
def test_what_a_server_can_run_with_is_not(tmp_path, toml):
    read(tmp_path, toml)
