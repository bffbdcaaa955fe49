-- A phone that speaks to an engine that is no more is known by its Call-ID alone.
CREATE INDEX invites_call_id ON invites (call_id);
