"""Reads a configuration folder: `iotdb-cluster.yaml` of this project, or `iotdb-cluster.properties` of the original.

Whatever is wrong with a file ends the start with one line that names file, key and value (`StartRefused`).
"""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import yaml

from iotdb_cluster.errors import StartRefused
from iotdb_cluster.raft.settings import RaftSettings
from iotdb_cluster.settings import Settings, meant, settings_from

YAML_NAME = "iotdb-cluster.yaml"
PROPERTIES_NAME = "iotdb-cluster.properties"

RENAMED = {"consistency_level": "read_consistency"}
"""Keys of the original, in lower case, whose setting has another name here."""

WITHOUT_EFFECT = frozenset(
    {
        "log_deletion_check_interval_second",
        "max_number_of_logs",
        "max_removed_log_size",
        "query_time_out_sec",
        "use_batch_in_catch_up",
    }
)
"""Keys of the original, in lower case, that tune what works differently here: taken, and said to have no effect."""

SECTIONS = {
    "address": "Where this node listens, and what it tells others.",
    "cluster": "What all nodes of a cluster have in common.",
    "network": "Connections and messages, on all three ports.",
    "clients": "What clients see.",
    "raft": "Agreement: times and sizes of every group. The same on all nodes.",
    "storage": "Folders, files and memory.",
    "logging": "What the node says about itself.",
}


@dataclass(frozen=True, slots=True)
class Configuration:
    """Settings, the file that they came from, and what its owner should know."""

    settings: Settings
    file: Path
    notices: tuple[str, ...] = ()


def load(place: Path) -> Configuration:
    """The configuration in a folder, or in a file; raises `StartRefused`.

    A relative `data_dir` is counted from the folder above the configuration folder, so that it does not depend on where
    a node was started from.
    """
    file = _find(place)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StartRefused(f"{file}: cannot be read: {error}") from error
    notices: list[str] = []
    try:
        values = _from_properties(text, notices) if file.suffix == ".properties" else _from_yaml(text)
        settings = settings_from(values)
    except StartRefused as error:
        raise StartRefused(f"{file}: {error}") from error
    home = file.resolve().parent.parent
    settings = replace(settings, data_dir=str(home / Path(settings.data_dir).expanduser()))
    return Configuration(settings, file, (*notices, *warnings_about(settings)))


def warnings_about(settings: Settings) -> tuple[str, ...]:
    """What is allowed but should worry whoever runs the node."""
    if settings.is_loopback_only or (settings.username, settings.password) != ("root", "root"):
        return ()
    return (f"listening on {settings.bind_address} with the account root/root that everybody knows: set password",)


def raft_settings(settings: Settings) -> RaftSettings:
    """The times and sizes of the Raft core; they have the same names in both places."""
    return RaftSettings(**{item.name: getattr(settings, item.name) for item in fields(RaftSettings)})


def as_yaml() -> str:
    """The text of `conf/iotdb-cluster.yaml`: every setting with its meaning and its default."""
    return "\n".join(_yaml_lines()) + "\n"


def _yaml_lines() -> Iterator[str]:
    yield "# Every setting of a node with its default. `make fix` makes this file from iotdb_cluster/settings.py;"
    yield "# a copy of it is yours to change. Units: _ms milliseconds, _mb MiB, _bytes bytes."
    for section, heading in SECTIONS.items():
        yield f"\n# ---- {heading}"
        for item in fields(Settings):
            if item.metadata["section"] == section:
                yield ""
                yield from textwrap.wrap(
                    item.metadata["meaning"], width=110, initial_indent="# ", subsequent_indent="# "
                )
                yield f"{item.name}: {_yaml_scalar(item.default)}"


def _yaml_scalar(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else '"' + str(value) + '"'


def _find(place: Path) -> Path:
    if place.is_file():
        return place
    found = [place / name for name in (YAML_NAME, PROPERTIES_NAME) if (place / name).is_file()]
    if len(found) > 1:
        raise StartRefused(f"{place}: has both {YAML_NAME} and {PROPERTIES_NAME}; keep one of them")
    if not found:
        raise StartRefused(
            f"{place}: has neither {YAML_NAME} nor {PROPERTIES_NAME}; name a folder that has (-c CONF_DIR)"
        )
    return found[0]


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML libraries silently drop one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise StartRefused(f"{key}: stands in it twice")
        return super().construct_mapping(node, deep=deep)


def _from_yaml(text: str) -> dict[str, object]:
    try:
        values = yaml.load(text, Loader=_StrictLoader)  # a SafeLoader
    except yaml.YAMLError as error:
        raise StartRefused(f"is not YAML: {' '.join(str(error).split())}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise StartRefused("must be lines of 'setting: value'")
    seeds = values.get("seed_nodes")
    if isinstance(seeds, list):
        values["seed_nodes"] = ",".join(str(seed) for seed in seeds)
    return values


def _from_properties(text: str, notices: list[str]) -> dict[str, object]:
    """Values out of a Java properties file; appends to `notices` what was taken without effect."""
    kinds = {item.name: type(item.default) for item in fields(Settings)}
    values: dict[str, object] = {}
    for key, value in _properties(text):
        name = RENAMED.get(key.lower(), key.lower())
        if name in WITHOUT_EFFECT:
            notices.append(f"{key} = {value}: has no effect here")
        elif name not in kinds:
            raise StartRefused(f"{key} = {value}: there is no such setting{meant(name, kinds)}")
        else:
            values[name] = _converted(key, value, kinds[name])
    return values


def _converted(key: str, value: str, kind: type) -> object:
    if kind is int:
        if re.fullmatch(r"[+-]?[0-9]+", value) is None:
            raise StartRefused(f"{key} = {value!r}: must be a whole number")
        return int(value)
    if kind is bool:
        if value.lower() not in ("true", "false"):
            raise StartRefused(f"{key} = {value!r}: must be true or false")
        return value.lower() == "true"
    # The original skips empty parts of a list.
    return ",".join(part.strip() for part in value.split(",") if part.strip()) if key.lower() == "seed_nodes" else value


def _properties(text: str) -> Iterator[tuple[str, str]]:
    """Keys and values as `java.util.Properties.load` reads them; a later line of the same key wins, as there."""
    logical = re.sub(r"(?m)(?<!\\)((?:\\\\)*)\\\n[ \t\f]*", r"\1", text.replace("\r\n", "\n").replace("\r", "\n"))
    for line in logical.split("\n"):
        stripped = line.strip(" \t\f")
        if stripped and stripped[0] not in "#!":
            match = re.match(r"((?:\\.|[^\\=: \t\f])+)[ \t\f]*(?:[=:][ \t\f]*)?(.*)", stripped, re.DOTALL)
            if match is None:
                raise StartRefused(f"{stripped}: is not KEY=VALUE")
            yield _unescaped(match[1]), _unescaped(match[2])


def _unescaped(text: str) -> str:
    special = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}

    def one(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if len(code) == 5 else special.get(code, code)

    return re.sub(r"\\(u[0-9A-Fa-f]{4}|.)", one, text)


if __name__ == "__main__":
    print(as_yaml(), end="")  # noqa: T201  # `make fix` writes the file from it
