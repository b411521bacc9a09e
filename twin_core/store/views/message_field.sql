-- The fields that a feed is set to keep (`feeds.NAME.keep`), component by component.
CREATE OR REPLACE VIEW twin.message_field AS
SELECT message_id, segment, sequence, field, component, repetition, value FROM core.message_field;
COMMENT ON VIEW twin.message_field IS 'Fields of messages that their feed is set to keep';
COMMENT ON COLUMN twin.message_field.message_id IS 'The message; see twin.message';
COMMENT ON COLUMN twin.message_field.segment IS 'Name of the segment, such as ZPV';
COMMENT ON COLUMN twin.message_field.sequence IS 'Which of its segments of that name; 1 is the first';
COMMENT ON COLUMN twin.message_field.field IS 'Number of the field: 3 of ZPV-3';
COMMENT ON COLUMN twin.message_field.component IS 'Number of the component; 1 where there is only one';
COMMENT ON COLUMN twin.message_field.repetition IS 'Number of the repetition; 1 is the first';
COMMENT ON COLUMN twin.message_field.value IS 'What it says, escapes undone; NULL where it was cleared';
