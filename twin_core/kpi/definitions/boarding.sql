-- title = "Boarding time"
-- question = "How long did admitted emergency patients wait in the department for their bed?"
-- unit = "min"
-- shape = "amounts"
-- owes = "ed_places"
-- supplied_by = "HL7 v2 ADT^A14 or A15, or a FHIR ServiceRequest, Task or Procedure whose code [fhir] milestones or completions names decision_to_admit or bed_requested"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit"]
-- direction = "lower"
-- numerator = "physical departure from the ED minus decision to admit (else bed request)"
-- denominator = "ED visits that ended in an inpatient admission, by the time of departure"
-- exclusions = ["patients still in the ED", "observation", "inpatient stays longer than 120 days"]
-- strata = { psychiatric = "patients of a psychiatric service; not in the headline" }
-- statistics = { median = "half waited less", p90 = "nine in ten waited less", mean = "mean" }
-- source = "CMS111v3, median admit decision time to ED departure time for admitted patients (2014)"
-- caveats = [
--     "A visit without a recorded decision is unknown, never zero: coverage says how many are.",
--     "A decision that was recorded after the departure is late charting; it counts as no time at all and lowers nothing below zero.",
-- ]
-- inputs = ["history.encounter", "history.encounter_class", "history.encounter_milestone", "history.stay", "core.kpi_setting"]
SELECT v.encounter_id, v.facility, v.unit, NULL AS class, v.departed_at AS happened_at,
       CASE WHEN v.psychiatric THEN 'psychiatric' END AS stratum,
       kpi_part.not_negative(60 * kpi_part.hours(v.decided_at, v.departed_at)) AS amount
FROM kpi_part.ed_admissions(window_start, window_end, known_at) v
