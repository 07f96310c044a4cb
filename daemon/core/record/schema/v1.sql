-- Dates are seconds since the epoch. A job without ended_at is under way, or was when its host died.

CREATE TABLE jobs (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice
    path       TEXT NOT NULL,                      -- in the uploads' folder, at the time
    name       TEXT NOT NULL,
    size       INTEGER NOT NULL,
    sha1       TEXT,                               -- NULL: was not known
    mtime_ns   INTEGER NOT NULL,                   -- with size: the file is still the same
    origin     TEXT NOT NULL,
    user       TEXT,
    printer    TEXT NOT NULL,                      -- its address
    state      TEXT NOT NULL,                      -- the last one seen; the outcome once it has ended
    started_at REAL NOT NULL,
    ended_at   REAL,
    outcome    TEXT,
    reason     TEXT,
    lines      INTEGER NOT NULL DEFAULT 0,         -- acknowledged by the printer
    offset     INTEGER NOT NULL DEFAULT 0,         -- of the last of them in the file, in bytes
    print_time REAL,                               -- seconds, pauses aside
    CHECK ((ended_at IS NULL) = (outcome IS NULL))
);

CREATE INDEX jobs_of_file ON jobs (path, ended_at);
CREATE INDEX jobs_unfinished ON jobs (id) WHERE ended_at IS NULL;

-- Not written any more: the front has this table in front.db. It stays for older versions, and a new front.db begins
-- with its rows.
-- SHA-1 of files as they were uploaded; of no use once size or mtime_ns differ.
CREATE TABLE hashes (
    path     TEXT PRIMARY KEY,
    size     INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    sha1     TEXT NOT NULL
) WITHOUT ROWID;
