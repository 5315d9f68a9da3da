"""Makes the images of this folder and what the references make of them. Needs pillow, numpy
and transformers 4.57 (whose slow image processors are the reference):

    python3 make_fixtures.py

Pixels are Pillow's exif_transpose(image).convert("RGB"); resizing is Pillow's resize of rgb.png. `cases.json` gives sizes, and
where in `expected.rgb` the RGB bytes start.
"""
import io
import json
import pathlib
import struct
import zlib

import numpy as np
import PIL
import transformers
from PIL import Image, ImageOps
from transformers import CLIPImageProcessor, Qwen2VLImageProcessor
from transformers.models.llava.image_processing_llava import LlavaImageProcessor

here = pathlib.Path(__file__).parent
random = np.random.default_rng(5)


def smooth(width, height, channels=3):
    """A picture with slow and fast changes, hard edges and saturated corners."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [
        127 + 127 * np.sin(x / (5 + 3 * c) + c) * np.cos(y / (7 + 2 * c)) + 40 * ((x // 7 + y // 5 + c) % 2)
        for c in range(channels)
    ]
    noise = random.integers(-20, 20, (height, width, channels))
    return np.clip(np.stack(planes, 2) + noise, 0, 255).astype(np.uint8)


def png16(width, height, color_type, samples):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def save(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def exif(orientation):
    data = Image.Exif()
    data[0x0112] = orientation
    return data


def adam7(width, height, depth, color, samples):
    """An interlaced PNG; Pillow can't write one. `samples` is [height][width][channels]."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = b""
    for x0, y0, dx, dy in passes:
        part = samples[y0::dy, x0::dx]
        if part.size == 0:
            continue
        for row in part:
            rows += b"\0" + row.astype(">u2" if depth == 16 else "u1").tobytes()

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 1)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


rgb = Image.fromarray(smooth(37, 23))
rgba = Image.fromarray(smooth(19, 13, 4), "RGBA")
files = {
    "rgb.png": save(rgb, "PNG"),
    "rgba.png": save(rgba, "PNG"),
    "gray.png": save(rgb.convert("L"), "PNG"),
    "gray-alpha.png": save(rgba.convert("LA"), "PNG"),
    "palette.png": save(rgb.quantize(17), "PNG", transparency=3),
    "palette-1bit.png": save(rgb.quantize(2), "PNG", bits=1),
    "bilevel.png": save(rgb.convert("1"), "PNG"),
    "gray16.png": png16(9, 7, 0, random.integers(0, 600, (7, 9))),
    "rgb16.png": png16(9, 7, 2, random.integers(0, 65536, (7, 27))),
    "gray-alpha16.png": png16(9, 7, 4, random.integers(0, 65536, (7, 18))),
    "rgba16.png": png16(9, 7, 6, random.integers(0, 65536, (7, 36))),
    "interlaced.png": adam7(37, 23, 8, 2, smooth(37, 23).reshape(23, 37, 3)),
    "interlaced-gray16.png": adam7(11, 9, 16, 0, random.integers(0, 600, (9, 11, 1))),
    "exif6.png": save(rgb, "PNG", exif=exif(6)),
    "rgb.jpg": save(rgb, "JPEG", quality=90),
    "444.jpg": save(rgb, "JPEG", quality=95, subsampling=0),
    "progressive.jpg": save(rgb, "JPEG", quality=80, progressive=True),
    "gray.jpg": save(rgb.convert("L"), "JPEG"),
    "cmyk.jpg": save(rgb.convert("CMYK"), "JPEG", quality=90),
    "lossy.webp": save(rgb, "WEBP", quality=80),
    "lossless.webp": save(rgb, "WEBP", lossless=True),
    "alpha.webp": save(rgba, "WEBP", quality=80, exact=True),
    "exif8.webp": save(rgb, "WEBP", lossless=True, exif=exif(8)),
}
for orientation in range(1, 9):
    files[f"exif{orientation}.jpg"] = save(rgb, "JPEG", quality=85, exif=exif(orientation))

expected = b""


def expect(image):
    """Keeps an image's pixels; returns where they are."""
    global expected
    start = len(expected)
    expected += np.asarray(image).tobytes()
    return {"width": image.width, "height": image.height, "offset": start}


(here / "images").mkdir(exist_ok=True)
decoded = []
for name, data in files.items():
    (here / "images" / name).write_bytes(data)
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    decoded.append({"file": name, **expect(image)})

# Where an image gets wider and much lower (200 x 7) Pillow 13 resamples columns first, as that is less work. Processors keep
# proportions, so we always take rows first.
sizes = [(12, 9), (37, 9), (80, 23), (61, 50), (36, 24), (3, 2), (1, 1), (200, 70)]
resized = [
    {"filter": int(number), **expect(rgb.resize(size, number))}
    for number in (Image.BICUBIC, Image.BILINEAR, Image.LANCZOS)
    for size in sizes
]

mean, std = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
clip = {"image_processor_type": "CLIPImageProcessor", "image_mean": mean, "image_std": std}
processors = {
    "clip": (CLIPImageProcessor, {**clip, "size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}}),
    "clip-bilinear": (CLIPImageProcessor, {**clip, "resample": 2, "size": {"height": 42, "width": 28}, "crop_size": 28}),
    "clip-small": (CLIPImageProcessor, {**clip, "size": {"shortest_edge": 21}, "crop_size": {"height": 42, "width": 42}}),
    "clip-raw": (
        CLIPImageProcessor,
        {**clip, "do_resize": False, "do_normalize": False, "crop_size": {"height": 28, "width": 14}},
    ),
    "llava-pad": (
        LlavaImageProcessor,
        {**clip, "image_processor_type": "LlavaImageProcessor", "do_pad": True, "size": {"shortest_edge": 28},
         "crop_size": {"height": 28, "width": 28}},
    ),
    "qwen": (
        Qwen2VLImageProcessor,
        {"image_processor_type": "Qwen2VLImageProcessor", "image_mean": mean, "image_std": std, "min_pixels": 3136,
         "max_pixels": 6272, "patch_size": 14, "merge_size": 2, "temporal_patch_size": 2},
    ),
}
values = b""
processed = []
(here / "processors").mkdir(exist_ok=True)
for name, (processor, options) in processors.items():
    (here / "processors" / f"{name}.json").write_text(json.dumps(options, indent=1) + "\n")
    reference = processor(**{k: v for k, v in options.items() if k != "image_processor_type"})
    for file in ("rgb.png", "exif6.png", "rgba.png"):
        image = ImageOps.exif_transpose(Image.open(here / "images" / file)).convert("RGB")
        pixel_values = np.asarray(reference(image, return_tensors="np")["pixel_values"], np.float32)
        processed.append({"name": name, "file": file, "offset": len(values), "shape": pixel_values.shape})
        values += pixel_values.tobytes()
(here / "expected.f32").write_bytes(values)
(here / "expected.rgb").write_bytes(expected)
(here / "cases.json").write_text(
    json.dumps({"pillow": PIL.__version__, "transformers": transformers.__version__, "decoded": decoded,
                "resized": resized, "processed": processed}, indent=1) + "\n"
)
