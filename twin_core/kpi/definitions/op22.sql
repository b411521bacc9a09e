-- title = "Left without being seen (OP-22)"
-- question = "How many emergency patients left before a provider had seen them?"
-- unit = "%"
-- shape = "shares"
-- owes = "ed_places"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit"]
-- direction = "lower"
-- numerator = "ED visits that ended with a disposition of leaving unseen"
-- denominator = "ED visits, by the time of departure"
-- exclusions = ["visits that are still open", "registrations that were cancelled (A11)"]
-- strata = { against_advice = "patients who were seen and left against advice, as a share of the same visits; not in the headline's numerator" }
-- statistics = { share = "share of visits", count = "visits" }
-- source = "CMS Hospital Outpatient Quality Reporting, OP-22 (2024)"
-- caveats = ["Which dispositions mean it is set in [kpi] left_unseen and left_against_advice: HL7 table 0112 has a code for the second only, and sites use their own for the first. Leaving after triage and leaving after being seen are different things; only the first is counted."]
-- inputs = ["history.encounter", "history.encounter_class", "history.encounter_milestone", "history.stay", "core.kpi_setting"]
WITH visit AS (
    SELECT encounter_id, facility, unit, departed_at AS happened_at, outcome
    FROM kpi_part.ed_visits(window_start, window_end, known_at) WHERE departed_at IS NOT NULL
)
SELECT encounter_id, facility, unit, NULL AS class, happened_at, NULL AS stratum,
       outcome = 'left_unseen' AS counted
FROM visit
UNION ALL
SELECT encounter_id, facility, unit, NULL, happened_at, 'against_advice', outcome = 'against_advice'
FROM visit
