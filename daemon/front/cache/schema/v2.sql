-- The queue, which is no cache: it is written for good before anything is done by it.

CREATE TABLE documents (
    name    TEXT PRIMARY KEY,
    content TEXT NOT NULL       -- JSON
) WITHOUT ROWID;

-- What was put into the queue with an idempotency key; whoever asks again gets the same entry.
CREATE TABLE queue_keys (
    key   TEXT PRIMARY KEY,
    mark  TEXT NOT NULL,        -- of what was asked for
    entry TEXT NOT NULL,        -- JSON, as it was put in
    added REAL NOT NULL
) WITHOUT ROWID;
