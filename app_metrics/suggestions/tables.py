"""The models that are worth looking at, with a sample of their rows."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.apps import AppConfig, apps
from django.contrib.auth import get_user_model
from django.db.models import (
    BooleanField,
    CharField,
    DateField,
    DecimalField,
    FloatField,
    ForeignKey,
    IntegerField,
    Model,
)

from .samples import Sampler
from .words import snake, words

# Packages whose tables say how a site is built or run, not what happens on it.
LEFT_OUT_APPS = {
    "app_metrics", "auditlog", "authtoken", "axes", "background_task", "constance", "corsheaders", "defender",
    "django_celery_beat", "django_celery_results", "django_otp", "django_q", "django_rq", "django_tasks",
    "django_tasks_db", "easy_thumbnails", "easyaudit", "guardian", "health_check", "hijack", "knox", "oauth2_provider",
    "oidc_provider", "procrastinate", "rest_framework", "rest_framework_simplejwt", "reversion", "robots", "silk",
    "simple_history", "sorl", "tastypie", "two_factor", "waffle",
}  # fmt: skip
# Words that no model has in its name that records something worth counting.
LEFT_OUT_WORDS = {
    "audit", "cache", "cached", "historical", "lock", "log", "logs", "migration", "nonce", "permission", "rendition",
    "session", "thumbnail", "token",
}  # fmt: skip
# The same, as the last word.
LEFT_OUT_ENDINGS = {
    "association", "attribute", "band", "benefit", "condition", "config", "configuration", "history", "index", "key",
    "keys", "logger", "metadata", "option", "options", "preference", "preferences", "range", "redirect", "role", "rule",
    "schema", "setting", "settings", "template", "type", "types",
}  # fmt: skip
# What is read of a row: numbers, dates, switches, relations, and texts up to this length.
READ = (BooleanField, DateField, DecimalField, FloatField, ForeignKey, IntegerField)
LONGEST_TEXT = 64


@dataclass(slots=True)
class Table:
    """A model, and the latest values of its fields by their names. `is_alone` if no other model has its name."""

    model: type[Model]
    columns: Mapping[str, list[Any]] = field(default_factory=dict)
    is_alone: bool = True

    @property
    def name(self) -> str:
        """The model's name as part of a slug, with its app if models of other apps have the same name."""
        name = "_".join(self.words)
        return name if self.is_alone else f"{snake(self.model._meta.app_label)}_{name}"

    @property
    def fields(self) -> list[Any]:
        """The fields that the model has itself: a rule on its parent reads those of the parent."""
        return [each for each in self.model._meta.concrete_fields if each.model is self.model]

    @property
    def words(self) -> list[str]:
        """The words of the model's name, without a last "model"."""
        named = words(self.model.__name__)
        return named[:-1] if len(named) > 1 and named[-1] == "model" else named

    @property
    def size(self) -> int:
        """The number of rows in the sample."""
        return max(map(len, self.columns.values()), default=0)

    def values(self, name: str) -> list[Any]:
        return self.columns.get(name, [])

    def refers_to_users(self) -> bool:
        return any(each.is_relation and issubclass(each.related_model, get_user_model()) for each in self.fields)


def tables(sampler: Sampler, left_out: Iterable[str] = ()) -> list[Table]:
    """Return the tables to look at, without the models with these labels."""
    skipped = {label.lower() for label in left_out}
    models = [model for model in apps.get_models() if is_worth_a_look(model) and model._meta.label_lower not in skipped]
    named = Counter(model.__name__ for model in models)
    return [_table(model, sampler, named[model.__name__] == 1) for model in models]


def _table(model: type[Model], sampler: Sampler, is_alone: bool) -> Table:
    names = [each.attname for each in Table(model).fields if _is_read(each)]
    rows = sampler.rows(model, names) if names else []
    return Table(model, {name: [row[index] for row in rows] for index, name in enumerate(names)}, is_alone)


def _is_read(each: Any) -> bool:
    is_short = isinstance(each, CharField) and (each.max_length or LONGEST_TEXT + 1) <= LONGEST_TEXT
    return isinstance(each, READ) or is_short or bool(each.choices)


def is_looked_at(app: AppConfig) -> bool:
    return app.name.partition(".")[0] not in LEFT_OUT_APPS


def is_worth_a_look(model: type[Model]) -> bool:
    """Return whether the rows of a model may record what happens on the site."""
    options, named = model._meta, words(model.__name__)
    if options.proxy or not options.managed or options.swapped or not named:
        return False
    is_kind_of_user = issubclass(model, get_user_model()) and model is not get_user_model()
    is_of_django = model.__module__.startswith("django.")
    is_technical = bool(LEFT_OUT_WORDS & {*named}) or named[-1] in LEFT_OUT_ENDINGS
    is_left_out = is_kind_of_user or is_of_django or is_technical
    return not is_left_out and is_looked_at(apps.get_app_config(options.app_label))
