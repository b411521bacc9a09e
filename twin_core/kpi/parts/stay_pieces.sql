-- Stays that touch the window, split where the class changes or leave begins or ends. Open stays
-- last until the latest known instant; stays without duration are no stays. bed_key is NULL for a
-- patient who holds no bed. patient is the surviving record, so that merged ones count once.
CREATE OR REPLACE MACRO kpi_part.stay_pieces(window_start, window_end, known_at) AS TABLE
WITH scope AS (FROM kpi_part.scope(window_start, window_end, 'all', 'unit', known_at)),
known_stay AS (
    SELECT s.stay_id, s.encounter_id, coalesce(s.patient_id, s.encounter_id) AS patient,
           coalesce(s.facility, '') AS facility, coalesce(s.unit, '') AS unit,
           CASE WHEN s.bed IS NOT NULL
                THEN coalesce(s.location_id, concat_ws('/', s.facility, s.unit, s.room, s.bed))
           END AS bed_key,
           s.from_at, coalesce(s.to_at, 'infinity'::TIMESTAMPTZ) AS to_at
    FROM history.stay(known_at) s, scope
    WHERE s.from_at < scope.seen_to AND (s.to_at IS NULL OR s.to_at >= scope.from_at)
      AND (s.to_at IS NULL OR s.to_at > s.from_at)
)
SELECT s.stay_id, s.encounter_id, s.patient, s.facility, s.unit, s.bed_key, s.from_at AS stay_from,
       greatest(s.from_at, coalesce(c.from_at, s.from_at)) AS from_at,
       least(s.to_at, coalesce(c.to_at, s.to_at)) AS to_at,
       c.class, coalesce(c.status = 'onleave', false) AS on_leave
FROM known_stay s
LEFT JOIN kpi_part.course(window_start, window_end, known_at) c
  ON c.encounter_id = s.encounter_id AND c.from_at < s.to_at AND c.to_at > s.from_at;
