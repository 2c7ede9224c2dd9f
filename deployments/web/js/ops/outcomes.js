// Click-through, like rate and dwell, from the events that name a list.
import { ApiError, call } from "../api.js";
import { byId, h } from "../dom.js";
import { t } from "../i18n.js";
import { sourceName } from "../reasons.js";
import { on } from "../state.js";
import { table } from "./table.js";
import { count, percent, seconds, word } from "./words.js";

const NAMES = { source: sourceName, model_version: (name) => name, content_kind: (name) => word("kinds", name) };

let found = null;

export async function startOutcomes() {
  byId("days").addEventListener("change", load);
  on("language", show);
  await load();
}

async function load() {
  try {
    found = await call("GET", `/v1/ops/outcomes?days=${byId("days").value}`);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    byId("outcomes").replaceChildren(h("p", { class: "error-text" }, error.message));
    return;
  }
  show();
}

function show() {
  if (!found) return;
  const tables = Object.keys(NAMES).filter((group) => found[group].length).map((group) => table(t(`ops.by.${group}`), [
    [t(`ops.column.${group}`), (row) => NAMES[group](row.name)],
    [t("ops.shown"), (row) => count(row.shown)],
    [t("ops.clickThrough"), (row) => percent(row.click_through)],
    [t("ops.likeRate"), (row) => percent(row.like_rate)],
    [t("ops.dwell"), (row) => seconds(row.dwell_s)],
  ], found[group]));
  byId("outcomes").replaceChildren(...(tables.length ? tables : [h("p", { class: "quiet" }, t("ops.noOutcomes"))]));
}
