-- Nothing changes here: inboxes that begin now keep their digests in the order of control ids. Who
-- knows only the digests of before would find no duplicate among them, and is to refuse the store.
SELECT 1;
