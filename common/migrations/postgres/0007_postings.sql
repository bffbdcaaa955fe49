-- Steps as `Postings` has them (store/postings.rs): money is worked out by the engine and applied here, whole or not at all.
-- `ringback_steps_v1` stays for engines of the version before.

-- Applies what a step does to an account that is locked already: only while the job's hold is `p_from`, and only if `p_need` is
-- held by nobody. An attempt that has its CDR is left as it is. `charges` has sequence number and closing balance by attempt; it
-- is NULL when the money is not there.
CREATE OR REPLACE FUNCTION ringback_post_v1(p_job text, p_source text, p_payer bigint, p_from bigint, p_to bigint, p_need bigint,
                                            p_settlements jsonb, OUT balance bigint, OUT seq bigint, OUT charges jsonb)
LANGUAGE plpgsql AS $$
DECLARE
    payer record;
    hold  record;
    x     record;
    moved bigint;               -- the number of this charge; NULL for one of nothing
BEGIN
    SELECT h.account_id, h.amount INTO hold FROM holds h WHERE h.job_id = p_job;
    IF hold.account_id <> p_payer THEN
        RAISE EXCEPTION 'the hold of job % belongs to account %, not %', p_job, hold.account_id, p_payer USING ERRCODE = 'RB001';
    ELSIF coalesce(hold.amount, 0) <> p_from THEN
        RAISE EXCEPTION 'the hold of job % is %, not %', p_job, coalesce(hold.amount, 0), p_from USING ERRCODE = 'RB001';
    END IF;
    SELECT a.name, a.currency, a.balance, a.held, a.money_seq INTO payer FROM accounts a WHERE a.id = p_payer;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no account %', p_payer USING ERRCODE = 'RB001';
    END IF;
    balance := payer.balance;
    seq := payer.money_seq;
    IF p_need > payer.balance - payer.held AND p_need > 0 THEN
        RETURN;
    END IF;
    charges := '{}';
    FOR x IN SELECT * FROM jsonb_to_recordset(p_settlements) AS j(
                 leg text, attempt bigint, cdr_id text, uniqueid text, number text, cli text, trunk text, setup_time timestamptz,
                 connect_time timestamptz, disconnect_time timestamptz, duration_ms bigint, billed_seconds bigint,
                 cost bigint, cause text, sip_code bigint, q850 bigint, call_id text) LOOP
        moved := CASE WHEN x.cost > 0 THEN seq + 1 END;
        INSERT INTO call_records (cdr_id, uniqueid, job_id, leg, attempt, source, account_id, account, number, cli, trunk,
                                  setup_time, connect_time, disconnect_time, duration_ms, billed_seconds, cost,
                                  currency, cause, sip_code, q850, call_id, account_seq, balance)
        VALUES (x.cdr_id, x.uniqueid, p_job, x.leg, x.attempt, p_source, p_payer, payer.name, x.number, x.cli, x.trunk,
                x.setup_time, x.connect_time, x.disconnect_time, x.duration_ms, x.billed_seconds, x.cost,
                payer.currency, x.cause, x.sip_code, x.q850, x.call_id, moved, balance - x.cost)
        ON CONFLICT (cdr_id) DO NOTHING;
        CONTINUE WHEN NOT FOUND;
        balance := balance - x.cost;
        IF moved IS NOT NULL THEN
            seq := moved;
            INSERT INTO ledger (entry_key, account, amount, currency, account_seq, job_id, created)
            VALUES (x.cdr_id || ':charge:1', 'account:' || p_payer, -x.cost, payer.currency, seq, p_job, clock_timestamp()),
                   (x.cdr_id || ':charge:1', 'revenue', x.cost, payer.currency, seq, p_job, clock_timestamp());
        END IF;
        charges := charges || jsonb_build_object(x.leg || ':' || x.attempt, jsonb_build_array(moved, balance));
    END LOOP;
    IF p_to = 0 THEN
        DELETE FROM holds h WHERE h.job_id = p_job;
    ELSE
        INSERT INTO holds AS h (job_id, account_id, amount) VALUES (p_job, p_payer, p_to)
        ON CONFLICT (job_id) DO UPDATE SET amount = excluded.amount;
    END IF;
    UPDATE accounts a SET balance = ringback_post_v1.balance, held = a.held + p_to - p_from, money_seq = seq WHERE a.id = p_payer;
END $$;

-- Writes steps. Three numbers per step: 0 done, 1 cancelled or not to be called, 2 no funds, 3 fenced; balance; account sequence.
-- Texts and datagrams travel beside the JSON and are named by their place, from 1.
CREATE OR REPLACE FUNCTION ringback_steps_v2(p_steps text, p_texts text[], p_blobs bytea[]) RETURNS bigint[]
LANGUAGE plpgsql AS $$
DECLARE
    steps   jsonb := p_steps::jsonb;
    answers bigint[] := '{}';
    present timestamptz := clock_timestamp();
    request record;
    closing bigint;             -- balance after the step, when it has postings
    seq     bigint;             -- of the account's last movement then
    charges jsonb;              -- by attempt: its number and closing balance
    s       record;
BEGIN
    IF steps ? 'accounts' THEN  -- every account this batch may touch, locked in the order of its id
        PERFORM 1 FROM accounts WHERE id IN (SELECT jsonb_array_elements_text(steps->'accounts')::bigint)
          ORDER BY id FOR NO KEY UPDATE;
    END IF;
    FOR s IN SELECT * FROM jsonb_to_recordset(steps->'steps') AS j(
                 job text, owner text, epoch bigint, n bigint, cancel boolean,
                 status text, result text, reason text, snapshot int, next_call timestamptz, call_count bigint, call_id text,
                 twoway_call_id text, setup_time timestamptz, connect_time timestamptz, disconnect_time timestamptz,
                 finished boolean, alive_ms bigint, release boolean,
                 payer bigint, hold_from bigint, hold_to bigint, need bigint,
                 invites jsonb, finals jsonb, dialogs jsonb, settlements jsonb, events jsonb) LOOP
        SELECT r.owner, r.epoch, r.step, r.canceled, r.account_id, r.source, r.a, r.b INTO request
          FROM callback_requests r WHERE r.job_id = s.job FOR NO KEY UPDATE;
        IF NOT FOUND OR request.epoch <> s.epoch THEN
            answers := answers || '{3,0,0}'::bigint[];
            CONTINUE;
        ELSIF request.step >= s.n THEN  -- written before, by a COMMIT whose answer was lost
            SELECT balance, money_seq INTO closing, seq FROM accounts WHERE id = coalesce(s.payer, request.account_id);
            answers := answers || ARRAY[0, coalesce(closing, 0), coalesce(seq, 0)];
            CONTINUE;
        ELSIF request.owner IS DISTINCT FROM s.owner THEN
            answers := answers || '{3,0,0}'::bigint[];
            CONTINUE;
        ELSIF s.cancel AND (request.canceled OR EXISTS (SELECT 1 FROM cancels WHERE job_id = s.job)
                            OR EXISTS (SELECT 1 FROM do_not_call WHERE number IN (request.a, request.b))) THEN
            answers := answers || '{1,0,0}'::bigint[];
            CONTINUE;
        END IF;
        closing := NULL;
        seq := NULL;
        charges := NULL;
        IF s.payer IS NOT NULL THEN
            SELECT p.balance, p.seq, p.charges INTO closing, seq, charges
              FROM ringback_post_v1(s.job, request.source, s.payer, s.hold_from, s.hold_to, s.need, s.settlements) AS p;
            IF charges IS NULL THEN
                answers := answers || ARRAY[2, closing, seq];
                CONTINUE;
            END IF;
        END IF;
        answers := answers || ARRAY[0, coalesce(closing, 0), coalesce(seq, 0)];

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
