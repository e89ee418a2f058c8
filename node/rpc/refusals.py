"""A request that HTTP itself refuses: its status, and the same stable code and words as a JSON-RPC error."""

from __future__ import annotations

from collections.abc import Mapping

from ledger.errors import InvalidInput


class Refused(InvalidInput):
    """See the module.

    Args:
        status: of HTTP.
        code: stable code.
        message: for a person.
        headers: of the answer.
        retry_after_s: when to come back; 0: not at all.
        close: end the connection behind the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        retry_after_s: int = 0,
        close: bool = False,
    ) -> None:
        data = {"retry_after_ms": 1000 * retry_after_s} if retry_after_s else {}
        super().__init__(message, code=code, **data)
        self.status = status
        self.close = close
        self.headers = dict(headers or {})
        if retry_after_s:
            self.headers["Retry-After"] = str(retry_after_s)
