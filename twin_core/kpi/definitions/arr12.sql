-- title = "Twelve hours from arrival"
-- question = "How many emergency patients were in the department for more than twelve hours?"
-- unit = "%"
-- shape = "shares"
-- owes = "ed_places"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit"]
-- direction = "0"
-- numerator = "ED visits with more than 12 h between arrival and physical departure"
-- denominator = "ED visits, by the time of departure; a visit that is still open belongs to the period in which it passed 12 h"
-- exclusions = ["open visits of 12 h or less"]
-- strata = { open = "visits that are still open and have passed 12 h; in the headline too" }
-- statistics = { share = "share of visits", count = "visits over 12 h" }
-- source = "Office for Statistics Regulation, letter on 12-hour A&E waits (2022)"
-- caveats = ["Not the same as 12 hours from the decision to admit (dta12): publish both."]
-- inputs = ["history.encounter", "history.encounter_class", "history.encounter_milestone", "history.stay", "core.batch", "core.kpi_setting"]
WITH visit AS (
    SELECT v.encounter_id, v.facility, v.unit, v.departed_at,
           coalesce(v.departed_at, kpi_part.later(v.arrived_at, 720)) AS happened_at,
           kpi_part.exceeded(v.arrived_at, coalesce(v.departed_at, scope.as_of), 720) AS counted
    FROM kpi_part.ed_visits(window_start, window_end, known_at) v,
         kpi_part.scope(window_start, window_end, grain, "by", known_at) scope
)
SELECT encounter_id, facility, unit, NULL AS class, happened_at, NULL AS stratum, counted
FROM visit WHERE departed_at IS NOT NULL OR counted
UNION ALL
SELECT encounter_id, facility, unit, NULL, happened_at, 'open', counted
FROM visit WHERE departed_at IS NULL AND counted
