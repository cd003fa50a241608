import pytest

from tests.support.rtmp import aggregate_part as part
from wire.amf0 import encode
from wire.errors import Malformed, Truncated
from wire.flv_tag import AUDIO, SCRIPT, VIDEO, FlvTag
from wire.rtmp import Connected, PublishRequested, RtmpUrl, redact
from wire.rtmp.chunk import RtmpMessage
from wire.rtmp.messages import Command, data_body, set_data_frame, split_aggregate, u32_of, user_control_of


def command(*values, kind=20, prefix=b""):
    return RtmpMessage(kind, 0, 3, prefix + encode(*values))


def test_a_command_is_read_and_written():
    parsed = Command.parse(command("publish", 5, None, "demo", "live"))
    assert parsed == Command("publish", 5.0, (None, "demo", "live"), 3)
    assert Command.parse(parsed.message()) == parsed
    assert (parsed.text(1), parsed.text(0), parsed.text(9), parsed.argument(9)) == ("demo", "", "", None)


@pytest.mark.parametrize("prefix", [b"", b"\x00", b"\x11"])
def test_a_type_17_command_may_carry_a_format_byte(prefix):
    assert Command.parse(command("connect", 1, kind=17, prefix=prefix)).name == "connect"


def test_a_transaction_id_may_be_left_out():
    assert Command.parse(command("FCUnpublish")).transaction == 0


@pytest.mark.parametrize("values", [(), (1,), (None, 1), ("x", "y")])
def test_a_command_has_a_name_and_a_number(values):
    with pytest.raises(Malformed):
        Command.parse(command(*values))


def test_metadata_loses_its_instruction_and_gets_it_back():
    body = encode("onMetaData", {"width": 640})
    tag = FlvTag(SCRIPT, 0, body)
    wrapped = set_data_frame(tag)
    assert wrapped == encode("@setDataFrame") + body
    assert data_body(RtmpMessage(18, 0, 1, wrapped)) == body
    assert data_body(RtmpMessage(15, 0, 1, b"\x00" + wrapped)) == body
    assert data_body(RtmpMessage(18, 0, 1, body)) == body
    assert data_body(RtmpMessage(18, 0, 1, encode("@clearDataFrame", "onMetaData"))) == b""
    cue = FlvTag(SCRIPT, 0, encode("onCuePoint"))
    assert set_data_frame(cue) == cue.body


@pytest.mark.parametrize("back", [True, False])
def test_an_aggregate_is_split_and_its_times_are_moved(back):
    body = part(AUDIO, 0x01000000, b"au") + part(VIDEO, 0x01000010, b"vid", back=back)
    assert list(split_aggregate(RtmpMessage(22, 500, 1, body))) == [
        RtmpMessage(AUDIO, 500, 1, b"au"),
        RtmpMessage(VIDEO, 516, 1, b"vid"),
    ]
    assert list(split_aggregate(RtmpMessage(22, 500, 1, b""))) == []


@pytest.mark.parametrize(
    ("body", "error"), [(b"\x08", Truncated), (part(8, 0, b"ab")[:12], Truncated), (part(22, 0, b""), Malformed)]
)
def test_a_broken_aggregate_is_refused(body, error):
    with pytest.raises(error, match="aggregate message"):
        list(split_aggregate(RtmpMessage(22, 0, 1, body)))


def test_short_control_messages_are_truncated():
    with pytest.raises(Truncated, match="of 3 bytes, 4 are needed"):
        u32_of(RtmpMessage(1, 0, 0, bytes(3)))
    with pytest.raises(Truncated, match="of 1 bytes, 2 are needed"):
        user_control_of(RtmpMessage(4, 0, 0, bytes(1)))
    assert user_control_of(RtmpMessage(4, 0, 0, b"\x00\x1f")) == (31, 0)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("demo", "demo"),
        ("demo?key=secret", "demo?..."),
        ("demo?", "demo?..."),
        ("live_123456_abcdefghijk", "live...(23 characters)"),
        ("de\nmo\x1b?x", "de\ufffdmo\ufffd?..."),
        ("r" * 100 + "?key", "r" * 64 + "?..."),
    ],
)
def test_names_are_shown_without_keys(name, shown):
    assert redact(name) == shown


@pytest.mark.parametrize(
    "value",
    [
        Connected("live?key=secret", "rtmp://host/live?key=secret", "FMLE/3.0"),
        PublishRequested("live?key=secret", "demo?key=secret", "live"),
        RtmpUrl.parse("rtmp://host/live/demo?key=secret"),
        Command("publish", 1.0, (None, "demo?key=secret")),
        Command("a secret", 1.0),
        RtmpMessage(20, 0, 0, b"secret"),
        FlvTag(SCRIPT, 0, b"secret"),
    ],
)
def test_no_repr_shows_a_key(value):
    assert "secret" not in repr(value)
    assert len(repr(value)) < 120
