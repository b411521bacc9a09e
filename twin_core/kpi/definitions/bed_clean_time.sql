-- title = "Bed turnaround, vacated to clean"
-- question = "How long did it take until a bed that was left could be used again?"
-- unit = "min"
-- shape = "amounts"
-- subject = "location"
-- owes = "no_places"
-- supplied_by = "HL7 v2 bed statuses (ADT^A20) or FHIR Location.operationalStatus"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit"]
-- direction = "lower"
-- numerator = "first instant at which the bed is stated to be unoccupied and clean (U) minus the departure"
-- denominator = "departures from beds whose bed became clean in the period"
-- exclusions = ["beds that were closed in between", "beds that were taken again before anyone said they were clean", "rooms and units: they are never cleaned"]
-- strata = { dirty = "from the departure until cleaning began (H)", cleaning = "from the begin of cleaning (H) until clean" }
-- statistics = { median = "half were faster", p90 = "nine in ten were faster", mean = "mean" }
-- source = "Bed management practice: environmental services workflow marks (2024)"
-- caveats = ["Without a feed of bed statuses (A20) there are no rows."]
-- inputs = ["history.location_status", "history.stay"]
WITH departure AS (
    SELECT s.facility, s.unit, s.location_id, s.to_at AS vacated_at, n.from_at AS taken_at
    FROM history.stay(known_at) s
    ASOF LEFT JOIN history.stay(known_at) n
      ON n.location_id = s.location_id AND n.from_at >= s.to_at
    WHERE s.bed IS NOT NULL AND s.to_at > s.from_at
),
turned AS (
    SELECT d.location_id, d.facility, d.unit, d.vacated_at, d.taken_at,
           min(b.from_at) FILTER (WHERE b.operational_status = 'U') AS clean_at,
           min(b.from_at) FILTER (WHERE b.operational_status = 'H') AS cleaning_at,
           min(b.from_at) FILTER (WHERE b.operational_status = 'C') AS closed_at
    FROM departure d
    JOIN history.location_status(known_at) b
      ON b.location_id = d.location_id AND b.from_at >= d.vacated_at
     AND b.from_at <= coalesce(d.taken_at, 'infinity')
    GROUP BY d.facility, d.unit, d.location_id, d.vacated_at, d.taken_at
),
ready AS (
    SELECT *, CASE WHEN cleaning_at <= clean_at THEN cleaning_at END AS began_at
    FROM turned
    WHERE clean_at IS NOT NULL AND (closed_at IS NULL OR closed_at > clean_at)
)
SELECT location_id, facility, unit, NULL AS class, clean_at AS happened_at, NULL AS stratum,
       60 * kpi_part.hours(vacated_at, clean_at) AS amount
FROM ready
UNION ALL
SELECT location_id, facility, unit, NULL, clean_at, 'dirty',
       60 * kpi_part.hours(vacated_at, began_at)
FROM ready WHERE began_at IS NOT NULL
UNION ALL
SELECT location_id, facility, unit, NULL, clean_at, 'cleaning',
       60 * kpi_part.hours(began_at, clean_at)
FROM ready WHERE began_at IS NOT NULL
