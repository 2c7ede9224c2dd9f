// From two looks at the counters to what happened between them: rates, and quantiles of histograms.

/** `later - earlier` of an object of numbers; a counter that went back began anew with its process. */
export function grown(later = {}, earlier = {}) {
  const found = {};
  for (const [name, value] of Object.entries(later)) {
    const before = earlier[name] ?? 0;
    found[name] = value >= before ? value - before : value;
  }
  return found;
}

export const sum = (numbers) => Object.values(numbers ?? {}).reduce((total, value) => total + value, 0);

/** The buckets `[[bound, cumulative count], ...]` of what came between two looks. */
export function grownBuckets(later = [], earlier = []) {
  const before = new Map(earlier.map(([bound, count]) => [bound, count]));
  return later.map(([bound, count]) => [bound, Math.max(0, count - (before.get(bound) ?? 0))]);
}

/** Add histograms of equal bounds. */
export function joined(histograms) {
  const total = new Map();
  for (const buckets of histograms) for (const [bound, count] of buckets) total.set(bound, (total.get(bound) ?? 0) + count);
  return [...total];
}

/** The quantile of a histogram in seconds, linear within its bucket as Prometheus has it; null when it is empty. */
export function quantile(share, buckets) {
  if (!buckets.length) return null;
  const all = buckets.at(-1)[1];
  if (!all) return null;
  const wanted = share * all;
  let low = 0;
  let under = 0;
  for (const [bound, count] of buckets) {
    if (count >= wanted) {
      if (bound === null) return low;
      return count === under ? bound : low + ((bound - low) * (wanted - under)) / (count - under);
    }
    low = bound ?? low;
    under = count;
  }
  return low;
}

/** Requests of a route by outcome: `{all, failed}`; failed are codes from 500. */
export function outcomes(codes) {
  const failed = Object.entries(codes ?? {}).filter(([code]) => Number(code) >= 500);
  return { all: sum(codes), failed: sum(Object.fromEntries(failed)) };
}
