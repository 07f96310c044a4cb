-- The history: a copy of the core's record of jobs, for queries that would take too much of the core's time, with more
-- data about each print. What is copied from the core can be copied again.

CREATE TABLE prints (
    id         INTEGER PRIMARY KEY,    -- of the job, in the core's record
    path       TEXT NOT NULL,
    name       TEXT NOT NULL,
    size       INTEGER NOT NULL,
    mtime_ns   INTEGER NOT NULL,
    state      TEXT NOT NULL,
    started    REAL NOT NULL,
    ended      REAL,
    print_time REAL,
    reason     TEXT,
    user       TEXT,
    printer    TEXT NOT NULL,
    lines      INTEGER NOT NULL,
    offset     INTEGER NOT NULL,
    key        TEXT,
    began      INTEGER NOT NULL,
    resends    INTEGER,
    -- the columns below are not in the core's record
    month      TEXT NOT NULL,          -- 2026-11, in local time
    detailed   INTEGER NOT NULL DEFAULT 0,
    layers     INTEGER,
    layers_done INTEGER,
    filament   TEXT,                   -- JSON: by tool
    filament_mm REAL,
    filament_g REAL,
    material   TEXT,
    energy     REAL,                   -- Wh
    notes      TEXT NOT NULL DEFAULT '',
    entry      INTEGER,                -- of the queue
    picture    TEXT                    -- hash of one of the pictures
);

CREATE INDEX prints_of_file ON prints (path, id);
CREATE INDEX prints_of_state ON prints (state, id);
CREATE INDEX prints_of_material ON prints (material, id);
CREATE INDEX prints_of_key ON prints (key) WHERE key IS NOT NULL;
CREATE INDEX prints_unfinished ON prints (id) WHERE ended IS NULL;
CREATE INDEX prints_undetailed ON prints (id) WHERE detailed = 0;
CREATE INDEX prints_by_month ON prints (month, state, print_time, filament_mm, filament_g, energy);

CREATE TABLE pictures (
    hash TEXT PRIMARY KEY,
    png  BLOB NOT NULL
);

-- What the queue's entry said about a print when it was started, by the print's key.
CREATE TABLE queue_prints (
    key      TEXT PRIMARY KEY,
    entry    INTEGER NOT NULL,
    material TEXT,
    notes    TEXT NOT NULL
) WITHOUT ROWID;
