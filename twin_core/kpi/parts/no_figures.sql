-- What a KPI answers whose inputs no feed of the twin supplies yet: no rows, and never a zero.
CREATE OR REPLACE MACRO kpi_part.no_figures(window_start, window_end, grain, "by", known_at) AS TABLE
SELECT '' AS facility, '' AS unit, from_at AS period_start, to_at AS period_end, '' AS stratum,
       '' AS statistic, 0 AS numerator, 0 AS denominator, 0 AS value, 0 AS coverage
FROM kpi_part.scope(window_start, window_end, grain, "by", known_at) WHERE false;
