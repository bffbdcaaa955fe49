-- Takes jobs from the queue. One number per job: 0 waiting, 1 known, 2 cancelled or the twin of another, else 2 + epoch claimed,
-- followed by the account id or -1. NULL: the engine's incarnation has moved on. Two takes never work for one account at the same
-- moment, so an account's rows are seen in the order of their numbers: limits count the rows before one's own.
CREATE FUNCTION ringback_take_v2(p_engine text, p_incarnation bigint, p_takes text, p_jobs text[]) RETURNS bigint[]
LANGUAGE plpgsql AS $$
DECLARE
    takes   jsonb := p_takes::jsonb;
    answers bigint[] := '{}';
    wake    boolean := false;
    lost    boolean;
    doubled boolean;
    payer   bigint;
    present timestamptz;
    t       record;
BEGIN
    PERFORM 1 FROM engines WHERE id = p_engine AND incarnation = p_incarnation FOR SHARE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    FOR t IN SELECT hashtextextended(j->>'job', 0) AS key FROM jsonb_array_elements(takes) AS j
              UNION SELECT hashtextextended(concat_ws(' ', j->>'account', j->>'a', j->>'b'), 1) FROM jsonb_array_elements(takes) AS j
              UNION SELECT hashtextextended(j->>'account', 2) FROM jsonb_array_elements(takes) AS j
              ORDER BY 1 LOOP
        PERFORM pg_advisory_xact_lock(t.key);
    END LOOP;
    present := clock_timestamp();
    FOR t IN SELECT * FROM jsonb_to_recordset(takes) AS j(n int, job text, account text, source text, sender text, a text, b text,
                                                          next_call timestamptz, not_after timestamptz, claim boolean, kind text,
                                                          same_call double precision, cld text, set_cli text, anon_acct boolean,
                                                          default_user boolean) ORDER BY n LOOP
        SELECT id INTO payer FROM accounts WHERE name = t.account;
        lost := EXISTS (SELECT 1 FROM cancels WHERE job_id = t.job);
        doubled := t.kind = 'callback' AND EXISTS (
            SELECT 1 FROM ringback_same_call_v1(payer, t.a, t.b, t.job, t.source, present - make_interval(secs => t.same_call)));
        INSERT INTO callback_requests (creation_time, next_call, canceled, original_cli, username, authname, job_id, account_id,
                                       source, a, b, owner, epoch, not_after, job, kind, twin, original_cld, original_set_cli,
                                       anon_acct_enabled, default_user_used)
        VALUES (present, coalesce(t.next_call, present), lost, t.sender, t.account, t.account, t.job, payer, t.source, t.a, t.b,
                CASE WHEN t.claim AND NOT lost AND NOT doubled AND coalesce(t.next_call <= present, true) THEN p_engine END,
                CASE WHEN t.claim AND NOT lost AND NOT doubled AND coalesce(t.next_call <= present, true) THEN 1 ELSE 0 END,
                t.not_after, p_jobs[t.n], t.kind, doubled, t.cld, t.set_cli, coalesce(t.anon_acct, true),
                coalesce(t.default_user, false))
        ON CONFLICT (job_id) DO NOTHING;
        IF NOT FOUND THEN
            answers := answers || 1::bigint;
        ELSIF lost OR doubled THEN
            answers := answers || 2::bigint;
        ELSIF t.claim AND coalesce(t.next_call <= present, true) THEN
            answers := answers || 3::bigint;
        ELSE
            answers := answers || 0::bigint;
            wake := wake OR coalesce(t.next_call <= present, true);
        END IF;
        answers := answers || coalesce(payer, -1);
    END LOOP;
    IF wake THEN
        PERFORM pg_notify('ringback', 'due');
    END IF;
    RETURN answers;
END $$;
