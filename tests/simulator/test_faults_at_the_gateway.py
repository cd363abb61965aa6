"""Every fault of the simulator has a name at the gateway, plain and streamed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from swarm.cancellation import Cancellation
from swarm.chat.errors import ChatError
from swarm.chat.gateway import Caller, Gateway, GatewaySettings
from swarm.chat.retries import RetryPolicy
from swarm.simulator.faults import TOOL_FAULTS, Fault
from swarm.simulator.options import SimulatorOptions
from swarm.simulator.server import SimulatorServer
from tests.simulator.team import request_for, story

ME = Caller("execution", "node")
DEADLINE_S = 1.0

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


@pytest.mark.parametrize("fault", CODES)
def test_a_fault_of_the_server_is_an_error_with_a_code(gateway: Gateway, fault: Fault) -> None:
    with pytest.raises(ChatError) as raised:
        gateway.complete(request_for(story()), caller=ME, deadline_s=DEADLINE_S, cancellation=Cancellation())
    assert raised.value.code == CODES[fault]
    assert raised.value.retryable


@pytest.mark.parametrize("fault", sorted(TOOL_FAULTS))
def test_a_fault_of_the_model_is_a_reply(gateway: Gateway, fault: Fault) -> None:
    done = gateway.complete(request_for(story()), caller=ME, deadline_s=30, cancellation=Cancellation())
    (call,) = done.reply.tool_calls
    assert (call.arguments is None) == (fault is Fault.BAD_TOOL_ARGUMENTS)


def test_no_fault_is_left_out() -> None:
    assert CODES.keys() | TOOL_FAULTS == set(Fault)
