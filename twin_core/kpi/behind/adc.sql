-- Who was there at each midnight: one row per patient, unit and midnight.
WITH newborn AS (
    SELECT e.encounter_id FROM history.encounter(known_at) e
    LEFT JOIN history.patient(known_at) p ON p.patient_id = e.patient_id
    LEFT JOIN kpi_part.zones(known_at) z ON z.facility = coalesce(e.facility, '')
    WHERE e.admit_source = 'born' OR (p.birth_date_precision = 'day'
          AND p.birth_date >= timezone(z.zone, e.admitted_at)::DATE)
),
patient AS (
    SELECT p.patient, kpi_part.group_facility("by", p.facility) AS in_facility,
           kpi_part.group_unit("by", p.unit) AS in_unit,
           kpi_part.group_visit("by", p.class, t.described_as) AS in_class, p.facility, p.unit,
           CASE WHEN n.encounter_id IS NOT NULL THEN 'newborn'
                WHEN "by" = 'class' THEN 'inpatient'
                ELSE kpi_part.patient_group(p.class) END AS kind,
           p.encounter_id, p.from_at, p.to_at
    FROM kpi_part.stay_pieces(window_start, window_end, known_at) p
    LEFT JOIN newborn n ON n.encounter_id = p.encounter_id
    LEFT JOIN kpi_part.patients_by("by", known_at) t ON t.described_id = p.encounter_id
)
SELECT p.in_facility, p.in_unit, p.in_class,
       CASE p.kind WHEN 'inpatient' THEN '' ELSE p.kind END AS kind, NULL AS statistic,
       m.period_start, m.period_end, 'encounter' AS subject_type,
       min(p.encounter_id) AS subject_id, m.midnight AS from_at, NULL AS to_at, 1 AS numerator,
       NULL AS denominator
FROM patient p
JOIN kpi_part.midnights(window_start, window_end, grain, "by", known_at) m
  ON m.facility = p.in_facility AND m.midnight >= p.from_at AND m.midnight < p.to_at AND m.seen
GROUP BY p.in_facility, p.in_unit, p.in_class, p.kind, m.period_start, m.period_end, m.midnight,
         p.patient, p.facility, p.unit
