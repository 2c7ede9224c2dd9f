// One kind of table for all panels.
import { h } from "../dom.js";

/** `columns`: `[heading, (row) => text or node, (row) => class]`; the first names the row. */
export function table(caption, columns, rows, rowClass = () => null) {
  return h("table", { class: "figures" },
    h("caption", {}, caption),
    h("thead", {}, h("tr", {}, columns.map(([heading]) => h("th", { scope: "col" }, heading)))),
    h("tbody", {}, rows.map((row) => h("tr", { class: rowClass(row) },
      columns.map(([, cell, look], place) => (place === 0
        ? h("th", { scope: "row" }, cell(row) ?? "–")
        : h("td", { class: look?.(row) }, cell(row) ?? "–")))))));
}
