-- Missed calls: applications, and the numbers that lead to them or to an account.

CREATE TABLE applications (
    name        TEXT PRIMARY KEY,
    kind        TEXT NOT NULL,                      -- calling-card, 2way-callback or ani-callback
    application TEXT REFERENCES applications (name),-- the one that an ani-callback starts
    cld         TEXT,                               -- what a calling card's session is called by
    b           TEXT,                               -- whom a 2way-callback calls
    options     TEXT NOT NULL DEFAULT '{}'
);

CREATE TABLE dids (
    number      TEXT   PRIMARY KEY,
    application TEXT   REFERENCES applications (name),
    account_id  BIGINT REFERENCES accounts (id) ON DELETE CASCADE,
    b           TEXT,                               -- whom a personal number calls beside its owner
    CHECK ((application IS NULL) <> (account_id IS NULL))
);
