"""The configuration: typed, frozen, checked whole before anything starts.

Every duration is in seconds. Reading the file and the environment is `gateway/config_source.py`'s work;
this module says what is allowed and turns pydantic's findings into sentences for an operator.
"""

import ipaddress
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from catalog.model.connected_when import ConnectedWhen
from catalog.model.secret import MASK, Secret
from gateway.config_source import ConfigError, Problem, Settings, explain, read_settings, render_toml

__all__ = ["Config", "ConfigError", "Problem", "load_config", "render_config"]

DEFAULT_PORTS: Final = (554, 3702)
"""RTSP's registered port (RFC 7826, section 18.5) and WS-Discovery's; others are asked only where configured."""

LEAST_PORTS: Final = 512
"""A pair for each of the most workers."""

_HOST_AND_PORT: Final = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s:@\[\]]*)(?::[0-9]{1,5})?")


def _absolute(value: object, info: ValidationInfo) -> object:
    """Read `""` as "not set" and a relative path from the folder of the configuration file."""
    if value == "":
        return None
    if isinstance(value, str | Path):
        folder = (info.context or {}).get("folder", Path.cwd())
        return folder / Path(value).expanduser()
    return value


def _reference(text: str) -> str:
    """Accept `host:port`, `[IPv6]:port`."""
    split_host_port(text)
    return text


def split_host_port(text: str) -> tuple[str, int]:
    """Split `host:port` or `[IPv6]:port`.

    Raises:
        ValueError: there is no host or no port between 1 and 65535.
    """
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^\s:/@\[\]]+)):(\d{1,5})", text)
    port = int(match.group(3)) if match else 0
    if match is None or not 1 <= port <= 65535:
        raise ValueError('write "host:port", an IPv6 address in brackets')
    return match.group(1) or match.group(2), port


def _own_address(text: str) -> str:
    """Check that `text` is an IPv4 address; WS-Discovery is heard on an interface by its address."""
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise ValueError("write an IPv4 address of this machine, not an interface's name") from None


def _items(value: object) -> object:
    """Let the environment write a list as `a, b`."""
    if isinstance(value, str):
        return [item.strip() for item in value.strip().strip("[]").split(",") if item.strip()]
    return value


FilePath = Annotated[Path, BeforeValidator(_absolute)]
OptionalFilePath = Annotated[Path | None, BeforeValidator(_absolute)]
Port = Annotated[int, Field(ge=1, le=65535)]
OwnAddress = Annotated[str, AfterValidator(_own_address)]
Reference = Annotated[str, AfterValidator(_reference)]
HiddenText = Annotated[
    Secret,
    BeforeValidator(lambda value: Secret(value) if isinstance(value, str) else value),
    PlainSerializer(lambda _: MASK, return_type=str),
]


class Section(BaseModel):
    """One `[section]`: unknown keys are errors, values never change after the start."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, arbitrary_types_allowed=True, validate_default=True
    )


class GatewayConfig(Section):
    """Who this gateway is and where it keeps its state."""

    id: str = Field(default="gateway-1", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    "Stands in every interval of unknown time; keep it for the life of the installation."
    state_dir: FilePath = Path("/var/lib/muster")
    "Embedded database, credential key, sockets. Created with mode 0700."
    second_sight_of: Annotated[tuple[str, ...], BeforeValidator(_items)] = ()
    "Other gateways of the same database whose sources this one has an eye on: asked by OPTIONS, never pulled."

    @model_validator(mode="after")
    def _sees_others(self) -> Self:
        if self.id in self.second_sight_of:
            raise ValueError("second_sight_of names other gateways, not this one")
        return self


class JurisdictionConfig(Section):
    """Whose roll this is and which law applies; the first four keys have no default."""

    civil_code: str = Field(pattern=r"^[1-9]\d{5}$")
    "Six-digit administrative code (GB/T 2260) of the jurisdiction."
    name: str = Field(min_length=1, max_length=100)
    issued_by: str = Field(min_length=1, max_length=200)
    "The public security organ that publishes the catalog; never a natural person."
    contact: str = Field(min_length=1, max_length=300)
    "Printed on the published catalog; an office, never a natural person."
    profile: str = Field(default="wuxi-2019", pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    second_approver: bool = True
    "An edition is public only after somebody else than its maker approved it (`muster catalog approve`)."
    base: str = Field(default="cn-2025", pattern=r"^([a-z0-9]+(-[a-z0-9]+)*)?$")
    "The national layer under the profile; empty switches it off."


class DatabaseConfig(Section):
    """The catalog's PostgreSQL: embedded unless `url` names another."""

    url: str = ""
    "`postgresql://user@host:port/name` without a password; empty means the embedded server."
    password_file: OptionalFilePath = None
    password: HiddenText | None = None
    "Only from `password_file` or the environment; a password in the file is refused."
    connect_timeout: float = Field(default=10.0, gt=0, le=300)
    pool_size: int = Field(default=10, ge=2, le=100)

    @property
    def is_embedded(self) -> bool:
        """Whether Muster starts its own PostgreSQL."""
        return not self.url

    def dsn(self) -> Secret:
        """Return the URL with the password in it, for the driver alone."""
        if self.password is None:
            return Secret(self.url)
        parts = urlsplit(self.url)
        user, _, host = parts.netloc.rpartition("@")
        netloc = f"{user}:{quote(self.password.reveal(), safe='')}@{host}"
        return Secret(urlunsplit(parts._replace(netloc=netloc)))

    @field_validator("url")
    @classmethod
    def _is_postgresql(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and parts.scheme not in ("postgresql", "postgres"):
            raise ValueError("write postgresql://user@host:port/name")
        # A URL that lacks its "@host" would show the password as the port.
        if not all(_HOST_AND_PORT.fullmatch(host) for host in parts.netloc.rpartition("@")[2].split(",")):
            raise ValueError("write postgresql://user@host:port/name, the port as a number")
        # libpq also takes the password as a query parameter.
        if re.search(r"(^|&)(password|passfile)=", parts.query):
            raise ValueError("give the password by password_file, not as a parameter")
        return url

    @model_validator(mode="after")
    def _password_has_a_user(self) -> Self:
        if self.password is not None and "@" not in urlsplit(self.url).netloc:
            raise ValueError("a password needs a url that names the user: postgresql://user@host:port/name")
        return self


class ApiConfig(Section):
    """The one HTTP listener: API, operator's page, public catalog."""

    host: str = "127.0.0.1"
    port: Port = 8080
    tls_cert: OptionalFilePath = None
    "PEM certificate chain; both TLS files or neither."
    tls_key: OptionalFilePath = None
    session_lifetime: float = Field(default=28_800.0, ge=300, le=86_400)
    "How long a login to the operator's page lasts."

    @model_validator(mode="after")
    def _clear_text_stays_on_this_machine(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key belong together: set both or neither")
        if self.tls_cert is None and not is_loopback(self.host):
            raise ValueError(
                "without tls_cert and tls_key the API listens on loopback only: "
                'set both files or host = "127.0.0.1"'
            )
        return self


def is_loopback(host: str) -> bool:
    """Tell whether `host` is this machine's own loopback."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class StatusConfig(Section):
    """When missing evidence means offline, and when it means that we could not see."""

    probe_interval: float = Field(default=60.0, ge=1, le=3600)
    probe_misses: int = Field(default=3, ge=1, le=20)
    "Consecutive misses before offline."
    probe_timeout: float = Field(default=10.0, gt=0, le=60)
    verify_media: float = Field(default=10.0, ge=1, le=120)
    "Video the first connection must deliver."
    gateway_heartbeat: float = Field(default=15.0, ge=1, le=300)
    gateway_misses: int = Field(default=4, ge=1, le=20)
    restart_grace: float = Field(default=180.0, ge=1, le=3600)
    common_cause_share: float = Field(default=0.30, gt=0, le=1)
    common_cause_min: int = Field(default=20, ge=2)
    common_cause_window: float = Field(default=120.0, ge=1, le=3600)
    common_cause_limit: float = Field(default=300.0, ge=1, le=300)
    "A suspicion is never a refuge: after this it is decided."
    flapping_transitions: int = Field(default=6, ge=2, le=1000)
    flapping_window: float = Field(default=3600.0, ge=60, le=86_400)
    references: Annotated[tuple[Reference, ...], BeforeValidator(_items)] = ()
    "`host:port` of machines of ours, asked over TCP to tell our own network's loss from theirs."

    @model_validator(mode="after")
    def _intervals_fit(self) -> Self:
        if self.restart_grace < self.probe_interval * self.probe_misses:
            raise ValueError("restart_grace must be at least probe_interval x probe_misses")
        return self

    @property
    def stale_after(self) -> timedelta:
        """After so much silence a gateway counts as blind."""
        return timedelta(seconds=self.gateway_heartbeat * self.gateway_misses)


class RelayConfig(Section):
    """Pulling from sources and pushing to the central platform."""

    workers: int = Field(default=0, ge=0, le=256)
    "Worker processes; 0 means one a core."
    media_ports: str = Field(default="", pattern=r"^([0-9]{1,5}-[0-9]{1,5})?$")
    """Ports for media over UDP, in and out, and for connections of GB/T 28181 devices, as "30000-31999"; two a stream,
    and each rests for a minute after its stream. "" means whatever the kernel gives: without a firewall."""
    connect_timeout: float = Field(default=5.0, gt=0, le=60)
    response_timeout: float = Field(default=10.0, gt=0, le=60)
    media_timeout: float = Field(default=10.0, gt=0, le=300)
    "Seconds without a packet after which the session is begun anew."
    idle_stop: float = Field(default=30.0, ge=1, le=3600)
    "An on-demand relay without viewers ends after this."
    queue_bytes: int = Field(default=4_194_304, ge=65_536, le=268_435_456)
    "A sink's queue; beyond it everything is dropped up to the next key frame, and counted."
    queue_seconds: float = Field(default=5.0, gt=0, le=60)
    gop_bytes: int = Field(default=4_194_304, ge=0, le=67_108_864)
    "The group of pictures kept of each source, so that a new taker starts at once; 0 keeps none."
    verify_at_once: int = Field(default=32, ge=1, le=10_000)
    "Verification pulls of sources that never connected, at the same time: they cost bandwidth."
    max_pulls: int = Field(default=0, ge=0, le=1_000_000)
    "Pulls at the same time, verification included; 0 is no limit."
    max_bandwidth: int = Field(default=0, ge=0, le=1_000_000_000_000)
    "Bits a second of all pulls together; 0 is no limit."
    max_network_bandwidth: int = Field(default=0, ge=0, le=1_000_000_000_000)
    "Bits a second of the pulls from each authorised network; 0 is no limit."
    expected_bitrate: int = Field(default=4_000_000, ge=16_000, le=200_000_000)
    "Bits a second reserved for a pull until it is measured."
    low_bitrate: int = Field(default=0, ge=0, le=200_000_000)
    "Bits a second; a source that delivers less for a minute is degraded (`bitrate_low`). 0: never."
    reconnect_first: float = Field(default=1.0, gt=0, le=60)
    reconnect_longest: float = Field(default=45.0, gt=0, le=3600)

    @property
    def ports(self) -> range | None:
        """Return the ports for media, None for the kernel's choice."""
        if not self.media_ports:
            return None
        first, _, last = self.media_ports.partition("-")
        return range(int(first), int(last) + 1)

    @field_validator("media_ports")
    @classmethod
    def _is_a_range(cls, text: str) -> str:
        first, last = map(int, text.split("-")) if text else (1024, 65535)
        if first < 1024 or last > 65535 or last - first + 1 < LEAST_PORTS:
            raise ValueError(
                f"media_ports must be two ports from 1024 to 65535, with {LEAST_PORTS} or more from one to the other"
            )
        return text

    @model_validator(mode="after")
    def _waits_grow(self) -> Self:
        if self.reconnect_longest < self.reconnect_first:
            raise ValueError("reconnect_longest must be at least reconnect_first")
        return self

    @model_validator(mode="after")
    def _one_pull_fits(self) -> Self:
        for limit in (self.max_bandwidth, self.max_network_bandwidth):
            if limit and limit < self.expected_bitrate:
                raise ValueError(
                    "max_bandwidth and max_network_bandwidth must be 0 or at least expected_bitrate: "
                    "no pull would ever begin"
                )
        return self


class RtspServerConfig(Section):
    """Muster as RTSP server: the central platform and operators' players pull from here."""

    host: str = "127.0.0.1"
    public_host: str = ""
    "Name or address by which clients reach this server, for the URLs that are shown; empty: `host`."
    port: int = Field(default=0, ge=0, le=65535)
    "0: nobody pulls over plain RTSP. Logins are Digest always; the pictures themselves travel in the clear."
    tls_port: int = Field(default=0, ge=0, le=65535)
    "0: no RTSPS. Needs both TLS files."
    tls_cert: OptionalFilePath = None
    tls_key: OptionalFilePath = None
    accounts: Annotated[tuple[str, ...], BeforeValidator(_items)] = ()
    "References of credentials (`muster credential set`) with which another platform may pull every source."
    max_readers: int = Field(default=1000, ge=1, le=100_000)
    "Clients served at the same time, in all; one more is refused with 453."
    max_readers_each: int = Field(default=200, ge=1, le=100_000)
    "The same of one source."

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key belong together: set both or neither")
        if self.tls_port and self.tls_cert is None:
            raise ValueError("tls_port needs tls_cert and tls_key")
        if self.port and self.port == self.tls_port:
            raise ValueError("port and tls_port must differ")
        return self

    @property
    def is_on(self) -> bool:
        """Whether anybody may pull."""
        return bool(self.port or self.tls_port)


class DiscoveryConfig(Section):
    """How gently authorised networks are asked."""

    rate: float = Field(default=20.0, gt=0, le=1000)
    "New connections a second."
    concurrency: int = Field(default=32, ge=1, le=1000)
    ports: Annotated[tuple[Port, ...], BeforeValidator(_items), Field(min_length=1, max_length=16)] = (
        DEFAULT_PORTS
    )
    timeout: float = Field(default=3.0, gt=0, le=60)
    max_prefix: int = Field(default=20, ge=20, le=32)
    "The widest IPv4 network of one sweep, as a prefix length; 20 is 4,096 addresses."
    quarantine_days: int = Field(default=30, ge=1, le=30)
    "Days after which what matched nothing is forgotten."


class OnvifConfig(Section):
    """ONVIF: cameras that announce themselves, and what they are asked; in authorised networks only."""

    enabled: bool = True
    interfaces: Annotated[tuple[OwnAddress, ...], BeforeValidator(_items)] = ()
    "Our own IPv4 addresses on whose networks is listened and asked; empty = each that lies in an authorised network."
    probe_interval: float = Field(default=60.0, ge=5, le=86_400)
    "Between two multicast Probes."
    unicast_rate: float = Field(default=100.0, gt=0, le=1000)
    "Unicast Probes a second, of sweeps and in answer to announcements."
    interrogate_interval: float = Field(default=3600.0, ge=10, le=604_800)
    "Between two interrogations of a device."
    concurrency: int = Field(default=16, ge=1, le=256)
    "Devices interrogated at once."
    timeout: float = Field(default=10.0, gt=0, le=60)
    "For one request."
    clock_tolerance: float = Field(default=60.0, ge=5, le=86_400)
    "A device whose clock is further off is degraded."


class Gb28181Config(Section):
    """Devices and lower platforms that register with us (GB/T 28181)."""

    enabled: bool = False
    id: str = Field(default="", pattern=r"^([0-9]{20})?$")
    "Our own 20-digit code; type 200 in positions 11-13 is what devices and platforms expect."
    realm: str = Field(default="", pattern=r"^[A-Za-z0-9.-]{0,64}$")
    'Of the challenges; "" means the first ten digits of `id`, as devices expect.'
    host: str = "127.0.0.1"
    "Address to listen on for SIP and for media."
    udp_port: int = Field(default=5060, ge=0, le=65535)
    tcp_port: int = Field(default=5060, ge=0, le=65535)
    "0: not over this transport."
    media_host: str = ""
    'Address that devices send their media to, where it is another one: behind a NAT; "" means the one that they reach.'
    digest: Annotated[tuple[Literal["MD5", "SHA-256"], ...], BeforeValidator(_items), Field(min_length=1)] = (
        "MD5",
    )
    "Challenges sent, in this order. Nearly all devices know MD5 alone, and some fail on two."
    digest_qop: bool = False
    "Whether qop=auth is offered; some devices fail on it."
    longest_expiry: int = Field(default=86_400, ge=60, le=604_800)
    "Seconds that a registration may hold."
    send_date: bool = True
    "Whether devices are told the time, by which they set their clocks."
    register_rate: float = Field(default=1_000.0, ge=1, le=100_000)
    "Registrations a second; more are asked to come back."
    catalog_interval: float = Field(default=1_800.0, ge=10, le=86_400)
    "Between two looks at a device's catalog."
    concurrency: int = Field(default=64, ge=1, le=1024)
    "Devices asked for their catalog at once."
    clock_tolerance: float = Field(default=60.0, ge=5, le=86_400)
    "A device whose clock is further off is degraded."

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.enabled and not self.id:
            raise ValueError("enabled needs id, our own 20-digit code")
        if self.enabled and not (self.udp_port or self.tcp_port):
            raise ValueError("enabled needs udp_port or tcp_port")
        return self

    @property
    def domain(self) -> str:
        """Return the realm of the challenges."""
        return self.realm or self.id[:10]


class ViewingConfig(Section):
    """Live pictures in a browser (WebRTC over UDP, from the address at which the browser reached the page)."""

    enabled: bool = True
    max_views: int = Field(default=20, ge=1, le=64)
    "At once; each costs some hundredths of a core."


class ReportsConfig(Section):
    """How time is counted in reports."""

    maintenance_cap: float = Field(default=86_400, ge=0, le=31 * 86_400)
    "Seconds of planned maintenance of a source and month that are not counted; what lies beyond counts, and is told."
    font: Path = Path("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc")
    "TrueType font with Chinese letters for printed reports (PDF); the Debian package fonts-wqy-microhei has it."


class CasesConfig(Section):
    """How cases of what never connected are found."""

    connected_when: str = "all_required_sources"
    "When a site counts as connected, on which WX-34(2) is silent: all_required_sources, any_source, or a share: 0.8."

    @field_validator("connected_when")
    @classmethod
    def _is_a_rule(cls, text: str) -> str:
        ConnectedWhen.read(text)
        return text


class LogConfig(Section):
    """What is logged and how it is written."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"


class CredentialsConfig(Section):
    """Where the key lies that locks the camera passwords."""

    key_file: OptionalFilePath = None
    "Empty means `credential.key` in the gateway's state_dir. Back it up apart from the database."


class Config(BaseModel):
    """The whole configuration; frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gateway: GatewayConfig = GatewayConfig()
    jurisdiction: JurisdictionConfig
    database: DatabaseConfig = DatabaseConfig()
    api: ApiConfig = ApiConfig()
    status: StatusConfig = StatusConfig()
    relay: RelayConfig = RelayConfig()
    rtsp_server: RtspServerConfig = RtspServerConfig()
    discovery: DiscoveryConfig = DiscoveryConfig()
    onvif: OnvifConfig = OnvifConfig()
    gb28181: Gb28181Config = Gb28181Config()
    viewing: ViewingConfig = ViewingConfig()
    reports: ReportsConfig = ReportsConfig()
    cases: CasesConfig = CasesConfig()
    log: LogConfig = LogConfig()
    credentials: CredentialsConfig = CredentialsConfig()

    @property
    def key_file(self) -> Path:
        """Where the credential key lies."""
        return self.credentials.key_file or self.gateway.state_dir / "credential.key"

    @property
    def signing_key_file(self) -> Path:
        """Where the key lies that signs editions."""
        return self.gateway.state_dir / "signing.key"


def load_config(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Read file and environment and check them whole.

    Args:
        path: TOML file; None means the environment alone.
        environ: `MUSTER__SECTION__KEY=value` overrides the file's `key` in `[section]`.

    Raises:
        ConfigError: with every problem found, each with its place.
    """
    known = {name: frozenset(field_names(name)) for name in Config.model_fields}
    settings, problems = read_settings(path, environ, known)
    # Present even when nobody wrote it, so that its missing keys are named rather than the section.
    settings.values.setdefault("jurisdiction", {})
    problems = [*problems, *_check_secrets(settings)]
    folder = path.resolve().parent if path is not None else Path.cwd()
    config: Config | None = None
    try:
        config = Config.model_validate(settings.values, context={"folder": folder})
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        problems += [explain(item["loc"], item["type"], item["msg"], settings, known) for item in details]
    if problems or config is None:
        # Not "from error": pydantic's own text would print the values, and one may be a secret.
        raise ConfigError(problems) from None
    return config


def field_names(section: str) -> list[str]:
    """Return the keys that `[section]` knows."""
    model = Config.model_fields[section].annotation
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise TypeError(f"[{section}] is not a section")
    return list(model.model_fields)


def _check_secrets(settings: Settings) -> list[Problem]:
    """Refuse a password in the file; read it from its own file or from the environment's URL."""
    table = settings.values.get("database")
    if not isinstance(table, dict):
        return []
    problems = []
    if "password" in table and not settings.from_environment("database", "password"):
        del table["password"]
        text = "a secret does not belong in this file: use password_file or MUSTER__DATABASE__PASSWORD"
        problems.append(settings.problem("database", "password", text))
    url = table.get("url")
    if isinstance(url, str) and (found := re.match(r"(?s)([^:/]+://[^:@/]*):(.*)@([^@]*)$", url)):
        table["url"] = f"{found.group(1)}@{found.group(3)}"
        if settings.from_environment("database", "url"):
            table.setdefault("password", unquote(found.group(2)))
        else:
            text = "holds a password: take it out and use password_file or MUSTER__DATABASE__PASSWORD"
            problems.append(settings.problem("database", "url", text))
    return problems


def render_config(config: Config) -> str:
    """Return the whole configuration as TOML, every secret masked; what `config check` prints."""
    return render_toml(config.model_dump(mode="json"))
