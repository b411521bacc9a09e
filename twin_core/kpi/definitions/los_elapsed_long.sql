-- title = "Long-stay patients"
-- question = "How many inpatients have been here for a week, two weeks, three weeks or longer?"
-- unit = "patients"
-- shape = "snapshots"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit", "class"]
-- direction = "lower"
-- numerator = "inpatients whose spell began at least 7 x 24 h before the last known instant of the period"
-- denominator = "inpatients at that instant (share)"
-- exclusions = ["emergency, observation and outpatient visits", "cancelled encounters"]
-- strata = { "14_plus" = "at least 14 x 24 h; in the headline too", "21_plus" = "at least 21 x 24 h; in the headline too" }
-- statistics = { count = "patients", share = "share of the inpatients, in %" }
-- source = "NHS England, Urgent and Emergency Care daily situation reports: length of stay (2023)"
-- caveats = [
--     "The spell starts with the first inpatient class, not with the arrival in the ED, and leave of absence does not reset it.",
--     "By unit, a patient is counted where they are, with all the days of the spell.",
-- ]
-- inputs = ["history.encounter", "history.encounter_class", "history.encounter_status", "history.stay", "core.batch"]
WITH spell AS (
    SELECT encounter_id, min(from_at) AS began_at FROM history.encounter_class(known_at)
    WHERE class IN ('IMP', 'ACUTE', 'NONAC') GROUP BY ALL
),
present AS (
    SELECT p.encounter_id, p.facility, p.unit, p.class, p.from_at,
           nullif(p.to_at, 'infinity') AS to_at, s.began_at
    FROM kpi_part.stay_pieces(window_start, window_end, known_at) p
    JOIN spell s ON s.encounter_id = p.encounter_id
    WHERE kpi_part.patient_group(p.class) = 'inpatient'
),
threshold AS (
    SELECT * FROM (VALUES (7, NULL), (14, '14_plus'), (21, '21_plus')) t(days, stratum)
),
split AS (
    SELECT p.*, t.stratum, p.began_at + t.days * INTERVAL 24 HOUR AS long_at
    FROM present p, threshold t
)
SELECT encounter_id, facility, unit, class, from_at,
       least(coalesce(to_at, 'infinity'), long_at) AS to_at, stratum,
       false AS counted
FROM split WHERE from_at < long_at
UNION ALL
SELECT encounter_id, facility, unit, class, greatest(from_at, long_at), to_at, stratum, true
FROM split WHERE to_at IS NULL OR to_at > long_at
