# ruff: noqa: T201
"""A player of GStreamer's rtspsrc; run it with Debian's own /usr/bin/python3.

It plays until it has decodable access units enough, with `--pause` it pauses after the first half and
plays on, then takes leave, and prints `played` or `error TEXT`. User and password are in the URL.
"""

import argparse
import sys
from typing import Any

import gi  # type: ignore[import-not-found]

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # type: ignore[import-not-found] # noqa: E402


class Player:
    """One pipeline and what came out of it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.units = 0
        self.is_waiting = options.pause
        self.error = ""
        self.loop = GLib.MainLoop()
        self.pipeline = Gst.parse_launch(
            f'rtspsrc location="{options.url}" protocols={options.protocols} latency=200 name=src '
            "src. ! application/x-rtp,media=video ! rtph264depay ! h264parse "
            "! video/x-h264,stream-format=byte-stream,alignment=au "
            "! fakesink name=sink sync=false async=false signal-handoffs=true"
        )
        self.pipeline.get_by_name("sink").connect("handoff", self.arrived)
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", self.failed)

    def arrived(self, *_: Any) -> None:
        self.units += 1
        if self.options.pause and self.units == self.options.units // 2:
            GLib.idle_add(self.pause)
        if self.units >= self.options.units and not self.is_waiting:
            GLib.idle_add(self.loop.quit)

    def pause(self) -> bool:
        self.pipeline.set_state(Gst.State.PAUSED)
        GLib.timeout_add(500, self.resume)
        return False

    def resume(self) -> bool:
        self.is_waiting = False
        self.pipeline.set_state(Gst.State.PLAYING)
        return False

    def failed(self, _: Any, message: Any) -> None:
        error, debug = message.parse_error()
        self.error = f"{error.message} {debug}".replace("\n", " ")
        self.loop.quit()

    def late(self) -> bool:
        self.error = f"only {self.units} units in time"
        self.loop.quit()
        return False

    def run(self) -> int:
        GLib.timeout_add_seconds(self.options.within, self.late)
        self.pipeline.set_state(Gst.State.PLAYING)
        self.loop.run()
        self.pipeline.set_state(Gst.State.NULL)
        print(f"error {self.error}" if self.error else "played", flush=True)
        return 1 if self.error else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--protocols", default="tcp", help="tcp, udp or tcp+udp")
    parser.add_argument("--units", type=int, default=50)
    parser.add_argument("--pause", action="store_true")
    parser.add_argument("--within", type=int, default=30, help="seconds")
    Gst.init(None)
    return Player(parser.parse_args()).run()


if __name__ == "__main__":
    sys.exit(main())
