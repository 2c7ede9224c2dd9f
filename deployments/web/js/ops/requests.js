// Requests by route, and how many a second over the last ten minutes.
import { byId, h } from "../dom.js";
import { number, t } from "../i18n.js";
import { quantile } from "./figures.js";
import { linePlot } from "./plot.js";
import { table } from "./table.js";
import { count, percent, rate, seconds } from "./words.js";

export function showRequests(history) {
  const recent = history.requests();
  const buckets = history.buckets("seconds");
  const per = history.seconds;
  const rows = Object.entries(history.newest.load?.requests ?? {})
    .map(([route, codes]) => ({ route, codes, ...recent[route], buckets: buckets[route] ?? [] }))
    .sort((a, b) => b.all - a.all || a.route.localeCompare(b.route));
  const codes = (row) => Object.entries(row.codes).sort().map(([code, n]) => `${code}: ${count(n)}`).join("  ");
  byId("requests").replaceChildren(rows.length ? table(t("ops.requestsCaption"), [
    [t("ops.route"), (row) => row.route],
    [t("ops.perSecond"), (row) => (per ? rate(row.all / per) : "–")],
    [t("ops.median"), (row) => seconds(quantile(0.5, row.buckets))],
    [t("ops.p99"), (row) => seconds(quantile(0.99, row.buckets))],
    [t("ops.failed"), (row) => (row.all ? percent(row.failed / row.all, 2) : "–"), (row) => (row.failed ? "bad" : null)],
    [t("ops.codes"), codes],
  ], rows) : h("p", { class: "quiet" }, t(history.newest.load ? "ops.noRequests" : "ops.noLoad")));

  const rates = history.rates();
  const most = Math.max(0, ...rates.map((point) => point.y));
  const plot = linePlot(byId("rate-plot"), rates, {
    summary: t("ops.ratePlot", { most: number(most, 1) }),
    format: (value) => number(value, value < 10 ? 1 : 0),
    ends: [ago(rates.at(-1)?.x - rates[0]?.x), t("ops.now")],
  });
  byId("rate-plot").replaceChildren(...(plot ? [plot] : []));
}

const ago = (seconds) => (seconds < 90
  ? t("ops.secondsAgo", { seconds: number(seconds, 0) })
  : t("ops.ago", { minutes: number(seconds / 60, 0) }));
