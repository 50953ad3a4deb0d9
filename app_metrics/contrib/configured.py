"""All rules of all settings."""

from dataclasses import replace

from ..conf import settings
from ..core.setting_rules import SettingError
from .auth import SETTING as AUTH
from .auth import auth_models, auth_signals, compile_auth
from .model_rules import compile_models
from .rules import Rule
from .signal_rules import compile_signals
from .url_rules import compile_urls
from .websocket_rules import compile_websockets


def configured_rules() -> tuple[list[Rule], list[SettingError]]:
    """Return the rules for URLs, models, signals, websockets and users, and the mistakes in the settings."""
    urls, mistakes = compile_urls(settings.APP_METRICS_URLS)
    models, model_mistakes = compile_models(settings.APP_METRICS_MODELS)
    signals, signal_mistakes = compile_signals(settings.APP_METRICS_SIGNALS)
    websockets, websocket_mistakes = compile_websockets(settings.APP_METRICS_WEBSOCKETS)
    rules = [
        *(rule for found in urls.values() for rule in found),
        *(rule for _, _, found in models for rule in found),
        *(rule for _, found in signals for rule in found),
        *(rule for found in websockets.values() for rule in found),
        *(replace(rule, origin=AUTH) for rule in _switched()),
    ]
    auth_mistakes = compile_auth(settings.APP_METRICS_AUTH)[1]
    return rules, [*mistakes, *model_mistakes, *signal_mistakes, *websocket_mistakes, *auth_mistakes]


def _switched() -> list[Rule]:
    created = [rule for _, _, found in compile_models(auth_models())[0] for rule in found]
    return created + [rule for _, found in compile_signals(auth_signals())[0] for rule in found]
