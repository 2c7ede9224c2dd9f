"""The page of an evaluation: tables and plots in one HTML file that needs no network and no script."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from cluster.errors import UnavailableError
from jobs.evaluation_report import COLUMNS, View
from jobs.evaluation_run import CURVE, OURS, at_diversity

STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; } .wide { overflow-x: auto; }
th, td { padding: .2rem .6rem; text-align: right; border-bottom: 1px solid #8884; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } .ours { font-weight: 700; } .best { background: #46a2; }
.skipped { color: #888; } figure { margin: 1rem 0; background: #fff; border-radius: .5rem; }
svg { width: 100%; height: auto; }
"""


def write_page(
    path: Path,
    title: str,
    views: Sequence[View],
    peers: Mapping[str, Any],
    skipped: Mapping[str, str],
    k: int,
    how: str,
) -> None:
    """Write the page, whole or not at all.

    Raises:
        UnavailableError: matplotlib is not installed.
    """
    body = [f"<h1>{escape(title)}</h1>", f"<p>{datetime.now(UTC):%Y-%m-%d %H:%M} UTC. <code>{escape(how)}</code></p>"]
    plots = [
        _diversity_plot(views, k),
        _cold_plot(views, peers, k),
        *(_activity_plot(view, peers, k) for view in views),
    ]
    body += [f"<figure>{plot}</figure>" for plot in plots if plot]
    body += [_table(view, peers, skipped, k) for view in views]
    cited = "".join(f"<li><b>{escape(name)}</b>: {escape(peer.paper)}</li>" for name, peer in peers.items())
    body.append(f"<h2>Peers</h2><ul>{cited}</ul>")
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
        + "\n".join(body)
        + "</body></html>\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(page, encoding="utf-8")
    part.replace(path)


def _table(view: View, peers: Mapping[str, Any], skipped: Mapping[str, str], k: int) -> str:
    head = "".join(
        f"<th>{name}</th>"
        for name in ("model", "seeds", f"nDCG@{k}", "95%", *COLUMNS[1:], "ours / it", "95% of the ratio")
    )
    rows = []
    best = view.best(peers, k)
    for model, figures in view.figures(k).items():
        ratio = view.ratios.get(model)
        cells = [
            escape(model), str(view.seeds[model]), f"{figures[f'ndcg@{k}']:.4f}",
            f"{figures['ndcg_low']:.3f}&ndash;{figures['ndcg_high']:.3f}",
            *(f"{figures[f'{name}@{k}']:.3f}" for name in COLUMNS[1:]),
            f"{ratio['ratio']:.3f}" if ratio else "", f"{ratio['low']:.3f}&ndash;{ratio['high']:.3f}" if ratio else "",
        ]  # fmt: skip
        style = "ours" if model == OURS else "best" if model == best else ""
        rows.append(f'<tr class="{style}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    for name, reason in skipped.items():
        rows.append(f'<tr class="skipped"><td>{escape(name)}</td><td colspan="12">skipped: {escape(reason)}</td></tr>')
    return f'<h2>{escape(view.name)}</h2><div class="wide"><table><tr>{head}</tr>{"".join(rows)}</table></div>'


def _diversity_plot(views: Sequence[View], k: int) -> str:
    """nDCG against coverage and diversity of the lists, along the knob."""
    chosen = [view for view in views if at_diversity(CURVE[0]) in view.pooled]
    if not chosen:
        return ""
    figure, axes = _figure(2)
    for view in chosen:
        names = [OURS, *(at_diversity(value) for value in CURVE)]
        figures = [view.pooled[name].summary(k) for name in names if name in view.pooled]
        for place, kind in enumerate(("coverage", "diversity")):
            x, y = [each[f"{kind}@{k}"] for each in figures], [each[f"ndcg@{k}"] for each in figures]
            axes[place].plot(x, y, "o-", label=view.name)
            for value, at_x, at_y in zip((0.0, *CURVE), x, y, strict=False):
                axes[place].annotate(f"{value:g}", (at_x, at_y), textcoords="offset points", xytext=(5, 4), fontsize=7)
            axes[place].set_xlabel(f"{kind}@{k}")
            axes[place].set_ylabel(f"nDCG@{k}")
    axes[0].set_title("Accuracy against coverage, by `diversity`")
    axes[1].set_title("Accuracy against diversity within a list")
    axes[0].legend()
    return _svg(figure)


def _cold_plot(views: Sequence[View], peers: Mapping[str, Any], k: int) -> str:
    """nDCG of strangers by how many of their events are known."""
    cold = {int(view.name.rsplit("-", 1)[1]): view for view in views if view.name.startswith("cold-session-")}
    if len(cold) < 2:
        return ""
    figure, axes = _figure(1)
    for name in (OURS, *peers):
        x = [first for first in sorted(cold) if name in cold[first].pooled]
        found = [cold[first].pooled[name].summary(k) for first in x]
        if x:
            line = axes[0].plot(
                range(len(x)), [each[f"ndcg@{k}"] for each in found], "o-", label=name, lw=3 if name == OURS else 1
            )
            if name == OURS:
                low, high = [each["ndcg_low"] for each in found], [each["ndcg_high"] for each in found]
                axes[0].fill_between(range(len(x)), low, high, alpha=0.15, color=line[0].get_color())
    axes[0].set_xticks(range(len(cold)), [str(first) for first in sorted(cold)])
    axes[0].set_xlabel("events that are known")
    axes[0].set_ylabel(f"nDCG@{k}")
    axes[0].set_title("Strangers: the band is our 95% interval")
    axes[0].legend(fontsize=8)
    return _svg(figure)


def _activity_plot(view: View, peers: Mapping[str, Any], k: int) -> str:
    """nDCG by how much is known of the people."""
    ours = view.pooled[OURS].by_activity() if OURS in view.pooled else []
    if len(ours) < 2:
        return ""
    figure, axes = _figure(1)
    for name in (OURS, *peers):
        if name in view.pooled:
            found = view.pooled[name].by_activity()
            axes[0].plot([label for label, _, _ in found], [value for _, value, _ in found], "o-", label=name,
                         lw=3 if name == OURS else 1)  # fmt: skip
    axes[0].set_xlabel("events that are known of a person")
    axes[0].set_ylabel(f"nDCG@{k}")
    axes[0].set_title(f"{view.name}: by how active people are")
    axes[0].legend(fontsize=8)
    return _svg(figure)


def _figure(count: int) -> tuple[Any, list[Any]]:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UnavailableError("the page needs matplotlib: pip install -e '.[peers]'") from None
    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = [figure.add_subplot(1, count, place + 1) for place in range(count)]
    for each in axes:
        each.grid(alpha=0.3)
    return figure, axes


def _svg(figure: Any) -> str:
    """The drawing as an element; without the prologue, which names addresses on the web."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    return text
