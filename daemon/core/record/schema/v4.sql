-- A request that is repeated with its key belongs to the same job. The other columns are for the history.

ALTER TABLE jobs ADD COLUMN key TEXT;                           -- a request with the same key means this job
ALTER TABLE jobs ADD COLUMN mark TEXT;                          -- identifies what that request asks for
ALTER TABLE jobs ADD COLUMN began INTEGER NOT NULL DEFAULT 1;   -- 0: recorded, and nothing has been sent for it yet
ALTER TABLE jobs ADD COLUMN resends INTEGER;                    -- number of resend requests
ALTER TABLE jobs ADD COLUMN ejected INTEGER NOT NULL DEFAULT 0; -- 1: the script that clears the bed has run to its end

CREATE UNIQUE INDEX jobs_by_key ON jobs (key) WHERE key IS NOT NULL;
