-- The time zone of each facility ('' where a row names none), and of the hospital as a whole ('*'):
-- the zone its facilities share, UTC where they differ. A facility without a setting is in UTC.
CREATE OR REPLACE MACRO kpi_part.zones(known_at) AS TABLE
WITH named AS (
    SELECT facility FROM core.facility
    UNION SELECT facility FROM history.encounter(known_at)
    UNION SELECT facility FROM history.stay(known_at)
    UNION SELECT facility FROM history.location(known_at)
    UNION SELECT facility FROM history.source_census(known_at)
),
settled AS (
    SELECT coalesce(n.facility, '') AS facility, coalesce(min(c.time_zone), 'UTC') AS zone
    FROM named n LEFT JOIN core.facility c ON c.facility = n.facility GROUP BY ALL
)
SELECT facility, zone FROM settled
UNION ALL
SELECT '*', CASE WHEN count(DISTINCT zone) = 1 THEN min(zone) ELSE 'UTC' END
FROM settled WHERE facility <> '';
