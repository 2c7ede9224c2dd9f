// The chat: streamed answers, with cards of the items that they are about.
import { ApiError, isAbort, stream } from "./api.js";
import { badge } from "./badge.js";
import { byId, h } from "./dom.js";
import { t } from "./i18n.js";
import { openItem } from "./itemdialog.js";
import { learn, look } from "./items.js";
import { headlines, mentioned } from "./reasons.js";
import { on, person } from "./state.js";

const TURNS = 12;
const IDEAS = ["chat.idea1", "chat.idea2", "chat.idea3"];

let turns = [];
let running = null;

export function startChat() {
  const input = byId("chat-input");
  byId("chat-form").addEventListener("submit", (event) => {
    event.preventDefault();
    ask(input.value.trim());
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      ask(input.value.trim());
    }
  });
  byId("chat-stop").addEventListener("click", () => running?.abort());
  byId("chat-toggle").addEventListener("click", () => open(!byId("chat").classList.contains("is-open")));
  byId("chat-close").addEventListener("click", () => open(false));
  byId("chat").addEventListener("keydown", (event) => { if (event.key === "Escape") open(false); });
  on("person", clear);
  on("language", ideas);
  ideas();
}

/** On narrow windows the chat is a sheet over the lists. */
function open(isOpen) {
  byId("chat").classList.toggle("is-open", isOpen);
  byId("chat-toggle").setAttribute("aria-expanded", String(isOpen));
  (isOpen ? byId("chat-input") : byId("chat-toggle")).focus();
}

function clear() {
  running?.abort();
  turns = [];
  for (const turn of byId("chat-log").querySelectorAll(".turn")) turn.remove();
  byId("chat-empty").hidden = false;
  ideas();
}

function ideas() {
  byId("chat-ideas").hidden = turns.length > 0;
  byId("chat-ideas").replaceChildren(...IDEAS.map((name) =>
    h("li", {}, h("button", { type: "button", class: "idea", on: { click: () => ask(t(name)) } }, t(name)))));
}

async function ask(message) {
  if (!message || running) return;
  const { signal } = (running = new AbortController());
  const log = byId("chat-log");
  byId("chat-empty").hidden = true;
  turns.push({ role: "user", content: message });
  byId("chat-ideas").hidden = true;
  byId("chat-input").value = "";
  const text = h("p", { class: "turn-text is-writing" });
  const cards = h("ul", { class: "turn-items", role: "list" });
  const foot = h("p", { class: "turn-foot" });
  log.append(
    h("div", { class: "turn turn-you" }, h("span", { class: "hidden" }, `${t("chat.you")}: `), h("p", { class: "turn-text" }, message)),
    h("div", { class: "turn turn-it", "aria-busy": "true" }, h("span", { class: "hidden" }, `${t("chat.it")}: `), text, cards, foot));
  const answer = log.lastElementChild;
  busy(true);
  follow(log);
  try {
    await listen(text, cards, foot, signal);
    turns.push({ role: "assistant", content: text.textContent });
  } catch (error) {
    turns.pop(); // a question without an answer is not part of the dialogue
    if (signal.aborted || isAbort(error)) foot.replaceChildren(h("span", { class: "quiet" }, t("chat.stopped")));
    else foot.replaceChildren(
      h("span", { class: "error-text" }, `${t("chat.failed")} ${error.message}`),
      h("button", { type: "button", class: "second", on: { click: () => { answer.previousElementSibling.remove(); answer.remove(); ask(message); } } }, t("retry")));
  } finally {
    text.classList.remove("is-writing");
    answer.removeAttribute("aria-busy");
    if (running?.signal === signal) {
      running = null;
      busy(false);
    }
    follow(log);
  }
}

async function listen(text, cards, foot, signal) {
  const body = { model: "tailorbird", messages: turns.slice(-TURNS), user: person() };
  let isDone = false;
  for await (const { data } of stream("/v1/chat/completions", body, signal)) {
    if (data === "[DONE]") {
      isDone = true;
      continue;
    }
    if (data.error) throw new ApiError(data.error.message, 500);
    if (data.tailorbird?.items && !cards.childElementCount) showItems(cards, data.tailorbird.items, signal);
    const delta = data.choices?.[0]?.delta?.content;
    if (delta) text.append(delta);
    if (data.tailorbird?.source) foot.replaceChildren(badge(data.tailorbird.source));
    follow(byId("chat-log"));
  }
  if (!isDone) throw new ApiError(t("error.server"), 500);
}

async function showItems(list, entries, signal) {
  await learn([...entries.map((entry) => entry.item_id), ...mentioned(entries)], signal).catch(() => {});
  list.replaceChildren(...entries.map((entry) => {
    const item = look(entry.item_id);
    const row = h("li", { class: "mini", "data-id": entry.item_id },
      h("button", { type: "button", on: { click: () => openItem(entry) } },
        h("span", { class: "mini-title" }, item.title),
        h("span", { class: "mini-meta" }, [item.year, ...item.categories.slice(0, 2)].filter(Boolean).join(" · ")),
        h("span", { class: "mini-why" }, headlines(entry).at(-1))));
    row.style.setProperty("--hue", item.hue);
    return row;
  }));
  follow(byId("chat-log"));
}

function busy(isBusy) {
  byId("chat-send").hidden = isBusy;
  byId("chat-stop").hidden = !isBusy;
}

const follow = (log) => { log.scrollTop = log.scrollHeight; };
