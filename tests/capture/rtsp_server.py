"""A GStreamer RTSP server for the tests: run by the system's Python, which has ``gi``.

``rtsp_server.py PORT [still] [h264]`` serves ``rtsp://127.0.0.1:PORT/cam``: snow (every picture
another) or one still picture, 160 x 120 at 15 Hz, as JPEG or H.264, and prints ``ready``.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402


def main() -> None:
    port, still = sys.argv[1], "still" in sys.argv[2:]
    Gst.init(None)
    pattern = "gradient" if still else "snow"
    encode = "jpegenc quality=70 ! rtpjpegpay name=pay0 pt=26"
    if "h264" in sys.argv[2:]:
        encode = (
            "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 threads=1 "
            "! rtph264pay config-interval=1 name=pay0 pt=96"
        )
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(
        f"( videotestsrc is-live=true pattern={pattern} "
        "! video/x-raw,format=I420,width=160,height=120,framerate=15/1 "
        f"! {encode} )"
    )
    factory.set_shared(True)
    server.get_mount_points().add_factory("/cam", factory)
    server.attach(None)
    print("ready", flush=True)
    GLib.MainLoop().run()


main()
