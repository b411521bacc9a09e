-- Every message ever received, duplicates aside: what it was and what became of it.
CREATE OR REPLACE VIEW twin.message AS
SELECT message_id, feed, format, sender, control_id, trigger_event, received_at, sent_at,
       status, code, reason, origin, replayed_at
FROM core.message;
COMMENT ON VIEW twin.message IS 'Every message received, duplicates aside, and what became of it';
COMMENT ON COLUMN twin.message.message_id IS 'Position in the inbox; never reused';
COMMENT ON COLUMN twin.message.feed IS 'Feed or FHIR source it came from';
COMMENT ON COLUMN twin.message.format IS 'hl7v2, fhir or census';
COMMENT ON COLUMN twin.message.sender IS 'Sending application and facility, or the FHIR source';
COMMENT ON COLUMN twin.message.control_id IS 'MSH-10; unique only within a sender';
COMMENT ON COLUMN twin.message.trigger_event IS 'Message type and trigger event, such as ADT^A01';
COMMENT ON COLUMN twin.message.received_at IS 'When the inbox received it';
COMMENT ON COLUMN twin.message.sent_at IS 'MSH-7, or meta.lastUpdated';
COMMENT ON COLUMN twin.message.status IS 'applied, journalled (understood, nothing to apply), quarantined or erased';
COMMENT ON COLUMN twin.message.code IS 'Acknowledgement code: AA, AE or AR';
COMMENT ON COLUMN twin.message.reason IS 'Why it is quarantined or not applied; never a patient detail';
COMMENT ON COLUMN twin.message.origin IS 'Connection or file it arrived by';
COMMENT ON COLUMN twin.message.replayed_at IS 'When a quarantined message was replayed and accepted';
