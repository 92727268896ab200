"""The top of an account's page: linking as it happens, what it may send, how it is, what to do.

It is drawn again every few seconds by itself (`live`), so that the QR code on it is the newest.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from accounts.models import Activity
from whatsapp import explaining, limits, linking, pace, pairing
from whatsapp.models import Account, Lease, Message
from whatsapp.obstacles import obstacle

Status = Account.Status
ACTIVITIES = 15  # shown on the page; the log has the others
WATCHING = "every 2s"  # htmx: while somebody waits for a code or a scan
GLANCING = "every 15s"


@dataclass(frozen=True, slots=True)
class Button:
    """An action of the list that is legal for this account now. `asks`: a question comes first."""

    action: str
    text: Any
    icon: str
    kind: str = ""  # primary, danger


@dataclass(frozen=True, slots=True)
class Linking:
    """How linking is going: a title, what to do about it, and the code to scan if there is one."""

    title: str
    todo: str
    colour: str
    qr: linking.PublishedQr | None = None
    typed: pairing.PairingCode | None = None
    ends_at: datetime | None = None
    running: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """Everything the template draws."""

    account: Account
    linking: Linking
    hindrance: str
    lease: Lease | None
    memory_mb: int | None
    allowance: limits.Allowance
    resets_at: datetime
    holds: list[pace.Hold]
    warms_up: bool
    waiting: int
    undecided: int
    failed_today: int
    last_failure: str
    buttons: list[Button] = field(default_factory=list)
    activities: list[Activity] = field(default_factory=list)

    @property
    def refresh(self) -> str:
        return WATCHING if self.linking.running else GLANCING


def panel(account: Account, *, now: datetime) -> Panel:
    """What to show of `account`, loaded with its tenant, lease and profile. Eight queries."""
    lease = getattr(account, "lease", None)
    if lease is not None and (lease.lease_until is None or lease.lease_until <= now):
        lease = None
    allowance = limits.snapshot(account, now=now)
    messages = Message.objects.filter(account=account)
    failed = messages.failed_since(now - dt.timedelta(days=1)).order_by("-ended_at")
    reasons = list(failed.values_list("error_code", flat=True)[:1000])
    return Panel(
        account=account,
        linking=_linking(account, lease, now=now),
        hindrance=obstacle(account, now=now) if account.is_linked else "",
        lease=lease,
        memory_mb=_memory_mb(lease),
        allowance=allowance,
        resets_at=now + dt.timedelta(seconds=limits.seconds_to_midnight(account.tenant, now=now)),
        holds=pace.holds(account, now=now),
        warms_up=account.warms_up_on(limits.today(account.tenant, now=now)),
        waiting=messages.filter(state=Message.State.QUEUED, due_at__lte=now).count(),
        undecided=messages.uncertain().count(),
        failed_today=len(reasons),
        last_failure=explaining.reason(reasons[0]) if reasons else "",
        buttons=_buttons(account, now=now),
        activities=list(
            Activity.objects.filter(
                subject_type=Account._meta.label_lower, subject_id=account.pk
            ).order_by("-at", "-id")[:ACTIVITIES]
        ),
    )


def _linking(account: Account, lease: Lease | None, *, now: datetime) -> Linking:
    match Status(account.status):
        case Status.CONNECTED:
            return Linking(_("Connected"), _("Nothing to do."), "success")
        case Status.RECONNECTING:
            return Linking(
                _("Reconnecting"),
                _(
                    "The phone or its network is away. Nothing to do: messages wait, and it goes "
                    "on by itself. If it stays like this, see that the phone is on and online."
                ),
                "warning",
            )
    if account.logout_requested_at is not None:
        return Linking(
            _("Being logged out"),
            _("A worker logs the device out on the phone. Link it again when that is done."),
            "warning",
        )
    ends_at = linking.attempt_ends(account)
    if ends_at is not None and ends_at > now:
        return _attempt(account, lease, ends_at=ends_at)
    if ends_at is not None:
        return Linking(
            _("Timed out"),
            _(
                "Nobody scanned the code in time. Take the phone in your hand, then ask for "
                "another."
            ),
            "danger",
        )
    return Linking(str(account.get_status_display()).capitalize(), *_to_link(account))


def _attempt(account: Account, lease: Lease | None, *, ends_at: datetime) -> Linking:
    """Somebody asked for a code a moment ago."""
    found = linking.current_qr(account.pk)
    if found is not None:
        return Linking(
            _("Waiting for a scan"),
            _(
                "On the phone open WhatsApp, then Settings, Linked devices, Link a device, and "
                "point it at this code. The code changes every 20 seconds or so, by itself."
            ),
            "info",
            qr=found,
            typed=pairing.current(account),
            ends_at=ends_at,
            running=True,
        )
    if linking.was_scanned(account.pk):
        return Linking(
            _("Scanned: linking"),
            _(
                "The phone has scanned the code. Keep WhatsApp open on it until this says "
                "connected."
            ),
            "info",
            ends_at=ends_at,
            running=True,
        )
    todo = (
        _("A browser opens WhatsApp Web: the code appears here within some seconds.")
        if lease is not None
        else _(
            "A worker has to open a browser first. If this stays for half a minute, no browser "
            "worker is running, or all of them are full: start one."
        )
    )
    return Linking(_("Waiting for a code"), todo, "info", ends_at=ends_at, running=True)


def _to_link(account: Account) -> tuple[str, str]:
    match Status(account.status):
        case Status.NEW:
            return _("Take the phone in your hand, then ask for a code."), "info"
        case Status.CONFLICT:
            return _(
                "The same login was opened in another window. Close that one, then reconnect."
            ), "danger"
        case Status.LOGGED_OUT:
            return _(
                "Somebody removed this device on the phone, or WhatsApp did. Messages wait. Ask "
                "for a code and scan it to go on."
            ), "danger"
    return _(
        "Messages wait. Reconnecting tries the saved session first and shows a code to scan if "
        "the phone has forgotten it."
    ), "danger"


def _buttons(account: Account, *, now: datetime) -> list[Button]:
    """Only what is legal now: a button that would be refused is not shown."""
    ends_at = linking.attempt_ends(account)
    running = ends_at is not None and ends_at > now
    found: list[Button] = []
    if not account.enabled:
        return found
    if running:
        found.append(Button("disconnect", _("Stop linking …"), "close"))
    elif not account.is_linked and account.logout_requested_at is None:
        known = account.status in {Status.DISCONNECTED, Status.CONFLICT} and account.phone
        found.append(
            Button("connect", _("Reconnect"), "sync", "primary")
            if known
            else Button("connect", _("Show a QR code"), "qr_code_2", "primary")
        )
    found.append(
        Button("resume", _("Resume sending"), "play_arrow")
        if account.sending_paused_at is not None
        else Button("pause", _("Pause sending"), "pause")
    )
    if account.is_resting or account.holds_cold_chats(now):
        found.append(Button("lift_holds", _("Lift holds"), "lock_open"))
    if account.is_linked:
        found.append(Button("discover_groups", _("Discover groups"), "groups"))
    if account.is_linked or account.status == Status.CONFLICT:
        found.append(Button("disconnect", _("Disconnect …"), "link_off", "danger"))
    return found


def _memory_mb(lease: Lease | None) -> int | None:
    """Memory of the account's browser when its worker last measured it."""
    return lease.memory // 2**20 if lease is not None and lease.memory is not None else None
