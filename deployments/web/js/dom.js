// Making elements. Text goes in as text nodes only, so nothing from the server can become markup.

export const byId = (id) => document.getElementById(id);

/** An element. `attributes`: `class`, `hidden`, `on: {event: handler}`, `set: {property: value}`, anything else as is. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    else if (name === "set") Object.assign(element, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const SHAPES = {
  like: "M12 20.5C5 15.4 2.8 12.1 2.8 8.7 2.8 6 4.9 4 7.4 4c1.8 0 3.5 1 4.6 2.9C13.1 5 14.8 4 16.6 4c2.5 0 4.6 2 4.6 4.7 0 3.4-2.2 6.7-9.2 11.8z",
  dislike: "M6 6l12 12M18 6L6 18",
  click: "M2.5 12C5 7.5 8.3 5.5 12 5.5s7 2 9.5 6.5c-2.5 4.5-5.8 6.5-9.5 6.5S5 16.5 2.5 12zM12 9.5a2.5 2.5 0 100 5 2.5 2.5 0 000-5z",
  back: "M14.5 5l-7 7 7 7",
  on: "M9.5 5l7 7-7 7",
};

/** A line drawing, hidden from screen readers: the control around it carries the name. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", `icon icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", SHAPES[name]);
  svg.append(path);
  return svg;
}

export const isCalm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Say something to screen readers, without showing it. */
export function announce(text) {
  byId("announcer").textContent = text;
}

let noticeTimer = 0;

/** Show a fault for a while, at the lower edge. */
export function notice(text) {
  const box = byId("notice");
  box.textContent = text;
  box.hidden = false;
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => { box.hidden = true; }, 8000);
}
