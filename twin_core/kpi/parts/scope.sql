-- The window asked for, how far the twin knows it (seen_to), and a refusal of unknown words.
-- The latest known instant is known_at where given, else the store's last batch, and the wall clock
-- only in a store that never received anything: in a demo the hospital's clock is another one.
CREATE OR REPLACE MACRO kpi_part.latest_known() AS (SELECT max(known_at) FROM core.batch);
CREATE OR REPLACE MACRO kpi_part.scope(window_start, window_end, grain, "by", known_at) AS TABLE
WITH asked AS (
    SELECT CASE
               WHEN grain IS NULL OR grain NOT IN ('hour', 'shift', 'day', 'week', 'month', 'all')
               THEN error('Unknown grain ' || coalesce(grain, 'NULL')
                          || ': use hour, shift, day, week, month or all.')
               WHEN "by" IS NULL OR "by" NOT IN ('hospital', 'facility', 'building', 'unit', 'class')
                    AND NOT kpi_part.by_patient("by")
               THEN error('Unknown by ' || coalesce("by", 'NULL')
                          || ': use hospital, facility, building, unit, class, service, age_band or'
                          || ' arrival_mode.')
               WHEN window_start IS NULL OR window_end IS NULL
               THEN error('The window needs a start and an end.')
               WHEN window_start::TIMESTAMPTZ >= window_end::TIMESTAMPTZ
               THEN error('The window ends at or before its start.')
               ELSE window_start::TIMESTAMPTZ
           END AS from_at,
           window_end::TIMESTAMPTZ AS to_at,
           coalesce(known_at::TIMESTAMPTZ, kpi_part.latest_known(), now()) AS as_of
)
SELECT from_at, to_at, as_of, least(to_at, as_of) AS seen_to FROM asked;
