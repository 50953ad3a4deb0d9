"""Rows that migrations, receivers of `post_migrate` and fixtures make are no events."""

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.sql import emit_post_migrate_signal
from django.db import connections
from django.db.migrations import Migration, RunPython
from django.db.migrations.executor import MigrationExecutor
from django.db.models.signals import post_migrate, post_save

from tests.testapp.models import Document, Tag


@pytest.fixture
def anonymous_user():
    """Create a user after each migration, as django-guardian does."""

    def create_anonymous_user(sender, **kwargs):
        user, _ = User.objects.using(kwargs["using"]).get_or_create(username="AnonymousUser")
        user.save()

    post_migrate.connect(create_anonymous_user, sender=apps.get_app_config("auth"))
    yield
    post_migrate.disconnect(create_anonymous_user, sender=apps.get_app_config("auth"))


@pytest.fixture
def counting(settings, recorded, django_capture_on_commit_callbacks):
    """Return a function that runs another one, with rules, and returns what it recorded."""

    def run(function):
        settings.APP_METRICS_AUTH = True
        settings.APP_METRICS_MODELS = {
            "auth.User": {"created": "created", "updated": "updated", "deleted": "deleted"},
            "testapp.Tag": {"created": "tags"},
            "testapp.Document": {"m2m_changed": "tagged", "created": "documents"},
        }
        with django_capture_on_commit_callbacks(execute=True):
            function()
        return {slug: recorded.total(slug) for slug in recorded.slugs}

    return run


@pytest.mark.parametrize(
    "create",
    [lambda: call_command("migrate", verbosity=0), lambda: emit_post_migrate_signal(0, False, "default")],
    ids=["migrate", "flush"],
)
@pytest.mark.django_db
def test_users_that_a_receiver_of_post_migrate_creates_are_no_signups(create, anonymous_user, counting):
    assert counting(create) == {}
    assert User.objects.get().username == "AnonymousUser"
    assert counting(lambda: User.objects.create(username="ann")) == {"created": 1, "signups": 1}


def seed(old_apps, schema_editor):
    """A data migration, with models as it should use them and with those that it should not."""
    for users in (old_apps.get_model("auth", "User").objects, User.objects):
        users.using(schema_editor.connection.alias).create(username=f"user {users.count()}").delete()
    Document.counted.using(schema_editor.connection.alias).bulk_create([Document(title="first")])


def test_rows_of_migrations_are_not_counted(transactional_database, counting):
    executor = MigrationExecutor(connections[transactional_database])
    executor.record_migration = lambda *args: None
    migration = Migration("0001_seed", "testapp")
    migration.operations = [RunPython(seed)]
    executor.loader.graph.add_node(("testapp", "0001_seed"), migration)
    assert counting(lambda: executor.migrate([("testapp", "0001_seed")])) == {}


@pytest.mark.django_db
def test_receivers_and_relations_of_fixtures_are_not_counted(counting, tmp_path):
    def tag(sender, instance, **kwargs):
        Tag.objects.get_or_create(name="added by a receiver")

    document = Document.objects.create(title="a")
    document.tags.add(Tag.objects.create(name="loved"))
    call_command("dumpdata", "testapp", output=tmp_path / "documents.json")
    Document.objects.all().delete()
    post_save.connect(tag, sender=Document)
    try:
        assert counting(lambda: call_command("loaddata", tmp_path / "documents.json", verbosity=0)) == {}
    finally:
        post_save.disconnect(tag, sender=Document)
    assert [each.name for each in Document.objects.get().tags.all()] == ["loved"]
    assert Tag.objects.count() == 2
