"""Tasks of the "default" queue. Each makes one call; the work is in the modules called."""

from __future__ import annotations

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from accounts import uploads
from campaigns import conversations, enrolment, people, planning, schedule, user_service
from campaigns.broadcasts import queueing


@shared_task(name="campaigns.tasks.enrol")
def enrol() -> None:
    enrolment.enrol(now=timezone.now())


@shared_task(name="campaigns.tasks.plan")
def plan() -> None:
    now = timezone.now()
    conversations.release(now=now)
    conversations.hold(now=now)
    planning.plan(now=now)


@shared_task(name="campaigns.tasks.plan_broadcasts")
def plan_broadcasts() -> None:
    queueing.plan(now=timezone.now())


@shared_task(name="campaigns.tasks.repair_schedules")
def repair_schedules() -> None:
    schedule.rebuild(now=timezone.now())


@shared_task(name="campaigns.tasks.sync_referrals")
def sync_referrals() -> None:
    if settings.USER_SERVICE_URL:
        user_service.refresh(now=timezone.now())


@shared_task(name="campaigns.tasks.sweep_uploads")
def sweep_uploads() -> None:
    uploads.sweep(now=timezone.now())


@shared_task(name="campaigns.tasks.finish_deletions")
def finish_deletions() -> None:
    people.finish_deletions(now=timezone.now())
