-- The discharges of the period, each with its length of stay.
WITH discharge AS (
    SELECT kpi_part.group_facility("by", d.facility) AS in_facility,
           kpi_part.group_unit("by", d.unit) AS in_unit,
           kpi_part.group_visit("by", d.class, t.described_as) AS in_class, d.encounter_id, d.spell_start,
           d.discharged_at, coalesce(d.spell_start <= d.discharged_at, false) AS timed,
           kpi_part.hours(d.spell_start, d.discharged_at) / 24 AS days,
           d.leave_hours / 24 AS leave_days,
           date_diff('day', timezone(z.zone, d.spell_start)::DATE,
                     timezone(z.zone, d.discharged_at)::DATE) AS nights,
           d.patient_group
    FROM kpi_part.discharges(window_start, window_end, known_at) d
    JOIN kpi_part.zones(known_at) z ON z.facility = d.facility
    LEFT JOIN kpi_part.patients_by("by", known_at) t ON t.described_id = d.encounter_id
    WHERE d.patient_group IN ('inpatient', 'observation')
),
stated AS (
    SELECT *, unnest([
        {'statistic': 'mean', 'above': days}, {'statistic': 'median', 'above': days},
        {'statistic': 'p90', 'above': days}, {'statistic': 'mean_nights', 'above': nights::DOUBLE},
        {'statistic': 'mean_without_leave', 'above': days - leave_days}]) AS row
    FROM discharge
)
SELECT s.in_facility, s.in_unit, s.in_class,
       CASE WHEN s.patient_group = 'observation' THEN 'observation' WHEN s.nights = 0 THEN 'day_case'
            ELSE '' END AS kind,
       s.row.statistic AS statistic, p.period_start, p.period_end, 'encounter' AS subject_type,
       s.encounter_id AS subject_id, s.spell_start AS from_at, s.discharged_at AS to_at,
       CASE WHEN s.timed THEN s.row.above END AS numerator,
       CASE WHEN s.timed THEN 1 END AS denominator
FROM stated s
JOIN kpi_part.periods(window_start, window_end, grain, "by", known_at) p
  ON p.facility = s.in_facility AND s.discharged_at >= p.period_start AND s.discharged_at < p.seen_to
