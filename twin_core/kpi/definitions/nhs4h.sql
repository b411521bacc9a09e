-- title = "Four-hour standard"
-- question = "How many emergency patients were admitted, transferred or discharged within four hours?"
-- unit = "%"
-- shape = "shares"
-- owes = "ed_places"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit"]
-- direction = "higher (95 is the standard)"
-- numerator = "ED visits whose physical departure was at most 240 minutes after arrival"
-- denominator = "ED visits, by the time of departure; a visit that is still open belongs to the period in which it passed four hours"
-- exclusions = ["open visits of four hours or less"]
-- strata = { admitted = "visits that ended in an admission; in the headline too", not_admitted = "all other visits that ended; in the headline too" }
-- statistics = { share = "share of visits", count = "visits within four hours" }
-- source = "NHS England, A&E attendances and emergency admissions monthly return, definitions (2019)"
-- caveats = [
--     "240 minutes and no second more are within the standard. The clock of an admission stops when the patient leaves the ED for a ward.",
--     "Departments of type 1, 2 and 3 are told apart by unit; no message says of which type one is.",
-- ]
-- inputs = ["history.encounter", "history.encounter_class", "history.encounter_milestone", "history.stay", "core.kpi_setting", "core.batch"]
WITH visit AS (
    SELECT v.encounter_id, v.facility, v.unit, v.outcome, v.departed_at,
           coalesce(v.departed_at, kpi_part.later(v.arrived_at, 240)) AS happened_at,
           NOT kpi_part.exceeded(v.arrived_at, coalesce(v.departed_at, scope.as_of), 240) AS counted
    FROM kpi_part.ed_visits(window_start, window_end, known_at) v,
         kpi_part.scope(window_start, window_end, grain, "by", known_at) scope
)
SELECT encounter_id, facility, unit, NULL AS class, happened_at, NULL AS stratum, counted
FROM visit WHERE departed_at IS NOT NULL OR NOT counted
UNION ALL
SELECT encounter_id, facility, unit, NULL, happened_at,
       CASE WHEN outcome = 'admitted' THEN 'admitted' ELSE 'not_admitted' END, counted
FROM visit WHERE departed_at IS NOT NULL
