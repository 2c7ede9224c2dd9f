// Where a text comes from, as a badge.
import { h } from "./dom.js";
import { hasText, t } from "./i18n.js";

/** `source` is generated, cached or template. */
export function badge(source) {
  if (!hasText(`badge.${source}`)) return h("span", { class: "badge" }, source ?? "");
  return h("span", { class: `badge badge-${source}`, title: t(`badge.${source}Help`) },
    t(`badge.${source}`), h("span", { class: "hidden" }, `: ${t(`badge.${source}Help`)}`));
}
