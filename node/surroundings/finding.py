"""One thing that was checked about a home, in words, with what to do about it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["error", "warning", "ok"]

_ORDER: dict[Severity, int] = {"error": 0, "warning": 1, "ok": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check came to.

    Attributes:
        code: Stable name for programs, `area.what`, e.g. "disk.room".
        severity: "error": the daemon does not start or cannot take part; "warning": it will
            not before long, or works worse than it should; "ok": checked and as it should be.
        words: One sentence for a person.
        remedy: What to do about it; empty only for "ok".
        data: The numbers and names behind the words; JSON types only, no secrets.
    """

    code: str
    severity: Severity
    words: str
    remedy: str = ""
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def is_error(self) -> bool:
        """Whether the daemon cannot do its work as things are."""
        return self.severity == "error"

    def as_json(self) -> dict[str, Any]:
        """The finding for `--json`: every field by its name."""
        return {
            "code": self.code,
            "severity": self.severity,
            "words": self.words,
            "remedy": self.remedy,
            "data": self.data,
        }


def ok(code: str, words: str, **data: Any) -> Finding:
    """A check that found nothing amiss."""
    return Finding(code, "ok", words, "", data)


def warning(code: str, words: str, remedy: str, **data: Any) -> Finding:
    """Something that needs a person before long."""
    return Finding(code, "warning", words, remedy, data)


def error(code: str, words: str, remedy: str, **data: Any) -> Finding:
    """Something that keeps the daemon from its work."""
    return Finding(code, "error", words, remedy, data)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Errors, then warnings, then what is well; otherwise in the order they were found."""
    return sorted(findings, key=lambda finding: _ORDER[finding.severity])
