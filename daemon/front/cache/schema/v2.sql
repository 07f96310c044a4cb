-- The queue. It is not a cache: a change is stored durably before the service acts on it.

CREATE TABLE documents (
    name    TEXT PRIMARY KEY,
    content TEXT NOT NULL       -- JSON
) WITHOUT ROWID;

-- Entries that were added to the queue with an idempotency key; a repeated request returns the same entry.
CREATE TABLE queue_keys (
    key   TEXT PRIMARY KEY,
    mark  TEXT NOT NULL,        -- identifies the content of the request
    entry TEXT NOT NULL,        -- JSON, as it was added
    added REAL NOT NULL
) WITHOUT ROWID;
