"""A command that gets an extra ok if another line waits behind it (Prusa's M105)."""

from gcode.dialect import PRUSA
from gcode.link import HostLink
from gcode.outgoing import Ticket, job_line

REPORT = "ok T:20.0 /0.0 B:20.0 /0.0 T0:20.0 /0.0 @:0 B@:0"


def sent(link, now=0.0):
    return [line.partition(b"*")[0].decode() for line in link.data_to_send(now).splitlines()]


def done(items):
    return [each for each in items if isinstance(each, Ticket)]


def test_only_urgent_commands_follow_such_a_command_before_its_answer():
    lines = iter([job_line(10 * n, f"G1 X{n}".encode()) for n in range(9)])
    link, ask, stop = HostLink(PRUSA), Ticket(b"M105"), Ticket(b"M104 S0", urgent=True)
    link.send(ask)
    link.feed(lambda: next(lines, None))
    assert sent(link) == ["N1 M105"]
    link.send(stop)
    assert sent(link) == ["N2 M104 S0"]
    assert done(link.receive(f"{REPORT}\n".encode(), 0.0)) == [ask]
    assert done(link.receive(b"ok\n", 0.0)) == []  # the extra one
    assert done(link.receive(b"ok\n", 0.0)) == [stop]
    assert sent(link) == ["N3 G1 X0", "N4 G1 X1", "N5 G1 X2", "N6 G1 X3"]


def test_a_command_with_nothing_behind_it_gets_one_ok():
    link, ask, say = HostLink(PRUSA), Ticket(b"M105"), Ticket(b"M118 here")
    link.send(ask)
    link.send(say)
    assert sent(link) == ["N1 M105"]
    link.receive(f"{REPORT}\n".encode(), 0.0)
    assert sent(link) == ["N2 M118 here"]
    assert done(link.receive(b"here\nok\n", 0.0)) == [say]


def test_the_ok_that_ends_a_pause_does_not_acknowledge_a_requested_line():
    lines = iter([job_line(10 * n, f"G1 X{n}".encode()) for n in range(9)])
    link, resume = HostLink(PRUSA), Ticket(b"M602")
    link.feed(lambda: next(lines, None))
    assert len(sent(link)) == 4
    link.receive(b"ok\n" * 4, 0.0)
    link.hold()
    link.send(resume)
    assert sent(link) == ["N5 M602"]
    link.receive(b"Resend: 3\nok\n", 1.0)  # lines 3 and 4 were dropped at the pause, and the oks came all the same
    link.tick(1.1)
    assert sent(link, 1.1)[0] == "N3 G1 X2"
    link.receive(b"// action:resumed\nok\n", 1.2)
    assert link.counters.lines_acknowledged == 4
    assert done(link.receive(b"ok\nok\nok\n", 1.3)) == [resume]
