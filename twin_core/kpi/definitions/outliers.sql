-- title = "Outlying patients"
-- question = "How many inpatients lie in a unit that does not treat their specialty?"
-- unit = "%"
-- shape = "snapshots"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit", "class"]
-- direction = "lower"
-- numerator = "inpatients whose hospital service is not among those that [kpi.specialties] lists for their unit"
-- denominator = "inpatients at the last known instant of the period whose service is known"
-- exclusions = ["emergency, observation and outpatient visits"]
-- strata = {}
-- statistics = { share = "share of the inpatients", count = "outlying patients" }
-- source = "NHS practice, medical outliers (2024)"
-- caveats = ["A unit that is not listed treats every specialty: assessment and critical care are exempt by leaving them out. The service is the latest one known of the visit."]
-- inputs = ["history.encounter", "history.encounter_class", "history.encounter_status", "history.stay", "core.batch", "core.kpi_setting"]
SELECT p.encounter_id, p.facility, p.unit, p.class, p.from_at, nullif(p.to_at, 'infinity') AS to_at,
       NULL AS stratum,
       CASE WHEN NOT EXISTS (FROM core.kpi_setting s WHERE s.name = 'specialties' AND s.key = p.unit)
            THEN false
            WHEN e.service IS NOT NULL
            THEN NOT EXISTS (FROM core.kpi_setting s WHERE s.name = 'specialties'
                             AND s.key = p.unit AND s.value = e.service) END AS counted
FROM kpi_part.stay_pieces(window_start, window_end, known_at) p
JOIN history.encounter(known_at) e ON e.encounter_id = p.encounter_id
WHERE kpi_part.patient_group(p.class) = 'inpatient'
