// Versions of the model with the figures of their evaluation, as a curve and as a table, and who was live when.
import { byId, h } from "../dom.js";
import { number, t } from "../i18n.js";
import { linePlot } from "./plot.js";
import { table } from "./table.js";
import { moment } from "./words.js";

const MAIN = "ndcg@10";

export function showVersions(now) {
  const versions = now.versions ?? [];
  const measured = versions.filter((one) => typeof one.metrics[MAIN] === "number").reverse();
  const plot = linePlot(byId("version-plot"), measured.map((one) => ({
    x: Date.parse(one.created_at),
    y: one.metrics[MAIN],
    label: `${one.version}: ${number(one.metrics[MAIN], 4)}`,
    isLive: one.version === now.live,
  })), {
    summary: t("ops.versionPlot", { n: measured.length }),
    format: (value) => number(value, 3),
    ends: [moment(measured[0]?.created_at), moment(measured.at(-1)?.created_at)],
    fromZero: false,
    dots: true,
  });
  byId("version-plot").replaceChildren(...(plot ? [plot] : []));
  const names = [...new Set(versions.flatMap((one) => Object.entries(one.metrics).filter(([, value]) => typeof value === "number").map(([name]) => name)))].sort();
  byId("versions").replaceChildren(...[
    versions.length ? table(t("ops.versionsCaption"), [
      [t("ops.version"), (one) => (one.version === now.live ? `${one.version} (${t("ops.live")})` : one.version)],
      [t("ops.created"), (one) => moment(one.created_at)],
      ...names.map((name) => [name, (one) => (typeof one.metrics[name] === "number" ? number(one.metrics[name], Number.isInteger(one.metrics[name]) ? 0 : 4) : null)]),
    ], versions, (one) => (one.version === now.live ? "live" : null)) : h("p", { class: "quiet" }, t("ops.noVersions")),
    now.moves?.length ? table(t("ops.moves"), [
      [t("ops.at"), (move) => moment(move.at)],
      [t("ops.from"), (move) => move.from],
      [t("ops.to"), (move) => move.to],
    ], now.moves.slice(0, 10)) : null,
  ].filter(Boolean));
}
