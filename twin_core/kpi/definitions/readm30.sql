-- title = "Readmission within 30 days (unadjusted)"
-- question = "How many patients who went home came back as inpatients within 30 days, unplanned?"
-- unit = "%"
-- shape = "shares"
-- grain = ["day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit", "class"]
-- direction = "lower"
-- numerator = "index discharges followed by an unplanned inpatient admission within 30 x 24 h"
-- denominator = "live discharges of inpatients, by the unit of the last stay"
-- exclusions = ["deaths", "transfers to another hospital", "discharges against advice", "admissions that were planned"]
-- strata = { provisional = "discharges whose 30 days are not over; not in the headline" }
-- statistics = { share = "share of index discharges", count = "readmitted" }
-- source = "CMS hospital-wide readmission measure, cohort and outcome (2024)"
-- caveats = [
--     "Not risk-adjusted and not comparable with the CMS figure: only admissions to the hospitals of this twin are seen.",
--     "An admission is planned where its visit was planned (A05, A14, FHIR planned) before it began. A patient who comes back on the day of the discharge counts; one whose next stay begins at the very instant of the discharge was transferred.",
-- ]
-- inputs = ["history.encounter", "history.encounter_class", "history.encounter_status", "history.stay", "core.batch", "core.kpi_setting"]
WITH admission AS (
    SELECT e.encounter_id, e.patient_id, min(c.from_at) AS began_at
    FROM history.encounter(known_at) e
    JOIN history.encounter_class(known_at) c ON c.encounter_id = e.encounter_id
    WHERE c.class IN ('IMP', 'ACUTE', 'NONAC')
      AND coalesce(e.status, '') NOT IN ('planned', 'cancelled', 'entered-in-error')
      AND e.encounter_id NOT IN (
          SELECT s.encounter_id FROM history.encounter_status(known_at) s
          WHERE s.status = 'planned')
    GROUP BY ALL
),
index_discharge AS (
    SELECT d.*, e.patient_id,
           kpi_part.later(d.discharged_at, 43200) AS counts_until,
           kpi_part.later(d.discharged_at, 43200) > scope.as_of AS immature
    FROM kpi_part.discharges(window_start, window_end, known_at) d
    JOIN history.encounter(known_at) e ON e.encounter_id = d.encounter_id
    JOIN kpi_part.scope(window_start, window_end, grain, "by", known_at) scope ON true
    WHERE d.patient_group = 'inpatient' AND NOT kpi_part.listed('died', d.disposition)
      AND NOT kpi_part.listed('transferred_out', d.disposition)
      AND NOT kpi_part.listed('left_against_advice', d.disposition)
)
SELECT d.encounter_id, d.facility, d.unit, d.class, d.discharged_at AS happened_at,
       CASE WHEN d.immature THEN 'provisional' END AS stratum,
       EXISTS (FROM admission a
               WHERE a.patient_id = d.patient_id AND a.encounter_id <> d.encounter_id
                 AND a.began_at > d.discharged_at
                 AND a.began_at <= d.counts_until) AS counted
FROM index_discharge d
