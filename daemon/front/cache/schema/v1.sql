-- A cache: all of it can be computed again from the files, except print_times, which are learnt again with each print.

-- SHA-1 of files as they were uploaded; invalid once size or mtime_ns differ.
CREATE TABLE hashes (
    path     TEXT PRIMARY KEY,
    size     INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    sha1     TEXT NOT NULL
) WITHOUT ROWID;

-- The analysis of a file; invalid once size or date differ, or if it is of another version of the analysis.
CREATE TABLE analyses (
    path      TEXT PRIMARY KEY,
    size      INTEGER NOT NULL,
    date      INTEGER NOT NULL,   -- of its last change, in s
    version   INTEGER NOT NULL,
    summary   TEXT NOT NULL,    -- JSON
    details   BLOB NOT NULL,    -- JSON, compressed: layers, timeline
    thumbnail BLOB              -- PNG
) WITHOUT ROWID;

-- Planned and real seconds of the last completed prints, without heating: they show how fast a printer is.
CREATE TABLE print_times (
    id      INTEGER PRIMARY KEY,
    printer TEXT NOT NULL,      -- its address
    planned REAL NOT NULL,
    actual  REAL NOT NULL
);

CREATE INDEX print_times_of_printer ON print_times (printer, id);
