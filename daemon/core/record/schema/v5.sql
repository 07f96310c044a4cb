-- How the prints of all files ended is read from the index alone: a list of 10,000 files asks for it after each print.

DROP INDEX jobs_of_file;
CREATE INDEX jobs_of_file ON jobs (path, ended_at, outcome, print_time, began);
