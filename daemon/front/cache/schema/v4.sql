-- This index has all columns that sums by file need.

DROP INDEX prints_of_file;
CREATE INDEX prints_of_file ON prints (path, id, state, print_time, filament_mm, filament_g, energy);
