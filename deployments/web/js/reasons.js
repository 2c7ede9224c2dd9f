// Reasons in words.
import { hasText, t } from "./i18n.js";
import { look } from "./items.js";

/** What one part of a score says, in the page's language. */
export function sentence(reason) {
  const title = reason.item_id ? look(reason.item_id).title : reason.feature || t("reason.yourEvents");
  const name = `reason.${reason.kind}`;
  if (!hasText(name)) {
    const kind = reason.kind.replaceAll("_", " ");
    return t("reason.other", { kind: reason.item_id || reason.feature ? `${kind}: ${title}` : kind });
  }
  const against = `${name}.minus`;
  return t(reason.weight < 0 && hasText(against) ? against : name, { title });
}

/** The line of a card: the reason that weighs most, else where the item comes from. */
export function headline(entry) {
  const [first] = [...(entry.reasons ?? [])].sort((a, b) => b.weight - a.weight);
  if (first && first.weight > 0) return sentence(first);
  const name = `source.${entry.source}`;
  return hasText(name) ? t(name) : t("source.other", { source: entry.source });
}

/** Ids of the items that reasons speak of. */
export const mentioned = (entries) => entries.flatMap((entry) => (entry.reasons ?? []).map((reason) => reason.item_id)).filter(Boolean);
