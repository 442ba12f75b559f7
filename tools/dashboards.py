"""Makes the Grafana dashboards in deploy/grafana/dashboards from tools/dashboards.yaml.

python tools/dashboards.py            write them
python tools/dashboards.py --check    fail if what is there is not what would be written
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import yaml

TEXT = Path(__file__).with_suffix(".yaml")
FOLDER = Path(__file__).resolve().parents[1] / "deploy" / "grafana" / "dashboards"
SCHEMA_VERSION = 39
"""Of the classic model; newer versions of Grafana bring it up to date while they load it."""
COLUMNS = 24
SOURCE = {"type": "prometheus", "uid": "${datasource}"}

_GREEN = ((None, "green"),)
_LEGEND = {"displayMode": "list", "placement": "bottom", "showLegend": True}
_TOOLTIP = {"mode": "multi", "sort": "desc"}
_OPTIONS: dict[str, dict[str, Any]] = {
    "stat": {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "none",
        "textMode": "auto",
        "orientation": "auto",
        "justifyMode": "auto",
    },
    "timeseries": {"legend": _LEGEND, "tooltip": _TOOLTIP},
    "state-timeline": {
        "mergeValues": True,
        "rowHeight": 0.8,
        "showValue": "auto",
        "alignValue": "left",
        "legend": _LEGEND,
        "tooltip": _TOOLTIP,
    },
    "table": {"showHeader": True, "cellHeight": "sm"},
}

Json = dict[str, Any]


class Builder:
    """From the short form to Grafana's.

    Args:
        text: What tools/dashboards.yaml says.
    """

    def __init__(self, text: Json) -> None:
        self._text = text

    def dashboards(self) -> dict[str, Json]:
        """Every dashboard by the name of its file."""
        return {name: self._dashboard(each) for name, each in self._text["dashboards"].items()}

    def _dashboard(self, short: Json) -> Json:
        source = {"name": "datasource", "label": "Prometheus", "type": "datasource"}
        variables = [self._variable(each) for each in short["variables"]]
        return {
            "uid": short["uid"],
            "title": short["title"],
            "description": short["text"],
            "tags": ["edge-asd"],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "editable": True,
            "graphTooltip": 1,
            "timezone": "browser",
            "time": {"from": "now-6h", "to": "now"},
            "refresh": "30s",
            "annotations": {"list": []},
            "links": [
                {
                    "title": "edge-asd",
                    "type": "dashboards",
                    "tags": ["edge-asd"],
                    "asDropdown": False,
                    "icon": "external link",
                    "includeVars": True,
                    "keepTime": True,
                    "targetBlank": False,
                    "tooltip": "",
                }
            ],
            "templating": {"list": [{**source, "query": "prometheus", "refresh": 1}, *variables]},
            "panels": self._panels(short["title"], short["rows"]),
        }

    @staticmethod
    def _variable(short: Json) -> Json:
        found = {
            "name": short["name"],
            "label": short["label"],
            "type": "query",
            "datasource": SOURCE,
            "query": {"query": short["query"], "refId": short["name"]},
            "refresh": 2,
            "sort": 1,
        }
        if short.get("many"):
            every = {"selected": True, "text": ["All"], "value": ["$__all"]}
            found |= {"multi": True, "includeAll": True, "current": every}
        return found

    def _panels(self, title: str, rows: list[Json]) -> list[Json]:
        panels: list[Json] = []
        y = 0
        for row in rows:
            x = 0
            for short in row["panels"]:
                place = {"h": row["height"], "w": short["width"], "x": x, "y": y}
                panels.append(self._panel(short, len(panels) + 1, place))
                x += short["width"]
            if x != COLUMNS:
                raise ValueError(f"{title}: the row at {y} is {x} columns wide")
            y += row["height"]
        return panels

    def _panel(self, short: Json, number: int, place: Json) -> Json:
        kind = short["kind"]
        found = {
            "id": number,
            "type": kind,
            "title": short["title"],
            "description": short["text"],
            "datasource": SOURCE,
            "gridPos": place,
            "targets": [
                self._target(each, chr(ord("A") + index), table=kind == "table")
                for index, each in enumerate(short["targets"])
            ],
            "fieldConfig": {"defaults": self._defaults(short), "overrides": []},
            "options": _OPTIONS[kind],
        }
        columns = short.get("columns")
        if columns:
            order = {name: index for index, name in enumerate(columns)}
            found["transformations"] = [
                {"id": "filterFieldsByName", "options": {"include": {"names": columns}}},
                {"id": "organize", "options": {"indexByName": order, "excludeByName": {}}},
            ]
        return found

    def _target(self, short: Json, reference: str, *, table: bool) -> Json:
        query = short["query"]
        for name, labels in self._text["selectors"].items():
            query = query.replace(f"<{name}>", labels)
        found = {
            "refId": reference,
            "datasource": SOURCE,
            "expr": query,
            "legendFormat": short.get("legend", ""),
            "range": not table,
            "instant": table,
        }
        return {**found, "format": "table"} if table else found

    def _defaults(self, short: Json) -> Json:
        curves = short["kind"] == "timeseries"
        steps = [
            {"color": colour, "value": value} for value, colour in short.get("thresholds", _GREEN)
        ]
        found: Json = {
            "unit": short["unit"],
            "color": {"mode": "palette-classic" if curves else "thresholds"},
            "thresholds": {"mode": "absolute", "steps": steps},
            "mappings": self._mappings(short.get("mapping")),
        }
        names = {"decimals": "decimals", "low": "min", "high": "max"}
        found |= {theirs: short[ours] for ours, theirs in names.items() if ours in short}
        if curves:
            stack = short.get("stack", False)
            found["custom"] = {
                "drawStyle": "line",
                "lineWidth": 1,
                "fillOpacity": 60 if stack else 8,
                "showPoints": "never",
                "spanNulls": False,
                "stacking": {"mode": "normal" if stack else "none", "group": "A"},
            }
        elif short["kind"] == "state-timeline":
            found["custom"] = {"fillOpacity": 80, "lineWidth": 0}
        return found

    def _mappings(self, name: str | None) -> list[Json]:
        if name is None:
            return []
        options = {
            str(value): {"text": text, "color": colour, "index": index}
            for index, (text, (value, colour)) in enumerate(self._text["mappings"][name].items())
        }
        return [{"type": "value", "options": options}]


def dashboards() -> dict[str, Json]:
    """Every dashboard as it should be, by the name of its file."""
    return Builder(yaml.safe_load(TEXT.read_text(encoding="utf-8"))).dashboards()


def main() -> int:
    """Write or check; the exit code."""
    parser = argparse.ArgumentParser(description="Make the Grafana dashboards.")
    parser.add_argument("--check", action="store_true", help="Write nothing; fail on a difference.")
    check = parser.parse_args().check
    stale = []
    for name, content in dashboards().items():
        text = json.dumps(content, indent=2) + "\n"
        path = FOLDER / name
        if not check:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(str(path))
    if stale:
        print(f"not current: {', '.join(stale)}; run tools/dashboards.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
