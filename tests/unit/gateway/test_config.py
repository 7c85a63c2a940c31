"""The configuration is checked whole, and never shows a secret."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from catalog.model.secret import Secret
from gateway.config import Config, ConfigError, field_names, load_config, render_config, split_host_port

EXAMPLE = Path(__file__).parents[3] / "deploy" / "muster.example.toml"
CANARY = "canary-9f3b7c"
JURISDICTION = (
    '[jurisdiction]\ncivil_code = "320200"\nname = "示例市"\nissued_by = "示例市公安局"\ncontact = "办公室"\n'
)


def write(folder: Path, text: str) -> Path:
    path = folder / "muster.toml"
    path.write_text(JURISDICTION + text, encoding="utf-8")
    return path


def problems(path: Path | None, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(path, environ or {})
    assert CANARY not in str(caught.value)
    assert CANARY not in repr(caught.value.problems)
    return [str(problem) for problem in caught.value.problems]


def test_the_example_equals_the_defaults() -> None:
    example = load_config(EXAMPLE, {})
    assert example == Config(jurisdiction=example.jurisdiction)


def test_the_example_shows_every_key_but_the_password() -> None:
    tables = tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))
    expected = {name: set(field_names(name)) for name in Config.model_fields}
    expected["database"].discard("password")
    assert {name: set(table) for name, table in tables.items()} == expected


def test_the_environment_alone_is_a_configuration() -> None:
    environ = {
        "MUSTER__JURISDICTION__CIVIL_CODE": "320200",
        "MUSTER__JURISDICTION__NAME": "示例市",
        "MUSTER__JURISDICTION__ISSUED_BY": "示例市公安局",
        "MUSTER__JURISDICTION__CONTACT": "办公室",
        "MUSTER__STATUS__REFERENCES": "10.0.0.1:22, [fd00::1]:22",
        "MUSTER__DISCOVERY__PORTS": "[554, 8554]",
        "PATH": "/bin",
    }
    config = load_config(None, environ)
    assert config.jurisdiction.civil_code == "320200"
    assert config.status.references == ("10.0.0.1:22", "[fd00::1]:22")
    assert config.discovery.ports == (554, 8554)


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "[status]\nprobe_interval = 30\n")
    config = load_config(path, {"MUSTER__STATUS__PROBE_INTERVAL": "45"})
    assert config.status.probe_interval == 45.0


def test_without_anything_the_keys_to_set_are_named() -> None:
    assert problems(None) == [
        "configuration: [jurisdiction] civil_code: must be set",
        "configuration: [jurisdiction] name: must be set",
        "configuration: [jurisdiction] issued_by: must be set",
        "configuration: [jurisdiction] contact: must be set",
    ]


def test_all_problems_are_listed_at_once_each_with_its_line(tmp_path: Path) -> None:
    text = '[stats]\nx = 1\n[status]\nprobe_intervall = 5\nprobe_misses = "many"\n[api]\nworkers = 2\n'
    found = problems(write(tmp_path, text), {"MUSTER__API__PORTT": "1", "MUSTER__API__PORT": "70000"})
    assert set(found) == {
        "environment, MUSTER__API__PORT: [api] port: input should be less than or equal to 65535",
        "environment: MUSTER__API__PORTT: unknown variable; did you mean MUSTER__API__PORT?",
        "muster.toml, line 12: [api] workers: unknown key; workers belongs in [relay]",
        "muster.toml, line 6: [stats]: unknown section; did you mean status?",
        "muster.toml, line 9: [status] probe_intervall: unknown key; did you mean probe_interval?",
        "muster.toml, line 10: [status] probe_misses: input should be a valid integer, "
        "unable to parse string as an integer",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[api]\nhost = "0.0.0.0"', "loopback only"),
        ('[api]\ntls_cert = "cert.pem"', "belong together"),
        ("[status]\nrestart_grace = 100", "at least probe_interval x probe_misses"),
        ("[status]\nprobe_interval = nan", "finite number"),
        ("[status]\ncommon_cause_limit = 301", "less than or equal to 300"),
        ('[status]\nreferences = ["10.0.0.1"]', 'item 1: write "host:port"'),
        ("[discovery]\nmax_prefix = 16", "greater than or equal to 20"),
        ("[relay]\nreconnect_longest = 0.5", "at least reconnect_first"),
        ("[relay]\nmax_bandwidth = 3000000", "at least expected_bitrate"),
        ("[relay]\nmax_network_bandwidth = 3000000", "at least expected_bitrate"),
        ('[relay]\nmedia_ports = "30000-30510"', "with 512 or more"),
        ('[relay]\nmedia_ports = "900-2000"', "from 1024 to 65535"),
        ('[relay]\nmedia_ports = "65000-65536"', "from 1024 to 65535"),
        ('[relay]\nmedia_ports = "30000"', "media_ports"),
        ("[relay]\nmax_pulls = -1", "greater than or equal to 0"),
        ('[database]\nurl = "mysql://db/x"', "postgresql://"),
        ('[log]\nformat = "xml"', "'json' or 'console'"),
        ("[log\n", "is not TOML"),
        ("status = 3\n", "unknown key"),
    ],
)
def test_what_is_not_allowed_is_refused_with_its_reason(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in "\n".join(problems(write(tmp_path, text)))


def test_tls_opens_the_network(tmp_path: Path) -> None:
    path = write(tmp_path, '[api]\nhost = "0.0.0.0"\ntls_cert = "a.pem"\ntls_key = "/etc/b.pem"\n')
    api = load_config(path, {}).api
    assert (api.tls_cert, api.tls_key) == (tmp_path / "a.pem", Path("/etc/b.pem"))


def test_relative_paths_start_at_the_file(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, '[gateway]\nstate_dir = "state"\n'), {})
    assert config.gateway.state_dir == tmp_path / "state"
    assert config.key_file == tmp_path / "state" / "credential.key"


@pytest.mark.parametrize(
    "text",
    [
        f'[database]\nurl = "postgresql://muster@db/x"\npassword = "{CANARY}"',
        f'[database]\nurl = "postgresql://muster:{CANARY}@db/x"',
        f'[database]\nurl = "postgresql://muster:a/b@{CANARY}@db/x"',
        f'[database]\nurl = "postgresql://muster@db/x?password={CANARY}"',
        f'[database]\nurl = "mysql://muster:{CANARY}@db/x"',
        f'[database]\npassword = ["{CANARY}"]',
    ],
)
def test_a_password_in_the_file_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    assert "password" in "\n".join(problems(write(tmp_path, text)))


def test_a_password_in_the_environments_url_is_kept_apart(tmp_path: Path) -> None:
    url = f"postgresql://muster:{CANARY}%2F@db:5432/x"
    config = load_config(write(tmp_path, ""), {"MUSTER__DATABASE__URL": url})
    assert config.database.url == "postgresql://muster@db:5432/x"
    assert config.database.password == Secret(f"{CANARY}/")
    assert config.database.dsn().reveal() == url


def test_a_password_comes_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "db.password").write_text(f"{CANARY}@:/\n")
    path = write(tmp_path, '[database]\nurl = "postgresql://m@db/x"\npassword_file = "db.password"\n')
    config = load_config(path, {})
    assert config.database.password == Secret(f"{CANARY}@:/")
    assert config.database.dsn().reveal() == f"postgresql://m:{CANARY}%40%3A%2F@db/x"
    assert CANARY not in repr(config) + str(config) + config.model_dump_json() + render_config(config)


@pytest.mark.parametrize("content", [b"", b"two\nlines\n", b"\xff" + CANARY.encode(), b"x" * 5000])
def test_a_secret_file_that_holds_no_secret_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "db.password").write_bytes(content)
    path = write(tmp_path, '[database]\nurl = "postgresql://m@db/x"\npassword_file = "db.password"\n')
    assert "password_file: cannot be read" in problems(path)[0]


def test_a_missing_secret_file_is_named_by_its_key(tmp_path: Path) -> None:
    path = write(tmp_path, '[database]\nurl = "postgresql://m@db/x"\npassword_file = "absent"\n')
    assert problems(path) == [
        "muster.toml, line 8: [database] password_file: cannot be read: No such file or directory"
    ]


def test_a_password_without_a_user_is_refused(tmp_path: Path) -> None:
    found = problems(write(tmp_path, ""), {"MUSTER__DATABASE__PASSWORD": CANARY})
    assert "names the user" in found[0]


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    assert problems(tmp_path / "absent.toml")[0].endswith("cannot be read: No such file or directory")


def test_the_printed_configuration_loads_to_the_same(tmp_path: Path) -> None:
    config = load_config(EXAMPLE, {})
    printed = tmp_path / "printed.toml"
    text = render_config(config).replace('password = ""\n', "")
    printed.write_text(text, encoding="utf-8")
    assert load_config(printed, {}) == config


def test_the_configuration_is_frozen() -> None:
    config = load_config(EXAMPLE, {})
    with pytest.raises(ValidationError):
        config.status.probe_misses = 1


@given(st.text())
def test_a_reference_is_split_or_refused(text: str) -> None:
    try:
        host, port = split_host_port(text)
    except ValueError:
        return
    assert host
    assert 1 <= port <= 65535


@given(st.binary(max_size=300))
def test_any_file_loads_or_raises_a_documented_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError):
        load_config(path, {})


@given(
    st.dictionaries(
        st.sampled_from([*Config.model_fields, "other"]),
        st.sampled_from(["1", '"text"', "[2]", "{}", "[{}]"]),
    )
)
def test_a_section_that_is_no_table_is_a_documented_error(
    tmp_path_factory: pytest.TempPathFactory, tables: dict[str, str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "tables.toml"
    path.write_text("\n".join(f"{name} = {value}" for name, value in tables.items()), encoding="utf-8")
    with pytest.raises(ConfigError):
        load_config(path, {})
