"""The recipe in a packet: whatever it says, whoever wrote the packet anew, whatever it attacks."""

import io
import json
import struct
import subprocess
import sys
import time
import zlib
from xml.etree import ElementTree

import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from impasto.config.limits import Input
from impasto.errors import InputError, PictureError
from impasto.image.picture import Picture
from impasto.image.xmp import MAX_PACKET, MAX_RECIPE, NAMESPACE, forget, pack, recipe_in, unpack
from impasto.system.files import WRITABLE
from reference.files import PHOTO_XMP, pil_bytes, png_chunks, quadrants

RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
OURS = f'xmlns:i="{NAMESPACE}"'
NASTY = [
    "{}",
    "",
    " padded \n",
    "]]>",
    "<a>&amp;&#10;'\"</a>",
    "line\r\nfeed\rtab\t",
    "\0\x01\x1f\x7f\x85",
    "\ufffe\uffff",
    "\ud800 alone",
    "猫 \u2028 \U0001f600 e\u0301",
    "<?xpacket end='w'?>",
    "<!DOCTYPE x>",
]


def described(inner: str, attributes: str = "") -> bytes:
    body = f'<rdf:Description rdf:about="" {OURS} {attributes}>{inner}</rdf:Description>'
    return f"<rdf:RDF {RDF}>{body}</rdf:RDF>".encode()


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("base", [None, PHOTO_XMP])
def test_what_is_packed_is_unpacked(text, base):
    assert unpack(pack(text, base)) == text


@given(st.text(st.characters(exclude_categories=[])))
def test_any_text(text):
    assert unpack(pack(text)) == text


def test_a_packet_as_another_parser_sees_it():
    packet = pack('{"a": "<&>"}', PHOTO_XMP)
    assert packet.startswith('<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'.encode())
    assert packet.endswith(b'<?xpacket end="w"?>')
    assert b"<x:xmpmeta" in packet
    assert b"<rdf:RDF" in packet
    root = ElementTree.fromstring(packet.decode())
    rdf = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
    assert root.tag == "{adobe:ns:meta/}xmpmeta"
    first, ours = root.find(f"{rdf}RDF")
    assert "Cat on a wall" in "".join(first.itertext())
    assert not [name for name in first.attrib if "Orientation" in name]
    assert ours.find(f"{{{NAMESPACE}}}recipe").text == '{"a": "<&>"}'
    assert ours.find("{http://ns.adobe.com/xap/1.0/}CreatorTool").text.startswith("impasto ")


def test_a_second_recipe_takes_the_place_of_the_first():
    packet = pack("new", pack("old", PHOTO_XMP))
    assert unpack(packet) == "new"
    assert b"old" not in packet
    assert unpack(pack("new", pack("\0 old"))) == "new"
    assert packet.count(b"CreatorTool>") == 2
    assert unpack(pack(None, packet)) == "new"  # the same picture in another format
    assert unpack(forget(packet)) is None
    assert b"Cat on a wall" in forget(packet)
    assert forget(b"<broken") == b"<broken"
    assert forget(PHOTO_XMP) == PHOTO_XMP


@pytest.mark.parametrize(
    "packet",
    [
        described("", "i:recipe='{\"a\": 1}'"),
        described('<i:recipe>{"a": 1}</i:recipe>'),
        described('<i:recipe><rdf:Alt><rdf:li>{"a": 1}</rdf:li></rdf:Alt></i:recipe>'),
        described('<i:recipe>\n <rdf:Bag>\n  <rdf:li>{"a": 1}</rdf:li>\n </rdf:Bag></i:recipe>'),
        described('<i:recipe><![CDATA[{"a": 1}]]></i:recipe>'),
        described('<i:recipe>{"a": 1}</i:recipe>').decode().encode("utf-16"),
        b"\xef\xbb\xbf" + described('<i:recipe>{"a": 1}</i:recipe>') + b"   \n\0",
        b'<?xml version="1.0" encoding="UTF-8"?>' + described('<i:recipe>{"a": 1}</i:recipe>'),
        described("<i:base64>\n eyJhIj\n ogMX0=\n</i:base64>"),
    ],
)
def test_what_other_programs_make_of_it(packet):
    assert unpack(packet) == '{"a": 1}'


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"not XML",
        b"<x:open>",
        PHOTO_XMP[:-80],
        b"\xff\xfe\x00",
        b"\x80\x81",
        described("<i:base64>***</i:base64>"),
        b'<!DOCTYPE a [<!ENTITY b "c">]>' + described("<i:recipe>&b;</i:recipe>"),
        ("<!DOCTYPE a>" + described("").decode()).encode("utf-16"),
        b"<a>" + b" " * 4_000_001 + b"</a>",
    ],
)
def test_what_cannot_be_read(packet):
    with pytest.raises(PictureError) as error:
        unpack(packet)
    assert "\n" not in str(error.value)


def test_a_billion_laughs_take_no_time():
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    bomb = f'<!DOCTYPE x [<!ENTITY l0 "lol">{entities}]><x>&l9;</x>'.encode()
    began = time.perf_counter()
    for attack in (lambda: unpack(bomb), lambda: pack("{}", bomb)):
        with pytest.raises(PictureError, match="document type"):
            attack()
    assert time.perf_counter() - began < 0.5


@pytest.mark.slow
def test_deep_nesting_is_an_error_and_not_a_crash():
    deep = b"<a>" * 300_000 + b"</a>" * 300_000
    assert unpack(deep) is None
    with pytest.raises(PictureError, match="nested too deeply"):
        pack("{}", deep)


def test_limits():
    assert unpack(pack("x" * MAX_RECIPE)) == "x" * MAX_RECIPE
    assert len(pack("\0" * MAX_RECIPE)) < MAX_PACKET  # also where it has to be coded
    for text in ("x" * (MAX_RECIPE + 1), "ä" * (MAX_RECIPE // 2 + 1)):
        with pytest.raises(InputError, match="more than the 32000") as error:
            pack(text)
        assert not isinstance(error.value, PictureError)
    with pytest.raises(PictureError, match="60000"):
        pack("{}", PHOTO_XMP.replace(b"Cat", b"C" * 60_000))


# ---- in files


@pytest.mark.parametrize("suffix", WRITABLE)
@pytest.mark.parametrize("text", NASTY[:-1])
def test_through_every_format(suffix, text, monkeypatch):
    data = Picture.of(quadrants()).encode(suffix, recipe=text)
    monkeypatch.setattr(pyvips.Image, "write_to_memory", None)  # no pixel is unpacked
    assert recipe_in(data, "it") == text
    assert Image.open(io.BytesIO(data)).info["xmp"].count(b"CreatorTool") == 2


@pytest.mark.parametrize("suffix", WRITABLE)
def test_no_recipe(suffix):
    assert recipe_in(Picture.of(quadrants()).encode(suffix), "it") is None
    assert recipe_in(pil_bytes(quadrants(), "GIF"), "it") is None
    assert recipe_in(pil_bytes(quadrants(), "BMP"), "it") is None


def test_what_other_programs_save_is_found():
    """Pillow writes packets by its own means into each of the formats."""
    packet = described("", "i:recipe='{\"a\": 1}'")
    for format in ("JPEG", "TIFF", "WEBP", "AVIF"):
        options = {"tiffinfo": {700: packet}} if format == "TIFF" else {"xmp": packet}
        assert recipe_in(pil_bytes(quadrants(), format, **options), "it") == '{"a": 1}'


@pytest.mark.parametrize("kind", [b"iTXt", b"iTXt packed", b"zTXt"])
@pytest.mark.parametrize("last", [False, True])
def test_where_a_png_may_have_it(kind, last):
    packed = zlib.compress(pack("{}"))
    body = {
        b"iTXt": b"\0\0\0en\0name\0" + pack("{}"),
        b"iTXt packed": b"\0\1\0\0\0" + packed,
        b"zTXt": b"\0\0" + packed,
    }[kind]
    body = kind[:4] + b"XML:com.adobe.xmp" + body
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    data = pil_bytes(quadrants(), "PNG")
    at = len(data) - 12 if last else 33
    data = data[:at] + chunk + data[at:]
    assert png_chunks(data)
    assert recipe_in(data, "it") == "{}"
    assert Picture.open(data)._info.xmp == pack("{}")


def test_a_bomb_in_a_png_is_bounded():
    body = b"zTXtXML:com.adobe.xmp\0\0" + zlib.compress(bytes(50_000_000), 9)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    data = pil_bytes(quadrants(), "PNG")
    data = data[:33] + chunk + data[33:]
    for read in (Picture.open, lambda data: recipe_in(data, "it")):
        with pytest.raises(PictureError, match="texts that unpack to more than 4,000,000 bytes"):
            read(data)
    raised = Input(max_text=60_000_000)
    assert len(Picture.open(data, limits=raised)._info.xmp) <= 4_000_000


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG\r\n\x1a\nxx", b"%PDF-1.4", b"II*\0zz"])
def test_not_a_picture(data):
    with pytest.raises(PictureError, match="cat") as error:
        recipe_in(data, "cat")
    assert "\n" not in str(error.value)


def test_a_damaged_packet_names_the_file():
    data = pil_bytes(quadrants(), "JPEG", xmp=b"<broken")
    with pytest.raises(PictureError, match=r"cat\.jpg: its XMP is damaged"):
        recipe_in(data, "cat.jpg")


def test_a_converted_result_keeps_its_recipe_and_a_new_one_does_not():
    first = Picture.open(Picture.of(quadrants()).encode(".png", recipe=json.dumps({"n": 1})))
    assert recipe_in(first.encode(".jpg", metadata="keep"), "it") == '{"n": 1}'
    assert recipe_in(first.encode(".jpg"), "it") is None
    made = Picture.from_tensor(first.tensor(), source=first)
    assert recipe_in(made.encode(".jpg", metadata="keep"), "it") is None


def test_without_torch_and_without_libvips():
    code = "import sys, impasto.image.xmp; print({'torch', 'pyvips'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
