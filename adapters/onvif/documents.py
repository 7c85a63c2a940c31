"""The service descriptions (WSDL): each parsed once for the process, from files of the installation alone.

They build our requests and read the answers; nothing here talks to a device. The package `onvif-zeep` brings the
descriptions of Device, Media and PTZ; only its files are used: importing it would configure logging for the whole
process. Media2, newer than that package, lies beside this module with its notices.
"""

import asyncio
import functools
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import zeep
from zeep.transports import Transport
from zeep.wsdl import Document

DEVICE: Final = "http://www.onvif.org/ver10/device/wsdl"
MEDIA: Final = "http://www.onvif.org/ver10/media/wsdl"
MEDIA2: Final = "http://www.onvif.org/ver20/media/wsdl"
PTZ: Final = "http://www.onvif.org/ver20/ptz/wsdl"

_FILES: Final = {DEVICE: "devicemgmt.wsdl", MEDIA: "media.wsdl", PTZ: "ptz.wsdl"}
_OWN_FILES: Final = {MEDIA2: "ver20/media/wsdl/media.wsdl"}

_SETTINGS: Final = {
    # Real devices leave elements out and add others.
    "strict": False,
    "forbid_dtd": True,
    "forbid_entities": True,
    "forbid_external": True,
    "xml_huge_tree": False,
}


class _FilesOnly(Transport):
    """Loads descriptions from files: a description that points into the network is not followed."""

    def load(self, url: str) -> bytes:
        path = Path(url)
        if not path.is_file():
            raise FileNotFoundError(f"a service description points to {url}, which is no file")
        return path.read_bytes()


class Documents:
    """The parsed descriptions by the service's namespace."""

    def __init__(self, bindings: Mapping[str, Any]) -> None:
        self._bindings = bindings

    def operation(self, service: str, name: str) -> Any:
        """Return zeep's operation `name` of `service`: `create(**arguments)` and `process_reply(envelope)`."""
        return self._bindings[service].get(name)


async def load_documents() -> Documents:
    """Return the descriptions, parsed in a thread the first time: some 0.3 s of CPU and 25 MB, once for the process."""
    return await asyncio.to_thread(_load)


@functools.cache
def _load() -> Documents:
    folder = _installed_folder()
    paths = {service: folder / name for service, name in _FILES.items()}
    paths |= {service: Path(__file__).with_name("wsdl") / name for service, name in _OWN_FILES.items()}
    transport: Any = _FilesOnly()  # type: ignore[no-untyped-call]
    try:
        return Documents({service: _binding(path, transport) for service, path in paths.items()})
    finally:
        transport.session.close()


def _binding(path: Path, transport: Any) -> Any:
    document = Document(str(path), transport, settings=zeep.Settings(**_SETTINGS))
    return next(iter(document.bindings.values()))


def _installed_folder() -> Path:
    files = metadata.files("onvif-zeep") or []
    for file in files:
        if file.name == "devicemgmt.wsdl":
            return Path(str(file.locate())).parent
    raise FileNotFoundError("the package onvif-zeep has no devicemgmt.wsdl: install it anew")
