# ruff: noqa: T201
"""A camera or RECORD target of GStreamer's RTSP server; run it with Debian's own /usr/bin/python3.

It prints `listening on port N` once it serves, for a RECORD target `frames N` each second, and for a
camera with `--reports` what each receiver report of a client says: `report {"rb-jitter": N, ...}`.
The digest user and password come from the environment: GST_CAMERA_USER, GST_CAMERA_PASSWORD.
"""

import argparse
import json
import os
import sys
from typing import Any

import gi  # type: ignore[import-not-found]

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer  # type: ignore[import-not-found] # noqa: E402

ENCODERS = {
    "H264": "x264enc tune=zerolatency speed-preset=ultrafast key-int-max={gop} "
    "! video/x-h264,stream-format=byte-stream ! rtph264pay config-interval=-1",
    "H265": "x265enc tune=zerolatency speed-preset=ultrafast key-int-max={gop} ! rtph265pay config-interval=-1",
    "JPEG": "video/x-raw,format=I420 ! jpegenc ! rtpjpegpay",
}
DEPAYLOADERS = {
    "H264": "rtph264depay name=depay0 ! h264parse ! video/x-h264,stream-format=byte-stream,alignment=au",
    "H265": "rtph265depay name=depay0 ! h265parse ! video/x-h265,stream-format=byte-stream,alignment=au",
    "JPEG": "rtpjpegdepay name=depay0",
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default="0", help="0 takes a free one")
    parser.add_argument("--path", default="/stream")
    parser.add_argument("--codec", default="H264", choices=sorted(ENCODERS))
    parser.add_argument("--size", default="320x240")
    parser.add_argument("--rate", type=int, default=25, help="frames per second")
    parser.add_argument("--gop", type=int, default=25, help="frames from key frame to key frame")
    parser.add_argument("--audio", action="store_true", help="offer PCMA beside the video")
    parser.add_argument("--sent", help="camera: append the coded video that it sends to this file")
    parser.add_argument("--reports", action="store_true", help="print the receiver reports that come")
    parser.add_argument(
        "--onvif", action="store_true", help="be GStreamer's ONVIF server: time stamps of absolute time"
    )
    parser.add_argument("--certificate", help="PEM file of certificate and key: serve RTSPS")
    parser.add_argument("--record", action="store_true", help="be a RECORD target that counts frames")
    parser.add_argument("--output", help="RECORD target: append the elementary stream to this file")
    return parser.parse_args()


def camera_launch(options: argparse.Namespace) -> str:
    width, height = options.size.split("x")
    video = (
        f"videotestsrc is-live=true ! video/x-raw,width={width},height={height},framerate={options.rate}/1 "
        f"! timeoverlay ! videoconvert ! {ENCODERS[options.codec].format(gop=options.gop)} name=pay0 pt=96"
    )
    if options.sent:
        kept = f"filesink location={options.sent} append=true buffer-mode=unbuffered sync=false async=false"
        video = video.replace(" ! rtph264pay", f" ! tee name=t ! queue ! {kept} t. ! queue ! rtph264pay")
    if options.onvif:
        # ONVIF Streaming Specification, 6.3: a header extension on each packet says when the picture was taken.
        video = video.replace(" name=pay0 pt=96", " pt=96 ! rtponviftimestamp name=pay0 ntp-offset=0")
    if options.codec == "JPEG":
        video = video.replace("pt=96", "pt=26")
    audio = (
        " audiotestsrc is-live=true ! audio/x-raw,rate=8000,channels=1 ! alawenc ! rtppcmapay name=pay1 pt=8"
    )
    return f"( {video}{audio if options.audio else ''} )"


def onvif_factory() -> Any:
    """Return a factory whose media take a voice back from a client that asks for it (Require: backchannel)."""
    factory = GstRtspServer.RTSPOnvifMediaFactory()
    factory.set_media_gtype(GstRtspServer.RTSPOnvifMedia.__gtype__)
    caps = "application/x-rtp,media=audio,payload=0,clock-rate=8000,encoding-name=PCMU"
    factory.set_backchannel_launch(
        f'( capsfilter caps="{caps}" name=depay_backchannel ! rtppcmudepay ! fakesink async=false )'
    )
    return factory


def target_launch(options: argparse.Namespace) -> str:
    sink = "fakesink name=sink sync=false async=false signal-handoffs=true"
    if options.output:
        sink = f"tee name=t ! queue ! filesink location={options.output} append=true async=false t. ! queue ! {sink}"
    return f"( {DEPAYLOADERS[options.codec]} ! {sink} )"


def count_frames(factory: Any) -> None:
    frames = [0]

    def arrived(*_: Any) -> None:
        frames[0] += 1

    def configure(_: Any, media: Any) -> None:
        media.get_element().get_by_name("sink").connect("handoff", arrived)

    def report() -> bool:
        print("frames", frames[0], flush=True)
        return True

    factory.connect("media-configure", configure)
    GLib.timeout_add(1000, report)


def print_reports(factory: Any) -> None:
    def active(_: Any, source: Any) -> None:
        stats = source.get_property("stats")
        if stats.get_value("have-rb"):
            names = [stats.nth_field_name(index) for index in range(stats.n_fields())]
            told = {name: stats.get_value(name) for name in names if name.startswith("rb-")}
            print("report", json.dumps(told), flush=True)

    def prepared(media: Any) -> None:
        for index in range(media.n_streams()):
            media.get_stream(index).get_rtpsession().connect("on-ssrc-active", active)

    factory.connect("media-configure", lambda _, media: media.connect("prepared", prepared))


def authentication(options: argparse.Namespace) -> Any:
    user, password = os.environ.get("GST_CAMERA_USER"), os.environ.get("GST_CAMERA_PASSWORD")
    if not user and not options.certificate:
        return None
    auth = GstRtspServer.RTSPAuth()
    if options.certificate:
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(options.certificate))
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "camera")
    if user:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(user, password or "", token)
    else:
        auth.set_default_token(token)
    return auth


def main() -> int:
    options = arguments()
    Gst.init(None)
    server = GstRtspServer.RTSPOnvifServer() if options.onvif else GstRtspServer.RTSPServer()
    server.set_address(options.host)
    server.set_service(options.port)
    factory = onvif_factory() if options.onvif else GstRtspServer.RTSPMediaFactory()
    factory.set_launch(target_launch(options) if options.record else camera_launch(options))
    factory.set_shared(not options.record)
    if options.record:
        factory.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
        count_frames(factory)
    if options.reports:
        print_reports(factory)
    auth = authentication(options)
    if auth is not None:
        server.set_auth(auth)
        rights = "camera,media.factory.access=(boolean)true,media.factory.construct=(boolean)true"
        factory.add_role_from_structure(Gst.Structure.from_string(rights)[0])
    if options.certificate:
        factory.set_profiles(GstRtsp.RTSPProfile.AVP)
    server.get_mount_points().add_factory(options.path, factory)
    if server.attach(None) == 0:
        print("no port", options.port, file=sys.stderr)
        return 1
    print("listening on port", server.get_bound_port(), flush=True)
    loop = GLib.MainLoop()
    GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, 15, loop.quit)
    GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, 2, loop.quit)
    loop.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
