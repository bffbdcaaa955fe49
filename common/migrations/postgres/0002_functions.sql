-- The three hot paths as functions: one statement, one round trip, one implicit transaction. They do what
-- store/sqlite.rs does for SQLite; the shared suite keeps them equal. Engines of two versions share a database: a change that
-- only adds is made here, and the file runs again; one that an older engine could not live with gets a new name.

-- Takes jobs from the queue. One number per job: 0 waiting, 1 known, 2 cancelled or the twin of another, else 2 + epoch claimed,
-- followed by the account id or -1. NULL: the engine's incarnation has moved on.
CREATE OR REPLACE FUNCTION ringback_take_v1(p_engine text, p_incarnation bigint, p_takes text, p_jobs text[]) RETURNS bigint[]
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
        doubled := t.kind = 'callback' AND (
            EXISTS (SELECT 1 FROM callback_requests r
                     WHERE r.account_id = payer AND r.a = t.a AND coalesce(r.b, '') = coalesce(t.b, '') AND NOT r.finished
                       AND NOT r.canceled AND NOT r.twin AND r.kind = 'callback' AND r.job_id <> t.job)
         OR EXISTS (SELECT 1 FROM callback_requests r
                     WHERE (r.b = t.b OR t.b IS NULL AND r.b IS NULL) AND r.creation_time > present - make_interval(secs => t.same_call)
                       AND r.account_id = payer AND r.a = t.a AND r.source <> t.source AND r.finished AND NOT r.canceled
                       AND r.setup_time IS NOT NULL AND r.job_id <> t.job));
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

-- Writes steps. Four numbers per step: 0 done, 1 cancelled or not to be called, 2 no funds, 3 fenced; balance; account sequence; uncovered.
-- Texts and datagrams travel beside the JSON and are named by their place, from 1.
CREATE OR REPLACE FUNCTION ringback_steps_v1(p_steps text, p_texts text[], p_blobs bytea[]) RETURNS bigint[]
LANGUAGE plpgsql AS $$
DECLARE
    steps     jsonb := p_steps::jsonb;
    answers   bigint[] := '{}';
    present   timestamptz := clock_timestamp();
    charges   jsonb;
    request   record;
    payer     record;
    held_now  bigint;           -- of this job's hold; NULL without one
    wanted    bigint;
    covered   bigint;
    free_part bigint;
    uncovered bigint;
    closing   bigint;           -- balance after the step, when it touched money
    money     boolean;
    s         record;
    x         record;
BEGIN
    IF steps ? 'accounts' THEN  -- every account this batch may touch, locked in the order of its id
        PERFORM 1 FROM accounts
         WHERE id IN (SELECT jsonb_array_elements_text(steps->'accounts')::bigint)
            OR id IN (SELECT account_id FROM holds WHERE job_id IN (SELECT jsonb_array_elements_text(steps->'holders')))
         ORDER BY id FOR NO KEY UPDATE;
    END IF;
    FOR s IN SELECT * FROM jsonb_to_recordset(steps->'steps') AS j(
                 job text, owner text, epoch bigint, n bigint, cancel boolean,
                 status text, result text, reason text, snapshot int, next_call timestamptz, call_count bigint, call_id text,
                 twoway_call_id text, setup_time timestamptz, connect_time timestamptz, disconnect_time timestamptz,
                 finished boolean, alive_ms bigint, release boolean,
                 payer bigint, hold_open boolean, hold bigint, release_hold boolean,
                 invites jsonb, finals jsonb, dialogs jsonb, settlements jsonb, events jsonb) LOOP
        SELECT r.owner, r.epoch, r.step, r.canceled, r.account_id, r.source, r.a, r.b INTO request
          FROM callback_requests r WHERE r.job_id = s.job FOR NO KEY UPDATE;
        IF NOT FOUND OR request.epoch <> s.epoch THEN
            answers := answers || '{3,0,0,0}'::bigint[];
            CONTINUE;
        ELSIF request.step >= s.n THEN  -- written before, by a COMMIT whose answer was lost
            SELECT balance, money_seq INTO payer FROM accounts WHERE id = coalesce(s.payer, request.account_id);
            answers := answers || ARRAY[0, coalesce(payer.balance, 0), coalesce(payer.money_seq, 0), 0];
            CONTINUE;
        ELSIF request.owner IS DISTINCT FROM s.owner THEN
            answers := answers || '{3,0,0,0}'::bigint[];
            CONTINUE;
        ELSIF s.cancel AND (request.canceled OR EXISTS (SELECT 1 FROM cancels WHERE job_id = s.job)
                            OR EXISTS (SELECT 1 FROM do_not_call WHERE number IN (request.a, request.b))) THEN
            answers := answers || '{1,0,0,0}'::bigint[];
            CONTINUE;
        END IF;

        charges := '{}';
        uncovered := 0;
        held_now := NULL;
        money := s.hold IS NOT NULL OR s.settlements IS NOT NULL OR coalesce(s.release_hold, false);
        IF money THEN
            SELECT account_id, amount INTO x FROM holds WHERE job_id = s.job;
            IF FOUND THEN
                IF s.payer IS NOT NULL AND s.payer <> x.account_id THEN
                    RAISE EXCEPTION 'the hold of job % belongs to account %, not %', s.job, x.account_id, s.payer USING ERRCODE = 'RB001';
                END IF;
                held_now := x.amount;
                s.payer := x.account_id;
            ELSIF s.hold IS NOT NULL AND NOT s.hold_open THEN
                RAISE EXCEPTION 'job % has no open hold to extend', s.job USING ERRCODE = 'RB001';
            END IF;
        END IF;
        IF money AND s.payer IS NOT NULL THEN
            SELECT id, name, currency, balance, held, money_seq INTO payer FROM accounts WHERE id = s.payer FOR NO KEY UPDATE;
            IF NOT FOUND THEN
                RAISE EXCEPTION 'there is no account %', s.payer USING ERRCODE = 'RB001';
            END IF;
            IF s.hold IS NOT NULL THEN
                wanted := s.hold - coalesce(held_now, 0);
                IF wanted > payer.balance - payer.held THEN
                    answers := answers || ARRAY[2, payer.balance, payer.money_seq, 0];
                    CONTINUE;
                END IF;
                payer.held := payer.held + wanted;
                held_now := s.hold;
            END IF;
            FOR x IN SELECT * FROM jsonb_to_recordset(s.settlements) AS j(
                         leg text, attempt bigint, uniqueid text, number text, cli text, trunk text, setup_time timestamptz,
                         connect_time timestamptz, disconnect_time timestamptz, duration_ms bigint, billed_seconds bigint,
                         cost bigint, cause text, sip_code bigint, q850 bigint, call_id text) LOOP
                CONTINUE WHEN EXISTS (SELECT 1 FROM call_records WHERE cdr_id = s.job || ':' || x.leg || ':' || x.attempt);
                covered := least(x.cost, coalesce(held_now, 0));
                free_part := least(x.cost - covered, payer.balance - payer.held);
                uncovered := uncovered + (x.cost - covered - free_part);
                payer.balance := payer.balance - covered - free_part;
                payer.held := payer.held - covered;
                held_now := held_now - covered;
                IF covered + free_part > 0 THEN
                    payer.money_seq := payer.money_seq + 1;
                    INSERT INTO ledger (entry_key, account, amount, currency, account_seq, job_id, created)
                    SELECT s.job || ':' || x.leg || ':' || x.attempt || ':charge:1', side.account, side.amount, payer.currency,
                           payer.money_seq, s.job, present
                      FROM (VALUES ('account:' || payer.id, -(covered + free_part)), ('revenue', covered + free_part)) AS side(account, amount);
                END IF;
                INSERT INTO call_records (cdr_id, uniqueid, job_id, leg, attempt, source, account_id, account, number, cli, trunk,
                                          setup_time, connect_time, disconnect_time, duration_ms, billed_seconds, cost, uncovered,
                                          currency, cause, sip_code, q850, call_id, account_seq, balance)
                VALUES (s.job || ':' || x.leg || ':' || x.attempt, x.uniqueid, s.job, x.leg, x.attempt, request.source, payer.id,
                        payer.name, x.number, x.cli, x.trunk, x.setup_time, x.connect_time, x.disconnect_time, x.duration_ms,
                        x.billed_seconds, covered + free_part, x.cost - covered - free_part, payer.currency, x.cause, x.sip_code,
                        x.q850, x.call_id, CASE WHEN covered + free_part > 0 THEN payer.money_seq END, payer.balance);
                charges := charges || jsonb_build_object(x.leg || ':' || x.attempt, jsonb_build_array(
                    CASE WHEN covered + free_part > 0 THEN payer.money_seq END, payer.balance));
            END LOOP;
            IF s.release_hold THEN
                payer.held := payer.held - coalesce(held_now, 0);
                DELETE FROM holds WHERE job_id = s.job;
            ELSIF held_now IS NOT NULL THEN
                INSERT INTO holds (job_id, account_id, amount) VALUES (s.job, payer.id, held_now)
                ON CONFLICT (job_id) DO UPDATE SET amount = excluded.amount;
            END IF;
            UPDATE accounts SET balance = payer.balance, held = payer.held, money_seq = payer.money_seq WHERE id = payer.id;
            closing := payer.balance;
            answers := answers || ARRAY[0, payer.balance, payer.money_seq, uncovered];
        ELSE
            closing := NULL;
            answers := answers || '{0,0,0,0}'::bigint[];
        END IF;

        UPDATE callback_requests r SET
               step = s.n, last_alive = present,
               status = coalesce(s.status, r.status), result = coalesce(s.result, r.result),
               reason = coalesce(s.reason, r.reason),
               snapshot = coalesce(p_texts[s.snapshot], r.snapshot),
               next_call = coalesce(s.next_call, r.next_call), call_count = coalesce(s.call_count, r.call_count),
               call_id = coalesce(s.call_id, r.call_id), twoway_call_id = coalesce(s.twoway_call_id, r.twoway_call_id),
               setup_time = coalesce(s.setup_time, r.setup_time), connect_time = coalesce(s.connect_time, r.connect_time),
               disconnect_time = coalesce(s.disconnect_time, r.disconnect_time), finished = coalesce(s.finished, r.finished),
               alive_ms = coalesce(s.alive_ms, r.alive_ms), owner = CASE WHEN s.release THEN NULL ELSE r.owner END
         WHERE r.job_id = s.job;
        IF s.invites IS NOT NULL THEN
            INSERT INTO invites (job_id, leg, attempt, try, call_id, branch, bytes, sdp, local_addr, peer_addr, expires_s, intent)
            SELECT s.job, i.leg, i.attempt, i.try, i.call_id, i.branch, p_blobs[i.bytes], p_texts[i.sdp], i.local_addr, i.peer_addr,
                   i.expires_s, clock_timestamp()
              FROM jsonb_to_recordset(s.invites) AS i(leg text, attempt bigint, try bigint, call_id text, branch text, bytes int,
                                                      sdp int, local_addr text, peer_addr text, expires_s bigint)
            ON CONFLICT DO NOTHING;
        END IF;
        IF s.finals IS NOT NULL THEN
            UPDATE invites i SET final_code = f.code, final_bytes = p_blobs[f.bytes]
              FROM jsonb_to_recordset(s.finals) AS f(leg text, attempt bigint, try bigint, code bigint, bytes int)
             WHERE i.job_id = s.job AND i.leg = f.leg AND i.attempt = f.attempt AND i.try = f.try AND i.final_code IS NULL;
        END IF;
        IF s.dialogs IS NOT NULL THEN
            INSERT INTO dialogs (job_id, leg, attempt, state, cseq_hi)
            SELECT s.job, d.leg, d.attempt, p_texts[d.state], d.cseq_hi
              FROM jsonb_to_recordset(s.dialogs) AS d(leg text, attempt bigint, state int, cseq_hi bigint)
            ON CONFLICT (job_id, leg, attempt) DO UPDATE SET state = excluded.state, cseq_hi = excluded.cseq_hi;
        END IF;
        IF s.events IS NOT NULL THEN
            INSERT INTO outbox (destination, routing_key, event_id, kind, body, account_seq, balance, created)
            SELECT e.destination, e.routing_key, e.event_id, e.kind, p_texts[e.body],
                   (charges->e.money->>0)::bigint,
                   CASE WHEN e.money = 'balance'
                        THEN coalesce(closing, (SELECT balance FROM accounts WHERE id = request.account_id))
                        ELSE (charges->e.money->>1)::bigint END,
                   present
              FROM jsonb_to_recordset(s.events) AS e(destination text, routing_key text, event_id text, kind text, body int, money text)
             WHERE e.money IS NULL OR e.money = 'balance' OR charges ? e.money
            ON CONFLICT DO NOTHING;
        END IF;
    END LOOP;
    RETURN answers;
END $$;

-- One turn of a drain: marks what was confirmed, keeps or takes the lease, hands out what waits, column by column. With
-- `holder` another engine has the lease.
CREATE OR REPLACE FUNCTION ringback_outbox_v1(p_destination text, p_engine text, p_incarnation bigint, p_done bigint[], p_limit bigint)
RETURNS TABLE (holder text, ids bigint[], routing_keys text[], event_ids text[], kinds text[], bodies text[],
               account_seqs bigint[], balances bigint[])
LANGUAGE plpgsql AS $$
BEGIN
    IF cardinality(p_done) > 0 THEN
        UPDATE outbox o SET published = clock_timestamp() WHERE o.id = ANY (p_done) AND o.published IS NULL;
    END IF;
    IF NOT EXISTS (SELECT 1 FROM outbox_leases l JOIN engines e ON e.id = l.engine AND e.incarnation = l.incarnation
                    WHERE l.destination = p_destination AND l.engine = p_engine AND l.incarnation = p_incarnation) THEN
        INSERT INTO outbox_leases AS l (destination, engine, incarnation)
        SELECT p_destination, p_engine, p_incarnation FROM engines e WHERE e.id = p_engine AND e.incarnation = p_incarnation
        ON CONFLICT (destination) DO UPDATE SET engine = excluded.engine, incarnation = excluded.incarnation
         WHERE l.engine IS NULL
            OR NOT EXISTS (SELECT 1 FROM engines e WHERE e.id = l.engine AND e.incarnation = l.incarnation AND NOT e.retired);
        IF NOT FOUND THEN
            holder := coalesce((SELECT l.engine FROM outbox_leases l WHERE l.destination = p_destination), '');
            RETURN NEXT;
            RETURN;
        END IF;
    END IF;
    RETURN QUERY SELECT NULL::text, array_agg(w.id), array_agg(w.routing_key), array_agg(w.event_id), array_agg(w.kind),
                        array_agg(w.body), array_agg(w.account_seq), array_agg(w.balance)
                   FROM (SELECT o.* FROM outbox o WHERE o.destination = p_destination AND o.published IS NULL
                          ORDER BY o.id LIMIT p_limit) AS w;
END $$;
