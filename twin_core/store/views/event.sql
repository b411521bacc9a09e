-- The journal: what each message said had happened.
CREATE OR REPLACE VIEW twin.event AS
SELECT e.event_no AS event_id, e.message_id, e.ordinal, e.event AS kind, e.occurred_at,
       e.recorded_at, n.system AS subject_system, n.value AS subject_value,
       i.encounter_id, e.payload AS detail
FROM core.event e
LEFT JOIN core.node n ON n.node = e.node
LEFT JOIN (
    SELECT system, value, min(encounter_id) AS encounter_id
    FROM core.encounter_identifier_version WHERE known_to = 'infinity' GROUP BY ALL
) i ON n.kind = 'e' AND i.system = n.system AND i.value = n.value;
COMMENT ON VIEW twin.event IS 'The journal: what each message said had happened';
COMMENT ON COLUMN twin.event.event_id IS 'Journal number';
COMMENT ON COLUMN twin.event.message_id IS 'The message that said so; see twin.message';
COMMENT ON COLUMN twin.event.ordinal IS 'Place among the events of the message';
COMMENT ON COLUMN twin.event.kind IS 'What happened: Admitted, Transferred, Discharged, ...';
COMMENT ON COLUMN twin.event.occurred_at IS 'When it happened in the hospital';
COMMENT ON COLUMN twin.event.recorded_at IS 'When the twin received it';
COMMENT ON COLUMN twin.event.subject_system IS 'System of the identifier the event is about';
COMMENT ON COLUMN twin.event.subject_value IS 'The identifier the event is about';
COMMENT ON COLUMN twin.event.encounter_id IS 'The encounter it is about, if it is about one';
COMMENT ON COLUMN twin.event.detail IS 'The whole event as JSON';
