-- Visits to emergency departments that ended in an admission, once the patient has left the ED.
-- Spells of more than 120 days are out, as in CMS55 and CMS111.
CREATE OR REPLACE MACRO kpi_part.ed_admissions(window_start, window_end, known_at) AS TABLE
SELECT v.* FROM kpi_part.ed_visits(window_start, window_end, known_at) v
WHERE v.outcome = 'admitted' AND v.departed_at IS NOT NULL
  AND NOT EXISTS (
      FROM history.encounter(known_at) e
      WHERE e.encounter_id = v.encounter_id
        AND e.discharged_at > kpi_part.later(v.inpatient_at, 172800));
