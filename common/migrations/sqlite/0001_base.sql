-- Ringback's store on SQLite. Money is integer micro-units; moments are RFC 3339 text in UTC, which sorts as it reads.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE accounts (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    name           TEXT    NOT NULL UNIQUE,
    currency       TEXT    NOT NULL,
    enabled        BOOLEAN NOT NULL DEFAULT TRUE,
    balance        BIGINT  NOT NULL DEFAULT 0,
    held           BIGINT  NOT NULL DEFAULT 0,      -- sum of its open holds
    money_seq      BIGINT  NOT NULL DEFAULT 0,      -- number of its last money movement
    trigger_secret BLOB,                            -- HMAC-SHA256(site key, id, secret)
    password_hash  TEXT,                            -- argon2id
    allow          TEXT    NOT NULL DEFAULT '[]',   -- dialling prefixes
    limits         TEXT    NOT NULL DEFAULT '{}',
    limits_off     BOOLEAN NOT NULL DEFAULT FALSE,
    created        TEXT    NOT NULL,
    CHECK (held >= 0 AND balance >= held)
);

CREATE TABLE account_addresses (
    kind       TEXT   NOT NULL CHECK (kind IN ('number', 'did', 'email')),
    value      TEXT   NOT NULL,
    account_id BIGINT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    place      BIGINT NOT NULL,                     -- among its kind, as they were given
    PRIMARY KEY (kind, value)
);
CREATE INDEX account_addresses_account ON account_addresses (account_id);

CREATE TABLE auth_failures (
    sender       TEXT   PRIMARY KEY,
    window_start TEXT   NOT NULL,
    failures     BIGINT NOT NULL,
    locked_until TEXT
);

CREATE TABLE rates (
    prefix     TEXT   NOT NULL,
    leg        TEXT   NOT NULL CHECK (leg IN ('a', 'b')),
    per_minute BIGINT NOT NULL CHECK (per_minute >= 0),
    PRIMARY KEY (prefix, leg)
);

CREATE TABLE trunks (
    name     TEXT    PRIMARY KEY,
    sip      TEXT    NOT NULL,
    username TEXT,
    password TEXT,
    prefixes TEXT    NOT NULL DEFAULT '[]',
    priority BIGINT  NOT NULL DEFAULT 0,
    cli      TEXT,
    enabled  BOOLEAN NOT NULL DEFAULT TRUE
);

CREATE TABLE engines (
    id          TEXT    PRIMARY KEY,
    incarnation BIGINT  NOT NULL,
    beat        BIGINT  NOT NULL,
    retired     BOOLEAN NOT NULL DEFAULT FALSE
);

-- Sippy's table with its column names, then our own columns.
CREATE TABLE callback_requests (
    i_callback_request INTEGER PRIMARY KEY AUTOINCREMENT,
    creation_time      TEXT    NOT NULL,
    finished           BOOLEAN NOT NULL DEFAULT FALSE,
    next_call          TEXT    NOT NULL,
    call_count         BIGINT  NOT NULL DEFAULT 0,
    canceled           BOOLEAN NOT NULL DEFAULT FALSE,
    call_id            TEXT,
    twoway_call_id     TEXT,
    original_cli       TEXT,
    original_cld       TEXT,
    original_set_cli   TEXT,
    username           TEXT    NOT NULL,
    authname           TEXT,
    md5secret          TEXT,
    twoway_cli         TEXT,
    twoway_authname    TEXT,
    twoway_md5secret   TEXT,
    anon_acct_enabled  BOOLEAN NOT NULL DEFAULT TRUE,
    default_user_used  BOOLEAN NOT NULL DEFAULT FALSE,
    credit_time        BIGINT,
    setup_time         TEXT,
    connect_time       TEXT,
    disconnect_time    TEXT,
    status             TEXT    NOT NULL DEFAULT 'Request received',
    result             TEXT,
    job_id             TEXT    NOT NULL UNIQUE,
    account_id         BIGINT,
    source             TEXT    NOT NULL,
    a                  TEXT    NOT NULL,
    b                  TEXT,
    owner              TEXT,
    epoch              BIGINT  NOT NULL DEFAULT 0,
    step               BIGINT  NOT NULL DEFAULT 0,  -- number of the last step written in this epoch
    snapshot           TEXT,
    not_after          TEXT    NOT NULL,
    job                TEXT    NOT NULL,
    poisoned           BIGINT  NOT NULL DEFAULT 0,
    last_alive         TEXT,
    alive_ms           BIGINT
);
CREATE INDEX requests_due ON callback_requests (next_call) WHERE owner IS NULL AND NOT finished;
CREATE INDEX requests_owned ON callback_requests (owner) WHERE NOT finished;
CREATE INDEX requests_open_pair ON callback_requests (account_id, a, b) WHERE NOT finished;
CREATE INDEX requests_account ON callback_requests (account_id, creation_time);
CREATE INDEX requests_created ON callback_requests (creation_time);
CREATE INDEX requests_b ON callback_requests (b, creation_time);
CREATE INDEX requests_prefix7 ON callback_requests (substr(b, 1, 8), creation_time);

CREATE TABLE cancels (
    job_id  TEXT PRIMARY KEY,
    created TEXT NOT NULL
);

CREATE TABLE invites (
    job_id      TEXT   NOT NULL,
    leg         TEXT   NOT NULL,
    attempt     BIGINT NOT NULL,
    try         BIGINT NOT NULL,
    call_id     TEXT   NOT NULL,
    branch      TEXT   NOT NULL,
    bytes       BLOB   NOT NULL,
    sdp         TEXT,
    local_addr  TEXT   NOT NULL,
    peer_addr   TEXT   NOT NULL,
    expires_s   BIGINT NOT NULL,
    intent      TEXT   NOT NULL,
    intent_boot TEXT,                               -- boot id, and CLOCK_BOOTTIME in milliseconds
    intent_ms   BIGINT,
    final_code  BIGINT,
    final_bytes BLOB,
    PRIMARY KEY (job_id, leg, attempt, try)
) WITHOUT ROWID;

CREATE TABLE dialogs (
    job_id  TEXT   NOT NULL,
    leg     TEXT   NOT NULL,
    attempt BIGINT NOT NULL,
    state   TEXT   NOT NULL,
    cseq_hi BIGINT NOT NULL,
    PRIMARY KEY (job_id, leg, attempt)
) WITHOUT ROWID;

CREATE TABLE holds (
    job_id     TEXT   PRIMARY KEY,
    account_id BIGINT NOT NULL,
    amount     BIGINT NOT NULL CHECK (amount >= 0)
) WITHOUT ROWID;

-- Double entry: every movement is two rows that sum to zero.
CREATE TABLE ledger (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    entry_key   TEXT   NOT NULL,                    -- job:leg:attempt:kind:seq
    account     TEXT   NOT NULL,                    -- account:<id>, revenue, cash
    amount      BIGINT NOT NULL,
    currency    TEXT   NOT NULL,
    account_seq BIGINT NOT NULL,                    -- of the customer's account
    job_id      TEXT,
    created     TEXT   NOT NULL,
    UNIQUE (entry_key, account)
);
CREATE INDEX ledger_account ON ledger (account, account_seq);

CREATE TABLE call_records (
    cdr_id          TEXT   PRIMARY KEY,             -- job:leg:attempt
    uniqueid        TEXT   NOT NULL,
    job_id          TEXT   NOT NULL,
    leg             TEXT   NOT NULL,
    attempt         BIGINT NOT NULL,
    source          TEXT   NOT NULL,
    account_id      BIGINT NOT NULL,
    account         TEXT   NOT NULL,
    number          TEXT   NOT NULL,
    cli             TEXT   NOT NULL,
    trunk           TEXT   NOT NULL,
    setup_time      TEXT   NOT NULL,
    connect_time    TEXT,
    disconnect_time TEXT   NOT NULL,
    duration_ms     BIGINT NOT NULL,
    billed_seconds  BIGINT NOT NULL,
    cost            BIGINT NOT NULL,
    uncovered       BIGINT NOT NULL DEFAULT 0,
    currency        TEXT   NOT NULL,
    cause           TEXT   NOT NULL,
    sip_code        BIGINT,
    q850            BIGINT,
    call_id         TEXT   NOT NULL,
    account_seq     BIGINT,
    balance         BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX call_records_job ON call_records (job_id);
CREATE INDEX call_records_ended ON call_records (disconnect_time);
CREATE INDEX call_records_calldate ON call_records (setup_time);
CREATE INDEX call_records_dst ON call_records (number);
CREATE INDEX call_records_account ON call_records (account, disconnect_time);
CREATE INDEX call_records_account_id ON call_records (account_id, disconnect_time);

-- The sixteen columns every billing tool knows.
CREATE VIEW cdr AS
SELECT setup_time                                              AS calldate,
       substr('"' || cli || '" <' || cli || '>', 1, 80)        AS clid,
       substr(cli, 1, 80)                                      AS src,
       substr(number, 1, 80)                                   AS dst,
       'callback-' || leg                                      AS dcontext,
       substr('SIP/' || trunk || '-' || uniqueid, 1, 80)       AS channel,
       ''                                                      AS dstchannel,
       'Dial'                                                  AS lastapp,
       substr('SIP/' || trunk || '/' || number, 1, 80)         AS lastdata,
       CAST(MAX(ROUND((julianday(disconnect_time) - julianday(setup_time)) * 86400), 0) AS INTEGER) AS duration,
       CASE WHEN connect_time IS NULL THEN 0 ELSE (duration_ms + 999) / 1000 END AS billsec,
       CASE WHEN connect_time IS NOT NULL THEN 'ANSWERED'
            WHEN sip_code IN (486, 600) THEN 'BUSY'
            WHEN sip_code IN (408, 480, 487) THEN 'NO ANSWER'
            ELSE 'FAILED' END                                  AS disposition,
       3                                                       AS amaflags,
       substr(account, 1, 20)                                  AS accountcode,
       uniqueid                                                AS uniqueid,
       substr(cdr_id, 1, 255)                                  AS userfield
FROM call_records;

CREATE TABLE outbox (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    destination TEXT   NOT NULL,
    routing_key TEXT   NOT NULL,
    event_id    TEXT   NOT NULL,
    kind        TEXT   NOT NULL,
    body        TEXT   NOT NULL,
    account_seq BIGINT,
    balance     BIGINT,
    created     TEXT   NOT NULL,
    published   TEXT,
    UNIQUE (destination, event_id)
);
CREATE INDEX outbox_waiting ON outbox (destination, id) WHERE published IS NULL;
CREATE INDEX outbox_published ON outbox (published) WHERE published IS NOT NULL;

CREATE TABLE outbox_leases (
    destination TEXT   PRIMARY KEY,
    engine      TEXT,
    incarnation BIGINT
);

CREATE TABLE replies (
    job_id  TEXT NOT NULL,
    kind    TEXT NOT NULL,
    state   TEXT NOT NULL CHECK (state IN ('sending', 'sent', 'unknown')),
    created TEXT NOT NULL,
    PRIMARY KEY (job_id, kind)
);
