-- Alerts on KPIs, open ones and past ones.
CREATE OR REPLACE VIEW twin.alert AS
SELECT alert_id, name, CASE WHEN closed_at IS NOT NULL THEN 'closed'
                            WHEN acknowledged_at IS NOT NULL THEN 'acknowledged' ELSE 'open' END AS state,
       kpi, statistic, facility, unit, threshold, opened_at, opened_value, acknowledged_at,
       acknowledged_by, closed_at, closed_value
FROM core.alert;
COMMENT ON VIEW twin.alert IS 'Alerts on KPIs: a figure beyond its threshold, from opening to closing';
COMMENT ON COLUMN twin.alert.alert_id IS 'Stable id of the alert';
COMMENT ON COLUMN twin.alert.name IS 'The setting [alerts.NAME] that it follows from';
COMMENT ON COLUMN twin.alert.state IS 'open, acknowledged or closed';
COMMENT ON COLUMN twin.alert.kpi IS 'Id of the KPI';
COMMENT ON COLUMN twin.alert.statistic IS 'Statistic of the KPI';
COMMENT ON COLUMN twin.alert.facility IS 'Facility code; NULL for the whole hospital';
COMMENT ON COLUMN twin.alert.unit IS 'Nursing unit; NULL for a facility or the hospital';
COMMENT ON COLUMN twin.alert.threshold IS 'The value that the figure went beyond';
COMMENT ON COLUMN twin.alert.opened_at IS 'When it opened';
COMMENT ON COLUMN twin.alert.opened_value IS 'The figure then';
COMMENT ON COLUMN twin.alert.acknowledged_at IS 'When somebody took note of it';
COMMENT ON COLUMN twin.alert.acknowledged_by IS 'Who did';
COMMENT ON COLUMN twin.alert.closed_at IS 'When the figure was back; NULL while it is not';
COMMENT ON COLUMN twin.alert.closed_value IS 'The figure then';
