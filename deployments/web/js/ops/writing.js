// What was written: where texts came from, which rules of the guard fired, how long the first clause took.
import { byId, h } from "../dom.js";
import { t } from "../i18n.js";
import { quantile, sum } from "./figures.js";
import { table } from "./table.js";
import { count, percent, seconds, word } from "./words.js";

const SOURCES = ["generated", "cached", "template"];

export function showWriting(history) {
  const load = history.newest.load;
  const texts = { ...(load?.texts ?? {}) };
  texts.cached = (texts.cached ?? 0) + (load?.cache?.hit ?? 0);
  const all = sum(texts);
  if (!load || !all) {
    byId("writing").replaceChildren(h("p", { class: "quiet" }, t("ops.noTexts")));
    return;
  }
  const share = (source) => (texts[source] ?? 0) / all;
  const stack = h("div", { class: "stack", "aria-hidden": "true" }, SOURCES.filter((source) => texts[source]).map((source) => {
    const part = h("span", { class: `is-${source}` });
    part.style.flex = String(texts[source]);
    return part;
  }));
  const legend = h("p", { class: "legend" }, SOURCES.map((source) => {
    const mark = h("span", { class: `mark-${source}` }, `${t(`badge.${source}`)} ${count(texts[source] ?? 0)} (${percent(share(source))})`);
    mark.style.setProperty("--mark", { generated: "var(--leaf)", cached: "var(--slate)", template: "var(--thread)" }[source]);
    return mark;
  }));
  const kinds = Object.entries(history.buckets("first_clause_seconds"));
  const rules = Object.entries(load.guard_rules).filter(([, fired]) => fired).sort((a, b) => b[1] - a[1]);
  byId("writing").replaceChildren(stack, legend,
    table(t("ops.firstClause"), [
      [t("ops.kind"), ([kind]) => word("kinds", kind)],
      [t("ops.median"), ([, buckets]) => seconds(quantile(0.5, buckets))],
      [t("ops.p95"), ([, buckets]) => seconds(quantile(0.95, buckets))],
    ], kinds),
    rules.length
      ? table(t("ops.guardRules"), [[t("ops.rule"), ([rule]) => rule], [t("ops.fired"), ([, fired]) => count(fired)]], rules)
      : h("p", { class: "quiet" }, t("ops.noRules")),
    h("p", { class: "quiet" }, t("ops.tokens", { prompt: count(load.tokens.prompt ?? 0), completion: count(load.tokens.completion ?? 0) })));
}
