-- Every visit to an emergency department that touches the window: one row per visit, whichever
-- shape the admission after it has (one encounter that changes class, or two linked by part_of, by
-- the patient and an inpatient start within an hour of the departure: CMS55).
-- arrived_at: start of the EMER class. departed_at: when the patient physically left the ED, so
-- while boarding it is NULL. decided_at: first decision to admit, else first bed request.
-- redecided_at, rerequested_at: the last decision and the last bed request while in the ED.
-- outcome: open, admitted, observation, died, transferred, left_unseen, against_advice, discharged.
CREATE OR REPLACE MACRO kpi_part.ed_visits(window_start, window_end, known_at) AS TABLE
WITH scope AS (FROM kpi_part.scope(window_start, window_end, 'all', 'unit', known_at)),
ed AS (FROM kpi_part.ed_units(known_at)),
only_ed AS (SELECT facility, min(unit) AS unit FROM ed GROUP BY facility HAVING count(*) = 1),
class_began AS (
    SELECT encounter_id, min(from_at) FILTER (WHERE class = 'EMER') AS emergency_at,
           min(from_at) FILTER (WHERE class IN ('IMP', 'ACUTE', 'NONAC')) AS inpatient_at,
           bool_or(class = 'OBSENC') AS observed
    FROM history.encounter_class(known_at) GROUP BY encounter_id
),
visit AS (
    SELECT e.encounter_id, coalesce(e.patient_id, e.encounter_id) AS patient,
           coalesce(e.facility, '') AS facility, e.class, e.service, e.disposition, e.admit_source,
           e.part_of, e.discharged_at, coalesce(c.emergency_at, e.admitted_at) AS arrived_at,
           CASE WHEN c.inpatient_at >= c.emergency_at THEN c.inpatient_at END AS inpatient_at,
           coalesce(c.observed, false) OR e.class = 'OBSENC' AS observed
    FROM history.encounter(known_at) e
    LEFT JOIN class_began c ON c.encounter_id = e.encounter_id
    JOIN scope ON coalesce(c.emergency_at, e.admitted_at) < scope.seen_to
    WHERE (c.emergency_at IS NOT NULL OR e.class = 'EMER')
      AND coalesce(e.status, '') NOT IN ('planned', 'cancelled', 'entered-in-error')
      AND (e.discharged_at IS NULL OR e.discharged_at >= scope.from_at)
),
placed AS (
    SELECT v.encounter_id,
           arg_min(s.facility, s.from_at) FILTER (WHERE d.unit IS NOT NULL) AS facility,
           arg_min(s.unit, s.from_at) FILTER (WHERE d.unit IS NOT NULL) AS unit,
           min(s.from_at) FILTER (WHERE d.unit IS NOT NULL AND s.bed IS NOT NULL) AS roomed_at,
           min(s.from_at) FILTER (WHERE d.unit IS NULL AND s.unit IS NOT NULL) AS onward_at
    FROM visit v
    JOIN history.stay(known_at) s ON s.encounter_id = v.encounter_id AND s.from_at >= v.arrived_at
    LEFT JOIN ed d ON d.facility = coalesce(s.facility, '') AND d.unit = s.unit
    WHERE s.to_at IS NULL OR s.to_at > s.from_at
    GROUP BY v.encounter_id
),
left_ed AS (
    SELECT v.*, coalesce(p.facility, v.facility) AS ed_facility, p.unit AS ed_unit, p.roomed_at,
           CASE WHEN p.onward_at IS NOT NULL THEN p.onward_at
                WHEN p.unit IS NULL AND v.inpatient_at IS NOT NULL THEN v.inpatient_at
                ELSE v.discharged_at END AS departed_at
    FROM visit v LEFT JOIN placed p ON p.encounter_id = v.encounter_id
),
follow_on AS (
    SELECT l.encounter_id, min(coalesce(c.inpatient_at, w.admitted_at)) AS inpatient_at
    FROM left_ed l
    JOIN history.encounter(known_at) w
      ON w.encounter_id <> l.encounter_id
     AND (w.part_of = l.encounter_id OR l.part_of = w.encounter_id
          OR coalesce(w.patient_id, w.encounter_id) = l.patient)
    LEFT JOIN class_began c ON c.encounter_id = w.encounter_id
    WHERE l.inpatient_at IS NULL AND w.class IN ('IMP', 'ACUTE', 'NONAC')
      AND coalesce(w.status, '') NOT IN ('planned', 'cancelled', 'entered-in-error')
      AND coalesce(c.inpatient_at, w.admitted_at) >= l.arrived_at
      AND (w.part_of = l.encounter_id OR l.part_of = w.encounter_id
           OR coalesce(c.inpatient_at, w.admitted_at) <= kpi_part.later(l.departed_at, 60))
    GROUP BY l.encounter_id
),
mark AS (
    SELECT v.encounter_id,
           coalesce(min(m."at") FILTER (WHERE m.kind = 'decision_to_admit'),
                    min(m."at") FILTER (WHERE m.kind = 'bed_requested')) AS decided_at,
           min(m."at") FILTER (WHERE m.kind = 'triaged') AS triaged_at,
           min(m."at") FILTER (WHERE m.kind = 'seen_by_provider') AS seen_at,
           min(m."at") FILTER (WHERE m.kind = 'ambulance_arrived') AS ambulance_at,
           min(m."at") FILTER (WHERE m.kind = 'ambulance_handover') AS handover_at,
           max(m."at") FILTER (WHERE m.kind = 'decision_to_admit'
               AND m."at" BETWEEN v.arrived_at AND v.departed_at) AS redecided_at,
           max(m."at") FILTER (WHERE m.kind = 'bed_requested'
               AND m."at" BETWEEN v.arrived_at AND v.departed_at) AS rerequested_at
    FROM left_ed v JOIN history.encounter_milestone(known_at) m ON m.encounter_id = v.encounter_id
    GROUP BY v.encounter_id
)
SELECT l.encounter_id, l.patient, l.ed_facility AS facility, coalesce(l.ed_unit, o.unit) AS unit,
       l.arrived_at, l.departed_at, coalesce(l.inpatient_at, f.inpatient_at) AS inpatient_at,
       m.decided_at, m.triaged_at, m.seen_at, m.ambulance_at, m.handover_at, l.roomed_at,
       m.redecided_at, m.rerequested_at, l.admit_source, l.disposition, l.observed,
       kpi_part.listed('psychiatric_services', l.service) AS psychiatric,
       CASE WHEN coalesce(l.inpatient_at, f.inpatient_at) IS NOT NULL THEN 'admitted'
            WHEN l.departed_at IS NULL THEN 'open'
            WHEN l.observed THEN 'observation'
            WHEN kpi_part.listed('died', l.disposition) THEN 'died'
            WHEN kpi_part.listed('transferred_out', l.disposition) THEN 'transferred'
            WHEN kpi_part.listed('left_unseen', l.disposition) THEN 'left_unseen'
            WHEN kpi_part.listed('left_against_advice', l.disposition) THEN 'against_advice'
            ELSE 'discharged' END AS outcome
FROM left_ed l
LEFT JOIN only_ed o ON o.facility = l.ed_facility
LEFT JOIN follow_on f ON f.encounter_id = l.encounter_id
LEFT JOIN mark m ON m.encounter_id = l.encounter_id;
