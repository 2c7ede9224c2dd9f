// A card: a cloth label with the item's title, year and genres, and why it is here.
import { h, icon } from "./dom.js";
import { record } from "./events.js";
import { t } from "./i18n.js";
import { watchCard } from "./impressions.js";
import { openItem } from "./itemdialog.js";
import { look } from "./items.js";
import { headlines } from "./reasons.js";
import { verdict } from "./state.js";

/** The list element of one place of a list. `entry` is the response's item plus its `recommendation_id`. */
export function card(entry) {
  const item = look(entry.item_id);
  const element = h("li", { class: "card", "data-id": entry.item_id },
    h("article", { class: "label" },
      h("div", { class: "card-top" },
        h("p", { class: "card-year" }, item.year),
        h("div", { class: "card-acts" }, act("like", entry, item), act("dislike", entry, item))),
      h("h3", {}, h("button", { type: "button", class: "card-open", on: { click: () => openItem(entry) } }, item.title)),
      h("p", { class: "card-genres" }, item.categories.join(" · ")),
      marks(entry),
      h("p", { class: "card-why" }, headlines(entry).map((line) => h("span", {}, line)))));
  element.style.setProperty("--hue", item.hue);
  if (item.title.length > 34) element.classList.add("is-long");
  watchCard(element, entry);
  return element;
}

/** What else had a say: rules of merchandising, exploration. Caps say nothing of a single item. */
function marks(entry) {
  const kinds = (entry.rules ?? []).map((rule) => rule.kind).filter((kind) => kind !== "cap");
  if (entry.source === "explore") kinds.push("explore");
  if (!kinds.length) return null;
  return h("p", { class: "card-marks" }, [...new Set(kinds)].map((kind) =>
    h("span", { class: `badge mark-${kind}`, title: t(`mark.${kind}Help`) }, t(`mark.${kind}`))));
}

function act(type, entry, item) {
  const button = h("button", {
    type: "button",
    class: `act act-${type}`,
    "aria-label": t(`card.${type}`, { title: item.title }),
    "aria-pressed": String(verdict(entry.item_id) === type),
  }, icon(type));
  button.addEventListener("click", async () => {
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    if (await record(type, entry.item_id, entry.recommendation_id)) {
      for (const other of button.parentElement.children) other.setAttribute("aria-pressed", String(other === button));
    }
    button.removeAttribute("aria-disabled");
  });
  return button;
}
