-- Not written any more: the front has both tables in front.db. They stay for older versions, and a new front.db begins
-- with their rows.

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

-- Planned and real seconds of the last prints that completed, without heating: they show how much longer than planned a printer takes.
CREATE TABLE print_times (
    id      INTEGER PRIMARY KEY,
    printer TEXT NOT NULL,      -- its address
    planned REAL NOT NULL,
    actual  REAL NOT NULL
);

CREATE INDEX print_times_of_printer ON print_times (printer, id);
