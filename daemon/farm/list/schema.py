"""The tables, and the steps that make them. The same statements run on SQLite and PostgreSQL."""

from sqlalchemy import BigInteger, Column, Double, Integer, MetaData, Table, Text

FOREVER = 9e15
"""In `due` and `until`: never. A number, so that both databases sort it last."""

STEPS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE farm_files (
            sha256 TEXT PRIMARY KEY, size BIGINT NOT NULL, name TEXT NOT NULL, at DOUBLE PRECISION NOT NULL,
            facts TEXT NOT NULL)""",
        """CREATE TABLE farm_kinds (
            id INTEGER PRIMARY KEY, material TEXT NOT NULL, colour TEXT NOT NULL,
            nozzle_mm DOUBLE PRECISION NOT NULL, printer_group TEXT NOT NULL,
            UNIQUE (material, colour, nozzle_mm, printer_group))""",
        """CREATE TABLE farm_jobs (
            id TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, idempotency_key TEXT UNIQUE, fingerprint TEXT NOT NULL,
            sha256 TEXT NOT NULL REFERENCES farm_files (sha256), name TEXT NOT NULL, created DOUBLE PRECISION NOT NULL,
            created_by TEXT NOT NULL, revision INTEGER NOT NULL, kind INTEGER NOT NULL REFERENCES farm_kinds (id),
            material TEXT NOT NULL, colour TEXT NOT NULL, nozzle_mm DOUBLE PRECISION NOT NULL,
            printer_group TEXT NOT NULL, printers TEXT NOT NULL, priority INTEGER NOT NULL,
            position DOUBLE PRECISION NOT NULL, due DOUBLE PRECISION NOT NULL, notes TEXT NOT NULL,
            held INTEGER NOT NULL, held_by TEXT NOT NULL, held_at DOUBLE PRECISION, site TEXT NOT NULL,
            extent TEXT NOT NULL, hottest DOUBLE PRECISION NOT NULL, size BIGINT NOT NULL,
            seconds DOUBLE PRECISION NOT NULL, filament_mm DOUBLE PRECISION NOT NULL,
            waiting INTEGER NOT NULL, unfinished INTEGER NOT NULL, queued INTEGER NOT NULL)""",
        # what `offer` walks along: only of jobs that have a copy to give away
        "CREATE INDEX farm_jobs_queued ON farm_jobs (kind, priority DESC, due, position, number) WHERE queued = 1",
        "CREATE INDEX farm_jobs_unfinished ON farm_jobs (priority DESC, due, position, number) WHERE unfinished > 0",
        """CREATE TABLE farm_copies (
            id TEXT PRIMARY KEY, job TEXT NOT NULL REFERENCES farm_jobs (id) ON DELETE CASCADE, number INTEGER NOT NULL,
            parent TEXT NOT NULL, state TEXT NOT NULL, printer TEXT NOT NULL, attempt INTEGER NOT NULL,
            nonce TEXT NOT NULL, lease_until DOUBLE PRECISION NOT NULL, wish TEXT NOT NULL, faults INTEGER NOT NULL,
            reason TEXT NOT NULL, since DOUBLE PRECISION NOT NULL, begun DOUBLE PRECISION, ended DOUBLE PRECISION,
            seconds DOUBLE PRECISION NOT NULL, filament_mm DOUBLE PRECISION NOT NULL,
            UNIQUE (job, number))""",
        "CREATE INDEX farm_copies_job ON farm_copies (job, state, number)",
        "CREATE INDEX farm_copies_held ON farm_copies (printer, state)",
        "CREATE INDEX farm_copies_leases ON farm_copies (lease_until) WHERE state = 'offered'",
        "CREATE INDEX farm_copies_ended ON farm_copies (ended, id) WHERE ended IS NOT NULL",
        """CREATE TABLE farm_declines (
            job TEXT NOT NULL REFERENCES farm_jobs (id) ON DELETE CASCADE, printer TEXT NOT NULL, reason TEXT NOT NULL,
            until DOUBLE PRECISION NOT NULL, PRIMARY KEY (printer, job))""",
        "CREATE INDEX farm_declines_job ON farm_declines (job)",
        """CREATE TABLE farm_events (
            number BIGINT PRIMARY KEY, at DOUBLE PRECISION NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL,
            job TEXT NOT NULL, copy TEXT NOT NULL, printer TEXT NOT NULL, text TEXT NOT NULL)""",
        "CREATE INDEX farm_events_at ON farm_events (at)",
        "CREATE INDEX farm_events_job ON farm_events (job, number)",
        """CREATE TABLE farm_printers (
            id TEXT PRIMARY KEY, seen DOUBLE PRECISION NOT NULL, presence TEXT NOT NULL)""",
        """CREATE TABLE farm_keys (
            hash TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, scope TEXT NOT NULL, created DOUBLE PRECISION NOT NULL,
            created_by TEXT NOT NULL)""",
    ),
)
"""Each version's statements; a released one is never changed, the next one is added."""

COUNTERS = "CREATE TABLE IF NOT EXISTS farm_counters (name TEXT PRIMARY KEY, value BIGINT NOT NULL)"
"""The schema's version, the next numbers; the row `writer` is what the writers of PostgreSQL wait for."""

metadata = MetaData()

counters = Table("farm_counters", metadata, Column("name", Text, primary_key=True), Column("value", BigInteger))

files = Table(
    "farm_files",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("size", BigInteger),
    Column("name", Text),
    Column("at", Double),
    Column("facts", Text),
)

kinds = Table(
    "farm_kinds",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("material", Text),
    Column("colour", Text),
    Column("nozzle_mm", Double),
    Column("printer_group", Text),
)

jobs = Table(
    "farm_jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("number", Integer),
    Column("idempotency_key", Text),
    Column("fingerprint", Text),
    Column("sha256", Text),
    Column("name", Text),
    Column("created", Double),
    Column("created_by", Text),
    Column("revision", Integer),
    Column("kind", Integer),
    Column("material", Text),
    Column("colour", Text),
    Column("nozzle_mm", Double),
    Column("printer_group", Text),
    Column("printers", Text),
    Column("priority", Integer),
    Column("position", Double),
    Column("due", Double),
    Column("notes", Text),
    Column("held", Integer),
    Column("held_by", Text),
    Column("held_at", Double),
    Column("site", Text),
    Column("extent", Text),
    Column("hottest", Double),
    Column("size", BigInteger),
    Column("seconds", Double),
    Column("filament_mm", Double),
    Column("waiting", Integer),
    Column("unfinished", Integer),
    Column("queued", Integer),
)

copies = Table(
    "farm_copies",
    metadata,
    Column("id", Text, primary_key=True),
    Column("job", Text),
    Column("number", Integer),
    Column("parent", Text),
    Column("state", Text),
    Column("printer", Text),
    Column("attempt", Integer),
    Column("nonce", Text),
    Column("lease_until", Double),
    Column("wish", Text),
    Column("faults", Integer),
    Column("reason", Text),
    Column("since", Double),
    Column("begun", Double),
    Column("ended", Double),
    Column("seconds", Double),
    Column("filament_mm", Double),
)

declines = Table(
    "farm_declines",
    metadata,
    Column("job", Text, primary_key=True),
    Column("printer", Text, primary_key=True),
    Column("reason", Text),
    Column("until", Double),
)

events = Table(
    "farm_events",
    metadata,
    Column("number", BigInteger, primary_key=True),
    Column("at", Double),
    Column("who", Text),
    Column("what", Text),
    Column("job", Text),
    Column("copy", Text),
    Column("printer", Text),
    Column("text", Text),
)

printers = Table(
    "farm_printers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("seen", Double),
    Column("presence", Text),
)

keys = Table(
    "farm_keys",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("name", Text),
    Column("scope", Text),
    Column("created", Double),
    Column("created_by", Text),
)
