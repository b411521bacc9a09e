-- title = "Average daily census"
-- question = "How many inpatients were in the hospital at midnight, on an average day?"
-- unit = "patients"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit", "class", "service", "age_band", "arrival_mode"]
-- direction = "context"
-- numerator = "patients present at local 00:00, summed over the midnights of the period"
-- denominator = "local midnights of the period"
-- exclusions = ["newborns, observation, emergency and other patients (each a stratum)", "cancelled encounters"]
-- strata = { newborn = "admitted on the day of birth", observation = "class OBSENC", emergency = "class EMER", other = "any other class", unknown = "class not stated" }
-- statistics = { mean = "midnight census over midnights" }
-- source = "US hospital statistics convention (read 2026)"
-- caveats = [
--     "Patients without a bed and patients on leave count; a patient counts once per unit.",
--     "A newborn is known by admit source born, or by a birth date on or after the local day of admission.",
-- ]
-- inputs = ["history.stay", "history.encounter", "history.encounter_class", "history.encounter_status", "history.patient", "history.location", "core.facility"]
WITH midnight AS (FROM kpi_part.midnights(window_start, window_end, grain, "by", known_at)),
newborn AS (
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
                ELSE kpi_part.patient_group(p.class) END AS kind, p.from_at, p.to_at
    FROM kpi_part.stay_pieces(window_start, window_end, known_at) p
    LEFT JOIN newborn n ON n.encounter_id = p.encounter_id
    LEFT JOIN kpi_part.patients_by("by", known_at) t ON t.described_id = p.encounter_id
),
counted AS (
    SELECT p.in_facility, p.in_unit, p.in_class, p.kind, m.period_start,
           count(DISTINCT (p.patient, p.facility, p.unit, m.midnight)) AS census
    FROM patient p JOIN midnight m
      ON m.facility = p.in_facility AND m.midnight >= p.from_at AND m.midnight < p.to_at AND m.seen
    GROUP BY ALL
),
owed AS (
    SELECT in_facility, in_unit, in_class, 'inpatient' AS kind
    FROM kpi_part.places(window_start, window_end, "by", known_at)
    UNION SELECT in_facility, in_unit, in_class, kind FROM counted
),
day AS (
    SELECT facility, period_start, period_end, count(*) AS midnights,
           count(*) FILTER (WHERE seen) AS seen
    FROM midnight GROUP BY ALL
)
SELECT kpi_part.shown(o.in_facility) AS facility, kpi_part.shown(o.in_unit) AS unit,
       d.period_start, d.period_end,
       nullif(concat_ws('/', nullif(o.in_class, '*'), nullif(o.kind, 'inpatient')), '') AS stratum,
       'mean' AS statistic,
       CASE WHEN d.seen > 0 THEN coalesce(c.census, 0) END AS numerator,
       nullif(d.seen, 0) AS denominator, kpi_part.ratio(coalesce(c.census, 0), d.seen) AS value,
       d.seen / d.midnights AS coverage
FROM owed o
JOIN day d ON d.facility = o.in_facility
LEFT JOIN counted c ON c.in_facility = o.in_facility AND c.in_unit = o.in_unit
                   AND c.in_class = o.in_class AND c.kind = o.kind AND c.period_start = d.period_start
WHERE o.kind = 'inpatient' OR c.census > 0
