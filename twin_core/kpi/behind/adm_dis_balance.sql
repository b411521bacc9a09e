-- Who came and who went, and who was there just before the period and just before its end.
WITH presence AS (
    SELECT p.*, kpi_part.group_facility("by", p.facility) AS in_facility,
           kpi_part.group_unit("by", p.unit) AS in_unit, p.class AS in_class,
           kpi_part.listed('died', e.disposition)
               OR coalesce(d.deceased_at BETWEEN p.from_at AND p.to_at, false) AS died
    FROM kpi_part.presences(window_start, window_end, "by", known_at) p
    LEFT JOIN history.encounter(known_at) e ON e.encounter_id = p.last_encounter
    LEFT JOIN history.patient(known_at) d ON d.patient_id = p.patient
),
period AS (
    FROM kpi_part.periods(window_start, window_end, grain, "by", known_at)
    WHERE seen_to IS NOT NULL
),
moved AS (
    SELECT in_facility, in_unit, in_class, first_encounter AS encounter_id, from_at AS moved_at,
           CASE came WHEN 'admission' THEN 'admissions' ELSE 'transfers_in' END AS kind, 1 AS way
    FROM presence
    UNION ALL
    SELECT in_facility, in_unit, in_class, last_encounter, to_at,
           CASE WHEN went = 'transfer_out' THEN 'transfers_out'
                WHEN died THEN 'deaths' ELSE 'discharges' END, -1
    FROM presence WHERE went IS NOT NULL
),
flow AS (
    SELECT m.in_facility, m.in_unit, m.in_class, p.period_start, p.period_end, m.encounter_id,
           m.moved_at AS "at", unnest([
               {'statistic': 'net', 'patients': m.way}, {'statistic': m.kind, 'patients': 1},
               {'statistic': 'unreconciled', 'patients': -m.way}]) AS row
    FROM moved m JOIN period p
      ON p.facility = m.in_facility AND m.moved_at >= p.period_start AND m.moved_at < p.seen_to
),
patient AS (
    SELECT patient, encounter_id, facility, unit, from_at, to_at,
           kpi_part.group_facility("by", facility) AS in_facility,
           kpi_part.group_unit("by", unit) AS in_unit, kpi_part.group_class("by", class) AS in_class
    FROM kpi_part.stay_pieces(window_start, window_end, known_at)
),
stroke AS (
    SELECT facility, period_start, period_end, period_start AS struck_at,
           'census_before' AS statistic, -1 AS way FROM period
    UNION ALL
    SELECT facility, period_start, period_end, seen_to, 'census_after', 1 FROM period
),
census AS (
    SELECT p.in_facility, p.in_unit, p.in_class, s.period_start, s.period_end, s.struck_at,
           s.statistic, s.way, min(p.encounter_id) AS encounter_id
    FROM patient p JOIN stroke s
      ON s.facility = p.in_facility AND s.struck_at > p.from_at AND s.struck_at <= p.to_at
    GROUP BY p.in_facility, p.in_unit, p.in_class, s.period_start, s.period_end, s.struck_at,
             s.statistic, s.way, p.patient, p.facility, p.unit
),
counted AS (
    SELECT in_facility, in_unit, in_class, period_start, period_end, encounter_id, struck_at AS "at",
           unnest([{'statistic': statistic, 'patients': 1},
                   {'statistic': 'unreconciled', 'patients': way}]) AS row
    FROM census
)
SELECT in_facility, in_unit, in_class, '' AS kind, row.statistic AS statistic, period_start,
       period_end, 'encounter' AS subject_type, encounter_id AS subject_id, "at" AS from_at,
       NULL AS to_at, row.patients AS numerator, NULL AS denominator
FROM (FROM flow UNION ALL FROM counted)
