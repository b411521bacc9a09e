-- Key figures as they were published without identities: written once, and never changed.
CREATE TABLE core.published_figure (
    kpi VARCHAR, grouping VARCHAR, facility VARCHAR, unit VARCHAR, period_start TIMESTAMPTZ,
    period_end TIMESTAMPTZ, statistic VARCHAR, numerator DOUBLE, denominator DOUBLE, value DOUBLE,
    coverage DOUBLE, suppressed BOOLEAN
);
