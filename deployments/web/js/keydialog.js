// Asking for the API key, once for this tab, and again when the server refuses it.
import { call } from "./api.js";
import { byId } from "./dom.js";
import { t } from "./i18n.js";
import { key, on, setKey } from "./state.js";

let waiting = null;
let isWatching = false;

/** Resolves when there is a key that the server accepts. */
export async function haveKey() {
  const problem = key() ? await refusal() : "";
  if (!key() || problem) await askForKey(problem);
  isWatching = true;
}

/** Watch for refusals later on: a key may be revoked while the page is open. `again` is called with the new one. */
export function startKeyDialog(again) {
  const dialog = byId("key-dialog");
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  // Chromium closes on a second Escape all the same: without a key there is nothing behind the dialog.
  dialog.addEventListener("close", () => { if (waiting) dialog.showModal(); });
  byId("key-form").addEventListener("submit", submit);
  on("unauthorised", async () => {
    if (waiting || !isWatching) return;
    setKey("");
    await askForKey(t("key.wrong"));
    again();
  });
}

function askForKey(fault = "") {
  byId("key-error").textContent = fault;
  if (!byId("key-dialog").open) byId("key-dialog").showModal();
  byId("key-input").focus();
  return new Promise((resolve) => { waiting = resolve; });
}

async function submit(event) {
  event.preventDefault();
  const input = byId("key-input");
  const fault = byId("key-error");
  fault.textContent = "";
  setKey(input.value.trim());
  const problem = await refusal();
  if (problem) {
    setKey("");
    fault.textContent = problem;
    input.select();
    return;
  }
  input.value = "";
  const done = waiting;
  waiting = null;
  byId("key-dialog").close();
  done?.();
}

/** Why the server does not take the key, or nothing. */
async function refusal() {
  try {
    await call("GET", "/v1/models");
    return "";
  } catch (error) {
    return error.status === 401 ? t("key.wrong") : error.message;
  }
}
