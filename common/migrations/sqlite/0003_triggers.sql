-- What the text and mail triggers need: whose number ends so, how to speak to an account, who must not be rung, what was refused.

ALTER TABLE accounts ADD COLUMN language TEXT;                                       -- en, es, fr or zh
ALTER TABLE accounts ADD COLUMN mail_must_be_vouched BOOLEAN NOT NULL DEFAULT FALSE;

CREATE INDEX account_addresses_tail ON account_addresses (substr(value, -7)) WHERE kind IN ('did', 'number');
CREATE INDEX accounts_folded ON accounts (lower(name));

ALTER TABLE callback_requests ADD COLUMN kind TEXT NOT NULL DEFAULT 'callback';      -- callback or quote
ALTER TABLE callback_requests ADD COLUMN reason TEXT;                                -- why it ended, in plain words
ALTER TABLE callback_requests ADD COLUMN twin BOOLEAN NOT NULL DEFAULT FALSE;        -- the same call was asked for before

CREATE TABLE do_not_call (
    number  TEXT PRIMARY KEY,
    put_by  TEXT NOT NULL CHECK (put_by IN ('operator', 'stop')),
    reason  TEXT,
    created TEXT NOT NULL
);

CREATE TABLE refusals (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id BIGINT NOT NULL,
    source     TEXT   NOT NULL,
    reason     TEXT   NOT NULL,
    sender     TEXT   NOT NULL,                     -- masked
    created    TEXT   NOT NULL
);
CREATE INDEX refusals_account ON refusals (account_id, id);
CREATE INDEX refusals_created ON refusals (created);

CREATE INDEX replies_created ON replies (created);
