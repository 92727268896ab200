"""What beat does when. Django's permissions are not used here: this is for superusers."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django_celery_beat import models as beat

from accounts.console import StaffOfCompany


class ForSuperusers(StaffOfCompany):
    def _may(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)


for _model in (
    beat.ClockedSchedule,
    beat.CrontabSchedule,
    beat.IntervalSchedule,
    beat.PeriodicTask,
    beat.SolarSchedule,
):
    _theirs = type(admin.site.get_model_admin(_model))
    admin.site.unregister(_model)
    admin.site.register(_model, type(_theirs.__name__, (ForSuperusers, _theirs), {}))
