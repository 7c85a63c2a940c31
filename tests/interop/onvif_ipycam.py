"""An independent ONVIF camera: ipycam as a program of its own, with a moving test picture.

    python tests/interop/onvif_ipycam.py ONVIF_PORT RTSP_PORT USERNAME PASSWORD

Prints `ready` once it serves, and ends with its standard input.
"""

import sys
import threading

import numpy
from ipycam import CameraConfig, IPCamera


def _wait_for_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


def main() -> None:
    """Serve until the standard input ends."""
    onvif_port, rtsp_port, username, password = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    config = CameraConfig(
        name="Gate 1",
        manufacturer="PythonCam",
        serial_number="PY-000777",
        local_ip="127.0.0.1",
        onvif_port=onvif_port,
        rtsp_port=rtsp_port,
        # Nothing listens at these: ipycam then serves RTSP itself.
        web_port=9,
        rtmp_port=9,
        go2rtc_api_port=9,
        username=username,
        password=password,
        main_width=640,
        main_height=360,
        main_fps=10,
        main_bitrate="1M",
        sub_fps=10,
        hw_accel="cpu",
    )
    camera = IPCamera(config)
    if not camera.start():
        sys.exit("ipycam did not start")
    ended = threading.Event()
    threading.Thread(target=_wait_for_end, args=(ended,), daemon=True).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    number = 0
    while not ended.wait(0.1):
        picture = numpy.full((360, 640, 3), 60, numpy.uint8)
        picture[:, number % 600 : number % 600 + 40] = (40, 200, 240)
        camera.stream(picture)
        number += 8
    camera.stop()


if __name__ == "__main__":
    main()
