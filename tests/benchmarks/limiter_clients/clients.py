"""The clients by name. Each is made for an endpoint and then asked from many threads; a lost call raises."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import requests
import structlog

from swarm.cancellation import Cancellation
from swarm.chat.gateway import Caller, Gateway, GatewaySettings
from tests.benchmarks.limiter_clients.adaptive import AdaptiveRate

MODEL = "simulator"
PATIENCE_S = 600.0


@dataclass(frozen=True)
class Endpoint:
    """Where the model is, and the requests a minute that its user sets, 0 where nobody told him.

    `true_rpm` is for clients that cannot work without being told, `redis_url` for those that can share a budget.
    """

    base_url: str
    rpm: int = 0
    true_rpm: int = 0
    redis_url: str = ""


Ask = Callable[[str], object]


def openai_package(endpoint: Endpoint, **options: Any) -> Ask:
    """The official client, with its own retries."""
    client = import_module("openai").OpenAI(base_url=endpoint.base_url, api_key="none", timeout=PATIENCE_S, **options)
    return lambda prompt: client.chat.completions.create(model=MODEL, messages=_messages(prompt))


def openai_package_10_retries(endpoint: Endpoint) -> Ask:
    return openai_package(endpoint, max_retries=10)


def litellm_router(endpoint: Endpoint) -> Ask:
    """LiteLLM's Router with ten retries."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it fetches one when it is imported, otherwise
    litellm = import_module("litellm")
    litellm.suppress_debug_info = True
    litellm.telemetry = False
    params = {"model": f"openai/{MODEL}", "api_base": endpoint.base_url, "api_key": "none", "timeout": PATIENCE_S}
    router = litellm.Router(model_list=[{"model_name": MODEL, "litellm_params": params}], num_retries=10)
    return lambda prompt: router.completion(model=MODEL, messages=_messages(prompt))


def tenacity_recipe(endpoint: Endpoint) -> Ask:
    """OpenAI's cookbook, "How to handle rate limits": random exponential waits around the official client."""
    tenacity = import_module("tenacity")
    retry = tenacity.retry(wait=tenacity.wait_random_exponential(min=1, max=60), stop=tenacity.stop_after_attempt(6))
    ask: Ask = retry(openai_package(endpoint))
    return ask


def aws_adaptive(endpoint: Endpoint) -> Ask:
    """The AWS SDKs' adaptive mode, over plain `requests`."""
    rate, post = AdaptiveRate(), _plain_post(endpoint)

    def send(prompt: str) -> bool:
        response = post(prompt)
        if response.status_code != 429:
            response.raise_for_status()
        return response.status_code != 429

    return lambda prompt: rate.call(lambda: send(prompt))


def pyrate_limiter(endpoint: Endpoint) -> Ask:
    """pyrate-limiter told the limit, over plain `requests`; it knows no retries."""
    pyrate = import_module("pyrate_limiter")
    limiter = pyrate.Limiter(pyrate.Rate((endpoint.rpm or endpoint.true_rpm) // 60, pyrate.Duration.SECOND))
    post = _plain_post(endpoint)

    def ask(prompt: str) -> None:
        limiter.try_acquire("calls")
        post(prompt).raise_for_status()

    return ask


def ours(endpoint: Endpoint) -> Ask:
    """Swarm's gateway, one in each process."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    gateway = Gateway(
        GatewaySettings(
            endpoint.base_url,
            model=MODEL,
            rpm=endpoint.rpm,
            call_timeout_s=PATIENCE_S,
            redis_url=endpoint.redis_url,
        )
    )
    caller, cancellation = Caller("benchmark", "node"), Cancellation()

    def ask(prompt: str) -> object:
        request = {"messages": _messages(prompt)}
        return gateway.complete(request, caller=caller, deadline_s=PATIENCE_S, cancellation=cancellation)

    return ask


CLIENTS: dict[str, Callable[[Endpoint], Ask]] = {
    "openai": openai_package,
    "openai-10": openai_package_10_retries,
    "litellm": litellm_router,
    "tenacity": tenacity_recipe,
    "adaptive": aws_adaptive,
    "pyrate": pyrate_limiter,
    "ours": ours,
}


def _messages(prompt: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}]


def _plain_post(endpoint: Endpoint) -> Callable[[str], requests.Response]:
    """Posts with a session a thread."""
    threads = threading.local()

    def post(prompt: str) -> requests.Response:
        if not hasattr(threads, "session"):
            threads.session = requests.Session()
        body = {"model": MODEL, "messages": _messages(prompt)}
        url = f"{endpoint.base_url}/chat/completions"
        response: requests.Response = threads.session.post(url, json=body, timeout=PATIENCE_S)
        return response

    return post
