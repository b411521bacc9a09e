-- title = "Arrival to departure of discharged ED patients (OP-18)"
-- question = "How long were patients in the emergency department who then went home?"
-- unit = "min"
-- shape = "amounts"
-- owes = "ed_places"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit"]
-- direction = "lower"
-- numerator = "departure from the ED minus arrival"
-- denominator = "ED visits that ended in a discharge, by the time of departure"
-- exclusions = ["admitted and observation patients", "patients who died", "patients who left before a provider had seen them", "patients still in the ED"]
-- strata = { psychiatric = "patients of a psychiatric service; not in the headline", transferred = "patients who went on to another hospital; not in the headline" }
-- statistics = { median = "half were faster", p90 = "nine in ten were faster", mean = "mean" }
-- source = "CMS Hospital Outpatient Quality Reporting, OP-18 (2024)"
-- caveats = ["Patients who left against advice after they were seen count as discharged."]
-- inputs = ["history.encounter", "history.encounter_class", "history.encounter_milestone", "history.stay", "core.kpi_setting"]
SELECT encounter_id, facility, unit, NULL AS class, departed_at AS happened_at,
       CASE WHEN outcome = 'transferred' THEN 'transferred'
            WHEN psychiatric THEN 'psychiatric' END AS stratum,
       60 * kpi_part.hours(arrived_at, departed_at) AS amount
FROM kpi_part.ed_visits(window_start, window_end, known_at)
WHERE outcome IN ('discharged', 'against_advice', 'transferred') AND departed_at IS NOT NULL
