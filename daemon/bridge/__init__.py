"""The bridge: the messages between core and front, and both ends. It knows neither of them.

Theory of operation. The core has the printer and one event loop that serves the wire. The front has the network, and
with it everything that a stranger may send. The bridge is a Unix socket between them, built so that the wire does
not notice what the front does, and that either may be killed and restarted at any moment.

* The core tells, the front asks. The front holds no truth: it shows the newest `snapshot`, some 2 kB with all that
  there is. There are no differences to apply, so a front that has missed a hundred snapshots is right again with
  the next one. Events (`events`) are for what a snapshot cannot hold: a line said, a state passed through.
  They may be dropped; the next one says how many were.
* Each question (`questions`) has one answer: a value or an error. The snapshot that shows the consequence is written
  before the answer, so whoever has the answer sees what came of it.
* A question may have an expiry, by the clock that both processes share. If the core comes to it later, it refuses it:
  nobody waits any more, and a print that begins a minute after the click is worse than none.
* The core never waits for the front. It answers a few questions in a turn of its loop, and spends a tenth of its time
  on the bridge at most (`allowance`). If the front does not read, nothing more is written to it and no question is
  taken; after 5 s it is cut off, and connects again.
* The core trusts nothing that arrives. A frame has a largest size, msgspec checks the types, `daemon.core.checked`
  checks the values, and the kernel says whose process is at the other end.
* The two may be of different versions during an upgrade. Unknown fields are ignored, new fields have defaults, and a
  question that the other end does not know is refused by that name (`neighbours`).

`core_end` and `front_end` are the two ends; `memory` is both in one process, for tests, and encodes all the same.
"""
