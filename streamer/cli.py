"""The command. Mistakes of a user end it with one sentence on stderr and a status, never with a traceback.

Status 0: done. 1: it could not be done. 2: the command line or the configuration is wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from streamer.config import ConfigError, Given, LoadedConfig, load_config

__all__ = ["main"]

FAILED = 1
USAGE = 2

# Each flag of its own, and the setting that it gives.
_FLAGS = {
    "http": ("http.listen", "HOST:PORT", "where HTTP listens"),
    "https": ("http.tls_listen", "HOST:PORT", "where HTTPS listens"),
    "rtmp": ("rtmp.listen", "HOST:PORT", "where RTMP listens"),
    "rtmps": ("rtmp.tls_listen", "HOST:PORT", "where RTMPS listens"),
    "udp": ("webrtc.listen", "HOST:PORT", "where WebRTC's media is exchanged"),
    "data": ("data.dir", "DIR", "the folder of what outlives the process"),
    "tls-cert": ("tls.cert", "FILE", "certificate chain, PEM"),
    "tls-key": ("tls.key", "FILE", "private key, PEM"),
    "log-level": ("log.level", "LEVEL", "debug, info, warning or error"),
}
_SWITCHES = {
    "open": ("access.open", "let anyone publish, without a key"),
    "demo": ("demo.enabled", "start a demo host together with the node"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["bench"]:
        from bench.cli import main as bench

        return bench(arguments[1:])
    if arguments[:1] == ["demo"]:
        return _demo(arguments[1:])
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except ConfigError as exc:
        return _fail(str(exc), USAGE)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  whoever read us is gone: the exit's flush must not complain
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="streamer",
        description="A live-commerce streaming server: RTMP and WHIP in, WebRTC and FLV out, rooms and a shop.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, run, about in (
        ("serve", _serve, "run the node"),
        ("config", _config, "print every setting with its source"),
    ):
        command = commands.add_parser(name, help=about, description=about, allow_abbrev=False)
        _add_config_flags(command)
        command.set_defaults(run=run)
    _add_key(commands.add_parser("key", help="make, list or revoke keys", allow_abbrev=False))
    _add_token(commands.add_parser("token", help="sign a token for a room", allow_abbrev=False))
    _add_events(commands.add_parser("events", help="export what happened in a room", allow_abbrev=False))
    _add_cert(commands.add_parser("cert", help="make a self-signed certificate", allow_abbrev=False))
    commands.add_parser("demo", help="publish a test picture (see: streamer demo --help)", add_help=False)
    commands.add_parser("bench", help="load and measure a server (see: streamer bench --help)", add_help=False)
    return parser


def _add_config_flags(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", metavar="FILE", type=Path, help="a TOML file")
    for flag, (setting, value, about) in _FLAGS.items():
        command.add_argument(f"--{flag}", metavar=value, help=f"{about} ({setting})")
    for flag, (setting, about) in _SWITCHES.items():
        command.add_argument(f"--{flag}", action="store_const", const="true", help=f"{about} ({setting})")
    command.add_argument(
        "--set", metavar="SECTION.KEY=VALUE", action="append", default=[], help="any other setting; may be repeated"
    )


def _add_key(command: argparse.ArgumentParser) -> None:
    command.description = "Make the stream key of a room, or the operator's. It is printed once; its SHA-256 is stored."
    command.add_argument("room", nargs="?", metavar="ROOM")
    action = command.add_mutually_exclusive_group()
    action.add_argument("--rotate", action="store_true", help="replace the key that the room has; the old one ends")
    action.add_argument("--revoke", action="store_true", help="end the room's key")
    action.add_argument("--list", action="store_true", help="list the rooms that have a key")
    command.add_argument("--operator", action="store_true", help="the operator's key, for the API and /console")
    _add_config_flags(command)
    command.set_defaults(run=_key)


def _add_token(command: argparse.ArgumentParser) -> None:
    command.description = "Sign a token: for a host's tools, the shop's back end, or a viewer with a name."
    command.add_argument("room", metavar="ROOM", help="or * for every room")
    command.add_argument("--sender", default="host", metavar="NAME", help="who the events are from (host)")
    command.add_argument("--role", choices=("viewer", "moderator", "host", "backend"), default="host")
    command.add_argument("--hours", type=float, default=12.0, help="how long it is good for (12)")
    _add_config_flags(command)
    command.set_defaults(run=_token)


def _add_events(command: argparse.ArgumentParser) -> None:
    command.description = (
        "Write everything that is stored of a room's events to stdout, by their time in the broadcast."
    )
    command.add_argument("action", choices=("export",))
    command.add_argument("room", metavar="ROOM")
    command.add_argument("--format", choices=("jsonl", "msgpack", "xml"), default="jsonl")
    command.add_argument("--epoch", help="of one broadcast only")
    _add_config_flags(command)
    command.set_defaults(run=_events)


def _add_cert(command: argparse.ArgumentParser) -> None:
    command.description = "Make a self-signed ECDSA P-256 certificate for this machine's names and addresses."
    command.add_argument("--cert", metavar="FILE", type=Path, default=Path("cert.pem"), help="default: cert.pem")
    command.add_argument("--key", metavar="FILE", type=Path, default=Path("key.pem"), help="default: key.pem")
    command.add_argument("--name", metavar="NAME", action="append", default=[], help="one more host name or IP address")
    command.add_argument("--force", action="store_true", help="overwrite files that exist")
    command.set_defaults(run=_cert)


def _load(options: argparse.Namespace) -> LoadedConfig:
    return load_config(file=options.config, environment=os.environ, flags=_given(options))


def _given(options: argparse.Namespace) -> Iterator[Given]:
    for flag, (setting, *_) in {**_FLAGS, **_SWITCHES}.items():
        value = getattr(options, flag.replace("-", "_"))
        if value is not None:
            yield Given(setting, value, f"--{flag}")
    for entry in options.set:
        name, equals, value = entry.partition("=")
        if not equals:
            raise ConfigError(f"--set {entry}: needs SECTION.KEY=VALUE")
        yield Given(name.strip(), value, f"--set {name.strip()}")


def _serve(options: argparse.Namespace) -> int:
    from streamer.serve import serve

    return serve(lambda: _load(options).config)


def _config(options: argparse.Namespace) -> int:
    for line in _load(options).lines():
        print(line)
    return 0


def _key(options: argparse.Namespace) -> int:
    from streamer.cli_key import list_keys, make_key, make_operator_key, revoke_key, revoke_operator_key
    from streamer.keys import KeyFileError
    from streamer.room_name import RoomNameError, check_room_name

    config = _load(options).config
    try:
        if options.list:
            return list_keys(config)
        if options.operator:
            if options.room:
                return _fail("the operator's key is for all rooms: name none", USAGE)
            return revoke_operator_key(config) if options.revoke else make_operator_key(config, rotate=options.rotate)
        if not options.room:
            return _fail("which room? streamer key ROOM", USAGE)
        room = check_room_name(options.room)
        return revoke_key(config, room) if options.revoke else make_key(config, room, rotate=options.rotate)
    except RoomNameError as exc:
        return _fail(str(exc), USAGE)
    except KeyFileError as exc:
        return _fail(str(exc), FAILED)


def _token(options: argparse.Namespace) -> int:
    from streamer.cli_events import make_token
    from streamer.room_name import RoomNameError, check_room_name

    config = _load(options).config
    try:
        room = options.room if options.room == "*" else check_room_name(options.room)
        return make_token(config, room, sender=options.sender, role=options.role, seconds=options.hours * 3600)
    except RoomNameError as exc:
        return _fail(str(exc), USAGE)
    except OSError as exc:
        return _fail(f"{config.data.dir}: {exc.strerror}", FAILED)


def _events(options: argparse.Namespace) -> int:
    from streamer.cli_events import EventsError, export_events

    try:
        return export_events(_load(options).config, options.room, options.format, epoch=options.epoch)
    except EventsError as exc:
        return _fail(str(exc), FAILED)


def _cert(options: argparse.Namespace) -> int:
    from streamer.certificate import CertificateError, local_names, make_self_signed, write_pair

    try:
        pair = make_self_signed(list(dict.fromkeys([*local_names(), *options.name])))
        write_pair(pair, cert=options.cert, key=options.key, force=options.force)
    except CertificateError as exc:
        return _fail(str(exc), FAILED)
    print(f"{options.cert} and {options.key} are for {', '.join(pair.names)}.")
    print(f"streamer serve --tls-cert {options.cert} --tls-key {options.key}")
    return 0


def _demo(arguments: list[str]) -> int:
    from bench.demo_host import main as demo
    from bench.demo_show import DemoShow
    from streamer.demo import SHOW_VARIABLES, URL_VARIABLE, begin_as_child

    url = os.environ.get(URL_VARIABLE)
    if not url:
        return demo(arguments)
    begin_as_child()
    room, token = (os.environ.get(name) for name in SHOW_VARIABLES)
    if room and token:
        threading.Thread(target=DemoShow(room, token).run, name="demo-show", daemon=True).start()
    return demo(["--url", url, *arguments])


def _fail(sentence: str, status: int) -> int:
    print(f"streamer: {sentence}", file=sys.stderr)
    return status
