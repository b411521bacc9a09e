"""What a message may weigh."""

from twin_core.settings.section import Section


class LimitSettings(Section):
    """What a message may weigh; checked before anything is split or parsed."""

    frame_bytes: int = 4 * 1024 * 1024
    """One HL7 v2 message, or one FHIR resource."""
    segments: int = 5_000
    """Per message."""
    fields: int = 1_000
    """Per segment."""
    repetitions: int = 1_000
    """Per field."""
    field_bytes: int = 512 * 1024
    """One field with all its repetitions."""
    body_bytes: int = 32 * 1024 * 1024
    """One HTTP body, or one JSON document in a file."""
    bundle_entries: int = 20_000
    """Per Bundle."""
    json_depth: int = 64
    """How deep objects and arrays may be nested."""
