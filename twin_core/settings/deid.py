"""How what leaves the identified store is de-identified."""

from pathlib import Path

from pydantic import Field, SecretStr

from twin_core.settings.section import Section


class DeidSettings(Section):
    """De-identification: where the keys are, how far instants move, and what a site vouches for."""

    keys_file: Path | None = None
    """A file with the keys that only its owner may read; `wardtwin deid keys FILE` makes one."""
    keys_command: tuple[str, ...] = ()
    """A command that prints such a file, as a client of a vault does."""
    pseudonym_key: SecretStr | None = None
    """The key of pseudonyms, at least 32 bytes in hexadecimal; best in the environment."""
    shift_key: SecretStr | None = None
    """The key of shifts, at least 32 bytes in hexadecimal; best in the environment."""
    shift_weeks: int = Field(default=26, ge=2, le=520)
    """The most weeks by which a patient's instants move back; the fewest is 1."""
    cell: int = Field(default=11, ge=2)
    """Fewer patients than this are a small cell: not published, and their codes are not kept."""
    known: tuple[str, ...] = ()
    """Units, services and other codes of the site that name nobody and pass however rare."""
    code_systems: tuple[str, ...] = ()
    """URIs of the site's own code systems whose codes pass in FHIR resources."""
    releases: dict[str, Path] = {}
    """Releases that analysts may ask over `/v1/sql`: name -> file of `wardtwin deid publish`."""
    live: bool = True
    """Whether `/v1/sql` offers live rows without direct identifiers, `limited`, where there are
    keys; they need the permission `sql:limited`."""
    sending_facilities: tuple[str, ...] = ()
    """MSH-4 and MSH-6 that pass in HL7 messages as they are; others become pseudonyms."""
