"""Runs what a client can do against every upstream, and prints each cell of the matrix as a line of JSON.

A feature is a function that takes an upstream and raises where something is wrong. `Absent` says that the client has no way to ask for it.
Needs SLUICE_URL, SLUICE_KEY, SLUICE_OTHER_KEY (a key that may not do without strict translation), MATRIX_UPSTREAMS (JSON) and MATRIX_MOCKS (their address).
"""

import asyncio
import inspect
import json
import os
import sys
import time
import traceback
import urllib.request

URL, KEY, OTHER_KEY, MOCKS = (os.environ[name] for name in ("SLUICE_URL", "SLUICE_KEY", "SLUICE_OTHER_KEY", "MATRIX_MOCKS"))
# With the other key, what its owner may not ask for.
FORBIDDEN = {"x-sluice-strict": "false"}
FEATURE = os.environ.get("MATRIX_FEATURE")
# No cell takes longer.
CELL_S_MAX = 30
# A provider hears so soon that its caller has left.
ABORTED_S_MAX = 5
# So many calls are looked through for one.
CALLS_MAX = 500

# One for all cells: clients keep their connections.
LOOP = asyncio.new_event_loop()

GREETING = "Grüße 🌍"
ECHO = f"You said: {GREETING}"
WORDS = "one two three four five six seven eight nine ten eleven twelve"
USE_TOOL, USE_BOTH = "use the tool get_weather", "use both tools"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SEEN = "and showed 1 picture"


class Absent(Exception):
    """The client has no way to ask for this."""


NO_CHOICE = "the provider heeds no choice of tools, on which this client's structured output rests"


class Upstream:
    """A provider behind the gateway: its name, what it lacks (feature: reason), whether it shows its thoughts, whether a choice of tools is heeded."""

    def __init__(self, name, lacks, thoughts, dimensions, choice):
        self.name, self.lacks, self.thoughts, self.dimensions, self.choice = name, lacks, thoughts, dimensions, choice

    def model(self, name="chat"):
        return f"mock-{self.name}/{name}"


UPSTREAMS = [Upstream(**one) for one in json.loads(os.environ["MATRIX_UPSTREAMS"])]


def calls_with(text):
    """The calls that providers saw with a text in their bodies, among the last ones."""
    def control(since):
        with urllib.request.urlopen(f"{MOCKS}/control/calls?since={since}") as answer:
            return json.load(answer)
    last = control(2**53 - 1)["next"]
    return [call for call in control(max(0, last - CALLS_MAX))["calls"] if text in json.dumps(call["body"], ensure_ascii=False)]


def assert_aborted(text):
    """The one call with a text in its body is given up by the gateway, soon."""
    until = time.monotonic() + ABORTED_S_MAX
    while True:
        ends = [call["end"] for call in calls_with(text)]
        if ends == ["aborted"]:
            return
        assert time.monotonic() < until and None in ends, f"the provider saw its calls end as {ends}"
        time.sleep(0.05)


def post(path, body, headers=None):
    """A request as it is written, without any client."""
    request = urllib.request.Request(URL + path, data=json.dumps(body).encode(), headers={"content-type": "application/json", **(headers or {})})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def equal(found, expected):
    assert found == expected, f"expected {expected!r}, got {found!r}"


def contains(text, part):
    assert part in (text or ""), f"expected {part!r} in {text!r}"


def raises(kinds, ask, check=None):
    """Asks, and wants one of some exceptions."""
    try:
        answer = ask()
    except kinds as error:
        if check:
            check(error)
        return error
    raise AssertionError(f"expected {kinds}, got {answer!r}")


async def raises_async(kinds, ask, check=None):
    try:
        answer = await ask()
    except kinds as error:
        if check:
            check(error)
        return error
    raise AssertionError(f"expected {kinds}, got {answer!r}")


class Client:
    """One client in one way of speaking."""

    def __init__(self, name, dialect):
        self.name, self.dialect, self.features = name, dialect, {}

    def feature(self, name):
        def register(function):
            self.features[name] = function
            return function
        return register

    def absent(self, reason, *names):
        """Features that the client does not have."""
        for name in names:
            self.features[name] = Absent(reason)

    def run(self):
        for name, function in self.features.items():
            for upstream in UPSTREAMS if FEATURE in (None, name) else []:
                self.cell(name, function, upstream)

    def cell(self, name, function, upstream):
        started = time.monotonic()
        result, reason = "pass", None
        try:
            if isinstance(function, Absent):
                raise function
            if name in upstream.lacks:
                raise Absent(upstream.lacks[name])
            if inspect.iscoroutinefunction(function):
                LOOP.run_until_complete(asyncio.wait_for(function(upstream), CELL_S_MAX))
            else:
                function(upstream)
        except Absent as absent:
            result, reason = "absent", str(absent)
        except BaseException as error:
            where = traceback.extract_tb(error.__traceback__)
            own = [frame for frame in where if "/clients/python/" in frame.filename][-1:]
            result, reason = "fail", f"{type(error).__name__}: {error} ({', '.join(f'line {frame.lineno}' for frame in own)})"[:1500]
        cell = {"client": self.name, "dialect": self.dialect, "feature": name, "upstream": upstream.name, "result": result, "reason": reason, "ms": round(1000 * (time.monotonic() - started))}
        print(json.dumps(cell), flush=True)


def run(*clients):
    """Runs every client; says with which versions."""
    from importlib.metadata import version
    for client, package in clients:
        print(json.dumps({"client": client.name, "version": f"{package} {version(package)}"}), flush=True)
        client.run()
    sys.stdout.flush()
    os._exit(0)
