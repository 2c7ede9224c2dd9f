// An item, opened: its pitch written before one's eyes, what one may say of it, and why it was recommended.
import { call, isAbort, problemError, stream } from "./api.js";
import { badge } from "./badge.js";
import { announce, byId, h, icon, isCalm } from "./dom.js";
import { record, recordDwell } from "./events.js";
import { language, number, t } from "./i18n.js";
import { FIELDS, learn, look, remember } from "./items.js";
import { mentioned } from "./reasons.js";
import { person, verdict } from "./state.js";
import { whyTable } from "./why.js";

let leave = null;
/** What of the opened item was read: the kind of its text and where that came from. */
let read = null;

/** Open the dialog for a place of a list (or of a chat answer); counts as a click. */
export function openItem(entry) {
  const dialog = byId("item-dialog");
  const opener = document.activeElement;
  const item = look(entry.item_id);
  leave = new AbortController();
  read = null;
  const began = performance.now();
  const { signal } = leave;
  const pitch = h("div", { class: "pitch" });
  const why = h("div", { class: "why-box" });
  dialog.style.setProperty("--hue", item.hue);
  dialog.replaceChildren(
    h("header", { class: "item-head" },
      h("p", { class: "item-meta" }, [item.year, ...item.categories].filter(Boolean).join(" · ")),
      h("h2", { id: "item-title", tabindex: "-1", autofocus: true }, item.title),
      h("button", { type: "button", class: "plain item-close", on: { click: () => dialog.close() } }, t("close"))),
    item.description ? h("p", { class: "item-description" }, item.description) : "",
    h("section", { class: "item-pitch", "aria-labelledby": "pitch-title" },
      h("h3", { id: "pitch-title", class: "eyebrow" }, t("item.pitch")), pitch),
    h("div", { class: "item-acts" }, act("like", entry), act("dislike", entry)),
    h("details", { class: "item-why", open: true }, h("summary", {}, t("why.title")), why));
  dialog.addEventListener("close", () => {
    leave.abort();
    recordDwell(entry.item_id, entry.recommendation_id, Math.round((performance.now() - began) / 100) / 10, read);
    comeBack(opener, entry.item_id);
  }, { once: true });
  dialog.showModal();
  dialog.scrollTop = 0;
  record("click", entry.item_id, entry.recommendation_id);
  writePitch(pitch, entry, signal);
  explain(why, entry, signal);
}

/** A click beside the dialog closes it. */
export function startItemDialog() {
  const dialog = byId("item-dialog");
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
}

/** Focus goes back to where it came from, or to what took its place when the list has changed meanwhile. */
function comeBack(opener, id) {
  const same = [...document.querySelectorAll(".card[data-id]")].find((element) => element.dataset.id === id);
  const target = opener?.isConnected ? opener : same?.querySelector("button") ?? byId("for-you-title");
  target?.focus({ preventScroll: true });
}

function act(type, entry) {
  const label = h("span", {}, t(verdict(entry.item_id) === type ? `item.${type}d` : `item.${type}`));
  const button = h("button", { type: "button", class: `second act-${type}`, "aria-pressed": String(verdict(entry.item_id) === type) }, icon(type), label);
  button.addEventListener("click", async () => {
    if (!(await record(type, entry.item_id, entry.recommendation_id, read))) return;
    for (const other of button.parentElement.children) {
      const isThis = other === button;
      const kind = other.classList.contains("act-like") ? "like" : "dislike";
      other.setAttribute("aria-pressed", String(isThis));
      other.querySelector("span").textContent = t(isThis ? `item.${kind}d` : `item.${kind}`);
    }
  });
  return button;
}

/** Stream the pitch into `box`, clause by clause as the server releases them. */
async function writePitch(box, entry, signal) {
  const text = h("p", { class: "pitch-text is-writing", "aria-busy": "true" });
  const foot = h("p", { class: "pitch-foot" }, h("span", { class: "quiet" }, `${t("item.writing")} …`));
  box.replaceChildren(text, foot);
  const began = performance.now();
  let firstMs = null;
  try {
    const body = { kind: "pitch", user_id: person(), item_id: entry.item_id, language: language() };
    let isDone = false;
    for await (const { event, data } of stream("/v1/content", body, signal)) {
      if (event === "text") {
        firstMs ??= performance.now() - began;
        const clause = h("span", {}, data.text);
        text.append(clause);
        if (!isCalm()) clause.animate([{ opacity: 0 }, { opacity: 1 }], { duration: 350, easing: "ease-out" });
      } else if (event === "done") {
        isDone = true;
        read = { content_kind: data.kind, content_source: data.source };
        if (text.textContent !== data.text) text.textContent = data.text;
        foot.replaceChildren(...facts(data, firstMs ?? performance.now() - began));
        announce(data.text);
      } else if (event === "error") {
        throw problemError(data);
      }
    }
    if (!isDone) throw problemError({ status: 500 });
  } catch (error) {
    if (isAbort(error) || signal.aborted) return;
    foot.replaceChildren(
      h("span", { class: "error-text", role: "alert" }, `${t("item.failed")} ${error.message}`),
      h("button", { type: "button", class: "second", on: { click: () => writePitch(box, entry, signal) } }, t("retry")));
  } finally {
    text.classList.remove("is-writing");
    text.removeAttribute("aria-busy");
  }
}

function facts(done, firstMs) {
  const rules = done.guard?.rules ?? [];
  const rest = [done.source === "template" ? "" : done.model, t("item.first", { s: number(firstMs / 1000, 1) })];
  if (rules.length) rest.push(t("item.rules", { rules: rules.join(", ").replaceAll("_", " ") }));
  return [badge(done.source), h("span", { class: "quiet" }, rest.filter(Boolean).join(" · "))];
}

/** The reasons: those of the list, else (from lists that are not about the person) asked for. */
async function explain(box, entry, signal) {
  if (entry.reasons?.length) {
    box.replaceChildren(whyTable(entry));
    return;
  }
  box.replaceChildren(h("p", { class: "quiet" }, `${t("why.loading")} …`));
  try {
    const body = { user_id: person(), candidates: [entry.item_id], n: 1, include_seen: true, explain: true, include: FIELDS };
    const { items } = await call("POST", "/v1/recommendations", body, signal);
    remember(items);
    await learn(mentioned(items), signal);
    box.replaceChildren(whyTable(items[0] ?? entry));
  } catch (error) {
    if (!isAbort(error) && !signal.aborted) box.replaceChildren(h("p", { class: "error-text" }, error.message));
  }
}
