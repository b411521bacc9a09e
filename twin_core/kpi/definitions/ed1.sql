-- title = "Arrival to departure of admitted ED patients (ED-1)"
-- question = "How long were patients in the emergency department before they reached a ward?"
-- unit = "min"
-- shape = "amounts"
-- owes = "ed_places"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit"]
-- direction = "lower"
-- numerator = "physical departure from the ED minus arrival"
-- denominator = "ED visits that ended in an inpatient admission, by the time of departure"
-- exclusions = ["patients still in the ED", "inpatient stays longer than 120 days", "observation"]
-- strata = { psychiatric = "patients of a psychiatric service; not in the headline" }
-- statistics = { median = "half were faster", p90 = "nine in ten were faster", mean = "mean" }
-- source = "CMS55v1, median time from ED arrival to ED departure for admitted patients (2012)"
-- caveats = [
--     "An admission under an encounter of its own counts where the two are linked by part_of, or where the same patient's inpatient stay begins at most one hour after the departure.",
--     "Departure is when the patient left the ED for a ward, not when the admission was decided.",
-- ]
-- inputs = ["history.encounter", "history.encounter_class", "history.encounter_milestone", "history.stay", "core.kpi_setting"]
SELECT v.encounter_id, v.facility, v.unit, NULL AS class, v.departed_at AS happened_at,
       CASE WHEN v.psychiatric THEN 'psychiatric' END AS stratum,
       60 * kpi_part.hours(v.arrived_at, v.departed_at) AS amount
FROM kpi_part.ed_admissions(window_start, window_end, known_at) v
