-- What a figure may be told apart by that belongs to the patient or the visit and not to a place:
-- the service the visit is under (the last one stated), the age at its start, in whole years by
-- the local date (a partial birth date counts as its first day), or how the patient arrived: by
-- ambulance where an ambulance was noted, else from where the admit source says.
CREATE OR REPLACE MACRO kpi_part.age_band(years) AS
    CASE WHEN years < 0 THEN NULL WHEN years < 18 THEN '0-17' WHEN years < 65 THEN '18-64'
         WHEN years < 75 THEN '65-74' WHEN years < 85 THEN '75-84' WHEN years >= 85 THEN '85+' END;
CREATE OR REPLACE MACRO kpi_part.patients_by("by", known_at) AS TABLE
SELECT e.encounter_id AS described_id, e.service AS described_as
FROM history.encounter(known_at) e WHERE "by" = 'service'
UNION ALL
SELECT e.encounter_id, kpi_part.age_band(date_part('year', age(
           timezone(z.zone, e.admitted_at)::DATE::TIMESTAMP, p.birth_date::TIMESTAMP)))
FROM history.encounter(known_at) e
JOIN kpi_part.zones(known_at) z ON z.facility = coalesce(e.facility, '')
LEFT JOIN history.patient(known_at) p ON p.patient_id = e.patient_id
WHERE "by" = 'age_band'
UNION ALL
SELECT e.encounter_id, CASE WHEN m.encounter_id IS NULL THEN e.admit_source ELSE 'ambulance' END
FROM history.encounter(known_at) e
LEFT JOIN (SELECT DISTINCT encounter_id FROM history.encounter_milestone(known_at)
           WHERE kind IN ('ambulance_arrived', 'ambulance_handover')) m
  ON m.encounter_id = e.encounter_id
WHERE "by" = 'arrival_mode';
-- The group of a visit beside its place, in KPIs that are no shape.
CREATE OR REPLACE MACRO kpi_part.group_visit("by", code, described_as) AS
    CASE WHEN kpi_part.by_patient("by") THEN coalesce(described_as, 'unknown')
         ELSE kpi_part.group_class("by", code) END;
