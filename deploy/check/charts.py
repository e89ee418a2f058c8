"""Lints the Helm charts and writes what they render to, for several settings, for kubernetes-validate.

    python deploy/check/charts.py OUTPUT_DIRECTORY

Needs no cluster and no helm binary: the library is Helm's own, through helm-python-sdk. Exit code 1 when a chart has a
warning or an error, renders where a required value is missing, or refuses settings that are allowed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from helm_python import chart

CHARTS = Path(__file__).resolve().parent.parent / "helm"
WARNING = 2
NODE: dict[str, Any] = {"chain": "business", "config": '[node]\nname = "node0"\n', "keysSecret": "node0-keys"}
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "tidegate-genesis": [{"chain": "business", "genesis": "{}"}, {"chain": "b", "genesis": "{}", "maxUnavailable": 0}],
    "tidegate-node": [
        NODE,
        {
            **NODE,
            "passphraseSecret": "node0-passphrase",
            "supervision": {"chain": "supervision", "config": "[node]\n", "keysSecret": "node0-supervision-keys"},
            "rpc": {"enabled": True, "tlsSecret": "t", "clientCaSecret": "c", "from": [{"podSelector": {}}]},
            "overlay": {"service": {"type": "LoadBalancer", "annotations": {"a": "b"}}},
            "storage": {"storageClass": "fast", "size": "10Gi"},
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "k", "operator": "Exists"}],
            "extraEnv": [{"name": "TIDEGATE_LOG__LEVEL", "value": "debug"}],
        },
    ],
}
WRONG: dict[str, list[dict[str, Any]]] = {
    "tidegate-genesis": [{}, {"chain": "Not A Name", "genesis": "{}"}],
    "tidegate-node": [
        {},
        {**NODE, "keysSecret": ""},
        {**NODE, "rpc": {"enabled": True}},
        {**NODE, "supervision": {"chain": "supervision"}},
        {**NODE, "replicas": 2},  # two pods with one validator key would sign contradictions
    ],
}


def main(output: Path) -> int:
    """See the module."""
    complaints = [complaint for name in SETTINGS for complaint in check(name, output)]
    sys.stdout.write("".join(f"{complaint}\n" for complaint in complaints))
    sys.stdout.write(f"charts: {len(SETTINGS)} linted, {sum(map(len, SETTINGS.values()))} rendered\n")
    return 1 if complaints else 0


def check(name: str, output: Path) -> list[str]:
    """What is wrong with a chart; its manifests are written to ``output``."""
    path, found = CHARTS / name, []
    with chart.Chart.load(path) as loaded:
        for number, values in enumerate(SETTINGS[name]):
            report = chart.lint(path, values, strict=True)
            messages = [message["error"] for message in report["messages"] if message["severity"] >= WARNING]
            found += [f"{name}: settings {number}: {words}" for words in [*messages, *report["errors"]]]
            loaded.validate_schema(values)
            rendered = loaded.render(values, name="node0", namespace="tidegate")
            for template, text in rendered.items():
                if template.endswith(".yaml") and text.strip():
                    (output / f"{name}-{number}-{Path(template).name}").write_text(text, encoding="utf-8")
        for values in WRONG[name]:
            try:
                loaded.validate_schema(values)
                loaded.render(values, name="node0")
            except Exception:  # noqa: BLE001, S112 - refusing is what is asked for, in whatever way
                continue
            found.append(f"{name}: {values} should have been refused")
    return found


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
