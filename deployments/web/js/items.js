// Items as the page shows them: spoken title, year, genres, hue; and what they are called, found out when only an id is known.
import { call } from "./api.js";
import { t } from "./i18n.js";

export const FIELDS = ["title", "description", "categories", "attributes"];
const YEAR_KEYS = ["year", "release_year", "published_year"];
const TITLE_YEAR = /\s*\(((?:18|19|20)\d\d)\)\s*$/;
const TRAILING_ARTICLE = /^(.+), (The|A|An|Il|La|Le|Les|El|Los|Las|Das|Der|Die|L')(\s*\(.*\))?$/;
const MOST_IDS = 200;
const HUE_SEED = 974; // chosen so that common genres are well apart; any other number works too

const known = new Map();

/** Keep what a response told of its items. */
export function remember(entries) {
  for (const entry of entries) if (entry.item?.title) known.set(entry.item_id, entry.item);
}

/** Find out what these items are called. Ids that the catalogue does not have stay unknown. */
export async function learn(ids, signal) {
  const missing = [...new Set(ids)].filter((id) => !known.has(id)).slice(0, MOST_IDS);
  if (!missing.length) return;
  const body = { candidates: missing, n: missing.length, include_seen: true, explain: false, include: FIELDS };
  remember((await call("POST", "/v1/recommendations", body, signal)).items);
}

/** What a card shows of an item. */
export function look(id) {
  const item = known.get(id) ?? {};
  const categories = item.categories ?? [];
  return {
    id,
    title: item.title ? spoken(item.title) : t("card.untitled", { id }),
    isKnown: known.has(id),
    year: yearOf(item),
    categories,
    description: item.description ?? "",
    hue: hueOf(categories[0] ?? id),
  };
}

/** `Godfather, The (1972)` is said `The Godfather`. */
export function spoken(title) {
  const bare = title.replace(TITLE_YEAR, "");
  const match = TRAILING_ARTICLE.exec(bare);
  if (!match) return bare;
  const [, rest, article, tail = ""] = match;
  return `${article}${article.endsWith("'") ? "" : " "}${rest}${tail}`;
}

function yearOf(item) {
  for (const name of YEAR_KEYS) if (item.attributes?.[name]) return String(item.attributes[name]);
  return TITLE_YEAR.exec(item.title ?? "")?.[1] ?? "";
}

/** One of 18 hues, always the same for the same word. */
function hueOf(word) {
  let hash = HUE_SEED;
  for (const char of word) hash = Math.imul(hash ^ char.codePointAt(0), 16777619);
  return ((hash >>> 8) % 18) * 20;
}
