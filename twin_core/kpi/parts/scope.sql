-- The window asked for, how far the twin knows it (seen_to), and a refusal of unknown words.
-- The latest known instant is that of the store's last batch, or with known_at of the last one until
-- then: what no batch had brought yet was not known, and must not be counted as nothing. Without a
-- batch it is known_at, else the wall clock: in a demo the hospital's clock is another one.
CREATE OR REPLACE MACRO kpi_part.latest_known(instant) AS
    (SELECT max(known_at) FROM core.batch WHERE instant IS NULL OR known_at <= instant);
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
           coalesce(kpi_part.latest_known(known_at::TIMESTAMPTZ), known_at::TIMESTAMPTZ, now())
               AS as_of
)
SELECT from_at, to_at, as_of, least(to_at, as_of) AS seen_to FROM asked;
