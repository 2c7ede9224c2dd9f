// What was seen of the counters, for rates over the last minute and a curve over the last ten.
import { grown, grownBuckets, outcomes, sum } from "./figures.js";

const KEPT_S = 600;
const WINDOW_S = 60;

export class History {
  #seen = [];

  /** Remember one answer of `/v1/ops`. */
  add(answer) {
    this.#seen.push({ ...answer, at: Date.parse(answer.time) / 1000 });
    while (this.#seen.length > 2 && this.#seen[0].at < this.newest.at - KEPT_S) this.#seen.shift();
  }

  get newest() {
    return this.#seen.at(-1);
  }

  /** The answer that the last minute is measured from; null before there were two. */
  get #before() {
    const from = this.newest.at - WINDOW_S;
    const older = this.#seen.filter((one) => one.load && one.at < this.newest.at);
    return older.find((one) => one.at >= from) ?? older.at(-1) ?? null;
  }

  /** Seconds that the rates are over; 0 before there were two answers. */
  get seconds() {
    return this.#before ? this.newest.at - this.#before.at : 0;
  }

  /** How a group of counters grew in the last minute, or since the start when this is the first look. */
  growth(name) {
    return grown(this.newest.load?.[name], this.#before?.load?.[name]);
  }

  /** `{route: {all, failed}}` of the last minute. */
  requests() {
    const found = {};
    for (const [route, codes] of Object.entries(this.newest.load?.requests ?? {})) {
      found[route] = outcomes(grown(codes, this.#before?.load?.requests?.[route]));
    }
    return found;
  }

  /** The buckets of a histogram by route or kind: of the last minute where something came, else of all. */
  buckets(name) {
    const found = {};
    for (const [key, later] of Object.entries(this.newest.load?.[name] ?? {})) {
      const recent = grownBuckets(later, this.#before?.load?.[name]?.[key]);
      found[key] = recent.at(-1)?.[1] ? recent : later;
    }
    return found;
  }

  /** Requests per second between each two looks, oldest first: `{x, y}`. */
  rates() {
    const known = this.#seen.filter((one) => one.load);
    const total = (one) => Object.fromEntries(Object.entries(one.load.requests).map(([route, codes]) => [route, sum(codes)]));
    return known.slice(1).map((later, place) => {
      const earlier = known[place];
      return { x: later.at, y: sum(grown(total(later), total(earlier))) / Math.max(later.at - earlier.at, 1e-3) };
    });
  }
}
