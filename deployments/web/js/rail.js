// One rail: a titled list that loads, fails, is empty, and changes before one's eyes without losing the focus.
import { call, isAbort } from "./api.js";
import { card } from "./card.js";
import { announce, h, icon, isCalm } from "./dom.js";
import { t } from "./i18n.js";
import { learn, remember } from "./items.js";
import { mentioned } from "./reasons.js";
import { emit } from "./state.js";

const SKELETONS = 6;
const MARK_MS = 6000;

export class Rail {
  /**
   * @param {string} id of the section
   * @param {() => string} title in the page's language
   * @param {() => [string, string, object?]} request method, path and body to load it with
   * @param {string} empty name of the text for an empty list
   */
  constructor(id, title, request, empty = "rail.empty") {
    this.title = title;
    this.request = request;
    this.empty = empty;
    this.entries = [];
    this.heading = h("h2", { id: `${id}-title`, tabindex: "-1" });
    this.note = h("p", { class: "rail-note", hidden: true });
    this.list = h("ul", { class: "cards", role: "list" });
    this.message = h("div", { class: "rail-message", hidden: true });
    this.back = h("button", { type: "button", class: "arrow", on: { click: () => this.#scroll(-1) } }, icon("back"));
    this.onward = h("button", { type: "button", class: "arrow", on: { click: () => this.#scroll(1) } }, icon("on"));
    this.element = h("section", { id, class: "rail", "aria-labelledby": `${id}-title` },
      h("header", { class: "rail-head" }, this.heading, h("div", { class: "arrows" }, this.back, this.onward)),
      this.note, this.list, this.message);
    this.#translate();
  }

  /** Load the list. `isUpdate`: show what is new and announce it. Another load while this one runs replaces it. */
  async load({ isUpdate = false } = {}) {
    this.pending?.abort();
    const { signal } = (this.pending = new AbortController());
    this.list.setAttribute("aria-busy", "true");
    if (!isUpdate) this.#wait();
    try {
      const [method, path, body] = this.request();
      const answer = await call(method, path, body, signal);
      remember(answer.items);
      await learn(mentioned(answer.items), signal).catch((error) => { if (isAbort(error)) throw error; });
      const entries = answer.items.map((entry) => ({ ...entry, recommendation_id: answer.recommendation_id }));
      emit("version", answer.model_version);
      this.#show(entries, isUpdate, answer.degraded);
    } catch (error) {
      if (!signal.aborted) this.#fail(error);
    } finally {
      if (!signal.aborted) this.list.removeAttribute("aria-busy");
    }
  }

  /** Build everything again, in the language of now. */
  translate() {
    this.#translate();
    if (this.list.querySelector("[data-id]")) this.list.replaceChildren(...this.entries.map(card));
    if (!this.message.hidden) this.load();
  }

  #translate() {
    const title = this.title();
    this.heading.textContent = title;
    this.back.setAttribute("aria-label", t("rail.back", { title }));
    this.onward.setAttribute("aria-label", t("rail.on", { title }));
  }

  #wait() {
    this.#translate();
    this.entries = [];
    this.message.hidden = true;
    this.note.hidden = true;
    this.list.hidden = false;
    const bones = Array.from({ length: SKELETONS }, () => h("li", { class: "card bone", "aria-hidden": "true" }));
    this.list.replaceChildren(...bones);
  }

  #fail(error) {
    this.entries = [];
    this.list.replaceChildren();
    this.list.hidden = true;
    this.message.hidden = false;
    this.message.replaceChildren(...[
      h("p", {}, `${t("rail.error")} ${error.message}`),
      error.requestId ? h("p", { class: "quiet" }, t("error.request", { id: error.requestId })) : null,
      h("button", { type: "button", class: "second", on: { click: () => this.load() } }, t("retry")),
    ].filter(Boolean));
  }

  #show(entries, isUpdate, isDegraded) {
    const before = this.entries.map((entry) => entry.item_id);
    const focus = this.#focus();
    const places = this.#places();
    this.entries = entries;
    this.#translate();
    this.note.hidden = !isDegraded;
    this.note.textContent = isDegraded ? t("rail.degraded") : "";
    this.list.hidden = entries.length === 0;
    this.message.hidden = entries.length > 0;
    if (!entries.length) this.message.replaceChildren(h("p", { class: "quiet" }, t(this.empty)));
    this.list.replaceChildren(...entries.map(card));
    if (focus) this.#refocus(focus);
    if (!isUpdate) {
      this.list.scrollLeft = 0;
      return;
    }
    this.#move(places);
    this.#mark(before);
  }

  /** Which control of which card has the focus. */
  #focus() {
    const holder = document.activeElement?.closest?.("[data-id]");
    if (!holder || holder.parentElement !== this.list) return null;
    const controls = [...holder.querySelectorAll("button")];
    return { id: holder.dataset.id, place: [...this.list.children].indexOf(holder), control: controls.indexOf(document.activeElement) };
  }

  /** To the same card, else to the one that took its place, else to the heading. */
  #refocus({ id, place, control }) {
    const cards = [...this.list.children];
    const holder = cards.find((element) => element.dataset.id === id) ?? cards[Math.min(place, cards.length - 1)];
    (holder?.querySelectorAll("button")[control] ?? this.heading).focus({ preventScroll: true });
  }

  #places() {
    return new Map([...this.list.querySelectorAll("[data-id]")].map((element) => [element.dataset.id, element.getBoundingClientRect()]));
  }

  /** Let the cards glide from where they were. */
  #move(places) {
    if (isCalm()) return;
    for (const element of this.list.children) {
      const was = places.get(element.dataset.id);
      if (!was) {
        element.animate([{ opacity: 0, transform: "scale(.94)" }, { opacity: 1, transform: "none" }], { duration: 420, easing: "ease-out" });
        continue;
      }
      const shift = was.left - element.getBoundingClientRect().left;
      if (shift) element.animate([{ transform: `translateX(${shift}px)` }, { transform: "none" }], { duration: 420, easing: "cubic-bezier(.2,.7,.2,1)" });
    }
  }

  /** Say what is new and what rose, to eyes for a while and to screen readers once. */
  #mark(before) {
    let fresh = 0;
    let moved = 0;
    for (const [place, element] of [...this.list.children].entries()) {
      const was = before.indexOf(element.dataset.id);
      const rise = was - place;
      if (was >= 0 && rise <= 0) continue;
      if (was < 0) fresh += 1;
      else moved += 1;
      const mark = h("span", { class: "mark", "aria-hidden": "true" }, was < 0 ? t("card.fresh") : `↑${rise}`);
      element.querySelector(".card-year").after(mark);
      setTimeout(() => mark.remove(), MARK_MS);
    }
    const title = this.title();
    announce(fresh || moved ? t("rail.changed", { title, fresh, moved }) : t("rail.unchanged", { title }));
  }

  #scroll(direction) {
    this.list.scrollBy({ left: direction * this.list.clientWidth * 0.85, behavior: isCalm() ? "auto" : "smooth" });
  }
}
