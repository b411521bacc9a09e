-- What the steps of kpi_part.bed_steps are made of, bed by bed and cut to each period: held, a bed
-- with its patient (of a conflict the other patient), and bed time whose staffing is known.
-- unit_known: staffing of some bed of the unit is known just then.
CREATE OR REPLACE MACRO kpi_part.beds_behind(
    window_start, window_end, grain, "by", known_at, with_ed
) AS TABLE
WITH left_out AS (
    SELECT facility, unit FROM kpi_part.ed_units(known_at) WHERE NOT with_ed AND "by" <> 'unit'
),
period AS (
    FROM kpi_part.periods(window_start, window_end, grain, "by", known_at)
    WHERE seen_to IS NOT NULL
),
segment AS (
    SELECT s.*, kpi_part.group_facility("by", s.facility) AS in_facility,
           kpi_part.group_unit("by", s.unit) AS in_unit,
           kpi_part.group_class("by", s.class) AS in_class
    FROM kpi_part.bed_segments(window_start, window_end, known_at) s
    ANTI JOIN left_out USING (facility, unit)
),
named AS (
    SELECT s.*, min(p.encounter_id) AS first_encounter, max(p.encounter_id) AS last_encounter
    FROM segment s
    JOIN kpi_part.stay_pieces(window_start, window_end, known_at) p
      ON p.bed_key = s.bed_key AND p.from_at < s.to_at AND p.to_at > s.from_at
     AND p.on_leave = (s.on_leave = 1)
    GROUP BY ALL
),
holding AS (
    SELECT in_facility, in_unit, in_class, 'occupied' AS kind, first_encounter AS encounter_id,
           from_at, to_at, unit_known
    FROM named WHERE occupied = 1
    UNION ALL
    SELECT in_facility, in_unit, in_class, 'on_leave', first_encounter, from_at, to_at, unit_known
    FROM named WHERE on_leave = 1
    UNION ALL
    SELECT in_facility, in_unit, '*', 'conflict', last_encounter, from_at, to_at, unit_known
    FROM named WHERE conflict = 1 AND "by" <> 'class'
),
grouping AS (
    SELECT DISTINCT in_facility, in_unit, in_class, kind FROM holding
    UNION
    SELECT in_facility, in_unit, '*', 'occupied'
    FROM kpi_part.places(window_start, window_end, "by", known_at) WHERE "by" <> 'class'
),
capacity AS (
    SELECT kpi_part.group_facility("by", s.facility) AS in_facility,
           kpi_part.group_unit("by", s.unit) AS in_unit, s.bed_key, s.from_at, s.to_at, s.available
    FROM kpi_part.bed_statuses(window_start, window_end, known_at) s
    ANTI JOIN left_out USING (facility, unit)
    WHERE s.known
),
behind AS (
    SELECT in_facility, in_unit, in_class, kind, true AS held, 'encounter' AS subject_type,
           encounter_id AS subject_id, from_at, to_at, unit_known > 0 AS unit_known,
           NULL AS available
    FROM holding
    UNION ALL
    SELECT g.in_facility, g.in_unit, g.in_class, g.kind, false, 'location', c.bed_key, c.from_at,
           c.to_at, true, c.available
    FROM capacity c JOIN grouping g ON g.in_facility = c.in_facility AND g.in_unit = c.in_unit
)
SELECT b.in_facility, b.in_unit, b.in_class, CASE b.kind WHEN 'occupied' THEN '' ELSE b.kind END AS kind,
       b.held, b.subject_type, b.subject_id, p.period_start, p.period_end,
       greatest(b.from_at, p.period_start) AS from_at, least(b.to_at, p.seen_to) AS to_at,
       b.unit_known, b.available
FROM behind b
JOIN period p ON p.facility = b.in_facility AND b.from_at < p.seen_to AND b.to_at > p.period_start;
