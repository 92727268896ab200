"""One file that the disk does not let go of keeps no other from being deleted."""

from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone

from accounts import uploads
from tests.logged import errors
from whatsapp import media

PDF = b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n"


@pytest.fixture
def sticky(monkeypatch):
    """The disk does not let go of these files."""
    names: set[str] = set()
    delete = default_storage.delete

    def chokes(name):
        if name in names:
            raise PermissionError(name)
        delete(name)

    monkeypatch.setattr(default_storage, "delete", chokes)
    return names


@pytest.mark.usefixtures("media_folder")
def test_a_file_that_cannot_be_deleted_keeps_no_other(
    tenant, sticky, django_capture_on_commit_callbacks, caplog
):
    bad, good = (
        media.store(tenant=tenant, data=PDF + b"%%%d" % n, filename=f"{n}.pdf") for n in (1, 2)
    )
    sticky.add(bad.file.name)

    with django_capture_on_commit_callbacks(execute=True):
        assert media.forget([bad.pk, good.pk]) == 2

    assert not default_storage.exists(good.file.name)
    assert [line["media_id"] for line in errors(caplog, "file not deleted")] == [bad.pk]


@pytest.mark.usefixtures("media_folder")
def test_an_upload_that_cannot_be_deleted_keeps_no_other(sticky, caplog):
    paths = [default_storage.save(f"{uploads.FOLDER}/{n}", ContentFile(b"x")) for n in (1, 2)]
    _folders, listed = default_storage.listdir(uploads.FOLDER)
    sticky.add(f"{uploads.FOLDER}/{listed[0]}")

    assert uploads.sweep(now=timezone.now() + timedelta(days=2)) == 1

    assert [default_storage.exists(path) for path in sorted(paths)].count(True) == 1
    assert [line["file"] for line in errors(caplog, "upload not deleted")] == [listed[0]]
