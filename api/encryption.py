"""How a store is encrypted, in words: for `doctor`, `config show` and `store status`."""

from pathlib import Path
from typing import Literal, NamedTuple

from twin_core.encryption import StoreKey, read_key, unsealed
from twin_core.errors import TwinError
from twin_core.settings import EncryptionSettings, Settings
from twin_core.store.cipher import check_cipher, is_encrypted

Verdict = Literal["ok", "warn", "fail"]


class Encryption(NamedTuple):
    """Whether a store and the key that is set go together."""

    verdict: Verdict
    said: str
    encrypted: bool | None
    """None where there is no store yet."""
    key: str | None
    """Fingerprint of the key that is set."""
    open_files: tuple[str, ...] = ()
    """Files beside an encrypted store that are not sealed yet."""


def encryption_of(settings: Settings) -> Encryption:
    """The state of the store that the settings name; it may be held by another program.

    Raises ConfigurationError where the key cannot be read, or this machine cannot encrypt.
    """
    path, key = settings.store.path, read_key(settings.encryption)
    encrypted = is_encrypted(path)
    if key is not None:
        check_cipher()
    verdict, said = _judged(path, encrypted, key, settings.encryption)
    open_files: tuple[str, ...] = ()
    if key is not None and encrypted:
        try:
            open_files = tuple(unsealed(path, key))
        except TwinError as error:
            verdict, said = "fail", f"{error.what} {error.why} {error.do}".strip().rstrip(".")
    if open_files and verdict != "fail":
        listed = ", ".join(open_files)
        said = f"{said}; not sealed yet, which the next start does: {listed}"
        verdict = "warn"
    return Encryption(verdict, said, encrypted, key.fingerprint if key else None, open_files)


def _judged(
    path: Path, encrypted: bool | None, key: StoreKey | None, settings: EncryptionSettings
) -> tuple[Verdict, str]:
    if key is None:
        if encrypted:
            return "fail", f"{path} is encrypted, and no key is set; see [encryption]"
        return "ok", "no key is set: the store is not encrypted"
    named = f"the key of {_source(settings)} has the fingerprint {key.fingerprint}"
    if encrypted is False:
        return "fail", f"{path} is not encrypted; run `wardtwin store encrypt`; {named}"
    if _is_beside(settings.key_file, path):
        return "warn", f"{named}, and is kept in the store's folder: keep it elsewhere"
    return "ok", f"{'AES-256-GCM' if encrypted else 'a new store will be encrypted'}; {named}"


def _source(settings: EncryptionSettings) -> str:
    if settings.key_file is not None:
        return str(settings.key_file)
    return "key_command" if settings.key_command else "encryption.key"


def _is_beside(key_file: Path | None, path: Path) -> bool:
    return key_file is not None and key_file.resolve().parent == path.resolve().parent
