"""A camera for the trial: GStreamer's RTSP server with a test picture, on loopback.

Runs under Debian's own Python, which has GStreamer's bindings; imports nothing of Muster, so that it judges
Muster as an independent device does. One pipeline serves all viewers. It ends with the process that started it.

User and password are read from the variables CAMERA_USER and CAMERA_PASSWORD, or the password from
--password-file; without a user the camera asks for none.
"""

import argparse
import ctypes
import os
import signal
import sys
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

ROLE = "viewer"
FRAMES_PER_SECOND = 25
PR_SET_PDEATHSIG = 1

ENCODERS = {
    "h264": "x264enc speed-preset=ultrafast tune=zerolatency key-int-max=25 bitrate={bitrate} "
    "! video/x-h264,profile=baseline ! rtph264pay name=pay0 pt=96 config-interval=1",
    "h265": "x265enc speed-preset=ultrafast tune=zerolatency key-int-max=25 bitrate={bitrate} "
    "! rtph265pay name=pay0 pt=96 config-interval=1",
}


def end_with_parent(parent: int) -> None:
    """Ask the kernel to end this process when `parent` ends, however it ends."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    # It may have gone before the request.
    if os.getppid() != parent:
        sys.exit("the process that started this camera is gone")


def pipeline(options: argparse.Namespace) -> str:
    """Return the launch line: picture, burnt-in id, clock and time code (hh:mm:ss:frame), encoder, payloader."""
    text = "".join(character for character in options.text if character.isalnum() or character in " -_.:")
    overlay = "font-desc=Sans,16 shaded-background=true"
    return (
        f"( videotestsrc is-live=true pattern={options.pattern} "
        f"! video/x-raw,format=I420,width={options.width},height={options.height},"
        f"framerate={FRAMES_PER_SECOND}/1 "
        f'! textoverlay text="{text}" valignment=top halignment=left {overlay} '
        f'! clockoverlay time-format="%Y-%m-%d %H:%M:%S" valignment=bottom halignment=right {overlay} '
        "! timecodestamper source=internal "
        f"! timeoverlay time-mode=time-code valignment=bottom halignment=left {overlay} "
        f"! {ENCODERS[options.codec].format(bitrate=options.bitrate)} )"
    )


def make_auth(user: str, password: str, *, basic: bool) -> GstRtspServer.RTSPAuth:
    """Return the server's own Digest (or Basic) check with one user."""
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", ROLE)
    if basic:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    else:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(user, password, token)
    return auth


def make_factory(options: argparse.Namespace, *, protected: bool) -> GstRtspServer.RTSPMediaFactory:
    """Return the stream, shared among its viewers."""
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(pipeline(options))
    factory.set_shared(True)
    if protected:
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role(ROLE, "media.factory.access", True)
        permissions.add_permission_for_role(ROLE, "media.factory.construct", True)
        factory.set_permissions(permissions)
    return factory


def read_options() -> argparse.Namespace:
    """Read the command line; the password never stands on it."""
    parser = argparse.ArgumentParser(description="An RTSP test camera on 127.0.0.1.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one")
    parser.add_argument("--path", default="/live")
    parser.add_argument("--pattern", default="smpte")
    parser.add_argument("--text", default="CAMERA")
    parser.add_argument("--codec", choices=sorted(ENCODERS), default="h264")
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--bitrate", type=int, default=512, help="kbit/s")
    parser.add_argument("--password-file", type=Path)
    parser.add_argument("--basic", action="store_true", help="Basic instead of Digest")
    return parser.parse_args()


def main() -> None:
    """Serve until ended."""
    parent = os.getppid()
    options = read_options()
    end_with_parent(parent)
    user = os.environ.pop("CAMERA_USER", "")
    password = os.environ.pop("CAMERA_PASSWORD", "")
    if options.password_file:
        password = options.password_file.read_text(encoding="utf-8").strip()
    if user and not password:
        sys.exit("CAMERA_USER is set: give CAMERA_PASSWORD or --password-file too")

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address(options.host)
    server.set_service(str(options.port))
    if user:
        server.set_auth(make_auth(user, password, basic=options.basic))
    server.get_mount_points().add_factory(options.path, make_factory(options, protected=bool(user)))
    if server.attach(None) == 0:
        sys.exit(f"cannot listen on {options.host}:{options.port}")
    print(f"camera ready on rtsp://{options.host}:{server.get_bound_port()}{options.path}", flush=True)

    loop = GLib.MainLoop()
    for number in (signal.SIGTERM, signal.SIGINT):
        GLib.unix_signal_add(GLib.PRIORITY_HIGH, number, loop.quit)
    # Sessions of viewers that vanished without TEARDOWN.
    GLib.timeout_add_seconds(5, lambda: server.get_session_pool().cleanup() >= 0)
    loop.run()


if __name__ == "__main__":
    main()
