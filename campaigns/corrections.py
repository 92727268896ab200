"""What an import corrects of referrals that exist, and of the targets that follow them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import connection

from campaigns.rows import Values

CHANGEABLE = ("name", "phone", "region", "language", "registered_at")


def write(changes: Iterable[tuple[int, Values]], *, now: datetime) -> None:
    """Referral id -> its new values; a target follows its referral to a corrected phone.

    Inside the caller's transaction.
    """
    ordered = sorted(changes, key=lambda change: change[0])
    if not ordered:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE campaigns_referral AS referral
            SET name = new.name, phone = new.phone, region = new.region,
                language = new.language, registered_at = new.registered_at, updated_at = %s
            FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[],
                        %s::timestamptz[])
                AS new (id, name, phone, region, language, registered_at)
            WHERE referral.id = new.id
            """,
            [
                now,
                [pk for pk, _ in ordered],
                *([getattr(values, name) for _, values in ordered] for name in CHANGEABLE),
            ],
        )
        # The corrected number is the one to follow, unless somebody else is followed there.
        cursor.execute(
            """
            SELECT DISTINCT ON (referral.phone) target.id, referral.phone
            FROM campaigns_referral AS referral
            JOIN campaigns_target AS target ON target.referral_id = referral.id
            WHERE referral.id = ANY(%s) AND target.state = 'active'
              AND target.phone <> referral.phone
              AND NOT EXISTS (
                  SELECT FROM campaigns_target AS other
                  WHERE other.tenant_id = target.tenant_id AND other.state = 'active'
                    AND other.phone = referral.phone)
            ORDER BY referral.phone, target.id
            """,
            [[pk for pk, _ in ordered]],
        )
        moved = cursor.fetchall()
        if moved:
            cursor.execute(
                """
                WITH locked AS (
                    SELECT target.id, moved.phone FROM campaigns_target AS target
                    JOIN unnest(%s::bigint[], %s::text[]) AS moved (id, phone) USING (id)
                    WHERE target.state = 'active' ORDER BY target.id FOR UPDATE OF target)
                UPDATE campaigns_target AS target SET phone = locked.phone
                FROM locked WHERE target.id = locked.id
                """,
                [[pk for pk, _ in moved], [phone for _, phone in moved]],
            )
