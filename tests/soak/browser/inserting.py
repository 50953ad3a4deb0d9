"""Scripts for `manage.py shell` that insert data the example site's own commands do not create."""

ADMIN, READER, PASSWORD = "admin", "reader", "secret"
HOSTILE = "</script><img src=x onerror=alert(1)>"
HOSTILE_SLUG = "hostile"

INSERT_PEOPLE = f"""
from django.contrib.auth.models import Permission, User
User.objects.create_superuser({ADMIN!r}, "admin@example.org", {PASSWORD!r})
reader = User.objects.create_user({READER!r}, password={PASSWORD!r}, is_staff=True)
reader.user_permissions.add(Permission.objects.get(codename="view_metric", content_type__app_label="app_metrics"))
"""

INSERT_HOSTILE = f"""
from datetime import timedelta
from django.utils import timezone
from app_metrics import collect, metric
from app_metrics.models.creation import create_metric, create_metric_set
text = {HOSTILE!r}
hostile = create_metric(text, {HOSTILE_SLUG!r}, unit=text[:30], description=text)
create_metric_set(text, [hostile])
with collect():
    for days in range(1, 20):
        metric({HOSTILE_SLUG!r}, days, labels={{"plan": text}}, at=timezone.now() - timedelta(days=days))
"""
