-- Alerts on KPIs: one row per alert, from when it opened. Times are changed in place, never the rest.
CREATE TABLE core.alert (
    alert_id VARCHAR, name VARCHAR, kpi VARCHAR, statistic VARCHAR, facility VARCHAR, unit VARCHAR,
    threshold DOUBLE, opened_at TIMESTAMPTZ, opened_value DOUBLE, acknowledged_at TIMESTAMPTZ,
    acknowledged_by VARCHAR, closed_at TIMESTAMPTZ, closed_value DOUBLE, told_at TIMESTAMPTZ
);
