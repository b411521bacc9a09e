"""The encounters of a source that are not over: those worth asking for whether they still exist."""

from twin_core.twin import Twin

_OPEN = """
SELECT DISTINCT i.value AS subject FROM twin.encounter_identifier i
JOIN twin.encounter e ON e.encounter_id = i.encounter_id
WHERE i.system = $source AND i.type = 'reference' AND starts_with(i.value, 'Encounter/')
  AND e.status NOT IN ('finished', 'cancelled', 'completed', 'discharged', 'entered-in-error')
ORDER BY subject
"""
_VERSIONS = """
SELECT split_part(control_id, '/', 1) || '/' || split_part(control_id, '/', 2) AS subject,
       arg_max(split_part(control_id, '/', 3), message_id) AS version
FROM core.message WHERE feed = $source AND starts_with(control_id, 'Encounter/')
  AND status <> 'quarantined'
GROUP BY subject
"""


def open_encounters(twin: Twin, source: str) -> list[tuple[str, str]]:
    """`Encounter/id`, and the version stated last, where it has one."""
    asked = {"source": source}
    subjects = [str(row["subject"]) for row in twin.query(_OPEN, asked)]
    if not subjects:
        return []
    versions = {str(row["subject"]): str(row["version"]) for row in twin.query(_VERSIONS, asked)}
    return [(subject, versions.get(subject, "")) for subject in subjects]
