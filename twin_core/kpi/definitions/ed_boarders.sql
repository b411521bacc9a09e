-- title = "ED boarders"
-- question = "How many patients in the emergency department are waiting for a bed on a ward?"
-- unit = "patients"
-- shape = "snapshots"
-- owes = "ed_places"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit"]
-- direction = "lower (under 10 % of ED patients)"
-- numerator = "patients in the ED whose admission is decided (or a bed requested) and who have reached no ward"
-- denominator = "patients in the ED at that instant (share)"
-- exclusions = ["observation patients", "decisions that were cancelled"]
-- strata = {}
-- statistics = { count = "boarders at the last known instant of the period", share = "share of the ED's patients, in %" }
-- source = "Emergency Medicine International 2012, 838610, table 2 (2012)"
-- caveats = ["A patient who has become an inpatient while still in the ED boards from then on, also where no decision was recorded."]
-- inputs = ["history.encounter", "history.encounter_class", "history.encounter_milestone", "history.stay", "core.kpi_setting"]
WITH visit AS (
    SELECT encounter_id, facility, unit, arrived_at, departed_at,
           CASE WHEN NOT observed THEN greatest(arrived_at, least(
               coalesce(decided_at, 'infinity'), coalesce(inpatient_at, 'infinity'))) END AS boards_at
    FROM kpi_part.ed_visits(window_start, window_end, known_at)
)
SELECT encounter_id, facility, unit, NULL AS class, arrived_at AS from_at,
       least(departed_at, boards_at) AS to_at, NULL AS stratum, false AS counted
FROM visit
UNION ALL
SELECT encounter_id, facility, unit, NULL, boards_at, departed_at, NULL, true
FROM visit WHERE boards_at < coalesce(departed_at, 'infinity')
