"""Access without HTTP: limits on guessing, sessions, apps that ask for access, trusted origins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.errors import ConfigError, TooManyRequests
from daemon.front.access import hosts
from daemon.front.access.anonymous import REQUEST_COST, AnonymousCosts
from daemon.front.access.app_keys import (
    DECISION_TIMEOUT,
    FETCH_TIMEOUT,
    MAX_PER_ADDRESS,
    MAX_REQUESTS,
    POLL_TIMEOUT,
    AppKeys,
)
from daemon.front.access.attempts import MAX_ADDRESSES, MAX_WRONG_KEYS, REFILL_S, Attempts, network_of
from daemon.front.access.scopes import Identity, Scope
from daemon.front.access.sessions import LIFETIME_S, MAX_SESSIONS, Sessions

WHO = Identity("phone", Scope.CONTROL, "digest")


def fail(attempts, address, times, now=0.0):
    for _ in range(times):
        attempts.count_wrong_key(address, now)


def test_a_few_wrong_keys_are_free_then_one_every_few_seconds():
    attempts = Attempts()
    fail(attempts, "192.0.2.1", MAX_WRONG_KEYS - 1)
    assert attempts.delay("192.0.2.1", 0.0) == 0.0
    attempts.count_wrong_key("192.0.2.1", 0.0)
    assert attempts.delay("192.0.2.1", 0.0) == pytest.approx(REFILL_S)
    assert attempts.delay("192.0.2.1", REFILL_S + 0.01) == 0.0
    assert attempts.delay("192.0.2.2", 0.0) == 0.0


@given(st.lists(st.floats(0.0, REFILL_S), min_size=50, max_size=200))
def test_no_rhythm_of_guessing_exceeds_the_bucket(pauses):
    attempts, now, tried = Attempts(), 0.0, 0
    for pause in pauses:
        now += pause
        if not attempts.delay("192.0.2.1", now):
            attempts.count_wrong_key("192.0.2.1", now)
            tried += 1
    assert tried <= MAX_WRONG_KEYS + now / REFILL_S


def test_wrong_keys_are_counted_for_the_log():
    attempts = Attempts()
    assert [attempts.count_wrong_key("192.0.2.1", 60.0 * n) for n in range(3)] == [1, 2, 3]
    assert attempts.count_wrong_key("192.0.2.2", 0.0) == 1


def test_remembered_addresses_are_bounded():
    attempts = Attempts()
    for number in range(MAX_ADDRESSES * 2):
        attempts.count_wrong_key(f"10.0.{number // 256}.{number % 256}", 0.0)
    assert len(attempts._levels) == MAX_ADDRESSES


def test_an_ipv6_network_shares_one_bucket():
    assert network_of("2001:db8:1:2::1") == network_of("2001:db8:1:2:ffff::9")
    assert network_of("2001:db8:1:2::1") != network_of("2001:db8:1:3::1")
    assert network_of("::ffff:192.0.2.1") == network_of("192.0.2.1")
    assert network_of("fe80::1%eth0") == network_of("fe80::2")
    assert network_of("local") == "local"


def test_a_session_belongs_to_its_user_and_ends_when_unused():
    sessions = Sessions()
    session = sessions.begin(WHO, 0.0)
    assert sessions.find(session.id, "phone", LIFETIME_S - 1) is session
    assert sessions.find(session.id, "phone", 2 * LIFETIME_S - 2) is session  # the use before counts
    assert sessions.find(session.id, "other", 2 * LIFETIME_S) is None
    assert sessions.find("", "phone", 2 * LIFETIME_S) is None
    assert sessions.find(session.id, "phone", 4 * LIFETIME_S) is None
    assert not sessions.is_open(session)


def test_sessions_are_bounded_and_ended_by_key_or_individually():
    sessions = Sessions()
    first = sessions.begin(WHO, 0.0)
    for _ in range(MAX_SESSIONS):
        last = sessions.begin(WHO, 0.0)
    other = sessions.begin(Identity("b", Scope.READ, "b"), 0.0)
    assert not sessions.is_open(first)
    for _ in range(3 * MAX_SESSIONS):  # frequent logins end only sessions of the same key
        sessions.begin(Identity("c", Scope.READ, "c"), 0.0)
    assert sessions.is_open(last)
    before = sessions.begin(WHO, 0.0)
    sessions.end("digest", before.id)
    assert (sessions.is_open(before), sessions.is_open(last)) == (False, True)
    sessions.end("digest")
    assert (sessions.is_open(last), sessions.is_open(other)) == (False, True)


def test_an_app_waits_for_its_key_and_the_decision_has_another_token():
    apps = AppKeys()
    request = apps.ask("app", "192.0.2.1", 0.0)
    assert request.app_token != request.user_token
    assert apps.poll(request.app_token, 5.0) is request
    assert apps.poll(request.user_token, 5.0) is None
    assert apps.find(5.0, user_token=request.user_token) is request
    apps.grant(request, "the key", 6.0)
    assert apps.poll(request.app_token, 6.0) == "the key"
    assert apps.poll(request.app_token, 6.0 + FETCH_TIMEOUT) == "the key"  # again: the answer may have been lost
    assert apps.poll(request.app_token, 6.0 + FETCH_TIMEOUT + 1) is None


def test_a_request_ends_when_its_app_is_refused_or_gone():
    apps = AppKeys()
    refused, gone = apps.ask("a", "192.0.2.1", 0.0), apps.ask("b", "192.0.2.1", 0.0)
    apps.deny(refused)
    apps.deny(refused)
    assert apps.poll(refused.app_token, 1.0) is None
    assert apps.poll(gone.app_token, POLL_TIMEOUT + 1) is None
    patient = apps.ask("c", "192.0.2.1", 0.0)
    for second in range(0, int(DECISION_TIMEOUT), 5):
        assert apps.poll(patient.app_token, second) is patient
    assert apps.poll(patient.app_token, DECISION_TIMEOUT + 1) is None


def test_requests_of_apps_are_bounded_in_total_and_per_address():
    apps = AppKeys()
    for _ in range(MAX_PER_ADDRESS):
        apps.ask("a", "192.0.2.1", 0.0)
    with pytest.raises(TooManyRequests):
        apps.ask("a", "192.0.2.1", 0.0)
    for number in range(MAX_REQUESTS - MAX_PER_ADDRESS):
        apps.ask("a", f"192.0.2.{10 + number}", 0.0)
    with pytest.raises(TooManyRequests):
        apps.ask("a", "192.0.2.100", 0.0)
    apps.ask("a", "192.0.2.100", POLL_TIMEOUT + 1)  # the others have gone


@pytest.mark.parametrize(
    ("header", "ours"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("LOCALHOST.", True),
        ("192.0.2.7:5000", True),
        ("[2001:db8::1]:5000", True),
        ("printer.lan", True),
        ("printer.lan.evil.example", False),
        ("evil.example:5000", False),
        ("192.0.2.7.evil.example", False),
        ("", False),
        ("[", False),
        ("user@evil.example", False),
    ],
)
def test_our_own_host_names_are_recognised(header, ours):
    assert hosts.is_ours(header, hosts.own_host_names(["Printer.lan"])) is ours


PROXY = ("10.0.0.0/8",)


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "client"),
    [
        ("192.0.2.1", "127.0.0.1", (), "192.0.2.1"),
        ("192.0.2.1", "127.0.0.1", PROXY, "192.0.2.1"),
        ("10.0.0.1", "192.0.2.1", PROXY, "192.0.2.1"),
        ("10.0.0.1", "127.0.0.1, 192.0.2.1", PROXY, "192.0.2.1"),  # what the client itself has written comes first
        ("10.0.0.1", "192.0.2.1, 10.0.0.2", PROXY, "192.0.2.1"),
        ("10.0.0.1", "nonsense", PROXY, "10.0.0.1"),
        ("10.0.0.1", "", PROXY, "10.0.0.1"),
        ("::ffff:10.0.0.1", "192.0.2.1", PROXY, "192.0.2.1"),  # how a socket for both kinds writes an IPv4 address
    ],
)
def test_only_a_trusted_proxy_may_name_the_client(peer, forwarded, proxies, client):
    assert hosts.client_address(peer, forwarded, proxies) == client


def test_an_invalid_proxy_address_is_refused_at_the_start():
    hosts.check_networks(("127.0.0.1", "10.0.0.0/8", "fd00::/8"), "http.trusted_proxies")
    with pytest.raises(ConfigError, match=r"trusted_proxies: proxy\.lan"):
        hosts.check_networks(("127.0.0.1", "proxy.lan"), "http.trusted_proxies")


def test_loopback_and_same_origin_are_recognised():
    assert [hosts.is_loopback(each) for each in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1")] == [True] * 4
    assert [hosts.is_loopback(each) for each in ("10.0.0.1", "::2", "", "localhost")] == [False] * 4
    assert hosts.is_same_origin("http://Printer.lan:5000", "printer.LAN:5000")
    assert not hosts.is_same_origin("http://printer.lan", "printer.lan:5000")
    assert not hosts.is_same_origin("null", "printer.lan")
    assert not hosts.is_same_origin("ftp://printer.lan", "printer.lan")


def test_a_client_that_has_shown_a_key_gets_its_cost_back():
    costs = AnonymousCosts()
    while costs.spend("192.0.2.1", REQUEST_COST, 0.0):
        pass
    assert costs.has_overspent("192.0.2.1", 0.0)
    costs.refund("192.0.2.1", 2 * REQUEST_COST, 0.0)
    assert not costs.has_overspent("192.0.2.1", 0.0)
