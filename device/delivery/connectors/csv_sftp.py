"""The CSV drop folder on another machine, by SFTP; the host key is always checked."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device.config.fields import ConfigError, hidden, needed, ranged, written
from device.delivery.connectors import csv_folder
from device.delivery.connectors import proxy as proxies
from device.delivery.connectors.credentials import Sealed

if TYPE_CHECKING:
    import paramiko


@dataclass(frozen=True, kw_only=True)
class Settings(csv_folder.Settings):
    host: str = needed("host name", "Host name or IP address of the SFTP server")
    port: int = ranged(22, 1, 65535, "port number", "TCP port of the SFTP server")
    user: str = needed("text", "User at the SFTP server")
    known_hosts: str = needed("path", "File with the server's host key, as ssh-keyscan HOST prints it")
    password: str = hidden("Password of the user; give this or key_file", needed=False)
    proxy: str = written("", "http address", proxies.HELP)
    key_file: str = written("", "path", "File with the user's private key, in place of a password")


class Target(csv_folder.Target):
    settings: Settings

    def __init__(self, settings: Settings) -> None:
        where = f"[connectors.{settings.name}]"
        if bool(settings.password) == bool(settings.key_file):
            raise ConfigError(f"{where} password and key_file: give one of them", code="config.together")
        for key in ("known_hosts", "key_file"):
            if getattr(settings, key) and not Path(getattr(settings, key)).expanduser().is_file():
                raise ConfigError(f"{where} {key}: {getattr(settings, key)} is not a file", code="config.no_file")
        folder = SftpFolder(settings)
        super().__init__(settings, folder)
        if settings.password:
            folder.password = self.secret("password")


class SftpFolder:
    """One connection that is opened again after it was interrupted."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._proxy = proxies.proxy_for(f"[connectors.{settings.name}] proxy", settings.proxy, "all", settings.host)
        self.password: Sealed | None = None
        self._client: paramiko.SSHClient | None = None
        self._sftp: paramiko.SFTPClient | None = None

    def read(self, name: str) -> bytes | None:
        def reading(sftp: Any) -> bytes | None:
            try:
                with sftp.open(self._path(name), "rb") as file:
                    return bytes(file.read())
            except FileNotFoundError:
                return None

        content: bytes | None = self._with_connection(reading)
        return content

    def replace(self, name: str, data: bytes) -> None:
        """Renaming onto an existing file is an extension of OpenSSH (`posix-rename@openssh.com`); other servers have it too."""

        def replacing(sftp: Any) -> None:
            draft = self._path(f".{name}.part")
            with sftp.open(draft, "wb") as file:
                file.write(data)
            sftp.posix_rename(draft, self._path(name))

        self._with_connection(replacing)

    def close(self) -> None:
        if self._client:
            self._client.close()
        self._client = self._sftp = None

    def _with_connection(self, act: Callable[[Any], Any]) -> Any:
        """Raises: OSError: any failure, with a message without secrets."""
        import paramiko

        try:
            return act(self._sftp or self._connect())
        except (paramiko.SSHException, EOFError) as error:
            self.close()
            raise OSError(0, self._explain(error)) from None
        except OSError as error:
            if not isinstance(error, FileNotFoundError | PermissionError):
                self.close()
            raise OSError(error.errno or 0, f"{self._settings.host}: {error.strerror or error}") from None

    def _connect(self) -> Any:
        import paramiko

        logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # it prints tracebacks of errors that we report ourselves
        settings = self._settings
        self._client = client = paramiko.SSHClient()
        client.load_host_keys(str(Path(settings.known_hosts).expanduser()))
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        client.connect(
            settings.host,
            settings.port,
            settings.user,
            password=self.password.reveal() if self.password else None,
            key_filename=str(Path(settings.key_file).expanduser()) if settings.key_file else None,
            timeout=settings.timeout_seconds,
            banner_timeout=settings.timeout_seconds,
            auth_timeout=settings.timeout_seconds,
            sock=proxies.tunnel(self._proxy, settings.host, settings.port, settings.timeout_seconds) if self._proxy else None,
            allow_agent=False,
            look_for_keys=False,
        )
        self._sftp = client.open_sftp()
        channel = self._sftp.get_channel()
        if channel:
            channel.settimeout(settings.timeout_seconds)
        return self._sftp

    def _explain(self, error: Exception) -> str:
        import paramiko

        if isinstance(error, paramiko.BadHostKeyException):
            return f"{self._settings.host} presents another host key than known_hosts has: the connection may be intercepted, or the server was reinstalled"
        if isinstance(error, paramiko.AuthenticationException):
            return f"{self._settings.host} does not accept user and password or key"
        if isinstance(error, paramiko.SSHException) and "not found in known_hosts" in str(error):
            return f"{self._settings.host} is not in known_hosts; put its key there (`ssh-keyscan`)"
        return f"{self._settings.host}: {type(error).__name__}"

    def _path(self, name: str) -> str:
        return f"{self._settings.folder.rstrip('/')}/{name}"
