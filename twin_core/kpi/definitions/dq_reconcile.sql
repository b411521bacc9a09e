-- title = "Census reconciliation error"
-- question = "Does the twin see the same patients as the system it listens to?"
-- unit = "%"
-- supplied_by = "Censuses that the source counted itself, sent to POST /v1/census"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit"]
-- direction = "0"
-- numerator = "absolute difference between the twin's census and the source's, summed over units and snapshots"
-- denominator = "patients the source counted, summed likewise"
-- exclusions = ["snapshots later than the latest known instant"]
-- strata = { "<source>" = "one stratum per counting source" }
-- statistics = { ratio = "absolute error over the source's census", difference = "twin minus source, in patients; the denominator is the number of snapshots" }
-- source = "openmrs-esm-patient-management issue 1333 (read 2026), with a local definition"
-- caveats = [
--     "Errors of units never cancel out: they are added before dividing.",
--     "The twin's census counts every patient with a stay in the unit, with or without a bed, on leave or not.",
--     "Only periods with a snapshot have rows. A snapshot of an empty unit has no ratio; see difference.",
--     "By class there is nothing to compare: sources count by unit.",
-- ]
-- inputs = ["history.source_census", "history.stay", "history.encounter", "history.encounter_class", "history.encounter_status", "core.facility"]
WITH snapshot AS (
    SELECT DISTINCT c.source, coalesce(c.facility, '') AS facility, coalesce(c.unit, '') AS unit,
           c."at" AS counted_at, c.census
    FROM history.source_census(known_at) c
),
period AS (
    FROM kpi_part.periods(window_start, window_end, grain,
             CASE WHEN "by" = 'class'
                  THEN error('dq_reconcile is not defined by class: sources count by unit.')
                  ELSE "by" END, known_at)
),
compared AS (
    SELECT s.source, s.facility, s.unit, s.counted_at, s.census,
           count(DISTINCT p.patient) AS twin_census
    FROM snapshot s
    LEFT JOIN kpi_part.stay_pieces(window_start, window_end, known_at) p
      ON p.facility = s.facility AND p.unit = s.unit
     AND p.from_at <= s.counted_at AND p.to_at > s.counted_at
    GROUP BY ALL
),
summed AS (
    SELECT p.facility AS in_facility, kpi_part.group_unit("by", c.unit) AS in_unit, c.source,
           p.period_start, p.period_end, count(*) AS snapshots,
           sum(abs(c.twin_census - c.census)) AS error, sum(c.census) AS source_census,
           sum(c.twin_census - c.census) AS difference, count(c.census) AS counted
    FROM compared c
    JOIN period p ON p.facility = kpi_part.group_facility("by", c.facility)
                 AND c.counted_at >= p.period_start AND c.counted_at < p.period_end
                 AND c.counted_at <= p.seen_to
    GROUP BY ALL
)
SELECT kpi_part.shown(in_facility) AS facility, kpi_part.shown(in_unit) AS unit,
       period_start, period_end, source AS stratum, 'ratio' AS statistic, error AS numerator,
       source_census AS denominator, 100 * kpi_part.ratio(error, source_census) AS value,
       counted / snapshots AS coverage
FROM summed
UNION ALL
SELECT kpi_part.shown(in_facility), kpi_part.shown(in_unit), period_start, period_end, source,
       'difference', difference, snapshots, difference, counted / snapshots
FROM summed
