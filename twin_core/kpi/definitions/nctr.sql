-- title = "No longer meeting the criteria to reside"
-- question = "How many inpatients are still in bed who no longer need to be in this hospital?"
-- unit = "%"
-- shape = "snapshots"
-- owes = "no_places"
-- supplied_by = "An HL7 v2 ORU or FHIR Observation feed of the criteria to reside, its code set in [kpi] reside_code"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit", "class"]
-- direction = "lower"
-- numerator = "inpatients whose latest observation of the criteria says that they are not met"
-- denominator = "inpatients at the last known instant of the period with such an observation"
-- exclusions = ["emergency, observation and outpatient visits"]
-- strata = {}
-- statistics = { share = "share of the inpatients assessed", count = "patients" }
-- source = "NHS England, Urgent and Emergency Care daily situation reports: criteria to reside (2023)"
-- caveats = ["The assessment is made by hand and is incomplete: never show the share without its coverage. Who left before the end of the period is not in it."]
-- inputs = ["core.batch", "core.kpi_setting", "history.encounter", "history.encounter_class", "history.encounter_status", "history.observation", "history.stay"]
WITH assessed AS (
    SELECT encounter_id, effective_at AS from_at,
           lead(effective_at) OVER (PARTITION BY encounter_id ORDER BY effective_at) AS to_at,
           kpi_part.listed('not_residing_values', coalesce(value_code, "value")) AS not_met
    FROM history.observation(known_at)
    WHERE code = kpi_part.setting('reside_code') AND status NOT IN ('entered-in-error', 'cancelled')
),
present AS (
    SELECT * FROM kpi_part.stay_pieces(window_start, window_end, known_at)
    WHERE kpi_part.patient_group(class) = 'inpatient' AND kpi_part.setting('reside_code') <> ''
)
SELECT p.encounter_id, p.facility, p.unit, p.class, greatest(p.from_at, a.from_at) AS from_at,
       nullif(least(p.to_at, coalesce(a.to_at, 'infinity')), 'infinity') AS to_at,
       NULL AS stratum, a.not_met AS counted
FROM present p
JOIN assessed a ON a.encounter_id = p.encounter_id
 AND a.from_at < p.to_at AND coalesce(a.to_at, 'infinity') > p.from_at
UNION ALL
SELECT p.encounter_id, p.facility, p.unit, p.class, p.from_at,
       nullif(least(p.to_at, coalesce(f.first_at, 'infinity')), 'infinity'), NULL, NULL
FROM present p
LEFT JOIN (SELECT encounter_id, min(from_at) AS first_at FROM assessed GROUP BY ALL) f
  ON f.encounter_id = p.encounter_id
WHERE f.first_at IS NULL OR p.from_at < f.first_at
