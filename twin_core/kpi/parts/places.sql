-- The rows a KPI owes: every group with patients in the window or beds, so that an empty unit is
-- a row with zero patients and not a missing row. in_class is '*' unless by is class;
-- by what belongs to the patient, only groups to which something happened have rows.
CREATE OR REPLACE MACRO kpi_part.places(window_start, window_end, "by", known_at) AS TABLE
SELECT DISTINCT kpi_part.group_facility("by", facility) AS in_facility,
       kpi_part.group_unit("by", unit) AS in_unit, kpi_part.group_class("by", class) AS in_class
FROM (
    SELECT facility, unit, class
    FROM kpi_part.stay_pieces(window_start, window_end, known_at) WHERE "by" = 'class'
    UNION ALL
    SELECT s.facility, s.unit, NULL
    FROM history.stay(known_at) s,
         kpi_part.scope(window_start, window_end, 'all', "by", known_at) w
    WHERE "by" IN ('hospital', 'facility', 'building', 'unit') AND s.from_at < w.seen_to
      AND (s.to_at IS NULL OR (s.to_at >= w.from_at AND s.to_at > s.from_at))
    UNION ALL
    SELECT facility, unit, NULL FROM history.location(known_at)
    WHERE kind = 'bd' AND "by" IN ('hospital', 'facility', 'building', 'unit')
);
