"""Logs that never show a secret, and metrics in Prometheus' format."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.config import LogSettings
from streamer.logs import JsonFormatter, TextFormatter, set_up_logs
from streamer.observe import LAG_WINDOW_S, LoopLag, Metrics, Sample, process_samples
from streamer.redact import redact

SECRET = "Zk3_-s3cr3t"


@pytest.mark.parametrize(
    "text",
    [
        f"publish demo?key={SECRET}",
        f"publish demo?x=1&key={SECRET}&y=2",
        f"GET /live/demo.flv?ticket={SECRET} HTTP/1.1",
        f"GET /live/demo.flv?{SECRET}=1",
        f"GET /live/demo.flv?key%3D{SECRET}",
        f"Authorization: Bearer {SECRET}",
        f"authorization: bearer   {SECRET}",
        f"Authorization: Basic {SECRET}==",
        f"key={SECRET}",
        f"stream key = {SECRET}, room demo",
        f"{{'key': '{SECRET}', 'room': 'demo'}}",
        f'{{"token":"{SECRET}"}}',
        f"TICKET={SECRET};",
        f"redis://user:{SECRET}@host:6379/0",
        f"rtmp://host/live/demo?key={SECRET}",
        f"password={SECRET}",
        f"b'demo?key={SECRET}'",
    ],
)
def test_secrets_are_masked_wherever_they_stand(text: str) -> None:
    assert SECRET not in redact(text)
    assert "***" in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "closed: idle: nothing arrived for 15.0 s",
        "keyframe=1 gop 2.0 s",
        "Is it live? Yes, 2 + 2 = 4",
        "chunk size 20000000 exceeds 16777215",
        "http://127.0.0.1:8080/watch/demo",
        "2 wrong keys; must wait 4.0 s before the next",
    ],
)
def test_ordinary_lines_stay_as_they_are(text: str) -> None:
    assert redact(text) == text


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_key_is_masked_between_any_words(before: str, after: str) -> None:
    assert SECRET not in redact(f"{before} key={SECRET} {after}")


def test_masking_long_hostile_text_is_quick() -> None:
    for pattern in ("key=", "?a", "://", "bearer ", "key" + " " * 50, "?" * 3):
        redact(pattern * 20_000)


def record(message: str, *values: object, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("streamer.test", logging.INFO, "test.py", 1, message, values, None)
    made.__dict__.update(fields)
    return made


def test_a_text_line_has_time_level_logger_message_and_fields() -> None:
    line = TextFormatter().format(record("publisher %s", "came", room="demo", conn=7, peer="10.0.0.1:5"))
    stamp, rest = line.split(" ", 1)
    assert stamp.endswith("Z")
    assert rest == "INFO streamer.test: publisher came room=demo conn=7 peer=10.0.0.1:5"


def test_a_peer_cannot_forge_a_second_line_or_colour_a_terminal() -> None:
    line = TextFormatter().format(record("name %s", "a\nERROR forged\x1b[31m", room="b\r\nc"))
    assert "\n" not in line
    assert "\r" not in line
    assert "\x1b" not in line
    assert "a\\nERROR forged\\x1b[31m" in line


def test_a_json_line_has_the_same_values() -> None:
    line = json.loads(JsonFormatter().format(record("key=%s\n", SECRET, room="demo", conn=7)))
    assert line.pop("time").endswith("Z")
    assert line == {"level": "info", "logger": "streamer.test", "message": "key=***\n", "room": "demo", "conn": "7"}


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_tracebacks_and_fields_are_masked_too(formatter: logging.Formatter) -> None:
    try:
        raise ValueError(f"cannot parse demo?key={SECRET}")
    except ValueError:
        made = record("failed", peer=f"x?ticket={SECRET}")
        made.exc_info = sys.exc_info()
    text = formatter.format(made)
    assert SECRET not in text
    assert "Traceback" in text


def test_a_huge_line_is_cut() -> None:
    assert len(TextFormatter().format(record("x" * 1_000_000))) < 20_000


@contextmanager
def root_logger_kept() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def test_logs_follow_the_settings() -> None:
    sink = io.StringIO()
    with root_logger_kept():
        set_up_logs(LogSettings(level="warning", format="json"), sink)
        logging.getLogger("a").info("not this")
        logging.getLogger("a").warning("but this")
    assert [json.loads(line)["message"] for line in sink.getvalue().splitlines()] == ["but this"]


def test_metrics_group_one_name_under_one_heading() -> None:
    metrics = Metrics()
    metrics.add_source(
        lambda: [Sample("a_total", "counter", "Help", 1, {"room": 'x"\\\n'}), Sample("b", "gauge", "B\n", 0.5)]
    )
    metrics.add_source(lambda: [Sample("a_total", "counter", "Help", 2.0, {"room": "y"})])
    assert metrics.render() == (
        "# HELP a_total Help\n# TYPE a_total counter\n"
        'a_total{room="x\\"\\\\\\n"} 1\na_total{room="y"} 2\n'
        "# HELP b B\\n\n# TYPE b gauge\nb 0.5\n"
    )


def test_metrics_write_what_is_no_number() -> None:
    metrics = Metrics()
    values = [float("inf"), float("-inf"), float("nan"), 1e300]
    metrics.add_source(lambda: [Sample("a", "gauge", "A", value) for value in values])
    assert metrics.render().splitlines()[2:5] == ["a +Inf", "a -Inf", "a NaN"]


def test_the_process_tells_its_cpu_memory_and_files() -> None:
    values = {sample.name: sample.value for sample in process_samples()}
    assert values["process_cpu_seconds_total"] > 0
    assert values["process_resident_memory_bytes"] > 1_000_000
    assert 3 <= values["process_open_fds"] <= values["process_max_fds"]


def test_loop_lag_is_the_worst_of_the_window() -> None:
    lag = LoopLag()
    assert lag.worst_s(0.0) == 0.0
    lag.note(0.5, now=1.0)
    lag.note(0.1, now=2.0)
    lag.note(-0.1, now=3.0)
    assert lag.worst_s(3.0) == 0.5
    assert lag.worst_s(1.5 + LAG_WINDOW_S) == 0.1


def test_loop_lag_sees_a_blocked_loop() -> None:
    async def scenario() -> float:
        loop = asyncio.get_running_loop()
        lag = LoopLag()
        task = loop.create_task(lag.run())
        while not lag.worst_s(loop.time()):  # until it has measured at all; then block it past its next wake-up
            await asyncio.sleep(0.01)
        began = loop.time()
        while loop.time() - began < 0.4:
            pass
        await asyncio.sleep(0.01)
        task.cancel()
        return lag.worst_s(loop.time())

    assert asyncio.run(scenario()) > 0.1
