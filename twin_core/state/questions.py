"""What is asked of the store's histories to know the hospital at $at as known at $known_at."""

# Only physical type `bd` is a bed: a ward or a room never counts as one. Beds that only a stay
# names are beds too. Where a location has a history, the history decides what was true at $at;
# a location without one has only ever had the status it shows.
BEDS = """
WITH history_at AS (
    SELECT location_id,
           arg_max({'operational_status': operational_status, 'staffed': staffed},
                   coalesce(from_at, '-infinity'::TIMESTAMPTZ))
               FILTER (WHERE coalesce(from_at <= $at, true) AND coalesce(to_at > $at, true)) AS held
    FROM history.location_status($known_at) GROUP BY location_id
), stated AS (
    SELECT * FROM history.location($known_at) WHERE kind = 'bd'
), named AS (
    SELECT location_id, facility, unit, room, bed
    FROM history.stay($known_at) WHERE bed IS NOT NULL GROUP BY ALL
)
SELECT l.location_id, l.facility, l.unit, l.room,
       coalesce(l.bed, CASE WHEN l.unit IS NOT NULL THEN l.name END, l.location_id) AS bed,
       CASE WHEN h.location_id IS NULL THEN l.operational_status
            ELSE h.held.operational_status END AS operational_status,
       CASE WHEN h.location_id IS NULL THEN l.staffed ELSE h.held.staffed END AS staffed,
       true AS stated
FROM stated l LEFT JOIN history_at h ON h.location_id = l.location_id
UNION ALL
SELECT n.location_id, n.facility, n.unit, n.room, n.bed, NULL, NULL, false
FROM named n ANTI JOIN stated l ON l.location_id = n.location_id
"""

# The units of the location hierarchy; units that only stays name are added from the stays. A clinic
# that only appointments name is a location without a description, where nobody ever lay.
UNITS = """
WITH lived_in AS (SELECT DISTINCT facility, unit FROM history.stay($known_at))
SELECT l.facility, l.unit, min(l.kind) AS kind, min(l.name) AS name
FROM history.location($known_at) l
LEFT JOIN lived_in s ON s.facility IS NOT DISTINCT FROM l.facility AND s.unit = l.unit
WHERE l.unit IS NOT NULL AND l.room IS NULL AND l.bed IS NULL AND l.kind NOT IN ('bd', 'ro')
  AND (l.name IS NOT NULL OR s.unit IS NOT NULL)
GROUP BY l.facility, l.unit
"""

# Who is where at $at; class and leave are those of the encounter's histories at $at.
STAYS = """
WITH present AS (
    SELECT * FROM history.stay($known_at)
    WHERE from_at <= $at AND coalesce(to_at > $at, true)
), visit AS (
    SELECT DISTINCT e.encounter_id, e.class, e.service
    FROM history.encounter($known_at) e JOIN present p ON p.encounter_id = e.encounter_id
), class_at AS (
    SELECT c.encounter_id, max_by(c.class, c.from_at) AS class
    FROM history.encounter_class($known_at) c JOIN present p ON p.encounter_id = c.encounter_id
    WHERE c.from_at <= $at AND coalesce(c.to_at > $at, true)
    GROUP BY c.encounter_id
), on_leave AS (
    SELECT DISTINCT encounter_id FROM history.encounter_status($known_at)
    WHERE status = 'onleave' AND from_at <= $at AND coalesce(to_at > $at, true)
)
SELECT p.stay_id, p.encounter_id, p.patient_id, p.facility, p.unit, p.room, p.bed,
       p.location_id, p.from_at, coalesce(c.class, v.class) AS class, v.service,
       l.encounter_id IS NOT NULL AS on_leave
FROM present p
LEFT JOIN visit v ON v.encounter_id = p.encounter_id
LEFT JOIN class_at c ON c.encounter_id = p.encounter_id
LEFT JOIN on_leave l ON l.encounter_id = p.encounter_id
ORDER BY p.from_at, p.stay_id
"""

# What is to come: plans that were active at $at, where the patient is to go, and from where.
PLANS = """
SELECT p.plan_id, p.encounter_id, e.patient_id, p.kind, p.stated_at, p.expected_at,
       p.facility, p.unit, p.room, p.bed, p.location_id, e.class
FROM history.encounter_plan($known_at) p
JOIN history.encounter($known_at) e ON e.encounter_id = p.encounter_id
WHERE p.stated_at <= $at AND coalesce(p.ended_at > $at, true)
  AND coalesce(p.expected_at, p.stated_at)
      BETWEEN $at - INTERVAL 24 HOURS AND $at + INTERVAL 24 HOURS
ORDER BY coalesce(p.expected_at, p.stated_at), p.plan_id
"""

# Who is not in the assigned bed at $at: on the way somewhere, or there.
AWAY = """
SELECT encounter_id, status, facility, unit, room, bed, from_at
FROM history.encounter_tracking($known_at)
WHERE from_at <= $at AND coalesce(to_at > $at, true)
ORDER BY from_at, coalesce(status, '')
"""

# Everyone in the ED at $at: class EMER, arrived and not left; and the boarders, who became
# inpatients in the unit where they were emergency patients and have not left it. Where they are
# comes from the stays. An admission was decided when it was first said to be.
ED = """
WITH present AS (
    SELECT encounter_id, max_by(status, from_at) AS status
    FROM history.encounter_status($known_at)
    WHERE status IN ('arrived', 'triaged', 'in-progress')
      AND from_at <= $at AND coalesce(to_at > $at, true)
    GROUP BY encounter_id
), classes AS (
    SELECT c.encounter_id, max_by(c.class, c.from_at) AS class, max(c.from_at) AS class_from,
           max(c.to_at) FILTER (WHERE c.class = 'EMER') AS emergency_to,
           bool_or(c.class = 'EMER') AS came_as_emergency
    FROM history.encounter_class($known_at) c JOIN present p ON p.encounter_id = c.encounter_id
    WHERE c.from_at <= $at
    GROUP BY c.encounter_id
), here AS (
    SELECT s.encounter_id, s.facility, s.unit FROM history.stay($known_at) s
    JOIN classes c ON c.encounter_id = s.encounter_id
    WHERE c.came_as_emergency AND c.class <> 'EMER'
      AND s.from_at <= $at AND coalesce(s.to_at > $at, true)
), boarder AS (
    SELECT DISTINCT h.encounter_id FROM here h
    JOIN classes c ON c.encounter_id = h.encounter_id
    JOIN history.stay($known_at) s ON s.encounter_id = h.encounter_id
     AND s.unit = h.unit AND s.facility IS NOT DISTINCT FROM h.facility
     AND s.from_at < c.emergency_to
), milestones AS (
    SELECT m.encounter_id,
           min(m.at) FILTER (WHERE m.kind = 'triaged') AS triaged_at,
           min(m.at) FILTER (WHERE m.kind = 'seen_by_provider') AS seen_at,
           coalesce(min(m.at) FILTER (WHERE m.kind = 'decision_to_admit'),
                    min(m.at) FILTER (WHERE m.kind = 'bed_requested')) AS decided_at
    FROM history.encounter_milestone($known_at) m JOIN present p ON p.encounter_id = m.encounter_id
    WHERE m.at <= $at GROUP BY m.encounter_id
)
SELECT p.encounter_id, e.patient_id, e.facility, p.status, coalesce(c.class, e.class) AS class,
       e.admitted_at AS arrived_at, m.triaged_at, m.seen_at,
       least(m.decided_at,
             CASE WHEN b.encounter_id IS NOT NULL THEN c.class_from END) AS boards_from
FROM present p
JOIN history.encounter($known_at) e ON e.encounter_id = p.encounter_id
LEFT JOIN classes c ON c.encounter_id = p.encounter_id
LEFT JOIN boarder b ON b.encounter_id = p.encounter_id
LEFT JOIN milestones m ON m.encounter_id = p.encounter_id
WHERE coalesce(c.class, e.class) = 'EMER' OR b.encounter_id IS NOT NULL
"""
