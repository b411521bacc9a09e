-- Lines of files that are durable here and not applied yet: raw as read, in order. Rows of a file go
-- once all of it is applied.
CREATE TABLE core.staged_file (
    file_no BIGINT, document VARCHAR, feed VARCHAR, path VARCHAR, received_at TIMESTAMPTZ,
    staged BIGINT, complete BOOLEAN
);
CREATE TABLE core.staged (file_no BIGINT, line BIGINT, at_byte BIGINT, raw BLOB);
