// Reasons in words.
import { hasText, t } from "./i18n.js";
import { look } from "./items.js";
import { trail } from "./state.js";

/** What one part of a score says, in the page's language. */
export function sentence(reason) {
  const title = reason.item_id ? look(reason.item_id).title : reason.feature || t("reason.yourEvents");
  const kind = kindOf(reason);
  const name = `reason.${kind}`;
  if (!hasText(name)) {
    const plain = kind.replaceAll("_", " ");
    return t("reason.other", { kind: reason.item_id || reason.feature ? `${plain}: ${title}` : plain });
  }
  const against = `${name}.minus`;
  return t(reason.weight < 0 && hasText(against) ? against : name, { title });
}

/** The server counts a click as a bit of liking; where this page knows that it was only a click, it says so. */
function kindOf(reason) {
  if (reason.kind !== "because_liked") return reason.kind;
  const did = trail().filter((entry) => entry.id === reason.item_id).map((entry) => entry.type);
  return did.includes("click") && !did.includes("like") ? "because_viewed" : reason.kind;
}

/** The lines of a card: the part that weighs most and, if that names nothing the person did, the heaviest that does. */
export function headlines(entry) {
  const parts = [...(entry.reasons ?? [])].filter((reason) => reason.weight > 0).sort((a, b) => b.weight - a.weight);
  if (!parts.length) return [sourceName(entry.source)];
  const [first] = parts;
  const named = first.item_id ? undefined : parts.find((reason) => reason.item_id);
  return [first, named].filter(Boolean).map(sentence);
}

/** What a source of a score is, in words. `next_2` is one of several of a kind. */
export function sourceName(source) {
  const name = `source.${source.replace(/_\d+$/, "")}`;
  return hasText(name) ? t(name) : t("source.other", { source });
}

/** Ids of the items that reasons speak of. */
export const mentioned = (entries) => entries.flatMap((entry) => (entry.reasons ?? []).map((reason) => reason.item_id)).filter(Boolean);
