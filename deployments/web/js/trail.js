// What the person did on this page, newest first.
import { byId, h, icon } from "./dom.js";
import { t } from "./i18n.js";
import { learn, look } from "./items.js";
import { on, trail } from "./state.js";

const SHOWN = 8;

export function startTrail() {
  for (const name of ["events", "person", "language"]) on(name, show);
  show();
}

/** Titles may be unknown after a reload: they are asked for once there is a key. */
export async function show() {
  const entries = trail().slice(0, SHOWN);
  if (entries.some((entry) => !look(entry.id).isKnown)) await learn(entries.map((entry) => entry.id)).catch(() => {});
  byId("trail-empty").hidden = entries.length > 0;
  byId("trail").replaceChildren(...entries.map(({ type, id }) =>
    h("li", { class: `step step-${type}` }, icon(type), h("span", { class: "hidden" }, `${t(`trail.${type}`)} `), look(id).title)));
}
