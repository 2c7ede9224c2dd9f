// The items in the plane: hover or touch to read their names, type to find one. Similar items lie together.
import { ApiError, call } from "../api.js";
import { byId, h } from "../dom.js";
import { t } from "../i18n.js";
import { on } from "../state.js";
import { svg } from "./plot.js";

const WIDTH = 1600;
const HEIGHT = 900;
const EDGE = 24;
const REACH = 40;
const MOST_NAMED = 9;
const HUE_STEP = 160; // neighbours in frequency lie far apart, and nine of them cover the circle evenly

let points = [];
let isMissing = false;

export async function startMap() {
  byId("map-find").addEventListener("input", find);
  on("language", () => { if (isMissing) say(t("ops.noMap")); });
  try {
    const { items } = await call("GET", "/v1/ops/map");
    draw(items);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    isMissing = error.status === 404;
    say(isMissing ? t("ops.noMap") : error.message);
  }
}

function draw(items) {
  const hues = huesOf(items);
  points = items.map((item) => {
    const x = EDGE + ((item.x + 1) / 2) * (WIDTH - 2 * EDGE);
    const y = EDGE + ((1 - item.y) / 2) * (HEIGHT - 2 * EDGE);
    const dot = svg("circle", { cx: x.toFixed(1), cy: y.toFixed(1), r: 7 });
    paint(dot, hues.get(item.category));
    return { ...item, name: item.title ?? item.item_id, x, y, dot };
  });
  const map = svg("svg", { class: "map", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": t("ops.mapLabel", { n: points.length }) },
    ...points.map((point) => point.dot));
  map.addEventListener("pointermove", (event) => point(map, event));
  map.addEventListener("pointerdown", (event) => point(map, event));
  map.addEventListener("pointerleave", () => mark(null));
  byId("map").replaceChildren(map, h("p", { class: "legend map-legend" }, [...hues].map(([category, hue]) => {
    const name = h("span", {}, category);
    paint(name, hue);
    return name;
  })));
}

/** Hues, as far from each other as can be, for the most frequent categories; what is rarer has none. */
function huesOf(items) {
  const counts = new Map();
  for (const { category } of items) if (category) counts.set(category, (counts.get(category) ?? 0) + 1);
  const most = [...counts].sort((a, b) => b[1] - a[1]).slice(0, MOST_NAMED);
  return new Map(most.map(([category], place) => [category, (HUE_STEP * place) % 360]));
}

function paint(element, hue) {
  if (hue === undefined) element.classList.add("rare");
  else element.style.setProperty("--hue", hue);
}

/** Name the item nearest to the pointer. */
function point(map, event) {
  const box = map.getBoundingClientRect();
  const x = ((event.clientX - box.left) / box.width) * WIDTH;
  const y = ((event.clientY - box.top) / box.height) * HEIGHT;
  let nearest = null;
  let least = REACH ** 2;
  for (const one of points) {
    const distance = (one.x - x) ** 2 + (one.y - y) ** 2;
    if (distance < least) [nearest, least] = [one, distance];
  }
  mark(nearest);
}

function mark(one) {
  for (const other of byId("map").querySelectorAll(".here")) other.classList.remove("here");
  if (!one) return;
  one.dot.classList.add("here");
  say(one.category ? `${one.name} · ${one.category}` : one.name);
}

function find() {
  const wanted = byId("map-find").value.trim().toLowerCase();
  const hits = wanted ? points.filter((one) => one.name.toLowerCase().includes(wanted)) : [];
  byId("map").firstElementChild?.classList.toggle("is-searched", wanted !== "");
  for (const one of points) one.dot.classList.toggle("found", hits.includes(one));
  if (wanted) say(hits.length ? t("ops.found", { n: hits.length, names: hits.slice(0, 5).map((one) => one.name).join(" · ") }) : t("ops.notFound"));
}

const say = (text) => { byId("map-said").textContent = text; };
