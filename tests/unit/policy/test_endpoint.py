"""Endpoint: calls go where they are answered; a server that is away, frozen or sick is left alone and found again."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from inferstream.events.outcome import Cause
from inferstream.policy.endpoint import EndpointState


def up() -> EndpointState:
    """An endpoint that has answered its first poll."""
    endpoint = EndpointState()
    endpoint.polled(True, 0.0)
    return endpoint


def test_nothing_is_sent_before_the_server_has_answered() -> None:
    """A service that starts before its model server does not waste events on it."""
    endpoint = EndpointState()
    assert not endpoint.takes_calls
    endpoint.polled(False, 0.0)
    assert not endpoint.takes_calls
    endpoint.polled(True, 0.5)
    assert endpoint.takes_calls


def test_a_refusal_closes_it_at_once() -> None:
    """UNAVAILABLE is not a matter of opinion."""
    endpoint = up()
    endpoint.failed(Cause.MODEL_UNAVAILABLE, 1.0)
    assert endpoint.state == "open"


def test_one_slow_call_is_no_reason() -> None:
    """A call that missed its deadline, between others that did not, changes nothing."""
    endpoint = up()
    for _ in range(20):
        endpoint.failed(Cause.MODEL_TIMEOUT, 1.0)
        endpoint.failed(Cause.MODEL_TIMEOUT, 1.0)
        endpoint.answered(1.0)
        assert endpoint.takes_calls


def test_a_frozen_server_is_suspected_polled_at_once_and_closed() -> None:
    """Calls missed in a row ask for a poll now; a poll that is not answered closes it."""
    endpoint = up()
    for _ in range(3):
        endpoint.failed(Cause.MODEL_TIMEOUT, 1.0)
    assert (endpoint.state, endpoint.poll_in(0.5, 1.0), endpoint.takes_calls) == ("suspect", 0.0, False)
    assert not endpoint.unanswered(1.3)
    assert endpoint.state == "open"


def test_a_server_that_stood_still_for_a_moment_is_asked_as_soon_as_it_speaks() -> None:
    """The pause counts from the last call, which is over when the first poll was not answered in 0.3 s."""
    endpoint = up()
    for missed_at in (1.0, 1.01, 1.02, 1.04):  # the last had been under way
        endpoint.failed(Cause.MODEL_TIMEOUT, missed_at)
    endpoint.unanswered(1.32)
    endpoint.polled(True, 1.4)
    assert endpoint.takes_calls


def test_a_connection_is_made_anew_only_after_several_polls_without_an_answer() -> None:
    """While it stands the server's answer comes at once; a dead one must not be kept, however long that lasts."""
    endpoint = up()
    told = [endpoint.unanswered(1.3 + 0.3 * number) for number in range(7)]
    assert told == [False, False, True, False, False, True, False]
    endpoint.polled(False, 4.0)
    assert [endpoint.unanswered(5.0 + number) for number in range(3)] == [False, False, True]


def test_the_end_of_a_pause_is_not_slept_through() -> None:
    """The next poll comes when a call may follow it, and else after the interval."""
    endpoint = up()
    assert endpoint.poll_in(0.5, 1.0) == 0.5
    endpoint.failed(Cause.MODEL_UNAVAILABLE, 1.0)
    assert 0.1 < endpoint.poll_in(0.5, 1.0) < 0.3
    assert endpoint.poll_in(0.01, 1.0) == 0.01
    assert endpoint.poll_in(0.5, 2.0) == 0.5


def test_a_suspected_server_that_answers_is_up() -> None:
    """It was only slow."""
    endpoint = up()
    endpoint.polled(False, 1.0)
    assert endpoint.state == "suspect"
    endpoint.polled(True, 1.1)
    assert endpoint.takes_calls


def test_after_a_failure_one_call_is_let_through() -> None:
    """Ready is not yet well: a server whose model process died says that it is ready and answers no call."""
    endpoint = up()
    endpoint.failed(Cause.MODEL_UNAVAILABLE, 1.0)
    endpoint.polled(True, 1.1)
    assert not endpoint.takes_calls  # the pause is not over
    endpoint.polled(True, 1.3)
    assert endpoint.takes_calls
    endpoint.called()
    assert not endpoint.takes_calls
    endpoint.answered(1.31)
    assert endpoint.state == "up"


def test_a_relapse_doubles_the_pause_and_recovery_takes_seconds_at_most() -> None:
    """A first outage is over within a second of the server's return; a flapping server is asked seldom, yet asked."""
    endpoint, now, pauses = up(), 1.0, []
    endpoint.failed(Cause.MODEL_UNAVAILABLE, now)
    for _ in range(7):
        began = now
        while endpoint.state == "open":
            now += 0.05
            endpoint.polled(True, now)
        pauses.append(now - began)
        endpoint.called()
        endpoint.failed(Cause.MODEL_ERROR, now)
    assert pauses[0] < 0.4
    assert all(later > earlier - 0.06 for earlier, later in itertools.pairwise(pauses))
    assert 1.9 < pauses[-1] < 2.2


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["answered", "timeout", "error", "unavailable", "ready", "not_ready"]), st.floats(0.01, 5.0)
    ),
    max_size=80,
)


@given(_STEPS)
def test_whatever_happened_a_server_that_is_well_again_is_used_again(steps: list[tuple[str, float]]) -> None:
    """No sequence of answers and failures leaves an endpoint closed for ever."""
    endpoint, now = EndpointState(), 0.0
    causes = {"timeout": Cause.MODEL_TIMEOUT, "error": Cause.MODEL_ERROR, "unavailable": Cause.MODEL_UNAVAILABLE}
    for step, pause in steps:
        now += pause
        if step in causes:
            if endpoint.takes_calls:
                endpoint.called()
            endpoint.failed(causes[step], now)
        elif step == "answered":
            endpoint.answered(now)
        else:
            endpoint.polled(step == "ready", now)
    for _ in range(40):
        now += 0.5
        endpoint.polled(True, now)
        if endpoint.takes_calls:
            endpoint.called()
            endpoint.answered(now)
    assert endpoint.state == "up"


def test_a_call_that_we_give_up_says_nothing_and_another_one_may_probe() -> None:
    endpoint = up()
    endpoint.failed(Cause.MODEL_UNAVAILABLE, 1.0)
    endpoint.polled(True, 1.3)
    endpoint.called()
    assert not endpoint.takes_calls
    endpoint.given_up()
    assert (endpoint.state, endpoint.takes_calls) == ("probing", True)
