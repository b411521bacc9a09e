-- title = "Theatre utilisation, raw"
-- question = "How much of the theatres' opening hours was a patient in the room?"
-- unit = "%"
-- shape = "ratios"
-- owes = "no_places"
-- supplied_by = "The units that are theatres, in [kpi] theatres, and their patients by ADT^A02, A09 and A10 or FHIR Encounter.location"
-- grain = ["day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit"]
-- direction = "target 75-85"
-- numerator = "minutes with a patient in the room within opening hours"
-- denominator = "opening minutes of the rooms, Monday to Friday"
-- exclusions = ["time outside opening hours (stratum over_run)"]
-- strata = { over_run = "minutes with a patient in the room after closing time, over the same opening minutes" }
-- statistics = { share = "share of the opening minutes" }
-- source = "AACD Glossary of Times Used for Scheduling and Monitoring of Diagnostic and Therapeutic Procedures (1997)"
-- caveats = ["Theatres and their hours are set in [kpi] theatres and theatre_hours; without theatres there are no rows. A case that runs over the closing time is split there. Two patients in one room at once count twice."]
-- inputs = ["core.facility", "core.kpi_setting", "history.encounter", "history.encounter_tracking", "history.location", "history.stay"]
WITH hours AS (
    SELECT min(value)::TIME AS opens, max(value)::TIME AS closes
    FROM core.kpi_setting WHERE name = 'theatre_hours'
),
theatre AS (
    SELECT coalesce(facility, '') AS facility, unit, coalesce(room, '') AS room
    FROM history.location(known_at) WHERE kpi_part.listed('theatres', unit) AND room IS NOT NULL
    UNION SELECT facility, unit, room FROM kpi_part.theatre_cases(known_at)
),
open_day AS (
    SELECT t.facility, t.unit, t.room,
           timezone(p.zone, timezone(p.zone, p.period_start)::DATE + hours.opens) AS opens_at,
           timezone(p.zone, timezone(p.zone, p.period_start)::DATE + hours.closes) AS closes_at,
           p.seen_to
    FROM kpi_part.periods(window_start, window_end, 'day', "by", known_at) p
    JOIN theatre t ON t.facility = p.facility
    JOIN hours ON true
    WHERE p.seen_to IS NOT NULL AND isodow(timezone(p.zone, p.period_start)::DATE) <= 5
),
opened AS (
    SELECT *, least(closes_at, seen_to) AS until FROM open_day WHERE opens_at < seen_to
),
used AS (
    SELECT c.encounter_id, o.facility, o.unit, o.opens_at,
           CASE WHEN coalesce(c.out_at, o.until) > o.opens_at AND c.in_at < o.until
                THEN 60 * kpi_part.hours(greatest(c.in_at, o.opens_at),
                                         least(coalesce(c.out_at, o.until), o.until)) END AS within,
           CASE WHEN coalesce(c.out_at, o.seen_to) > o.closes_at AND o.seen_to > o.closes_at
                 AND c.in_at < o.seen_to
                THEN 60 * kpi_part.hours(greatest(c.in_at, o.closes_at),
                                         least(coalesce(c.out_at, o.seen_to), o.seen_to))
           END AS over
    FROM opened o
    JOIN kpi_part.theatre_cases(known_at) c
      ON c.facility = o.facility AND c.unit = o.unit AND c.room = o.room
     AND c.operated_on = timezone(c.zone, o.opens_at)::DATE
)
-- A day of a theatre gives its opening minutes, and each of its cases the minutes it took of them.
SELECT NULL AS encounter_id, facility, unit, NULL AS class, opens_at AS happened_at,
       NULL AS stratum, 0 AS above, 60 * kpi_part.hours(opens_at, until) AS below
FROM opened
UNION ALL
SELECT encounter_id, facility, unit, NULL, opens_at, NULL, within, 0
FROM used WHERE within IS NOT NULL
UNION ALL
SELECT NULL, facility, unit, NULL, opens_at, 'over_run', 0, 60 * kpi_part.hours(opens_at, until)
FROM opened
UNION ALL
SELECT encounter_id, facility, unit, NULL, opens_at, 'over_run', over, 0
FROM used WHERE over IS NOT NULL
