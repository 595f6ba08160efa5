"""A site of the Frappe framework by its REST API: every answer must be Frappe's own, and no text of it is compared.

Source: `frappe/api/v1.py` and `frappe/utils/response.py` of https://github.com/frappe/frappe. An error has its class in
`exc_type`; its text is in the site's language, and English is asked for only so that people read what they can search for.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

from device.delivery.connectors.http_exchange import Answer, HttpTarget, json_object, judge
from device.delivery.outcomes import Delivered, Failed, Refused, Stopped

Document = dict[str, Any]
MISSING = "DoesNotExistError"
NOT_PERMITTED = "PermissionError"


class FrappeSite:
    """Documents of one site. Every method raises `Stopped` with what a failure means for the event.

    Args:
        token: returns "KEY:SECRET" at each call.
    """

    def __init__(self, site: HttpTarget, token: Callable[[], str]) -> None:
        self._site = site
        self._token = token

    def rows(self, doctype: str, filters: list[list[Any]], fields: list[str], limit: int = 20) -> list[Document]:
        query = urlencode({"filters": json.dumps(filters), "fields": json.dumps(fields), "limit_page_length": limit})
        answer = self._checked("GET", f"/api/resource/{quote(doctype)}?{query}")
        rows = json_object(answer).get("data")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise Stopped(_foreign(answer))
        return rows

    def one(self, doctype: str, name: str) -> Document | None:
        """The document of this name; None: the site says that there is none."""
        answer = self._call("GET", _path(doctype, name))
        if isinstance(answer, Answer) and answer.status == 404 and json_object(answer).get("exc_type") == MISSING:
            return None
        return _document(_judged(answer))

    def create(self, doctype: str, fields: Document) -> Document:
        return _document(self._checked("POST", f"/api/resource/{quote(doctype)}", fields))

    def change(self, doctype: str, name: str, fields: Document) -> Document:
        return _document(self._checked("PUT", _path(doctype, name), fields))

    def delete(self, doctype: str, name: str) -> None:
        answer = self._checked("DELETE", _path(doctype, name))
        if not {"message", "data"} & set(json_object(answer)):
            raise Stopped(_foreign(answer))

    def ask(self, method: str) -> Any:
        """What a whitelisted function of the site returns."""
        return json_object(self._checked("GET", f"/api/method/{method}")).get("message")

    def close(self) -> None:
        self._site.close()

    def _checked(self, method: str, path: str, fields: Document | None = None) -> Answer:
        return _judged(self._call(method, path, fields))

    def _call(self, method: str, path: str, fields: Document | None = None) -> Answer | Failed:
        headers = {"Authorization": f"token {self._token()}", "Accept": "application/json", "Accept-Language": "en", "Content-Type": "application/json"}
        return self._site.call(method, path, headers, None if fields is None else json.dumps(fields).encode())


def _path(doctype: str, name: str) -> str:
    return f"/api/resource/{quote(doctype)}/{quote(name, safe='')}"


def _judged(answer: Answer | Failed) -> Answer:
    """The answer, if it says that the call was carried out.

    `frappe.throw` answers 417 with the class of the error. A 403 with a class is about this document or this right; one
    without, like every error without a class, is not Frappe's.
    """
    outcome = judge(answer)
    if isinstance(outcome, Delivered):
        assert isinstance(answer, Answer)
        return answer
    if isinstance(answer, Failed):
        raise Stopped(answer)
    kind = str(json_object(answer).get("exc_type") or "")
    text = f"HTTP {answer.status}: {_message(answer)}"
    if kind in (NOT_PERMITTED, MISSING) or isinstance(outcome, Refused):
        raise Stopped(Refused(text, cause=f"{answer.status} {kind}".strip()))
    assert isinstance(outcome, Failed)
    raise Stopped(Failed(text, outcome.whole_target, outcome.retry_after_seconds))


def _document(answer: Answer) -> Document:
    document = json_object(answer).get("data")
    if not isinstance(document, dict) or not isinstance(document.get("name"), str):
        raise Stopped(_foreign(answer))
    return document


def _foreign(answer: Answer) -> Failed:
    return Failed(f"the answer is not ERPNext's ({answer.summary}); something else answers at this address, such as a sign-in page", whole_target=True)


def _message(answer: Answer) -> str:
    """Frappe's message for people: `_server_messages` is JSON of a list of JSON texts; otherwise the exception, the message or the whole text."""
    value = json_object(answer)
    try:
        messages = [str(json.loads(text)["message"]) for text in json.loads(value["_server_messages"])]
    except (KeyError, TypeError, ValueError, RecursionError):
        messages = [str(value.get("exception") or value.get("message") or answer.text)]
    return Answer(answer.status, {}, " ".join(messages), 0.0).summary.partition(": ")[2]
