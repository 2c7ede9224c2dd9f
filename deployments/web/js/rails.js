// The three rails of the page, and when each of them is loaded again.
import { byId } from "./dom.js";
import { t } from "./i18n.js";
import { FIELDS, learn, look } from "./items.js";
import { Rail } from "./rail.js";
import { dials, on, person, trail } from "./state.js";

const LENGTH = 18;
const QUIET_MS = 250;

/** The item that "because you liked" starts from: the newest like here, else the one that carried most of the list. */
let anchor = null;

const forYou = new Rail("for-you", () => t("rail.forYou"), () => ["POST", "/v1/recommendations", {
  user_id: person(), n: LENGTH, include: FIELDS, explain: true, diversity: dials.diversity, explore: dials.explore,
}], "rail.emptyForYou");
const because = new Rail("because", () => (anchor ? t("rail.because", { title: look(anchor).title }) : ""), () => [
  "GET", `/v1/similar?${new URLSearchParams({ item_id: anchor, n: LENGTH })}`,
]);
const popular = new Rail("popular", () => t("rail.popular"), () => ["GET", `/v1/popular?n=${LENGTH}`]);

/** Put the rails on the page and keep them true. */
export function startRails() {
  because.element.hidden = true;
  byId("rails").append(forYou.element, because.element, popular.element);
  on("person", loadAll);
  on("language", () => [forYou, because, popular].forEach((rail) => rail.translate()));
  on("events", async () => {
    await forYou.load({ isUpdate: true });
    await loadBecause();
  });
  let timer = 0;
  on("dials", () => {
    clearTimeout(timer);
    timer = setTimeout(() => forYou.load({ isUpdate: true }), QUIET_MS);
  });
}

/** Load everything anew: another person, another version, or the first time. */
export async function loadAll() {
  anchor = null;
  because.element.hidden = true;
  await Promise.all([forYou.load().then(loadBecause), popular.load()]);
}

async function loadBecause() {
  const next = trail().find((entry) => entry.type === "like")?.id ?? heaviestLike();
  if (next === anchor) return;
  anchor = next;
  because.element.hidden = anchor === null;
  if (anchor === null) return;
  await learn([anchor]).catch(() => {});
  await because.load();
}

function heaviestLike() {
  const sums = new Map();
  for (const reason of forYou.entries.flatMap((entry) => entry.reasons ?? [])) {
    if (reason.kind === "because_liked" && reason.item_id) sums.set(reason.item_id, (sums.get(reason.item_id) ?? 0) + reason.weight);
  }
  const [top] = [...sums].sort((a, b) => b[1] - a[1]);
  return top && top[1] > 0 ? top[0] : null;
}
