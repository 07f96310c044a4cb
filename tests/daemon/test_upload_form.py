"""Forms from strangers are read in a time that grows with their length, whatever stands in them."""

import pytest

from daemon.errors import UploadBroken
from daemon.http.upload_form import MAX_PARTS, UploadForm
from support.growth import grows_linearly

DISPOSITIONS = {
    "quotes that are escaped and never opened": lambda n: 'form-data; name="x"; y' + '\\"' * n,
    "a quote that is never closed": lambda n: 'form-data; name="x"; y="' + '\\"' * n,
    "backslashes": lambda n: 'form-data; name="' + "\\\\" * n + '"',
    "quotes": lambda n: 'form-data; name="x"; y' + '"' * n,
    "names in another character set": lambda n: 'form-data; name="x"' + "; filename*=x'" * (n // 14),
    "semicolons": lambda n: 'form-data; name="x"' + ";" * n,
    "blanks": lambda n: 'form-data; name="x";' + " " * n + "=",
    "equals signs": lambda n: 'form-data; name="x"; a' + " =" * n,
}


def read(disposition):
    part = f"--B\r\nContent-Disposition: {disposition}\r\n\r\n\r\n".encode()
    form = UploadForm("multipart/form-data; boundary=B")
    try:
        list(form.feed(part * (MAX_PARTS - 1) + b"--B--\r\n"))
        form.end()
    except UploadBroken:
        return


@pytest.mark.parametrize("kind", DISPOSITIONS)
def test_every_header_of_a_part_is_parsed_in_linear_time(kind):
    assert grows_linearly(lambda n: read(DISPOSITIONS[kind](n)), 125)


@pytest.mark.parametrize("unit", ["\\\\", '\\"', "a=", ";", ' ="', "'"])
def test_every_content_type_is_parsed_in_linear_time(unit):
    def announce(n):
        try:
            UploadForm('multipart/form-data; boundary=B; a="' + unit * n)
        except UploadBroken:
            return

    assert grows_linearly(announce, 500)


@pytest.mark.parametrize("name", ["undefined''x%41.gcode", "idna''xn--a%2d", "none''%41", "utf-8''%ff"])
def test_a_name_that_cannot_be_decoded_is_refused(name):
    upload = UploadForm("multipart/form-data; boundary=b")
    head = f'--b\r\nContent-Disposition: form-data; name="file"; filename*={name}\r\n\r\n'
    with pytest.raises(UploadBroken, match="name cannot be decoded"):
        list(upload.feed(head.encode()))


def test_a_name_in_latin_1_is_refused_in_words():
    upload = UploadForm("multipart/form-data; boundary=b")
    head = '--b\r\nContent-Disposition: form-data; name="file"; filename="dürr.gcode"\r\n\r\n'.encode("latin-1")
    with pytest.raises(UploadBroken) as refusal:
        list(upload.feed(head))
    assert str(refusal.value) == ("the form cannot be read: a header in it, such as the name of the file, is not UTF-8")
