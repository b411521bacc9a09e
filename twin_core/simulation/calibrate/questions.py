"""What is asked of the store's histories as known at $known_at, to calibrate a model."""

# Everybody who was in the hospital in the window, with all of their stays before its end.
STAYS = """
WITH here AS (
    SELECT DISTINCT encounter_id FROM history.stay($known_at)
    WHERE from_at < $end AND coalesce(to_at > $start, true)
)
SELECT s.encounter_id, s.patient_id, s.facility, s.unit, s.room, s.bed, s.from_at, s.to_at,
       s.start_inferred
FROM history.stay($known_at) s SEMI JOIN here USING (encounter_id)
WHERE s.from_at < $end AND s.unit IS NOT NULL
ORDER BY s.encounter_id, s.from_at, s.to_at NULLS LAST
"""

# As what each of them came, whether that had been planned, and how they left; and who came in the
# window and has never been in a bed.
ENCOUNTERS = """
WITH here AS (
    SELECT DISTINCT encounter_id FROM history.stay($known_at)
    WHERE from_at < $end AND coalesce(to_at > $start, true)
), came_as AS (
    SELECT encounter_id, min_by(class, from_at) AS class
    FROM history.encounter_class($known_at) WHERE class <> 'PRENC' GROUP BY encounter_id
), planned AS (
    SELECT encounter_id FROM history.encounter_status($known_at) WHERE status = 'planned'
    UNION SELECT encounter_id FROM history.encounter_plan($known_at) WHERE kind = 'admission'
)
SELECT e.encounter_id, e.patient_id, e.facility, coalesce(c.class, e.class) AS class,
       p.encounter_id IS NOT NULL AS planned, e.disposition, e.admitted_at, e.discharged_at
FROM history.encounter($known_at) e
LEFT JOIN here h ON h.encounter_id = e.encounter_id
LEFT JOIN came_as c ON c.encounter_id = e.encounter_id
LEFT JOIN planned p ON p.encounter_id = e.encounter_id
WHERE h.encounter_id IS NOT NULL
   OR (e.admitted_at >= $start AND e.admitted_at < $end AND coalesce(c.class, e.class) = 'EMER'
       AND e.status NOT IN ('cancelled', 'entered-in-error', 'planned'))
ORDER BY e.encounter_id
"""

# Beds somebody described or lay in.
BEDS = """
SELECT facility, unit, room, bed, name FROM history.location($known_at)
WHERE kind = 'bd' AND unit IS NOT NULL
"""

# Beds that were being cleaned or were closed.
BED_STATUS = """
SELECT l.facility, l.unit, l.room, l.bed, s.operational_status AS status, s.from_at, s.to_at
FROM history.location_status($known_at) s
JOIN history.location($known_at) l ON l.location_id = s.location_id
WHERE l.kind = 'bd' AND l.unit IS NOT NULL AND s.operational_status IN ('H', 'K', 'C')
  AND s.from_at < $end AND coalesce(s.to_at > $start, true)
ORDER BY s.from_at, l.unit, l.room, l.bed
"""

# When patients were gone: before a feed begins it knows of nobody who left.
DEPARTURES = """
SELECT max(to_at) AS left_at FROM history.stay($known_at)
WHERE unit IS NOT NULL GROUP BY encounter_id
HAVING count(*) FILTER (to_at IS NULL) = 0 AND max(to_at) >= $start AND max(to_at) < $end
"""

# Of which dispositions patients died, went to another hospital, or left before they were meant to.
DISPOSITIONS = """
SELECT name, value FROM core.kpi_setting
WHERE name IN ('died', 'transferred_out', 'left_unseen', 'left_against_advice')
"""

ZONES = "SELECT DISTINCT time_zone FROM core.facility"

# Admissions, transfers and discharges that were to come, from when until when they were.
PLANS = """
SELECT encounter_id, stated_at, ended_at, expected_at, facility, unit, kind
FROM history.encounter_plan($known_at)
WHERE (kind = 'discharge' OR (kind IN ('admission', 'transfer') AND unit IS NOT NULL))
  AND stated_at < $end
  AND coalesce(ended_at > $start, true)
ORDER BY stated_at, plan_id
"""
