// Figures as people read them.
import { locale, number, t } from "../i18n.js";

export const rate = (value) => (value === null ? "–" : number(value, value < 10 ? 1 : 0));

export function seconds(value) {
  if (value === null || value === undefined) return "–";
  return value < 1 ? `${number(value * 1000, value < 0.01 ? 1 : 0)} ms` : `${number(value, 1)} s`;
}

export const percent = (value, digits = 1) => (value === null || value === undefined ? "–" : `${number(100 * value, digits)} %`);

export const count = (value) => (value === null || value === undefined ? "–" : Math.round(value).toLocaleString(locale()));

export const mebibytes = (bytes) => `${number(bytes / 2 ** 20, 1)} MiB`;

export function moment(text) {
  return text ? new Date(text).toLocaleString(locale(), { dateStyle: "medium", timeStyle: "medium" }) : "–";
}

/** The word for a name that the server uses, or the name itself. */
export function word(group, name) {
  const key = `ops.${group}.${name}`;
  const text = t(key);
  return text === key ? name : text;
}
