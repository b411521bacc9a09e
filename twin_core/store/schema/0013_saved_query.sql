-- Questions of analysts that somebody keeps by a name, for themselves or for everybody.
CREATE TABLE core.saved_query (
    owner VARCHAR, name VARCHAR, shared BOOLEAN, release VARCHAR, sql VARCHAR, about VARCHAR,
    saved_at TIMESTAMPTZ
);
