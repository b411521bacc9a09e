-- title = "Staffed beds available"
-- question = "How many staffed beds are free, clean and not promised to anyone?"
-- unit = "beds"
-- shape = "shares"
-- subject = "location"
-- supplied_by = "FHIR Locations of beds (and HL7 v2 ADT^A20), which say which beds are open and staffed"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit"]
-- direction = "higher"
-- numerator = "open, staffed beds with nobody in them that are neither dirty, contaminated, isolated, closed nor reserved, at the last known instant of the period"
-- denominator = "open, staffed beds (share)"
-- exclusions = ["rooms and units: only beds are counted"]
-- strata = { reserved = "free beds that a plan names for a patient; not in the headline", not_clean = "free beds in housekeeping, contaminated or isolated; not in the headline" }
-- statistics = { count = "beds", share = "share of the open, staffed beds, in %" }
-- source = "HL7 v2 table 0116, bed status (2019)"
-- caveats = ["A bed nobody has said to be staffed is unknown and lowers coverage. A bed is taken while a stay names it, whatever its bed status says; without any bed status it is clean when it is empty. Table 0116 has no word for reserved: plans say so (A14, A15)."]
-- inputs = ["history.encounter_class", "history.encounter_plan", "history.encounter_status", "history.location", "history.location_status", "history.stay"]
WITH instant AS (
    SELECT facility, period_start, seen_to
    FROM kpi_part.periods(window_start, window_end, grain, "by", known_at)
    WHERE seen_to IS NOT NULL AND (facility = '*') = ("by" = 'hospital')
),
bed AS (
    SELECT l.location_id, coalesce(l.facility, '') AS facility, coalesce(l.unit, '') AS unit,
           i.period_start, i.seen_to
    FROM history.location(known_at) l
    JOIN instant i ON i.facility = coalesce(l.facility, '') OR i.facility = '*'
    WHERE l.kind = 'bd'
),
judged AS (
    SELECT b.*, s.staffed, coalesce(s.operational_status, '') AS status,
           EXISTS (FROM history.stay(known_at) t
                   WHERE t.location_id = b.location_id AND t.from_at < b.seen_to
                     AND (t.to_at IS NULL OR t.to_at >= b.seen_to)) AS taken,
           EXISTS (FROM history.encounter_plan(known_at) p
                   WHERE p.location_id = b.location_id AND p.kind IN ('admission', 'transfer')
                     AND p.stated_at < b.seen_to
                     AND (p.ended_at IS NULL OR p.ended_at >= b.seen_to)) AS reserved
    FROM bed b
    LEFT JOIN history.location_status(known_at) s
      ON s.location_id = b.location_id AND (s.from_at IS NULL OR s.from_at < b.seen_to)
     AND (s.to_at IS NULL OR s.to_at >= b.seen_to)
),
sorted AS (
    SELECT *, staffed AND status <> 'C' AND NOT taken AS free FROM judged
    WHERE staffed IS NULL OR (staffed AND status <> 'C')
)
SELECT location_id, facility, unit, NULL AS class, period_start AS happened_at, NULL AS stratum,
       CASE WHEN staffed THEN free AND status NOT IN ('H', 'K', 'I') AND NOT reserved END AS counted
FROM sorted
UNION ALL
SELECT location_id, facility, unit, NULL, period_start, 'reserved',
       CASE WHEN staffed THEN free AND reserved END
FROM sorted
UNION ALL
SELECT location_id, facility, unit, NULL, period_start, 'not_clean',
       CASE WHEN staffed THEN free AND NOT reserved AND status IN ('H', 'K', 'I') END
FROM sorted
