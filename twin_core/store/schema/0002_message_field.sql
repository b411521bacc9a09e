-- Fields of messages that a feed is set to keep; they are as they were at intake and never change.
CREATE TABLE core.message_field (
    message_id BIGINT, segment VARCHAR, sequence INTEGER, field INTEGER, component INTEGER,
    repetition INTEGER, value VARCHAR
);
