// A small line plot as SVG, with its numbers at the ends of the scales; screen readers get its summary.
const NS = "http://www.w3.org/2000/svg";
const LEAST_WIDTH = 300;
const MARGIN = { left: 52, right: 14, top: 12, bottom: 22 };

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/**
 * `box` is where it goes, as wide as that. `points`: `{x, y, label, isLive}` in order of x; `format` writes a y; `ends` are
 * the texts under both ends.
 * Without two points there is nothing to draw: null.
 */
export function linePlot(box, points, { summary, format, ends, height = 150, fromZero = true, dots = false }) {
  if (points.length < 2) return null;
  const whole = Math.max(LEAST_WIDTH, box.clientWidth);
  const ys = points.map((point) => point.y);
  const low = fromZero ? 0 : Math.min(...ys);
  const high = Math.max(...ys, low + 1e-9);
  const pad = fromZero ? 0 : (high - low) * 0.15 || 0.01;
  const [bottom, top] = [low - pad, high + pad || 1];
  const first = points[0].x;
  const width = points.at(-1).x - first || 1;
  const x = (value) => MARGIN.left + ((value - first) / width) * (whole - MARGIN.left - MARGIN.right);
  const y = (value) => height - MARGIN.bottom - ((value - bottom) / (top - bottom)) * (height - MARGIN.top - MARGIN.bottom);
  const grid = [low, high].map((value) => svg("g", {},
    svg("line", { class: "grid", x1: MARGIN.left, x2: whole - MARGIN.right, y1: y(value), y2: y(value) }),
    svg("text", { x: MARGIN.left - 8, y: y(value) + 4, "text-anchor": "end" }, format(value))));
  const line = svg("polyline", { class: "line", points: points.map((point) => `${x(point.x).toFixed(1)},${y(point.y).toFixed(1)}`).join(" ") });
  const marks = dots ? points.map((point) => svg("circle", {
    class: point.isLive ? "dot live" : "dot", cx: x(point.x).toFixed(1), cy: y(point.y).toFixed(1), r: point.isLive ? 6 : 4,
  }, svg("title", {}, point.label))) : [];
  return svg("svg", { class: "plot", viewBox: `0 0 ${whole} ${height}`, role: "img", "aria-label": summary }, ...grid, line, ...marks,
    svg("text", { x: MARGIN.left, y: height - 4 }, ends[0]),
    svg("text", { x: whole - MARGIN.right, y: height - 4, "text-anchor": "end" }, ends[1]));
}
