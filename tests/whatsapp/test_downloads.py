"""Files that came in: fetched after their message, checked by their bytes, never in the way."""

import datetime as dt

import pytest
from django.utils import timezone

from tests.contract.media import AUDIO, DOCUMENT, IMAGE
from whatsapp import retention, tasks
from whatsapp.driver.base import MediaFile, MediaKind, Retryable
from whatsapp.models import Account, Incoming, Media, Message

pytestmark = pytest.mark.usefixtures("media_folder")
ACCOUNT, ANA = "+33639980001", "+33639980100"


def stored():
    return Incoming.objects.select_related("media").get()


@pytest.mark.parametrize("file", [IMAGE, DOCUMENT, AUDIO], ids=lambda file: file.kind.value)
def test_a_file_is_stored_once_after_its_message(linked, world, worker, file):
    world.inbound(ACCOUNT, ANA, "voilà", media=file)
    worker.settle()
    incoming = stored()
    assert (incoming.body, incoming.media_state) == ("voilà", "stored")
    assert incoming.content == {
        "mime": file.mime,
        "filename": file.filename,
        "size": len(file.data),
    }
    assert incoming.media.file.read() == file.data
    world.inbound(ACCOUNT, ANA, "encore", media=file)
    worker.settle()
    assert Media.objects.count() == 1


def test_a_file_that_is_not_what_its_sender_says_is_not_kept(linked, world, worker):
    lie = MediaFile(MediaKind.IMAGE, b"MZ\x90\0 a program", "image/png", "cat.png")
    world.inbound(ACCOUNT, ANA, "regarde", media=lie)
    worker.settle()
    incoming = stored()
    assert (incoming.body, incoming.media_state, incoming.media_error) == (
        "regarde",
        "failed",
        "not_allowed",
    )
    assert not Media.objects.exists()


def test_a_file_that_is_too_large_is_not_kept(linked, world, worker):
    world.inbound(ACCOUNT, ANA, media=IMAGE, size=100 * 2**20)
    worker.settle()
    assert (stored().media_state, stored().media_error) == ("too_large", "media_too_large")


def test_a_file_that_is_gone_is_not_asked_for_again(linked, world, worker):
    wa_id = world.inbound(ACCOUNT, ANA, media=IMAGE)
    del world.files[wa_id]
    worker.settle()
    assert (stored().media_state, stored().media_error) == ("failed", "media_gone")


def test_a_file_is_asked_for_three_times(linked, world, worker, monkeypatch):
    session = worker.pool.get(linked.pk)
    asked = []

    def refuse(wa_id, *, deadline, **_):
        asked.append(wa_id)
        raise Retryable("page_error", "try again")

    monkeypatch.setattr(session.driver, "download", refuse)
    world.inbound(ACCOUNT, ANA, media=IMAGE)
    worker.settle()
    for _ in range(4):
        tasks.ring_waiting()
        worker.drive(linked)
    assert len(asked) == 3
    assert (stored().media_state, stored().media_error) == ("failed", "page_error")


def test_a_message_that_is_due_goes_before_a_file(linked, world, worker, write, monkeypatch):
    order = []
    session = worker.pool.get(linked.pk)
    download, send = session.driver.download, session.driver.send_text
    monkeypatch.setattr(
        session.driver, "download", lambda *a, **k: order.append("file") or download(*a, **k)
    )
    monkeypatch.setattr(
        session.driver, "send_text", lambda *a, **k: order.append("message") or send(*a, **k)
    )
    world.inbound(ACCOUNT, ANA, media=IMAGE)
    write(linked, "+33639980101")
    worker.settle()
    assert order == ["message", "file"]


def test_a_message_that_comes_due_while_files_are_fetched_does_not_wait_for_all(
    linked, world, worker, write, monkeypatch
):
    session = worker.pool.get(linked.pk)
    download = session.driver.download
    messages = []

    def write_meanwhile(*args, **more):
        messages.append(write(linked, "+33639980101"))
        return download(*args, **more)

    monkeypatch.setattr(session.driver, "download", write_meanwhile)
    for _ in range(2):
        world.inbound(ACCOUNT, ANA, media=IMAGE)
    worker.settle()
    assert set(Incoming.objects.values_list("media_state", flat=True)) == {"stored"}
    # The second one's doorbell rings when the test's transaction commits: never.
    assert [sent.body for sent in world.record] == [messages[0].body]


def test_a_message_that_is_due_and_may_not_go_holds_up_no_file(linked, world, worker, write):
    Account.objects.update(sending_paused_at=timezone.now())
    write(linked, "+33639980101")
    world.inbound(ACCOUNT, ANA, media=IMAGE)
    worker.settle()
    assert stored().media_state == "stored"
    assert not world.record


def test_a_file_that_came_in_is_forgotten_with_its_message(
    linked, world, worker, tenant, settings, django_capture_on_commit_callbacks
):
    world.inbound(ACCOUNT, ANA, "voilà", media=IMAGE)
    world.inbound(ACCOUNT, ANA, "le guide", media=DOCUMENT)
    worker.settle()
    cat, guide = Media.objects.order_by("pk")
    Message.objects.create(
        tenant=tenant, account=linked, contact=Incoming.objects.first().contact, kind="media",
        media=guide, idempotency_key="k", content_hash="h", due_at=timezone.now(),
    )  # fmt: skip
    later = timezone.now() + dt.timedelta(days=settings.MESSAGE_DAYS + 1)
    with django_capture_on_commit_callbacks(execute=True):
        retention.forget_texts(now=later)
    assert [(i.body, i.content, i.media) for i in Incoming.objects.all()] == [("", {}, None)] * 2
    assert list(Media.objects.all()) == [guide]
    assert not cat.file.storage.exists(cat.file.name)
    assert guide.file.storage.exists(guide.file.name)
