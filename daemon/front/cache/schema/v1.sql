-- All of it can be found out again, but for print_times, which are learnt again.

-- SHA-1 of files as they were uploaded; of no use once size or mtime_ns differ.
CREATE TABLE hashes (
    path     TEXT PRIMARY KEY,
    size     INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    sha1     TEXT NOT NULL
) WITHOUT ROWID;

-- What is known of a file; of no use once size or date differ, or another version of the program looks at it.
CREATE TABLE analyses (
    path      TEXT PRIMARY KEY,
    size      INTEGER NOT NULL,
    date      INTEGER NOT NULL,   -- of its last change, in s
    version   INTEGER NOT NULL,
    summary   TEXT NOT NULL,    -- JSON
    details   BLOB NOT NULL,    -- JSON, compressed: layers, timeline
    thumbnail BLOB              -- PNG
) WITHOUT ROWID;

-- Planned and real seconds of the last prints that completed, without heating: by these a printer is known.
CREATE TABLE print_times (
    id      INTEGER PRIMARY KEY,
    printer TEXT NOT NULL,      -- its address
    planned REAL NOT NULL,
    actual  REAL NOT NULL
);

CREATE INDEX print_times_of_printer ON print_times (printer, id);
