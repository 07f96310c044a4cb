-- What tells a print that was asked for twice from two prints, and what the history tells besides.

ALTER TABLE jobs ADD COLUMN key TEXT;                           -- whoever asks again with it means this job
ALTER TABLE jobs ADD COLUMN mark TEXT;                          -- of what was asked for with the key
ALTER TABLE jobs ADD COLUMN began INTEGER NOT NULL DEFAULT 1;   -- 0: written down, and nothing was sent for it yet
ALTER TABLE jobs ADD COLUMN resends INTEGER;                    -- lines that the printer asked for again
ALTER TABLE jobs ADD COLUMN ejected INTEGER NOT NULL DEFAULT 0; -- 1: the script for it was run to its end

CREATE UNIQUE INDEX jobs_by_key ON jobs (key) WHERE key IS NOT NULL;
