-- What was carried out at once for a message, so that its repeat hears the same and does nothing.

CREATE TABLE commands (
    job_id  TEXT PRIMARY KEY,                       -- the id of the message: what its job would have
    code    TEXT NOT NULL,
    answer  TEXT NOT NULL,                          -- what its sender is told
    created TEXT NOT NULL
);
CREATE INDEX commands_created ON commands (created);
