"""Who may publish: rooms, keys on disk, and the growing wait."""

from __future__ import annotations

import json
import logging
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.reasons import KEY_REFUSED, PROTOCOL
from streamer.access import Access, Backoff
from streamer.config import AccessSettings
from streamer.keys import KeyFileError, KeyStore, new_secret
from streamer.room_name import RoomNameError, check_room_name

SETTINGS = AccessSettings(
    wrong_keys_free=2, backoff_first_s=1.0, backoff_max_s=8.0, backoff_forget_s=100.0, backoff_max_addresses=3
)
CREATED = "2025-01-01T00:00:00+00:00"


def access(folder: Path, settings: AccessSettings = SETTINGS) -> Access:
    store = KeyStore(folder / "keys.json")
    store.put("demo", "right", created=CREATED)
    return Access(settings, store)


@pytest.mark.parametrize("name", ["demo", "a", "_x", "Room-1.2_3", "x" * 64, "0"])
def test_room_names_that_are_fine(name: str) -> None:
    assert check_room_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "-x", "a/b", "a b", "a?b", "x" * 65, "é", "a\n", "a\x00"])
def test_room_names_that_are_refused(name: str) -> None:
    with pytest.raises(RoomNameError):
        check_room_name(name)


def test_the_right_key_opens_its_room_only(tmp_path: Path) -> None:
    guard = access(tmp_path)
    assert guard.authorize_publish("demo", "right", "10.0.0.1", 0.0).allowed
    for room, secret in (("demo", "guess"), ("demo", ""), ("other", "right"), ("other", "")):
        decision = guard.authorize_publish(room, secret, f"10.0.0.{len(room + secret)}", 0.0)
        assert not decision.allowed
        assert decision.reason is KEY_REFUSED
        assert secret == "" or secret not in decision.detail
    assert (guard.granted, guard.refused) == (1, 4)


def test_a_bad_room_name_is_the_publishers_mistake_even_when_open(tmp_path: Path) -> None:
    guard = access(tmp_path, AccessSettings(open=True))
    assert guard.authorize_publish("any", "", "10.0.0.1", 0.0).allowed
    decision = guard.authorize_publish("../etc", "", "10.0.0.1", 0.0)
    assert decision.reason is PROTOCOL
    assert "../etc" in decision.detail


def test_wrong_keys_make_an_address_wait_longer_and_longer(tmp_path: Path) -> None:
    guard = access(tmp_path)
    now, waits = 0.0, []
    for _ in range(8):
        decision = guard.authorize_publish("demo", "wrong", "10.0.0.1", now)
        waits.append(decision.retry_after_s)
        now += decision.retry_after_s
    assert waits == [0.0, 0.0, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_while_it_waits_an_address_is_refused_even_with_the_right_key(tmp_path: Path) -> None:
    guard = access(tmp_path)
    for _ in range(3):
        guard.authorize_publish("demo", "wrong", "10.0.0.1", 0.0)
    decision = guard.authorize_publish("demo", "right", "10.0.0.1", 0.25)
    assert not decision.allowed
    assert decision.retry_after_s == 0.75
    assert guard.authorize_publish("demo", "right", "10.0.0.2", 0.25).allowed, "another address does not wait"
    assert guard.authorize_publish("demo", "right", "10.0.0.1", 1.0).allowed
    assert len(guard.backoff) == 0, "a right key clears the address"


def test_one_ipv6_customer_is_one_address() -> None:
    backoff = Backoff(SETTINGS)
    for host in range(1, 4):
        backoff.wrong(f"2001:db8::{host}", 0.0)
    assert backoff.wait_s("2001:db8::ffff", 0.0) == 1.0
    assert backoff.wait_s("2001:db8:0:1::1", 0.0) == 0.0


def test_an_address_that_was_quiet_starts_anew() -> None:
    backoff = Backoff(SETTINGS)
    for _ in range(4):
        backoff.wrong("10.0.0.1", 0.0)
    assert backoff.wrong("10.0.0.1", 100.1) == 0.0


def test_the_table_forgets_the_address_that_was_wrong_longest_ago() -> None:
    backoff = Backoff(SETTINGS)
    for _ in range(4):
        backoff.wrong("10.0.0.1", 0.0)
    for host in (2, 3, 4):
        backoff.wrong(f"10.0.0.{host}", 1.0)
    assert len(backoff) == 3
    assert backoff.wait_s("10.0.0.1", 1.0) == 0.0


@given(st.lists(st.integers(0, 9), max_size=60))
def test_the_wait_is_bounded_and_so_is_the_table(hosts: list[int]) -> None:
    backoff = Backoff(SETTINGS)
    for now, host in enumerate(hosts):
        assert 0.0 <= backoff.wrong(f"10.0.0.{host}", float(now)) <= SETTINGS.backoff_max_s
    assert len(backoff) <= SETTINGS.backoff_max_addresses


def test_ten_thousand_wrong_keys_do_not_overflow_the_wait() -> None:
    backoff = Backoff(SETTINGS)
    assert [backoff.wrong("10.0.0.1", 0.0) for _ in range(10_000)][-1] == 8.0


def test_only_a_hash_is_stored_for_the_owner_alone(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "deep" / "keys.json")
    secret = new_secret()
    store.put("demo", secret, created=CREATED)
    text = store.file.read_text()
    assert secret not in text
    assert len(json.loads(text)["keys"]["demo"]["sha256"]) == 64
    assert stat.S_IMODE(store.file.stat().st_mode) == 0o600
    assert os.listdir(store.file.parent) == ["keys.json"], "nothing is left of the replacement"


def test_a_running_node_sees_rotation_and_revocation(tmp_path: Path) -> None:
    node, command = KeyStore(tmp_path / "keys.json"), KeyStore(tmp_path / "keys.json")
    assert not node.is_valid("demo", "one")
    command.put("demo", "one", created=CREATED)
    assert node.is_valid("demo", "one")
    command.put("demo", "two", created=CREATED)
    assert not node.is_valid("demo", "one")
    assert node.is_valid("demo", "two")
    assert command.revoke("demo")
    assert not command.revoke("demo")
    assert not node.is_valid("demo", "two")


def test_a_granted_secret_is_valid_beside_the_stored_one(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys.json")
    store.put("demo", "stored", created=CREATED)
    store.grant("demo", "granted")
    assert store.is_valid("demo", "stored")
    assert store.is_valid("demo", "granted")
    assert "granted" not in store.file.read_text()
    assert not store.is_valid("other", "granted")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        "3",
        '{"format": 2, "keys": {}}',
        '{"format": 1}',
        '{"format": 1, "keys": []}',
        '{"format": 1, "keys": {"a": {"sha256": "00", "created": ""}}}',
        '{"format": 1, "keys": {"../a": {"sha256": "' + "0" * 64 + '", "created": ""}}}',
        '{"format": 1, "keys": {"a": 3}}',
        "[" * 100_000,
    ],
)
def test_a_broken_key_file_is_refused_and_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "keys.json"
    file.write_text(content)
    with pytest.raises(KeyFileError, match=r"keys\.json"):
        KeyStore(file).load()


def test_a_file_that_breaks_while_the_node_runs_keeps_the_old_keys(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = KeyStore(tmp_path / "keys.json")
    store.put("demo", "right", created=CREATED)
    store.file.write_text("{ half a file")
    with caplog.at_level(logging.ERROR):
        assert store.is_valid("demo", "right")
        assert store.is_valid("demo", "right")
    assert len(caplog.records) == 1, "said once for each change of the file"


def test_the_operators_key_is_stored_beside_the_rooms_and_opens_no_room(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys.json")
    store.put("demo", "of-demo", created=CREATED)
    store.put_operator("of-all", created=CREATED)
    store.put("other", "of-other", created=CREATED)
    again = KeyStore(tmp_path / "keys.json")
    assert again.is_operator("of-all")
    assert not again.is_operator("of-demo")
    assert not again.is_operator("")
    assert not again.is_valid("demo", "of-all")
    assert again.is_any("of-other")
    assert not again.is_any("of-all")
    assert again.operator is not None
    assert again.operator.created == CREATED
    assert "of-all" not in (tmp_path / "keys.json").read_text()
    assert again.revoke("demo")
    assert again.is_operator("of-all"), "other changes leave it alone"
    assert again.revoke_operator()
    assert not again.is_operator("of-all")
    assert again.is_valid("other", "of-other")


def test_without_an_operator_key_nobody_is_the_operator(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys.json")
    assert store.operator is None
    assert not store.is_operator("")
    assert not store.is_operator("anything")
