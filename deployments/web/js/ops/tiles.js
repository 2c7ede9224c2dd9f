// The first line: what an operator looks at before anything else.
import { byId, h } from "../dom.js";
import { t } from "../i18n.js";
import { joined, quantile, sum } from "./figures.js";
import { count, percent, rate, seconds } from "./words.js";

export function showTiles(history) {
  const now = history.newest;
  const requests = Object.values(history.requests());
  const all = requests.reduce((total, one) => total + one.all, 0);
  const failed = requests.reduce((total, one) => total + one.failed, 0);
  const texts = history.growth("texts");
  const looks = now.load?.cache ?? {};
  const shards = now.shards ?? [];
  const per = history.seconds;
  const tiles = [
    ["version", now.model_version, now.live && now.live !== now.model_version ? "bad name" : "name"],
    ["rate", per ? rate(all / per) : "–"],
    ["failed", all ? percent(failed / all, 2) : "–", failed ? "bad" : ""],
    ["p99", seconds(quantile(0.99, joined(Object.values(history.buckets("seconds")))))],
    ["texts", per ? rate((60 * sum(texts)) / per) : "–"],
    ["cacheHits", sum(looks) ? percent((looks.hit ?? 0) / sum(looks)) : "–"],
    ["queue", count(now.load?.texts_waiting)],
    ["degraded", count(now.load?.lists_degraded), now.load?.lists_degraded ? "bad" : ""],
    ["sessions", count(shards.reduce((total, shard) => total + (shard?.sessions ?? 0), 0))],
    ["items", count(now.items)],
  ];
  byId("tiles").replaceChildren(...tiles.map(([name, value, look]) => h("div", { class: look || null, "data-tile": name },
    h("dt", {}, t(`ops.tile.${name}`)), h("dd", {}, value))));
}
