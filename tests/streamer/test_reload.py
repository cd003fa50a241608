"""A changed configuration on a running node: what is taken up, what waits, what is refused, and that nobody notices."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from media.rung import Rung
from media.track import Codec
from streamer.certificate import make_self_signed, write_pair
from streamer.config import (
    AccessSettings,
    Config,
    DemoSettings,
    DrainSettings,
    FlvSettings,
    HttpSettings,
    RecordSettings,
    RtmpSettings,
    StreamSettings,
    TlsSettings,
)
from streamer.config_schema import settings
from streamer.ladder import DEFAULT_RUNGS, Ladder, LadderEntry
from streamer.reload import plan_reload
from tests.support.live import encoder
from tests.support.running import ANY_PORT, on_uvloop, running_node, settings_in

STREAM = "/api/v1/streams/demo"


def test_a_plan_takes_the_live_settings_and_names_the_others() -> None:
    wanted = Config(
        http=HttpSettings(max_connections=7, listen=ANY_PORT),
        flv=FlvSettings(merge_ms=100),
        demo=DemoSettings(room="x"),
    )
    plan = plan_reload(Config(), wanted)
    assert plan.applied == ("http.max_connections", "flv.merge_ms")
    assert plan.waiting == ("http.listen", "demo.room")
    assert plan.config == replace(Config(), http=HttpSettings(max_connections=7), flv=FlvSettings(merge_ms=100))


def test_nothing_changed_is_no_plan() -> None:
    plan = plan_reload(Config(), Config())
    assert (plan.config, plan.applied, plan.waiting) == (Config(), (), ())


def test_each_setting_is_either_taken_up_or_named() -> None:
    for setting in settings():
        section = getattr(Config(), setting.section)
        changed = replace(section, **{setting.key: object()})
        plan = plan_reload(Config(), replace(Config(), **{setting.section: changed}))
        assert (plan.applied, plan.waiting) == (((setting.name,), ()) if setting.live else ((), (setting.name,)))


def test_every_live_setting_reaches_the_part_that_uses_it(tmp_path: Path) -> None:
    """Whatever is marked as live must be found again in the objects that work with it."""

    async def scenario() -> None:
        async with running_node(settings_in(tmp_path)) as running:
            node = running.node
            before = _used(node)
            wanted = _all_changed(node.config)
            node.reload(wanted)
            after = _used(node)
            assert {name for name in after if after[name] == before[name]} == set()
            live = {s.name for s in settings() if s.live}
            assert set(after) | {"log.level", "log.format"} == live

    with _LoggingKept():
        on_uvloop(scenario())


class _LoggingKept:
    def __enter__(self) -> None:
        self.handlers, self.level = logging.root.handlers[:], logging.root.level

    def __exit__(self, *_: object) -> None:
        logging.root.handlers[:] = self.handlers
        logging.root.setLevel(self.level)


def _all_changed(config: Config) -> Config:
    changed: dict[str, Any] = {}
    for section in fields(Config):
        values = getattr(config, section.name)
        new: dict[str, Any] = {}
        for setting in settings():
            if setting.section == section.name and setting.live:
                value = getattr(values, setting.key)
                new[setting.key] = _other(setting.key, value)
        changed[section.name] = replace(values, **new)
    return replace(config, **changed)


def _other(key: str, value: Any) -> Any:
    if key in ("level", "format"):
        return {"info": "warning", "text": "json"}[value]
    if isinstance(value, bool):
        return not value
    return ("demo",) if isinstance(value, tuple) else value + 1


def _used(node: Any) -> dict[str, Any]:
    """Each live setting as the part that works with it has it."""
    guard, hub, flv, rtmp, access = node._site.guard, node.hub.limits, node.flv._limits, node.rtmp, node.access
    assert access._settings is access.backoff._settings
    used = {f"access.{f.name}": getattr(access._settings, f.name) for f in fields(AccessSettings)}
    for name in ("header_timeout_s", "keepalive_timeout_s", "max_connections", "max_connections_per_address"):
        used[f"http.{name}"] = getattr(guard.settings, name)
    used |= {
        "rtmp.handshake_timeout_s": rtmp._limits.handshake,
        "rtmp.idle_timeout_s": rtmp._limits.idle,
        "rtmp.max_message_bytes": rtmp._limits.rtmp.video_size,
        "rtmp.max_connections": rtmp._max_connections,
        "rtmp.max_connections_per_address": rtmp._max_per_address,
        "flv.merge_ms": flv.merge_ms,
        "flv.backlog_ms": flv.viewer.backlog,
        "flv.stalled_timeout_s": flv.viewer.stalled,
        "flv.join_wait_s": flv.join_wait,
        "flv.max_viewers": flv.max_viewers,
        "stream.resume_window_s": hub.resume_window,
        "stream.max_streams": hub.max_streams,
        "stream.max_gop_s": hub.gop.seconds,
        "stream.max_gop_bytes": hub.gop.size,
        "webrtc.max_half_open": node.webrtc.endpoint.limits.max_half_open,
        "webrtc.max_half_open_per_address": node.webrtc.endpoint.limits.max_half_open_per_client,
        "webrtc.max_tcp_connections": node.webrtc.endpoint.limits.max_tcp_connections,
        "webrtc.join_wait_s": node.webrtc.whep.limits.join_wait,
        "webrtc.max_viewers": node.webrtc.whep.limits.max_viewers,
        "webrtc.max_publishers": node.webrtc.whip.limits.max_publishers,
        "webrtc.publisher_timeout_s": node.webrtc.whip.limits.idle,
        "transcode.linger_s": node.transcoding.limits.linger,
        "transcode.max_workers": node.transcoding.limits.max_workers,
        "transcode.max_rungs": node.transcoding.limits.max_rungs,
        "record.rooms": node.recordings._patterns,
        "drain.grace_s": node.config.drain.grace_s,
        "drain.timeout_s": node.config.drain.timeout_s,
    }
    return used


def test_those_who_watch_notice_nothing_and_get_the_new_limits(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_node(settings_in(tmp_path)) as running, encoder(running.publish_url()):
            await running.until(STREAM, "body['tracks']")
            viewer = await running.watch()
            epoch = (await running.ask(STREAM)).body["epoch"]
            wanted = replace(running.node.config, flv=FlvSettings(merge_ms=200, backlog_ms=500), rtmp=RtmpSettings())
            running.node.reload(wanted)
            (_, _, inside) = running.node.flv.viewers()[0]
            assert inside._limits.backlog == 500
            have = (await running.ask(STREAM)).body["counters"]["bytes_out"]
            await running.until(STREAM, f"body['counters']['bytes_out'] > {have + 20_000}")
            shown = (await running.ask(STREAM)).body
            assert (shown["epoch"], shown["viewers"], shown["counters"]["resumes"]) == (epoch, 1, 0)
            assert await viewer.content.read(1)
            viewer.close()

    on_uvloop(scenario())


def test_a_changed_ladder_counts_when_its_encoders_have_been_tried(tmp_path: Path) -> None:
    """There is no such hardware here, so what counts in the end is software."""
    asked = Rung("720p", Codec.H264, 720, 1_000_000, encoder="h264_nvenc", preset="p4")

    async def scenario() -> None:
        async with running_node(settings_in(tmp_path)) as running:
            node = running.node
            node.reload(replace(node.config, ladder=Ladder((LadderEntry(("*",), (asked,)),))))
            assert node._rungs_of("x") == DEFAULT_RUNGS
            async with asyncio.timeout(20):
                while node._rungs_of("x") == DEFAULT_RUNGS:
                    await asyncio.sleep(0.02)
            assert node._rungs_of("x") == (replace(asked, encoder="libx264", preset="veryfast"),)
            node.reload(replace(node.config, ladder=Ladder(())))
            async with asyncio.timeout(5):
                while node._rungs_of("x"):
                    await asyncio.sleep(0)

    on_uvloop(scenario())


def test_record_patterns_begin_and_end_recordings(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_node(settings_in(tmp_path)) as running, encoder(running.publish_url()):
            shown = await running.until(STREAM, "body['tracks']")
            assert shown["recording"] is None
            running.node.reload(replace(running.node.config, record=RecordSettings(("d*o",))))
            shown = await running.until(STREAM, "body['recording'] and body['recording']['active']")
            file = tmp_path / "recordings" / "demo" / f"{shown['epoch']}.flv"
            while not file.exists() or not file.stat().st_size:
                await asyncio.sleep(0.02)
            running.node.reload(replace(running.node.config, record=RecordSettings(("other",))))
            await running.until(STREAM, "body['recording'] is None")
            assert file.read_bytes()[:3] == b"FLV"

    on_uvloop(scenario())


def test_fewer_streams_and_a_shorter_window_count_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_node(settings_in(tmp_path)) as running:
            async with encoder(running.publish_url()):
                await running.until(STREAM, "body['tracks']")
            await running.until(STREAM, "body['state'] != 'live'")
            running.node.reload(replace(running.node.config, stream=StreamSettings(resume_window_s=0)))
            await running.until("/api/v1/streams", "body['streams'] == []")

    on_uvloop(scenario())


def test_a_reload_looks_at_the_certificate_and_keeps_the_old_one_when_the_new_is_broken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    write_pair(make_self_signed(["localhost"]), cert=cert, key=key)
    http = HttpSettings(listen=ANY_PORT, tls_listen=ANY_PORT, shutdown_timeout_s=1.0)
    rtmp = RtmpSettings(listen=ANY_PORT, tls_listen=ANY_PORT)
    caplog.set_level(logging.INFO)

    async def scenario() -> None:
        async with running_node(settings_in(tmp_path, http=http, rtmp=rtmp, tls=TlsSettings(cert, key))) as running:
            tls = running.node._tls
            assert tls is not None
            write_pair(make_self_signed(["localhost"]), cert=cert, key=key, force=True)
            running.node.reload(running.node.config)
            assert tls.reloads == 1
            cert.write_text("no certificate")
            running.node.reload(running.node.config)
            assert tls.reloads == 1
            assert "the certificate read before stays in use" in caplog.text

    on_uvloop(scenario())


def test_what_needs_a_restart_is_named_in_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def scenario() -> None:
        async with running_node(settings_in(tmp_path)) as running:
            wanted = replace(
                running.node.config,
                http=replace(running.node.config.http, max_body_bytes=2048),
                access=AccessSettings(open=True),
                drain=DrainSettings(grace_s=1),
            )
            running.node.reload(wanted)
            assert running.node.config.http.max_body_bytes != 2048
            assert running.node.config.drain.grace_s == 1

    on_uvloop(scenario())
    said = [(r.levelname, r.getMessage()) for r in caplog.records]
    assert ("WARNING", "these changes need a restart: http.max_body_bytes") in said
    assert any(text.startswith("OPEN: anyone") for _, text in said), (
        "opening a node is said as loudly as starting it so"
    )
