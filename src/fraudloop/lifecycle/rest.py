"""MLflow's server over its REST API, by Python alone: a scoring server's image has no MLflow."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from base64 import b64encode
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from fraudloop.errors import RegistryAwayError, RegistryError
from fraudloop.lifecycle.store import STEPS, Model, Version
from fraudloop.settings import MlflowLogin, mlflow_login

API = "/api/2.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
PROXIED = "mlflow-artifacts:"
PATIENCE = 5.0  # seconds
MOST_BYTES = 1_000_000_000
AT_ONCE = 200  # versions a page
# What MLflow answers where there is no such model, version, alias or run.
NONE = {"RESOURCE_DOES_NOT_EXIST"}


class _RefusedError(RegistryError):
    """The server said no; `code` is MLflow's own."""

    def __init__(self, sentence: str, code: str) -> None:
        super().__init__(sentence)
        self.code = code


class RestStore:
    """A server, over one connection that is kept open; safe to share between threads."""

    def __init__(self, uri: str, login: MlflowLogin | None = None) -> None:
        parts = urlsplit(uri)
        if not parts.hostname:
            raise RegistryError("MLFLOW_TRACKING_URI names no host: give http://HOST:PORT")
        self._login = mlflow_login() if login is None else login
        self._host, self._port = parts.hostname, parts.port
        self._secure = parts.scheme == "https"
        self._prefix = parts.path.rstrip("/")
        port = f":{parts.port}" if parts.port else ""
        self.address = f"{parts.scheme}://{parts.hostname}{port}{self._prefix}"
        self._authorization = self._authorized(parts.username, parts.password)
        self._lock = threading.Lock()
        self._connection: http.client.HTTPConnection | None = None

    def model(self, name: str) -> Model | None:
        """The registered model of this name."""
        found = self._found("registered-models/get", "registered_model", name=name)
        if found is None:
            return None
        tags = _pairs(found.get("tags"))
        aliases = {each["alias"]: int(each["version"]) for each in found.get("aliases", ())}
        return Model(name, aliases, tags.get(STEPS))

    def alias(self, name: str, alias: str) -> Version | None:
        """The version an alias names."""
        try:
            found = self._found("registered-models/alias", "model_version", name=name, alias=alias)
        except _RefusedError as error:
            if error.code != "INVALID_PARAMETER_VALUE":  # how MLflow says that there is none
                raise
            return None
        return None if found is None else _version(found)

    def version(self, name: str, number: int) -> Version | None:
        """One version."""
        found = self._found("model-versions/get", "model_version", name=name, version=str(number))
        return None if found is None else _version(found)

    def versions(self, name: str) -> list[Version]:
        """All versions, the newest first."""
        found: list[Version] = []
        page = ""
        while True:
            asked = {"filter": f"name='{name}'", "max_results": str(AT_ONCE)}
            said = self._get(
                "model-versions/search", **asked, **({"page_token": page} if page else {})
            )
            found += map(_version, said.get("model_versions", ()))
            page = said.get("next_page_token", "")
            if not page:
                return sorted(found, key=lambda each: -each.number)

    def params(self, run: str) -> dict[str, str]:
        """What was written once, all of it."""
        found = self._found("runs/get", "run", run_id=run)
        return {} if found is None else _pairs(found.get("data", {}).get("params"))

    def fetch(self, version: Version, file: str) -> bytes:
        """The content of a file of a version's bundle, unverified."""
        if not version.source.startswith(PROXIED):
            raise RegistryError(
                f"the bundle of version {version.number} lies where {self.address} does not hand "
                "it out: start MLflow's server with --serve-artifacts, and register it again"
            )
        path = urlsplit(version.source).path.strip("/")
        return self._ask("GET", f"{ARTIFACTS}/{quote(f'{path}/{file}')}")

    def write_once(self, run: str, key: str, value: str) -> bool:
        """Write a value where none stands; False where another stands already."""
        try:
            self._post("runs/log-parameter", run_id=run, key=key, value=value)
        except _RefusedError as error:
            if error.code != "INVALID_PARAMETER_VALUE":
                raise
            return self.params(run).get(key) == value
        return True

    def set_alias(self, name: str, alias: str, number: int) -> None:
        """Let an alias name a version, in one write."""
        self._post("registered-models/alias", name=name, alias=alias, version=str(number))

    def drop_alias(self, name: str, alias: str) -> None:
        """Let an alias name nothing."""
        content = json.dumps({"name": name, "alias": alias}).encode()
        self._ask("DELETE", f"{API}/registered-models/alias", content)

    def tag(self, name: str, number: int, key: str, value: str) -> None:
        """Tag a version, in the place of what the tag said before."""
        self._post("model-versions/set-tag", name=name, version=str(number), key=key, value=value)

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            self._hang_up()

    def _found(self, what: str, part: str, **asked: str) -> dict[str, Any] | None:
        try:
            return dict(self._get(what, **asked)[part])
        except _RefusedError as error:
            if error.code in NONE:
                return None
            raise
        except KeyError as error:
            raise RegistryError(f"{self.address} answers as no MLflow server does: look") from error

    def _get(self, what: str, **asked: str) -> dict[str, Any]:
        return self._parsed(self._ask("GET", f"{API}/{what}?{urlencode(asked)}"))

    def _post(self, what: str, **said: str) -> None:
        self._ask("POST", f"{API}/{what}", json.dumps(said).encode())

    def _ask(self, method: str, path: str, content: bytes | None = None) -> bytes:
        """Ask once; once more if the server had closed the connection meanwhile."""
        with self._lock:
            kept = self._connection is not None
            try:
                try:
                    status, answer = self._exchange(method, path, content)
                except (http.client.RemoteDisconnected, ConnectionError):
                    self._hang_up()
                    if not kept:
                        raise
                    status, answer = self._exchange(method, path, content)
            except (OSError, http.client.HTTPException) as error:
                self._hang_up()
                reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
                raise RegistryAwayError(
                    f"the registry at {self.address} does not answer ({reason}): look whether "
                    "MLflow's server runs there"
                ) from error
        if status != 200:
            raise self._refusal(status, answer)
        return answer

    def _exchange(self, method: str, path: str, content: bytes | None) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = self._connected()
        headers = {"Accept": "*/*"} | self._authorization
        if content is not None:
            headers["Content-Type"] = "application/json"
        self._connection.request(method, self._prefix + path, content, headers)
        answered = self._connection.getresponse()
        answer = answered.read(MOST_BYTES + 1)
        if len(answer) > MOST_BYTES:
            self._hang_up()
            raise RegistryError(f"{self.address} sends more than {MOST_BYTES:,} bytes: look why")
        return answered.status, answer

    def _connected(self) -> http.client.HTTPConnection:
        if not self._secure:
            return http.client.HTTPConnection(self._host, self._port, timeout=PATIENCE)
        trusted = ssl.create_default_context(cafile=self._login.certificates)
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=PATIENCE, context=trusted
        )

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _refusal(self, status: int, answer: bytes) -> RegistryError:
        if status in (401, 403):
            return RegistryError(
                f"{self.address} refuses us with {status}{_hint(answer)}: set "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD to a user who may"
            )
        if status >= 500 or status == 429:
            return RegistryAwayError(
                f"the registry at {self.address} fails with {status}: look into its log"
            )
        try:
            said = json.loads(answer)
            code, reason = str(said["error_code"]), str(said.get("message", ""))
        except (ValueError, KeyError, TypeError):
            code, reason = "", ""
        shown = " ".join(reason.split())[:200] or f"status {status}"
        return _RefusedError(f"{self.address} refused it ({shown}): correct it", code)

    def _parsed(self, answer: bytes) -> dict[str, Any]:
        try:
            return dict(json.loads(answer))
        except (ValueError, TypeError) as error:
            raise RegistryError(f"{self.address} answers as no MLflow server does: look") from error

    def _authorized(self, user: str | None, password: str | None) -> dict[str, str]:
        """The header that says who we are; MLflow's variables come before the address."""
        name = self._login.username or user
        if name is not None:
            whole = f"{name}:{self._login.password or password or ''}".encode()
            return {"Authorization": f"Basic {b64encode(whole).decode()}"}
        if self._login.token is not None:
            return {"Authorization": f"Bearer {self._login.token}"}
        return {}


def _hint(answer: bytes) -> str:
    """MLflow refuses hosts it was not told of with the same status as users."""
    return " (it was not told of this host: --allowed-hosts)" if b"Host header" in answer else ""


def _version(said: dict[str, Any]) -> Version:
    return Version(
        number=int(said["version"]),
        run=said.get("run_id", ""),
        source=said.get("source", ""),
        made_at=int(said.get("creation_timestamp", 0)),
        tags=_pairs(said.get("tags")),
    )


def _pairs(said: list[dict[str, str]] | None) -> dict[str, str]:
    return {each["key"]: each.get("value", "") for each in said or ()}
