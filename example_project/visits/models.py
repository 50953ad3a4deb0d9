from django.conf import settings
from django.db import models


class Visit(models.Model):
    """A line of the access log: a response to somebody who is logged in.

    The seconds that it took lie between `at_least` and `at_most`.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="visits")
    method = models.CharField(max_length=10)
    path = models.CharField(max_length=200)
    status = models.PositiveSmallIntegerField()
    at_least = models.FloatField()
    at_most = models.FloatField()
    at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.method} {self.path} answered {self.status}"
