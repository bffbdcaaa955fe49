-- Parts of long texts, until all of a text are there, or it is too late. What they say is sealed with the site key.

CREATE TABLE sms_parts (
    source      TEXT    NOT NULL,                   -- where it came from
    sender      TEXT    NOT NULL,
    recipient   TEXT    NOT NULL,
    reference   TEXT    NOT NULL,                   -- what the parts of a text have in common
    total       BIGINT  NOT NULL,
    number      BIGINT  NOT NULL,                   -- from 1
    data_coding BIGINT  NOT NULL,
    has_header  BOOLEAN NOT NULL,
    sealed      BYTEA   NOT NULL,
    mark        TEXT    NOT NULL,                   -- a hash of what it says
    done        BOOLEAN NOT NULL DEFAULT FALSE,     -- the text has been dealt with; kept a while to know repeats
    created     TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (source, sender, recipient, reference, total, number)
);
CREATE INDEX sms_parts_created ON sms_parts (source, done, created);
