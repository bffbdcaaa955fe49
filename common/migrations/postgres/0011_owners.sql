-- Who owns what, each in one statement: an engine that is frozen in the middle, or whose host is lost, keeps no row locked. Rows that
-- somebody else has locked are passed over: a request stays with the engine that was, and `strays` finds it once it is free.

-- Begins a new incarnation of an engine and raises the epochs of its own unfinished requests.
CREATE OR REPLACE FUNCTION ringback_register_v1(p_engine text, OUT begun bigint, OUT jobs text[])
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO engines AS e (id, incarnation, beat, retired) VALUES (p_engine, 1, 0, FALSE)
    ON CONFLICT (id) DO UPDATE SET incarnation = e.incarnation + 1, retired = FALSE RETURNING e.incarnation INTO begun;
    WITH free AS MATERIALIZED (SELECT r.job_id FROM callback_requests r WHERE r.owner = p_engine AND NOT r.finished
                                  FOR UPDATE SKIP LOCKED),
         own AS (UPDATE callback_requests r SET epoch = r.epoch + 1, step = 0 FROM free WHERE r.job_id = free.job_id RETURNING r.job_id)
    SELECT coalesce(array_agg(own.job_id), '{}') INTO jobs FROM own;
END $$;

-- Takes over from an engine whose beat and incarnation are still as they were seen. `mine` is false when the adopter itself was
-- replaced; `jobs` is NULL when the other one beat again, was adopted, or is locked: then it is not known to be dead.
CREATE OR REPLACE FUNCTION ringback_adopt_v1(p_dead text, p_beat bigint, p_seen bigint, p_engine text, p_incarnation bigint,
                                             OUT mine boolean, OUT jobs text[])
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM engines WHERE id = p_engine AND incarnation = p_incarnation FOR SHARE;
    mine := FOUND;
    IF NOT mine THEN
        RETURN;
    END IF;
    PERFORM 1 FROM engines WHERE id = p_dead AND beat = p_beat AND incarnation = p_seen FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    UPDATE engines SET incarnation = incarnation + 1, retired = TRUE WHERE id = p_dead;
    WITH free AS MATERIALIZED (SELECT r.job_id FROM callback_requests r WHERE r.owner = p_dead AND NOT r.finished
                                  FOR UPDATE SKIP LOCKED),
         own AS (UPDATE callback_requests r SET owner = p_engine, epoch = r.epoch + 1, step = 0
                   FROM free WHERE r.job_id = free.job_id RETURNING r.job_id)
    SELECT coalesce(array_agg(own.job_id), '{}') INTO jobs FROM own;
END $$;
