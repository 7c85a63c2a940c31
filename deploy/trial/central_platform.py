"""The trial's central platform: takes RTSP RECORD below /muster/ on loopback and counts what arrives.

Runs under Debian's own Python with GStreamer's RTSP server; imports nothing of Muster. Every picture of a
stream is reassembled by GStreamer and counted, key frames apart. It prints a line when a stream begins or
ends, and every --every seconds one for each stream. It ends with the process that started it.
"""

import argparse
import ctypes
import os
import re
import signal
import sys
import time
from dataclasses import dataclass
from typing import ClassVar

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
gi.require_version("GstSdp", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer, GstSdp  # noqa: E402

# Before any subclass below: GStreamer's types are registered here.
Gst.init(None)

PR_SET_PDEATHSIG = 1
MOUNT = re.compile(r"/muster/[A-Za-z0-9._~/-]{1,200}")
MAX_PATHS = 1000

# parsebin finds the depayloader and parser for whatever the announcement says: pictures whole, not decoded.
RECEIVER = "parsebin name={name} ! fakesink name={sink} sync=false async=false"
MAX_MEDIA = 8


@dataclass
class Arrival:
    """What came in under one path since the stream began."""

    path: str
    frames: int = 0
    key_frames: int = 0
    size: int = 0
    reported: int = 0
    is_key: bool = False

    def count(self, _pad: Gst.Pad, probe: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        """Count the pictures; runs in GStreamer's streaming thread.

        A picture may come in several buffers (parameter sets, slices); the marker is on its last.
        """
        buffer = probe.get_buffer()
        self.size += buffer.get_size()
        self.is_key = self.is_key or not buffer.has_flags(Gst.BufferFlags.DELTA_UNIT)
        if buffer.has_flags(Gst.BufferFlags.MARKER):
            self.frames += 1
            self.key_frames += self.is_key
            self.is_key = False
        return Gst.PadProbeReturn.OK


arrivals: dict[str, Arrival] = {}


def say(text: str) -> None:
    """Print one line at once, for a person and for tests."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def watch(_factory: GstRtspServer.RTSPMediaFactory, media: GstRtspServer.RTSPMedia, path: str) -> None:
    """Count a new stream's pictures until it ends."""
    arrival = arrivals[path] = Arrival(path)
    sink = media.get_element().get_by_name("video")
    sink.get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, arrival.count)

    def ended(_media: GstRtspServer.RTSPMedia) -> None:
        if arrivals.get(path) is arrival:
            del arrivals[path]
        say(f"stream ended {path} frames={arrival.frames} key_frames={arrival.key_frames}")

    media.connect("unprepared", ended)
    say(f"stream started {path}")


class Media(GstRtspServer.RTSPMedia):
    """A recording that has as many streams as the announcement; the first is the video."""

    def do_handle_sdp(self, sdp: GstSdp.SDPMessage) -> bool:
        """Add a receiver for each further media, then let the server take the description in."""
        number = sdp.medias_len()
        if not 1 <= number <= MAX_MEDIA:
            return False
        for index in range(1, number):
            launch = RECEIVER.format(name=f"depay{index}", sink=f"sink{index}")
            receiver = Gst.parse_bin_from_description(launch, ghost_unlinked_pads=True)
            receiver.set_name(f"receiver{index}")
            self.get_element().add(receiver)
            self.create_stream(receiver, receiver.get_static_pad("sink"))
        return GstRtspServer.RTSPMedia.do_handle_sdp(self, sdp)


class Mounts(GstRtspServer.RTSPMountPoints):
    """Makes a receiver for each path below /muster/ when the server first asks for it."""

    known: ClassVar[set[str]] = set()

    def do_make_path(self, url: GstRtsp.RTSPUrl) -> str | None:
        """Return the path to look for; None is answered 404."""
        path: str = url.abspath
        if not MOUNT.fullmatch(path):
            say(f"refused {path[:200]!r}: not below /muster/")
            return None
        # SETUP asks with the stream's name behind the announced path.
        if any(path == known or path.startswith(f"{known}/") for known in self.known):
            return path
        if len(self.known) >= MAX_PATHS:
            say(f"refused {path}: {MAX_PATHS} paths are taken")
            return None
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(f"( {RECEIVER.format(name='depay0', sink='video')} )")
        factory.set_media_gtype(Media.__gtype__)
        factory.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
        factory.connect("media-configure", watch, path)
        self.add_factory(path, factory)
        self.known.add(path)
        return path


def report() -> bool:
    """Print one line for each stream that is up."""
    for arrival in list(arrivals.values()):
        new = arrival.frames - arrival.reported
        arrival.reported = arrival.frames
        say(
            f"receiving {arrival.path} frames={arrival.frames} (+{new}) "
            f"key_frames={arrival.key_frames} bytes={arrival.size}"
        )
    return True


def end_with_parent(parent: int) -> None:
    """Ask the kernel to end this process when `parent` ends, however it ends."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    # It may have gone before the request.
    if os.getppid() != parent:
        sys.exit("the process that started this platform is gone")


def main() -> None:
    """Serve until ended."""
    parent = os.getppid()
    parser = argparse.ArgumentParser(description="An RTSP RECORD target on 127.0.0.1.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=18560, help="0 takes a free one")
    parser.add_argument("--every", type=int, default=15, help="seconds between reports")
    options = parser.parse_args()
    end_with_parent(parent)

    server = GstRtspServer.RTSPServer()
    server.set_address(options.host)
    server.set_service(str(options.port))
    server.set_mount_points(Mounts())
    if server.attach(None) == 0:
        sys.exit(f"cannot listen on {options.host}:{options.port}")
    say(f"central platform ready on rtsp://{options.host}:{server.get_bound_port()}/muster/")

    loop = GLib.MainLoop()
    for number in (signal.SIGTERM, signal.SIGINT):
        GLib.unix_signal_add(GLib.PRIORITY_HIGH, number, loop.quit)
    # Sessions of pushers that vanished without TEARDOWN.
    GLib.timeout_add_seconds(5, lambda: server.get_session_pool().cleanup() >= 0)
    GLib.timeout_add_seconds(options.every, report)
    loop.run()


if __name__ == "__main__":
    main()
