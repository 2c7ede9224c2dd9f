// "Why this?": the parts of a score as bars, each beginning where the one before it ends, so that they add up to it.
import { h } from "./dom.js";
import { number, t } from "./i18n.js";
import { sentence } from "./reasons.js";

const MOST_ROWS = 8;
const TOLERANCE = 0.005;

/** The table for an entry with `score` and `reasons`. */
export function whyTable(entry) {
  const parts = partsOf(entry);
  if (!parts.length) return h("p", { class: "quiet" }, t("why.none"));
  const digits = Math.abs(entry.score) < 1 ? 3 : 2;
  let end = 0;
  const spans = parts.map((part) => {
    const begin = end;
    end += part.weight;
    return [begin, end];
  });
  const edges = [0, entry.score, ...spans.flat()];
  const low = Math.min(...edges);
  const width = Math.max(...edges) - low || 1;
  const at = (value) => ((value - low) / width) * 100;
  const row = (label, [begin, stop], weight, kind) => {
    const bar = h("span", { class: `bar ${kind}` });
    bar.style.left = `${Math.min(at(begin), at(stop))}%`;
    bar.style.width = `${Math.abs(at(stop) - at(begin))}%`;
    return h("tr", { class: `why-${kind}`, "data-weight": String(weight) },
      h("th", { scope: "row" }, label),
      h("td", { class: "track", "aria-hidden": "true" }, bar),
      h("td", { class: "weight" }, number(weight, digits)));
  };
  return h("table", { class: "why" },
    h("caption", {}, t("why.caption")),
    h("thead", { class: "hidden" }, h("tr", {},
      h("th", { scope: "col" }, t("why.part")), h("td", { "aria-hidden": "true" }), h("th", { scope: "col" }, t("why.weight")))),
    h("tbody", {}, parts.map((part, place) => row(part.label, spans[place], part.weight, part.weight < 0 ? "minus" : "plus"))),
    h("tfoot", {}, row(t("why.score"), [0, entry.score], entry.score, "sum")));
}

/** Largest first; small ones together; what the reasons leave open is shown as such and not hidden. */
function partsOf(entry) {
  const sorted = [...(entry.reasons ?? [])].sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight));
  if (!sorted.length) return [];
  const isFolded = sorted.length > MOST_ROWS;
  const shown = isFolded ? sorted.slice(0, MOST_ROWS - 1) : sorted;
  const parts = shown.map((reason) => ({ label: sentence(reason), weight: reason.weight }));
  const folded = sorted.slice(shown.length);
  if (folded.length) parts.push({ label: t("reason.smaller", { n: folded.length }), weight: sum(folded) });
  const rest = entry.score - sum(sorted);
  if (Math.abs(rest) > TOLERANCE * Math.max(Math.abs(entry.score), 0.01)) parts.push({ label: t("reason.rest"), weight: rest });
  return parts;
}

const sum = (parts) => parts.reduce((total, part) => total + part.weight, 0);
