-- title = "ED occupancy rate"
-- question = "How many patients are in the emergency department for each treatment space?"
-- unit = "%"
-- supplied_by = "FHIR Locations of beds (and HL7 v2 ADT^A20), which say which beds are open and staffed"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit"]
-- direction = "lower (crowded > 100)"
-- numerator = "patients with an EMER visit that is arrived, triaged or in progress, with or without a bay"
-- denominator = "designated treatment spaces: available staffed beds of emergency departments"
-- exclusions = ["cancelled visits", "patients on leave"]
-- strata = { no_bay = "patients in no bay: corridor, waiting room, ambulance; already in the headline" }
-- statistics = { ratio = "patient-hours over space-hours", at_end = "patients and spaces at the last known instant of the period" }
-- source = "Emergency Medicine International 2012, 838610, table 2 (2012)"
-- caveats = [
--     "An ED is a unit where at least half of the stays began as EMER visits. Where its spaces are not known as staffed beds, the rate is NULL and the patients are counted.",
--     "A patient without a place belongs to the facility's ED if it has exactly one, else to no unit.",
--     "By class there is nothing to tell apart: all of them are EMER.",
-- ]
-- inputs = ["history.encounter", "history.encounter_class", "history.encounter_status", "history.stay", "history.location", "history.location_status"]
WITH step AS (
    FROM kpi_part.ed_steps(window_start, window_end, grain,
             CASE WHEN "by" = 'class' THEN error('ed_census is not defined by class: all is EMER.')
                  ELSE "by" END, known_at)
),
measured AS (
    SELECT facility, unit, period_start, period_end, any_value(seen_to) AS seen_to,
           sum(patients * kpi_part.hours(from_at, to_at)) AS patient_hours,
           sum(patients * kpi_part.hours(from_at, to_at)) FILTER (WHERE available IS NOT NULL)
               AS counted_hours,
           sum(no_bay * kpi_part.hours(from_at, to_at)) AS no_bay_hours,
           sum(no_bay * kpi_part.hours(from_at, to_at)) FILTER (WHERE available IS NOT NULL)
               AS counted_no_bay_hours,
           sum(available * kpi_part.hours(from_at, to_at)) AS space_hours,
           coalesce(sum(kpi_part.hours(from_at, to_at)) FILTER (WHERE available IS NOT NULL), 0)
               AS capacity_hours,
           arg_max({'patients': patients, 'no_bay': no_bay, 'available': available}, from_at)
               AS last_step
    FROM step GROUP BY ALL
),
published AS (
    SELECT *, unnest([
        {'stratum': NULL, 'statistic': 'ratio', 'below': space_hours, 'above':
         CASE WHEN space_hours IS NULL THEN patient_hours ELSE counted_hours END},
        {'stratum': 'no_bay', 'statistic': 'ratio', 'below': space_hours, 'above':
         CASE WHEN space_hours IS NULL THEN no_bay_hours ELSE counted_no_bay_hours END},
        {'stratum': NULL, 'statistic': 'at_end', 'below': last_step.available::DOUBLE,
         'above': last_step.patients::DOUBLE},
        {'stratum': 'no_bay', 'statistic': 'at_end', 'below': last_step.available::DOUBLE,
         'above': last_step.no_bay::DOUBLE}]) AS row
    FROM measured
)
SELECT facility, unit, period_start, period_end, row.stratum AS stratum, row.statistic AS statistic,
       CASE WHEN seen_to IS NOT NULL THEN row.above END AS numerator,
       CASE WHEN seen_to IS NOT NULL THEN row.below END AS denominator,
       CASE WHEN seen_to IS NOT NULL THEN 100 * kpi_part.ratio(row.above, row.below) END AS value,
       CASE WHEN seen_to IS NULL THEN 0
            ELSE capacity_hours / kpi_part.hours(period_start, period_end) END AS coverage
FROM published
WHERE row.stratum IS NULL OR (seen_to IS NOT NULL AND row.above > 0)
