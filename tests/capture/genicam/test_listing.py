"""``pitwatch cameras`` on Aravis' fake camera, in a network of its own."""

from __future__ import annotations

from dataclasses import replace

from agent.cameras.listing import all_cameras
from agent.cameras.watch import watch
from agent.config import Camera, GenicamOptions
from tests.capture.genicam.networks import CABLE, THERE, FarSide, in_own_network


def test_a_camera_is_listed_watched_and_listed_again_free() -> None:
    def body() -> None:
        with FarSide() as far:
            far.power_on()
            options = GenicamOptions(interface=CABLE)
            (before,), trouble = all_cameras(options)
            assert trouble == ""
            assert before.url == "genicam://serial/GV01"
            assert (before.address, before.access) == (THERE, "free")
            assert (before.width_px, before.pixel_format) == (512, "Mono8")
            assert "BayerRG8" in before.formats
            source = f"genicam://ip/{THERE}?packet_size=8000&roi=0,0,64,48&trigger=software"
            seen = watch(Camera(name="cam1", source=source, fps=20.0), 0.5)
            assert seen.pictures > 1
            assert seen.newest[0].image.shape == (48, 64, 3)
            assert not seen.refused
            (after,), _ = all_cameras(options)
            assert after == replace(before, width_px=64, height_px=48)

    in_own_network(body)
