// The line at the foot: is it well, which version ranks, what writes.
import { call } from "./api.js";
import { announce, byId, h } from "./dom.js";
import { language, t } from "./i18n.js";
import { emit, on } from "./state.js";

const POLL_MS = 15_000;

let health = "starting";
let facts = {};
let version = null;

export function startStatus() {
  on("language", show);
  on("version", (seen) => see(seen));
  show();
}

/** Look now and, while the page is visible, again and again. */
export async function watchStatus() {
  await look();
  setInterval(() => { if (!document.hidden) look(); }, POLL_MS);
}

async function look() {
  try {
    health = (await fetch("/healthz/ready", { signal: AbortSignal.timeout(5000) })).ok ? "ready" : "starting";
    facts = (await call("GET", "/v1/models")).tailorbird ?? {};
    see(facts.model_version);
  } catch {
    health = "away";
  }
  show();
}

/** Another version than before serves: the lists are of the old one. */
function see(seen) {
  if (!seen || seen === version) return;
  const isSwap = version !== null;
  version = seen;
  show();
  if (!isSwap) return;
  announce(t("status.newVersion", { version }));
  emit("swap", version);
}

function show() {
  const rows = [
    ["status.version", version ?? facts.model_version],
    ["status.engine", facts.engine],
    ["status.model", facts.model],
    ["status.quantization", facts.quantization],
    ["status.weights", facts.weight_bytes ? bytes(facts.weight_bytes) : ""],
    ["status.device", facts.device],
  ].filter(([name, value]) => value || name === "status.version");
  byId("status").replaceChildren(
    h("p", { class: `health health-${health}` }, t(`status.${health}`)),
    h("dl", {}, rows.map(([name, value]) => h("div", {}, h("dt", {}, t(name)), h("dd", {}, value || t("status.none"))))));
}

const bytes = (count) => `${(count / 2 ** 20).toLocaleString(language(), { maximumFractionDigits: 0 })} MiB`;
