-- title = "Twelve hours from the decision to admit"
-- question = "How many emergency admissions waited more than twelve hours after the decision to admit?"
-- unit = "patients"
-- shape = "shares"
-- owes = "ed_places"
-- supplied_by = "HL7 v2 ADT^A14 or A15, or a FHIR ServiceRequest, Task or Procedure whose code [fhir] milestones or completions names decision_to_admit or bed_requested"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit"]
-- direction = "0"
-- numerator = "admitted ED patients who left the ED more than 12 h after the decision to admit"
-- denominator = "admitted ED patients with a known decision, by the time of departure (share)"
-- exclusions = ["patients still waiting"]
-- strata = { "4_to_12" = "more than 4 and at most 12 h" }
-- statistics = { count = "patients", share = "share of admitted ED patients, in %" }
-- source = "NHS England, A&E attendances and emergency admissions monthly return, 4 to 12 and over 12 hours from decision to admit (2019)"
-- caveats = ["Not the same as 12 hours from arrival (arr12): publish both. A visit without a recorded decision is unknown and lowers coverage."]
-- inputs = ["history.encounter", "history.encounter_class", "history.encounter_milestone", "history.stay", "core.kpi_setting"]
WITH admitted AS (
    SELECT encounter_id, facility, unit, departed_at AS happened_at,
           kpi_part.exceeded(decided_at, departed_at, 240) AS over_4,
           kpi_part.exceeded(decided_at, departed_at, 720) AS over_12
    FROM kpi_part.ed_visits(window_start, window_end, known_at)
    WHERE outcome = 'admitted' AND departed_at IS NOT NULL
)
SELECT encounter_id, facility, unit, NULL AS class, happened_at, NULL AS stratum,
       over_12 AS counted
FROM admitted
UNION ALL
SELECT encounter_id, facility, unit, NULL, happened_at, '4_to_12',
       over_4 AND NOT over_12
FROM admitted
