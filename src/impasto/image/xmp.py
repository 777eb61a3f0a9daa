"""Store the recipe in a picture file, in its XMP packet, and read it back.

    packet = pack(recipe)                     # bytes for the file
    recipe = recipe_in(data, "cat.png")       # JSON text, or None
    recipe = read_recipe("cat.png")           # a `Recipe`, from a picture or a JSON file

A packet is untrusted: its size is limited, and one with a document type, which could define entities that
expand without end, is refused.
"""

import base64
import os
import re
from collections.abc import Callable
from xml.etree import ElementTree as Tree

from impasto._version import __version__
from impasto.config.limits import Input
from impasto.config.recipe import Recipe
from impasto.errors import InputError, PictureError
from impasto.messages import printable
from impasto.system.files import read_whole

NAMESPACE = "urn:impasto:recipe:1"
MAX_RECIPE = 32_000  # bytes of a recipe
MAX_PACKET = 60_000  # bytes of a packet that is written; a segment of a JPEG holds 65,502
_MAX_READ = 4_000_000  # bytes of a packet that is read: histories of edits grow large
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XMP = "http://ns.adobe.com/xap/1.0/"
_TIFF = "http://ns.adobe.com/tiff/1.0/"
_META = "adobe:ns:meta/"
_EXIF, _EXIF_EX = "http://ns.adobe.com/exif/1.0/", "http://cipa.jp/exif/1.0/"
_DC, _PHOTOSHOP = "http://purl.org/dc/elements/1.1/", "http://ns.adobe.com/photoshop/1.0/"
_PREFIXES = {  # the usual ones; some programs compare them instead of the namespaces
    "x": _META,
    "rdf": _RDF,
    "xmp": _XMP,
    "tiff": _TIFF,
    "exif": _EXIF,
    "dc": _DC,
    "photoshop": _PHOTOSHOP,
    "xmpMM": "http://ns.adobe.com/xap/1.0/mm/",
    "xmpRights": "http://ns.adobe.com/xap/1.0/rights/",
    "aux": "http://ns.adobe.com/exif/1.0/aux/",
    "exifEX": _EXIF_EX,
    "stEvt": "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#",
    "stRef": "http://ns.adobe.com/xap/1.0/sType/ResourceRef#",
    "stDim": "http://ns.adobe.com/xap/1.0/sType/Dimensions#",
    "stArea": "http://ns.adobe.com/xmp/sType/Area#",
    "xmpBJ": "http://ns.adobe.com/xap/1.0/bj/",
    "xmpDM": "http://ns.adobe.com/xmp/1.0/DynamicMedia/",
    "pdf": "http://ns.adobe.com/pdf/1.3/",
    "lr": "http://ns.adobe.com/lightroom/1.0/",
    "Iptc4xmpCore": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "plus": "http://ns.useplus.org/ldf/xmp/1.0/",
    "cc": "http://creativecommons.org/ns#",
    "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
    "mwg-kw": "http://www.metadataworkinggroup.com/schemas/keywords/",
    "MicrosoftPhoto": "http://ns.microsoft.com/photo/1.0/",
    "MP": "http://ns.microsoft.com/photo/1.2/",
    "MPRI": "http://ns.microsoft.com/photo/1.2/t/RegionInfo#",
    "MPReg": "http://ns.microsoft.com/photo/1.2/t/Region#",
    "digiKam": "http://www.digikam.org/ns/1.0/",
    "acdsee": "http://ns.acdsee.com/iptc/1.0/",
    "GettyImagesGIFT": "http://xmp.gettyimages.com/gift/1.0/",
    "impasto": NAMESPACE,
}
_PREFIX_OF = {uri: prefix for prefix, uri in _PREFIXES.items()}
_XML = "http://www.w3.org/XML/1998/namespace"  # of `xml:lang`; never declared
_RECIPE = f"{{{NAMESPACE}}}recipe"
_CODED = f"{{{NAMESPACE}}}base64"  # for text that XML cannot hold
_CREATOR = f"{{{_XMP}}}CreatorTool"
_FOREIGN = (  # namespaces of what only the old file has: motion, maps of gains, panorama, depth, development
    *("http://ns.google.com/", "http://ns.apple.com/", "http://ns.oplus.com/", "http://ns.xiaomi.com/"),
    *("http://ns.samsung.com/", "http://ns.huawei.com/", "http://ns.honor.com/", "http://ns.vivo.com/"),
    *("http://ns.adobe.com/hdr-", "http://ns.adobe.com/camera-raw-", "http://ns.adobe.com/xmp/note/"),
    *("http://ns.adobe.com/xap/1.0/g/img/", "http://ns.adobe.com/xap/1.0/t/pg/"),
)
_OF_TIFF = re.compile(r"Make|Model|Artist|Copyright|ImageDescription|DateTime|Software")  # all that is kept
_CLAIMS = {  # namespace -> names in it that are about the old file: thumbnails, sizes, colors, its history
    _XMP: r"Thumbnails|PageInfo|BaseURL",
    _DC: r"format",
    _PHOTOSHOP: r"ICCProfile|ColorMode|DocumentAncestors|History|TextLayers|SidecarForExtension|\w+Digest",
    _EXIF: r"ColorSpace|Pixel[XY]Dimension|ComponentsConfiguration|CompressedBitsPerPixel|Gamma|NativeDigest"
    r"|MakerNote|CFAPattern|OECF|SpatialFrequencyResponse|FocalPlane\w+|Subject(Area|Location)|CustomRendered"
    r"|Contrast|Saturation|Sharpness|DeviceSettingDescription|SceneType|FileSource|RelatedSoundFile|ImageUniqueID",
    _EXIF_EX: r"InteroperabilityIndex|Gamma|\w*Composite\w*",
    _PREFIXES["mwg-rs"]: r"AppliedToDimensions",
}
_ANYWHERE = re.compile(r"(?i)\w*(motion_?photo|micro_?video|gain_?map|panorama|thumbnail)\w*")  # by any maker
_PLAIN = re.compile("[\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")
_BEGIN = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
_END = '\n<?xpacket end="w"?>'


def pack(recipe: str | None, base: bytes | None = None) -> bytes:
    """Return a packet that holds the recipe.

    Args:
        recipe: Its JSON text; None leaves a recipe in `base` unchanged.
        base: The packet of the photo, which is kept without what is about its file: see `_is_claim`.

    Raises:
        InputError: The recipe is larger than `MAX_RECIPE` bytes.
        PictureError: `base` cannot be read, or the packet would be larger than `MAX_PACKET` bytes.
    """
    size = len(recipe.encode("utf-8", "surrogatepass")) if recipe is not None else 0
    if size > MAX_RECIPE:
        raise InputError(
            f"the recipe has {size} bytes, more than the {MAX_RECIPE} that fit into a picture; "
            "write it to a file of its own"
        )
    root = _parsed(base) if base else Tree.Element(f"{{{_META}}}xmpmeta")
    _remove(root, _is_claim)
    rdf = next(root.iter(f"{{{_RDF}}}RDF"), None)
    if rdf is None:
        rdf = Tree.SubElement(root, f"{{{_RDF}}}RDF")
    if recipe is not None:
        _remove(root, {_RECIPE, _CODED, _CREATOR}.__contains__)
        ours = Tree.SubElement(rdf, f"{{{_RDF}}}Description", {f"{{{_RDF}}}about": ""})
        Tree.SubElement(ours, _CREATOR).text = f"impasto {__version__}"
        if _PLAIN.fullmatch(recipe):
            Tree.SubElement(ours, _RECIPE).text = recipe
        else:
            coded = base64.b64encode(recipe.encode("utf-8", "surrogatepass"))
            Tree.SubElement(ours, _CODED).text = coded.decode("ascii")
    packet = _serialize(root)
    if len(packet) > MAX_PACKET:
        raise PictureError(f"the XMP would have {len(packet)} bytes; {MAX_PACKET} fit into a file")
    return packet


def unpack(packet: bytes) -> str | None:
    """Return the recipe in a packet, also if another program rewrote it; None if there is none.

    Raises:
        PictureError: The packet cannot be read.
    """
    for element in _parsed(packet).iter():
        for name in (_RECIPE, _CODED):
            text = element.get(name)
            if element.tag == name:
                inner = "".join(element.itertext())
                text = inner.strip() if len(element) else inner  # in a list: without white space
            if text is None:
                continue
            if name == _RECIPE:
                return text
            try:
                coded = base64.b64decode("".join(text.split()), validate=True)
                return coded.decode("utf-8", "surrogatepass")
            except ValueError as error:
                raise PictureError(f"its recipe is damaged ({error}); save the picture anew") from error
    return None


def forget(packet: bytes) -> bytes:
    """Return the packet without a recipe, for a picture made from this one."""
    if not packet:
        return packet
    try:
        root = _parsed(packet)
    except PictureError:
        return packet  # unreadable, so no recipe is in it
    return _serialize(root) if _remove(root, {_RECIPE, _CODED}.__contains__) else packet


def recipe_in(data: bytes, label: str) -> str | None:
    """Return the JSON text of the recipe in a picture file, or None if there is none.

    The pixels are not unpacked.

    Args:
        data: A PNG, JPEG, TIFF, WebP or AVIF file.
        label: Its name in messages.

    Raises:
        PictureError: It is damaged, or not a picture that can be read.
    """
    from impasto.image.decode import xmp_in

    packet = xmp_in(data, label)
    try:
        return unpack(packet) if packet else None
    except PictureError as error:
        raise PictureError(f"{label}: {error}") from error


def _parsed(packet: bytes) -> Tree.Element:
    """Return the root element of a packet."""
    if len(packet) > _MAX_READ:
        raise PictureError(f"its XMP is larger than {_MAX_READ // 10**6} MB; save it without")
    wide = packet.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = packet.decode("utf-16" if wide else "utf-8-sig").strip("\0\ufeff \t\r\n")
        if "<!DOCTYPE" in text:  # compared as text, so that no encoding can hide it
            raise PictureError("its XMP has a document type, which is not allowed; remove it")
        return Tree.fromstring(text)
    except (Tree.ParseError, ValueError) as error:
        raise PictureError(f"its XMP is damaged ({error}); save the picture anew") from error


def _serialize(root: Tree.Element) -> bytes:
    """Return a complete packet in UTF-8."""
    _prefix(root)
    try:
        body = Tree.tostring(root, encoding="unicode")
    except RecursionError as error:
        raise PictureError("its XMP is nested too deeply; save the picture anew") from error
    return f"{_BEGIN}{body}{_END}".encode()


def _prefix(root: Tree.Element) -> None:
    """Give all names the prefix of their namespace, and declare it at the root.

    `Tree.register_namespace` would do so for the whole process.
    """
    used = dict[str, str]()

    def prefixed(name: str) -> str:
        space, _, local = name.removeprefix("{").rpartition("}")
        if not space:
            return name
        if space == _XML:
            return f"xml:{local}"
        return f"{used.setdefault(space, _PREFIX_OF.get(space, f'ns{len(used)}'))}:{local}"

    for element in root.iter():
        element.tag = prefixed(element.tag)
        element.attrib = {prefixed(name): value for name, value in element.attrib.items()}
    declared = sorted((f"xmlns:{prefix}", space) for space, prefix in used.items())
    root.attrib = {**dict(declared), **root.attrib}


def _is_claim(name: str) -> bool:
    """Whether an element or attribute is about the file from which a picture was made, and not about it."""
    space, _, local = name.removeprefix("{").rpartition("}")
    if space == _TIFF:
        return _OF_TIFF.fullmatch(local) is None
    known = _CLAIMS.get(space)
    named = known is not None and re.fullmatch(known, local) is not None
    return named or space.startswith(_FOREIGN) or (bool(space) and _ANYWHERE.fullmatch(local) is not None)


def _remove(root: Tree.Element, unwanted: Callable[[str], bool]) -> bool:
    """Remove all elements and attributes of these names; return whether there were any."""
    removed = False
    for element in root.iter():
        for name in [name for name in element.attrib if unwanted(name)]:
            del element.attrib[name]
            removed = True
        for child in [child for child in element if isinstance(child.tag, str) and unwanted(child.tag)]:
            element.remove(child)
            removed = True
    return removed


def read_recipe(path: str | os.PathLike[str]) -> Recipe:
    """Read the recipe in a picture, or the JSON file beside it (`--recipe`).

    Raises:
        InputError: It cannot be read, or holds no recipe of this version.
    """
    label = printable(path)
    data = read_whole(path, Input.from_environment().max_bytes, "a picture or a recipe")
    if data.lstrip()[:1] == b"{":
        return Recipe.from_json(data, label)
    text = recipe_in(data, label)
    if text is None:
        raise InputError(
            f"{label} holds no recipe: it was not made by impasto, was saved with --metadata strip, is "
            "the sheet of a grid or an intermediate picture, or another program dropped it; give a picture "
            "made by impasto, or the recipe beside it (--recipe)"
        )
    return Recipe.from_json(text, label)
