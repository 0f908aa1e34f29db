"""The one settings object: `<home>/annul.toml`, overridden by `ANNUL_*` in the environment.

Every setting is described here and in docs/operate.md; a test keeps the two the same.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

from annul import durable
from annul.errors import UnsafeSettings
from annul.home import Home
from annul.outgoing import Outgoing
from annul.times import HOUR_US

DEFAULT_HOME = Home(".annul")

Port = Annotated[int, Meta(ge=0, le=65535)]
Positive = Annotated[int, Meta(ge=1)]
Count = Annotated[int, Meta(ge=0, le=10)]
Language = Annotated[str, Meta(pattern="^(en|zh|ar)$")]
LogLevel = Annotated[str, Meta(pattern="^(debug|info|warning|error)$")]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hold what an operator may choose; every field has a safe default.

    Args:
        home: data folder (keys, listings, logs, embedded database).
        database_url: PostgreSQL to use (libpq URL); empty starts the embedded one under `home`.
        host: address the doors listen on.
        port: TCP port of the doors; 0 picks a free one.
        workers: processes that answer checks.
        public_url: address as clients see it, no trailing slash; audience of client assertions; empty means host and port.
        https: doors stand behind TLS: cookies are marked Secure and HSTS is sent.
        log_level: debug, info, warning or error.
        provisional_hours: hours after which an unconfirmed provisional report lapses.
        death_delay_days: days between the report of a death and the cancellation of documents; an appeal stops it.
        dispute_term_days: days within which a dispute is to be decided; then it is overdue.
        bulk_limit: documents above which a bulk event needs two officers.
        window_ms_max: milliseconds after which a window of answers closes at the latest.
        acknowledge_ms_max: milliseconds a report waits for the check path to refuse before it answers 503.
        freshness_live_ms: milliseconds since the follower last caught up within which an answer is live (F0).
        check_log_days: days the check log is kept in the index for questions by holders and parties.
        database_pool_max: database connections of one worker.
        metrics_public: `/metrics` answers without a credential from any address, not from loopback alone.
        demo: this is the fictional country of `annul demo`: anybody logs in as anybody, the outbox is open to all.
        proxies: reverse proxies in front that add to X-Forwarded-For; 0 takes the caller's own address.
        disclosure_delay_days: days until a holder sees searches by officers and checks for law enforcement.
        telephone: number at which losses are reported by telephone, as people dial it; empty: no page speaks of it.
        time_zone: zone of times on pages and in messages, an IANA name (Asia/Shanghai), UTC beside; receipts and API keep UTC.
        notices_mail: mail server, smtp://user:password@host:587 or smtps://…; `outbox:` keeps letters unsent; empty: no mail.
        notices_sender: address that letters come from.
        notices_sms: gateway for short messages, https://token@host/path; `outbox:` keeps them unsent; empty: none.
        notices_language: language of notices to persons who chose none: en, zh or ar.
        webhooks_private: webhooks may call plain http and addresses of private networks (closed networks alone).
        ca_file: PEM file of authorities believed beside the machine's own, by login, webhooks, messages, mail and commands.
        outgoing_proxy: HTTP proxy that all of these go through (mail apart), http://host:port; empty: none.
        subscriptions_max: documents a relying party may have on file here, in each realm.
        blindings_per_day: points a relying party may have evaluated a day: a file, and what is new of it.
        oidc_issuer: identity provider citizens log in with, an https address; empty: no login.
        oidc_client_id: name of this register at the provider.
        oidc_client_secret: its secret there.
        oidc_claim: claim that holds the personal number.
        oidc_strong_acr: values of `acr` that are a strong login, separated by commas.
    """

    home: Home = DEFAULT_HOME
    database_url: str = ""
    host: str = "127.0.0.1"
    port: Port = 8480
    workers: Positive = 2
    public_url: str = ""
    https: bool = False
    log_level: LogLevel = "info"
    provisional_hours: Positive = 72
    death_delay_days: Positive = 14
    dispute_term_days: Positive = 30
    bulk_limit: Positive = 1000
    window_ms_max: Positive = 5
    acknowledge_ms_max: Positive = 5000
    freshness_live_ms: Positive = 2000
    check_log_days: Positive = 3653
    database_pool_max: Positive = 4
    metrics_public: bool = False
    demo: bool = False
    proxies: Count = 0
    disclosure_delay_days: Positive = 30
    telephone: Annotated[str, Meta(max_length=60)] = ""
    time_zone: str = "UTC"
    notices_mail: str = ""
    notices_sender: str = ""
    notices_sms: str = ""
    notices_language: Language = "en"
    webhooks_private: bool = False
    ca_file: str = ""
    outgoing_proxy: str = ""
    subscriptions_max: Positive = 10_000_000
    blindings_per_day: Positive = 2_000_000
    oidc_issuer: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: str = ""
    oidc_claim: str = "personal_number"
    oidc_strong_acr: str = "http://eidas.europa.eu/LoA/substantial,http://eidas.europa.eu/LoA/high"

    def __post_init__(self) -> None:
        """Refuse a zone that is none."""
        try:
            ZoneInfo(self.time_zone)
        except (ValueError, OSError, ZoneInfoNotFoundError):
            raise ValueError("`time_zone` is no zone of the IANA list, such as Asia/Shanghai") from None

    @property
    def outgoing(self) -> Outgoing:
        """Return how this annul calls others."""
        return Outgoing(self.ca_file, self.outgoing_proxy)

    @property
    def base_url(self) -> str:
        """Return the address clients use, without a trailing slash."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.public_url or f"http://{host}:{self.port}"

    @property
    def provisional_us(self) -> int:
        """Return how long an unconfirmed provisional report lives, in microseconds."""
        return self.provisional_hours * HOUR_US

    @property
    def login_issuer(self) -> str:
        """Return the identity provider of citizens: in the demo its own, "" when there is none."""
        return self.oidc_issuer or (f"{self.base_url}/demo/idp" if self.demo else "")


def load(environ: Mapping[str, str] | None = None, **overrides: object) -> Settings:
    """Read the settings file, then the environment, then `overrides`; the later wins.

    Raises:
        UnsafeSettings: naming the setting and where it came from.
    """
    environ = os.environ if environ is None else environ
    home = Home(str(overrides.get("home") or environ.get("ANNUL_HOME") or DEFAULT_HOME)).absolute()
    values: dict[str, object] = {}
    file = home.settings_file
    if file.exists():
        try:
            values |= tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UnsafeSettings("The settings file is not TOML.", where=f"{file.name}: {error}") from None
    known = set(Settings.__struct_fields__)
    for name, value in environ.items():
        field = name.removeprefix("ANNUL_").lower()
        if name.startswith("ANNUL_") and field in known:
            values[field] = value
    values |= {name: value for name, value in overrides.items() if value is not None}
    values["home"] = str(home)
    try:
        return msgspec.convert(values, Settings, strict=False, dec_hook=lambda kind, value: kind(value))
    except msgspec.ValidationError as error:
        raise UnsafeSettings(
            f"A setting is wrong: {error}.",
            where=file.name if file.exists() else "environment",
            mend="See docs/operate.md for every setting and its range.",
        ) from None


def keep(home: Home, name: str, value: str) -> None:
    """Put a setting into the file of a home (0600), durably, unless the file says something of it already.

    Raises:
        UnsafeSettings: the file says something else: an operator decides which holds.
        StorageFailed: it cannot be written; the file is as it was.
    """
    file = home.settings_file
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    said = tomllib.loads(text).get(name)
    if said is not None and said != value:
        raise UnsafeSettings(
            f"The settings file names another {name}.", where=file.name, mend="Change the file, or leave the other out."
        )
    if said is None:  # in front: whatever follows may be a table
        durable.replace(file, f"{name} = {json.dumps(value, ensure_ascii=False)}\n{text}".encode())
