-- title = "Net flow"
-- question = "Did more patients come than go, and does the census agree?"
-- unit = "patients/h"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit", "class"]
-- direction = "near 0"
-- numerator = "admissions + transfers in - discharges - deaths - transfers out"
-- denominator = "hours of the known part of the period"
-- exclusions = ["bed moves within a unit", "cancelled encounters", "stays without duration"]
-- strata = {}
-- statistics = { net = "net flow per hour; the numerator is the net number of patients", admissions = "patients who came from outside", transfers_in = "patients who came from another unit", discharges = "patients who left alive", deaths = "patients who died here", transfers_out = "patients who went to another unit", census_before = "patients just before the period", census_after = "patients just before its end", unreconciled = "census_after - census_before - net patients; anything but 0 is a fault in the records" }
-- source = "Flow balance of arrivals and departures, local definition (2026)"
-- caveats = [
--     "All statistics but net are numbers of patients.",
--     "An event on the stroke of the hour belongs to the hour it begins; both censuses are taken just before the stroke.",
--     "Above the unit, transfers within the hospital count on both sides. By class, a change of class is a transfer.",
--     "A patient counts once per unit, with or without a bed, on leave or not.",
-- ]
-- inputs = ["history.stay", "history.encounter", "history.encounter_class", "history.encounter_status", "history.patient", "history.location", "core.kpi_setting"]
WITH presence AS (
    SELECT p.*, kpi_part.group_facility("by", p.facility) AS in_facility,
           kpi_part.group_unit("by", p.unit) AS in_unit, p.class AS in_class,
           kpi_part.listed('died', e.disposition)
               OR coalesce(d.deceased_at BETWEEN p.from_at AND p.to_at, false) AS died
    FROM kpi_part.presences(window_start, window_end, "by", known_at) p
    LEFT JOIN history.encounter(known_at) e ON e.encounter_id = p.last_encounter
    LEFT JOIN history.patient(known_at) d ON d.patient_id = p.patient
),
period AS (FROM kpi_part.periods(window_start, window_end, grain, "by", known_at)),
moved AS (
    SELECT in_facility, in_unit, in_class, from_at AS moved_at,
           CASE came WHEN 'admission' THEN 'admissions' ELSE 'transfers_in' END AS kind
    FROM presence
    UNION ALL
    SELECT in_facility, in_unit, in_class, to_at,
           CASE WHEN went = 'transfer_out' THEN 'transfers_out'
                WHEN died THEN 'deaths' ELSE 'discharges' END
    FROM presence WHERE went IS NOT NULL
),
flow AS (
    SELECT m.in_facility, m.in_unit, m.in_class, p.period_start,
           count(*) FILTER (WHERE m.kind = 'admissions') AS admissions,
           count(*) FILTER (WHERE m.kind = 'transfers_in') AS transfers_in,
           count(*) FILTER (WHERE m.kind = 'discharges') AS discharges,
           count(*) FILTER (WHERE m.kind = 'deaths') AS deaths,
           count(*) FILTER (WHERE m.kind = 'transfers_out') AS transfers_out
    FROM moved m JOIN period p
      ON p.facility = m.in_facility AND m.moved_at >= p.period_start AND m.moved_at < p.seen_to
    GROUP BY ALL
),
patient AS (
    SELECT patient, facility, unit, kpi_part.group_facility("by", facility) AS in_facility,
           kpi_part.group_unit("by", unit) AS in_unit, kpi_part.group_class("by", class) AS in_class,
           from_at, to_at
    FROM kpi_part.stay_pieces(window_start, window_end, known_at)
),
stroke AS (
    SELECT facility, period_start AS struck_at FROM period
    UNION SELECT facility, seen_to FROM period WHERE seen_to IS NOT NULL
),
census AS (
    SELECT p.in_facility, p.in_unit, p.in_class, s.struck_at,
           count(DISTINCT (p.patient, p.facility, p.unit)) AS patients
    FROM patient p JOIN stroke s
      ON s.facility = p.in_facility AND s.struck_at > p.from_at AND s.struck_at <= p.to_at
    GROUP BY ALL
),
balance AS (
    SELECT o.in_facility, o.in_unit, o.in_class, p.period_start, p.period_end, p.seen_to,
           coalesce(f.admissions, 0) AS admissions, coalesce(f.transfers_in, 0) AS transfers_in,
           coalesce(f.discharges, 0) AS discharges, coalesce(f.deaths, 0) AS deaths,
           coalesce(f.transfers_out, 0) AS transfers_out,
           coalesce(f.admissions + f.transfers_in - f.discharges - f.deaths - f.transfers_out, 0)
               AS net,
           coalesce(b.patients, 0) AS census_before, coalesce(a.patients, 0) AS census_after
    FROM kpi_part.places(window_start, window_end, "by", known_at) o
    JOIN period p ON p.facility = o.in_facility
    LEFT JOIN flow f ON f.in_facility = o.in_facility AND f.in_unit = o.in_unit
                    AND f.in_class = o.in_class AND f.period_start = p.period_start
    LEFT JOIN census b ON b.in_facility = o.in_facility AND b.in_unit = o.in_unit
                      AND b.in_class = o.in_class AND b.struck_at = p.period_start
    LEFT JOIN census a ON a.in_facility = o.in_facility AND a.in_unit = o.in_unit
                      AND a.in_class = o.in_class AND a.struck_at = p.seen_to
),
published AS (
    SELECT *, unnest([
        {'statistic': 'net', 'above': net}, {'statistic': 'admissions', 'above': admissions},
        {'statistic': 'transfers_in', 'above': transfers_in},
        {'statistic': 'discharges', 'above': discharges}, {'statistic': 'deaths', 'above': deaths},
        {'statistic': 'transfers_out', 'above': transfers_out},
        {'statistic': 'census_before', 'above': census_before},
        {'statistic': 'census_after', 'above': census_after},
        {'statistic': 'unreconciled', 'above': census_after - census_before - net}]) AS row
    FROM balance
)
SELECT kpi_part.shown(in_facility) AS facility, kpi_part.shown(in_unit) AS unit,
       period_start, period_end, kpi_part.shown(in_class) AS stratum, row.statistic AS statistic,
       CASE WHEN seen_to IS NOT NULL THEN row.above END AS numerator,
       CASE WHEN seen_to IS NOT NULL AND row.statistic = 'net'
            THEN kpi_part.hours(period_start, seen_to) END AS denominator,
       CASE WHEN seen_to IS NULL THEN NULL WHEN row.statistic <> 'net' THEN row.above
            ELSE kpi_part.ratio(row.above, kpi_part.hours(period_start, seen_to)) END AS value,
       CASE WHEN seen_to IS NULL THEN 0
            ELSE kpi_part.hours(period_start, seen_to) / kpi_part.hours(period_start, period_end)
       END AS coverage
FROM published
