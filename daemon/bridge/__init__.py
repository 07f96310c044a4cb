"""The bridge: the messages between core and front, and both ends. It imports neither of the two.

Theory of operation. The core has the printer and one event loop that serves the wire. The front has the network, and
with it everything that an attacker may send. The bridge is a Unix socket between them, built so that the wire does
not notice what the front does, and that either may be killed and restarted at any moment.

* The core sends snapshots and events, the front asks questions. The front holds no truth of its own: it shows the
  newest `snapshot`, the whole state in some 2 kB. Snapshots are complete, so a front that has missed a hundred of them
  is right again with the next one. Events (`events`) carry what a snapshot cannot: a text of the firmware, a state that
  lasted for a moment. They may be dropped; the next one says how many were.
* Each question (`questions`) has one answer: a value or an error. The snapshot that shows the effect is written
  before the answer, so a client that has its answer also sees the effect.
* A question may expire, by the clock that both processes share. If the core gets to an expired question, it refuses the
  question: the client has given up, and a print that begins a minute after the click is worse than none.
* The core never waits for the front. It answers a few questions per turn of its loop, and spends at most a tenth of its
  time on the bridge (`allowance`). If the front does not read, nothing more is written to it and no question is taken;
  after 5 s it is cut off, and connects again.
* The core trusts nothing that arrives. The size of a frame is limited, msgspec checks the types, `daemon.core.checks`
  checks the values, and the kernel says which user the process at the other end belongs to.
* During an upgrade, core and front may be of different versions. Unknown fields are ignored, new fields have defaults,
  and a question that the core does not know is refused with `OtherVersion` (`other_version`).

`core_end` and `front_end` are the two ends. `memory` has both in one process, for tests; it encodes messages too.
"""
