"""`--metadata keep`: what describes the photo stays, what is about its old file goes, in EXIF and in XMP."""

import io
import re

import pytest
from PIL import Image

from impasto.image.picture import Picture
from impasto.image.xmp import pack, unpack
from reference.files import pil_bytes, quadrants

STAYS = {  # name -> namespace; written as attributes
    "tiff:Make": "http://ns.adobe.com/tiff/1.0/",
    "exif:FNumber": "http://ns.adobe.com/exif/1.0/",
    "exif:GPSLatitude": "http://ns.adobe.com/exif/1.0/",
    "exifEX:LensModel": "http://cipa.jp/exif/1.0/",
    "aux:Lens": "http://ns.adobe.com/exif/1.0/aux/",
    "photoshop:City": "http://ns.adobe.com/photoshop/1.0/",
    "xmp:Rating": "http://ns.adobe.com/xap/1.0/",
    "xmpRights:WebStatement": "http://ns.adobe.com/xap/1.0/rights/",
    "xmpMM:OriginalDocumentID": "http://ns.adobe.com/xap/1.0/mm/",
    "dc:source": "http://purl.org/dc/elements/1.1/",
    "lr:hierarchicalSubject": "http://ns.adobe.com/lightroom/1.0/",
    "Iptc4xmpCore:Location": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
    "Iptc4xmpExt:Event": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "plus:ImageSupplierName": "http://ns.useplus.org/ldf/xmp/1.0/",
    "digiKam:PickLabel": "http://www.digikam.org/ns/1.0/",
    "MicrosoftPhoto:Rating": "http://ns.microsoft.com/photo/1.0/",
}
GOES = {
    "GCamera:MotionPhoto": "http://ns.google.com/photos/1.0/camera/",
    "Container:Version": "http://ns.google.com/photos/1.0/container/",
    "Item:Mime": "http://ns.google.com/photos/1.0/container/item/",
    "GPano:ProjectionType": "http://ns.google.com/photos/1.0/panorama/",
    "GDepth:Format": "http://ns.google.com/photos/1.0/depthmap/",
    "OpCamera:MotionPhotoOwner": "http://ns.oplus.com/photos/1.0/camera/",
    "MiCamera:XMPMeta": "http://ns.xiaomi.com/photos/1.0/camera/",
    "maker:MotionPhotoVideo": "http://example.com/some/maker/",
    "hdrgm:Version": "http://ns.adobe.com/hdr-gain-map/1.0/",
    "HDRGainMap:HDRGainMapVersion": "http://ns.apple.com/HDRGainMap/1.0/",
    "apdi:AuxiliaryImageType": "http://ns.apple.com/pixeldatainfo/1.0/",
    "crs:Exposure2012": "http://ns.adobe.com/camera-raw-settings/1.0/",
    "xmpNote:HasExtendedXMP": "http://ns.adobe.com/xmp/note/",
    "xmp:Thumbnails": "http://ns.adobe.com/xap/1.0/",
    "xmpGImg:width": "http://ns.adobe.com/xap/1.0/g/img/",
    "dc:format": "http://purl.org/dc/elements/1.1/",
    "photoshop:ICCProfile": "http://ns.adobe.com/photoshop/1.0/",
    "photoshop:ColorMode": "http://ns.adobe.com/photoshop/1.0/",
    "exif:ColorSpace": "http://ns.adobe.com/exif/1.0/",
    "exif:PixelXDimension": "http://ns.adobe.com/exif/1.0/",
    "exif:PixelYDimension": "http://ns.adobe.com/exif/1.0/",
    "exif:FocalPlaneXResolution": "http://ns.adobe.com/exif/1.0/",
    "exifEX:CompositeImage": "http://cipa.jp/exif/1.0/",
    "tiff:Orientation": "http://ns.adobe.com/tiff/1.0/",
    "tiff:ImageWidth": "http://ns.adobe.com/tiff/1.0/",
    "tiff:BitsPerSample": "http://ns.adobe.com/tiff/1.0/",
    "tiff:XResolution": "http://ns.adobe.com/tiff/1.0/",
}


def packet(names: dict[str, str], *, elements: bool) -> bytes:
    spaces = {name.split(":")[0]: uri for name, uri in names.items()}
    declared = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in spaces.items())
    values = {name: f"value of {name}" for name in names}
    attributes = "" if elements else " ".join(f'{name}="{value}"' for name, value in values.items())
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in values.items()) if elements else ""
    described = f'<rdf:Description rdf:about="" {declared} {attributes}>{inner}</rdf:Description>'
    rdf = f'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">{described}</rdf:RDF>'
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{rdf}</x:xmpmeta>'.encode()


@pytest.mark.parametrize("elements", [False, True])
def test_claims_about_the_old_file_go_and_the_rest_keeps_its_usual_prefix(elements):
    kept = pack('{"n": 1}', packet(STAYS | GOES, elements=elements)).decode()
    for name in STAYS:
        written = f"<{name}>value of {name}</{name}>" if elements else f'{name}="value of {name}"'
        assert written in kept
    for name, uri in GOES.items():
        assert f"value of {name}" not in kept
        if uri not in STAYS.values():
            assert uri not in kept
    assert not re.search(r"\bns\d+:", kept)
    assert "impasto:recipe" in kept


def test_structures_of_claims_go_with_all_that_is_inside():
    inside = (
        b'<Container:Directory xmlns:Container="http://ns.google.com/photos/1.0/container/"><rdf:Seq><rdf:li>'
        b'<dc:title xmlns:dc="http://purl.org/dc/elements/1.1/">secret</dc:title></rdf:li></rdf:Seq>'
        b"</Container:Directory>"
    )
    base = packet({"dc:source": "http://purl.org/dc/elements/1.1/"}, elements=True)
    kept = pack(None, base.replace(b"</rdf:Description>", inside + b"</rdf:Description>"))
    assert b"secret" not in kept
    assert b"value of dc:source" in kept


def test_a_packet_inside_a_claim_does_not_take_the_recipe_with_it():
    inner = packet({"dc:source": "http://purl.org/dc/elements/1.1/"}, elements=True)
    base = b'<a><hdrgm:all xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/">' + inner + b"</hdrgm:all></a>"
    assert unpack(pack("{}", base)) == "{}"


def exif() -> Image.Exif:
    result = Image.Exif()
    result[271], result[274], result[256] = "Camco", 1, 4000
    result[0x8769] = {
        **{0x829A: 0.01, 0x9003: "2020:01:02 03:04:05", 0xA434: "Lens 50"},  # exposure, date, lens
        **{0xA001: 0xFFFF, 0xA002: 4000, 0xA003: 3000, 0xA005: {1: "R03"}, 0xA500: 1.8},  # colors and sizes
        **{0x927C: b"note of the maker", 0xA20E: 2000.0, 0x9214: (9, 9), 0xA460: 3, 0xA401: 6},
        **{0x8897: 1, 0xA408: 2},  # a moving picture, contrast
    }
    return result


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_exif_without_claims_about_the_old_file(suffix):
    data = pil_bytes(quadrants(), "JPEG", exif=exif())
    kept = Image.open(io.BytesIO(Picture.open(data).encode(suffix, metadata="keep"))).getexif()
    camera = kept.get_ifd(0x8769)
    assert kept[271] == "Camco"
    assert (float(camera[0x829A]), camera[0x9003], camera[0xA434]) == (0.01, "2020:01:02 03:04:05", "Lens 50")
    assert camera[0xA001] == 1
    assert set(camera) <= {0x829A, 0x9003, 0xA434, 0xA001, 0x9000, 0xA000, 0xA002, 0xA003}
    assert (camera.get(0xA002, 64), camera.get(0xA003, 40)) == (64, 40)  # those of the result


def test_a_photo_of_a_telephone(request):
    file = request.config.rootpath / "../shared/cases/metadata-of-another-file.jpg"
    if not file.is_file():
        pytest.skip("the photo is not here")
    data = Picture.open(file).encode(".jpg", metadata="keep", recipe="{}")
    assert b"Exampletown" in data
    for claim in (
        b"hdrgm",
        b"GCamera",
        b"GPano",
        b"ImageWidth",
        b"PixelXDimension",
        b"ICCProfile",
        b"MotionPhoto",
    ):
        assert claim not in data
