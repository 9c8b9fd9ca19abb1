"""A GStreamer RTSP server whose pictures say which they are: run by the system's Python.

``counter_server.py PORT key=value ...`` serves ``rtsp://127.0.0.1:PORT/cam``. Picture n holds n as
16 bright or dark fields; the moment at which it was made (``time.monotonic()``, which processes
share) is printed as ``n seconds``. SIGUSR1 stops and starts the pictures, as a belt does.

Keys: ``codec`` (jpeg, h264, slices, bframes, h265), ``fps``, ``size`` (WxH), ``then`` (the size
from picture ``at`` on), ``user`` and ``password``, ``protocols`` (tcp or udp; else both), ``stamp``
(``pause``: the time stamps stand still while the pictures are stopped).
"""

import os
import signal
import sys
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

SIDE = 4
X264 = "x264enc speed-preset=ultrafast key-int-max={gop} threads={threads}"
PAY = "video/x-h264,stream-format=avc ! rtph264pay config-interval=-1 name=pay0 pt=96"
CODECS = {
    "jpeg": "jpegenc quality=90 ! rtpjpegpay name=pay0 pt=26",
    "h264": X264.format(gop=25, threads=1) + " tune=zerolatency ! " + PAY,
    "slices": X264.format(gop=25, threads=4) + " tune=zerolatency option-string=slices=4 ! " + PAY,
    "bframes": X264.format(gop=25, threads=1)
    + " bframes=2 rc-lookahead=0 b-adapt=false sync-lookahead=0 ! "
    + PAY,
    "h265": "x265enc tune=zerolatency speed-preset=ultrafast key-int-max=25 "
    "! rtph265pay config-interval=-1 name=pay0 pt=96",
}


class Pictures:
    """Feeds one client's pipeline."""

    def __init__(self, options):
        self.fps = float(options.get("fps", "5"))
        self.size = parse(options.get("size", "320x240"))
        self.then = parse(options.get("then", options.get("size", "320x240")))
        self.at = int(options.get("at", "1000000"))
        self.pauses = options.get("stamp") == "pause"
        self.running = True
        self.number = 0
        self.source = None
        self.timer = 0

    def toggle(self):
        self.running = not self.running
        print("running" if self.running else "stopped", time.monotonic(), flush=True)
        return True

    def configure(self, _factory, media):
        self.source = media.get_element().get_by_name("source")
        self.begin, self.sent = time.monotonic(), 0
        if not self.timer:
            self.timer = GLib.timeout_add(round(1000 / self.fps), self.push)

    def push(self):
        if not self.running or self.source is None:
            return True
        width, height = self.then if self.number >= self.at else self.size
        caps = (
            f"video/x-raw,format=I420,width={width},height={height},framerate={round(self.fps)}/1"
        )
        now = time.monotonic()
        stamp = self.sent / self.fps if self.pauses else now - self.begin
        buffer = Gst.Buffer.new_wrapped(picture(self.number, width, height))
        buffer.pts = int(stamp * 1e9)
        buffer.duration = int(1e9 / self.fps)
        sample = Gst.Sample.new(buffer, Gst.Caps.from_string(caps), None, None)
        if self.source.emit("push-sample", sample) == Gst.FlowReturn.OK:
            print(self.number, now, flush=True)
        self.number += 1
        self.sent += 1
        return True


def parse(size):
    return tuple(int(side) for side in size.split("x"))


def picture(number, width, height):
    """I420: fields bright where the number has a one, on noise that no encoder takes away."""
    rows = []
    for row in range(SIDE):
        line = b"".join(
            bytes([200 if number >> (SIDE * row + column) & 1 else 55]) * (width // SIDE)
            for column in range(SIDE)
        )
        rows.append(line * (height // SIDE))
    luma = bytearray(b"".join(rows))
    for start in range(0, len(luma), width * 8):
        luma[start : start + width] = bytes(40 + value % 180 for value in os.urandom(width))
    return bytes(luma) + b"\x80" * (width * height // 2)


def main():
    port = sys.argv[1]
    options = dict(option.split("=", 1) for option in sys.argv[2:])
    Gst.init(None)
    pictures = Pictures(options)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(
        "( appsrc name=source is-live=true format=time do-timestamp=false max-bytes=100000000 "
        f"! videoconvert ! {CODECS[options.get('codec', 'h264')]} )"
    )
    factory.set_shared(True)
    factory.connect("media-configure", pictures.configure)
    lower = {"tcp": GstRtsp.RTSPLowerTrans.TCP, "udp": GstRtsp.RTSPLowerTrans.UDP}
    if "protocols" in options:
        factory.set_protocols(lower[options["protocols"]])
    if "user" in options:
        auth = GstRtspServer.RTSPAuth()
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "user")
        basic = GstRtspServer.RTSPAuth.make_basic(options["user"], options["password"])
        auth.add_basic(basic, token)
        server.set_auth(auth)
        role = Gst.Structure.new_from_string(
            "user, media.factory.access=true, media.factory.construct=true"
        )
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_role_from_structure(role)
        factory.set_permissions(permissions)
    server.get_mount_points().add_factory("/cam", factory)
    server.attach(None)
    GLib.unix_signal_add(GLib.PRIORITY_HIGH, signal.SIGUSR1, pictures.toggle)
    print("ready", flush=True)
    GLib.MainLoop().run()


main()
