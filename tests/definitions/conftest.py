from weakref import WeakKeyDictionary

import pytest

from app_metrics.definitions import definition


@pytest.fixture(autouse=True)
def _no_definitions_of_other_tests(monkeypatch):
    monkeypatch.setattr(definition, "_existing", WeakKeyDictionary())
