-- The same call, asked for before: a callback of account $1 between $2 and $3, other than job $4, that is under way, or that was
-- made since $6 for a wish that came another way than $5. Read as it stands by both databases; ringback_same_call_v1 is made of
-- it, so what changes here changes that function's name.
SELECT job_id FROM callback_requests
 WHERE account_id = $1 AND a = $2 AND (b = $3 OR $3 IS NULL AND b IS NULL) AND job_id <> $4
   AND kind = 'callback' AND NOT twin AND NOT canceled AND NOT finished
UNION ALL
SELECT job_id FROM callback_requests
 WHERE account_id = $1 AND a = $2 AND (b = $3 OR $3 IS NULL AND b IS NULL) AND job_id <> $4
   AND kind = 'callback' AND NOT twin AND NOT canceled AND finished AND setup_time IS NOT NULL
   AND source <> $5 AND creation_time > $6
LIMIT 1
