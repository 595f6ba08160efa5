"""An SFTP server on 127.0.0.1 over one folder: user clock, a password or a key."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import paramiko

PASSWORD = "password-of-the-drop"


class Handle(paramiko.SFTPHandle):
    full = False

    def write(self, offset: int, data: bytes) -> int:
        return paramiko.SFTP_FAILURE if self.full else int(super().write(offset, data))


class Folder(paramiko.SFTPServerInterface):
    def __init__(self, server: Any, owner: SftpServer) -> None:
        super().__init__(server)
        self.owner, self.root = owner, owner.folder.parent

    def _path(self, path: str) -> str:
        return str(self.root) + self.canonicalize(path)

    def stat(self, path: str) -> Any:
        try:
            return paramiko.SFTPAttributes.from_stat(os.stat(self._path(path)))
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)

    lstat = stat

    def open(self, path: str, flags: int, attr: Any) -> Any:
        if self.owner.broken == "forbidden" and flags & os.O_CREAT:
            return paramiko.SFTP_PERMISSION_DENIED
        try:
            handle = os.open(self._path(path), flags, 0o640)
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)
        made = Handle(flags)
        made.full = self.owner.broken == "full"
        made.readfile = made.writefile = os.fdopen(handle, "rb" if flags & 3 == os.O_RDONLY else "wb")  # type: ignore[attr-defined]
        return made

    def posix_rename(self, old: str, new: str) -> int:
        try:
            os.replace(self._path(old), self._path(new))
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)
        return paramiko.SFTP_OK


class Login(paramiko.ServerInterface):
    def __init__(self, key: Any) -> None:
        self._key = key

    def check_auth_password(self, user: str, password: str) -> int:
        return paramiko.AUTH_SUCCESSFUL if (user, password) == ("clock", PASSWORD) else paramiko.AUTH_FAILED

    def check_auth_publickey(self, user: str, key: Any) -> int:
        return paramiko.AUTH_SUCCESSFUL if user == "clock" and key == self._key else paramiko.AUTH_FAILED

    def get_allowed_auths(self, user: str) -> str:
        return "password,publickey"

    def check_channel_request(self, kind: str, number: int) -> int:
        return paramiko.OPEN_SUCCEEDED


class SftpServer:
    def __init__(self, root: Path) -> None:
        self.folder = root / "files" / "in"
        self.folder.mkdir(parents=True)
        host_key, other_key, client_key = (paramiko.RSAKey.generate(2048) for _ in range(3))
        self.client_key = root / "client_key"
        client_key.write_private_key_file(str(self.client_key))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.known_hosts = root / "known_hosts"
        self.known_hosts.write_text(self._line(host_key))
        self.other_host_line = self._line(other_key)
        self._host_key, self._client_key = host_key, client_key
        self.broken = ""  # "full" or "forbidden": how its disk fails
        self._transports: list[Any] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _line(self, key: Any) -> str:
        return f"[127.0.0.1]:{self.port} {key.get_name()} {key.get_base64()}\n"

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                transport = paramiko.Transport(connection)
                transport.add_server_key(self._host_key)
                transport.set_subsystem_handler("sftp", paramiko.SFTPServer, Folder, self)
                self._transports.append(transport)
                with suppress(paramiko.SSHException, EOFError):
                    transport.start_server(threading.Event(), Login(self._client_key))

    def hang_up(self) -> None:
        for transport in self._transports:
            transport.close()

    def close(self) -> None:
        self.hang_up()
        self._listener.close()


@contextmanager
def serving_sftp(root: Path) -> Iterator[SftpServer]:
    server = SftpServer(root)
    try:
        yield server
    finally:
        server.close()
