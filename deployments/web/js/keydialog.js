// Asking for the API key, when the address holds none and the browser has no session for one any more.
import { mayResume, resume, signIn } from "./api.js";
import { byId, h } from "./dom.js";
import { t } from "./i18n.js";
import { on, takeKey } from "./state.js";

let waiting = null;
let isWatching = false;

/** Resolves when there is a session. */
export async function haveKey() {
  const key = takeKey();
  const problem = key ? await refusal(() => signIn(key)) : mayResume() ? await refusal(resume, "") : "";
  if (problem !== null) await askForKey(problem);
  isWatching = true;
}

/** Watch for refusals later on: a key may be revoked while the page is open. `again` is called with the new one. */
export function startKeyDialog(again) {
  const dialog = makeDialog();
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  // Chromium closes on a second Escape all the same: without a key there is nothing behind the dialog.
  dialog.addEventListener("close", () => { if (waiting) dialog.showModal(); });
  byId("key-form").addEventListener("submit", submit);
  on("unauthorised", async () => {
    if (waiting || !isWatching) return;
    await askForKey(t("key.over"));
    again();
  });
}

/** The dialog, in the page and in its language. */
function makeDialog() {
  const text = (tag, name, attributes = {}) => h(tag, { "data-i18n": name, ...attributes }, t(name));
  const dialog = h("dialog", { id: "key-dialog", class: "sheet small", "aria-labelledby": "key-title" },
    h("form", { id: "key-form" },
      text("h2", "key.title", { id: "key-title" }),
      text("p", "key.why"),
      text("label", "key.label", { for: "key-input" }),
      h("input", { id: "key-input", type: "password", autocomplete: "off", spellcheck: "false", required: true, "aria-describedby": "key-error" }),
      h("p", { id: "key-error", class: "error-text", role: "alert" }),
      h("div", { class: "row" }, text("button", "key.submit", { type: "submit" }))));
  document.body.append(dialog);
  return dialog;
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
  const problem = await refusal(() => signIn(input.value.trim()));
  if (problem !== null) {
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

/** Why there is no session, `wrong` if the server does not take the key or the cookie; null if there is one. */
async function refusal(enter, wrong = t("key.wrong")) {
  try {
    await enter();
    return null;
  } catch (error) {
    return error.status === 401 ? wrong : error.message;
  }
}
