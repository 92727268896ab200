"""Browser profiles: saved encrypted, moved whole, refused when anything about them is wrong."""

import errno
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.storage import storages
from django.utils import timezone

from whatsapp import archives, leases, processes, profiles
from whatsapp.archives import BadArchive
from whatsapp.models import Incoming, Lease, Profile

SECRETS = [f"{n}-fixed-for-this-test-" + "k" * 5 + str(n) * 20 for n in "abc"]


@pytest.fixture(autouse=True)
def places(settings, tmp_path):
    settings.WHATSAPP_SESSION_SECRETS = SECRETS[:1]
    settings.STORAGES = {
        **settings.STORAGES,
        "profiles": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": tmp_path / "archives"},
        },
    }


@pytest.fixture
def host(tmp_path):
    """The directory of profiles on a host; each has a disk of its own."""

    def make(name):
        (tmp_path / name).mkdir(exist_ok=True)
        return tmp_path / name

    return make


def write_profile(path, text="the login"):
    for name in ("Default/IndexedDB/x.leveldb/000003.log", "Default/Cache/big", "Local State"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    (path / "Default/IndexedDB/x.leveldb/LOCK").write_text("")


def login_of(path):
    return (path / "Default/IndexedDB/x.leveldb/000003.log").read_text()


@pytest.fixture
def live(account, host):
    """The account was linked on host one; returns its lease and profile there."""
    held = leases.take(account.pk, leases.Holder(worker="browser@one"))
    path = host("one") / str(account.pk)
    profiles.began(held, path)
    write_profile(path)
    return held, path


def take_over(account):
    Lease.objects.update(lease_until=None, pid=None)
    return leases.take(account.pk, leases.Holder(worker="browser@two"))


# ------------------------------------------------------------------------------- archives


def sealed_archive(path, **values):
    write_profile(path)
    return archives.seal(archives.pack(path), **{"account_id": 7, "generation": 3, **values})


def test_an_archive_brings_back_the_login_and_leaves_caches_and_locks_behind(tmp_path):
    sealed = sealed_archive(tmp_path / "from")
    packed = archives.unseal(sealed, account_id=7, generation=3)
    archives.unpack(packed, tmp_path / "to")
    assert login_of(tmp_path / "to") == "the login"
    assert not (tmp_path / "to/Default/Cache").exists()
    assert not (tmp_path / "to/Default/IndexedDB/x.leveldb/LOCK").exists()
    assert (tmp_path / "to").stat().st_mode & 0o777 == 0o700


def test_an_archive_tells_nothing_to_whoever_finds_it(tmp_path):
    assert b"the login" not in sealed_archive(tmp_path)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda s: s[:20], "truncated"),
        (lambda s: s[:-1], "altered"),
        (lambda s: s + b"x", "altered"),
        (lambda s: s[:-5] + bytes([s[-5] ^ 1]) + s[-4:], "altered"),
        (lambda s: b"PK\x03\x04" + s[4:], "foreign"),
        (lambda s: s[:4] + b"\x09" + s[5:], "newer"),
        (lambda s: s[:5] + bytes(8) + s[13:], "unknown_key"),
        (lambda s: s[:20] + b"\x08" + s[21:], "other_account"),
        (lambda s: s[:28] + b"\x02" + s[29:], "other_generation"),
    ],
)
def test_an_archive_that_was_tampered_with_is_refused(tmp_path, spoil, code):
    sealed = spoil(sealed_archive(tmp_path))
    with pytest.raises(BadArchive) as refused:
        archives.unseal(sealed, account_id=7, generation=3)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("values", "code"),
    [({"account_id": 8}, "other_account"), ({"generation": 2}, "other_generation")],
)
def test_an_archive_of_another_account_or_generation_is_refused(tmp_path, values, code):
    sealed = sealed_archive(tmp_path, **values)
    with pytest.raises(BadArchive) as refused:
        archives.unseal(sealed, account_id=7, generation=3)
    assert refused.value.code == code


def test_an_older_secret_still_opens_and_a_dropped_one_does_not(tmp_path, settings):
    sealed = sealed_archive(tmp_path)
    settings.WHATSAPP_SESSION_SECRETS = [SECRETS[1], SECRETS[0]]
    archives.unseal(sealed, account_id=7, generation=3)
    settings.WHATSAPP_SESSION_SECRETS = [SECRETS[1]]
    with pytest.raises(BadArchive, match="WHATSAPP_SESSION_SECRET"):
        archives.unseal(sealed, account_id=7, generation=3)


def test_a_profile_that_cannot_be_unpacked_leaves_what_was_there(tmp_path):
    write_profile(tmp_path / "here", "still here")
    with pytest.raises(BadArchive):
        archives.unpack(b"no archive at all", tmp_path / "here")
    assert login_of(tmp_path / "here") == "still here"


# ----------------------------------------------------------------------------- moving on


def test_the_same_disk_goes_on_with_the_profile_that_is_there(account, live):
    _, path = live
    ready = profiles.make_ready(take_over(account), path)
    assert not ready.restored


def test_a_clean_hand_over_is_restored_on_an_empty_disk(account, live, host):
    held, path = live
    assert profiles.save(held, path, ended=True)
    there = host("two") / str(account.pk)
    before = Profile.objects.get().knows_from
    ready = profiles.make_ready(take_over(account), there)
    assert ready == profiles.Ready(restored=True, knows_from=before), "nothing is missing"
    assert login_of(there) == "the login"


def test_a_profile_left_on_a_disk_is_not_used_after_another_host_went_on(account, live, host):
    held, path = live
    profiles.save(held, path, ended=True)
    second = take_over(account)
    there = host("two") / str(account.pk)
    profiles.make_ready(second, there)
    write_profile(there, "newer")
    profiles.save(second, there, ended=True)
    profiles.make_ready(take_over(account), path)
    assert login_of(path) == "newer"


def test_a_lost_host_is_followed_by_its_last_archive_if_nothing_happened_since(account, live, host):
    held, path = live
    profiles.save(held, path, ended=False)
    there = host("two") / str(account.pk)
    ready = profiles.make_ready(take_over(account), there)
    assert ready.restored
    assert ready.knows_from > Profile.objects.get().saved_at
    again = profiles.make_ready(take_over(account), there)
    assert again.knows_from == ready.knows_from, "also for the session after"


@pytest.mark.parametrize("what", ["sent", "received"])
def test_after_something_was_sent_or_received_a_person_decides(account, live, host, write, what):
    held, path = live
    profiles.save(held, path, ended=False)
    now = timezone.now()
    if what == "sent":
        message = write(account)
        type(message).objects.update(sending_at=now, state="sent", sent_at=now)
    else:
        Incoming.objects.create(
            account=account, wa_id="x", chat_id="x", kind="chat", sent_at=now, received_at=now
        )
    there = host("two") / str(account.pk)
    with pytest.raises(profiles.NotHere, match="link it again"):
        profiles.make_ready(take_over(account), there)
    assert not there.exists()
    assert profiles.allow_restore(account, by="alice", now=now)
    assert profiles.make_ready(take_over(account), there).restored
    assert Profile.objects.get().restore_allowed_by == "", "allowed once"


def test_a_lost_host_that_never_saved_needs_a_new_scan(account, live, host):
    with pytest.raises(profiles.NotHere, match="never saved"):
        profiles.make_ready(take_over(account), host("two") / str(account.pk))


def test_a_corrupt_archive_keeps_the_account_recoverable(account, live, host):
    held, path = live
    profiles.save(held, path, ended=True)
    archive = storages["profiles"].path(Profile.objects.get().file)
    with Path(archive).open("r+b") as file:
        file.truncate(100)
    with pytest.raises(profiles.NotHere, match="altered"):
        profiles.make_ready(take_over(account), host("two") / str(account.pk))
    assert not profiles.make_ready(take_over(account), path).restored, "its own disk still works"


# --------------------------------------------------------------------------------- saving


def test_each_save_is_a_generation_and_only_the_last_file_stays(live):
    held, path = live
    profiles.save(held, path, ended=False)
    first = Profile.objects.get().file
    profiles.save(held, path, ended=True)
    profile = Profile.objects.get()
    assert profile.generation == 2
    assert not storages["profiles"].exists(first)
    assert storages["profiles"].exists(profile.file)


def test_a_full_disk_leaves_the_saved_profile_whole(account, live, host, monkeypatch):
    held, path = live
    profiles.save(held, path, ended=True)

    def full(name, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(storages["profiles"], "save", full)
    assert not profiles.save(held, path, ended=True)
    monkeypatch.undo()
    assert profiles.make_ready(take_over(account), host("two") / str(account.pk)).restored


def test_a_file_cut_short_by_a_full_disk_is_not_taken_for_a_profile(live, monkeypatch):
    held, path = live
    monkeypatch.setattr(storages["profiles"], "size", lambda name: 10)
    assert not profiles.save(held, path, ended=True)
    assert Profile.objects.get().file == ""
    assert not list(storages["profiles"].listdir(str(held.account_id))[1])


def test_a_worker_that_lost_the_account_does_not_overwrite_the_saved_profile(account, live):
    held, path = live
    profiles.save(held, path, ended=True)
    before = Profile.objects.get().file
    take_over(account)
    assert not profiles.save(held, path, ended=True)
    assert Profile.objects.get().file == before


def test_a_browser_stands_still_while_its_profile_is_copied():
    browser = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        with profiles.stopped(browser.pid):
            os.waitid(os.P_PID, browser.pid, os.WSTOPPED | os.WNOWAIT)
            assert processes.stat(browser.pid).state == "T"
        os.waitid(os.P_PID, browser.pid, os.WCONTINUED | os.WNOWAIT)
        assert processes.stat(browser.pid).state in "SR"
    finally:
        browser.kill()
        browser.wait()


def test_a_new_login_forgets_the_archive_of_the_one_before(account, live):
    held, path = live
    profiles.save(held, path, ended=True)
    profiles.began(held, path)
    assert not path.exists()
    assert Profile.objects.get().file, "nobody has scanned the code yet"
    profiles.linked(held)
    assert Profile.objects.get().file == ""


def test_a_worker_that_lost_the_account_does_not_say_where_its_profile_is(account, live, host):
    held, path = live
    second = take_over(account)
    with pytest.raises(profiles.LeaseLost):
        profiles.make_ready(held, path)
    profiles.make_ready(second, path)
    assert Profile.objects.get().live_fence == second.fence


def test_an_archive_out_of_reach_is_not_forgotten(account, live, host, monkeypatch):
    held, path = live
    profiles.save(held, path, ended=True)

    def away(name, mode="rb"):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(storages["profiles"], "open", away)
    with pytest.raises(profiles.NotHere) as refused:
        profiles.make_ready(take_over(account), host("two") / str(account.pk))
    assert refused.value.passing
    assert Profile.objects.get().file


def test_workers_that_start_at_once_agree_on_the_name_of_the_disk(tmp_path):
    with ThreadPoolExecutor(max_workers=16) as workers:
        names = set(workers.map(profiles.disk_id, [tmp_path / "disk"] * 64))
    assert len(names) == 1
    assert [p.name for p in (tmp_path / "disk").iterdir()] == [".disk-id"]


def test_rotating_secrets_seals_every_archive_anew(account, live, host, settings):
    held, path = live
    profiles.save(held, path, ended=True)
    settings.WHATSAPP_SESSION_SECRETS = [SECRETS[1], SECRETS[0]]
    assert profiles.reseal(Profile.objects.get())
    assert not profiles.reseal(Profile.objects.get())
    settings.WHATSAPP_SESSION_SECRETS = [SECRETS[1]]
    assert profiles.make_ready(take_over(account), host("two") / str(account.pk)).restored


def test_a_saved_profile_is_dated_before_it_was_copied(account, live):
    held, path = live
    before = timezone.now() - timedelta(seconds=1)
    profiles.save(held, path, ended=False)
    assert before < Profile.objects.get().saved_at <= timezone.now()
