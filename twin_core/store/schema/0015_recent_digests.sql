-- Nothing changes here: what names no number that its sender counts is kept among the recent digests
-- of the inbox for a while. Who knows the others only is to refuse the store.
SELECT 1;
