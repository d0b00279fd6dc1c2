"""A video fetched from a host that the server's owner allowed, and from no other."""

import socket
import time
from collections.abc import Collection
from functools import partial
from ipaddress import IPv6Address, ip_address
from typing import BinaryIO
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import httpx2

PORTS = {"http": 80, "https": 443}


class NotAllowedError(Exception):
    """The address is not allowed."""


class DownloadError(Exception):
    """The address gave no file."""


def download(
    url: str, allowed: Collection[str], out: BinaryIO, *, max_bytes: int, deadline: float
) -> None:
    """Write what `url` holds to `out`. No redirect is followed, and no proxy is used.

    allowed: hosts, or HOST:PORT for a port other than the scheme's; IPv6 in brackets. A name must
        not lead to a private address; a private address may be allowed as such.
    deadline: of `time.monotonic`.
    Raises NotAllowedError, DownloadError; TimeoutError after the deadline.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or PORTS.get(parts.scheme, 0)
    except ValueError as error:
        raise NotAllowedError(f"url is no address ({error})") from None
    if parts.scheme not in PORTS or parts.username is not None or not host:
        raise NotAllowedError("url must be http://HOST/PATH or https://HOST/PATH")
    named = _in_url(host) + ("" if port == PORTS[parts.scheme] else f":{port}")
    if named not in {name.lower() for name in allowed}:
        raise NotAllowedError(
            f"{named} is not an allowed host (--allow-url); send the video itself as `file`"
        )
    query = f"?{parts.query}" if parts.query else ""

    async def fetch() -> None:
        # httpx's own limits are for each read: a host that drips would never reach them
        with anyio.fail_after(max(deadline - time.monotonic(), 0)):
            address = await _address(host, port)
            target = f"{parts.scheme}://{_in_url(address)}:{port}{parts.path or '/'}{query}"
            async with (
                httpx2.AsyncClient(trust_env=False, timeout=None) as client,
                client.stream(
                    "GET", target, headers={"Host": named}, extensions={"sni_hostname": host}
                ) as answer,
            ):
                if answer.status_code != 200:
                    raise DownloadError(f"{named} answered {answer.status_code}, not 200")
                size = 0
                async for chunk in answer.aiter_bytes():
                    size += len(chunk)
                    if size > max_bytes:
                        raise DownloadError(
                            f"the file is larger than {max_bytes / (1 << 20):g} MiB (--max-mb)"
                        )
                    out.write(chunk)

    try:
        anyio.run(fetch)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise DownloadError(f"{named} gave no file ({error})") from None


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


async def _address(host: str, port: int) -> str:
    """One address of the host, to which the connection goes: a second look-up could differ."""
    look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        # not anyio.getaddrinfo: the end of its event loop would wait for a look-up that hangs
        entries = await anyio.to_thread.run_sync(look_up, abandon_on_cancel=True)
        found = [entry[4][0] for entry in entries]
    except (OSError, UnicodeError) as error:
        raise DownloadError(f"{host} has no address ({error})") from None
    for text in map(str, found):
        address = ip_address(text.split("%")[0])
        if isinstance(address, IPv6Address):
            address = address.ipv4_mapped or address
        if text != host and not address.is_global:
            raise NotAllowedError(f"{host} leads to a private address; send the video as `file`")
    return str(found[0])
