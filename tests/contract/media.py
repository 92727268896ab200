"""Small files of each kind, made here."""

from __future__ import annotations

import io

from PIL import Image

from whatsapp.driver.base import MediaFile, MediaKind


def _png() -> bytes:
    image = io.BytesIO()
    Image.new("RGB", (32, 24), (32, 128, 255)).save(image, "PNG")
    return image.getvalue()


# The boxes an MP4 begins with; nothing plays it, its bytes only have to arrive.
_MP4 = (
    b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2"
    b"\x00\x00\x00\x08free\x00\x00\x00\x10mdat" + bytes(range(8))
)

IMAGE = MediaFile(MediaKind.IMAGE, _png(), "image/png", "day.png")
VIDEO = MediaFile(MediaKind.VIDEO, _MP4, "video/mp4", "day.mp4")
DOCUMENT = MediaFile(
    MediaKind.DOCUMENT,
    b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj<<>>endobj\n%%EOF\n",
    "application/pdf",
    "guide.pdf",
)
# Silence: ten frames of MPEG-1 layer III, 128 kbit/s, 44.1 kHz.
AUDIO = MediaFile(MediaKind.AUDIO, (b"\xff\xfb\x90\x00" + bytes(413)) * 10, "audio/mpeg", "day.mp3")
