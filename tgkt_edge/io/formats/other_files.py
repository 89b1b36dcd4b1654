"""Files that people take for images or videos of ours and that are not read: each by its name, with what to do."""

from __future__ import annotations

import re

_AS_PNG = "Save it as PNG."
_AS_NPY = "Save its numbers as .npy, .exr or PFM."
_AS_COUNTS = "Export its counts as 16-bit PNG or TIFF."
_FRAMES = "Write its frames as 16-bit PNG or .npy."
_POINTS = "Points have no rows and columns: write the camera's depth image as 16-bit PNG."
_UNPACK = "Unpack it."
_CONVERT = (
    "Convert it, to 16 bits with: ffmpeg -i IN -pix_fmt gray16le -c:v ffv1 OUT.mkv, or to 8 bits with: ffmpeg -i IN "
    "-pix_fmt gray -c:v ffv1 OUT.mkv"
)

_KNOWN: tuple[tuple[int, bytes, str, str], ...] = (
    # offset, bytes, what it is, what to do
    (0, b"P7", "a PAM", _AS_PNG),
    (0, b"P1", "a bitmap of one bit (PBM)", _AS_PNG),
    (0, b"P4", "a bitmap of one bit (PBM)", _AS_PNG),
    (0, b"GIF8", "a GIF", _AS_PNG),
    (0, b"#?RADIANCE", "a Radiance HDR", _AS_NPY),
    (0, b"#?RGBE", "a Radiance HDR", _AS_NPY),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000", _AS_PNG),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000", _AS_PNG),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL", _AS_PNG),
    (0, b"\xff\x0a", "a JPEG XL", _AS_PNG),
    (0, b"II\xbc\x01", "a JPEG XR", _AS_PNG),
    (0, b"\x8aMNG", "a MNG", _AS_PNG),
    (0, b"\x8bJNG", "a JNG", _AS_PNG),
    (0, b"\x59\xa6\x6a\x95", "a Sun raster", _AS_PNG),
    (0, b"\x01\xda", "an SGI image", _AS_PNG),
    (0, b"\0\0\1\0", "an icon (ICO)", _AS_PNG),
    (0, b"icns", "an icon (ICNS)", _AS_PNG),
    (0, b"DDS ", "a DirectDraw surface", _AS_PNG),
    (0, b"\xabKTX", "a KTX texture", _AS_PNG),
    (0, b"\x0a\x05\1", "a PCX", _AS_PNG),
    (0, b"BPG\xfb", "a BPG", _AS_PNG),
    (0, b"qoif", "a QOI", _AS_PNG),
    (0, b"FLIF", "a FLIF", _AS_PNG),
    (0, b"SDPX", "a DPX", _AS_PNG),
    (0, b"XPDS", "a DPX", _AS_PNG),
    (0, b"8BPS", "a Photoshop file", _AS_PNG),
    (0, b"gimp xcf", "a GIMP file", _AS_PNG),
    (0, b"%PDF", "a PDF", _AS_PNG),
    (0, b"SIMPLE  =", "a FITS file", _AS_PNG),
    (128, b"DICM", "a DICOM file", _AS_COUNTS),
    (0, b"FFF\0", "a FLIR file (FFF or SEQ)", _AS_COUNTS),
    (0, b"AFF\0", "a FLIR file (AFF or SEQ)", _AS_COUNTS),
    (0, b"FUJIFILMCCD-RAW", "a camera's raw file (RAF)", _AS_COUNTS),
    (0, b"ONI", "a recording of OpenNI (.oni)", _FRAMES),
    (0, b"MATLAB 5.0", "a MATLAB file", _FRAMES),
    (0, b"PAR1", "a Parquet table", _FRAMES),
    (0, b"\x80\4\x95", "a Python pickle", "Write its frames with numpy.save."),
    (0, b"# .PCD", "a point cloud (PCD)", _POINTS),
    (0, b"ply\n", "a point cloud or mesh (PLY)", _POINTS),
    (0, b"ply\r", "a point cloud or mesh (PLY)", _POINTS),
    (0, b"LASF", "a point cloud (LAS)", _POINTS),
    (0, b"\x89HDF", "an HDF5 file",
     "'tgkt-edge data prepare' reads NYU Depth v2's; write other frames as PNG."),
    (0, b"YUV4MPEG2 ", "a Y4M video", _CONVERT),
    (0, b"nut/multimedia container", "a NUT video", _CONVERT),
    (0, b"FLV\1", "an FLV video", _CONVERT),
    (0, b"DKIF", "an IVF video", _CONVERT),
    (0, b"\0\0\1\xba", "an MPEG program stream", _CONVERT),
    (0, b"OggS", "an Ogg file", _CONVERT),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a Windows Media file", _CONVERT),
    (0, b"#EXTM3U", "a playlist (HLS)", _CONVERT),
    (0, b"\x1f\x8b", "a gzip archive", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive", _UNPACK),
    (0, b"\xfd7zXZ\0", "an XZ archive", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (0, b"BZh", "a bzip2 archive", _UNPACK),
    (0, b"Rar!", "a RAR archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"version https://git-lfs", "a pointer of Git LFS", "Fetch the file itself: git lfs pull"),
    (0, b"/annex/objects/", "a pointer of git-annex", "Fetch the file itself: git annex get FILE"),
)  # fmt: skip

_HEIF = (
    b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"msf1", b"MiHB", b"MiHE",
    b"MiHA",
)  # fmt: skip
_AVIF = (b"avif", b"avis")
_IMAGE_BRANDS = {
    **dict.fromkeys(_HEIF, "a HEIF image (HEIC)"), **dict.fromkeys(_AVIF, "an AVIF"), b"jxl ": "a JPEG XL",
    b"jp2 ": "a JPEG 2000", b"jpx ": "a JPEG 2000", b"j2ki": "a JPEG 2000", b"j2is": "a JPEG 2000",
    b"crx ": "a camera's raw image (CR3)",
}  # fmt: skip
"""What the brands of ISO's container (``ftyp``) say where they do not mean a film."""

_TEXT = re.compile(rb"\s*(?:\xef\xbb\xbf)?\s*<(?:!doctype html|html|\?xml|svg|error)", re.IGNORECASE)
_TS_PACKET = 188


def refusal(head: bytes) -> str:
    """What a file is that begins with ``head`` and is neither an image nor a video that is read, with what to do about
    it; empty: not known."""
    image = image_of_brands(head)
    if image:
        return f"is {image}, which is not read. {_AS_PNG}"
    for offset, magic, what, advice in _KNOWN:
        if head.startswith(magic, offset) and (magic[:1] != b"P" or len(magic) > 2 or head[2:3].isspace()):
            return f"is {what}, which is not read. {advice}"
    if head[:1] == head[_TS_PACKET : _TS_PACKET + 1] == b"G":
        return f"is an MPEG transport stream, which is not read. {_CONVERT}"
    if _TEXT.match(head):
        return (
            "is a web page or another text (HTML, XML), not an image. Was it downloaded from an address that asks for "
            "a login, or that no longer has it?"
        )
    return ""


def image_of_brands(head: bytes) -> str:
    """The image that a file of ISO's container holds; empty: a film, or no such file.

    The brand that it calls its own comes first. ``mif1`` and ``msf1`` leave the codec open, which the others tell.
    """
    if head[4:8] != b"ftyp":
        return ""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))]
    own = brands[0]
    if own in (b"mif1", b"mif2", b"msf1") and any(brand in _AVIF for brand in brands):
        own = b"avif"
    return _IMAGE_BRANDS.get(own, "")
