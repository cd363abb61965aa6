"""Every fault of the simulator has a name at the gateway, plain and streamed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from swarm.cancellation import Cancellation
from swarm.chat.errors import ChatError
from swarm.chat.gateway import Caller, ChatStream, Gateway, GatewaySettings
from swarm.chat.retries import RetryPolicy
from swarm.simulator.faults import TOOL_FAULTS, Fault
from swarm.simulator.options import SimulatorOptions
from swarm.simulator.server import SimulatorServer
from tests.simulator.team import request_for, story

ME = Caller("execution", "node")

CODES = {
    Fault.EMPTY_CHOICES: "malformed_reply",
    Fault.TRUNCATED_JSON: "malformed_reply",
    Fault.HTML_PAGE: "malformed_reply",
    Fault.ERROR_WITH_200: "upstream_unavailable",
    Fault.WRONG_CONTENT_TYPE: "malformed_reply",
    Fault.STREAM_STOPS: "upstream_unavailable",
    Fault.DRIP: "upstream_timeout",
    Fault.HUGE: "malformed_reply",
    Fault.GZIP_BOMB: "malformed_reply",
    Fault.HANG_UP: "upstream_unavailable",
    Fault.SLOW: "upstream_timeout",
    Fault.STATUS_408: "upstream_timeout",
    Fault.STATUS_409: "upstream_unavailable",
    Fault.STATUS_500: "upstream_unavailable",
    Fault.STATUS_503: "upstream_unavailable",
    Fault.STATUS_529: "upstream_unavailable",
}


@pytest.fixture
def gateway(fault: Fault) -> Iterator[Gateway]:
    """A gateway that tries once, before a server that always has the test's fault."""
    with SimulatorServer(SimulatorOptions(fault_shares={fault: 1.0})) as server:
        gateway = Gateway(GatewaySettings(server.base_url, model="simulator", retry_policy=RetryPolicy(max_retries=0)))
        yield gateway
        gateway.close()


def ask(gateway: Gateway, *, is_streamed: bool, deadline_s: float) -> None:
    """A whole call, streamed to its end or not."""
    send = gateway.stream if is_streamed else gateway.complete
    done = send(request_for(story()), caller=ME, deadline_s=deadline_s, cancellation=Cancellation())
    if isinstance(done, ChatStream):
        with closing(done):
            list(done)


@pytest.mark.parametrize("is_streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("fault", CODES)
def test_a_fault_of_the_server_is_an_error_with_a_code_and_frees_its_slot(
    gateway: Gateway, fault: Fault, is_streamed: bool
) -> None:
    with pytest.raises(ChatError) as raised:
        ask(gateway, is_streamed=is_streamed, deadline_s=0.5 if fault in {Fault.DRIP, Fault.SLOW} else 30)
    assert raised.value.code == CODES[fault]
    assert raised.value.retryable
    limiter = gateway.state()["models"]["simulator"]
    assert (limiter["in_flight"], limiter["queue"]) == (0, [])
    assert limiter["calls"] == {"granted": 1, "answered": 0, "refused": 0, "failed": 1}


@pytest.mark.parametrize("fault", sorted(TOOL_FAULTS))
def test_a_fault_of_the_model_is_a_reply(gateway: Gateway, fault: Fault) -> None:
    done = gateway.complete(request_for(story()), caller=ME, deadline_s=30, cancellation=Cancellation())
    (call,) = done.reply.tool_calls
    assert (call.arguments is None) == (fault is Fault.BAD_TOOL_ARGUMENTS)


@pytest.mark.parametrize("fault", sorted(TOOL_FAULTS))
def test_a_fault_of_the_model_is_passed_on_in_its_stream(gateway: Gateway, fault: Fault) -> None:
    ask(gateway, is_streamed=True, deadline_s=30)
    assert gateway.state()["models"]["simulator"]["calls"]["answered"] == 1


def test_no_fault_is_left_out() -> None:
    assert CODES.keys() | TOOL_FAULTS == set(Fault)
